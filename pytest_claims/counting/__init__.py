"""Count the parameters that a configuration describes: no weights, no network, no claim."""

from __future__ import annotations

from pytest_claims.counting.counter import count
from pytest_claims.counting.parameters import ParameterCounts, count_parameters

__all__ = ["ParameterCounts", "count", "count_parameters"]
