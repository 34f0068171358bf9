"""The numbers of a verdict: bands, outcome, confidence, power and breadth. No status and no words."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING

from pytest_claims.spec.units import to_unit
from pytest_claims.verdict.models import Bands, Breadth, Direction, Outcome, Power, Span

if TYPE_CHECKING:
    from fractions import Fraction

    from pytest_claims.evidence import Derivation, Derived
    from pytest_claims.metrics import Score
    from pytest_claims.spec import Claim


def bands(claim: Claim) -> Bands:
    """The bands of a claim, each with half of the last printed digit added."""
    value = claim.reported.value
    return Bands(
        reported=value.value,
        pass_=claim.tolerance.pass_.around(value.value) + value.half_digit,
        partial=claim.tolerance.partial.around(value.value) + value.half_digit,
        direction=Direction(claim.direction),
    )


def span_of(score: Score, unit: str) -> Span | None:
    """The score's interval in the reported unit; None where the score has none."""
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


def outcome(limits: Bands, measured: Decimal, span: Span | None, *, sampled: bool) -> Outcome:
    """What arithmetic says: of the value itself, or of its interval where images were sampled."""
    if not sampled:
        return limits.of_value(measured)
    # One image has no spread, hence no interval: it decides nothing.
    return limits.of_interval(span.low, span.high) if span else Outcome.PARTIAL


def of_derivation(limits: Bands, derivation: Derivation) -> tuple[Outcome, Derived]:
    """The outcome of a derived number, and the value that decided it: the worse of the printed and the measured numbers.

    What the operands were before they were rounded is not known, so the claim gets the best of it. An estimate of a sample is
    no rounding: it counts as for every claim.
    """
    outcome, shown = limits.of_rounded(derivation.printed.low, derivation.printed.high), derivation.printed
    measured = derivation.measured
    if measured is None:
        return outcome, shown
    if derivation.sampled:
        other = limits.of_interval(decimal(measured.low), decimal(measured.high))
    else:
        other = limits.of_rounded(measured.low, measured.high)
    order = (Outcome.PASS, Outcome.PARTIAL, Outcome.FAIL)
    return (other, measured) if order.index(other) >= order.index(outcome) else (outcome, shown)


def derived_holds_every_outcome(limits: Bands, derivation: Derivation, found: Derived) -> bool:
    """Whether the samples behind a derived number leave so much open that the claim could pass as well as fail."""
    if not derivation.sampled or found is not derivation.measured:
        return False
    low, high = decimal(found.low), decimal(found.high)
    span = Span(low=low, high=high, level=0.95, standard_error=Decimal(0), resamples=0, population=None)
    return holds_every_outcome(limits, decimal(found.value), span)


def decimal(value: Fraction) -> Decimal:
    """A fraction with nine decimals, as `to_unit` has them."""
    return (Decimal(value.numerator) / Decimal(value.denominator)).quantize(Decimal("1e-9"))


def confidence(score: Score, limits: Bands, unit: str, found: Outcome) -> float:
    """The share of bootstrap replicates with the same outcome; each replicate is taken as an exact value."""
    replicates = score.interval.replicates if score.interval else ()
    if not replicates:
        return 0.0
    same = sum(limits.of_value(to_unit(value, unit)) is found for value in replicates)
    return same / len(replicates)


def power(limits: Bands, measured: Decimal, span: Span | None, images: int) -> Power:
    """Which difference a run on `images` images could have detected, and how many images would decide the claim."""
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


def power_of(limits: Bands, found: Derived) -> Power:
    """Which difference would have shown in a derived number, whatever its operands were before they were rounded."""
    width = max(found.high - found.value, found.value - found.low)
    return Power(detectable=limits.pass_ + decimal(width), images_to_decide=None)


def breadth(claim: Claim, limits: Bands, measured: Decimal, span: Span | None) -> Breadth:
    """How much of the metric's range the bands let through, and whether the run justifies bands that wide."""
    low, high = claim.range

    def share(width: Decimal) -> float | None:
        bottom = low if limits.direction is Direction.AT_MOST else max(low, limits.reported - width)
        top = high if limits.direction is Direction.AT_LEAST else min(high, limits.reported + width)
        return round(float((top - bottom) / (high - low)), 4) if high.is_finite() else None

    uncertainty = max(span.high - measured, measured - span.low) if span else Decimal(0)
    justified = uncertainty + claim.reported.value.half_digit
    return Breadth(pass_=share(limits.pass_), partial=share(limits.partial), wide=limits.pass_ > justified)


def holds_every_outcome(limits: Bands, measured: Decimal, span: Span) -> bool:
    """Whether an interval is so wide that the claim could pass as well as fail.

    An interval that leaves the partial band on both sides holds every outcome. So does one that reaches further on either side
    of the measured value than the partial band is wide.
    """
    both = limits.of_value(span.low) is Outcome.FAIL and span.high >= limits.reported
    if limits.direction is Direction.AT_MOST:
        both = limits.of_value(span.high) is Outcome.FAIL and span.low <= limits.reported
    elif limits.direction is Direction.TWO_SIDED:
        both = limits.of_value(span.low) is Outcome.FAIL and limits.of_value(span.high) is Outcome.FAIL
    return both or min(span.high - measured, measured - span.low) > limits.partial
