"""Claim + score + deviations → verdict. Pure: no clock, no file, no model.

Arithmetic proposes an outcome; the protocol may lower it or withhold it, never raise it. The rules are the design's
"Verdict rules"; docs/verdicts.md shows them at work.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from pytest_claims import protocol
from pytest_claims.baseline import Change
from pytest_claims.evidence import Basis
from pytest_claims.protocol import Match
from pytest_claims.settings import Gate
from pytest_claims.spec.units import to_unit

if TYPE_CHECKING:
    from pytest_claims.evidence import Evidence
    from pytest_claims.metrics import Score
    from pytest_claims.protocol import Reading
    from pytest_claims.spec import Claim

PROXY_CONFIDENCE = 0.6
"""A proxy run says something about a neighbour of the claim; no number of images makes it more than likely."""


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

    def of_interval(self, low: Decimal, high: Decimal) -> Outcome:
        """The outcome of an estimate: pass only if the whole interval passes, fail only if the whole interval fails.

        "Wholly outside" is meant literally: an interval that spans the partial band from one side to the other has both
        ends outside and still holds values inside.
        """
        ends = {self.of_value(low), self.of_value(high)}
        if ends == {Outcome.PASS}:
            return Outcome.PASS
        spans = low <= self.reported <= high
        return Outcome.FAIL if ends == {Outcome.FAIL} and not spans else Outcome.PARTIAL


def bands(claim: Claim) -> Bands:
    """The bands of a claim, each with half of the last printed digit added."""
    value = claim.reported.value
    return Bands(
        reported=value.value,
        pass_=claim.tolerance.pass_.around(value.value) + value.half_digit,
        partial=claim.tolerance.partial.around(value.value) + value.half_digit,
        direction=Direction(claim.direction),
    )


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
    """Could it have failed? In the reported unit."""

    detectable: Decimal
    """The smallest difference from the reported value that this run would surely have told from a pass."""
    images_to_decide: int | None
    """How many images would make the interval as narrow as the pass band; None where nothing was sampled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breadth:
    """How much of what the metric can give lies in the bands, and whether anything calls for bands that wide."""

    pass_: float | None
    """Share of the metric's range, 0 to 1; None where the range has no end."""
    partial: float | None
    wide: bool
    """Whether the pass band is wider than the run's own interval and the paper's printed digits together justify."""


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
    """What a run of the claim would need, by name; of a dry run only."""
    moved: tuple[Change, ...] = ()
    """What changed in the claim itself since the merge base."""
    baseline: str | None = None
    """How the claim stands to the merge base: `new`, `unchanged`, `moved` or `removed`; None where none was named."""
    origin: str = ""
    """The file that the claim stood in at the merge base, where that was another."""
    breadth: Breadth | None = None
    """How much the tolerance lets through."""

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


def judge(
    claim: Claim,
    score: Score,
    evidence: Evidence,
    readings: tuple[Reading, ...],
    *,
    candidate: str | None = None,
    accept_replay: bool = False,
) -> Verdict:
    """The verdict on a claim that was evaluated.

    Args:
        claim: the claim.
        score: the metric's value in its natural range, with interval and replicates if images were sampled.
        evidence: what the score was computed from.
        readings: every axis, paper against run.
        candidate: the release candidate that stood in for the checkpoint.
        accept_replay: evidence that was replayed counts like evidence that was made here.
    """
    unit = claim.reported.unit
    limits = bands(claim)
    measured = to_unit(score.value, unit)
    sampled = evidence.population is not None
    span = _span(score, unit)
    outcome = _outcome(limits, measured, span if sampled else None, sampled=sampled)
    match = protocol.match(readings)
    withhold = evidence.replayed and not accept_replay
    status, because = _publish(outcome, match, readings, replayed=withhold)
    nothing = _decides_nothing(
        limits, outcome, measured, span if sampled else None, len(evidence.captions), sampled=sampled
    )
    if nothing and status is not Status.PENDING:
        status, because = Status.PENDING, nothing
    confidence = _confidence(score, limits, unit, outcome) if sampled else 1.0
    if status is Status.PENDING:
        confidence = 0.0  # a withheld number says nothing about the claim
    elif match is Match.PROXY:
        confidence = min(confidence, PROXY_CONFIDENCE)
    return Verdict(
        claim=claim,
        kind=Kind.PRE if candidate else Kind.POST,
        status=status,
        reason=f"{because}{_arithmetic(outcome, measured, limits, span if sampled else None, unit, evidence.basis)}",
        next_step=TOO_FEW if nothing and because == nothing else _advice(status, match, replayed=withhold),
        outcome=outcome,
        score=score,
        measured=measured,
        difference=measured - limits.reported,
        span=span,
        power=_power(limits, measured, span if sampled else None, len(evidence.captions)),
        confidence=round(confidence, 4),
        match=match,
        readings=readings,
        evidence=evidence,
        breadth=_breadth(claim, limits, measured, span),
    )


def undecided(
    claim: Claim,
    status: Status,
    reason: str,
    *,
    next_step: str = "",
    readings: tuple[Reading, ...] = (),
    evidence: Evidence | None = None,
    candidate: str | None = None,
    needs: tuple[tuple[str, str], ...] = (),
) -> Verdict:
    """The verdict on a claim that gave no number: `not_attempted` or `error`."""
    return Verdict(
        claim=claim,
        kind=Kind.PRE if candidate else Kind.POST,
        status=status,
        reason=reason,
        next_step=next_step,
        readings=readings,
        evidence=evidence,
        needs=needs,
    )


def _outcome(limits: Bands, measured: Decimal, span: Span | None, *, sampled: bool) -> Outcome:
    if not sampled:
        return limits.of_value(measured)
    # One image has no spread, hence no interval: it decides nothing.
    return limits.of_interval(span.low, span.high) if span else Outcome.PARTIAL


TOO_FEW = "Score more images: leave --claims-sample out, or name a larger number."


def _decides_nothing(
    limits: Bands, outcome: Outcome, measured: Decimal, span: Span | None, images: int, *, sampled: bool
) -> str:
    """Why so few images cannot decide a claim, whatever `min_sample` says; empty where they can.

    An interval that leaves the partial band on both sides holds every outcome. So does one that reaches further on either side
    of the measured value than the partial band is wide, unless it lies wholly outside: that many images do tell a failure.
    """
    if images == 1:
        return "Withheld: one image decides nothing. "
    if not sampled or outcome is Outcome.FAIL:
        return ""
    if span is None:
        return "Withheld: a sample without an interval decides nothing. "
    both = limits.of_value(span.low) is Outcome.FAIL and span.high >= limits.reported
    if limits.direction is Direction.AT_MOST:
        both = limits.of_value(span.high) is Outcome.FAIL and span.low <= limits.reported
    elif limits.direction is Direction.TWO_SIDED:
        both = limits.of_value(span.low) is Outcome.FAIL and limits.of_value(span.high) is Outcome.FAIL
    if both or min(span.high - measured, measured - span.low) > limits.partial:
        return (
            f"Withheld: {images:,} images decide nothing, since their 95 % interval is wider than the partial band "
            f"(±{limits.partial.normalize():f}) on both sides. "
        )
    return ""


def _breadth(claim: Claim, limits: Bands, measured: Decimal, span: Span | None) -> Breadth:
    low, high = claim.range

    def share(width: Decimal) -> float | None:
        bottom = low if limits.direction is Direction.AT_MOST else max(low, limits.reported - width)
        top = high if limits.direction is Direction.AT_LEAST else min(high, limits.reported + width)
        return round(float((top - bottom) / (high - low)), 4) if high.is_finite() else None

    uncertainty = max(span.high - measured, measured - span.low) if span else Decimal(0)
    justified = uncertainty + claim.reported.value.half_digit
    return Breadth(pass_=share(limits.pass_), partial=share(limits.partial), wide=limits.pass_ > justified)


def _publish(outcome: Outcome, match: Match, readings: tuple[Reading, ...], *, replayed: bool) -> tuple[Status, str]:
    """The status and why: the protocol lowers the outcome or withholds it, and never raises it."""
    if replayed and match in (Match.EXACT, Match.PROXY):
        return Status.PENDING, "Withheld: replayed from evidence that was not made here. "
    if match is Match.EXACT:
        return Status(outcome.value), ""
    axes = ", ".join(
        reading.axis for reading in protocol.deviations(readings) if reading.consequence.value == match.value
    )
    if match is Match.PROXY:
        return Status.PARTIAL, f"Proxy protocol ({axes}): published as partial whatever the number. "
    if match is Match.UNKNOWN:
        return Status.PENDING, f"Withheld: the paper does not state {axes}. "
    return Status.PENDING, f"Withheld: the run drifted from the paper's protocol ({axes}). "


def _advice(status: Status, match: Match, *, replayed: bool) -> str:
    if status is Status.PENDING and match is Match.DRIFT:
        return "Run it without overrides, or correct the claim's protocol if the paper really did this."
    if status is Status.PENDING and match is not Match.UNKNOWN and replayed:
        return "Run it without --claims-replay, or vouch for the evidence with --claims-accept-replay."
    if status is Status.PENDING:
        return "Find the paper's value and state it in the protocol section."
    return ""


def _arithmetic(outcome: Outcome, measured: Decimal, limits: Bands, span: Span | None, unit: str, basis: Basis) -> str:
    sign = {Outcome.PASS: "within the pass band", Outcome.PARTIAL: "within the partial band"}
    difference = measured - limits.reported
    if span is not None:
        words = {
            Outcome.PASS: f"lies wholly within the pass band (±{limits.pass_.normalize():f} around {limits.reported})",
            Outcome.PARTIAL: f"neither lies wholly within the pass band (±{limits.pass_.normalize():f}) nor wholly "
            f"outside the partial band (±{limits.partial.normalize():f})",
            Outcome.FAIL: f"lies wholly outside the partial band (±{limits.partial.normalize():f})",
        }[outcome]
        return f"The 95 % interval {_round(span.low)} to {_round(span.high)} around {_round(measured)} {words}."
    place = sign.get(outcome, "outside the partial band")
    band = limits.pass_ if outcome is Outcome.PASS else limits.partial
    text = f"{_round(measured)} against {limits.reported} {unit}: a difference of {_round(difference):+} is {place} "
    if limits.direction is Direction.TWO_SIDED:
        text += f"(±{band.normalize():f})."
    else:
        text += f"({band.normalize():f}, {limits.direction.value.replace('_', ' ')})."
    if outcome is Outcome.FAIL and difference > 0 and limits.direction is Direction.TWO_SIDED:
        text += " Much too good means wrong weights, wrong split or leakage as often as a better model."
    if outcome is Outcome.PASS and basis is Basis.RESCORED:
        text += " The released outputs give the reported number; how they were generated was not observed."
    return text


def _round(value: Decimal) -> Decimal:
    """Four digits behind the first that is not zero are more than any band needs; 30.39, 3.745, 0.3039."""
    return value.quantize(Decimal("0.01" if abs(value) >= 10 else "0.0001")).normalize() + Decimal(0)


def _span(score: Score, unit: str) -> Span | None:
    interval = score.interval
    if interval is None:
        return None
    return Span(
        low=to_unit(interval.low, unit),
        high=to_unit(interval.high, unit),
        level=interval.level,
        standard_error=to_unit(interval.standard_error, unit),
        resamples=interval.resamples,
        population=interval.population,
    )


def _confidence(score: Score, limits: Bands, unit: str, outcome: Outcome) -> float:
    """The share of bootstrap replicates with the same outcome; each replicate is taken as an exact value."""
    replicates = score.interval.replicates if score.interval else ()
    if not replicates:
        return 0.0
    same = sum(limits.of_value(to_unit(value, unit)) is outcome for value in replicates)
    return same / len(replicates)


def _power(limits: Bands, measured: Decimal, span: Span | None, images: int) -> Power:
    if span is None:
        return Power(detectable=limits.pass_, images_to_decide=None)
    width = max(span.high - measured, measured - span.low)
    decide: int | None = None
    if span.population and width > 0 and limits.pass_ > 0:
        # width² = c (1/n − 1/N) for a sample of n out of N without replacement (Cochran 1977, eq. 2.20); solved for n.
        total = span.population
        spread = float(width) ** 2 / (1 / images - 1 / total)
        decide = min(total, math.ceil(1 / (float(limits.pass_) ** 2 / spread + 1 / total)))
    return Power(detectable=limits.pass_ + width, images_to_decide=decide)


def removed(claim: Claim, *, revision: str, why: str, accepted: bool) -> tuple[Verdict, Result, str]:
    """The verdict on a claim that stood at the merge base with `revision` and is not run, what the runner is told, and why."""
    reason = f"removed: {claim.where} held the claim {claim.id} at the merge base with {revision}, and {why}."
    gone = Change(key="claim", before=claim.id, after="removed")
    verdict = replace(undecided(claim, Status.ERROR, reason), moved=(gone,), baseline="removed")
    if accepted:
        return verdict, Result.EXPECTED, f"accepted with --claims-accept-moved. {reason}"
    return verdict, Result.FAILED, reason


class Result(StrEnum):
    """What the test runner is told."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    EXPECTED = "expected"
    """The recorded result came out again, such as a claim that is known to fail."""


def settle(verdict: Verdict, *, gate: Gate, require_attempt: bool, accept_moved: bool = False) -> tuple[Result, str]:
    """The test result and, where it is not `passed`, why: the table of the design's "Verdict rules".

    Args:
        verdict: the verdict.
        gate: the lowest status that stays green.
        require_attempt: a claim that was not attempted fails.
        accept_moved: a claim that was changed since the merge base does not fail for that.
    """
    status, outcome, expect = verdict.status, verdict.outcome, verdict.claim.expect
    if verdict.moved and not accept_moved:
        moved = "; ".join(f"{change.key}: {change.before} → {change.after}" for change in verdict.moved)
        return Result.FAILED, f"the bar moved ({moved}). {verdict.reason}"
    if status is Status.NOT_ATTEMPTED and verdict.kind is Kind.PRE:
        return Result.FAILED, f"the candidate was not evaluated. {verdict.reason}"
    if status is Status.NOT_ATTEMPTED:
        return (Result.FAILED if require_attempt else Result.SKIPPED), verdict.reason
    if expect is not None and status.value != expect:
        return Result.FAILED, f"expected {expect}, as recorded, but got {status}. {verdict.reason}"
    if expect is not None and outcome is Outcome.FAIL and expect != Status.FAIL.value:
        return Result.FAILED, f"expected {expect}, as recorded, but the outcome is fail. {verdict.reason}"
    if expect is not None and verdict.kind is Kind.PRE and status not in (Status.PASS, Status.PARTIAL, Status.FAIL):
        # The record is of the published checkpoint; what hinders a candidate was never recorded.
        return Result.FAILED, f"{status} of a candidate, which {expect!r} as recorded does not excuse. {verdict.reason}"
    if expect is not None and status is not Status.PASS:
        return Result.EXPECTED, f"{expect}, as recorded. {verdict.reason}"
    green = status is Status.PASS or (status is Status.PARTIAL and outcome is not Outcome.FAIL and gate is Gate.PARTIAL)
    if green:
        return Result.PASSED, ""
    if status is Status.PARTIAL and outcome is not Outcome.FAIL:
        return Result.FAILED, f"the gate asks for pass, the verdict is partial. {verdict.reason}"
    return Result.FAILED, verdict.reason


def failure_type(status: str, *, moved: bool = False) -> str:
    """The `type` of a JUnit failure: `claim.fail`, `claim.withheld`, `claim.error`, `claim.moved`, …"""
    if moved:
        return "claim.moved"
    return "claim.withheld" if status == Status.PENDING else f"claim.{status}"
