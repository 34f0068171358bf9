"""Finds tolerances that every result would meet. A claim with such a tolerance cannot fail, so it is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from pytest_claims.spec.units import DERIVED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_claims.spec import models, nodes


def unfailing(
    reported: models.Reported,
    tolerance: models.Tolerance,
    direction: str,
    *,
    limits: tuple[Decimal, Decimal],
    trivial: Decimal | None,
    spread: Decimal = Decimal(0),
) -> Iterator[tuple[nodes.Path, str]]:
    """The bands that even the worst result would reach: the path below the claim, and what is wrong there.

    The partial band counts like the pass band, since `partial` is green under the default gate.

    Args:
        reported: the number.
        tolerance: its bands.
        direction: which side of the number counts.
        limits: the least and the greatest value of the metric, in the reported unit.
        trivial: the value of a system that does nothing right, in the reported unit; None if there is no such value. Of a
            derived number, what equal operands give.
        spread: how far the rounding of its operands lets a derived number lie from its value, in the reported unit.
    """
    value, (low, high) = reported.value.value, limits
    for key, band in (("pass", tolerance.pass_), ("partial", tolerance.partial)):
        width = band.around(value) + reported.value.half_digit + spread
        bottom = low if direction == "at_most" else value - width
        top = high if direction == "at_least" else value + width
        rounded = " with the rounding of the operands" if spread else ""
        reaches = f"{_plain(max(bottom, low))} to {_plain(min(top, high))} {reported.unit}"
        covers = f"the {key} band ({band.text}){rounded} covers {reaches}"
        if bottom <= low and top >= high:
            yield ("tolerance", key), f"{covers}, all that {reported.metric} can give: no result could miss it"
            return
        # The band may reach the trivial value if only values beyond the reported one fail, or if the paper reports that value.
        lower = trivial is not None and value < trivial  # as a ratio below 1
        better = direction == ("at_least" if lower else "at_most") or value == trivial
        if trivial is not None and not better and bottom <= trivial <= top:
            gets = "equal operands give" if reported.metric in DERIVED else "a system gets that does nothing right"
            text = f"{covers}: it reaches {_plain(trivial)}, which {gets}"
            room = abs(value - trivial) - spread
            told = f"less than {_plain(room)} {reported.unit}" if room > 0 else "operands with more digits"
            yield ("tolerance", key), f"{text}; expected {told}"
            return


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}" if value.is_finite() else "any number"
