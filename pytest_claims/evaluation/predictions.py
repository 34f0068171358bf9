"""The evaluator `predictions`: pairs released captions with their references, without a model and without torch.

The axes of generation are not observed, since a file of captions does not show the prompt, the decoding or the weights.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pytest_claims import digests, files, machine, strict_json
from pytest_claims.errors import EvaluationError, nearest
from pytest_claims.evidence import Basis, Caption, Evidence, per_image
from pytest_claims.protocol import Observed
from pytest_claims.strict_json import Source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_claims.bench import Bench
    from pytest_claims.protocol import PredictionsPlan
    from pytest_claims.spec.models import PredictionsFile, PredictionsRun, ReferencesFile

MAX_BYTES = 500_000_000
"""The most bytes of a file. COCO's largest annotation file of captions has 90 MB."""

MAX_CAPTION = 2_000_000
"""The most characters of a caption. A caption usually has about sixty, so a longer text is a mistake."""

MAX_ID = 1_000
"""The most characters of an id. Ids are numbers or file names, and are shown in messages and reports."""

COCO = "annotations"
"""The key of the captions in COCO's annotation files."""

LINES = (".jsonl", ".ndjson")
"""The suffixes of files with one JSON object a line."""

_SURROGATE = re.compile("[\ud800-\udfff]")
"""A lone surrogate. JSON can contain one as an escape (`"\\ud800"`), but it cannot be encoded in UTF-8."""


def evaluate(plan: PredictionsPlan, _bench: Bench | None = None) -> Evidence:
    """The evidence of a plan: the released captions with their references.

    Raises:
        NotAttempted: a file is missing.
        EvaluationError: a file is not as the claim says: an id is missing, unknown or given twice, a caption is not text, or
            the number of images is not the protocol's.
    """
    run, stated = plan.run, plan.protocol.dataset
    predictions_path = files.need(run.predictions.path, plan.folders, "The predictions file")
    references_path = files.need(run.references.path, plan.folders, "The references file")
    predictions, references = _pair(run, predictions_path, references_path)
    if len(references) != stated.images:
        raise EvaluationError(
            f"{run.references.path} holds {len(references):,} images, the protocol says {stated.images:,}."
        )
    return Evidence(
        basis=Basis.RESCORED,
        captions=tuple(
            Caption(id=name, text=predictions[name], references=references[name]) for name in sorted(references)
        ),
        observed=Observed(
            dataset={
                "id": stated.id,
                "revision": stated.revision,
                "where": stated.where,
                "images": len(references),
                "references": per_image(references.values()),
                "fingerprint": digests.of_json([[name, references[name]] for name in sorted(references)])[
                    : digests.SHORT
                ],
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
) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """The predictions and the references by image id. Both have the same ids."""
    predictions_json = _read(predictions_path, run.predictions.path, run.predictions.id)
    same = os.path.realpath(predictions_path) == os.path.realpath(references_path)
    if same and (_by_id(predictions_json) or run.predictions.caption == run.references.captions):
        what = "each caption" if _by_id(predictions_json) else repr(run.predictions.caption)
        raise EvaluationError(
            f"{run.predictions.path}: {what} is named as the prediction and as the references: it would be scored against "
            "itself."
        )
    references_json = predictions_json if same else _read(references_path, run.references.path, run.references.id)
    predictions = _predictions(predictions_json, run.predictions)
    references = _references(references_json, run.references)
    for name in predictions:
        if name not in references:
            raise EvaluationError(
                f"{run.predictions.path}: a prediction for image {name!r}, which {run.references.path} does not know"
                f"{nearest(name, references) or '.'}"
            )
    for name in references:
        if name not in predictions:
            raise EvaluationError(f"{run.predictions.path}: no prediction for image {name!r} of {run.references.path}.")
    return predictions, references


def _read(path: Path, shown: str, key: str) -> Any:
    """The content of a JSON file, or a list of the lines of a file of JSON lines.

    Duplicate keys are refused: otherwise the last of two captions would be taken silently.

    Args:
        path: the file.
        shown: the name of the file in messages.
        key: the key of an object's id, for messages.
    """
    try:
        if not path.is_file():
            raise EvaluationError(f"{shown}: expected a file, this is a folder or a device.")
        if path.stat().st_size > MAX_BYTES:
            raise EvaluationError(f"{shown}: {path.stat().st_size:,} bytes; more than {MAX_BYTES:,} are refused.")
        data = path.read_bytes()
    except OSError as error:
        raise EvaluationError(f"{shown}: cannot be read: {error.strerror}.") from None

    def about(values: dict[str, Any], double: str) -> str:
        return f" whose {key!r} is {_kind(values[key])}" if key in values and key != double else ""

    if path.suffix.lower() in LINES:
        lines = enumerate(data.splitlines(), 1)
        return [strict_json.parse(line, Source(shown, number), about=about) for number, line in lines if line.strip()]
    try:
        return strict_json.parse(data, Source(shown), about=about)
    except EvaluationError as error:
        if "Extra data" in str(error):
            raise EvaluationError(f"{error} The name of a file with one object a line ends in {LINES[0]}.") from None
        raise


def _by_id(value: Any) -> bool:
    """Whether a file is a mapping of ids, and not a list of objects, which COCO has under a key of its own."""
    return isinstance(value, Mapping) and COCO not in value


def _predictions(value: Any, file: PredictionsFile) -> dict[str, str]:
    result: dict[str, str] = {}
    if _by_id(value):
        for name, caption in value.items():
            # pycocoevalcap takes {id: [caption]}, and people write their results as they give them to it.
            one = caption[0] if isinstance(caption, list) and len(caption) == 1 else caption
            hint = nearest(name, [COCO]) or "; expected {id: caption}, a list of objects, or one under 'annotations'."
            result[_name(name, f"the key {_short(name)!r}", file.path)] = _text(one, name, file.path, hint)
        return result
    for position, row in enumerate(_rows(value[COCO] if isinstance(value, Mapping) else value, file.path)):
        name = _id(row, file.id, position, file.path)
        if name in result:
            raise EvaluationError(f"{file.path}: two predictions for image {name!r}.")
        result[name] = _text(_field(row, file.caption, f"image {name!r}", file.path), name, file.path)
    return result


def _references(value: Any, file: ReferencesFile) -> dict[str, tuple[str, ...]]:
    result: dict[str, list[str]] = {}
    if _by_id(value):
        for name, captions in value.items():
            where = f"the key {_short(name)!r}"
            result[_name(name, where, file.path)] = _texts(captions, name, file.path, hint=nearest(name, [COCO]))
    else:
        for position, row in enumerate(_rows(value[COCO] if isinstance(value, Mapping) else value, file.path)):
            name = _id(row, file.id, position, file.path)
            captions = _field(row, file.captions, f"image {name!r}", file.path)
            if isinstance(captions, str):
                # One row per caption, as in COCO: collect the captions of all rows of an image.
                result.setdefault(name, []).append(_text(captions, name, file.path))
            elif name in result:
                raise EvaluationError(f"{file.path}: two lists of references for image {name!r}.")
            else:
                result[name] = _texts(captions, name, file.path)
    for name, captions in result.items():
        if not captions:
            raise EvaluationError(f"{file.path}: no reference for image {name!r}.")
    if not result:
        raise EvaluationError(f"{file.path}: holds no image.")
    return {name: tuple(captions) for name, captions in result.items()}


def _rows(value: Any, shown: str) -> Iterator[Mapping[str, Any]]:
    if not isinstance(value, list):
        raise EvaluationError(f"{shown}: expected a list of objects, got {_kind(value)}.")
    for position, row in enumerate(value):
        if not isinstance(row, Mapping):
            raise EvaluationError(f"{shown}: item {position}: expected an object, got {_kind(row)}.")
        yield row


def _field(row: Mapping[str, Any], key: str, where: str, shown: str) -> Any:
    if key not in row:
        raise EvaluationError(
            f"{shown}: {where} has no {key!r}{nearest(key, row)}; its keys: {', '.join(_short(key) for key in list(row)[:12])}."
        )
    return row[key]


def _id(row: Mapping[str, Any], key: str, position: int, shown: str) -> str:
    """The id of a row as text, so that 42 and "42" are the same image."""
    value = _field(row, key, f"item {position}", shown)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise EvaluationError(
            f"{shown}: item {position}: expected text or a whole number as {key!r}, got {_kind(value)}."
        )
    return _name(str(value), f"item {position}", shown)


def _name(name: str, where: str, shown: str) -> str:
    """`name`, if it is valid as an id: not too long, and possible to write into a report."""
    if not 0 < len(name) <= MAX_ID:
        raise EvaluationError(f"{shown}: {where}: an id of {len(name):,} characters, expected 1 to {MAX_ID:,}.")
    if _SURROGATE.search(name):
        raise EvaluationError(f"{shown}: {where}: the id {name!r} holds a lone surrogate, which is not a character.")
    return name


def _texts(value: Any, name: str, shown: str, hint: str = "") -> list[str]:
    if isinstance(value, str):
        return [_text(value, name, shown)]
    if not isinstance(value, list):
        raise EvaluationError(
            f"{shown}: image {name!r}: expected captions as a list of text, got {_kind(value)}{hint or '.'}"
        )
    return [_text(text, name, shown, hint) for text in value]


def _text(value: Any, name: str, shown: str, hint: str = "") -> str:
    if not isinstance(value, str):
        raise EvaluationError(f"{shown}: image {name!r}: expected a caption as text, got {_kind(value)}{hint or '.'}")
    if len(value) > MAX_CAPTION:
        raise EvaluationError(f"{shown}: image {name!r}: a caption of {len(value):,} characters.")
    if _SURROGATE.search(value):
        raise EvaluationError(
            f"{shown}: image {name!r}: a caption holds a lone surrogate, which is not a character: {_short(value)!r}."
        )
    return value


def _short(text: str, limit: int = 60) -> str:
    """`text`, shortened, with lone surrogates escaped."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, list) else repr(value)[:60]
