"""The evaluator `predictions`: pairs released outputs with their references, without a model and without torch.

The axes of generation are not observed, since a file of outputs does not show the prompt, the decoding or the weights.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pytest_claims import digests, files, machine, text
from pytest_claims.errors import EvaluationError, nearest
from pytest_claims.evaluation import rows
from pytest_claims.evidence import Basis, Evidence, Output, per_image
from pytest_claims.protocol import Observed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_claims.bench import Bench
    from pytest_claims.protocol import PredictionsPlan
    from pytest_claims.spec import PredictionsRun


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prediction:
    text: str
    ranked: tuple[str, ...]
    extras: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _References:
    texts: tuple[str, ...]
    extras: Mapping[str, str]


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
    predictions, references = _pair(run, predictions_path, references_path)
    if len(references) != stated.images:
        raise EvaluationError(
            f"{run.references.path} holds {len(references):,} {text.row(run.noun)}s, the protocol says {stated.images:,}."
        )
    texts = {name: references[name].texts for name in sorted(references)}
    return Evidence(
        basis=Basis.RESCORED,
        noun=run.noun,
        outputs=tuple(
            Output(
                id=name,
                text=predictions[name].text,
                references=own,
                ranked=predictions[name].ranked,
                extras={**references[name].extras, **predictions[name].extras},
            )
            for name, own in texts.items()
        ),
        observed=Observed(
            dataset={
                "id": stated.id,
                "revision": stated.revision,
                "where": stated.where,
                "images": len(references),
                "references": per_image(texts.values()),
                "fingerprint": digests.of_json([[name, own] for name, own in texts.items()])[: digests.SHORT],
            },
            scored=len(predictions),
        ),
        provenance={
            **machine.facts(),
            "predictions": run.predictions.path,
            "predictions_digest": digests.of_files([predictions_path])[: digests.SHORT],
            "references": run.references.path,
            "references_digest": digests.of_files([references_path])[: digests.SHORT],
        },
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _pair(
    run: PredictionsRun, predictions_path: Path, references_path: Path
) -> tuple[dict[str, _Prediction], dict[str, _References]]:
    """The predictions and the references by id. Both have the same ids."""
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
    keyed = rows.by_id(content) and not _of_objects(content, ours)
    if same and (keyed or ours.key == theirs.key):
        what = f"each {run.noun}" if keyed else repr(ours.key)
        raise EvaluationError(
            f"{ours.path}: {what} is named as the prediction and as the references: it would be scored against itself."
        )
    predictions = _predictions(content, ours)
    references = _references(content if same else rows.read(references_path, theirs), theirs)
    for name in predictions:
        if name not in references:
            raise EvaluationError(
                f"{ours.path}: a prediction for {ours.row} {name!r}, which {theirs.path} does not know"
                f"{nearest(name, references) or '.'}"
            )
    for name in references:
        if name not in predictions:
            raise EvaluationError(f"{ours.path}: no prediction for {ours.row} {name!r} of {theirs.path}.")
    return predictions, references


def _of_objects(content: Any, file: rows.File) -> bool:
    return file.noun != "caption" and all(isinstance(held, dict) for held in content.values())


def _predictions(content: Any, file: rows.File) -> dict[str, _Prediction]:
    result: dict[str, _Prediction] = {}
    first: rows.Row | None = None
    for row in rows.rows(content, file):
        if row.id in result:
            raise EvaluationError(f"{file.path}: two predictions for {file.row} {row.id!r}.")
        first = first or row
        if isinstance(row.value, list) != isinstance(first.value, list) and file.noun != "caption":
            one, other = ("a list", "none") if isinstance(row.value, list) else ("one value", "a list")
            raise EvaluationError(
                f"{file.path}: {file.row} {row.id!r} has {one} as its prediction, {file.row} {first.id!r} has {other}; "
                "expected the same of every row."
            )
        result[row.id] = _prediction(row, file)
    return result


def _prediction(row: rows.Row, file: rows.File) -> _Prediction:
    """A text; or, except for captions, a list, the best first."""
    value = row.value
    if file.noun == "caption":
        # pycocoevalcap takes {id: [caption]}, and people write their results as they give them to it.
        one = value[0] if row.keyed and isinstance(value, list) and len(value) == 1 else value
        return _Prediction(text=file.text(one, row.id, row.hint), ranked=(), extras=row.extras)
    if file.noun == "ranking" and not isinstance(value, list):
        raise EvaluationError(
            f"{file.path}: {file.row} {row.id!r}: expected a list, the best first, got {rows.kind(value)}{row.hint or '.'}"
        )
    if not isinstance(value, list):
        return _Prediction(text=file.text(value, row.id, row.hint), ranked=(), extras=row.extras)
    ranked = tuple(file.texts(value, row.id, row.hint))
    if not ranked:
        raise EvaluationError(f"{file.path}: {file.row} {row.id!r}: expected a list, the best first, got an empty one.")
    if len(set(ranked)) < len(ranked):
        twice, _ = Counter(ranked).most_common(1)[0]
        raise EvaluationError(f"{file.path}: {file.row} {row.id!r}: {rows.short(twice)!r} is ranked twice.")
    return _Prediction(text="" if file.noun == "ranking" else ranked[0], ranked=ranked, extras=row.extras)


def _references(content: Any, file: rows.File) -> dict[str, _References]:
    result: dict[str, list[str]] = {}
    extras: dict[str, Mapping[str, str]] = {}
    for row in rows.rows(content, file):
        extras.setdefault(row.id, row.extras)
        if row.keyed:
            result[row.id] = file.texts(row.value, row.id, hint=nearest(row.id, [rows.COCO]))
        elif isinstance(row.value, str) or (file.numbers and isinstance(row.value, int)):
            # One row per reference, as in COCO: collect the texts of all rows of an image.
            result.setdefault(row.id, []).append(file.text(row.value, row.id))
        elif row.id in result:
            raise EvaluationError(f"{file.path}: two lists of references for {file.row} {row.id!r}.")
        else:
            result[row.id] = file.texts(row.value, row.id)
    for name, texts in result.items():
        if not texts:
            raise EvaluationError(f"{file.path}: no reference for {file.row} {name!r}.")
    if not result:
        raise EvaluationError(f"{file.path}: holds no {file.row}.")
    return {name: _References(texts=tuple(texts), extras=extras[name]) for name, texts in result.items()}
