"""The claims that a derived claim is computed from: what their runs measured.

Each is verified by the same session, whether or not it was selected. So a derived verdict depends neither on the order of the
claims nor on how they are spread over workers. Claims that share evidence share one run, as everywhere.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from pytest_claims.errors import EvaluationError, NotAttempted
from pytest_claims.protocol import Measured
from pytest_claims.spec import PER_NATURAL
from pytest_claims.verdict import Kind, Status

if TYPE_CHECKING:
    from pytest_claims.evidence import Derivation
    from pytest_claims.metrics import Score
    from pytest_claims.protocol import DerivedPlan
    from pytest_claims.run import Session
    from pytest_claims.spec import Claim
    from pytest_claims.verdict import Verdict


def measured(session: Session, plan: DerivedPlan) -> tuple[DerivedPlan, str | None]:
    """The plan with what was measured of its operands, and the release candidate that one of them ran, if one did.

    Raises:
        NotAttempted: an operand has no measured number, and the session asks for attempts.
        EvaluationError: the run of an operand failed, or its candidate gave no number.
    """
    found: dict[str, Measured] = {}
    candidate = None
    for name, claim in plan.claim.operands.items():
        key = (claim.file, claim.id, claim.digest)
        if key not in session.behind:
            session.behind[key] = session.judged(claim)
        verdict = session.behind[key]
        found[name] = _measured(name, verdict, require_attempt=session.settings.require_attempt)
        if verdict.kind is Kind.PRE:
            candidate = candidate or f"of the operand {name}"
    return replace(plan, measured=found), candidate


def _measured(name: str, verdict: Verdict, *, require_attempt: bool) -> Measured:
    claim, status = verdict.claim, verdict.status
    said = f"The claim {claim.id} is {status.replace('_', ' ')}: {verdict.reason}"
    if status is Status.ERROR:
        raise EvaluationError(f"The operand {name} has no number. {said}")
    usable = status in (Status.PASS, Status.PARTIAL, Status.FAIL) and verdict.measured is not None
    if not usable and verdict.kind is Kind.PRE:
        raise EvaluationError(f"The candidate of the operand {name} gave no number. {said}")
    if not usable and require_attempt:
        raise NotAttempted(f"The operand {name} has no measured number. {said}", verdict.next_step)
    if not usable or verdict.measured is None:
        return Measured(span=None, match=None, sampled=False, note=said)
    value = Fraction(verdict.measured)
    span = verdict.span
    sampled = verdict.evidence is not None and verdict.evidence.population is not None and span is not None
    ends = (Fraction(span.low), Fraction(span.high)) if sampled and span is not None else (value, value)
    return Measured(
        span=(value, *ends), match=verdict.match, sampled=sampled, note=f"The claim {claim.id} is {status}."
    )


def score(claim: Claim, derivation: Derivation) -> Score:
    """The score of a derived claim: from the measured numbers where there are some, else from the printed ones."""
    from pytest_claims.metrics.derived import derived

    found = derivation.measured or derivation.printed
    value = float(found.value / Fraction(PER_NATURAL[claim.reported.unit]))
    counts = {operand.name: f"{operand.printed} {operand.unit}" for operand in derivation.operands}
    return derived(claim.reported.metric, value, derivation.expression, counts)
