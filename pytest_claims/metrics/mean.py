"""A metric of your own that is the mean of one value per image: write the value, the rest is here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_claims.errors import MetricError
from pytest_claims.metrics.base import mean_score
from pytest_claims.spool import floats

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_claims.metrics.base import Score
    from pytest_claims.metrics.corpus import Corpus


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean over images of `value(caption, references)`, with the bootstrap interval of `metrics.Interval`.

    The hook `pytest_claims_metrics` returns it, and `verify(metrics=[…])` takes it; docs/metrics.md has an example.

    Args:
        name: the name that a claim uses under `reported.metric`.
        family: who defines the number: what `protocol.metric` in a claim file says.
        value: the value of one image, given its caption and its references; a number from `low` to `high`.
        low: the lower end of the range.
        high: the upper end.
        version: part of the signature. Change it whenever `value` may give another number.
        trivial: the mean of a system that gets nothing right, in the range; `low` if left out. A claim whose tolerance reaches
            it is refused.

    Examples:
        >>> from pytest_claims.metrics import Corpus, Mean
        >>> exact = Mean(name="exact", family="my-lab", value=lambda caption, references: float(caption in references))
        >>> exact.score(Corpus(["a cat", "a dog"], [["a cat"], ["two dogs"]])).value
        0.5
    """

    name: str
    family: str
    value: Callable[[str, Sequence[str]], float]
    low: float = 0.0
    high: float = 1.0
    version: str = "v1"
    trivial: float | None = None

    def __post_init__(self) -> None:
        if self.trivial is None:
            object.__setattr__(self, "trivial", self.low)

    def signature(self, corpus: Corpus) -> str:
        """The definition in one line."""
        return f"{self.name}|{self.family}|mean|refs:{corpus.reference_count}|{self.version}"

    def score(self, corpus: Corpus, *, population: int | None = None, resamples: int = 1000, seed: int = 0) -> Score:
        """The mean over `corpus`; see `Metric.score`.

        Raises:
            MetricError: a value is no number from `low` to `high`; population, resamples or seed are not valid.
        """
        values = floats(map(self._value, corpus.ids, corpus.hypotheses, corpus.references))
        return mean_score(self, corpus, values, population=population, resamples=resamples, seed=seed)

    def _value(self, name: str, caption: str, references: Sequence[str]) -> float:
        found = self.value(caption, references)
        try:
            number = float(found)
        except (TypeError, ValueError):
            number = math.nan
        if not self.low <= number <= self.high:
            raise MetricError(
                f"Image {name!r}: the metric {self.name} gave {found!r}, expected a number from {self.low} to {self.high}."
            )
        return number
