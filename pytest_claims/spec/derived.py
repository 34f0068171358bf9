"""Derived claims: the section `run` of a sentence that follows from other numbers, and what may be wrong with it.

docs/citations.md, "Sentences that follow from cells", states the rules.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, field_serializer

from pytest_claims.spec import explain
from pytest_claims.spec.expression import Dimension, Expression, ExpressionError, Interval, parse
from pytest_claims.spec.models import Citation, Model, Protocol
from pytest_claims.spec.units import COUNTS, DERIVED, PER_NATURAL, SHARES
from pytest_claims.spec.values import OPERAND, OPERAND_CLAIM, Printed, PrintedNumber, Text, Unit, quotes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_claims.spec import nodes
    from pytest_claims.spec.models import Reported

MOST = 16
"""Operands of a claim."""

LARGEST = Fraction(10) ** 30
"""The largest value, in the reported unit. Larger numbers are mistakes, and floating-point numbers of reports have an end."""

_SAME = "all operands are equal"
_PROBES: Mapping[str, tuple[Fraction, str]] = {
    "difference": (Fraction(0), "a difference is 0"),
    "ratio": (Fraction(1), "a ratio is 1"),
    "relative_change": (Fraction(0), "a relative change is 0"),
}
"""What each metric gives for equal operands, and how a message says it."""

_EXAMPLES = {"difference": "a - b", "ratio": "a / b", "relative_change": "a / b - 1, or 1 - a / b"}


class Operand(Model):
    """A number that an expression uses: a printed one with its cell, or a claim."""

    value: PrintedNumber | None = Field(
        default=None,
        description="the number with the digits that the paper prints; half of the last one is its rounding",
    )
    unit: Unit | None = Field(default=None, description="the unit of the value, as under reported")
    citation: Citation | None = Field(default=None, description="the cell of the table that holds the value")
    claim: Annotated[str, StringConstraints(pattern=OPERAND_CLAIM)] | None = Field(
        default=None,
        description="instead of value, unit and citation: the id of a claim of this file, or FILE.yaml::ID of a file beside it",
    )

    @field_serializer("value")
    def _text(self, value: Printed | None) -> str | None:
        return value.text if value else None


class DerivedRun(Model):
    """Compute the number from others that the paper, or other claims, report."""

    protocol: ClassVar[type[Protocol]] = Protocol
    runs_checkpoint: ClassVar[bool] = False
    gives: ClassVar[tuple[str, ...]] = ()
    """`of_run` knows its metrics."""

    evaluator: Literal["derived"]
    expression: Text = Field(description="+ - * / and parentheses over the names of operands; each stands in it once")
    operands: dict[Annotated[str, StringConstraints(pattern=OPERAND)], Operand] = Field(
        description="the numbers, by the names that the expression uses"
    )

    @property
    def paths(self) -> tuple[str, ...]:
        """The claim files that operands name."""
        named = (operand.claim.partition("::") for operand in self.operands.values() if operand.claim)
        return tuple(dict.fromkeys(file for file, sign, _ in named if sign))


def rounding(value: Printed, unit: str) -> Interval:
    """What a printed number may have been before it was rounded, in the metric's natural range: 65.0 % → 0.6495 to 0.6505."""
    scale = Fraction(PER_NATURAL[unit])
    printed, half = Fraction(value.value), Fraction(value.half_digit)
    return Interval((printed - half) / scale, (printed + half) / scale)


def printed(value: Printed, unit: str) -> Fraction:
    """A printed number in the metric's natural range."""
    return Fraction(value.value) / Fraction(PER_NATURAL[unit])


def of_run(run: DerivedRun, reported: Reported | None) -> Iterator[tuple[nodes.Path, str]]:
    """What is wrong with an expression and its operands, without the claims that they name: path below `run`, and sentence."""
    yield from _operands(run)
    if not 2 <= len(run.operands) <= MOST:
        yield ("operands",), f"expected 2 to {MOST} operands, got {len(run.operands)}"
        return
    try:
        expression = parse(run.expression)
    except ExpressionError as error:
        yield ("expression",), f"{explain.short(run.expression)!r} cannot be read: {error}"
        return
    names = expression.names
    if unknown := [name for name in dict.fromkeys(names) if name not in run.operands]:
        yield ("expression",), f"it uses {unknown[0]!r}, which is no operand; known: {', '.join(run.operands)}"
        return
    for name in run.operands:
        if (times := names.count(name)) != 1:
            more = "; (a - b) / b is a / b - 1" if times else ""
            found = f"stands in it {times} times" if times else "does not stand in it"
            yield ("expression",), f"the operand {name!r} {found}; expected once{more}"
            return
    if reported is None:
        return
    if reported.metric not in DERIVED:
        yield (), f"the evaluator derived gives no {reported.metric}; known: {', '.join(DERIVED)}"
    elif problem := _ignores(expression, reported.metric):
        yield ("expression",), problem


def _operands(run: DerivedRun) -> Iterator[tuple[nodes.Path, str]]:
    for name, operand in run.operands.items():
        given = [key for key in ("value", "unit", "citation") if getattr(operand, key) is not None]
        at = ("operands", name)
        if operand.claim is not None and given:
            yield at, f"the operand {name!r} has a claim and {given[0]}; a claim has its own value, unit and citation"
        elif operand.claim is None and len(given) < len(("value", "unit", "citation")):
            lacks = next(key for key in ("value", "unit", "citation") if key not in given)
            yield at, f"the operand {name!r} lacks {lacks}; expected value, unit and citation, or claim"
        elif operand.value and operand.citation and not quotes(operand.citation.quoted_text, operand.value.text):
            text = f"quoted_text does not contain the value {operand.value.text} of the operand {name!r}"
            yield (*at, "citation", "quoted_text"), f"{text}: {explain.short(operand.citation.quoted_text)!r}"


def _ignores(expression: Expression, metric: str) -> str:
    """Why an expression is not what its metric says, so that its value does not come from the operands; empty if it is.

    Two probes: all operands are equal; and those that raise the value are twice the others. A constant that is added or
    multiplied shows in one of them: `8.7 + (a - b) / 1000`, `54 * a / a0`, `2 * (a - b)`.
    """
    rising = expression.rising()
    same, means = _PROBES[metric]
    for scale in (Fraction(1), Fraction(7)):
        twice = {name: scale * (2 if name in rising else 1) for name in expression.names}
        # 1 - a / b falls with a: one half less is what twice as much is from the other side.
        doubled = {"difference": {scale}, "ratio": {Fraction(2)}, "relative_change": {Fraction(1), Fraction(1, 2)}}[
            metric
        ]
        for given, wanted, says in (
            (dict.fromkeys(expression.names, scale), {same}, f"where {_SAME}, {means}"),
            (twice, doubled, f"where its larger side is twice the other, {_twice(metric)}"),
        ):
            try:
                value = expression.value(given)
            except ExpressionError:
                value = None
            if value not in wanted:
                got = "has no value" if value is None else f"gives {float(value):g}"
                return f"it is no {metric}: {says}, and it {got}; expected such as {_EXAMPLES[metric]}"
    return ""


def _twice(metric: str) -> str:
    return {
        "difference": "a difference is the other",
        "ratio": "a ratio is 2",
        "relative_change": "a relative change is 1, or one half of the larger",
    }[metric]


def dimension_of(unit: str) -> Dimension:
    """What a unit measures."""
    return Dimension(shares=int(unit in SHARES), counts=int(unit in COUNTS))


def of_units(expression: Expression, units: Mapping[str, str], reported: Reported) -> str:
    """Why the units of operands and of the reported value do not go together; empty if they do."""
    try:
        found = expression.dimension({name: dimension_of(unit) for name, unit in units.items()})
    except ExpressionError as error:
        return f"{error}: {', '.join(f'{name} {unit}' for name, unit in units.items())}"
    wanted = dimension_of(reported.unit) if reported.metric == "difference" else Dimension()
    if found != wanted:
        given = ", ".join(dict.fromkeys(units.values()))
        return f"operands in {given} do not give a {reported.metric} in {reported.unit} by it"
    return ""


def derive(
    expression: Expression, given: Mapping[str, Interval], values: Mapping[str, Fraction], unit: str
) -> tuple[Fraction, Interval]:
    """The value of an expression and what it may be, in the reported unit.

    Args:
        expression: the expression.
        given: what each operand may be, in its natural range.
        values: what it is said to be.
        unit: of the reported value.

    Raises:
        ExpressionError: it divides by what may be 0, or its value is too large.
    """
    scale = Fraction(PER_NATURAL[unit])
    found = expression.over(given)
    value, low, high = expression.value(values) * scale, found.low * scale, found.high * scale
    if max(abs(low), abs(high)) > LARGEST:
        raise ExpressionError(f"its value is larger than {float(LARGEST):.0e}")
    return value, Interval(low, high)
