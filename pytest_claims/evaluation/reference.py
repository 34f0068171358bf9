"""How a release candidate differs from the checkpoint that it stands in for, beside its weights.

A candidate is the thing under test, and its weights may be any. Its image processor, tokenizer and generation config are part
of the protocol: with others, a run is no longer the one that the paper's number came from.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_claims.errors import ClaimsError
from pytest_claims.evaluation import checkpoint, hub, repository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pytest_claims.evaluation import Progress
    from pytest_claims.evaluation.checkpoint import Loaded
    from pytest_claims.protocol import Plan

_PLACE = ("transformers_version", "_from_model_config", "_name_or_path", "name_or_path", "processor_class")
"""Keys that say where a file comes from, and decide nothing."""


def changes(
    plan: Plan, loaded: Loaded, progress: Callable[..., AbstractContextManager[Progress]]
) -> tuple[dict[str, dict[str, str]], tuple[str, ...]]:
    """What differs, by axis, as facts of that axis; and notes.

    Args:
        plan: names the candidate, and the checkpoint.
        loaded: the candidate.
        progress: makes a progress bar, for a download.

    Returns:
        Nothing without a candidate. Where the checkpoint is not at hand, a note says that nothing was compared.
    """
    if plan.candidate is None:
        return {}, ()
    name = plan.settings.checkpoint.id if plan.settings.checkpoint else "the checkpoint"
    try:
        source = checkpoint.find(replace(plan, candidate=None))
        folder = source.path
        if folder is None and source.repo is not None:
            folder = hub.fetch(source.repo, repository.small_files(source.repo), progress)
        assert folder is not None  # noqa: S101 - one of the two
        processor = checkpoint.processor(folder, source)
    except ClaimsError as error:
        return {}, (
            f"The candidate's processor, tokenizer and generation config were not compared with those of {name}: {error}",
        )
    found = {
        "image": [*_differences(_image(processor), _image(loaded.processor))],
        "prompt": [*_differences(_text(processor), _text(loaded.processor))],
        "decoding": [*_differences(_generation(folder), _generation(loaded.folder))],
    }
    return {axis: {"changed": "; ".join(texts)} for axis, texts in found.items() if texts}, ()


def _image(processor: Any) -> dict[str, Any]:
    return dict(processor.image_processor.to_dict())


def _text(processor: Any) -> dict[str, Any]:
    return {
        "tokenizer": checkpoint.tokenizer_digest(processor),
        "chat_template": getattr(processor, "chat_template", None)
        or getattr(processor.tokenizer, "chat_template", None),
        "num_query_tokens": getattr(processor, "num_query_tokens", None),
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
