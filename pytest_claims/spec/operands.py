"""Finds the claims that the operands of derived claims name, and checks what can only be checked with all operands."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from pytest_claims.errors import ClaimsError, first_line, nearest
from pytest_claims.spec import bands, checks, derived, nodes
from pytest_claims.spec.derived import DerivedRun
from pytest_claims.spec.expression import ExpressionError, parse
from pytest_claims.spec.units import DERIVED, PER_NATURAL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from fractions import Fraction

    from pytest_claims.spec.load import Claim
    from pytest_claims.spec.models import Citation
    from pytest_claims.spec.units import MetricInfo
    from pytest_claims.spec.validate import File
    from pytest_claims.spec.values import Printed

Others = Callable[[str], "Sequence[Claim]"]
"""The claims of a file in the same folder, by its name; raises `ClaimsError`. Their own operands are not looked up."""


def resolved(
    claims: Sequence[Claim], file: File, metrics: Mapping[str, MetricInfo], others: Others | None
) -> tuple[Claim, ...]:
    """The claims of a file; each derived one knows the claims that its operands name. Problems are noted in `file`.

    Args:
        claims: the valid claims of the file.
        file: the file.
        metrics: the metrics that a claim may name.
        others: None: nothing else is read, and an operand of another file stays unknown.
    """
    if not any(isinstance(claim.run, DerivedRun) for claim in claims):
        return tuple(claims)
    entries = file.document.value["claims"]
    places = {entry["id"]: index for index, entry in enumerate(entries) if isinstance(entry, dict) and "id" in entry}
    own = {claim.id: claim for claim in claims}
    found = []
    for claim in claims:
        run = claim.run
        if not isinstance(run, DerivedRun):
            found.append(claim)
            continue
        at = ("claims", places[claim.id])
        named: dict[str, Claim] = {}
        wrong = False
        for name, operand in run.operands.items():
            if operand.claim is None:
                continue
            target = _named(claim, operand.claim, own, tuple(map(str, places)), others)
            if isinstance(target, str):
                wrong = True
                if target:
                    place = file.place((*at, "run", "operands", name), ("run",))
                    file.problem(place, f"{nodes.show(place)}: {target}")
            elif target is not None:
                named[name] = target
        whole = _with(claim, named)
        if not wrong:
            for below, text in _together(whole, run, metrics):
                place = file.place((*at, *below), ("run",))
                file.problem(place, f"{nodes.show(place)}: {text}")
        found.append(whole)
    return tuple(found)


def _with(claim: Claim, named: Mapping[str, Claim]) -> Claim:
    """The claim with those that its operands name; its digest covers them, since they decide its verdict."""
    if not named:
        return claim
    digests = "\n".join([claim.digest, *(f"{name} {target.digest}" for name, target in named.items())])
    return replace(claim, operands=named, digest=hashlib.sha256(digests.encode()).hexdigest())


def _named(
    claim: Claim, text: str, own: Mapping[str, Claim], known: Sequence[str], others: Others | None
) -> Claim | str | None:
    """The claim that an operand names; what is wrong with the name; None if it is of a file that is not read.

    An operand is no derived claim. So no chain of claims can lead back to where it started.
    """
    name, sign, identifier = text.rpartition("::")
    if not sign or name == claim.file.name:
        if identifier == claim.id:
            return "a claim cannot be derived from itself"
        target = own.get(identifier)
        if target is None and identifier in known:
            return ""  # it is not valid, and its problems are noted
        listed: Sequence[str] = known
    elif others is None:
        return None
    else:
        try:
            there = {other.id: other for other in others(name)}
        except ClaimsError as error:
            return f"{name} cannot be used: {first_line(error)}"
        target, listed = there.get(identifier), tuple(there)
    if target is None:
        hint = nearest(identifier, listed) or f"; known: {', '.join(listed[:8])}"
        return f"no claim has the id {identifier!r}{f' in {name}' if sign else ''}{hint}"
    if isinstance(target.run, DerivedRun):
        return f"the claim {identifier} is derived itself; expected a claim that is evaluated, or a value with its citation"
    return target


def numbers(claim: Claim) -> dict[str, tuple[Printed, str, Citation]]:
    """Value, unit and citation of each operand, by name; of a claim, those that it has itself."""
    run = claim.run
    assert isinstance(run, DerivedRun)  # noqa: S101 - for the type checker
    found: dict[str, tuple[Printed, str, Citation]] = {}
    for name, operand in run.operands.items():
        target = claim.operands.get(name)
        if target is not None:
            found[name] = (target.reported.value, target.reported.unit, target.citation)
        elif operand.value is not None and operand.unit is not None and operand.citation is not None:
            found[name] = (operand.value, operand.unit, operand.citation)
    return found


def _together(
    claim: Claim, run: DerivedRun, metrics: Mapping[str, MetricInfo]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with the numbers of a claim together: path below the claim, and sentence."""
    known, reported = numbers(claim), claim.reported
    if len(known) < len(run.operands) or reported.metric not in DERIVED or list(derived.of_run(run, reported)):
        return
    expression = parse(run.expression)
    if problem := derived.of_units(expression, {name: unit for name, (_, unit, _) in known.items()}, reported):
        yield ("run", "expression"), problem
        return
    given = {name: derived.rounding(value, unit) for name, (value, unit, _) in known.items()}
    values = {name: derived.printed(value, unit) for name, (value, unit, _) in known.items()}
    try:
        value, may = derived.derive(expression, given, values, reported.unit)
    except ExpressionError as error:
        yield ("run", "expression"), f"{run.expression!r}: {error}"
        return
    yield from _unfailing(claim, metrics, max(may.high - value, value - may.low))


def _unfailing(
    claim: Claim, metrics: Mapping[str, MetricInfo], spread: Fraction
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Bands that cannot fail since the rounding of the operands is added to them."""
    reported, info = claim.reported, metrics[claim.reported.metric]
    limits = checks.metric_range(reported, metrics)
    if limits is None or info.trivial is None:
        return
    trivial = Decimal(str(info.trivial)) * PER_NATURAL[reported.unit]

    def found(width: Decimal) -> list[tuple[tuple[str, ...], str]]:
        return [
            (tuple(map(str, path)), text)
            for path, text in bands.unfailing(
                reported, claim.tolerance, claim.direction, limits=limits, trivial=trivial, spread=width
            )
        ]

    if not found(Decimal(0)):  # else it is noted already
        yield from found(Decimal(spread.numerator) / Decimal(spread.denominator))
