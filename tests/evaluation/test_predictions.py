"""Released captions, scored as they are: a claim file and two JSON files in, a verdict out."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import protocol
from pytest_claims.bench import Bench
from pytest_claims.errors import EvaluationError
from pytest_claims.evaluation import predictions, rows
from pytest_claims.evidence import Basis, Evidence
from pytest_claims.metrics import BUILTIN, Corpus
from pytest_claims.protocol import Match
from pytest_claims.run import Session
from pytest_claims.settings import Settings
from pytest_claims.spec import load
from pytest_claims.verdict import Status, Verdict
from tests.builders import PREDICTIONS, REFERENCES, caption_files, claim_file

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [{"image_id": name, "caption": text} for name, text in PREDICTIONS.items()]


def write(folder: Path, name: str, content: object) -> None:
    """Write a file: bytes and text as they are, everything else as JSON."""
    data = (
        content
        if isinstance(content, bytes)
        else (content if isinstance(content, str) else json.dumps(content)).encode()
    )
    (folder / name).write_bytes(data)


def verify(folder: Path, settings: Settings | None = None, **changes: Any) -> Verdict:
    """The verdict on the claim of `claim_file` with these changes."""
    return Session(settings or Settings(), Bench(), {}).verify(load(claim_file(folder, **changes))[0])


def evaluate(folder: Path, settings: Settings | None = None, **changes: Any) -> Evidence:
    """The evidence of the claim of `claim_file` with these changes."""
    claim = load(claim_file(folder, **changes))[0]
    plan = protocol.plan(claim, settings or Settings())
    assert isinstance(plan, protocol.PredictionsPlan)
    return predictions.evaluate(plan)


def refused(folder: Path, **changes: Any) -> str:
    """The whole reason for which the claim could not be evaluated; the same from the evaluator and in the verdict."""
    with pytest.raises(EvaluationError) as caught:
        evaluate(folder, **changes)
    verdict = verify(folder, **changes)
    assert verdict.status is Status.ERROR
    assert verdict.reason == str(caught.value)
    assert str(caught.value).encode().decode() == str(caught.value)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with good predictions and references."""
    caption_files(tmp_path)
    return tmp_path


def test_a_verdict_on_released_captions(folder: Path) -> None:
    """The number is the metric's over all pairs, and what a file of captions does not show is listed as not observed."""
    names = sorted(PREDICTIONS)
    corpus = Corpus([PREDICTIONS[name] for name in names], [REFERENCES[name] for name in names], names)
    value = 100 * BUILTIN["bleu4"].score(corpus, population=None).value
    verdict = verify(folder, reported__value=round(value, 1))
    assert verdict.score is not None
    assert verdict.score.value * 100 == pytest.approx(value)
    assert verdict.score.n == 3
    assert (verdict.status, verdict.match) == (Status.PASS, Match.EXACT)
    axes = {reading.axis: reading.consequence.value for reading in verdict.readings}
    assert axes["sample"] == axes["metric"] == "none"
    assert {axes[axis] for axis in ("checkpoint", "image", "prompt", "decoding", "precision")} == {"not observed"}


def test_evidence(folder: Path) -> None:
    """Evidence holds the pairs in the order of their ids, the digests of both files, and what was observed."""
    found = evaluate(folder)
    assert [(caption.id, caption.text, list(caption.references)) for caption in found.outputs] == [
        (name, PREDICTIONS[name], REFERENCES[name]) for name in sorted(PREDICTIONS)
    ]
    assert found.basis is Basis.RESCORED
    assert found.observed.scored == 3
    assert found.observed.dataset is not None
    assert found.observed.dataset["images"] == 3
    assert found.observed.prompt is None
    assert found.provenance["predictions"] == "predictions.json"
    (folder / "predictions.json").write_text((folder / "predictions.json").read_text() + "\n")
    again = evaluate(folder)
    assert again.provenance["predictions_digest"] != found.provenance["predictions_digest"]
    assert again.provenance["references_digest"] == found.provenance["references_digest"]
    assert again.observed.dataset == found.observed.dataset


ALL_REFERENCES = [{"image_id": name, "caption": text} for name, texts in REFERENCES.items() for text in texts]


@pytest.mark.parametrize(
    "content",
    [
        {"info": {}, "images": [{"id": "a"}], "annotations": ALL_REFERENCES},
        ALL_REFERENCES,
        ALL_REFERENCES[::2] + ALL_REFERENCES[1::2],
        [{"image_id": name, "caption": texts} for name, texts in REFERENCES.items()],
        REFERENCES,
        {name: REFERENCES[name] for name in reversed(REFERENCES)},
    ],
    ids=["COCO", "a row a caption", "rows apart", "lists", "mapping", "other order"],
)
def test_references_in_every_shape(folder: Path, content: object) -> None:
    """COCO annotations, rows with one caption, rows with all captions and a mapping of id to list are the same references."""
    expected = evaluate(folder)
    write(folder, "references.json", content)
    found = evaluate(folder)
    assert found.outputs == expected.outputs
    assert found.observed == expected.observed


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.json", PREDICTIONS),
        ("p.json", {name: [text] for name, text in PREDICTIONS.items()}),
        ("p.json", {"info": {}, "annotations": ROWS}),
        ("p.jsonl", "\n".join(map(json.dumps, ROWS)) + "\n\n"),
    ],
    ids=["mapping", "pycocoevalcap", "COCO", "lines"],
)
def test_predictions_in_every_shape(folder: Path, name: str, content: object) -> None:
    """A mapping of id to caption, COCO's annotations and JSON lines are the same predictions, under COCO's default names."""
    expected = evaluate(folder)
    write(folder, name, content)
    found = evaluate(folder, run__predictions={"path": name})
    assert found.outputs == expected.outputs
    assert found.observed == expected.observed


def test_references_as_lines(folder: Path) -> None:
    """References may be JSON lines too, and a line that is no JSON is named."""
    expected = evaluate(folder)
    write(folder, "r.jsonl", "\n".join(map(json.dumps, ALL_REFERENCES)))
    assert evaluate(folder, run__references={"path": "r.jsonl"}).outputs == expected.outputs
    write(folder, "r.jsonl", "\n".join([*map(json.dumps, ALL_REFERENCES), "", "{x"]))
    assert refused(folder, run__references={"path": "r.jsonl"}).startswith("r.jsonl:8: not JSON: ")


def test_a_mapping_is_not_scored_against_itself(folder: Path) -> None:
    """Keys have no meaning in a mapping of ids, so that other keys do not make two files of one."""
    write(folder, "both.json", PREDICTIONS)
    text = (
        "both.json: each caption is named as the prediction and as the references: it would be scored against itself."
    )
    both = {"run__predictions": {"path": "both.json"}, "run__references": {"path": "both.json", "captions": "refs"}}
    assert refused(folder, **both) == text


def test_a_mapping_to_single_captions(folder: Path) -> None:
    """A mapping may hold one caption as text."""
    write(folder, "references.json", {"a": "x", "b": "y", "c": "z"})
    assert [caption.references for caption in evaluate(folder).outputs] == [("x",), ("y",), ("z",)]


def test_columns_by_name(folder: Path) -> None:
    """The claim says which keys hold ids and captions; other keys are ignored, whatever they hold."""
    write(
        folder, "predictions.json", [{"file": name, "text": text, "score": 1e308} for name, text in PREDICTIONS.items()]
    )
    write(folder, "references.json", [{"name": name, "refs": texts, "x": None} for name, texts in REFERENCES.items()])
    found = evaluate(
        folder, run__predictions__id="file", run__predictions__caption="text", run__references__id="name",
        run__references__captions="refs",
    )  # fmt: skip
    assert {caption.id: caption.text for caption in found.outputs} == PREDICTIONS


def test_ids_compare_as_text(folder: Path) -> None:
    """42 and "42" are one image, and 042 is another."""
    write(folder, "predictions.json", [{"image_id": 42, "caption": "x"}, {"image_id": "042", "caption": "y"}])
    write(folder, "references.json", {"42": ["x"], "042": ["y"]})
    found = evaluate(folder, protocol__dataset__images=2)
    assert [caption.id for caption in found.outputs] == ["042", "42"]


def test_one_file_for_both(folder: Path) -> None:
    """Predictions and references may stand in one file."""
    write(folder, "both.json", [{"image_id": 1, "caption": "x", "refs": ["x", "y"]}])
    found = evaluate(
        folder, run__predictions__path="both.json", run__references__path="both.json", run__references__captions="refs",
        protocol__dataset__images=1,
    )  # fmt: skip
    assert [(caption.text, caption.references) for caption in found.outputs] == [("x", ("x", "y"))]


def test_utf8_of_every_kind(folder: Path) -> None:
    """A byte order mark is no part of the captions, and a pair of surrogate escapes is one character."""
    raw = b'\xef\xbb\xbf[{"image_id": "a", "caption": "\\ud83d\\ude00 caf\xc3\xa9"}]'
    write(folder, "predictions.json", raw)
    write(folder, "references.json", {"a": ["x"]})
    assert evaluate(folder, protocol__dataset__images=1).outputs[0].text == "\U0001f600 café"


def test_data_folders(folder: Path) -> None:
    """Files that do not lie beside the claim are found below a data folder; without it the claim is not attempted."""
    elsewhere = folder / "claims"
    verdict = verify(elsewhere)
    assert verdict.status is Status.NOT_ATTEMPTED
    assert verdict.reason == f"The predictions file predictions.json was not found below {elsewhere}."
    assert verdict.next_step == "Name the folder that holds it with --claims-data=DIR."
    assert evaluate(elsewhere, Settings(data=(folder,))).outputs == evaluate(folder).outputs
    (elsewhere / "predictions.json").symlink_to(folder / "predictions.json")
    assert refused(elsewhere) == (f"The path 'predictions.json' is refused: a symbolic link leads out of {elsewhere}.")


P, R = "predictions.json", "references.json"
DIGITS = "9" * 5000
SHAPES = "; expected {id: caption}, a list of objects, or one under 'annotations'."

BAD: dict[str, tuple[str, object, str]] = {
    "empty": (P, "", f"{P}:1: not JSON: Expecting value."),
    "empty references": (R, "", f"{R}:1: not JSON: Expecting value."),
    "blank": (P, " \n\n", f"{P}:3: not JSON: Expecting value."),
    "not JSON": (P, '[\n{"image_id": "a",\n "caption": x}]', f"{P}:3: not JSON: Expecting value."),
    "cut off": (P, '[{"image_id": "a", "caption": "x', f"{P}:1: not JSON: Unterminated string starting at."),
    "JSON lines": (
        P,
        '{"image_id": "a"}\n{"image_id": "b"}\n',
        f"{P}:2: not JSON: Extra data. The name of a file with one object a line ends in .jsonl.",
    ),
    "a line break in a caption": (P, '[{"caption": "a\nb"}]', f"{P}:1: not JSON: Invalid control character at."),
    "NaN": (P, '[{"note": "NaN \\" Infinity"},\n{"caption": NaN}]', f"{P}:2: NaN is not JSON."),
    "infinity": (R, '{"a":\n\n["x", -Infinity]}', f"{R}:3: -Infinity is not JSON."),
    "Latin-1": (P, '[{"caption": "é"}]'.encode("latin-1"), f"{P}: not UTF-8 (byte 14)."),
    "UTF-16": (P, json.dumps(ROWS).encode("utf-16"), f"{P}: not UTF-8 (byte 0)."),
    "nesting bomb": (P, "[\n" * 100_000, f"{P}:101: nested too deeply."),
    "nesting bomb of objects": (R, '{"a":\n' * 100_000, f"{R}:101: nested too deeply."),
    "endless number": (P, f'["{DIGITS}",\n{DIGITS}]', f"{P}:2: a number of more than 4,300 digits."),
    "an object": (
        P,
        {"captions": ROWS},
        f"{P}: image 'captions': expected a caption as text, got a list, did you mean 'annotations'?",
    ),
    "two captions of an image": (
        P,
        {"a": ["x", "y"]},
        f"{P}: image 'a': expected a caption as text, got a list{SHAPES}",
    ),
    "null": (P, None, f"{P}: expected a list of objects, got null."),
    "text": (P, '"captions"', f"{P}: expected a list of objects, got 'captions'."),
    "references are text": (R, '"captions"', f"{R}: expected a list of objects, got 'captions'."),
    "annotations are null": (R, {"annotations": None}, f"{R}: expected a list of objects, got null."),
    "list of captions": (P, ["a cat"], f"{P}: item 0: expected an object, got 'a cat'."),
    "list of lists": (P, [*ROWS, ["x"]], f"{P}: item 3: expected an object, got a list."),
    "no prediction": (P, [], f"{P}: no prediction for image 'a' of {R}."),
    "no reference": (R, {}, f"{R}: holds no image."),
    "no annotation": (R, {"annotations": []}, f"{R}: holds no image."),
    "misspelt caption": (
        P,
        [{"image_id": "a", "captoin": "x"}],
        f"{P}: image 'a' has no 'caption', did you mean 'captoin'?; its keys: image_id, captoin.",
    ),
    "misspelt id": (
        P,
        [*ROWS, {"image": "a", "caption": "x"}],
        f"{P}: item 3 has no 'image_id', did you mean 'image'?; its keys: image, caption.",
    ),
    "misspelt references": (
        R,
        [{"image_id": "a", "captions": ["x"]}],
        f"{R}: image 'a' has no 'caption', did you mean 'captions'?; its keys: image_id, captions.",
    ),
    "misspelt annotations": (
        R,
        {"anotations": ALL_REFERENCES},
        f"{R}: image 'anotations': expected a caption as text, got an object, did you mean 'annotations'?",
    ),
    "unprintable keys": (
        P,
        [{"\ud800": 1, "k" * 100: 2}],
        f"{P}: item 0 has no 'image_id'; its keys: \\ud800, {'k' * 59}….",
    ),
    "two predictions": (P, [*ROWS, ROWS[1]], f"{P}: two predictions for image 'b'."),
    "one id twice": (
        P,
        [{"image_id": 7, "caption": "x"}, {"image_id": "7", "caption": "y"}],
        f"{P}: two predictions for image '7'.",
    ),
    "two lists of references": (
        R,
        [{"image_id": "a", "caption": ["x"]}, {"image_id": "a", "caption": ["y"]}],
        f"{R}: two lists of references for image 'a'.",
    ),
    "a list after a caption": (
        R,
        [{"image_id": "a", "caption": "x"}, {"image_id": "a", "caption": ["y"]}],
        f"{R}: two lists of references for image 'a'.",
    ),
    "missing prediction": (P, ROWS[:2], f"{P}: no prediction for image 'c' of {R}."),
    "unknown image": (
        P,
        [*ROWS, {"image_id": "aa", "caption": "x"}],
        f"{P}: a prediction for image 'aa', which {R} does not know, did you mean 'a'?",
    ),
    "unknown image, nothing near": (
        P,
        [*ROWS, {"image_id": "zzz", "caption": "x"}],
        f"{P}: a prediction for image 'zzz', which {R} does not know.",
    ),
    "null as caption": (
        P,
        [{"image_id": "a", "caption": None}],
        f"{P}: image 'a': expected a caption as text, got null.",
    ),
    "number as caption": (P, [{"image_id": "a", "caption": 3}], f"{P}: image 'a': expected a caption as text, got 3."),
    "list as caption": (
        P,
        [{"image_id": "a", "caption": ["x"]}],
        f"{P}: image 'a': expected a caption as text, got a list.",
    ),
    "null among references": (R, {"a": ["x", None]}, f"{R}: image 'a': expected a caption as text, got null."),
    "number as references": (R, {"a": 3}, f"{R}: image 'a': expected captions as a list of text, got 3."),
    "no references of an image": (R, {"a": [], "b": ["x"]}, f"{R}: no reference for image 'a'."),
    "null as id": (
        P,
        [{"image_id": None, "caption": "x"}],
        f"{P}: item 0: expected text or a whole number as 'image_id', got null.",
    ),
    "true as id": (
        P,
        [{"image_id": True, "caption": "x"}],
        f"{P}: item 0: expected text or a whole number as 'image_id', got True.",
    ),
    "fraction as id": (
        P,
        [{"image_id": 42.0, "caption": "x"}],
        f"{P}: item 0: expected text or a whole number as 'image_id', got 42.0.",
    ),
    "huge number as id": (
        P,
        '[{"image_id": 1e999, "caption": "x"}]',
        f"{P}: item 0: expected text or a whole number as 'image_id', got inf.",
    ),
    "empty id": (
        P,
        [{"image_id": "", "caption": "x"}],
        f"{P}: item 0: expected text or a whole number as 'image_id', got ''.",
    ),
    "empty id in a mapping": (R, {"": ["x"]}, f"{R}: the key '': an id of 0 characters, expected 1 to 1,000."),
    "long id": (
        P,
        [{"image_id": "x" * 1001, "caption": "x"}],
        f"{P}: item 0: an id of 1,001 characters, expected 1 to 1,000.",
    ),
    "lone surrogate": (
        P,
        [{"image_id": "a", "caption": "half \ud800 a character"}],
        f"{P}: image 'a': a caption holds a lone surrogate, which is not a character: 'half \\\\ud800 a character'.",
    ),
    "lone surrogate in a reference": (
        R,
        {"a": ["x", "\udfff"]},
        f"{R}: image 'a': a caption holds a lone surrogate, which is not a character: '\\\\udfff'.",
    ),
    "lone surrogate as bytes": (P, b'[{"image_id": "a", "caption": "\xed\xa0\x80"}]', f"{P}: not UTF-8 (byte 31)."),
    "lone surrogate in an id": (
        P,
        [{"image_id": "\ud800", "caption": "x"}],
        f"{P}: item 0: the id '\\ud800' holds a lone surrogate, which is not a character.",
    ),
    "duplicate caption": (
        P,
        '[{"image_id": 42, "caption": "x", "caption": "y"}]',
        f"{P}: the key 'caption' stands twice in one object whose 'image_id' is 42.",
    ),
    "duplicate id": (
        P,
        '[{"image_id": 42, "caption": "x", "image_id": 43}]',
        f"{P}: the key 'image_id' stands twice in one object.",
    ),
    "duplicate image in a mapping": (R, '{"a": ["x"], "b": ["y"], "a": []}', f"{R}: the key 'a' stands twice in one object."),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "text"), BAD.values(), ids=BAD.keys())
def test_bad_files(folder: Path, name: str, content: object, text: str) -> None:
    """A file that is not what the claim says is an error that names the file and the image, the line or the position."""
    write(folder, name, content)
    assert refused(folder) == text


@pytest.mark.parametrize(("images", "count"), [(2, "2"), (5000, "5,000")])
def test_the_number_of_images(folder: Path, images: int, count: str) -> None:
    """The images must be as many as the protocol says: half of a split is not the split."""
    assert refused(folder, protocol__dataset__images=images) == (
        f"references.json holds 3 images, the protocol says {count}."
    )


def test_sizes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file or a caption beyond any real size is refused, the file before it is read."""
    with (folder / "predictions.json").open("wb") as file:
        file.truncate(rows.MAX_BYTES + 1)
    assert refused(folder) == "predictions.json: 500,000,001 bytes; more than 500,000,000 are refused."
    monkeypatch.setattr(rows, "MAX_TEXT", 10)
    caption_files(folder)
    assert refused(folder) == "predictions.json: image 'a': a caption of 14 characters."


def test_a_folder_in_place_of_a_file(folder: Path) -> None:
    """A path that names a folder is an error that says so."""
    assert refused(folder, run__references__path=".") == ".: expected a file, this is a folder or a device."


def test_a_duplicate_key_at_the_end_of_a_large_file(folder: Path) -> None:
    """One duplicate among a hundred thousand keys is found at once, not after comparing each with each."""
    keys = [f'"{number}": ["x"]' for number in range(100_000)]
    write(folder, "references.json", "{" + ", ".join([*keys, keys[-1]]) + "}")
    assert refused(folder) == "references.json: the key '99999' stands twice in one object."


def test_no_heavy_imports(folder: Path) -> None:
    """Scoring released captions, from the claim file to the verdict, imports neither torch nor transformers nor datasets."""
    path = claim_file(folder)
    program = """\
import sys
from pathlib import Path
from pytest_claims.bench import Bench
from pytest_claims.run import Session
from pytest_claims.settings import Settings
from pytest_claims.spec import load

verdict = Session(Settings(), Bench(), {}).verify(load(Path(sys.argv[1]))[0])
print(verdict.status, *sorted({"torch", "transformers", "datasets"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("fail", "")
