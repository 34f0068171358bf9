"""Compares two runs over the same images: the difference of a metric, with a paired bootstrap.

Each resample draws the images once and takes the same ones for both runs (Koehn 2004, "Statistical Significance Tests for
Machine Translation Evaluation", section 4). What both runs find hard or easy cancels out, so the interval of the difference is
much narrower than those of the two values. The metric is computed again from the summed statistics of each resample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from pytest_claims.errors import MetricError
from pytest_claims.metrics import arrays
from pytest_claims.metrics.base import LEVEL, column, draw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_claims.metrics.base import Metric, Score
    from pytest_claims.metrics.corpus import Corpus


@runtime_checkable
class Additive(Protocol):
    """A metric whose value is a function of sums over images. A metric that is a mean over images need not be one."""

    def statistics(self, corpus: Corpus) -> NDArray[np.float64]:
        """Statistics of each image, (n, k), in the order of the corpus."""

    def value(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums (r, k) to values (r,), in the metric's natural units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """The difference candidate − reference over the same images, in the metric's natural units.

    Unlike `Interval`, it is not narrowed for a finite split. The question is which model is better, and not what other images
    of this one split would give: that has no answer but the measured one where every image was scored.
    """

    value: float
    low: float
    """Lower end of the interval: percentile bootstrap over images."""
    high: float
    level: float
    """Nominal coverage, 0.95."""
    standard_error: float
    """Standard deviation of the replicates."""
    lower: float
    """Share of the resamples in which the candidate has the lower value, 0 to 1; a tie is none."""
    higher: float
    """Share of the resamples in which it has the higher value."""
    resamples: int
    seed: int


class Pair:
    """Candidate and reference over the same images. Metrics that share their statistics share the resamples.

    Args:
        candidate: what the candidate gave.
        reference: what the reference gave, for the same ids with the same references; their order may differ.

    Raises:
        MetricError: the two do not have the same ids and references.
    """

    def __init__(self, candidate: Corpus, reference: Corpus) -> None:
        own, other = candidate.by_id, reference.by_id
        unequal = (candidate.ids[one] != reference.ids[two] for one, two in zip(own, other, strict=False))
        if len(own) != len(other) or any(unequal):
            raise MetricError("The two runs did not score the same images, so they cannot be paired.")
        for one, two in zip(own, other, strict=True):
            if candidate.references[one] != reference.references[two]:
                raise MetricError(f"Image {candidate.ids[one]!r} has other references in the two runs.")
        self.candidate, self.reference = candidate, reference
        self._drawn: list[tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, int], NDArray[np.float64]]] = []

    def difference(
        self, metric: Metric, candidate: Score, reference: Score, *, resamples: int = 1000, seed: int = 0
    ) -> Paired | None:
        """The difference of a metric, with its interval.

        Args:
            metric: a metric with `statistics` and `value` (see `Additive`), or one whose value is the mean over images.
            candidate: its score over the candidate's corpus.
            reference: its score over the reference's corpus.
            resamples: replicates.
            seed: of PCG64.

        Returns:
            None if the metric cannot be resampled, and for a single image.
        """
        n = len(self.candidate)
        if n < 2:
            return None
        if isinstance(metric, Additive):
            ours, theirs = metric.statistics(self.candidate), metric.statistics(self.reference)
            sums, columns = self._sums(ours, theirs, resamples, seed), ours.shape[1]
            replicates = metric.value(sums[:, :columns]) - metric.value(sums[:, columns:])  # (r,)
        elif _is_mean(candidate) and _is_mean(reference):
            each = self.candidate.in_order(column(candidate.per_image))  # (n, 1)
            theirs = self.reference.in_order(column(reference.per_image))
            for mine, other in zip(arrays.parts(each), arrays.parts(theirs), strict=True):
                np.subtract(mine, other, out=mine)
            replicates = draw(each, resamples=resamples, seed=seed)[:, 0] / n
        else:
            return None
        low, high = np.quantile(replicates, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
        return Paired(
            value=candidate.value - reference.value,
            low=float(low),
            high=float(high),
            level=LEVEL,
            standard_error=float(np.std(replicates, ddof=1)),
            lower=float(np.mean(replicates < 0)),
            higher=float(np.mean(replicates > 0)),
            resamples=resamples,
            seed=seed,
        )

    def _sums(
        self, ours: NDArray[np.float64], theirs: NDArray[np.float64], resamples: int, seed: int
    ) -> NDArray[np.float64]:
        """The sums of each resample, (r, 2k): the candidate's columns, then the reference's. The images are drawn once."""
        for one, other, drawn, sums in self._drawn:
            if one is ours and other is theirs and drawn == (resamples, seed):
                return sums
        columns = ours.shape[1]
        both = arrays.empty(len(ours), columns + theirs.shape[1], np.float64)
        both[:, :columns] = self.candidate.in_order(ours)
        both[:, columns:] = self.reference.in_order(theirs)
        sums = draw(both, resamples=resamples, seed=seed)
        self._drawn.append((ours, theirs, (resamples, seed), sums))
        return sums


def _is_mean(score: Score) -> bool:
    """Whether a value is the mean of the values of its images."""
    values = score.per_image
    mean = math.fsum(values) / len(values) if len(values) == score.n else math.nan
    return math.isclose(mean, score.value, rel_tol=1e-9, abs_tol=1e-12)
