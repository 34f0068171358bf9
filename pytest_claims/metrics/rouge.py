"""ROUGE-L as coco-caption computes it: F with β = 1.2 of the best precision and the best recall over the references.

The two maxima may come from different references (Lin 2004 takes the best F); that is how the published numbers were made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_claims.metrics.base import mean_score, signature
from pytest_claims.spool import floats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_claims.metrics.base import Score
    from pytest_claims.metrics.corpus import Corpus

BETA = 1.2
"""How much more recall weighs than precision in F."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RougeL:
    """Mean over images of the longest-common-subsequence F; natural range 0 to 1."""

    name: str = "rouge_l"
    family: str = "coco-caption"
    low: float = 0.0
    high: float = 1.0

    def signature(self, corpus: Corpus) -> str:
        """E.g. `rouge_l|coco-caption|tok:ptb|case:lc|refs:5|beta:1.2|v0.2`."""
        return signature(self.name, corpus, f"beta:{BETA}")

    def score(self, corpus: Corpus, *, population: int | None = None, resamples: int = 1000, seed: int = 0) -> Score:
        """See `Metric.score`. `counts` holds the sum of the per-image values and the number of images."""
        values = corpus.derived(per_image_values)
        return mean_score(self, corpus, values, population=population, resamples=resamples, seed=seed)


def per_image_values(corpus: Corpus) -> Sequence[float]:
    """ROUGE-L of each image, in the order of the corpus."""
    return floats(
        _f(hypothesis, references)
        for hypothesis, references in zip(corpus.hypothesis_units, corpus.reference_units, strict=True)
    )


def _f(hypothesis: tuple[str, ...], references: Sequence[tuple[str, ...]]) -> float:
    # "".split(" ") is [""]: coco-caption reads a caption without tokens as one empty token, and two such captions are equal.
    hypothesis = hypothesis or ("",)
    precision = recall = 0.0
    for reference in references:
        filled = reference or ("",)
        common = longest_common_subsequence(hypothesis, filled)
        precision = max(precision, common / len(hypothesis))
        recall = max(recall, common / len(filled))
    if not precision:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """The length of the longest common subsequence of two token sequences.

    It takes one step per token of the shorter sequence, on bit strings as long as the longer one (Hyyrö 2004,
    doi:10.1007/978-3-540-39763-8).

    Examples:
        >>> longest_common_subsequence("a b c d".split(), "b x d".split())
        2
    """
    if len(first) < len(second):
        first, second = second, first
    where: dict[str, int] = {}
    for position, word in enumerate(first):
        where[word] = where.get(word, 0) | 1 << position
    full = (1 << len(first)) - 1
    row = full
    for word in second:
        hit = row & where.get(word, 0)
        row = ((row + hit) | (row - hit)) & full
    return len(first) - row.bit_count()
