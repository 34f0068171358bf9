"""Compares a release candidate with the checkpoint that it replaces, apart from the weights.

The candidate's weights are what is tested, and may differ. Its image processor, tokenizer and generation config belong to the
protocol: if they differ, the run does not follow the paper's protocol.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_claims.errors import ClaimsError
from pytest_claims.sources import checkpoint, processor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pytest_claims.progress import ProgressMaker
    from pytest_claims.protocol import CaptioningPlan
    from pytest_claims.sources.checkpoint import Loaded

_PLACE = ("transformers_version", "_from_model_config", "_name_or_path", "name_or_path", "processor_class")
"""Keys that only say where a file comes from. They are not compared."""


def changes(
    plan: CaptioningPlan, loaded: Loaded, progress: ProgressMaker
) -> tuple[dict[str, dict[str, str]], tuple[str, ...]]:
    """Compare a candidate with the checkpoint that it replaces.

    Args:
        plan: the plan, which names the candidate and the checkpoint.
        loaded: the candidate.
        progress: makes a progress bar for a download.

    Returns:
        The differences as facts, by axis; and notes. Both are empty without a candidate. If the checkpoint cannot be read, a
        note says that nothing was compared.
    """
    if plan.candidate is None:
        return {}, ()
    try:
        source = checkpoint.find(replace(plan, candidate=None))
        folder = source.fetch(progress, settings_only=True)
        reference = processor.load(folder, source.label)
    except ClaimsError as error:
        known = plan.protocol.checkpoint.id
        return {}, (
            f"The candidate's processor, tokenizer and generation config were not compared with those of {known}: {error}",
        )
    found = {
        "image": [*_differences(_image(reference), _image(loaded.processor))],
        "prompt": [*_differences(_text(reference), _text(loaded.processor))],
        "decoding": [*_differences(_generation(folder), _generation(loaded.folder))],
    }
    return {axis: {"changed": "; ".join(texts)} for axis, texts in found.items() if texts}, ()


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


def _differences(reference: Mapping[str, Any], candidate: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted({*reference, *candidate} - set(_PLACE)):
        one, other = reference.get(key), candidate.get(key)
        if json.dumps(one, sort_keys=True, default=str) != json.dumps(other, sort_keys=True, default=str):
            yield f"{key}: {_short(one)} → {_short(other)}"


def _short(value: object, limit: int = 60) -> str:
    text = "not given" if value is None else str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
