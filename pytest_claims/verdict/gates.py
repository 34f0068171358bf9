"""Claim + score + readings → verdict. Pure: no clock, no file, no model.

Arithmetic proposes an outcome. The protocol may lower or withhold it, and never raises it. docs/verdicts.md states the rules
and shows them at work.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from pytest_claims import protocol
from pytest_claims.protocol import Match
from pytest_claims.spec.units import PER_NATURAL, to_unit
from pytest_claims.verdict import arithmetic, words
from pytest_claims.verdict.models import Kind, Outcome, Status, Verdict

if TYPE_CHECKING:
    from decimal import Decimal

    from pytest_claims.citation import CitationCheck
    from pytest_claims.evidence import Evidence
    from pytest_claims.metrics import Score
    from pytest_claims.protocol import Reading
    from pytest_claims.spec import Claim
    from pytest_claims.verdict.models import Bands, Power, Span

PROXY_CONFIDENCE = 0.6
"""The highest confidence of a proxy run. It followed a protocol near the paper's, and more images do not change that."""


def judge(
    claim: Claim,
    score: Score,
    evidence: Evidence,
    readings: tuple[Reading, ...],
    *,
    candidate: str | None = None,
    accept_replay: bool = False,
    citation: CitationCheck | None = None,
) -> Verdict:
    """The verdict on a claim that was evaluated.

    Args:
        claim: the claim.
        score: the metric's value in its natural range, with interval and replicates if images were sampled.
        evidence: what the score was computed from.
        readings: every axis, paper against run.
        candidate: the release candidate that stood in for the checkpoint.
        accept_replay: evidence that was replayed counts like evidence that was made here.
        citation: whether the number stands where the claim says; None: nobody looked.
    """
    limits = arithmetic.bands(claim)
    sums = (_derived if evidence.derivation else _scored)(claim, score, evidence, limits)
    match = protocol.match(readings)
    withhold = evidence.replayed and not accept_replay
    rejected = citation is not None and citation.rejected
    status = _publish(sums.outcome, match, replayed=withhold, rejected=rejected)
    because = words.gated(match, readings, replayed=withhold, citation=citation)
    next_step = words.advice(status, match, replayed=withhold, citation=citation)
    if sums.nothing and status is not Status.PENDING:
        status, because, next_step = Status.PENDING, sums.nothing, words.TOO_FEW
    return Verdict(
        claim=claim,
        kind=Kind.PRE if candidate else Kind.POST,
        status=status,
        reason=f"{because}{sums.told}",
        next_step=next_step,
        outcome=sums.outcome,
        score=sums.score,
        measured=sums.measured,
        difference=sums.measured - limits.reported,
        span=sums.span,
        power=sums.power,
        confidence=round(_capped(sums.confidence, status, match), 4),
        match=match,
        readings=readings,
        evidence=evidence,
        breadth=arithmetic.breadth(claim, limits, sums.measured, sums.span),
        citation=citation,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """What arithmetic says, before any gate."""

    outcome: Outcome
    score: Score
    measured: Decimal
    told: str
    power: Power
    nothing: str
    """Why the numbers decide nothing; empty where they do."""
    confidence: float = 1.0
    span: Span | None = None


def _scored(claim: Claim, score: Score, evidence: Evidence, limits: Bands) -> _Sums:
    """Of a number that was scored or counted."""
    unit, images = claim.reported.unit, len(evidence.outputs)
    measured = to_unit(score.value, unit)
    sampled = evidence.population is not None
    span = arithmetic.span_of(score, unit)
    estimate = span if sampled else None
    outcome = arithmetic.outcome(limits, measured, estimate, sampled=sampled)
    return _Sums(
        outcome=outcome,
        score=score,
        measured=measured,
        told=words.compared(outcome, measured, limits, estimate, unit, evidence.basis),
        power=arithmetic.power(limits, measured, estimate, images),
        nothing=_decides_nothing(limits, outcome, measured, estimate, images, sampled=sampled),
        confidence=arithmetic.confidence(score, limits, unit, outcome) if sampled else 1.0,
        span=span,
    )


def _derived(claim: Claim, score: Score, evidence: Evidence, limits: Bands) -> _Sums:
    """Of a number that was computed from others; the score becomes that of the value which decided."""
    unit, derivation = claim.reported.unit, evidence.derivation
    assert derivation is not None  # noqa: S101 - for the type checker
    outcome, found = arithmetic.of_derivation(limits, derivation)
    wide = arithmetic.derived_holds_every_outcome(limits, derivation, found)
    return _Sums(
        outcome=outcome,
        score=replace(score, value=float(found.value / Fraction(PER_NATURAL[unit]))),
        measured=arithmetic.decimal(found.value),
        told=words.derived(outcome, derivation, found, limits, unit),
        power=arithmetic.power_of(limits, found),
        nothing=words.WIDE_OPERANDS if wide else "",
    )


def _capped(confidence: float, status: Status, match: Match) -> float:
    if status is Status.PENDING:
        return 0.0  # a withheld number says nothing about the claim
    return min(confidence, PROXY_CONFIDENCE) if match is Match.PROXY else confidence


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
    citation: CitationCheck | None = None,
) -> Verdict:
    """The verdict on a claim that gave no number: `not_attempted` or `error`.

    It is `pending` in place of `not_attempted` if the citation was rejected: an attempt would change nothing. A dry run, which
    has `needs`, attempts nothing.
    """
    if status is Status.NOT_ATTEMPTED and citation is not None and citation.rejected and not needs:
        status, reason = Status.PENDING, f"{words.rejected(citation)}It was not attempted either: {reason}"
        next_step = citation.next_step
    return Verdict(
        claim=claim,
        kind=Kind.PRE if candidate else Kind.POST,
        status=status,
        reason=reason,
        next_step=next_step,
        readings=readings,
        evidence=evidence,
        needs=needs,
        citation=citation,
    )


def _publish(outcome: Outcome, match: Match, *, replayed: bool, rejected: bool) -> Status:
    """The status: the citation and the protocol lower the outcome or withhold it, and never raise it."""
    if rejected:
        return Status.PENDING
    if match is Match.EXACT and not replayed:
        return Status(outcome.value)
    if match is Match.PROXY and not replayed:
        return Status.PARTIAL
    return Status.PENDING


def _decides_nothing(
    limits: Bands, outcome: Outcome, measured: Decimal, span: Span | None, images: int, *, sampled: bool
) -> str:
    """Why so few images cannot decide a claim, whatever `min_sample` says; empty where they can.

    Even a wide interval tells a failure, if it lies wholly outside the partial band.
    """
    if images == 1:
        return words.ONE_IMAGE
    if not sampled or outcome is Outcome.FAIL:
        return ""
    if span is None:
        return words.NO_INTERVAL
    return words.wide_interval(images, limits) if arithmetic.holds_every_outcome(limits, measured, span) else ""
