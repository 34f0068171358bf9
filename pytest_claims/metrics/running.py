"""A score while outputs are still being made, with its interval: BLEU-4 from the sums of `Bleu`, or the mean of rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pytest_claims.metrics.bleu import CLOSEST, Bleu, statistics
from pytest_claims.metrics.corpus import Corpus
from pytest_claims.metrics.matching import equal, equal_normalised
from pytest_claims.metrics.vqa import per_answer_values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

Z = 1.959964
"""The 97.5 % quantile of the normal distribution: ±Z standard errors are a 95 % interval."""


class RunningBleu:
    """BLEU-4 of the images that were added so far. After the last image it is what `Bleu` gives for all of them.

    It holds ten sums and their products, whatever the number of images.
    """

    def __init__(self) -> None:
        columns = CLOSEST + 1
        self._bleu = Bleu()
        self._sums: NDArray[np.float64] = np.zeros(columns)
        self._products: NDArray[np.float64] = np.zeros((columns, columns))
        self.n = 0
        """How many images were added."""

    def add(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
        """Add images.

        Args:
            hypotheses: one caption per image.
            references: one or more captions per image.
        """
        rows = statistics(Corpus(hypotheses, references))  # (images, 10)
        self._sums += rows.sum(axis=0)
        self._products += rows.T @ rows
        self.n += len(rows)

    @property
    def value(self) -> float:
        """BLEU-4 so far, 0 to 1; 0 before the first image."""
        return float(self._bleu.value(self._sums[None, :])[0])

    @property
    def standard_error(self) -> float | None:
        """By the delta method, as in `Interval`, without a correction for a finite population; None below two images."""
        if self.n < 2:
            return None
        slope = self._bleu.gradient(self._sums)
        # Σ influence² of all images, where the influence of image i is slope · (s_i - mean).
        spread = float(slope @ self._products @ slope) - float(slope @ self._sums) ** 2 / self.n
        return math.sqrt(self.n / (self.n - 1) * max(0.0, spread))

    def __str__(self) -> str:
        """`BLEU-4 30.39 ± 4.71`, in percent; the half-width of the 95 % interval over images."""
        return _told("BLEU-4", self.value, self.standard_error)


ROWS: Mapping[str, Callable[[Corpus], Sequence[float]]] = {
    "vqa_accuracy": per_answer_values,
    "exact_match": equal_normalised,
    "accuracy": equal,
}
"""The value of each row, by the metric that is the mean of them."""


class RunningMean:
    """A metric of `ROWS` over the rows that were added so far. After the last row it is what the metric gives for all of them.

    Args:
        metric: its name.
    """

    def __init__(self, metric: str) -> None:
        self._metric = metric
        self._sum = 0.0
        self._squares = 0.0
        self.n = 0
        """How many rows were added."""

    def add(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
        """Add rows.

        Args:
            hypotheses: one output per row.
            references: one or more references per row.

        Raises:
            MetricError: the metric does not score such references.
        """
        values = ROWS[self._metric](Corpus(hypotheses, references))
        self._sum += sum(values)
        self._squares += sum(value * value for value in values)
        self.n += len(values)

    @property
    def value(self) -> float:
        """The mean so far, 0 to 1; 0 before the first row."""
        return self._sum / self.n if self.n else 0.0

    @property
    def standard_error(self) -> float | None:
        """As in `Interval`, without a correction for a finite population; None below two rows."""
        if self.n < 2:
            return None
        return math.sqrt(max(0.0, self._squares - self._sum**2 / self.n) / (self.n * (self.n - 1)))

    def __str__(self) -> str:
        """`vqa_accuracy 64.13 ± 2.86`, in percent; the half-width of the 95 % interval over rows."""
        return _told(self._metric, self.value, self.standard_error)


def _told(name: str, value: float, error: float | None) -> str:
    return f"{name} {100 * value:.2f}" + (f" ± {100 * Z * error:.2f}" if error is not None else "")
