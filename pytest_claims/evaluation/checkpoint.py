"""Weights and processor of a claim's checkpoint, and what they really are."""

from __future__ import annotations

import hashlib
import json
import math
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims import files
from pytest_claims.errors import EvaluationError, NotAttempted
from pytest_claims.evaluation import folder, hub, images, repository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    import torch

    from pytest_claims.evaluation import Progress
    from pytest_claims.protocol import Plan

OWN_GENERATE = {"blip": "text_decoder", "blip-2": "language_model", "instructblip": "language_model"}
"""Models whose `generate` hands over to that of a part, which then takes what it is not told from its own config."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a checkpoint's files are, before anything is loaded."""

    id: str
    path: Path | None
    """Its folder, where it is one that the user has."""
    repo: hub.Repo | None
    """What the hub or its cache has, where it is a hub id."""
    config: Mapping[str, Any]

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"The checkpoint {self.id}"

    @property
    def architecture(self) -> str:
        """The model's class, as the config names it."""
        return str(next(iter(self.config.get("architectures") or ()), self.config.get("model_type", "unknown")))

    def weights(self) -> tuple[hub.File, ...]:
        """The safetensors files."""
        if self.repo is not None:
            return repository.weights(self.repo)
        assert self.path is not None  # noqa: S101 - one of the two
        names = folder.weights(self.path, self.label)
        return tuple(hub.File(name=name, size=(self.path / name).stat().st_size) for name in names)

    def missing(self) -> tuple[hub.File, ...]:
        """What is still to be downloaded."""
        return self.repo.missing((*repository.small_files(self.repo), *self.weights())) if self.repo else ()

    def parameters(self) -> int | None:
        """How many numbers the weights hold: as the hub counted, or from the headers of the files; None if neither says.

        Raises:
            EvaluationError: a file is not what its name says.
        """
        if self.repo is not None and self.repo.parameters:
            return self.repo.parameters
        home = self.path or (self.repo.folder if self.repo else None)
        paths = [home / file.name for file in self.weights()] if home else []
        if not paths or not all(path.exists() for path in paths):
            return None
        try:
            return sum(map(_numbers, paths))
        except BrokenFile as error:
            raise EvaluationError(
                f"The checkpoint {self.id}: {error} is no safetensors file, or not all of it."
            ) from None


def find(plan: Plan) -> Source:
    """Where the checkpoint of a plan is, and whether it is one that can be loaded; only its config is read.

    Raises:
        NotAttempted: it cannot be had here.
        EvaluationError: it is no captioner that transformers loads, or holds no safetensors.
    """
    stated = plan.settings.checkpoint
    assert stated is not None  # noqa: S101 - spec.load.NEEDS
    identifier = plan.candidate or stated.id
    path = _candidate(plan.candidate) if plan.candidate else files.find(stated.id, plan.folders)
    if path is None and files.is_local(identifier):
        path = files.need(identifier, plan.folders, "The checkpoint")
    repo = None if path else hub.find(identifier, None if plan.candidate else stated.revision, "model")
    try:
        content = repository.read_json(repo, "config.json") if repo else _read(path)
    except ValueError as error:
        raise EvaluationError(f"The checkpoint {identifier}: config.json is not JSON: {hub.line(error)}.") from None
    if not isinstance(content, dict):
        raise EvaluationError(f"The checkpoint {identifier} holds no config.json, so what it is cannot be told.")
    source = Source(id=identifier, path=path, repo=repo, config=content)
    _supported(source)
    if not source.weights():
        raise EvaluationError(
            f"The checkpoint {identifier} holds no *.safetensors file; pickled weights (*.bin, *.pt) are never loaded."
        )
    return source


def _read(path: Path | None) -> Any:
    file = path / "config.json" if path else None
    return json.loads(file.read_text(encoding="utf-8")) if file and file.is_file() else None


def _supported(source: Source) -> None:
    import transformers
    from transformers.models.auto import modeling_auto

    known = modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
    if source.config.get("model_type") in known:
        return
    own = " It brings code of its own, which is never run." if source.config.get("auto_map") else ""
    raise EvaluationError(
        f"The checkpoint {source.id} is a {source.architecture} (model_type {source.config.get('model_type')!r}), which "
        f"transformers {transformers.__version__} does not load as a model that turns images into text.{own}"
    )


class BrokenFile(Exception):  # noqa: N818 - becomes an EvaluationError where the checkpoint's name is known
    """A file is cut off, or was never what its name says; `str()` of it is the name."""


def _numbers(path: Path) -> int:
    """How many numbers a safetensors file holds. Only the header is read, and torch is not imported.

    Raises:
        BrokenFile: safetensors refuses the header: cut off, no JSON, or tensors that do not fill the file exactly.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            names = file.keys()
            return sum(math.prod(file.get_slice(name).get_shape()) for name in names)
    except (OSError, SafetensorError):
        raise BrokenFile(path.name) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A checkpoint on its device."""

    model: Any
    processor: Any
    device: torch.device
    folder: Path
    """Where its files are."""
    facts: Mapping[str, Any]
    """`id`, `revision`, `commit` where it is the hub's, `digest`."""

    @property
    def language_model(self) -> Any:
        """The module whose `generate` decodes; the model itself where there is no other."""
        return getattr(self.model, OWN_GENERATE.get(self.model.config.model_type, ""), self.model)

    @property
    def precision(self) -> str:
        """The dtype of the language model's weights. The Q-Former stays in float32 under float16 and does not count."""
        dtype = str(next(self.language_model.parameters()).dtype).removeprefix("torch.")
        quantised = getattr(self.model.config, "quantization_config", None)
        return dtype if quantised is None else f"{dtype}, quantised"

    @property
    def pixel_dtype(self) -> torch.dtype:
        """What the vision encoder takes; under float16 `model.dtype` is that of the query tokens, which stay in float32."""
        weights: torch.Tensor = next(getattr(self.model, "vision_model", self.model).parameters())
        return weights.dtype


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


def load(plan: Plan, device: torch.device, progress: Callable[..., AbstractContextManager[Progress]]) -> Loaded:
    """Load a checkpoint and its processor.

    Raises:
        NotAttempted: the weights cannot be had here.
        EvaluationError: they are there and cannot be used.
    """
    import torch
    import transformers

    source, stated = find(plan), plan.settings.checkpoint
    repo = source.repo
    path = source.path or (
        hub.fetch(repo, (*repository.small_files(repo), *source.weights()), progress) if repo else None
    )
    assert path is not None  # noqa: S101 - one of the two
    assert stated is not None  # noqa: S101 - spec.load.NEEDS
    folder.check(path, source.label)
    folder.weights(path, source.label)  # an index must not lead elsewhere in the hub's cache either
    precision = plan.settings.precision or "float32"
    made = processor(path, source)
    with _quiet(transformers), _loading(source):
        model: Any = transformers.AutoModelForImageTextToText.from_pretrained(
            str(path), dtype=getattr(torch, precision), use_safetensors=True, **_LOCAL
        )
    images.adjust(made.image_processor, dict(plan.image_overrides))
    if model.config.model_type == "blip":
        # BLIP hands these to its decoder's `generate` by hand; where a caption ends is read from the config.
        model.text_decoder.generation_config.eos_token_id = model.config.text_config.sep_token_id
        model.text_decoder.generation_config.pad_token_id = model.config.text_config.pad_token_id
    return Loaded(
        model=model.eval().to(device),
        processor=made,
        device=device,
        folder=path,
        facts={
            "id": source.id,
            "revision": stated.revision if repo and not plan.candidate else None,
            "commit": repo.commit if repo else None,
            "digest": folder.digest(path, source.label, progress, endings=repository.LOADED if repo else ("",)),
        },
    )


_LOCAL: Mapping[str, Any] = {"trust_remote_code": False, "local_files_only": True}


def processor(path: Path, source: Source) -> Any:
    """The processor in a checkpoint's folder, with PIL's resize: that is LAVIS's, and needs no torchvision.

    Raises:
        EvaluationError: it cannot be loaded.
    """
    import transformers

    auto: Any = transformers.AutoProcessor  # untyped in transformers 5
    with _quiet(transformers), _loading(source):
        return auto.from_pretrained(str(path), backend="pil", **_LOCAL)


@contextmanager
def _loading(source: Source) -> Iterator[None]:
    """Turn what `from_pretrained` raises into one sentence."""
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError, _safetensors_error()) as error:
        raise EvaluationError(f"The checkpoint {source.id} cannot be loaded: {hub.line(error)}.") from None


def tokenizer_digest(processor: Any) -> str:
    """SHA-256 over all that turns text into tokens and back, 16 digits."""
    tokenizer = processor.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    text = backend.to_str() if backend is not None else json.dumps(tokenizer.get_vocab(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _safetensors_error() -> type[Exception]:
    from safetensors import SafetensorError

    found: type[Exception] = SafetensorError
    return found


def _candidate(name: str) -> Path | None:
    # The person at the command line may name any folder; only claim files are held to theirs.
    path = Path(name)
    return path if path.is_dir() else None


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
