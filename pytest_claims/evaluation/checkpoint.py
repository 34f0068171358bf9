"""Weights and processor of a claim's checkpoint, and what they really are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims import files
from pytest_claims.errors import EvaluationError, NotAttempted

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from pytest_claims.protocol import Plan

RESAMPLE_NAMES = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""PIL's resampling filters in the order of their numbers (PIL.Image.Resampling), which is what a processor stores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A checkpoint on its device."""

    model: Any
    processor: Any
    device: torch.device
    facts: Mapping[str, Any]
    """`id`, `revision`, and `commit` (hub) or `digest` (folder)."""

    @property
    def language_model(self) -> Any:
        """The module whose `generate` decodes; the model itself where there is no other."""
        return getattr(self.model, "language_model", self.model)

    @property
    def precision(self) -> str:
        """The dtype of the language model's weights. The Q-Former stays in float32 under float16 and does not count."""
        return str(next(self.language_model.parameters()).dtype).removeprefix("torch.")

    @property
    def pixel_dtype(self) -> torch.dtype:
        """What the vision encoder takes; under float16 `model.dtype` is that of the query tokens, which stay in float32."""
        weights: torch.Tensor = next(getattr(self.model, "vision_model", self.model).parameters())
        return weights.dtype

    def image_facts(self) -> dict[str, Any]:
        """Side and filter of the resize that the processor does; its own words where it is no plain squash to a square."""
        processor = self.processor.image_processor
        size = dict(processor.size)
        height, width = size.get("height"), size.get("width")
        number = int(processor.resample)
        return {
            "size": height if height is not None and height == width else " ".join(f"{k}={v}" for k, v in size.items()),
            "resize": RESAMPLE_NAMES[number] if number < len(RESAMPLE_NAMES) else str(number),
        }


def choose_device(plan: Plan) -> torch.device:
    """The device to run on.

    Raises:
        NotAttempted: the claim or the user asks for an accelerator that is not there.
    """
    import torch

    wanted = plan.device
    run = plan.claim.run
    required = run.requires.device if run.evaluator == "captioning" else "cpu"
    there = torch.cuda.is_available()
    if wanted == "auto":
        if required == "cuda" and not there:
            raise NotAttempted(
                "The claim needs a CUDA device and this machine has none.",
                f"On a machine with one: pytest {plan.claim.display}::{plan.claim.id}",
            )
        wanted = "cuda" if there else "cpu"
    if wanted.startswith("cuda") and not there:
        raise NotAttempted(
            f"--claims-device={wanted}: this machine has no CUDA device.", "Leave the option out, or say cpu."
        )
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise NotAttempted(
            f"--claims-device={wanted}: this machine has {torch.cuda.device_count()} CUDA devices.",
            "Name one of cuda:0 and up.",
        )
    return device


def load(plan: Plan, device: torch.device) -> Loaded:
    """Load a checkpoint and its processor.

    Raises:
        NotAttempted: the weights cannot be had here.
        EvaluationError: they are there and cannot be used.
    """
    import torch
    import transformers

    stated = plan.settings.checkpoint
    assert stated is not None  # noqa: S101 - spec.load.NEEDS
    identifier = plan.candidate or stated.id
    path = _candidate(plan.candidate) if plan.candidate else files.find(stated.id, plan.folders)
    if path is None and files.is_local(identifier):
        path = files.need(identifier, plan.folders, "The checkpoint")
    if path is not None and not list(path.glob("*.safetensors")):
        raise EvaluationError(
            f"The checkpoint {identifier} holds no *.safetensors file; pickled weights (*.bin, *.pt) are never loaded."
        )
    source = str(path) if path else identifier
    options: dict[str, Any] = {"trust_remote_code": False}
    if path is None and plan.candidate is None:
        options["revision"] = stated.revision
    elif path is not None:
        options["local_files_only"] = True
    precision = plan.settings.precision or "float32"
    with _quiet(transformers):
        try:
            # "pil" is LAVIS's resize, and needs no torchvision.
            auto: Any = transformers.AutoProcessor  # untyped in transformers 5
            processor = auto.from_pretrained(source, backend="pil", **options)
            model: Any = transformers.AutoModelForImageTextToText.from_pretrained(
                source, dtype=getattr(torch, precision), use_safetensors=True, **options
            )
        except OSError as error:
            if path is not None:
                raise EvaluationError(f"The checkpoint {identifier} cannot be loaded: {_line(error)}.") from None
            raise NotAttempted(
                f"The checkpoint {identifier} cannot be had here: {_line(error)}.",
                "Connect to the hub once, or unset HF_HUB_OFFLINE, and run the claim again.",
            ) from None
        except (ValueError, KeyError) as error:
            raise EvaluationError(f"The checkpoint {identifier} cannot be loaded: {_line(error)}.") from None
    _resize(plan, processor)
    return Loaded(
        model=model.eval().to(device),
        processor=processor,
        device=device,
        facts={
            "id": identifier,
            "revision": stated.revision if path is None else None,
            "commit": getattr(model.config, "_commit_hash", None) if path is None else None,
            "digest": files.digest(path.glob("*.safetensors"))[:16] if path else None,
        },
    )


def _candidate(name: str) -> Path | None:
    # The person at the command line may name any folder; only claim files are held to theirs.
    path = Path(name)
    return path if path.is_dir() else None


def _resize(plan: Plan, processor: Any) -> None:
    """Change the processor only where the run asks for it: a checkpoint's own processor is evidence."""
    changed = dict(plan.image_overrides)
    if "size" in changed:
        processor.image_processor.size = {"height": changed["size"], "width": changed["size"]}
    if "resize" in changed:
        import PIL.Image

        processor.image_processor.resample = PIL.Image.Resampling[changed["resize"].upper()]


def _line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__


class _quiet:  # noqa: N801 - used like a function
    """Keeps the library's loading bar and its advice out of the terminal; errors still come as exceptions."""

    def __init__(self, library: Any) -> None:
        self.logging = library.utils.logging

    def __enter__(self) -> None:
        self.level = self.logging.get_verbosity()
        self.logging.set_verbosity_error()
        if "HF_HUB_DISABLE_PROGRESS_BARS" not in os.environ:
            self.logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        self.logging.set_verbosity(self.level)
        if "HF_HUB_DISABLE_PROGRESS_BARS" not in os.environ:
            self.logging.enable_progress_bar()
