"""Evidence that somebody wrote → `Evidence`, without model and data; whatever is odd about it is refused with file and line.

Nothing here is believed: a replayed verdict says so, and is withheld unless the person who runs it accepts that.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from pytest_claims.errors import EvaluationError, NotAttempted
from pytest_claims.evidence import Basis, Caption, Evidence
from pytest_claims.files import shown
from pytest_claims.protocol import Observed
from pytest_claims.store import disk
from pytest_claims.store.folder import CAPTIONS, PLAN, REFERENCES, RUN
from pytest_claims.store.recipe import NAME, SCHEMA, differences, plan_digest, references_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_claims.protocol import CaptioningPlan

MAX_FOLDERS = 10_000
"""Evidence folders that are looked at."""

MAX_CAPTION = 100_000
"""Characters. A caption has some sixty; more than this is another text by mistake."""

MAX_PROVENANCE = 100
"""Entries."""

_FOLDER = re.compile(f"[0-9a-f]{{{NAME}}}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\+00:00")
_NONE = type(None)
_SCALAR = (str, int, float, bool, _NONE)

# What `protocol.read_axes` compares, which takes values of these types and no others; what else an axis holds is only shown.
_AXES: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "checkpoint": {"id": (str,), "revision": (str, _NONE)},
    "dataset": {
        "id": (str,), "revision": (str, _NONE), "where": (dict, _NONE), "columns": (dict,), "images": (int,),
    },
    "split": {"split": (str,)},
    "image": {
        "size": (int, str), "resize": (str,), "mean": (list, _NONE), "std": (list, _NONE), "rescale_factor": (float, int),
        "normalize": (bool,), "convert_rgb": (bool,), "channel_order": (str,), "family": (dict,),
    },
    "prompt": {"prompt": (str,), "text": (str,), "ids": (list,), "stated_ids": (list, _NONE), "stated": (str, _NONE)},
    "decoding": {
        "strategy": (str,), "num_beams": (int,), "max_new_tokens": (int, _NONE), "min_new_tokens": (int, _NONE),
        "repetition_penalty": (int, float),
    },
    "precision": {"precision": (str,)},
}  # fmt: skip
_BEAM = {"length_penalty": (int, float), "early_stopping": (bool, str)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Evidence out of a folder."""

    evidence: Evidence
    plan: Mapping[str, Any]
    """The content of `plan.json`."""
    pictures: Mapping[str, str]
    """Id → the digest of the image's bytes that were captioned."""


def replay(root: Path | None, plan: CaptioningPlan) -> Replayed:
    """The evidence for a plan.

    Args:
        root: the folder of all evidence folders; None where nothing is kept.
        plan: what the claim asks for.

    Raises:
        NotAttempted: there is no evidence for the claim.
        EvaluationError: there is some, and it is for another plan, is not complete, or is not what evidence must be.
    """
    if root is None:
        raise NotAttempted(
            "There is no evidence to replay: pytest's cache is switched off.",
            "Name its folder with --claims-evidence=DIR.",
        )
    found: list[tuple[Path, dict[str, Any]]] = []
    broken: list[EvaluationError] = []
    for path in _folders(root):
        try:
            found.append((path, _plan(path)))
        except EvaluationError as error:
            broken.append(error)
    asked = plan.asked
    matching = [(path, content) for path, content in found if not differences(content["asked"], asked)]
    if matching:
        return _newest(matching)
    if broken:
        raise broken[0]
    raise _refusal(root, found, asked, plan)


def _refusal(
    root: Path, found: Sequence[tuple[Path, dict[str, Any]]], asked: Mapping[str, Any], plan: CaptioningPlan
) -> EvaluationError | NotAttempted:
    """No evidence matches: an error where some is about this checkpoint and data set, and else nothing was tried."""
    if not found:
        return NotAttempted(
            f"There is no evidence below {shown(root)}.",
            f"Make it where the model is ({plan.command}), and copy the folder here.",
        )
    path, keys = min(
        ((path, differences(content["asked"], asked)) for path, content in found), key=lambda pair: len(pair[1])
    )
    shortly = "; ".join(
        f"{key}: the evidence has {_show(theirs)}, the claim asks for {_show(ours)}"
        for key, (theirs, ours) in islice(keys.items(), 8)
    )
    more = f"; and {len(keys) - 8} more" if len(keys) > 8 else ""
    if any(_subject(content["asked"]) == _subject(asked) for _, content in found):
        return EvaluationError(f"The evidence {shown(path)} is for another plan: {shortly}{more}.")
    return NotAttempted(
        f"There is no evidence for this checkpoint and data set below {shown(root)}; the nearest, {path.name}, differs: "
        f"{shortly}{more}.",
        f"Make it where the model is ({plan.command}), and copy the folder here.",
    )


def _subject(asked: Mapping[str, Any]) -> tuple[Any, Any]:
    checkpoint, dataset = asked.get("checkpoint"), asked.get("dataset")
    return (
        checkpoint.get("id") if isinstance(checkpoint, dict) else None,
        dataset.get("id") if isinstance(dataset, dict) else None,
    )


def _show(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 100 else text[:99] + "…"


def _folders(root: Path) -> Iterator[Path]:
    try:
        with os.scandir(root) as entries:
            names = sorted(
                entry.name
                for entry in islice(entries, 2 * MAX_FOLDERS)
                if _FOLDER.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            )
    except FileNotFoundError:
        return
    except OSError as error:
        raise EvaluationError(f"The evidence folder {shown(root)} cannot be read: {disk.reason(error)}.") from None
    yield from (root / name for name in names[:MAX_FOLDERS])


def _plan(path: Path) -> dict[str, Any]:
    where = f"{shown(path / PLAN)}:1"
    content = _object(path / PLAN)
    if content.get("schema") != SCHEMA:
        raise EvaluationError(f"{where}: expected the schema {SCHEMA!r}, got {_show(content.get('schema'))}.")
    if plan_digest(content)[:NAME] != path.name:
        raise EvaluationError(f"{where}: the plan is not the one that the folder is named after.")
    _need(content, "asked", (dict,), where)
    _need(content, "observed", (dict,), where)
    _need(content, "images", (int,), where)
    _need(content, "population", (int, _NONE), where)
    _need(content, "references", (str,), where)
    return content


def _newest(matching: Sequence[tuple[Path, dict[str, Any]]]) -> Replayed:
    runs = [(path, content, _run(path)) for path, content in matching]
    path, content, run = max(runs, key=lambda found: (found[2]["created_at"] or "", found[0].name))
    others = f" The newest of {len(runs)} that match." if len(runs) > 1 else ""
    return _load(path, content, run, others)


def _run(path: Path) -> dict[str, Any]:
    where = f"{shown(path / RUN)}:1"
    run = _object(path / RUN)
    created = _need(run, "created_at", (str, _NONE), where)
    if created is not None and not _TIME.fullmatch(created):
        raise EvaluationError(
            f"{where}: created_at: expected a time such as 2026-01-31T12:00:00+00:00, got {_show(created)}."
        )
    provenance = _need(run, "provenance", (dict,), where)
    if len(provenance) > MAX_PROVENANCE:
        raise EvaluationError(f"{where}: provenance: more than {MAX_PROVENANCE} entries are refused.")
    for key in provenance:
        value = _need(provenance, key, (str, int, float, _NONE), f"{where}: provenance")
        if isinstance(value, str) and len(value) > MAX_CAPTION:
            raise EvaluationError(f"{where}: provenance: {key}: more than {MAX_CAPTION:,} characters are refused.")
    return run


def _load(path: Path, content: Mapping[str, Any], run: Mapping[str, Any], others: str) -> Replayed:
    observed = _observed(content, f"{shown(path / PLAN)}:1")
    references = _references(path, content)
    captions: dict[str, Caption] = {}
    pictures: dict[str, str] = {}
    for values, where in _lines(path / CAPTIONS):
        name = _need(values, "id", (str,), where)
        text = _need(values, "caption", (str,), where)
        if name in captions:
            raise EvaluationError(f"{where}: image {name!r} has a caption already.")
        if name not in references:
            raise EvaluationError(f"{where}: image {name!r} is not one of the plan's.")
        if len(text) > MAX_CAPTION:
            raise EvaluationError(f"{where}: a caption of more than {MAX_CAPTION:,} characters is refused.")
        captions[name] = Caption(
            id=name,
            text=text,
            references=references[name],
            tokens=_need(values, "tokens", (int, _NONE), where),
            truncated=_need(values, "truncated", (bool,), where),
        )
        pictures[name] = _need(values, "image", (str,), where)
    if len(captions) < len(references) or run["created_at"] is None:
        raise EvaluationError(
            f"{shown(path / CAPTIONS)}:{len(captions)}: {len(captions):,} of {len(references):,} captions: the run was not "
            "finished. Run the claim without --claims-replay: it goes on where it stopped."
        )
    digest = plan_digest(content)
    evidence = Evidence(
        basis=Basis.REPRODUCED,
        captions=tuple(captions[name] for name in sorted(captions)),
        images=content["images"],
        population=content["population"],
        observed=observed,
        provenance={**run["provenance"], "replayed": digest},
        notes=(f"Replayed from evidence {digest[:NAME]} of {run['created_at']}: nothing was generated here.{others}",),
        created_at=run["created_at"],
        replayed=True,
    )
    return Replayed(evidence=evidence, plan=content, pictures=pictures)


def _references(path: Path, content: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    references: dict[str, tuple[str, ...]] = {}
    for values, where in _lines(path / REFERENCES):
        name = _need(values, "id", (str,), where)
        texts = _need(values, "references", (list,), where)
        if name in references:
            raise EvaluationError(f"{where}: image {name!r} has references already.")
        if not texts or not all(type(text) is str and len(text) <= MAX_CAPTION for text in texts):
            raise EvaluationError(f"{where}: references: expected one or more texts.")
        references[name] = tuple(texts)
    if references_digest(references) != content["references"] or len(references) != content["images"]:
        raise EvaluationError(f"{shown(path / REFERENCES)}:1: the references are not those that the plan names.")
    return references


def _observed(content: Mapping[str, Any], where: str) -> Observed:
    values, place = content["observed"], f"{where}: observed"
    axes: dict[str, Any] = {}
    for axis, keys in _AXES.items():
        facts = _need(values, axis, (dict,), place)
        for key, types in keys.items():
            _need(facts, key, types, f"{place}: {axis}")
        for key, types in _BEAM.items() if axis == "decoding" else ():
            if key in facts:
                _need(facts, key, types, f"{place}: {axis}")
        axes[axis] = facts
    where_filter = axes["dataset"]["where"]
    for key in where_filter or ():
        _need(where_filter, key, _SCALAR, f"{place}: dataset: where")
    images, population, rows = content["images"], content["population"], axes["dataset"]["images"]
    if (
        _need(values, "scored", (int,), place) != images
        or images < 1
        or (population or images) != rows
        or images > rows
    ):
        raise EvaluationError(
            f"{place}: {_show(values['scored'])} scored, {images} captioned of {population or 'all'}, {rows} in the data set: "
            "these numbers contradict each other."
        )
    _need(values, "metric", (_NONE,), place)
    return Observed(
        **axes,
        scored=images,
        seed=_need(values, "seed", (int, _NONE), place),
        candidate=_need(values, "candidate", (str, _NONE), place),
    )


def _lines(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Each line's values, and where it stands."""
    data = disk.read(path, disk.MAX_LINES)
    if data is None:
        raise EvaluationError(f"{shown(path)}: is missing.")
    *whole, last = data.split(b"\n")
    for number, line in enumerate(whole, 1):
        where = f"{shown(path)}:{number}"
        yield disk.parse(line, where), where
    if last:
        raise EvaluationError(
            f"{shown(path)}:{len(whole) + 1}: the last line is torn: a run was killed while it wrote it."
        )


def _object(path: Path) -> dict[str, Any]:
    data = disk.read(path, disk.MAX_FACTS)
    if data is None:
        raise EvaluationError(f"{shown(path)}: is missing.")
    return disk.parse(data, f"{shown(path)}:1")


_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "an object", list: "a list",
          _NONE: "null"}  # fmt: skip


def _need(values: Mapping[str, Any], key: str, types: tuple[type, ...], where: str) -> Any:
    """The value of a key, which has one of `types` exactly: true is no whole number."""
    expected = " or ".join(_WORDS[kind] for kind in types)
    if key not in values:
        raise EvaluationError(f"{where}: {key} is missing, expected {expected}.")
    value = values[key]
    if type(value) not in types:
        raise EvaluationError(f"{where}: {key}: expected {expected}, got {_show(value)}.")
    return value
