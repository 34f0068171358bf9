"""What a metric reads of the outputs beside their references. It says so in the attribute `needs`, which may be left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_claims.metrics.base import Metric

NEEDS = ("text", "ranked")
"""Everything that there is to read: `Corpus.hypotheses` and `Corpus.ranked`. `spec.given` has the words for it."""


def needs_of(metric: Metric) -> tuple[str, ...]:
    """What a metric reads: a subset of `NEEDS`. A metric without the attribute reads the text."""
    needs: tuple[str, ...] = getattr(metric, "needs", ("text",))
    return needs
