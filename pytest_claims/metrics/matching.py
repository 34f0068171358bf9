"""Shares of outputs that are right: `accuracy` for labels, `exact_match` for answers in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_claims.metrics.base import SIGNATURE_VERSION, mean_score
from pytest_claims.metrics.vqa import normalise
from pytest_claims.spool import floats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_claims.metrics.base import Score
    from pytest_claims.metrics.corpus import Corpus

FAMILY = "exact-match"
"""The family of both: the share of outputs that equal one of their references."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """The share of outputs that equal one of their references, sign by sign. What GQA's own evaluation computes."""

    name: str = "accuracy"
    family: str = FAMILY
    low: float = 0.0
    high: float = 1.0
    needs: tuple[str, ...] = ("text",)

    def signature(self, corpus: Corpus) -> str:
        """E.g. `accuracy|exact-match|norm:none|refs:1|v0.2`."""
        return "|".join((self.name, self.family, "norm:none", f"refs:{corpus.reference_count}", SIGNATURE_VERSION))

    def score(self, corpus: Corpus, *, population: int | None = None, resamples: int = 1000, seed: int = 0) -> Score:
        """See `Metric.score`. `counts` holds how many are right, and how many there are."""
        values = corpus.derived(equal)
        return mean_score(self, corpus, values, population=population, resamples=resamples, seed=seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactMatch:
    """The share of answers that equal one of their references after the normalisation of VQA. What LAVIS computes for GQA."""

    name: str = "exact_match"
    family: str = FAMILY
    low: float = 0.0
    high: float = 1.0
    needs: tuple[str, ...] = ("text",)

    def signature(self, corpus: Corpus) -> str:
        """E.g. `exact_match|exact-match|norm:vqaEval|refs:1|v0.2`."""
        return "|".join((self.name, self.family, "norm:vqaEval", f"refs:{corpus.reference_count}", SIGNATURE_VERSION))

    def score(self, corpus: Corpus, *, population: int | None = None, resamples: int = 1000, seed: int = 0) -> Score:
        """See `Metric.score`. `counts` holds how many are right, and how many there are."""
        values = corpus.derived(equal_normalised)
        return mean_score(self, corpus, values, population=population, resamples=resamples, seed=seed)


def equal(corpus: Corpus) -> Sequence[float]:
    """1 for each output that equals one of its references, else 0."""
    return floats(
        float(text in references) for text, references in zip(corpus.hypotheses, corpus.references, strict=True)
    )


def equal_normalised(corpus: Corpus) -> Sequence[float]:
    """The same, after the normalisation of both sides."""
    return floats(
        float(normalise(text) in map(normalise, references))
        for text, references in zip(corpus.hypotheses, corpus.references, strict=True)
    )
