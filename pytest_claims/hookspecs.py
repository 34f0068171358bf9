"""The hooks that other plugins, and a conftest.py, may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from pytest_claims.evaluators import Evaluator
    from pytest_claims.metrics import Metric


def pytest_claims_metrics(config: pytest.Config) -> Sequence[Metric]:  # type: ignore[empty-body]
    """Add metrics that claims may name under `reported.metric`.

    A metric has a `name`, a `family` (the value of `protocol.metric` in a claim file), a natural range `low` to `high`, a
    `signature` and a `score`; see `pytest_claims.metrics.Metric`. The `pytest_claims.metrics.Score` that it returns names the
    family too. For the mean of a value per image there is `pytest_claims.metrics.Mean`; docs/metrics.md has an example. A
    metric is checked when it is registered, and its score when it has scored. The names of the metrics that ship with
    pytest-claims cannot be used again.

    A release candidate is compared with its reference by resampling images. That needs nothing more of a metric whose value is
    the mean of `per_image`. A metric that is another function of sums over images has two more methods, `statistics` and
    `value`; see `pytest_claims.metrics.paired.Additive`. The difference of any other metric has no interval.

    Args:
        config: the configuration of the pytest session.
    """


def pytest_claims_evaluators(config: pytest.Config) -> Sequence[Evaluator]:  # type: ignore[empty-body]
    """Add evaluators that claims may name under `run.evaluator`.

    An evaluator has a `name`, the model of its section `run`, and a function `evaluate` from a plan to its evidence; see
    `pytest_claims.evaluators.Evaluator`. docs/extending.md builds one. An evaluator is checked when it is registered, and its
    evidence before it is scored. The names of the evaluators that ship with pytest-claims cannot be used again.

    Args:
        config: the configuration of the pytest session.
    """
