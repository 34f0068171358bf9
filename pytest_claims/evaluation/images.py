"""Observes what a checkpoint's image processor does, as facts that are compared with `protocol.image`.

All settings are read from the processor that runs. If the claim does not state a setting, the model family's setting is
expected. That is the default of the image processor that transformers registers for the model's type, such as CLIP's mean and
std for BLIP-2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

RESAMPLE_NAMES = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""The names of PIL's resampling filters in the order of their numbers (PIL.Image.Resampling). A processor stores the number."""

_READ = {
    "size", "crop_size", "do_center_crop", "do_resize", "resample", "do_rescale", "rescale_factor", "do_normalize",
    "image_mean", "image_std", "do_convert_rgb", "do_flip_channel_order",
}  # fmt: skip
"""Settings that `_facts` reads. Any other setting that differs from the default of its class is a fact under its own name."""

_NAMES = {"image_processor_type", "feature_extractor_type", "processor_class", "auto_map", "use_fast", "backend"}
"""Settings that only say which class to load."""

TOLERANCE = 1e-3
"""The largest allowed difference of pixel values in the probe. Normalised values are about 1; 1/255 of the range is 0.015."""


def observe(processor: Any, model_type: str) -> dict[str, Any]:
    """The facts about an image processor, and under `family` those that the model family defines (empty if unknown).

    Args:
        processor: the image processor.
        model_type: the `model_type` of the model's configuration.
    """
    settings = processor.to_dict()
    facts = _facts(processor, settings)
    defaults = type(processor)().to_dict()
    for name, value in sorted(settings.items()):
        if name not in _READ | _NAMES and value != defaults.get(name):
            facts[name] = value
    if not _does_as_it_says(processor, facts):
        facts["pixels"] = "other than these settings give"
    return {**facts, "family": _family(model_type)}


def _facts(processor: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    size = {key: value for key, value in dict(settings.get("size") or {}).items() if value is not None}
    if settings.get("do_center_crop"):
        crop = settings["crop_size"]
        size["crop"] = f"{crop['height']}x{crop['width']}"
    side = size.get("height")
    number = int(settings.get("resample") or 0)
    resize = RESAMPLE_NAMES[number] if number < len(RESAMPLE_NAMES) else str(number)
    mean, std = settings.get("image_mean"), settings.get("image_std")
    return {
        "size": side if size == {"height": side, "width": side} else " ".join(f"{k}={v}" for k, v in size.items()),
        "resize": resize if settings.get("do_resize", True) else "none",
        "mean": _channels(mean),
        "std": _channels(std),
        "rescale_factor": float(settings.get("rescale_factor") or 1) if settings.get("do_rescale") else 1.0,
        "normalize": bool(settings.get("do_normalize")),
        "convert_rgb": bool(getattr(processor, "do_convert_rgb", None)),
        "channel_order": "bgr" if settings.get("do_flip_channel_order") else "rgb",
    }


def _channels(value: Any) -> list[float] | None:
    if value is None:
        return None
    return [float(number) for number in value] if isinstance(value, list | tuple) else [float(value)] * 3


def _family(model_type: str) -> dict[str, Any]:
    """The facts about the image processor that transformers registers for a type of model; empty if it registers none."""
    import transformers
    from transformers.models.auto import image_processing_auto

    registered: Any = image_processing_auto  # the module does not declare the table as an export
    named: Any = registered.IMAGE_PROCESSOR_MAPPING_NAMES.get(model_type)
    names = list(named.values()) if isinstance(named, dict) else list(named or ())
    # The PIL class first, since it is the one that runs, and the torchvision class cannot be imported everywhere.
    for name in sorted((str(name) for name in names if name), key=lambda name: not name.endswith("Pil")):
        try:
            processor = getattr(transformers, name)()
        except (AttributeError, ImportError):
            continue
        facts = _facts(processor, processor.to_dict())
        return {key: value for key, value in facts.items() if key not in ("size", "resize")}
    return {}


def _does_as_it_says(processor: Any, facts: Mapping[str, Any]) -> bool:
    """Whether the processor's output for a probe image is the one that the facts imply.

    A class may do more than its settings say. The probe is noise, so that a flipped, shifted or filtered result differs. Only a
    plain resize to a square is probed, since only then the facts determine the output; otherwise the result is True.
    """
    import numpy as np
    import PIL.Image

    side, resize = facts["size"], facts["resize"]
    if not isinstance(side, int) or resize not in RESAMPLE_NAMES or side > 1024:
        return True
    noise = np.random.default_rng(0).integers(0, 256, size=(37, 53, 3), dtype=np.uint8)
    picture = PIL.Image.fromarray(noise)
    squashed = picture.resize((side, side), PIL.Image.Resampling[resize.upper()])
    expected = np.asarray(squashed, dtype=np.float64) * facts["rescale_factor"]  # (side, side, 3)
    if facts["normalize"]:
        expected = (expected - np.array(facts["mean"])) / np.array(facts["std"])
    if facts["channel_order"] == "bgr":
        expected = expected[:, :, ::-1]
    found = np.asarray(processor(images=[picture], return_tensors="np")["pixel_values"][0], dtype=np.float64)
    wanted = expected.transpose(2, 0, 1)  # (3, side, side)
    return found.shape == wanted.shape and bool(
        np.abs(found - wanted).max() <= TOLERANCE * max(1.0, np.abs(wanted).max())
    )
