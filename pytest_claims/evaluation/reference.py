"""Compares a release candidate with the checkpoint that it replaces, apart from the weights.

The candidate's weights are what is tested, and may differ. Its image processor, tokenizer and generation config belong to the
protocol: if they differ, the run does not follow the paper's protocol.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_claims.errors import ClaimsError
from pytest_claims.evidence import Differing
from pytest_claims.sources import checkpoint, folder, processor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pytest_claims.progress import ProgressMaker
    from pytest_claims.protocol import CheckpointPlan
    from pytest_claims.sources.checkpoint import Loaded

_PLACE = ("transformers_version", "_from_model_config", "_name_or_path", "name_or_path", "processor_class")
"""Keys that only say where a file comes from. They are not compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """On what a candidate differs from the checkpoint that it replaces. Empty without a candidate."""

    listed: tuple[Differing, ...] = ()
    notes: tuple[str, ...] = ()
    """Says that nothing was compared, if the checkpoint cannot be read."""
    axes: Mapping[str, dict[str, str]] = field(default_factory=dict)
    """The differences that belong to the protocol, as facts by axis."""


_AXES = {"processor": "image", "tokenizer": "prompt", "generation config": "decoding"}
"""What a difference belongs to → its axis. The number of parameters is on none: a candidate may have another one."""


def changes(plan: CheckpointPlan, loaded: Loaded, progress: ProgressMaker) -> Changes:
    """Compare a candidate with the checkpoint that it replaces.

    Args:
        plan: the plan, which names the candidate and the checkpoint.
        loaded: the candidate.
        progress: makes a progress bar for a download.
    """
    if plan.candidate is None:
        return Changes()
    try:
        source = checkpoint.find(replace(plan, candidate=None))
        place = source.fetch(progress, settings_only=True)
        reference = processor.load(place, source.label)
        sizes = [{"count": found.parameters()} for found in (source, checkpoint.find(plan))]
    except ClaimsError as error:
        known = plan.protocol.checkpoint.id
        said = f"The candidate's processor, tokenizer and generation config were not compared with those of {known}: {error}"
        return Changes(notes=(said,))
    listed = [
        *_differences("processor", _image(reference), _image(loaded.processor)),
        *_differences("tokenizer", _text(reference), _text(loaded.processor)),
        *_differences("generation config", _generation(place), _generation(loaded.folder)),
    ]
    axes: dict[str, dict[str, str]] = {}
    for what, axis in _AXES.items():
        if texts := [f"{found.key}: {found.reference} → {found.candidate}" for found in listed if found.what == what]:
            axes[axis] = {"changed": "; ".join(texts)}
    return Changes(listed=(*listed, *_differences("parameters", *sizes)), axes=axes)


def moved_on(plan: CheckpointPlan, facts: Mapping[str, Any], progress: ProgressMaker) -> str:
    """What differs between a checkpoint as it is now and the one that evidence names; empty if nothing does.

    It is also empty if the checkpoint is not on this machine: then the evidence alone says what it was.

    Args:
        plan: the plan, which names the checkpoint.
        facts: the facts of the checkpoint axis in the evidence.
        progress: makes a progress bar for the digest.
    """
    try:
        source = checkpoint.find(plan)
        if source.repo is not None:
            key, now = "commit", source.repo.commit
        else:
            key, now = "digest", folder.digest(source.fetch(progress), source.label, progress)
    except ClaimsError:
        return ""
    then = facts.get(key)
    return "" if then == now else f"its {key} is {then} in the evidence and {now} here"


def _image(made: Any) -> dict[str, Any]:
    return dict(made.image_processor.to_dict())


def _text(made: Any) -> dict[str, Any]:
    return {
        "tokenizer": processor.tokenizer_digest(made),
        "chat_template": getattr(made, "chat_template", None) or getattr(made.tokenizer, "chat_template", None),
        "num_query_tokens": getattr(made, "num_query_tokens", None),
    }


def _generation(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / "generation_config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _differences(what: str, reference: Mapping[str, Any], candidate: Mapping[str, Any]) -> Iterator[Differing]:
    for key in sorted({*reference, *candidate} - set(_PLACE)):
        one, other = reference.get(key), candidate.get(key)
        if json.dumps(one, sort_keys=True, default=str) != json.dumps(other, sort_keys=True, default=str):
            yield Differing(what=what, key=key, reference=_short(one), candidate=_short(other))


def _short(value: object, limit: int = 60) -> str:
    text = "not given" if value is None else f"{value:,}" if type(value) is int else str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
