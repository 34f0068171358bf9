"""Released answers, labels and rankings with the metrics that ship, from the claim file to the verdict."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import Status, verify
from pytest_claims.spec import METRICS
from tests.builders import claim, predictions, write

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_claims.verdict import Verdict

ROWS = 20


def verdict(folder: Path, metric: str, output: str, ours: object, theirs: object, *, value: str) -> Verdict:
    """The verdict on a claim about `ROWS` released outputs."""
    (folder / "p.json").write_text(json.dumps(ours), encoding="utf-8")
    (folder / "r.json").write_text(json.dumps(theirs), encoding="utf-8")
    files: dict[str, Any] = {
        "run__predictions": {"path": "p.json", "output": output},
        "run__references": {"path": "r.json"},
    }
    one = claim(metric=metric, value=value)
    file = predictions(one, images=ROWS, protocol__metric=METRICS[metric].families[0], **files)
    (found,) = verify(write(folder / "claims.yaml", file))
    return found


@pytest.mark.parametrize(
    ("metric", "output", "ours", "theirs", "value", "signature"),
    [
        # 20 answers: 10 that four of ten people gave, 10 that two did: 0.5 · 1 + 0.5 · 0.6
        (
            "vqa_accuracy", "answer",
            {str(n): "Two." for n in range(ROWS)},
            {str(n): ["2"] * (4 if n % 2 else 2) + ["three"] * (6 if n % 2 else 8) for n in range(ROWS)},
            "80.0", "vqa_accuracy|vqa|norm:vqaEval|refs:10|rule:leave-one-out|v0.2",
        ),
        (
            "exact_match", "answer",
            {str(n): "The left." if n % 4 else "right" for n in range(ROWS)}, {str(n): "left" for n in range(ROWS)},
            "75.0", "exact_match|exact-match|norm:vqaEval|refs:1|v0.2",
        ),
        (
            "accuracy", "label", {str(n): n % 4 for n in range(ROWS)}, {str(n): 3 for n in range(ROWS)},
            "25.0", "accuracy|exact-match|norm:none|refs:1|v0.2",
        ),
        (
            "accuracy_top5", "label", {str(n): [n % 4, 10, 11, 12, 13] for n in range(ROWS)}, {str(n): 3 for n in range(ROWS)},
            "25.0", "accuracy_top5|exact-match|first:5|norm:none|refs:1|v0.2",
        ),
        (
            "recall_at_5", "ranking",
            {str(n): [f"t{(n + k) % ROWS}" for k in range(1, 11)] for n in range(ROWS)},
            {str(n): [f"t{(n + 5 + n % 2) % ROWS}", "t99"] for n in range(ROWS)},
            "50.0", "recall_at_5|retrieval|first:5|hit:any|refs:2|v0.2",
        ),
    ],
)  # fmt: skip
def test_a_claim(
    tmp_path: Path, metric: str, output: str, ours: object, theirs: object, value: str, signature: str
) -> None:
    """A claim of each metric about released outputs passes with its number, its interval and its signature."""
    found = verdict(tmp_path, metric, output, ours, theirs, value=value)
    assert (found.status, found.measured) == (Status.PASS, Decimal(value)), found.reason
    assert found.score is not None
    assert found.score.signature == signature
    assert found.score.n == len(found.score.per_image) == ROWS
    assert found.score.interval is not None
    assert found.score.interval.low <= found.score.value <= found.score.interval.high


@pytest.mark.parametrize(
    ("metric", "output", "ours", "theirs", "text"),
    [
        (
            "vqa_accuracy",
            "answer",
            "yes",
            "yes",
            "'0': vqa_accuracy expects the 10 answers that people gave as references, got 1.",
        ),
        (
            "recall_at_10",
            "ranking",
            ["a", "b"],
            ["c"],
            "'0' ranks 2 candidates, none of them right; recall_at_10 expects",
        ),
        (
            "recall_at_1",
            "answer",
            "a",
            ["a"],
            "recall_at_1 needs a ranking for each row, and the answers of the evaluator",
        ),
    ],
)
def test_no_number(tmp_path: Path, metric: str, output: str, ours: object, theirs: object, text: str) -> None:
    """Outputs or references that a metric cannot be computed of are an error of the claim, with the first row at fault."""
    rows = {str(n): ours for n in range(ROWS)}
    found = verdict(tmp_path, metric, output, rows, {str(n): theirs for n in range(ROWS)}, value="50.0")
    assert (found.status, found.measured) == (Status.ERROR, None)
    assert text in found.reason
