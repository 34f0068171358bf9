"""What a verdict is made of: its enums and dataclasses."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING

from pytest_claims import protocol

if TYPE_CHECKING:
    from pytest_claims.baseline import Change
    from pytest_claims.citation import CitationCheck
    from pytest_claims.evidence import Evidence, Supplied
    from pytest_claims.metrics import Score
    from pytest_claims.paired import PairedComparison
    from pytest_claims.protocol import Match, Reading
    from pytest_claims.spec import Claim


RULES = "1"
"""The version of the rules that make a verdict of a score. It changes if a rule can change a verdict: then every published
verdict is stale (docs/ledger.md)."""


class Outcome(StrEnum):
    """What arithmetic says."""

    PASS = "pass"
    PARTIAL = "partial"
    FAIL = "fail"


class Status(StrEnum):
    """What may be published."""

    PASS = "pass"
    PARTIAL = "partial"
    FAIL = "fail"
    PENDING = "pending"
    NOT_ATTEMPTED = "not_attempted"
    ERROR = "error"


class Kind(StrEnum):
    """Whether the published checkpoint was evaluated, or a release candidate before its publication."""

    POST = "POST"
    PRE = "PRE"


class Direction(StrEnum):
    """Which side of the reported value counts against the claim."""

    TWO_SIDED = "two_sided"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """How far from the reported value the score may lie, all in the reported unit."""

    reported: Decimal
    pass_: Decimal
    """Pass band plus half of the last printed digit."""
    partial: Decimal
    direction: Direction = Direction.TWO_SIDED

    def distance(self, value: Decimal) -> Decimal:
        """How far `value` lies on a side that counts; 0 on the side that does not."""
        difference = value - self.reported
        if self.direction is Direction.AT_LEAST:
            return max(-difference, Decimal(0))
        if self.direction is Direction.AT_MOST:
            return max(difference, Decimal(0))
        return abs(difference)

    def of_value(self, value: Decimal) -> Outcome:
        """The outcome of a number that is exact: the paper's own test set, or a count."""
        distance = self.distance(value)
        if distance <= self.pass_:
            return Outcome.PASS
        return Outcome.PARTIAL if distance <= self.partial else Outcome.FAIL

    def of_rounded(self, low: Fraction, high: Fraction) -> Outcome:
        """The outcome of a number that lies between two values, by the one of them that fits best; exact arithmetic."""
        reported = Fraction(self.reported)
        below, above = max(reported - high, Fraction(0)), max(low - reported, Fraction(0))
        distance = {
            Direction.TWO_SIDED: max(below, above),
            Direction.AT_LEAST: below,
            Direction.AT_MOST: above,
        }[self.direction]
        if distance <= Fraction(self.pass_):
            return Outcome.PASS
        return Outcome.PARTIAL if distance <= Fraction(self.partial) else Outcome.FAIL

    def of_interval(self, low: Decimal, high: Decimal) -> Outcome:
        """The outcome of an estimate: pass only if the whole interval passes, fail only if the whole interval fails.

        Two ends outside the partial band are not enough for a fail: an interval that reaches across the whole band has both
        ends outside, and values inside.
        """
        ends = {self.of_value(low), self.of_value(high)}
        if ends == {Outcome.PASS}:
            return Outcome.PASS
        spans = low <= self.reported <= high
        return Outcome.FAIL if ends == {Outcome.FAIL} and not spans else Outcome.PARTIAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A 95 % interval in the reported unit."""

    low: Decimal
    high: Decimal
    level: float
    standard_error: Decimal
    resamples: int
    population: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Which difference the run could have detected, in the reported unit."""

    detectable: Decimal
    """The smallest difference from the reported value at which the run's whole interval lies outside the pass band."""
    images_to_decide: int | None
    """How many images would make the interval as narrow as the pass band; None where nothing was sampled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breadth:
    """How much of the metric's range lies in the bands, and whether the run justifies bands of that width."""

    pass_: float | None
    """Share of the metric's range, 0 to 1; None where the range has no end."""
    partial: float | None
    wide: bool
    """Whether the pass band is wider than the run's own interval and the paper's printed digits justify together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What may be said about a claim, and what it is worth; immutable once issued."""

    claim: Claim
    kind: Kind
    status: Status
    reason: str
    """Why this status, in one or two sentences."""
    next_step: str = ""
    """What a person can do about it; empty where there is nothing to do."""
    outcome: Outcome | None = None
    score: Score | None = None
    measured: Decimal | None = None
    difference: Decimal | None = None
    span: Span | None = None
    power: Power | None = None
    confidence: float | None = None
    match: Match | None = None
    readings: tuple[Reading, ...] = ()
    evidence: Evidence | None = None
    needs: tuple[tuple[str, str], ...] = ()
    """What a run of the claim would need, by name; only a dry run fills it."""
    moved: tuple[Change, ...] = ()
    """What changed in the claim itself since the merge base."""
    baseline: str | None = None
    """How the claim compares with the merge base: `new`, `unchanged`, `moved` or `removed`; None if no merge base was named."""
    origin: str = ""
    """The file that held the claim at the merge base, if it was another file."""
    breadth: Breadth | None = None
    """How much the tolerance lets through."""
    comparison: PairedComparison | None = None
    """How a candidate compares with the checkpoint that it replaces; None without a candidate, or if it gave no number."""
    reference: Verdict | None = None
    """The verdict on the checkpoint that the candidate replaces, if its evidence was compared."""
    citation: CitationCheck | None = None
    """Whether the number stands in the cell that the claim cites; None: nobody looked."""
    supplied: tuple[Supplied, ...] = ()
    """The metrics and evaluators that hooks supplied to the session, whether this verdict rests on them or not."""

    @property
    def id(self) -> str:
        """Stable: the same claim, evidence and result have the same id."""
        evidence = self.evidence.digest if self.evidence else self.reason
        text = f"{self.claim.digest}\n{evidence}\n{self.status}\n{self.kind}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def deviations(self) -> tuple[Reading, ...]:
        """The axes on which the run differs from the paper."""
        return protocol.deviations(self.readings)
