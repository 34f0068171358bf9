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

from pytest_claims.errors import MetricError, nearest
from pytest_claims.metrics.base import Interval, Metric, Score
from pytest_claims.metrics.bleu import Bleu
from pytest_claims.metrics.cider import Cider
from pytest_claims.metrics.corpus import Corpus
from pytest_claims.metrics.matching import Accuracy, ExactMatch
from pytest_claims.metrics.mean import Mean
from pytest_claims.metrics.meteor import Meteor
from pytest_claims.metrics.paired import Pair, Paired
from pytest_claims.metrics.ranked import Recall, TopAccuracy
from pytest_claims.metrics.rouge import RougeL
from pytest_claims.metrics.spice import Spice
from pytest_claims.metrics.tokens import tokenize
from pytest_claims.metrics.vqa import VqaAccuracy

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
    "score",
    "tokenize",
]

BUILTIN: Mapping[str, Metric] = MappingProxyType(
    {
        **{f"bleu{n}": Bleu(n=n) for n in range(1, 5)},
        "rouge_l": RougeL(),
        "cider": Cider(),
        "meteor": Meteor(),
        "spice": Spice(),
        "vqa_accuracy": VqaAccuracy(),
        "exact_match": ExactMatch(),
        "accuracy": Accuracy(),
        "accuracy_top5": TopAccuracy(k=5),
        **{f"recall_at_{k}": Recall(k=k) for k in (1, 5, 10)},
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


def score(
    name: str,
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    ids: Sequence[str] | None = None,
    ranked: Sequence[Sequence[str]] | None = None,
    population: int | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Score:
    """The value of any of the metrics that a claim can name; docs/metrics.md has a table of them.

    Args:
        name: the metric, such as `vqa_accuracy`.
        hypotheses: one output per row: a caption, an answer, a label; "" where only the ranking counts.
        references: one or more right outputs per row: for `vqa_accuracy` the ten answers; for rankings the right labels or ids.
        ids: as for `bleu`.
        ranked: labels or ids per row, the best first, for `recall_at_1`, `recall_at_5`, `recall_at_10` and `accuracy_top5`.
        population: as for `bleu`.
        resamples: as for `bleu`.
        seed: as for `bleu`.

    Raises:
        MetricError: there is no such metric; see also `Corpus`.
        NotAttempted: `meteor` and `spice` need Java and a program that is not here.

    Examples:
        >>> score("vqa_accuracy", ["Two."], [["2"] * 3 + ["3"] * 7], resamples=0).value
        0.9
        >>> score("recall_at_1", ["", ""], [["a"], ["a", "c"]], ranked=[["a", "b"], ["b", "c", "a"]], resamples=0).value
        0.5
    """
    metric = BUILTIN.get(name)
    if metric is None:
        hint = nearest(name, BUILTIN) or f"; expected one of {', '.join(BUILTIN)}."
        raise MetricError(f"There is no metric {name!r}{hint}")
    corpus = Corpus(hypotheses, references, ids, ranked)
    return metric.score(corpus, population=population, resamples=resamples, seed=seed)
