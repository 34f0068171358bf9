"""What every metric shares: the checked corpus, the score with its counts, and the interval over images.

Count, then compute: a metric reduces each image to a few sufficient statistics, and its value, its interval and its
per-image scores are all computed from those, so a reader can compute a number of a report again from what the report holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import numpy as np

from pytest_claims.errors import MetricError
from pytest_claims.metrics.checks import check_ids, check_ranking, check_sequence, check_text, check_whole, shown
from pytest_claims.metrics.tokens import split_units, units

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

T = TypeVar("T")

SIGNATURE_VERSION = "v0.2"
"""Part of every signature. It is raised only when a change could move a number; the package's version is raised more often."""

LEVEL = 0.95
"""Nominal coverage of intervals."""

BLOCK = 8_000_000
"""How many counts (images times resamples) are held at once: 64 MB.

Where BLAS threads share cores, few large products are several times faster than many small ones.
"""


CHUNK = 256
"""How many images are tokenised before progress is reported."""


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
    per_image: tuple[float, ...]
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


class Corpus:
    """Hypotheses and references, checked once; tokens and counts are computed when first asked for, and kept.

    A caption that is empty or only punctuation is valid: it has no tokens, and coco-caption scores it (BLEU counts it with
    length 0; ROUGE-L sees one empty token, which equals another empty one; CIDEr gives it 0).

    Args:
        hypotheses: one caption per image.
        references: one or more captions per image; the number may differ between images.
        ids: unique, one per image; default "0", "1", ... . Scores do not depend on the order of the images, because
            resampling goes by id.
        ranked: labels or ids for each image, the best first, for metrics that look at more than the first; a list may be empty.

    Raises:
        MetricError: no image; lengths differ; no reference; not a string; a lone surrogate; an id twice, or one in a ranking.
    """

    def __init__(
        self,
        hypotheses: Sequence[str],
        references: Sequence[Sequence[str]],
        ids: Sequence[str] | None = None,
        ranked: Sequence[Sequence[str]] | None = None,
    ) -> None:
        for role, given in (("hypotheses", hypotheses), ("references", references), ("ids", ids), ("ranked", ranked)):
            check_sequence(role, given)
        if ids is None:
            ids = tuple(map(str, range(len(hypotheses))))
        if not len(hypotheses) == len(references) == len(ids):
            raise MetricError(
                f"Every image needs one hypothesis, its references and one id: got {len(hypotheses)} hypotheses, "
                f"{len(references)} lists of references and {len(ids)} ids."
            )
        if ranked is not None and len(ranked) != len(ids):
            raise MetricError(f"Every image needs one ranking: got {len(ranked)} rankings and {len(ids)} ids.")
        if not len(ids):
            raise MetricError("There is no image to score: hypotheses and references are empty.")
        self.ids: tuple[str, ...] = tuple(ids)
        check_ids(self.ids)
        for id_, hypothesis, own in zip(self.ids, hypotheses, references, strict=True):
            check_text(id_, "hypothesis", hypothesis)
            if isinstance(own, str | bytes | Mapping) or not isinstance(own, Sequence):
                raise MetricError(f"Image {id_!r}: references are {shown(own)}, expected a list of strings.")
            if not own:
                raise MetricError(f"Image {id_!r} has no reference, expected at least one.")
            for index, reference in enumerate(own):
                check_text(id_, f"reference {index}", reference)
        self.hypotheses: tuple[str, ...] = tuple(hypotheses)
        self.references: tuple[tuple[str, ...], ...] = tuple(tuple(own) for own in references)
        self.ranked: tuple[tuple[str, ...], ...] | None = None
        """Per image, labels or ids, the best first; None if nothing was ranked."""
        if ranked is not None:
            self.ranked = tuple(check_ranking(id_, own) for id_, own in zip(self.ids, ranked, strict=True))
        self._derived: dict[Callable[[Corpus], Any], Any] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"<Corpus of {len(self)} images, {self.reference_count} references each>"

    @cached_property
    def hypothesis_units(self) -> tuple[tuple[str, ...], ...]:
        """Per image, the tokens as the Java tokenizer prints them: a few hold a no-break space (`5 1/2`)."""
        return tuple(map(units, self.hypotheses))

    @cached_property
    def reference_units(self) -> tuple[tuple[tuple[str, ...], ...], ...]:
        """Per image and reference, the same."""
        return tuple(tuple(map(units, own)) for own in self.references)

    @cached_property
    def hypothesis_words(self) -> tuple[tuple[str, ...], ...]:
        """Per image, the words that n-grams are made of: units, cut at every white space."""
        return tuple(map(split_units, self.hypothesis_units))

    @cached_property
    def reference_words(self) -> tuple[tuple[tuple[str, ...], ...], ...]:
        """Per image and reference, the same."""
        return tuple(tuple(map(split_units, own)) for own in self.reference_units)

    @property
    def tokenised(self) -> bool:
        """Whether the tokens were computed."""
        return "reference_units" in self.__dict__

    def tokenise(self, done: Callable[[int], object]) -> None:
        """Compute the tokens now, which otherwise happens when they are first asked for.

        Args:
            done: called with the number of images that were tokenised since the last call.
        """
        hypotheses: list[tuple[str, ...]] = []
        references: list[tuple[tuple[str, ...], ...]] = []
        for start in range(0, len(self), CHUNK):
            chunk = slice(start, start + CHUNK)
            hypotheses += map(units, self.hypotheses[chunk])
            references += (tuple(map(units, own)) for own in self.references[chunk])
            done(len(self.hypotheses[chunk]))
        # They are where the cached properties look for them.
        self.__dict__["hypothesis_units"], self.__dict__["reference_units"] = tuple(hypotheses), tuple(references)

    @cached_property
    def reference_count(self) -> str:
        """References per image as a signature says it: `5`, or `5-7` where it varies."""
        sizes = {len(own) for own in self.references}
        return str(min(sizes)) if len(sizes) == 1 else f"{min(sizes)}-{max(sizes)}"

    @cached_property
    def by_id(self) -> NDArray[np.intp]:
        """The positions of the images in the order of their ids, shape (n,)."""
        return np.array(sorted(range(len(self)), key=self.ids.__getitem__), dtype=np.intp)

    def derived(self, compute: Callable[[Corpus], T]) -> T:
        """`compute(self)`, computed once and kept: so BLEU-1 to 4 share one pass over the n-grams."""
        if compute not in self._derived:
            self._derived[compute] = compute(self)
        return cast("T", self._derived[compute])


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
    ordered = statistics[corpus.by_id]  # (n, k)
    total = ordered.sum(axis=0)  # (k,)
    centre = float(value(total[None, :])[0])
    shrink = 1.0 if population is None else float(np.sqrt(1 - n / population))
    sums = draw(ordered, resamples=resamples, seed=seed)
    replicates = centre + (value(sums) - centre) * shrink  # (r,)

    # Influence of image i: gradient · (s_i - mean); var(value) ≈ n/(n-1) · Σ influence².
    influence = (ordered - total / n) @ gradient(total)  # (n,)
    error = float(np.sqrt(n / (n - 1) * np.dot(influence, influence))) * shrink
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
    times = np.empty((min(resamples, max(1, BLOCK // n)), n), dtype=factors.dtype)  # how often each image is drawn
    for start in range(0, resamples, len(times)):
        block = times[: resamples - start]
        # One draw of 32-bit numbers per block takes a third of the time of one draw of 64-bit numbers per resample.
        for row, drawn in zip(block, rng.integers(0, n, size=block.shape, dtype=np.uint32), strict=True):
            row[:] = np.bincount(drawn, minlength=n)
        sums[start : start + len(block)] = block @ factors  # (b, n) @ (n, k)
    return sums


def _for_products(statistics: NDArray[np.float64]) -> NDArray[np.float32] | NDArray[np.float64]:
    """The statistics in float32, if that is exact: whole numbers, and every sum below 2^24.

    Products in float32 take a quarter of the time.
    """
    bound = statistics.shape[0] * float(np.abs(statistics).max())  # one image drawn n times
    whole = bound < 2**24 and bool((statistics == np.rint(statistics)).all())
    return statistics.astype(np.float32) if whole else statistics


def mean_score(
    metric: Metric,
    corpus: Corpus,
    per_image: tuple[float, ...],
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
            np.array(per_image, dtype=np.float64)[:, None],
            lambda sums: sums[:, 0] / n,
            lambda sums: np.full_like(sums, 1 / n),
            population=population,
            resamples=resamples,
            seed=seed,
        ),
        per_image=per_image,
    )
