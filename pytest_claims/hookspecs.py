"""The hooks that other plugins, and a conftest.py, may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from pytest_claims.metrics import Metric


def pytest_claims_metrics(config: pytest.Config) -> Sequence[Metric]:  # type: ignore[empty-body]
    """Add metrics that claims may name under `reported.metric`.

    A metric has a `name`, a `family` (what a protocol names under `metric`), a natural range `low` to `high`, a `signature`
    and a `score`; see `pytest_claims.metrics.Metric`. The `pytest_claims.metrics.Score` that it returns names the family too.
    A name that ships with pytest-claims cannot be taken.

    Args:
        config: the pytest session.
    """
