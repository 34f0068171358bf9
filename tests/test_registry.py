"""Metrics that are not ours: what is refused when they are registered, what when they have scored, and the example in docs/."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import SettingsError, Status, registry, verify
from pytest_claims.errors import MetricError, NotAttempted
from pytest_claims.metrics import BUILTIN, Corpus, Mean
from tests.builders import claim, put, released
from tests.running import run

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_claims.metrics import Score

DOCUMENT = Path(__file__).parents[1] / "docs" / "metrics.md"


def exclaims(caption: str, _references: Any) -> float:
    """1 for a caption that ends with an exclamation mark."""
    return float(caption.endswith("!"))


GOOD: dict[str, Any] = {"name": "excited", "family": "lab", "value": exclaims}


def metric(**changes: Any) -> Any:
    """A metric with these attributes, which no check of ours has seen."""

    class Bare:
        name, family, low, high = "excited", "lab", 0.0, 1.0

        def signature(self, _corpus: Any) -> str:
            return "excited|lab|v1"

        def score(self, corpus: Corpus, **options: Any) -> Any:
            return Mean(name=self.name, family=self.family, value=exclaims).score(corpus, **options)

    found = Bare()
    for name, value in changes.items():
        if value is ...:
            delattr(Bare, name)
        else:
            setattr(found, name, value)
    return found


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (metric(family=...), "the metric 'excited' (a Bare) has no 'family'"),
        (metric(score=...), "has no 'score'"),
        (metric(signature="excited|v1"), "has a 'signature' that cannot be called; expected a method"),
        (metric(name="ex cited"), "needs another name: expected at most 64 letters"),
        (metric(name=3), "a Bare needs another name"),
        (metric(family=""), "has the family ''; expected text"),
        (metric(low="0"), "has low = '0'; expected a number of its natural range"),
        (metric(high=float("nan")), "has high = nan; expected a number"),
        (metric(low=1.0, high=1.0), "has a range from 1.0 to 1.0; expected low below high"),
        (metric(trivial=2.0), "has trivial = 2.0, outside its range"),
        (metric(needs="text"), "has needs = 'text'; expected a tuple such as ('text',)"),
        (metric(needs=("texts",)), "needs 'texts', did you mean 'text'?; known: text, ranked"),
        (Mean, "the class Mean is a class; expected an object of it: Mean()"),
        (exclaims, "a function has no 'name'"),
        (metric(name="bleu4"), "the metric name 'bleu4' is taken"),
    ],
)
def test_what_is_no_metric(wrong: Any, text: str) -> None:
    """A metric is checked when it is registered; the message says what is missing, and where an example is."""
    with pytest.raises(SettingsError) as caught:
        registry.gather([wrong], "pytest_claims_metrics")
    assert str(caught.value).startswith("pytest_claims_metrics: ")
    assert text in str(caught.value)


def test_a_bad_metric_is_a_problem_of_the_claim_files(pytester: pytest.Pytester) -> None:
    """In a session, what is no metric makes the claim files red, in one line and before anything runs."""
    pytester.makeconftest("def pytest_claims_metrics(config): return [len]")
    put(pytester.path)
    found = run(pytester, "claims")
    assert (found.ret, found.statuses) == (1, {"claims/paper.yaml": "error"})
    assert "pytest_claims_metrics: a builtin_function_or_method has no 'name'" in found.out
    assert "Traceback" not in found.out


def excited(folder: Path, given: Any) -> Any:
    """The verdict on a claim of `given` about four captions, of which two end with an exclamation mark."""
    captions = {"1": "yes!", "2": "no", "3": "a dog!", "4": "a cat"}
    path = put(folder, claim(metric="excited", value="50", protocol={"metric": "lab"}), captions=captions)
    (verdict,) = verify(path, metrics=[given])
    return verdict


def test_a_metric_of_a_program(tmp_path: Path) -> None:
    """`verify` takes metrics of its own; the mean has an interval over images, a signature and a score of each image."""
    verdict = excited(tmp_path, Mean(**GOOD))
    assert (verdict.status, verdict.measured) == (Status.PASS, 50)
    assert verdict.score.signature == "excited|lab|mean|refs:1|v1"
    assert verdict.score.per_image == (1.0, 0.0, 1.0, 0.0)
    assert verdict.score.interval.low < 0.5 < verdict.score.interval.high


@pytest.mark.parametrize(
    ("give", "text"),
    [
        (lambda score: score.value, "The metric excited gave 0.5 (float), expected a pytest_claims.metrics.Score"),
        (lambda score: replace(score, family="other"), "is of the family 'lab', and its score says 'other'"),
        (lambda score: replace(score, n=2), "scored 2 images and 4 one by one, of 4"),
        (lambda score: replace(score, per_image=(1.0,)), "scored 4 images and 1 one by one, of 4"),
        (lambda score: replace(score, value=50.0), "gave 50.0, outside its range from 0.0 to 1.0"),
    ],
)
def test_what_is_no_score(tmp_path: Path, give: Callable[[Score], Any], text: str) -> None:
    """What a metric gives is checked before it is judged: an error of the claim, and no number."""
    honest = Mean(**GOOD)
    verdict = excited(tmp_path, metric(score=lambda corpus, **options: give(honest.score(corpus, **options))))
    assert (verdict.status, verdict.measured) == (Status.ERROR, None)
    assert text in verdict.reason


def test_a_metric_that_lacks_something(tmp_path: Path) -> None:
    """A metric that cannot run on this machine leaves its claim not attempted, before anything is evaluated or scored."""
    scored: list[Corpus] = []
    gap = NotAttempted("The metric needs a lens.", "Buy one.")
    lacking = metric(missing=lambda: gap, score=lambda corpus, **_: scored.append(corpus))
    path = put(tmp_path, claim(metric="excited", value="50", protocol={"metric": "lab"}))
    (path.parent / "out.json").write_text("no JSON", encoding="utf-8")  # would be an error if it were read
    (verdict,) = verify(path, metrics=[lacking])
    assert (verdict.status, verdict.reason, verdict.next_step) == (Status.NOT_ATTEMPTED, gap.reason, gap.next_step)
    assert scored == []


def test_a_dry_run_says_what_a_metric_lacks(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan of a claim of METEOR says that java is missing, beside whatever else is."""
    monkeypatch.setenv("PATH", str(pytester.path))
    put(pytester.path, claim(metric="meteor", value="50"))
    found = run(pytester, "claims", "--claims-dry-run")
    assert found.statuses == {"one": "not_attempted"}
    reason = found.records["one"]["evidence"]["reason"]
    assert "could not be attempted here. METEOR is a program in Java, and no java is on the PATH." in reason


def test_what_a_metric_lacks_is_said_in_one_way(tmp_path: Path) -> None:
    """`missing` gives None or a `NotAttempted`; anything else is an error of the claim."""
    verdict = excited(tmp_path, metric(missing=lambda: "a lens"))
    assert verdict.status is Status.ERROR
    assert "missing() gave 'a lens' (str), expected None or a pytest_claims.errors.NotAttempted" in verdict.reason


@pytest.mark.parametrize("name", ["meteor", "spice"])
def test_java_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A claim of METEOR or SPICE without java is not attempted; the verdict says what is missing, and how to get it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    (verdict,) = verify(put(tmp_path, claim(metric=name, value="50")))
    assert verdict.status is Status.NOT_ATTEMPTED
    assert verdict.reason == f"{name.upper()} is a program in Java, and no java is on the PATH."
    assert "Install a Java runtime" in verdict.next_step


@pytest.mark.parametrize("value", [2.0, -0.1, float("nan"), None, "high"])
def test_a_value_outside_the_range(value: Any) -> None:
    """A value of one image that is no number of the range names the image."""
    wrong = Mean(name="x", family="y", value=lambda _caption, _references: value)
    with pytest.raises(MetricError, match=r"^Image 'a': the metric x gave .*, expected a number from 0.0 to 1.0\.$"):
        wrong.score(Corpus(["a cat"], [["a dog"]], ["a"]))


def test_the_mean_has_the_interval_of_our_own_means() -> None:
    """`Mean` over ROUGE-L's values of each image gives ROUGE-L: value, interval and standard error."""
    corpus = Corpus([f"a cat {number}" for number in range(20)], [[f"a {number} cat", "a dog"] for number in range(20)])
    expected = BUILTIN["rouge_l"].score(corpus)
    values = dict(zip(corpus.hypotheses, expected.per_image, strict=True))
    found = Mean(name="same", family="lab", value=lambda caption, _references: values[caption]).score(corpus)
    assert (found.value, found.interval, found.counts) == (expected.value, expected.interval, expected.counts)


def test_a_system_that_gets_nothing_right(tmp_path: Path) -> None:
    """A tolerance that reaches what a system gets that does nothing right is refused for a metric of a plugin too."""
    from pytest_claims import SpecError

    path = put(
        tmp_path, claim(metric="excited", value="50", protocol={"metric": "lab"}, tolerance={"pass": 1, "partial": 45})
    )
    assert verify(path, metrics=[Mean(**GOOD)])[0].status is not Status.PENDING
    with pytest.raises(SpecError, match="a system gets that does nothing right"):
        verify(path, metrics=[Mean(**GOOD, trivial=0.1)])


def test_the_example_of_the_document(pytester: pytest.Pytester) -> None:
    """The files in docs/metrics.md, as they stand there, give a verdict."""
    text = DOCUMENT.read_text(encoding="utf-8")
    files = dict(re.findall(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", text, re.DOTALL))
    assert set(files) == {"conftest.py", "claims/overlap.yaml"}
    for name, content in files.items():
        (pytester.path / name).parent.mkdir(exist_ok=True)
        (pytester.path / name).write_text(content, encoding="utf-8")
    released(pytester.path / "claims")
    found = run(pytester, "claims")
    assert (found.ret, found.statuses) == (0, {"overlap": "pass"})
    assert found.records["overlap"]["evidence"]["signature"] == "overlap|my-lab|mean|refs:1|v1"
