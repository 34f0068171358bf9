"""What a comparison of two runs is made of: its enums and dataclasses. Numbers are in the reported unit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal

    from pytest_claims.evidence import Differing


class Decision(StrEnum):
    """What the test of non-inferiority says; docs/verdicts.md states the rule."""

    NON_INFERIOR = "non-inferior"
    """The loss is credibly at most the margin."""
    INFERIOR = "inferior"
    """The loss is credibly larger than the margin."""
    INCONCLUSIVE = "inconclusive"
    """The images cannot tell."""
    NOT_COMPARED = "not compared"
    """There is nothing to compare with, or the two runs may not be compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Candidate − reference on the same images."""

    value: Decimal
    low: Decimal | None
    """Lower end of the 95 % interval; None, like all below, if the metric cannot be resampled."""
    high: Decimal | None
    level: float | None
    standard_error: Decimal | None
    probability_worse: float | None
    """Share of the resamples in which the candidate is worse, 0 to 1."""
    resamples: int | None
    lower_is_better: bool
    """Whether a lower value is the better one, as for an error rate."""

    @property
    def loss(self) -> Decimal:
        """How much worse the candidate is; negative if it is better."""
        return self.value if self.lower_is_better else -self.value

    @property
    def loss_span(self) -> tuple[Decimal, Decimal] | None:
        """The 95 % interval of the loss."""
        if self.low is None or self.high is None:
            return None
        return (self.low, self.high) if self.lower_is_better else (-self.high, -self.low)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """One image on which the candidate has the lower score: both outputs, and their scores alone in the reported unit."""

    id: str
    reference: str
    candidate: str
    reference_score: float
    candidate_score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What changed, image by image."""

    changed: int
    """Outputs whose text differs."""
    better: int | None
    """Images whose score rose; None, as `worse`, if the metric gives no score to each image."""
    worse: int | None
    """Images whose score fell."""
    losses: tuple[Loss, ...]
    """The largest losses, the largest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedComparison:
    """A candidate beside the reference that it would replace."""

    made: str = ""
    """Where the reference's outputs come from."""
    images: int = 0
    difference: Difference | None = None
    outputs: Outputs | None = None
    settings: tuple[Differing, ...] = ()
    """What differs apart from the weights: processor, tokenizer, generation config, parameters."""
    notes: tuple[str, ...] = ()
    margin: Decimal | None = None
    """The largest loss that is accepted, in the reported unit; None if no margin was given."""
    decision: Decision | None = None
    """None if nothing was to be decided: no margin, and no comparison asked for."""
    reason: str = ""
    """The decision in one sentence, or the difference where there is none, or why nothing was compared."""
    next_step: str = ""
    """What a person can do if nothing was compared."""
    images_to_decide: int | None = None
    """How many images would decide an inconclusive comparison if the loss stays as it is; None if no number would."""
