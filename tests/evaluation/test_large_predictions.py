"""Released outputs that are more than memory should hold: the same evidence, scores and errors, from a temporary file."""

from __future__ import annotations

import hashlib
import json
import random
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import protocol, soundness, spool
from pytest_claims.bench import Bench
from pytest_claims.errors import EvaluationError
from pytest_claims.evaluation import predictions, rows
from pytest_claims.metrics import BUILTIN
from pytest_claims.run import Session
from pytest_claims.settings import Settings
from pytest_claims.spec import load
from tests.builders import changed, claim, claim_file, write
from tests.builders import predictions as made

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_claims.evidence import Evidence
    from pytest_claims.metrics import Score

WORDS = ["a", "man", "dog", "cat", "on", "the", "red", "table", "runs", "it's", "5", "1/2", "St.", "isn't", "<b>", "é"]


def lines(folder: Path, count: int, **more: Any) -> dict[str, Any]:
    """Write predictions and references as lines, in two different orders; what the claim's run section says of them."""
    generator = random.Random(count)  # noqa: S311 - seeded on purpose
    ids = list(range(count))
    for name in ("p.jsonl", "r.jsonl"):
        generator.shuffle(ids)
        with (folder / name).open("w") as file:
            for number in ids:
                texts = [" ".join(generator.choices(WORDS, k=generator.randint(1, 12))) for _ in range(1 + number % 3)]
                row = {"image_id": number, "caption": texts[0] if name == "p.jsonl" else texts}
                file.write(json.dumps(row | more) + "\n")
    return {
        "run__predictions": {"path": "p.jsonl", **({"extras": [*more]} if more else {})},
        "run__references": {"path": "r.jsonl"},
        "protocol__dataset__images": count,
    }


def evaluate(folder: Path, **changes: Any) -> Evidence:
    """The evidence of the claim of `claim_file` with these changes."""
    plan = protocol.plan(load(claim_file(folder, **changes))[0], Settings())
    assert isinstance(plan, protocol.PredictionsPlan)
    return predictions.evaluate(plan)


def scores(evidence: Evidence) -> dict[str, Score]:
    """What the metrics without Java give, from one corpus."""
    corpus = Session(Settings(), Bench(), {})._corpus(evidence, "x", tokens=True)
    names = ("bleu4", "bleu1", "rouge_l", "cider", "accuracy", "exact_match")
    return {name: BUILTIN[name].score(corpus, resamples=20) for name in names}


def few_in_memory(monkeypatch: pytest.MonkeyPatch, keep: int = 10, block: int = 4) -> None:
    """Let a spool go to its file after a few rows."""
    monkeypatch.setattr(spool, "KEEP", keep)
    monkeypatch.setattr(spool, "BLOCK", block)


@pytest.mark.parametrize("more", [{}, {"note": "why"}], ids=["plain", "extras"])
def test_the_same_evidence_and_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, str]) -> None:
    """Outputs, digests, notes, values, intervals and the scores of each row do not depend on where the rows are."""
    changes = lines(tmp_path, 60, **more)
    expected = evaluate(tmp_path, **changes)
    few_in_memory(monkeypatch)
    found = evaluate(tmp_path, **changes)
    assert not isinstance(found.outputs, tuple)
    assert found.outputs == expected.outputs
    assert (found.digest, found.observed, found.gives) == (expected.digest, expected.observed, expected.gives)
    assert found.provenance == expected.provenance
    assert soundness.check(found) == soundness.check(expected)
    known = scores(expected)
    for name, score in scores(found).items():
        assert list(score.per_image) == list(known[name].per_image)
        assert (score.value, score.signature, score.counts) == (
            known[name].value,
            known[name].signature,
            known[name].counts,
        )
        assert score.interval == known[name].interval


def test_rankings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rankings are ranked as they are in memory."""
    (tmp_path / "p.json").write_text(json.dumps({str(n): [str(n % 7), str(n % 5 + 7)] for n in range(40)}))
    (tmp_path / "r.json").write_text(json.dumps({str(n): [str(n % 3)] for n in range(40)}))
    files = {"predictions": {"path": "p.json", "output": "ranking"}, "references": {"path": "r.json"}}
    document = made(claim(metric="recall_at_1", citation__column="R@1"), images=40, protocol__metric="retrieval")
    file = write(tmp_path / "claims.yaml", changed(document, run={"evaluator": "predictions", **files}))

    def ranked() -> tuple[Evidence, Score]:
        plan = protocol.plan(load(file)[0], Settings())
        assert isinstance(plan, protocol.PredictionsPlan)
        evidence = predictions.evaluate(plan)
        return evidence, Session(Settings(), Bench(), {}).score(plan, evidence)

    expected, known = ranked()
    few_in_memory(monkeypatch)
    found, score = ranked()
    assert (found.outputs, found.digest, found.gives) == (expected.outputs, expected.digest, ("ranked",))
    assert (score.interval, list(score.per_image)) == (known.interval, list(known.per_image))


def one(n: object, caption: object = "a dog") -> dict[str, Any]:
    """A row."""
    return {"image_id": n, "caption": caption}


IDS = range(30)
WRONG = {
    "twice": ([*map(one, IDS), one(29), one(3)], [one(n, ["x"]) for n in IDS], "two predictions for image '29'."),
    "unknown": (
        [*map(one, IDS), one("x42"), one("ab")],
        [one(n, ["x"]) for n in IDS],
        "a prediction for image 'x42', which r.jsonl does not know.",
    ),
    "missing": (
        [*map(one, range(28))],
        [one(n, ["x"]) for n in reversed(IDS)],
        "no prediction for image '29' of r.jsonl.",
    ),
    "two lists": ([*map(one, IDS)], [one(n, ["x"]) for n in (*IDS, 7, 2)], "two lists of references for image '7'."),
    "no reference": ([*map(one, IDS)], [one(n, ["x"] if n % 9 else []) for n in IDS], "no reference for image '0'."),
    "none": ([*map(one, IDS)], [], "holds no image."),
}


@pytest.mark.parametrize(("ours", "theirs", "text"), WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("keep", [0, 9, 1_000])
def test_rows_that_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ours: list[Any], theirs: list[Any], text: str, keep: int
) -> None:
    """Of several problems, the first in the file is told, however far apart the rows of an id are."""
    few_in_memory(monkeypatch, keep)
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, ours)))
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, theirs)))
    with pytest.raises(EvaluationError) as caught:
        evaluate(tmp_path, run__predictions={"path": "p.jsonl"}, run__references={"path": "r.jsonl"})
    assert str(caught.value).partition(": ")[2] == text


def test_one_row_a_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """References of an image that stand far apart are put together in the order of the file."""
    few_in_memory(monkeypatch, 3, 2)
    (tmp_path / "p.jsonl").write_text("\n".join(json.dumps(one(n)) for n in range(9)))
    (tmp_path / "r.jsonl").write_text("\n".join(json.dumps(one(n, f"{n} {k}")) for k in (2, 0, 1) for n in range(9)))
    found = evaluate(
        tmp_path,
        run__predictions={"path": "p.jsonl"},
        run__references={"path": "r.jsonl"},
        protocol__dataset__images=9,
    )
    assert [output.references for output in found.outputs] == [(f"{n} 2", f"{n} 0", f"{n} 1") for n in range(9)]


FILE = rows.File(path="p.jsonl", id="image_id", key="caption", noun="caption")


@pytest.mark.parametrize("piece", [1, 2, 3, 1_000])
def test_lines_are_cut_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    """Line feeds, carriage returns, both and none end a line, wherever a piece of the file ends."""
    monkeypatch.setattr(rows, "PIECE", piece)
    data = b'\n{"a": 1}\r\n\r[2]\r3\n\n\r\n"\xc3\xa9"'
    (tmp_path / "p.jsonl").write_bytes(data)
    found = rows.Lines(tmp_path / "p.jsonl", FILE)
    assert list(found) == [json.loads(line) for line in data.splitlines() if line]
    assert found.digest == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"image_id": 3, "caption": "a do', "p.jsonl:4: not JSON: Unterminated string starting at (column 28)."),
        (b'{"image_id": 3, "caption": "caf\xe9"}', "p.jsonl:4: not UTF-8 (byte 31)."),
        (b'{"image_id": 3, "caption": "' + b"x" * 500 + b'"}', "p.jsonl:4: a line of more than 300 bytes is refused."),
    ],
    ids=["torn", "not UTF-8", "long"],
)
def test_a_bad_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: bytes, problem: str) -> None:
    """A line that was cut, is not UTF-8 or is longer than any line is an error with its number."""
    monkeypatch.setattr(rows, "MAX_LINE", 300)
    monkeypatch.setattr(rows, "PIECE", 100)
    (tmp_path / "p.jsonl").write_bytes(b"".join(json.dumps(one(n)).encode() + b"\n" for n in range(3)) + line)
    with pytest.raises(EvaluationError) as caught:
        list(rows.Lines(tmp_path / "p.jsonl", FILE))
    assert str(caught.value) == problem


def test_a_file_of_lines_has_a_limit_too(tmp_path: Path) -> None:
    """It is refused before it is read."""
    with (tmp_path / "p.jsonl").open("wb") as file:
        file.truncate(rows.MAX_LINES_BYTES + 1)
    with pytest.raises(EvaluationError, match=r"20,000,000,001 bytes; more than 20,000,000,000 are refused"):
        list(rows.Lines(tmp_path / "p.jsonl", FILE))


def test_a_file_that_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is read twice must be the same. If one grows meanwhile, its digest is that of the bytes that were read."""
    path = tmp_path / "p.jsonl"
    path.write_text("1\n2\n3\n")
    lines = rows.Lines(path, FILE)
    assert list(lines) == [1, 2, 3]
    path.write_text("1\n2\n4\n")
    with pytest.raises(EvaluationError, match=r"p\.jsonl: the file changed while it was read"):
        list(lines)
    monkeypatch.setattr(rows, "PIECE", 4)
    lines = rows.Lines(path, FILE)
    reader = iter(lines)
    assert next(reader) == 1
    path.write_text("1\n2\n4\n5\n6\n")
    read = "".join(f"{n}\n" for n in (1, *reader))
    assert lines.digest == hashlib.sha256(read.encode()).hexdigest()


def test_memory_grows_by_few_bytes_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the files to the score of BLEU, a further row takes less than 300 bytes; held as objects it takes 2,000."""
    few_in_memory(monkeypatch, 100, 5)

    def peak(count: int, *, traced: bool = True) -> int:
        folder = tmp_path / str(count)
        folder.mkdir(exist_ok=True)
        changes = lines(folder, count)
        if traced:
            tracemalloc.start()
        evidence = evaluate(folder, **changes)
        corpus = Session(Settings(), Bench(), {})._corpus(evidence, "x", tokens=True)
        BUILTIN["bleu4"].score(corpus, resamples=2)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(500, traced=False)
    few, many = peak(500), peak(1_500)
    assert (many - few) / 1_000 < 300
