"""Derived numbers as scores. Nothing was sampled here; what the operands leave open is in the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_claims.metrics.base import SIGNATURE_VERSION, Score

if TYPE_CHECKING:
    from collections.abc import Mapping

FAMILY = "interval-arithmetic"
"""The family of every derived number."""


def derived(name: str, value: float, expression: str, operands: Mapping[str, str]) -> Score:
    """The score of a derived number.

    Args:
        name: the metric, such as `difference`.
        value: in its natural range: a difference of 8.7 percent is 0.087.
        expression: what it was computed by.
        operands: each with its value and unit, as text.
    """
    return Score(
        metric=name,
        family=FAMILY,
        value=value,
        signature=f"{name}|{FAMILY}|{expression}|{SIGNATURE_VERSION}",
        n=0,
        counts=dict(operands),
        interval=None,
        per_image=(),
    )
