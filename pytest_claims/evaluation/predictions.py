"""The evaluator `predictions`: pairs released outputs with their references, without a model and without torch.

The axes of generation are not observed, since a file of outputs does not show the prompt, the decoding or the weights.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pytest_claims import digests, files, machine, text
from pytest_claims.errors import EvaluationError
from pytest_claims.evaluation import rows
from pytest_claims.evaluation.joining import Predictions, References, join
from pytest_claims.evidence import Basis, Evidence, column, outputs_of, per_image
from pytest_claims.protocol import Observed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_claims.bench import Bench
    from pytest_claims.evidence import OutputRow
    from pytest_claims.protocol import PredictionsPlan
    from pytest_claims.spec import PredictionsRun


def evaluate(plan: PredictionsPlan, _bench: Bench | None = None) -> Evidence:
    """The evidence of a plan: the released outputs with their references.

    Raises:
        NotAttempted: a file is missing.
        EvaluationError: a file is not as the claim says: an id is missing, unknown or given twice, an output is not text, or
            the number of images is not the protocol's.
    """
    run, stated = plan.run, plan.protocol.dataset
    predictions_path = files.need(run.predictions.path, plan.folders, "The predictions file")
    references_path = files.need(run.references.path, plan.folders, "The references file")
    found, known = _joined(run, predictions_path, references_path)
    if len(found) != stated.images:
        raise EvaluationError(
            f"{run.references.path} holds {len(found):,} {text.row(run.noun)}s, the protocol says {stated.images:,}."
        )
    outputs = outputs_of(found)
    return Evidence(
        basis=Basis.RESCORED,
        noun=run.noun,
        outputs=outputs,
        observed=Observed(
            dataset={
                "id": stated.id,
                "revision": stated.revision,
                "where": stated.where,
                "images": len(found),
                "references": per_image(column(outputs, "references")),
                "fingerprint": digests.of_json_list((name, own) for name, _, own, *_ in found)[: digests.SHORT],
            },
            scored=len(found),
        ),
        provenance={
            **machine.facts(),
            "predictions": run.predictions.path,
            "predictions_digest": digests.of_named([(predictions_path, known[0])])[: digests.SHORT],
            "references": run.references.path,
            "references_digest": digests.of_named([(references_path, known[1])])[: digests.SHORT],
        },
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _joined(
    run: PredictionsRun, predictions_path: Path, references_path: Path
) -> tuple[Sequence[OutputRow], tuple[str, str]]:
    """The predictions with their references, and the digests of the two files. Both have the same ids."""
    ours = rows.File(
        path=run.predictions.path,
        id=run.predictions.id,
        key=run.predictions.key,
        noun=run.noun,
        extras=run.predictions.extras or (),
    )
    theirs = rows.File(
        path=run.references.path,
        id=run.references.id,
        key=run.references.key(run.noun),
        noun=run.noun,
        extras=run.references.extras or (),
    )
    content = rows.read(predictions_path, ours)
    same = os.path.realpath(predictions_path) == os.path.realpath(references_path)
    keyed = rows.by_id(content.values) and not _of_objects(content.values, ours)
    if same and (keyed or ours.key == theirs.key):
        what = f"each {run.noun}" if keyed else repr(ours.key)
        raise EvaluationError(
            f"{ours.path}: {what} is named as the prediction and as the references: it would be scored against itself."
        )
    predictions = Predictions(content.values, ours)
    other = content if same else rows.read(references_path, theirs)
    found = join(predictions, References(other.values, theirs))
    return found, (content.digest, other.digest)


def _of_objects(content: Any, file: rows.File) -> bool:
    return file.noun != "caption" and all(isinstance(held, dict) for held in content.values())
