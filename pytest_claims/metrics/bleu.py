"""BLEU-1 to BLEU-4 of a corpus, as coco-caption computes them (Papineni et al. 2002, closest reference length).

nltk's `corpus_bleu` gives another number: it counts a hypothesis of fewer than n tokens as one n-gram (`max(1, ·)`), which
moves short captions by up to 0.07 points. coco-caption does not, and adds 1e-15 and 1e-9 instead of smoothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from pytest_claims.metrics import arrays
from pytest_claims.metrics.base import Score, interval, signature
from pytest_claims.metrics.corpus import CHUNK
from pytest_claims.spool import floats

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from pytest_claims.metrics.corpus import Corpus

_Gram = TypeVar("_Gram", str, tuple[str, ...])

ORDERS = 4
"""The longest n-gram that is counted."""

TINY = 1e-15
"""coco-caption adds this to numerators, so that the value is 0 and not an error where nothing matches."""

SMALL = 1e-9
"""coco-caption adds this to denominators."""

MATCHES, TOTALS = slice(0, ORDERS), slice(ORDERS, 2 * ORDERS)
"""Columns of the statistics, shape (n, 10): the first four are matches of 1- to 4-grams, the next four all 1- to 4-grams."""

LENGTH, CLOSEST = 2 * ORDERS, 2 * ORDERS + 1
"""The last two columns: the length of the hypothesis, and the length of the reference that is closest to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bleu:
    """Corpus BLEU over n-grams up to `n`; natural range 0 to 1."""

    n: int = ORDERS
    family: str = "coco-caption"
    low: float = 0.0
    high: float = 1.0

    @property
    def name(self) -> str:
        """`bleu1` to `bleu4`."""
        return f"bleu{self.n}"

    def signature(self, corpus: Corpus) -> str:
        """E.g. `bleu4|coco-caption|tok:ptb|case:lc|refs:5|len:closest|v0.2`."""
        return signature(self.name, corpus, "len:closest")

    def score(self, corpus: Corpus, *, population: int | None = None, resamples: int = 1000, seed: int = 0) -> Score:
        """See `Metric.score`. `counts` holds matches and totals of 1- to n-grams and the two lengths."""
        counts = corpus.derived(statistics)  # (images, 10)
        total = counts.sum(axis=0)  # exact: sums of integers
        return Score(
            metric=self.name,
            family=self.family,
            value=float(self.value(total[None, :])[0]),
            signature=self.signature(corpus),
            n=len(corpus),
            counts={
                "matches": tuple(int(x) for x in total[MATCHES][: self.n]),
                "totals": tuple(int(x) for x in total[TOTALS][: self.n]),
                "hypothesis_length": int(total[LENGTH]),
                "reference_length": int(total[CLOSEST]),
            },
            interval=interval(
                corpus,
                counts,
                self.value,
                self.gradient,
                population=population,
                resamples=resamples,
                seed=seed,
            ),
            per_image=floats(self.each(counts)),
        )

    def statistics(self, corpus: Corpus) -> NDArray[np.float64]:
        """The counts of each image, (n, 10); the same array for every order, so that they share resamples."""
        return corpus.derived(statistics)

    def each(self, counts: NDArray[np.float64]) -> Iterator[float]:
        """The sentence-level BLEU of each image."""
        for part in arrays.parts(counts):
            yield from self.value(part).tolist()

    def value(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """BLEU of each row of sums, shape (r, 10) to (r,); an image's own row gives its sentence-level BLEU."""
        product = np.ones(len(sums))
        for k in range(self.n):
            product *= (sums[:, k] + TINY) / (sums[:, ORDERS + k] + SMALL)
        ratio = (sums[:, LENGTH] + TINY) / (sums[:, CLOSEST] + SMALL)
        with np.errstate(under="ignore"):
            penalty = np.exp(np.minimum(0.0, 1 - 1 / ratio))
            result: NDArray[np.float64] = product ** (1 / self.n) * penalty
        return result

    def gradient(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derivative of the value by each sum, (10,) to (10,); all zero if the n-grams of some order have no match."""
        result = np.zeros_like(sums)
        matches, totals = sums[MATCHES][: self.n], sums[TOTALS][: self.n]
        if not matches.all():
            return result
        bleu = float(self.value(sums[None, :])[0])
        result[MATCHES][: self.n] = bleu / self.n / matches
        result[TOTALS][: self.n] = -bleu / self.n / totals
        length, closest = sums[LENGTH], sums[CLOSEST]
        if length < closest:  # brevity penalty exp(1 - closest/length)
            result[LENGTH] = bleu * closest / length**2
            result[CLOSEST] = -bleu / length
        return result


def statistics(corpus: Corpus) -> NDArray[np.float64]:
    """The counts that BLEU is computed from, per image, shape (n, 10); float64, so that sums are exact and products fast."""
    found = arrays.empty(len(corpus), CLOSEST + 1, np.float64)
    pairs = zip(corpus.hypothesis_words, corpus.reference_words, strict=True)
    for start in range(0, len(corpus), CHUNK):
        found[start : start + CHUNK] = [_row(words, references) for words, references in islice(pairs, CHUNK)]
    return found


def _row(words: tuple[str, ...], references: Sequence[tuple[str, ...]]) -> tuple[int, ...]:
    length = len(words)
    totals = tuple(max(0, length - order + 1) for order in range(1, ORDERS + 1))
    # The shorter one wins a tie, as in every BLEU tool.
    closest = min((abs(len(reference) - length), len(reference)) for reference in references)[1]
    own: Sequence[Sequence[str]] = [words[start:] for start in range(ORDERS)]
    theirs = [[reference[start:] for start in range(ORDERS)] for reference in references]
    matches = [_clipped(words, references)]
    for order in range(2, ORDERS + 1):
        if not matches[-1]:  # without a match of one order there is none of a higher order
            matches.append(0)
            continue
        grams = tuple(zip(*own[:order], strict=False))
        matches.append(_clipped(grams, [zip(*starts[:order], strict=False) for starts in theirs]))
    return (*matches, *totals, length, closest)


def _clipped(grams: tuple[_Gram, ...], references: Sequence[Iterable[_Gram]]) -> int:
    """Σ over n-grams of min(times in the hypothesis, most times in one reference).

    Nearly every n-gram occurs once in its hypothesis. It then counts 1 if any reference holds it, and a single set of all
    n-grams of the references is enough to see that.
    """
    distinct = set(grams)
    if len(distinct) == len(grams):
        return len(distinct.intersection(chain.from_iterable(references)))
    listed = [tuple(reference) for reference in references]
    found = distinct.intersection(chain.from_iterable(listed))
    own = Counter(grams)
    repeated = [gram for gram in found if own[gram] > 1]
    # It is faster to count up to three repeated n-grams one by one. For many, in a very long text, that would be quadratic.
    times = [reference.count if len(repeated) < 4 else Counter(reference).__getitem__ for reference in listed]
    clipped = sum(min(own[gram], max(count(gram) for count in times)) for gram in repeated)
    return len(found) - len(repeated) + clipped
