"""What a metric reads of the outputs beside their references. It says so in the attribute `needs`, which may be left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_claims.metrics.base import Metric

NEEDS: Mapping[str, str] = {"text": "a text for each row", "ranked": "a ranking for each row"}
"""Everything that there is to read, in words: `Corpus.hypotheses` and `Corpus.ranked`."""


def needs_of(metric: Metric) -> tuple[str, ...]:
    """What a metric reads: a subset of `NEEDS`. A metric without the attribute reads the text."""
    needs: tuple[str, ...] = getattr(metric, "needs", ("text",))
    return needs
