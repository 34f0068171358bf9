"""Evidence → Score: tokens, counts, value, signature, interval. Usable without pytest.

The numbers are coco-caption's (pycocoevalcap 1.2) without Java: Stanford PTB tokens, lower case, punctuation dropped.

Examples:
    >>> from pytest_claims.metrics import bleu, cider, rouge_l
    >>> hypotheses = ["A dog runs on the beach.", "Two men are playing chess."]
    >>> references = [
    ...     ["A dog is running on the beach.", "The dog runs along a beach."],
    ...     ["Two men play chess.", "Two older men are playing a game of chess."],
    ... ]
    >>> score = bleu(hypotheses, references, n=2, resamples=0)
    >>> round(score.value, 4), score.n, score.signature
    (0.8819, 2, 'bleu2|coco-caption|tok:ptb|case:lc|refs:2|len:closest|v0.2')
    >>> score.counts["matches"], score.counts["totals"]
    ((11, 7), (11, 9))
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_claims.errors import MetricError
from pytest_claims.metrics.base import Corpus, Interval, Metric, Score
from pytest_claims.metrics.bleu import Bleu
from pytest_claims.metrics.cider import Cider
from pytest_claims.metrics.mean import Mean
from pytest_claims.metrics.paired import Pair, Paired
from pytest_claims.metrics.rouge import RougeL
from pytest_claims.metrics.tokens import tokenize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "BUILTIN",
    "Corpus",
    "Interval",
    "Mean",
    "Metric",
    "Pair",
    "Paired",
    "Score",
    "bleu",
    "cider",
    "rouge_l",
    "tokenize",
]

BUILTIN: Mapping[str, Metric] = MappingProxyType(
    {
        **{f"bleu{n}": Bleu(n=n) for n in range(1, 5)},
        "rouge_l": RougeL(),
        "cider": Cider(),
    }
)
"""The metrics that a claim can name."""


def bleu(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    n: int = 4,
    ids: Sequence[str] | None = None,
    population: int | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Score:
    """Corpus BLEU-n, natural range 0 to 1, equal to pycocoevalcap's.

    To score one corpus with several metrics, make a `Corpus` and use `BUILTIN`: it is then tokenised and counted once.

    Args:
        hypotheses: one caption per image.
        references: one or more captions per image.
        n: longest n-gram, 1 to 4.
        ids: unique, one per image; default "0", "1", ... .
        population: the number of images of the full split that these were drawn from; it corrects the interval.
            `Interval` says what an interval covers.
        resamples: bootstrap replicates; 0 for no interval.
        seed: of the resampling.

    Returns:
        Value, signature, counts, interval, and the sentence-level BLEU of each image.

    Raises:
        MetricError: see `Corpus`; or n, population, resamples or seed are out of range.

    Examples:
        >>> bleu(["a cat on a mat"], [["a cat sat on the mat"]], n=1, resamples=0).value  # doctest: +ELLIPSIS
        0.6549...
    """
    metric = BUILTIN.get(f"bleu{n}")
    if metric is None:
        raise MetricError(f"BLEU-{n!r} is not defined here, expected n to be 1, 2, 3 or 4.")
    corpus = Corpus(hypotheses, references, ids)
    return metric.score(corpus, population=population, resamples=resamples, seed=seed)


def rouge_l(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    ids: Sequence[str] | None = None,
    population: int | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Score:
    """ROUGE-L, natural range 0 to 1, equal to pycocoevalcap's: β = 1.2, mean over images. Arguments as for `bleu`.

    Examples:
        >>> rouge_l(["a cat on a mat"], [["a cat sat on the mat"]], resamples=0).value  # doctest: +ELLIPSIS
        0.7155...
    """
    corpus = Corpus(hypotheses, references, ids)
    return BUILTIN["rouge_l"].score(corpus, population=population, resamples=resamples, seed=seed)


def cider(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    ids: Sequence[str] | None = None,
    population: int | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Score:
    """CIDEr, natural range 0 to 10, equal to pycocoevalcap's. Arguments as for `bleu`.

    Document frequencies come from the references given here, also inside the interval. CIDEr of a single image is
    0, because every n-gram then occurs in all documents.

    Examples:
        >>> cider(
        ...     ["a cat on a mat", "two dogs"], [["a cat sat on the mat"], ["two dogs run"]], resamples=0
        ... ).value  # doctest: +ELLIPSIS
        2.9147...
    """
    corpus = Corpus(hypotheses, references, ids)
    return BUILTIN["cider"].score(corpus, population=population, resamples=resamples, seed=seed)
