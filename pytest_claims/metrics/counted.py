"""Counts as scores. A count is exact: nothing was sampled, so it has no interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_claims.metrics.base import SIGNATURE_VERSION, Score

if TYPE_CHECKING:
    from collections.abc import Mapping

FAMILY = "parameter-count"
"""The family of every count."""


def counted(name: str, value: int, parts: Mapping[str, int]) -> Score:
    """The score of a quantity that was counted.

    Args:
        name: the metric, such as `total_parameters`.
        value: the count.
        parts: what it is made of, by top-level module.
    """
    return Score(
        metric=name,
        family=FAMILY,
        value=float(value),
        signature=f"{name}|{FAMILY}|tied:once|{SIGNATURE_VERSION}",
        n=0,
        counts=dict(parts),
        interval=None,
        per_image=(),
    )
