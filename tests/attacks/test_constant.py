"""Be green with a model that sees nothing: it gives one answer to every question."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_claims import Status, verify
from pytest_claims.evaluators import Basis, DataPath, Evaluator, Evidence, HookedPlan, Observed, Output, Run
from tests.builders import claim, predictions, write

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_claims.verdict import Verdict


class ConstantRun(Run):
    """Questions with their answers."""

    noun, observes = "answer", ("dataset", "split")
    rows: DataPath


def constant(plan: HookedPlan) -> Evidence:
    """The answer "yes" to every question."""
    right = json.loads(plan.path(plan.run.rows).read_text(encoding="utf-8"))
    return Evidence(
        basis=Basis.REPRODUCED,
        noun="answer",
        images=len(right),
        outputs=tuple(Output(id=f"{n:03}", text="yes", references=(text,)) for n, text in enumerate(right)),
        observed=Observed(dataset={"id": "rows", "images": len(right)}, split={"split": "test"}),
    )


def verdict(folder: Path, *, yes: int, no: int) -> Verdict:
    """The verdict on a claim that "yes" is right as often as it is in these rows."""
    (folder / "rows.json").write_text(json.dumps(["yes"] * yes + ["no"] * no), encoding="utf-8")
    document = predictions(
        claim(metric="accuracy", value=f"{100 * yes / (yes + no):.1f}"),
        run={"evaluator": "constant", "rows": "rows.json"},
        protocol={"dataset": {"id": "rows", "split": "test", "images": yes + no}, "metric": "exact-match"},
    )
    evaluator = Evaluator(name="constant", run=ConstantRun, evaluate=constant)
    (found,) = verify(write(folder / "claims.yaml", document), evaluators=[evaluator])
    return found


@pytest.mark.parametrize(("yes", "no"), [(50, 50), (80, 20), (89, 11)])
def test_reproduce_a_number_without_looking(tmp_path: Path, yes: int, no: int) -> None:
    """One answer to all questions is refused where the answers of people differ, although the number is the reported one."""
    found = verdict(tmp_path, yes=yes, no=no)
    assert (found.status, found.measured) == (Status.ERROR, None)
    assert f"One answer stands for {no} of {no} rows whose references say something else" in found.reason


@pytest.mark.parametrize(("yes", "no", "share"), [(95, 5, "95.0%"), (190, 10, "95.0%"), (12, 6, "66.7%")])
def test_pass_on_a_set_that_is_as_biased(tmp_path: Path, yes: int, no: int, share: str) -> None:
    """Where the set is as biased, or so small that no rule can tell, a note says what a constant answer gets."""
    found = verdict(tmp_path, yes=yes, no=no)
    assert found.status is Status.PASS
    assert found.evidence is not None
    (note,) = [note for note in found.evidence.notes if note.startswith("One answer stands for")]
    assert f"To give it always is right in {yes} of them ({share})" in note
