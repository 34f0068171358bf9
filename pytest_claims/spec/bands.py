"""Finds tolerances that every result would meet. A claim with such a tolerance cannot fail, so it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from pytest_claims.spec import models, nodes


def unfailing(
    reported: models.Reported,
    tolerance: models.Tolerance,
    direction: str,
    *,
    limits: tuple[Decimal, Decimal],
    trivial: Decimal | None,
) -> Iterator[tuple[nodes.Path, str]]:
    """The bands that even the worst result would reach: the path below the claim, and what is wrong there.

    The partial band counts like the pass band, since `partial` is green under the default gate.

    Args:
        reported: the number.
        tolerance: its bands.
        direction: which side of the number counts.
        limits: the least and the greatest value of the metric, in the reported unit.
        trivial: the value of a system that does nothing right, in the reported unit; None if there is no such value.
    """
    value, (low, high) = reported.value.value, limits
    for key, band in (("pass", tolerance.pass_), ("partial", tolerance.partial)):
        width = band.around(value) + reported.value.half_digit
        bottom = low if direction == "at_most" else value - width
        top = high if direction == "at_least" else value + width
        covers = f"the {key} band ({band.text}) covers {_plain(max(bottom, low))} to {_plain(min(top, high))} {reported.unit}"
        if bottom <= low and top >= high:
            yield ("tolerance", key), f"{covers}, all that {reported.metric} can give: no result could miss it"
            return
        # The band may reach the trivial value if only higher values fail (at_most), or if the paper reports that value.
        better = direction == "at_most" or value == trivial
        if trivial is not None and not better and bottom <= trivial <= top:
            text = f"{covers}: it reaches {_plain(trivial)}, which a system gets that does nothing right"
            yield ("tolerance", key), f"{text}; expected less than {_plain(value - trivial)} {reported.unit}"
            return


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}" if value.is_finite() else "any number"
