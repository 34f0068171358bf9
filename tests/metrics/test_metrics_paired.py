"""The paired bootstrap: the same images for both runs, whatever their order, for every metric that can be resampled."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
import pytest

from pytest_claims.errors import MetricError
from pytest_claims.metrics import BUILTIN, Corpus, Metric, Pair, Paired, Score

WORDS = [
    "a",
    "the",
    "dog",
    "cat",
    "bus",
    "man",
    "red",
    "blue",
    "runs",
    "sits",
    "on",
    "in",
    "near",
    "street",
    "beach",
    "two",
]


NAMES = ("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider")


def captions(seed: int, images: int = 80) -> tuple[list[str], list[list[str]]]:
    """Hypotheses and references: random sentences that share most of their words."""
    rng = random.Random(seed)  # noqa: S311 - reproducible captions, no secrets
    references = [[" ".join(rng.choices(WORDS, k=8)) for _ in range(3)] for _ in range(images)]
    hypotheses = [" ".join(word if rng.random() < 0.7 else "x" for word in own[0].split()) for own in references]
    return hypotheses, references


def worse(hypotheses: list[str], every: int = 4) -> list[str]:
    """Every fourth caption loses its first two words."""
    return [" ".join(text.split()[2:]) if i % every == 0 else text for i, text in enumerate(hypotheses)]


def difference(metric: Metric, candidate: Corpus, reference: Corpus) -> Paired:
    """The difference of a metric that can be resampled."""
    scores = [metric.score(corpus, resamples=0) for corpus in (candidate, reference)]
    found = Pair(candidate, reference).difference(metric, *scores)
    assert found is not None
    return found


@pytest.mark.parametrize("name", NAMES)
def test_equal_runs(name: str) -> None:
    """Two equal runs differ by nothing, in every resample."""
    hypotheses, references = captions(0)
    found = difference(BUILTIN[name], Corpus(hypotheses, references), Corpus(hypotheses, references))
    assert (found.value, found.low, found.high, found.standard_error) == (0, 0, 0, 0)
    assert (found.lower, found.higher) == (0, 0)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_images_are_drawn_for_both(name: str) -> None:
    """Each replicate is the difference of two replicates that drew the same images, as the scores themselves draw them."""
    hypotheses, references = captions(1)
    metric, ours, theirs = BUILTIN[name], Corpus(worse(hypotheses), references), Corpus(hypotheses, references)
    found = difference(metric, ours, theirs)
    intervals = [metric.score(corpus).interval for corpus in (ours, theirs)]
    assert all(intervals)
    candidate, reference = (np.array(interval.replicates) for interval in intervals if interval)
    each = candidate - reference
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(each, (0.025, 0.975))), abs=1e-12)
    assert found.lower == pytest.approx(np.mean(each < -1e-12), abs=0.002)
    # Pairing is the point: the interval of the difference is narrower than either value's.
    assert found.high - found.low < min(interval.high - interval.low for interval in intervals if interval)


@pytest.mark.parametrize("name", ["bleu4", "cider"])
def test_the_order_of_the_images_has_no_meaning(name: str) -> None:
    """Images are paired by id, and resamples go by id."""
    hypotheses, references = captions(2)
    ids = [f"{i:03}" for i in range(len(hypotheses))]
    ours, theirs = Corpus(worse(hypotheses), references, ids), Corpus(hypotheses, references, ids)
    turned = Corpus(worse(hypotheses)[::-1], references[::-1], ids[::-1])
    one, other = (difference(BUILTIN[name], corpus, theirs) for corpus in (ours, turned))
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), abs=1e-12)


def test_other_images_are_refused() -> None:
    """Runs over other ids, or over the same ids with other references, are no pair."""
    hypotheses, references = captions(3, images=3)
    with pytest.raises(MetricError, match="did not score the same images"):
        Pair(Corpus(hypotheses, references), Corpus(hypotheses, references, ["0", "1", "x"]))
    with pytest.raises(MetricError, match="Image '1' has other references"):
        Pair(Corpus(hypotheses, references), Corpus(hypotheses, [references[0], ["other"], references[2]]))


@dataclass(frozen=True)
class Median:
    """Another plugin's metric that is neither a mean nor a function of sums."""

    name: str = "median_length"
    family: str = "ours"
    low: float = 0.0
    high: float = 100.0

    def signature(self, corpus: Corpus) -> str:
        """Its definition."""
        return f"median|{len(corpus)}"

    def score(self, corpus: Corpus, *, population: int | None = None, resamples: int = 1000, seed: int = 0) -> Score:  # noqa: ARG002 - the protocol's
        """The median number of words."""
        values = tuple(float(len(words)) for words in corpus.hypothesis_words)
        score = BUILTIN["rouge_l"].score(corpus, resamples=0)
        return replace(score, metric=self.name, value=float(np.median(values)) + 0.25, per_image=values)


def test_a_metric_that_cannot_be_resampled() -> None:
    """A metric without sums, whose value is not the mean of its images, has no interval. A single image has none either."""
    hypotheses, references = captions(4)
    ours, theirs = Corpus(worse(hypotheses), references), Corpus(hypotheses, references)
    metric = Median()
    assert Pair(ours, theirs).difference(metric, metric.score(ours), metric.score(theirs)) is None
    one = Corpus(hypotheses[:1], references[:1])
    bleu = BUILTIN["bleu4"]
    assert Pair(one, one).difference(bleu, bleu.score(one), bleu.score(one)) is None
