"""A checkpoint's processor, which consists of image processor and tokenizer: loading, changes that a run asks for, digest."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_claims import digests, libraries
from pytest_claims.errors import EvaluationError, first_line
from pytest_claims.sources.quiet import transformers_quiet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

LOCAL: Mapping[str, Any] = {"trust_remote_code": False, "local_files_only": True}
"""Arguments of every call of `from_pretrained`: no code of the checkpoint is run, and nothing is downloaded."""


def load(path: Path, label: str) -> Any:
    """The processor in a checkpoint's folder, with PIL as its backend.

    LAVIS resizes with PIL too, and torchvision is not needed.

    Raises:
        EvaluationError: the processor cannot be loaded.
    """
    with libraries.importing():
        import transformers

        auto: Any = transformers.AutoProcessor  # untyped in transformers 5
    with transformers_quiet(), loading(label):
        return auto.from_pretrained(str(path), backend="pil", **LOCAL)


@contextmanager
def loading(label: str) -> Iterator[None]:
    """Turn an exception of `from_pretrained` into an `EvaluationError` of one sentence."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise EvaluationError(f"{label} cannot be loaded: {first_line(error)}.") from None


def tokenizer_digest(processor: Any) -> str:
    """The first 16 digits of SHA-256 over everything in the tokenizer that converts text to tokens and back."""
    tokenizer = processor.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    text = backend.to_str() if backend is not None else json.dumps(tokenizer.get_vocab(), sort_keys=True)
    return digests.short(text)


def adjust(processor: Any, changed: Mapping[str, Any]) -> None:
    """Change the settings of an image processor that a run names. All others stay as the checkpoint has them.

    Args:
        processor: the image processor.
        changed: keys of `spec.models.ImageProtocol`.

    Raises:
        EvaluationError: the processor has no such setting.
    """
    names = {
        "mean": "image_mean", "std": "image_std", "normalize": "do_normalize", "convert_rgb": "do_convert_rgb",
        "rescale_factor": "rescale_factor",
    }  # fmt: skip
    values = {**changed, **(changed.get("other") or {})}
    values.pop("other", None)
    for key, value in values.items():
        if value is None:
            continue
        if key == "size" and isinstance(value, int):
            processor.size = {"height": value, "width": value}
        elif key == "resize":
            processor.resample = _filter(value)
        elif key == "channel_order" and hasattr(processor, "do_flip_channel_order"):
            processor.do_flip_channel_order = value == "bgr"
        elif hasattr(processor, names.get(key, key)) and key not in ("size", "channel_order"):
            setattr(processor, names.get(key, key), list(value) if isinstance(value, tuple) else value)
            if key == "rescale_factor":
                processor.do_rescale = True
        elif key != "channel_order" or value != "rgb":
            raise EvaluationError(
                f"image.{key}={value}: {type(processor).__name__} has no such setting that a run can change."
            )


def _filter(name: str) -> Any:
    import PIL.Image

    return PIL.Image.Resampling[name.upper()]
