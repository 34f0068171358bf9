"""What will be run for a claim: the paper's protocol with what the run section and the command line change."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_claims.errors import EvaluationError
from pytest_claims.protocol.axes import Observed, Reading, decoding_facts, read_axes
from pytest_claims.spec import CaptioningRun, ParametersRun, Protocol, merge

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_claims.settings import Settings
    from pytest_claims.spec import Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be run for a claim."""

    claim: Claim = field(repr=False)
    settings: Protocol
    """The paper's protocol with what the run section and the command line change."""
    sample: int | None
    """How many images to draw; None: all."""
    seed: int
    device: str
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    candidate: str | None
    """Folder or hub id of the release candidate that stands in for the checkpoint."""
    folders: tuple[Path, ...]
    """Where the claim's paths may lead: its own folder, then the --claims-data folders."""
    image_overrides: tuple[tuple[str, Any], ...] = ()
    """Image settings that the run changes on purpose; what the checkpoint's own processor does is left alone otherwise."""

    @property
    def key(self) -> str:
        """SHA-256 over all that decides what is generated: claims with one key share one run."""
        run = self.claim.run.model_dump()
        content = {
            "folders": [str(folder) for folder in self.folders],
            "settings": self.settings.model_dump(exclude={"metric"}),
            "run": run,
            "sample": self.sample,
            "seed": self.seed,
            "device": self.device,
            "candidate": self.candidate,
            "image": list(self.image_overrides),
            # The tokens of a run are held against those of this text (`Observed.prompt`).
            "stated_prompt": self.claim.protocol.prompt,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def asked(self) -> dict[str, Any]:
        """What claim and command line say about how captions come about: by this, evidence is found where no model is."""
        settings, run = self.settings, self.claim.run
        assert isinstance(run, CaptioningRun)  # noqa: S101 - nothing else generates
        assert settings.checkpoint is not None  # noqa: S101 - spec.load.NEEDS
        assert settings.dataset is not None  # noqa: S101 - spec.load.NEEDS
        assert settings.decoding is not None  # noqa: S101 - spec.load.NEEDS
        return {
            "checkpoint": settings.checkpoint.model_dump(),
            "candidate": self.candidate,
            "dataset": settings.dataset.model_dump(exclude={"images"}),
            "columns": run.columns.model_dump(),
            "sample": self.sample,
            "seed": None if self.sample is None else self.seed,
            "image": dict(self.image_overrides),
            "prompt": settings.prompt or "",
            "stated_prompt": self.claim.protocol.prompt,
            "decoding": settings.decoding.model_dump(),
            "precision": settings.precision or "float32",
        }

    @property
    def expected(self) -> tuple[Reading, ...]:
        """The axes as they will read if the run does what is planned."""
        settings = self.settings
        if isinstance(self.claim.run, ParametersRun):
            return ()
        generates = isinstance(self.claim.run, CaptioningRun)
        images = settings.dataset.images if settings.dataset else None
        dataset = settings.dataset.model_dump(exclude={"split"}) if settings.dataset else None
        if dataset:
            run = self.claim.run
            dataset["columns"] = run.columns.model_dump() if isinstance(run, CaptioningRun) else None
        return read_axes(
            self.claim.protocol,
            Observed(
                checkpoint=settings.checkpoint.model_dump() if settings.checkpoint and generates else None,
                dataset=dataset,
                split={"split": settings.dataset.split} if settings.dataset else None,
                image=settings.image.model_dump(exclude_none=True) if settings.image and generates else None,
                prompt={"prompt": settings.prompt} if generates else None,
                decoding=decoding_facts(settings.decoding.model_dump()) if settings.decoding and generates else None,
                precision={"precision": settings.precision} if generates else None,
                metric={"family": settings.metric},
                scored=images if self.sample is None else self.sample,
                seed=self.seed,
                candidate=self.candidate,
            ),
            min_sample=self.claim.tolerance.min_sample,
        )


def plan(claim: Claim, settings: Settings) -> Plan:
    """What will be run for `claim` under the command line's `settings`.

    Raises:
        EvaluationError: an override gives a protocol that is not valid.
    """
    from pydantic import ValidationError

    values = merge(claim.protocol.model_dump(exclude_none=True), claim.overrides)
    if not isinstance(claim.run, ParametersRun):
        values = merge(values, settings.overrides)
        _settle_strategy(values.get("decoding"), settings.overrides.get("decoding", {}))
    try:
        protocol = Protocol.model_validate(values)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in detail["loc"])
        raise EvaluationError(f"--claims-set {key}: {detail['msg']}, got {detail['input']!r}.") from None
    sample = claim.run.sample if isinstance(claim.run, CaptioningRun) else None
    size = settings.sample if settings.sample is not None and isinstance(claim.run, CaptioningRun) else None
    if size is None and sample is not None:
        size = sample.size
    if size is not None and protocol.dataset is not None and size >= protocol.dataset.images:
        size = None
    named = candidate(claim, settings)
    if named and not isinstance(claim.run, CaptioningRun):
        does = "re-scores released captions" if protocol.dataset else "counts the configuration that it names"
        raise EvaluationError(
            f"--claims-model={'='.join(named)}: {claim.where}: the claim {claim.id} {does}, and does not run a checkpoint; "
            "the candidate was not evaluated. Name a checkpoint, or a claim whose evaluator is captioning."
        )
    return Plan(
        claim=claim,
        settings=protocol,
        sample=size,
        seed=sample.seed if sample else 0,
        device=settings.device,
        candidate=named[1] if named else None,
        folders=(claim.file.parent, *settings.data),
        image_overrides=tuple(
            sorted(merge(claim.overrides.get("image") or {}, settings.overrides.get("image", {})).items())
        ),
    )


def checkpoint_id(claim: Claim, settings: Settings) -> str | None:
    """The checkpoint that a claim runs under the command line's `settings`, before a candidate takes its place."""
    stated = claim.protocol.checkpoint
    changed = merge(claim.overrides.get("checkpoint") or {}, settings.overrides.get("checkpoint", {}))
    found: str | None = changed.get("id") or (stated.id if stated else None)
    return found


def candidate(claim: Claim, settings: Settings) -> tuple[str, str] | None:
    """What `--claims-model` puts in the place of a claim's checkpoint, as it was named there: `("org/model", "./candidate")`.

    The claim's own id goes before that of its checkpoint.
    """
    for name in (claim.id, checkpoint_id(claim, settings)):
        if name is not None and name in settings.candidates:
            return name, settings.candidates[name]
    return None


def _settle_strategy(decoding: dict[str, Any] | None, changed: Mapping[str, Any]) -> None:
    """`--claims-set decoding.num_beams=1` means greedy search, and `decoding.strategy=greedy` one beam."""
    if decoding is None:
        return
    if changed.get("num_beams") is not None:
        decoding["strategy"] = "greedy" if decoding["num_beams"] == 1 else "beam"
    elif changed.get("strategy") == "greedy":
        decoding["num_beams"] = 1
