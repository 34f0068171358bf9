"""What will be run for a claim: the paper's protocol with what the run section and the command line change.

Each evaluator has a plan of its own, in which nothing that it needs can be missing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pytest_claims import digests
from pytest_claims.errors import EvaluationError
from pytest_claims.protocol.axes import Observed, Reading, decoding_facts, read_axes
from pytest_claims.spec import (
    CaptioningProtocol,
    CaptioningRun,
    ParametersRun,
    PredictionsProtocol,
    PredictionsRun,
    Protocol,
    merge,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_claims.settings import Settings
    from pytest_claims.spec import Claim

P = TypeVar("P", bound=Protocol)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What every plan has."""

    claim: Claim = field(repr=False)
    folders: tuple[Path, ...]
    """Where the claim's paths may lead: its own folder, then the --claims-data folders."""
    candidate: str | None = None
    """Folder or hub id of the release candidate that stands in for the checkpoint."""

    evaluator: ClassVar[str]
    """What runs the plan, as a claim file names it."""

    @property
    def command(self) -> str:
        """The command that runs the claim alone."""
        return f"pytest {self.claim.display}::{self.claim.id}"

    @property
    def metric_family(self) -> str | None:
        """The family in which the run asks for the claim's metric; None where the number is counted, not scored."""
        return None

    @property
    def expected(self) -> tuple[Reading, ...]:
        """The axes as they will read if the run does what is planned."""
        return ()

    @property
    def key(self) -> str:
        """SHA-256 over all that decides what is produced: claims with one key share one run."""
        folders = [str(folder) for folder in self.folders]
        return digests.of_json({"evaluator": self.evaluator, "folders": folders, **self._decides()})

    def _decides(self) -> dict[str, Any]:
        return {"run": self.claim.run.model_dump()}

    def _readings(self, observed: Observed) -> tuple[Reading, ...]:
        return read_axes(self.claim.protocol, observed, min_sample=self.claim.tolerance.min_sample)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptioningPlan(Plan):
    """Images to be captioned by a checkpoint."""

    evaluator = "captioning"

    run: CaptioningRun
    protocol: CaptioningProtocol
    """The paper's, with what the run section and the command line change."""
    sample: int | None
    """How many images to draw; None: all."""
    seed: int
    device: str
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    image_overrides: tuple[tuple[str, Any], ...] = ()
    """Image settings that the run changes on purpose; what the checkpoint's own processor does is left alone otherwise."""

    @property
    def metric_family(self) -> str:
        """See `Plan.metric_family`."""
        return self.protocol.metric

    @property
    def checkpoint(self) -> str:
        """What is loaded: the candidate, else the protocol's checkpoint."""
        return self.candidate or self.protocol.checkpoint.id

    def _decides(self) -> dict[str, Any]:
        return {
            "protocol": self.protocol.model_dump(exclude={"metric"}),
            "run": self.run.model_dump(),
            "sample": self.sample,
            "seed": self.seed,
            "device": self.device,
            "candidate": self.candidate,
            "image": list(self.image_overrides),
            # The tokens of a run are held against those of this text (`Observed.prompt`).
            "stated_prompt": self.claim.protocol.prompt,
        }

    @property
    def asked(self) -> dict[str, Any]:
        """What claim and command line say about how captions come about: by this, evidence is found where no model is."""
        protocol = self.protocol
        return {
            "checkpoint": protocol.checkpoint.model_dump(),
            "candidate": self.candidate,
            "dataset": protocol.dataset.model_dump(exclude={"images"}),
            "columns": self.run.columns.model_dump(),
            "sample": self.sample,
            "seed": None if self.sample is None else self.seed,
            "image": dict(self.image_overrides),
            "prompt": protocol.prompt,
            "stated_prompt": self.claim.protocol.prompt,
            "decoding": protocol.decoding.model_dump(),
            "precision": protocol.precision,
        }

    @property
    def expected(self) -> tuple[Reading, ...]:
        """See `Plan.expected`."""
        protocol = self.protocol
        dataset = protocol.dataset.model_dump(exclude={"split"})
        return self._readings(
            Observed(
                checkpoint=protocol.checkpoint.model_dump(),
                dataset={**dataset, "columns": self.run.columns.model_dump()},
                split={"split": protocol.dataset.split},
                image=protocol.image.model_dump(exclude_none=True) if protocol.image else None,
                prompt={"prompt": protocol.prompt},
                decoding=decoding_facts(protocol.decoding.model_dump()),
                precision={"precision": protocol.precision},
                metric={"family": protocol.metric},
                scored=protocol.dataset.images if self.sample is None else self.sample,
                seed=self.seed,
                candidate=self.candidate,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionsPlan(Plan):
    """Captions to be scored that somebody released."""

    evaluator = "predictions"

    run: PredictionsRun
    protocol: PredictionsProtocol
    """The paper's, with what the run section and the command line change."""

    @property
    def metric_family(self) -> str:
        """See `Plan.metric_family`."""
        return self.protocol.metric

    def _decides(self) -> dict[str, Any]:
        return {"protocol": self.protocol.model_dump(exclude={"metric"}), "run": self.run.model_dump()}

    @property
    def expected(self) -> tuple[Reading, ...]:
        """See `Plan.expected`."""
        dataset = self.protocol.dataset
        return self._readings(
            Observed(
                dataset={**dataset.model_dump(exclude={"split"}), "columns": None},
                split={"split": dataset.split},
                metric={"family": self.protocol.metric},
                scored=dataset.images,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ParametersPlan(Plan):
    """A configuration whose parameters are to be counted."""

    evaluator = "parameters"

    run: ParametersRun


def plan(claim: Claim, settings: Settings) -> Plan:
    """What will be run for `claim` under the command line's `settings`.

    Raises:
        EvaluationError: an override gives a protocol that is not valid, or the claim runs no checkpoint and has a candidate.
    """
    folders = (claim.file.parent, *settings.data)
    match claim.run:
        case CaptioningRun() as run:
            protocol = _protocol(CaptioningProtocol, claim, settings)
            image = merge(claim.overrides.get("image") or {}, settings.overrides.get("image", {}))
            named = candidate(claim, settings)
            return CaptioningPlan(
                claim=claim,
                run=run,
                protocol=protocol,
                sample=_sample(run, protocol, settings),
                seed=run.sample.seed if run.sample else 0,
                device=settings.device,
                candidate=named[1] if named else None,
                folders=folders,
                image_overrides=tuple(sorted(image.items())),
            )
        case PredictionsRun() as run:
            _refuse_candidate(claim, settings, "re-scores released captions")
            scored = _protocol(PredictionsProtocol, claim, settings)
            return PredictionsPlan(claim=claim, run=run, protocol=scored, folders=folders)
        case ParametersRun() as run:
            _refuse_candidate(claim, settings, "counts the configuration that it names")
            return ParametersPlan(claim=claim, run=run, folders=folders)


def _protocol(model: type[P], claim: Claim, settings: Settings) -> P:
    """The protocol that is run, with all that the evaluator needs."""
    from pydantic import ValidationError

    values = merge(merge(claim.protocol.model_dump(exclude_none=True), claim.overrides), settings.overrides)
    _settle_strategy(values.get("decoding"), settings.overrides.get("decoding", {}))
    try:
        return model.model_validate({key: value for key, value in values.items() if value is not None})
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in detail["loc"])
        raise EvaluationError(f"--claims-set {key}: {detail['msg']}, got {detail['input']!r}.") from None


def _sample(run: CaptioningRun, protocol: CaptioningProtocol, settings: Settings) -> int | None:
    """How many images to draw; None where that is all of them."""
    size = settings.sample if settings.sample is not None else run.sample.size if run.sample else None
    return None if size is None or size >= protocol.dataset.images else size


def _refuse_candidate(claim: Claim, settings: Settings, does: str) -> None:
    if named := candidate(claim, settings):
        raise EvaluationError(
            f"--claims-model={'='.join(named)}: {claim.where}: the claim {claim.id} {does}, and does not run a checkpoint; "
            "the candidate was not evaluated. Name a checkpoint, or a claim whose evaluator is captioning."
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
