"""METEOR and SPICE: the numbers of coco-caption's programs where these are at hand, and what is said where they are not.

Tests with the real METEOR need java and pycocoevalcap (`pip install 'pytest-claims[java]'`) and are skipped without them. SPICE
needs 385 MB of Stanford CoreNLP besides: what is tested of it is the conversation, with a program of our own in its place.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_claims.errors import MetricError, NotAttempted
from pytest_claims.metrics import BUILTIN, Corpus, Pair, java, meteor, score, spice

REAL = pytest.mark.skipif(
    shutil.which("java") is None or importlib.util.find_spec("pycocoevalcap") is None,
    reason="needs java on the PATH and pycocoevalcap: pip install 'pytest-claims[java]'",
)
STANDS_IN = pytest.mark.skipif(
    sys.platform == "win32", reason="the program in place of java is a script with a shebang"
)

HYPOTHESES = [
    "A man isn't riding a brown horse; he walks next to it.",
    "Two dogs' toys lie on the floor",
    "A stop sign on Main St. at 5:54pm.",
    "a a a a cat",
    "",
    "?!",
    "A café with 5 1/2 apples (green).",
    "A cat.",
    "two automobiles ||| a road",
    'A <a b="|||"> cat',
    "A group of people are playing football on the grass.",
    "line\nbreak\u2028and\x85more\r\nof it",
    "running quickly",
]
REFERENCES = [
    ["A man walks beside his brown horse.", "A man is not riding his horse.", "He walks next to a horse."],
    ["Dog toys are on the floor.", "The toys of two dogs lie on the wooden floor."],
    ["A stop sign at the corner of Main St. and 5th Ave.", "A red stop sign."],
    ["A cat.", "the cat sat on a mat, a big cat"],
    ["a dog", "Dogs!"],
    ["?!", "what?"],
    ["A café has five and a half green apples.", "A cafe"],
    ["A cat."],
    ["Two cars on a road.", ""],
    ["a cat"],
    ["People play soccer on a lawn.", "A soccer game is played by a group of men."],
    ["a line break and more of it"],
    ["he ran quickly"],
]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """Captions of every kind; the real program runs once for all tests."""
    return Corpus(HYPOTHESES, REFERENCES)


@REAL
def test_meteor_is_that_of_pycocoevalcap(corpus: Corpus) -> None:
    """Value and per-image values are those of pycocoevalcap's own `Meteor`, also of empty captions and without a match."""
    from pycocoevalcap.meteor.meteor import Meteor

    texts = {i: [" ".join(own)] for i, own in enumerate(corpus.hypothesis_units)}
    references = {i: [" ".join(own) for own in texts] for i, texts in enumerate(corpus.reference_units)}
    value, per_image = Meteor().compute_score(references, texts)
    found = BUILTIN["meteor"].score(corpus)
    assert found.value == pytest.approx(value, abs=1e-9)
    assert found.per_image == pytest.approx(per_image, abs=1e-9)
    assert min(per_image) == 0
    assert max(per_image) == 1
    assert found.signature == "meteor|coco-caption|tok:ptb|case:lc|refs:1-3|jar:1.5-1e57b4c72c08|norm|v0.2"


@REAL
def test_meteor_has_an_interval_and_a_pair(corpus: Corpus) -> None:
    """The sums give the value, the interval surrounds it, and a run is paired with another one like BLEU."""
    metric = meteor.Meteor()
    found = metric.score(corpus)
    sums = np.array(found.counts["statistics"])
    assert float(metric.value(sums[None, :])[0]) == pytest.approx(found.value, abs=1e-9)
    assert found.interval
    assert found.interval.low < found.value < found.interval.high
    assert found.interval.standard_error == pytest.approx(np.std(found.interval.replicates, ddof=1), rel=0.35)
    same = Pair(corpus, corpus).difference(metric, found, found)
    assert same
    assert same.value == same.low == same.high == 0


def test_the_gradient_of_meteor() -> None:
    """The delta method's gradient is the slope of the value, by each of the sums that it depends on."""
    metric, rng = meteor.Meteor(), np.random.default_rng(0)
    for _ in range(20):
        matched = rng.integers(1, 40, size=16).astype(float)
        own, theirs = float(matched[0::2].sum()), float(matched[1::2].sum())
        sums = np.array([own + 90, theirs + 80, 40, 30, *matched, rng.integers(5, 30), own, theirs])
        step = np.diag(np.full(meteor.COLUMNS, 1e-5))
        slope = (metric.value(sums + step) - metric.value(sums - step)) / 2e-5
        assert metric.gradient(sums) == pytest.approx(slope, abs=1e-7)
    assert not metric.gradient(np.zeros(meteor.COLUMNS)).any()
    assert metric.value(np.zeros((1, meteor.COLUMNS)))[0] == 0


# ----------------------------------------------------------------------------------------------------
# What is missing


def package(folder: Path, *files: str) -> None:
    """A package pycocoevalcap in a folder, with these files; each holds its own name."""
    (folder / "pycocoevalcap").mkdir()
    (folder / "pycocoevalcap" / "__init__.py").touch()
    for name in files:
        path = folder / "pycocoevalcap" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a program in the place of java, and other files in that of pycocoevalcap's, whose digests do not count."""

    def install(program: str) -> None:
        package(tmp_path, f"meteor/{meteor.JAR}", f"spice/{spice.JAR}", *(f"spice/{name}" for name in spice.PARSER))
        path = tmp_path / "bin" / "java"
        path.parent.mkdir()
        path.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{program}")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(path.parent))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "pycocoevalcap", raising=False)
        for module in (meteor, spice):
            monkeypatch.setattr(
                module, "KNOWN", dict.fromkeys(module.KNOWN, "") if module is spice else {meteor.JAR: ""}
            )

    return install


@pytest.mark.parametrize("name", ["meteor", "spice"])
def test_without_java(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without java, the reason says so, and the next step how to get one."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotAttempted) as caught:
        score(name, ["a"], [["a"]])
    assert caught.value.reason == f"{name.upper()} is a program in Java, and no java is on the PATH."
    assert "default-jre-headless" in caught.value.next_step


@STANDS_IN
def test_without_the_package(stand_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pycocoevalcap, the next step is its installation."""
    stand_in("")
    monkeypatch.setitem(sys.modules, "pycocoevalcap", None)  # as if it were not installed
    with pytest.raises(NotAttempted) as caught:
        score("meteor", ["a"], [["a"]])
    assert caught.value.reason == "METEOR runs the program of pycocoevalcap, which is not installed."
    assert caught.value.next_step == "Run: pip install 'pytest-claims[java]'"


@STANDS_IN
def test_another_program(stand_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in the place of the program that is not pycocoevalcap's is never run: its number could be any."""
    digests = dict(meteor.KNOWN)
    stand_in(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.setattr(meteor, "KNOWN", digests)
    with pytest.raises(NotAttempted) as caught:
        score("meteor", ["a"], [["a"]])
    assert "meteor-1.5.jar is not the file that pycocoevalcap 1.2 brings (SHA-256 1e57b4c72c08…)" in caught.value.reason
    assert caught.value.next_step == "Run: pip install --force-reinstall pycocoevalcap==1.2"
    assert not (tmp_path / "ran").exists()


@STANDS_IN
def test_spice_without_the_parser(stand_in: Any, tmp_path: Path) -> None:
    """SPICE needs two files that pycocoevalcap does not bring: both are named, with their folder and how to get them."""
    stand_in("")
    for name in spice.PARSER:
        (tmp_path / "pycocoevalcap" / "spice" / name).unlink()
    with pytest.raises(NotAttempted) as caught:
        score("spice", ["a"], [["a"]])
    assert caught.value.reason == (
        "SPICE needs lib/stanford-corenlp-3.6.0.jar and lib/stanford-corenlp-3.6.0-models.jar in "
        f"{tmp_path / 'pycocoevalcap' / 'spice'}, from Stanford CoreNLP 3.6.0, which pycocoevalcap does not bring."
    )
    assert "get_stanford_models" in caught.value.next_step


# ----------------------------------------------------------------------------------------------------
# The conversation

ANSWERS = """
for line in sys.stdin:
    if line.startswith("SCORE"):
        print(" ".join(["1.0"] * 2 + ["0.0"] * 2 + ["1.0"] * 2 + ["0.0"] * 14 + ["1.0"] * 3), flush=True)
    else:
        for _ in range(line.count("|||") + 1):
            print(VALUE, flush=True)
"""


@STANDS_IN
def test_meteor_asks_and_reads(stand_in: Any, tmp_path: Path) -> None:
    """One request a caption, whatever is in it: no text can end a request, or become another reference."""
    said = tmp_path / "said"
    stand_in(
        f"said = open({str(said)!r}, 'w')\n"
        + ANSWERS.replace("    if", "    said.write(line); said.flush()\n    if", 1).replace("VALUE", "1.0")
    )
    found = score("meteor", HYPOTHESES, REFERENCES, resamples=10)
    assert found.value == 1
    *requests, last = said.read_text(encoding="utf-8").splitlines()
    assert [line.split(" ||| ")[0] for line in requests] == ["SCORE"] * len(HYPOTHESES)
    assert [line.count("|||") for line in requests] == [1 + len(own) for own in REFERENCES]
    assert last.startswith("EVAL ||| ")
    assert last.count("|||") == len(HYPOTHESES)


@STANDS_IN
@pytest.mark.parametrize(
    ("program", "said"),
    [
        (ANSWERS.replace("VALUE", "0.5"), "'0': the program gives 0.5, and the formula of METEOR 1.5 gives 1.0."),
        (ANSWERS.replace("VALUE", "'nan'"), "'0': the program gives nan, and the formula"),
        (ANSWERS.replace("VALUE", "'Error'"), "METEOR gave 'Error', expected a number."),
        (
            "for line in sys.stdin: print('Error: specify SCORE or EVAL', flush=True)",
            "Image '0': METEOR gave 'Error: specify",
        ),
        (
            "sys.exit('java.lang.OutOfMemoryError')",
            "METEOR ended before it had answered: 'java.lang.OutOfMemoryError'.",
        ),
        ("time.sleep(60)", "METEOR took too long, and was stopped."),
        (
            "sys.exit(repr([name for name in os.environ if 'JAVA' in name or name == 'CLASSPATH']))",
            "METEOR ended before it had answered: '[]'.",
        ),
    ],
    ids=["other numbers", "not a number", "no number", "no statistics", "ends", "hangs", "environment"],
)
def test_meteor_that_fails(stand_in: Any, monkeypatch: pytest.MonkeyPatch, program: str, said: str) -> None:
    """A program that fails, hangs or computes something else gives an error, and no number."""
    stand_in(program)
    for name in ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH"):
        monkeypatch.setenv(name, "-javaagent:x.jar")
    if "sleep" in program:
        monkeypatch.setattr(meteor, "START", 0.2)
    with pytest.raises(MetricError) as caught:
        score("meteor", ["a", "b " * 200_000], [["a"], ["b"]])  # more than a pipe holds
    assert said in str(caught.value)


SPICE = """
given, answer = sys.argv[sys.argv.index("-jar") + 2], sys.argv[sys.argv.index("-out") + 1]
rows = json.load(open(given, encoding="utf-8"))
f = lambda row: len(set(row["test"].split()) & set(" ".join(row["refs"]).split())) / 10
json.dump([{"image_id": row["image_id"], "scores": {"All": {"f": f(row)}}} for row in reversed(rows)], open(answer, "w"))
"""


@STANDS_IN
def test_spice_asks_and_reads(stand_in: Any) -> None:
    """The program reads the tokens of coco-caption, and its F is the value of each image, in whatever order it answers."""
    stand_in(SPICE)
    found = score("spice", ["A dog.", "Two cats, on a mat"], [["a dog", "Dogs"], ["cats on mats"]])
    assert found.per_image == (0.2, 0.2)
    assert found.value == pytest.approx(0.2)
    assert found.signature.startswith("spice|coco-caption|tok:ptb|case:lc|refs:1-2|jar:1.0-")
    assert found.signature.endswith("|v0.2")
    assert "|corenlp:3.6.0-" in found.signature
    assert java.digest_of(Path(sys.executable))[: java.SHORT] not in found.signature


@STANDS_IN
@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("sys.exit('Exception in thread main')", "SPICE failed with exit code 1: 'Exception in thread main'."),
        ("", "SPICE gave no readable result."),
        (SPICE.replace("f(row)", "None"), "Image '0': SPICE gave nan, expected a number from 0 to 1."),
        (SPICE.replace("f(row)", "1.5"), "Image '0': SPICE gave 1.5, expected a number from 0 to 1."),
        (SPICE.replace("reversed(rows)", "rows[1:]"), "Image '0': SPICE gave nan"),
        (SPICE.replace('"All"', '"Some"'), "SPICE gave a result of another form than version 1.0."),
        ("time.sleep(60)", "SPICE took longer than 0 s, and was stopped."),
    ],
    ids=["fails", "nothing", "null", "outside", "one missing", "another form", "hangs"],
)
def test_spice_that_fails(stand_in: Any, monkeypatch: pytest.MonkeyPatch, program: str, said: str) -> None:
    """A program that fails, hangs or leaves an image out gives an error, and no number."""
    stand_in(program)
    if "sleep" in program:
        monkeypatch.setattr(spice, "START", 0.2)
        monkeypatch.setattr(spice, "EACH", 0.0)
    with pytest.raises(MetricError) as caught:
        score("spice", ["a", "b"], [["a"], ["b"]])
    assert said in str(caught.value)
