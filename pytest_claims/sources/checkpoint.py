"""Finds and loads a claim's checkpoint, and records which files and which precision were loaded."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims import architectures, candidates, devices, files, libraries
from pytest_claims.errors import EvaluationError, NotAttempted, first_line
from pytest_claims.sources import folder, hub, processor, repository
from pytest_claims.sources.quiet import transformers_quiet

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from pytest_claims.architectures import Architecture
    from pytest_claims.progress import ProgressMaker
    from pytest_claims.protocol import CheckpointPlan


AUTO = "AutoModelForImageTextToText"
"""The class of transformers that finds the class of a model that turns images into text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A checkpoint that was found, but not loaded. It is either a folder or a repository of the hub."""

    id: str
    path: Path | None
    """The checkpoint's folder; None for a hub id."""
    repo: hub.Repo | None
    """The checkpoint's repository on the hub or in its cache; None for a folder."""
    config: Mapping[str, Any]
    """The content of `config.json`."""

    @property
    def label(self) -> str:
        """The name of the checkpoint in messages."""
        return f"The checkpoint {self.id}"

    @property
    def architecture(self) -> str:
        """The class of the model, as the config names it."""
        return str(next(iter(self.config.get("architectures") or ()), self.config.get("model_type", "unknown")))

    def weights(self) -> tuple[hub.File, ...]:
        """The safetensors files."""
        if self.repo is not None:
            return repository.weights(self.repo)
        assert self.path is not None  # noqa: S101 - a source has either a path or a repo
        names = folder.weights(self.path, self.label)
        return tuple(hub.File(name=name, size=(self.path / name).stat().st_size) for name in names)

    def missing(self) -> tuple[hub.File, ...]:
        """The files that are not downloaded yet."""
        return self.repo.missing((*repository.small_files(self.repo), *self.weights())) if self.repo else ()

    def fetch(self, progress: ProgressMaker, *, settings_only: bool = False) -> Path:
        """The checkpoint's folder, after downloading the missing files.

        Args:
            progress: makes a progress bar.
            settings_only: download only configuration and tokenizer, not the weights.

        Raises:
            NotAttempted: the download could not be finished.
            EvaluationError: a downloaded file is not the one that the hub announced.
        """
        if self.path is not None:
            return self.path
        assert self.repo is not None  # noqa: S101 - a source has either a path or a repo
        weights = () if settings_only else self.weights()
        return hub.fetch(self.repo, (*repository.small_files(self.repo), *weights), progress)

    def parameters(self) -> int | None:
        """The number of parameters, from the hub or from the headers of the files; None if neither is available.

        Raises:
            EvaluationError: a file is not a valid safetensors file.
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


def find(plan: CheckpointPlan) -> Source:
    """Find the checkpoint of a plan, and check that it can be loaded. Only its config is read.

    Raises:
        NotAttempted: the checkpoint is not available on this machine.
        EvaluationError: transformers does not load it as a captioning model, or it has no safetensors files.
    """
    stated, identifier = plan.protocol.checkpoint, plan.checkpoint
    if plan.candidate:
        path = _candidate(plan.candidate, plan)
        name, revision = candidates.hub_id(identifier)
    else:
        path = hub.locate(stated.id, plan.folders, "model")
        name, revision = stated.id, stated.revision
    repo = None if path else _repo(name, revision)
    try:
        content = repository.read_json(repo, "config.json") if repo else _read(path)
    except ValueError as error:
        raise EvaluationError(f"The checkpoint {identifier}: config.json is not JSON: {first_line(error)}.") from None
    if not isinstance(content, dict):
        raise EvaluationError(f"The checkpoint {identifier} holds no config.json, so what it is cannot be told.")
    source = Source(id=identifier, path=path, repo=repo, config=content)
    _supported(source, plan)
    if not source.weights():
        raise EvaluationError(
            f"The checkpoint {identifier} holds no *.safetensors file; pickled weights (*.bin, *.pt) are never loaded."
        )
    return source


def _read(path: Path | None) -> Any:
    file = path / "config.json" if path else None
    return json.loads(file.read_text(encoding="utf-8")) if file and file.is_file() else None


def _supported(source: Source, plan: CheckpointPlan) -> None:
    with libraries.importing():
        import transformers
        from transformers.models.auto import modeling_auto

    if plan.model_class == AUTO:
        fits = source.config.get("model_type") in modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
        wanted = "a model that turns images into text"
    else:
        # A class of its own: the type of a model does not say which of its heads the weights have.
        fits = plan.model_class in (source.config.get("architectures") or ())
        wanted = f"a {plan.model_class}, which the evaluator {plan.evaluator} needs"
    if fits:
        return
    own = " It brings code of its own, which is never run." if source.config.get("auto_map") else ""
    raise EvaluationError(
        f"The checkpoint {source.id} is a {source.architecture} (model_type {source.config.get('model_type')!r}), which "
        f"transformers {transformers.__version__} does not load as {wanted}.{own}"
    )


class BrokenFile(Exception):  # noqa: N818 - the caller, who knows the checkpoint's name, turns it into an EvaluationError
    """A file is truncated, or is not a safetensors file. `str()` of the exception is the file's name."""


def _numbers(path: Path) -> int:
    """The number of parameters in a safetensors file. Only the header is read, and torch is not imported.

    Raises:
        BrokenFile: safetensors refuses the header: it is truncated, is not JSON, or does not match the size of the file.
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
    """The folder of the checkpoint's files."""
    facts: Mapping[str, Any]
    """The facts of the checkpoint axis: `id`, `revision`, `digest`, and `commit` (None for a folder)."""
    architecture: Architecture
    searches: dict[Any, Any] = field(default_factory=dict, compare=False)
    """The last beam search that ran, with its buffers, packed weights and CUDA graphs, for the next run of this checkpoint."""

    @property
    def language_model(self) -> Any:
        """The module whose `generate` decodes."""
        return self.architecture.language_model

    @property
    def precision(self) -> str:
        """The dtype of the weights that decide. BLIP-2's Q-Former stays in float32 under float16, and does not count."""
        dtype = str(next(self.architecture.main_part.parameters()).dtype).removeprefix("torch.")
        quantised = getattr(self.model.config, "quantization_config", None)
        return dtype if quantised is None else f"{dtype}, quantised"

    @property
    def pixel_dtype(self) -> torch.dtype:
        """The dtype of the vision encoder's input. `model.dtype` may be another: that of BLIP-2's float32 query tokens."""
        weights: torch.Tensor = next(getattr(self.model, "vision_model", self.model).parameters())
        return weights.dtype


def load(plan: CheckpointPlan, device: torch.device, progress: ProgressMaker) -> Loaded:
    """Load the checkpoint of a plan and its processor.

    Raises:
        NotAttempted: the weights are not available on this machine.
        EvaluationError: the weights or the processor cannot be used.
    """
    import torch
    import transformers

    devices.of(device).make_current()
    source = find(plan)
    path = source.fetch(progress)
    folder.check(path, source.label)
    folder.weights(path, source.label)  # check the index also for the hub's cache: it must not lead out of the folder
    made = processor.load(path, source.label)
    with transformers_quiet(), processor.loading(source.label):
        with libraries.importing():  # transformers imports a class when it is first asked for
            made_from: Any = getattr(transformers, plan.model_class)
        libraries.set_apart()
        model, info = made_from.from_pretrained(
            str(path),
            dtype=getattr(torch, plan.protocol.precision),
            use_safetensors=True,
            output_loading_info=True,
            **processor.LOCAL,
        )
    if plan.model_class != AUTO and (missing := sorted(info["missing_keys"])):
        raise EvaluationError(
            f"{source.label} lacks {len(missing):,} weights of a {plan.model_class}, the first {missing[0]}: transformers "
            "would draw them at random."
        )
    processor.adjust(made.image_processor, dict(plan.image_overrides))
    architecture = architectures.of(model, made, source.id)
    architecture.settle()
    repo = source.repo
    return Loaded(
        model=model.eval().to(device),
        processor=made,
        device=device,
        folder=path,
        facts={
            "id": source.id,
            "revision": (candidates.hub_id(source.id)[1] if plan.candidate else plan.protocol.checkpoint.revision)
            if repo
            else None,
            "commit": repo.commit if repo else None,
            "digest": folder.digest(path, source.label, progress, endings=repository.LOADED if repo else ("",)),
        },
        architecture=architecture,
    )


def _candidate(name: str, plan: CheckpointPlan) -> Path | None:
    # The user may name any folder on the command line. Only the paths in claim files are restricted.
    path = Path(name)
    if path.is_dir():
        return path
    identifier, _ = candidates.hub_id(name)
    return files.need(identifier, plan.folders, "The checkpoint") if files.is_local(identifier) else None


def _repo(identifier: str, revision: str | None) -> hub.Repo:
    """The repository of a hub id. An id may be meant as a folder: `models/new` looks like one of the hub."""
    try:
        return hub.find(identifier, revision, "model")
    except NotAttempted as gap:
        if not os.path.isdir(identifier):  # noqa: PTH112 - Path.is_dir raises where the name is too long
            raise
        raise NotAttempted(gap.reason, f"{gap.next_step} {hub.elsewhere(identifier, Path(identifier))}") from None
