"""What every metric shares: the score with its counts, and the interval over images.

Count, then compute: a metric reduces each image to a few sufficient statistics, and its value, its interval and its
per-image scores are all computed from those, so a reader can compute a number of a report again from what the report holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pytest_claims.errors import MetricError
from pytest_claims.metrics import arrays
from pytest_claims.metrics.checks import check_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from pytest_claims.metrics.corpus import Corpus

SIGNATURE_VERSION = "v0.2"
"""Part of every signature. It is raised only when a change could move a number; the package's version is raised more often."""

LEVEL = 0.95
"""Nominal coverage of intervals."""

BLOCK = 8_000_000
"""How many counts (images times resamples) are held at once: 64 MB, or 32 MB where float32 is exact.

Where BLAS threads share cores, few large products are several times faster than many small ones.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """How far the value could move if other images of the same split were drawn.

    Percentile bootstrap over images (Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation"; the
    same resampling for captions as for sentences) and, beside it, the delta-method standard error. With a `population`,
    both are corrected for sampling without replacement: distances from the value shrink by √(1 - n/N) (Cochran 1977,
    *Sampling Techniques*, 2.6), down to zero where every image of the split was scored.

    It covers one thing: which images were drawn. It does not cover the choice of references, sampling in decoding, the
    seed or precision of the run, or the small-sample bias of corpus BLEU (about -0.4 points at 20 images, -0.1 at 100).
    It does not cover a sample that was not drawn at random, such as the first images of the split. For CIDEr, every
    resample uses the document frequencies of the references that were evaluated.
    """

    low: float
    """Lower end, in the metric's natural units."""
    high: float
    """Upper end, in the metric's natural units."""
    level: float
    """Nominal coverage, 0.95."""
    standard_error: float
    """By the delta method, in the metric's natural units, corrected for the finite population."""
    resamples: int
    """How many bootstrap replicates there are."""
    seed: int
    """Seed of numpy's PCG64, which drew them."""
    population: int | None
    """N, the images of the full split; None where it is not known, and nothing was corrected."""
    replicates: tuple[float, ...]
    """The value of each resample, after the correction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A metric's value, with everything that it can be computed from again."""

    metric: str
    """The metric's name, such as `bleu4`."""
    family: str
    """Who defines the number, such as `coco-caption`; it is compared with what the paper's protocol names under `metric`."""
    value: float
    """In the metric's natural range: BLEU-4 is 0.3039, not 30.39."""
    signature: str
    """The definition in one line, such as `bleu4|coco-caption|tok:ptb|case:lc|refs:5|len:closest|v0.2`."""
    n: int
    """How many images were scored."""
    counts: Mapping[str, object]
    """Corpus sums that give `value`; JSON can hold them."""
    interval: Interval | None
    """None where `resamples` is 0, and for a single image, which says nothing about the spread."""
    per_image: Sequence[float]
    """The score of each image alone, in the order of the corpus."""


class Metric(Protocol):
    """What the run step needs of a metric; `BUILTIN` holds those that ship."""

    @property
    def name(self) -> str:
        """The name that a claim uses."""

    @property
    def family(self) -> str:
        """Who defines the number, e.g. `"coco-caption"`: what a paper's protocol names."""

    @property
    def low(self) -> float:
        """Lower end of the natural range."""

    @property
    def high(self) -> float:
        """Upper end of the natural range."""

    # `needs` may be left out; see `metrics.needs`.

    def signature(self, corpus: Corpus) -> str:
        """The definition in one line. A part of it comes from the corpus: the number of references per image."""

    def score(self, corpus: Corpus, *, population: int | None = None, resamples: int = 1000, seed: int = 0) -> Score:
        """The value over `corpus`; raises `MetricError` where population, resamples or seed are not valid."""


def signature(name: str, corpus: Corpus, *parameters: str) -> str:
    """The definition in one line: only numbers with equal signatures are comparable. The form is sacrebleu's (Post 2018)."""
    references = f"refs:{corpus.reference_count}"
    parts = (name, "coco-caption", "tok:ptb", "case:lc", references, *parameters, SIGNATURE_VERSION)
    return "|".join(parts)


def interval(
    corpus: Corpus,
    statistics: NDArray[np.float64],
    value: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    gradient: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    population: int | None,
    resamples: int,
    seed: int,
) -> Interval | None:
    """Bootstrap interval and delta-method error of a value that is a function of sums over images.

    Args:
        corpus: gives the ids, by which images are sorted before they are drawn.
        statistics: sufficient statistics, shape (n, k), images in the order of the corpus.
        value: sums (r, k) to values (r,).
        gradient: sums (k,) to the derivative of the value by each, (k,).
        population: images of the full split, at least n; None if unknown.
        resamples: replicates; 0 for no interval.
        seed: not negative.

    Returns:
        None without resamples, or with one image.

    Raises:
        MetricError: population smaller than the corpus, or a setting that is no such number.
    """
    n = len(statistics)
    check_whole("resamples", resamples, least=0)
    check_whole("seed", seed, least=0)
    if population is not None:
        check_whole("population", population, least=1)
        if population < n:
            raise MetricError(
                f"The population of {population} images is smaller than the {n} images that were scored, first "
                f"{corpus.ids[0]!r}: expected the size of the full split."
            )
    if resamples == 0 or n < 2:
        return None
    ordered = corpus.in_order(statistics)  # (n, k)
    total = ordered.sum(axis=0)  # (k,)
    centre = float(value(total[None, :])[0])
    shrink = 1.0 if population is None else float(np.sqrt(1 - n / population))
    sums = draw(ordered, resamples=resamples, seed=seed)
    replicates = centre + (value(sums) - centre) * shrink  # (r,)

    # Influence of image i: gradient · (s_i - mean); var(value) ≈ n/(n-1) · Σ influence².
    squares = sum(float(x @ x) for x in ((part - total / n) @ gradient(total) for part in arrays.parts(ordered)))
    error = float(np.sqrt(n / (n - 1) * squares)) * shrink
    low, high = np.quantile(replicates, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(
        low=float(low),
        high=float(high),
        level=LEVEL,
        standard_error=error,
        resamples=resamples,
        seed=seed,
        population=population,
        replicates=tuple(replicates.tolist()),
    )


def draw(ordered: NDArray[np.float64], *, resamples: int, seed: int) -> NDArray[np.float64]:
    """The sums of each bootstrap resample, shape (resamples, k).

    Args:
        ordered: sufficient statistics, shape (n, k), images in the order of their ids.
        resamples: replicates.
        seed: of PCG64.
    """
    n, k = ordered.shape
    rng = np.random.Generator(np.random.PCG64(seed))
    sums = np.empty((resamples, k))
    factors = _for_products(ordered)
    at_once = max(1, arrays.ROWS // n)
    times = np.empty((min(resamples, max(1, BLOCK // n)), n), dtype=factors.dtype)  # how often each image is drawn
    for start in range(0, resamples, len(times)):
        block = times[: resamples - start]
        for first in range(0, len(block), at_once):
            _count(rng, block[first : first + at_once])
        sums[start : start + len(block)] = block @ factors  # (b, n) @ (n, k)
    return sums


def _count(rng: np.random.Generator, times: NDArray[Any]) -> None:
    """Draw resamples, and set how often each image is in each of them: (b, n); b is 1 where there are many images.

    Draws of 32-bit numbers take a third of the time of those of 64-bit numbers. How many are drawn at once does not change
    what is drawn.
    """
    n = times.shape[1]
    if n > arrays.ROWS:
        times[:] = 0
        for part in arrays.parts(times[0]):  # neither the draws nor `bincount`'s result of all images are held
            np.add.at(times[0], rng.integers(0, n, size=len(part), dtype=np.uint32), times.dtype.type(1))
        return
    for row, drawn in zip(times, rng.integers(0, n, size=times.shape, dtype=np.uint32), strict=True):
        row[:] = np.bincount(drawn, minlength=n)


def _for_products(statistics: NDArray[np.float64]) -> NDArray[np.float32] | NDArray[np.float64]:
    """The statistics in float32, if that is exact: whole numbers, and every sum below 2^24.

    Products in float32 take a quarter of the time.
    """
    bound = statistics.shape[0] * max(float(statistics.max()), -float(statistics.min()))  # one image drawn n times
    if bound >= 2**24 or not all(bool((part == np.rint(part)).all()) for part in arrays.parts(statistics)):
        return statistics
    n, k = statistics.shape
    factors = arrays.empty(n, k, np.float32)
    factors[:] = statistics
    return factors


def mean_score(
    metric: Metric,
    corpus: Corpus,
    per_image: Sequence[float],
    *,
    population: int | None,
    resamples: int,
    seed: int,
) -> Score:
    """The score of a metric that is the mean of per-image values.

    Args:
        metric: gives name, family and signature.
        corpus: what was scored.
        per_image: the metric's value of each image, in the order of the corpus.
        population: see `interval`.
        resamples: see `interval`.
        seed: see `interval`.
    """
    n = len(corpus)
    # fsum rounds once, so that the order of the images cannot show in the last bits.
    total = math.fsum(per_image)
    return Score(
        metric=metric.name,
        family=metric.family,
        value=total / n,
        signature=metric.signature(corpus),
        n=n,
        counts={"sum": total, "images": n},
        interval=interval(
            corpus,
            column(per_image),
            lambda sums: sums[:, 0] / n,
            lambda sums: np.full_like(sums, 1 / n),
            population=population,
            resamples=resamples,
            seed=seed,
        ),
        per_image=per_image,
    )


def column(values: Sequence[float]) -> NDArray[np.float64]:
    """The values as an array, (n, 1)."""
    found, given = arrays.empty(len(values), 1, np.float64), iter(values)
    for part in arrays.parts(found):
        part[:, 0] = np.fromiter(given, dtype=np.float64, count=len(part))
    return found
