"""The sentences of a verdict: why it has its status, and what a person can do about it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from pytest_claims import protocol
from pytest_claims.evidence import Basis
from pytest_claims.protocol import Match
from pytest_claims.verdict.arithmetic import decimal
from pytest_claims.verdict.models import Direction, Outcome, Status

if TYPE_CHECKING:
    from pytest_claims.citation import CitationCheck
    from pytest_claims.evidence import Derivation, Derived
    from pytest_claims.protocol import Reading
    from pytest_claims.verdict.models import Bands, Span

TOO_FEW = "Score more images: leave --claims-sample out, or name a larger number."
"""The next step where the images decide nothing."""

ONE_IMAGE = "Withheld: one image decides nothing. "
WIDE_OPERANDS = "Withheld: the samples of the operands decide nothing, since the claim could pass as well as fail. "
NO_INTERVAL = "Withheld: a sample without an interval decides nothing. "


def wide_interval(images: int, limits: Bands) -> str:
    """Why a sample is withheld whose interval holds every outcome."""
    return (
        f"Withheld: {images:,} images decide nothing, since their 95 % interval is wider than the partial band "
        f"(±{limits.partial.normalize():f}) on both sides. "
    )


def gated(match: Match, readings: tuple[Reading, ...], *, replayed: bool, citation: CitationCheck | None = None) -> str:
    """Why the status is not the outcome; empty where it is."""
    if citation is not None and citation.rejected:
        return rejected(citation)
    if replayed and match in (Match.EXACT, Match.PROXY):
        return "Withheld: replayed from evidence that was not made here. "
    if match is Match.EXACT:
        return ""
    axes = ", ".join(
        reading.axis for reading in protocol.deviations(readings) if reading.consequence.value == match.value
    )
    if match is Match.PROXY:
        return f"Proxy protocol ({axes}): published as partial whatever the number. "
    if match is Match.UNKNOWN:
        return f"Withheld: the paper does not state {axes}. "
    return f"Withheld: the run drifted from the paper's protocol ({axes}). "


def rejected(citation: CitationCheck) -> str:
    """Why a claim is withheld whose number does not stand where it says."""
    kinds = {
        "misattributed": "misattributed",
        "contradicted": "contradicted by the paper",
        "not_found": "not found in the paper",
    }
    return f"Withheld: the citation is {kinds[citation.result]}. {citation.sentence} "


def advice(status: Status, match: Match, *, replayed: bool, citation: CitationCheck | None = None) -> str:
    """What a person can do about a withheld verdict; empty for every other."""
    if citation is not None and citation.rejected:
        return citation.next_step
    if status is Status.PENDING and match is Match.DRIFT:
        return "Run it without overrides, or correct the claim's protocol if the paper really did this."
    if status is Status.PENDING and match is not Match.UNKNOWN and replayed:
        return "Run it without --claims-replay, or vouch for the evidence with --claims-accept-replay."
    if status is Status.PENDING:
        return "Find the paper's value and state it in the protocol section."
    return ""


def compared(outcome: Outcome, measured: Decimal, limits: Bands, span: Span | None, unit: str, basis: Basis) -> str:
    """The comparison of the measured value with the reported one that gave the outcome."""
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


def derived(outcome: Outcome, derivation: Derivation, found: Derived, limits: Bands, unit: str) -> str:
    """How a derived number compares with the reported one."""
    printed, measured = derivation.printed, derivation.measured
    value, low, high = (_round(decimal(one)) for one in (found.value, found.low, found.high))
    by = "intervals" if derivation.sampled else "digits"
    may = f" ({low:f} to {high:f} by the {by} of the operands)" if low != high else ""
    band = limits.pass_ if outcome is Outcome.PASS else limits.partial
    place = {
        Outcome.PASS: "within the pass band",
        Outcome.PARTIAL: "within the partial band",
        Outcome.FAIL: "outside the partial band",
    }[outcome]
    which = "printed" if found is printed else "measured"
    text = (
        f"{derivation.expression} = {value:f}{may} from the {which} numbers, against {limits.reported} {unit}: {place} "
    )
    text += f"(±{band.normalize():f})."
    if measured is not None:
        other, name = (measured, "measured") if found is printed else (printed, "printed")
        text += f" From the {name} numbers it is {_round(decimal(other.value)):f}."
    return text


def _round(value: Decimal) -> Decimal:
    """`value` with two decimals from 10 on, else with four (30.39, 3.745, 0.3039): more digits than any band needs."""
    return value.quantize(Decimal("0.01" if abs(value) >= 10 else "0.0001")).normalize() + Decimal(0)
