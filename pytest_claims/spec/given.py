"""What a metric needs and an evaluator gives: a claim whose metric its evaluator cannot give is an error of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_claims.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_claims.spec.units import MetricInfo

NEEDS: Mapping[str, str] = {
    "text": "a text for each row",
    "ranked": "a ranking for each row",
    "counts": "counted parameters",
    "derived": "the numbers that it follows from",
}
"""Everything that a metric may need, in words. Metrics of outputs read the first two (`metrics.needs`)."""

GIVEN_BY: Mapping[str, tuple[str, ...]] = {
    "text": ("captioning", "answering", "predictions of texts"),
    "ranked": ("retrieval", "answering with a closed list", "predictions of lists"),
    "counts": ("parameters",),
    "derived": ("derived",),
}
"""The evaluators that give it; one of a plugin may too."""


def problem(metric: str, evaluator: str, gives: Sequence[str], metrics: Mapping[str, MetricInfo]) -> Iterator[str]:
    """Why an evaluator cannot give a metric, with the names that it can; nothing if it can.

    Args:
        metric: a metric of `metrics`.
        evaluator: the name of the evaluator.
        gives: what it gives, of the keys of `NEEDS`; empty if it is not known here.
        metrics: the metrics that a claim may name.
    """
    lacking = [need for need in metrics[metric].needs if gives and need not in gives]
    if not lacking:
        return
    possible = sorted(name for name, info in metrics.items() if info.needs and set(info.needs) <= set(gives))
    yield (
        f"the evaluator {evaluator} gives no {metric}, which needs {NEEDS[lacking[0]]}{nearest(metric, possible)}; expected "
        f"{', '.join(possible) or 'a metric of a plugin'}, or an evaluator that gives it: {', '.join(GIVEN_BY[lacking[0]])}"
    )
