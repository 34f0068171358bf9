"""CIDEr as coco-caption computes it (Vedantam et al. 2015): consensus of tf-idf weighted 1- to 4-grams.

What coco-caption calls "CIDEr" is the paper's CIDEr-D: clipped counts and a Gaussian penalty on the length difference, σ = 6,
times 10. Document frequencies are those of the evaluated references, so the value depends on which images were scored.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_claims.metrics.base import mean_score, signature
from pytest_claims.spool import floats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_claims.metrics.base import Score
    from pytest_claims.metrics.corpus import Corpus

ORDERS = 4
"""The longest n-gram that is counted."""

SIGMA = 6.0
"""Standard deviation of the Gaussian penalty on the difference in length."""

SCALE = 10.0
"""The mean similarity is multiplied by this."""

_Grams = dict[tuple[str, ...], int]
_Weights = dict[tuple[str, ...], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cider:
    """Mean over images; natural range 0 to 10 (papers print it times 100: 1.458 is 145.8)."""

    name: str = "cider"
    family: str = "coco-caption"
    low: float = 0.0
    high: float = 10.0

    def signature(self, corpus: Corpus) -> str:
        """E.g. `cider|coco-caption|tok:ptb|case:lc|refs:5|n:4|sigma:6|df:corpus|v0.2`."""
        return signature(self.name, corpus, f"n:{ORDERS}", f"sigma:{SIGMA:g}", "df:corpus")

    def score(self, corpus: Corpus, *, population: int | None = None, resamples: int = 1000, seed: int = 0) -> Score:
        """See `Metric.score`. `counts` holds the sum of the per-image values and the number of images."""
        values = corpus.derived(per_image_values)
        return mean_score(self, corpus, values, population=population, resamples=resamples, seed=seed)


def per_image_values(corpus: Corpus) -> Sequence[float]:
    """CIDEr of each image, in the order of the corpus."""
    # The n-grams of many images are counted twice instead of held.
    few = isinstance(corpus.reference_words, tuple)
    counted: Sequence[list[_Grams]] = [_all_grams(own) for own in corpus.reference_words] if few else ()
    frequency: Counter[tuple[str, ...]] = Counter()
    for own in counted if few else map(_all_grams, corpus.reference_words):
        frequency.update(set().union(*own))
    images = math.log(len(corpus))
    rarity = {gram: images - math.log(times) for gram, times in frequency.items()}
    del frequency
    references = counted if few else map(_all_grams, corpus.reference_words)
    return floats(
        _consensus(_grams(words), own, rarity, images)
        for words, own in zip(corpus.hypothesis_words, references, strict=True)
    )


def _all_grams(own: Sequence[tuple[str, ...]]) -> list[_Grams]:
    return [_grams(words) for words in own]


def _grams(words: tuple[str, ...]) -> _Grams:
    counts: Counter[tuple[str, ...]] = Counter()
    for order in range(1, ORDERS + 1):
        counts.update(zip(*(words[start:] for start in range(order)), strict=False))
    return counts


def _weigh(grams: _Grams, rarity: _Weights, unseen: float) -> tuple[_Weights, list[float], int]:
    """Tf-idf weights, their norm per order, and the length, which coco-caption counts in bigrams."""
    weights: _Weights = {}
    norms = [0.0] * ORDERS
    length = 0
    for gram, times in grams.items():
        weight = times * rarity.get(gram, unseen)
        weights[gram] = weight
        norms[len(gram) - 1] += weight * weight
        if len(gram) == 2:
            length += times
    return weights, [math.sqrt(norm) for norm in norms], length


def _consensus(hypothesis: _Grams, references: Sequence[_Grams], rarity: _Weights, unseen: float) -> float:
    own, own_norms, own_length = _weigh(hypothesis, rarity, unseen)
    total = 0.0
    for reference in references:
        theirs, norms, length = _weigh(reference, rarity, unseen)
        cosine = [0.0] * ORDERS
        for gram, weight in own.items():
            if gram in theirs:
                cosine[len(gram) - 1] += min(weight, theirs[gram]) * theirs[gram]
        similarity = math.fsum(c / (a * b) for c, a, b in zip(cosine, own_norms, norms, strict=True) if a and b)
        total += similarity * math.exp(-((own_length - length) ** 2) / (2 * SIGMA**2))
    return SCALE * total / ORDERS / len(references)
