"""What a checkpoint's own files say on the axes that a paper leaves unstated. It is shown, and compared with nothing.

It is a hint where to look, and not what the paper did: checkpoints are often published with settings that their papers did not
use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_claims import files
from pytest_claims.errors import ClaimsError
from pytest_claims.sources import folder, hub

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_claims.spec import Protocol

DECODING = (
    "do_sample", "num_beams", "max_new_tokens", "max_length", "min_new_tokens", "min_length", "length_penalty",
    "repetition_penalty", "no_repeat_ngram_size", "early_stopping",
)  # fmt: skip
IMAGE = ("size", "crop_size", "do_center_crop", "resample", "image_mean", "image_std", "rescale_factor")
"""The settings that are shown, by the names that transformers has for them."""

FILTERS = {"0": "nearest", "1": "lanczos", "2": "bilinear", "3": "bicubic", "4": "box", "5": "hamming"}
"""PIL's filters by their numbers, which a processor's file has."""

LENGTH = 80
"""How many characters of one setting are shown."""


def says(home: Path) -> dict[str, str]:
    """What the files in a checkpoint's folder say, by axis: `{"precision": "config.json says dtype=float16"}`."""
    found = {}
    for axis, name, settings, keys in _sources(home):
        told = [f"{key}={_short(key, settings[key])}" for key in keys if settings.get(key) is not None]
        if told:
            found[axis] = f"{name} says {', '.join(told)}"
    return found


def _sources(home: Path) -> Iterator[tuple[str, str, Mapping[str, Any], Sequence[str]]]:
    """Axis, file, its settings, and those of them that are shown. A later file of an axis counts, as for transformers."""
    yield "decoding", "generation_config.json", folder.read_json(home / "generation_config.json"), DECODING
    yield "precision", "config.json", folder.read_json(home / "config.json"), ("torch_dtype", "dtype")
    yield "image", "preprocessor_config.json", folder.read_json(home / "preprocessor_config.json"), IMAGE
    processor = folder.read_json(home / "processor_config.json").get("image_processor")
    if isinstance(processor, dict):
        yield "image", "processor_config.json", processor, IMAGE


def _short(key: str, value: object) -> str:
    text = str(value)
    if key == "resample" and text in FILTERS:
        text = FILTERS[text]
    return text if len(text) <= LENGTH else f"{text[: LENGTH - 1]}…"


def offline(identifier: str, revision: str | None, folders: Sequence[Path]) -> dict[str, str]:
    """`says` of a checkpoint in a folder or in the hub's cache; empty if it is in neither. The hub is not asked."""
    try:
        home = files.find(identifier, folders)
        if home is None and not files.is_local(identifier):
            repo = hub.held(identifier, revision, "model")
            home = repo.folder if repo else None
    except ClaimsError:
        return {}  # the run says what is wrong with the id
    return says(home) if home is not None and home.is_dir() else {}


def unstated(protocol: Protocol, axes: Sequence[str]) -> dict[str, str]:
    """Those of `axes` that a paper does not state: "" for a whole axis, else its keys that are null."""
    found = {axis: "" for axis in axes if getattr(protocol, axis) is None}
    for axis in ("decoding", "ranking"):
        section = getattr(protocol, axis) if axis in axes else None
        keys = [key for key, value in section.model_dump().items() if value is None] if section is not None else []
        found |= {axis: ", ".join(keys)} if keys else {}
    return found
