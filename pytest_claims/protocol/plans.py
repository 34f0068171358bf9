"""Plans: what will be run for a claim.

A plan is the paper's protocol with the changes of the claim's run section and of the command line. Each evaluator has its own
class of plan, in which everything that the evaluator needs is required.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_claims import digests, files
from pytest_claims.errors import EvaluationError
from pytest_claims.protocol.axes import Observed, Reading, decoding_facts, read_axes
from pytest_claims.spec import (
    QUESTION,
    RANK,
    AnsweringRun,
    CaptioningProtocol,
    DerivedRun,
    GeneratingRun,
    ParametersRun,
    PredictionsProtocol,
    PredictionsRun,
    Protocol,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction
    from pathlib import Path

    from pytest_claims.protocol.axes import Match
    from pytest_claims.spec import Claim, Noun, RetrievalProtocol, RetrievalRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The fields that all plans have."""

    claim: Claim = field(repr=False)
    folders: tuple[Path, ...]
    """The folders that the claim's paths may lead into: the claim file's folder, then the `--claims-data` folders."""
    candidate: str | None = None
    """The folder or hub id of the release candidate that replaces the checkpoint."""
    command: str = field(default="", repr=False)
    """The command that runs only this claim, for messages."""

    evaluator: ClassVar[str]
    """The name of the evaluator that runs the plan, as in a claim file."""

    @property
    def metric_family(self) -> str | None:
        """The family of metrics that the run asks for; None if the claim's number is counted, not scored."""
        return None

    @property
    def noun(self) -> Noun:
        """What an output of the run is called."""
        return "caption"

    @property
    def gives(self) -> tuple[str, ...]:
        """What a metric can read of the outputs, as far as the plan knows; see `Evidence.gives`."""
        return ("text",)

    @property
    def expected(self) -> tuple[Reading, ...]:
        """The readings of the axes if the run does what the plan says."""
        return ()

    @property
    def key(self) -> str:
        """SHA-256 over everything that determines the outputs. Claims whose plans have the same key share one run."""
        folders = [str(folder) for folder in self.folders]
        return digests.of_json({"evaluator": self.evaluator, "folders": folders, **self._decides()})

    def _decides(self) -> dict[str, Any]:
        return {"run": self.claim.run.model_dump()}

    def _readings(self, observed: Observed) -> tuple[Reading, ...]:
        return read_axes(self.claim.protocol, observed, min_sample=self.claim.tolerance.min_sample)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointPlan(Plan):
    """Runs a checkpoint over a data set."""

    model_class: ClassVar[str] = "AutoModelForImageTextToText"
    """The class of transformers that loads the checkpoint."""
    follows: ClassVar[tuple[str, ...]] = ("image", "prompt", "decoding", "precision", "metric")
    """The axes beside checkpoint and data set that the run follows."""

    run: GeneratingRun | RetrievalRun
    protocol: CaptioningProtocol | RetrievalProtocol
    """The paper's protocol, with the changes of the run section and of the command line."""
    sample: int | None
    """How many rows to draw; None: all of them."""
    seed: int
    device: str
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    image_overrides: tuple[tuple[str, Any], ...] = ()
    """The image settings that the run changes. All others stay as the checkpoint's processor has them."""

    @property
    def extras(self) -> Mapping[str, str]:
        """The columns of texts that reports show beside an output, by the names that they have there."""
        return {}

    @property
    def metric_family(self) -> str:
        """See `Plan.metric_family`."""
        return self.protocol.metric

    @property
    def checkpoint(self) -> str:
        """The folder or hub id that is loaded: the candidate, else the protocol's checkpoint."""
        return self.candidate or self.protocol.checkpoint.id

    @property
    def shows_images(self) -> bool:
        """Whether each output belongs to an image, whose id it has."""
        return True

    @property
    def queries(self) -> int | None:
        """How many outputs a run over the paper's whole split has; None if the claim does not say it."""
        return self.protocol.dataset.images

    @property
    def asked(self) -> dict[str, Any]:
        """The settings of claim and command line that affect outputs. A replay finds its evidence by them, without a model."""
        raise NotImplementedError

    def _decides(self) -> dict[str, Any]:
        return {
            "protocol": self.protocol.model_dump(exclude={"metric"}),
            "run": self.run.model_dump(),
            "sample": self.sample,
            "seed": self.seed,
            "device": self.device,
            "candidate": self.candidate,
            "image": list(self.image_overrides),
        }

    def _asked(self, **own: Any) -> dict[str, Any]:
        """What all evaluators with a checkpoint ask for, and what one of them asks beside it; see `asked`."""
        protocol = self.protocol
        return {
            "checkpoint": protocol.checkpoint.model_dump(),
            "candidate": self.candidate,
            "dataset": protocol.dataset.model_dump(exclude={"images"}),
            "columns": self.run.columns.model_dump(),
            "sample": self.sample,
            "seed": None if self.sample is None else self.seed,
            "image": dict(self.image_overrides),
            "precision": protocol.precision,
            **own,
        }

    def _expected(self, **own: Any) -> tuple[Reading, ...]:
        """The readings of the axes that all evaluators with a checkpoint have, and of those of one of them; see `expected`."""
        protocol = self.protocol
        dataset = protocol.dataset.model_dump(exclude={"split"})
        return self._readings(
            Observed(
                checkpoint=protocol.checkpoint.model_dump(),
                dataset={**dataset, "columns": self.run.columns.model_dump()},
                split={"split": protocol.dataset.split},
                image=protocol.image.model_dump(exclude_none=True) if protocol.image else None,
                precision={"precision": protocol.precision},
                metric={"family": protocol.metric},
                scored=self.queries if self.sample is None else self.sample,
                seed=self.seed,
                candidate=self.candidate,
                **own,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptioningPlan(CheckpointPlan):
    """Captions the images of a data set with a checkpoint."""

    evaluator = "captioning"

    run: GeneratingRun
    protocol: CaptioningProtocol

    def _decides(self) -> dict[str, Any]:
        # The evidence contains the comparison of the run's tokens with the tokens of this text (`Observed.prompt`).
        return {**CheckpointPlan._decides(self), "stated_prompt": self.claim.protocol.prompt}

    @property
    def asked(self) -> dict[str, Any]:
        """See `CheckpointPlan.asked`."""
        return self._asked(
            prompt=self.protocol.prompt,
            stated_prompt=self.claim.protocol.prompt,
            decoding=self.protocol.decoding.model_dump(exclude={"num_answers"}),
        )

    @property
    def expected(self) -> tuple[Reading, ...]:
        """See `Plan.expected`."""
        return self._expected(
            prompt={"prompt": self.protocol.prompt},
            decoding=decoding_facts(self.protocol.decoding.model_dump()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweringPlan(CaptioningPlan):
    """Asks a checkpoint about each image what the image's row asks. The prompt is a template for the questions."""

    evaluator = "answering"

    run: AnsweringRun

    @property
    def noun(self) -> Noun:
        """See `Plan.noun`."""
        return "answer"

    @property
    def gives(self) -> tuple[str, ...]:
        """See `Plan.gives`."""
        return ("text", "ranked") if self.protocol.decoding.strategy == RANK else ("text",)

    @property
    def extras(self) -> Mapping[str, str]:
        """See `CaptioningPlan.extras`."""
        return {QUESTION: self.run.columns.question or QUESTION, **{name: name for name in self.run.extras or ()}}

    @property
    def asked(self) -> dict[str, Any]:
        """See `CaptioningPlan.asked`."""
        asked = CaptioningPlan.asked.__get__(self)
        return {"evaluator": self.evaluator, **asked, "extras": dict(self.extras)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionsPlan(Plan):
    """Scores released outputs."""

    evaluator = "predictions"

    run: PredictionsRun
    protocol: PredictionsProtocol
    """The paper's protocol, with the changes of the run section and of the command line."""

    @property
    def metric_family(self) -> str:
        """See `Plan.metric_family`."""
        return self.protocol.metric

    @property
    def noun(self) -> Noun:
        """See `Plan.noun`."""
        return self.run.noun

    @property
    def gives(self) -> tuple[str, ...]:
        """See `Plan.gives`. Which of them the file holds is known when it is read."""
        return ("text", "ranked")

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
    """Counts the parameters of a configuration."""

    evaluator = "parameters"

    run: ParametersRun


@dataclass(frozen=True, slots=True, kw_only=True)
class HookedPlan(Plan):
    """Is run by an evaluator that a plugin adds."""

    evaluator = "hooked"

    run: Any
    """The section run: an object of the evaluator's own subclass of `evaluators.Run`."""
    protocol: Protocol
    """The paper's protocol, with the changes of the run section and of the command line."""

    @property
    def metric_family(self) -> str | None:
        """See `Plan.metric_family`."""
        return self.protocol.metric

    @property
    def noun(self) -> Noun:
        """See `Plan.noun`."""
        found: Noun = self.run.noun
        return found

    @property
    def gives(self) -> tuple[str, ...]:
        """See `Plan.gives`."""
        found: tuple[str, ...] = self.run.gives
        return found

    def path(self, name: str) -> Path:
        """The file of a `DataPath` of the section run.

        Raises:
            NotAttempted: there is no such file.
            EvaluationError: the path leads elsewhere, or the run model does not declare it.
        """
        if name not in self.run.paths:
            raise EvaluationError(
                f"{name!r} is no DataPath of {type(self.run).__name__}; expected one, so that a change of the file is seen."
            )
        return files.need(name, self.folders, f"The file of {self.run.evaluator}")

    def _decides(self) -> dict[str, Any]:
        return {"protocol": self.protocol.model_dump(exclude={"metric"}), "run": self.run.model_dump()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a run says of a claim that is an operand."""

    span: tuple[Fraction, Fraction, Fraction] | None
    """Value and both ends of its interval, in the reported unit; None if no number may be used."""
    match: Match | None
    sampled: bool
    note: str
    """Why no number may be used; else under which status it was published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedPlan(Plan):
    """Computes a number from others."""

    evaluator = "derived"

    run: DerivedRun
    measured: Mapping[str, Measured] = field(default_factory=dict)
    """What runs say of the operands that are claims, by operand; `operands.py` at the top level fills it in."""

    def _decides(self) -> dict[str, Any]:
        named = {name: claim.digest for name, claim in self.claim.operands.items()}
        measured = {name: repr(found) for name, found in self.measured.items()}
        unit = self.claim.reported.unit  # of the derived value
        return {"run": self.run.model_dump(), "operands": named, "measured": measured, "unit": unit}
