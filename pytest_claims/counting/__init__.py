"""Counts the parameters of the model that a configuration describes, without weights and without network."""

from __future__ import annotations

from pytest_claims.counting.counter import count
from pytest_claims.counting.parameters import ParameterCounts, count_parameters

__all__ = ["ParameterCounts", "count", "count_parameters"]
