"""The evaluator `derived`: computes a number from others, in exact arithmetic."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING

from pytest_claims.errors import EvaluationError
from pytest_claims.evidence import Basis, Derivation, Derived, Evidence, Operand
from pytest_claims.protocol import Observed
from pytest_claims.spec import PER_NATURAL, derived, expression, operands

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_claims.bench import Bench
    from pytest_claims.protocol import DerivedPlan


def evaluate(plan: DerivedPlan, _bench: Bench) -> Evidence:
    """The evidence of a plan: the value from the printed numbers, and the one from what runs measured.

    Raises:
        EvaluationError: the expression has no value for the measured numbers.
    """
    claim = plan.claim
    known = operands.numbers(claim)
    given = {name: derived.rounding(value, unit) for name, (value, unit, _) in known.items()}
    values = {name: derived.printed(value, unit) for name, (value, unit, _) in known.items()}
    from_print = _derived(plan, given, values)
    used = {name: found for name, found in plan.measured.items() if found.span is not None}
    for name, found in used.items():
        natural = [end / Fraction(PER_NATURAL[known[name][1]]) for end in found.span or ()]
        values[name], given[name] = natural[0], expression.Interval(natural[1], natural[2])
    return Evidence(
        basis=Basis.DERIVED,
        derivation=Derivation(
            expression=plan.run.expression,
            operands=tuple(_operands(plan)),
            printed=from_print,
            measured=_derived(plan, given, values) if used else None,
            sampled=any(found.sampled for found in used.values()),
        ),
        observed=Observed(operands={name: found.match for name, found in used.items()} or None),
        notes=tuple(
            f"operand {name}: nothing measured is used, only the reported value. {found.note}"
            for name, found in plan.measured.items()
            if found.span is None
        ),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _operands(plan: DerivedPlan) -> Iterator[Operand]:
    for name, (value, unit, citation) in operands.numbers(plan.claim).items():
        printed, half = Fraction(value.value), Fraction(value.half_digit)
        target, found = plan.claim.operands.get(name), plan.measured.get(name)
        yield Operand(
            name=name,
            printed=value.text,
            unit=unit,
            low=printed - half,
            high=printed + half,
            place=f"{citation.section}, {citation.row}, {citation.column}",
            claim=f"{target.display}::{target.id}" if target else "",
            measured=found.span if found else None,
            note=found.note if found else "",
        )


def _derived(plan: DerivedPlan, given: Mapping[str, expression.Interval], values: Mapping[str, Fraction]) -> Derived:
    try:
        value, may = derived.derive(expression.parse(plan.run.expression), given, values, plan.claim.reported.unit)
    except expression.ExpressionError as error:
        raise EvaluationError(f"{plan.claim.where}: {plan.run.expression!r} has no value: {error}.") from None
    return Derived(value=value, low=may.low, high=may.high)
