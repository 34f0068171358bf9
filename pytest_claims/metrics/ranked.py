"""Metrics of rankings: whether something right is among the first k."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_claims.errors import MetricError
from pytest_claims.metrics.base import SIGNATURE_VERSION, mean_score
from pytest_claims.metrics.matching import FAMILY
from pytest_claims.spool import floats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_claims.metrics.base import Score
    from pytest_claims.metrics.corpus import Corpus


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """recall@k: the share of queries with a right candidate among the first k. Natural range 0 to 1.

    A query is an output, `references` are the ids of its right candidates, and one of them is enough. So it is for LAVIS and
    the papers on Flickr30k and COCO, where an image has five right texts.
    """

    k: int
    family: str = "retrieval"
    low: float = 0.0
    high: float = 1.0
    needs: tuple[str, ...] = ("ranked",)

    @property
    def name(self) -> str:
        """`recall_at_1`, `recall_at_5`, `recall_at_10`."""
        return f"recall_at_{self.k}"

    def signature(self, corpus: Corpus) -> str:
        """E.g. `recall_at_5|retrieval|first:5|hit:any|refs:5|v0.2`."""
        parts = (self.name, self.family, f"first:{self.k}", "hit:any", f"refs:{corpus.reference_count}")
        return "|".join((*parts, SIGNATURE_VERSION))

    def score(self, corpus: Corpus, *, population: int | None = None, resamples: int = 1000, seed: int = 0) -> Score:
        """See `Metric.score`; raises `MetricError` as `hits` does. `counts` holds the hits and the number of queries."""
        values = hits(corpus, self.k, self.name)
        return mean_score(self, corpus, values, population=population, resamples=resamples, seed=seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopAccuracy:
    """Top-k accuracy: the share of rows with a right label among the first k. Natural range 0 to 1."""

    k: int = 5
    family: str = FAMILY
    low: float = 0.0
    high: float = 1.0
    needs: tuple[str, ...] = ("ranked",)

    @property
    def name(self) -> str:
        """`accuracy_top5`."""
        return f"accuracy_top{self.k}"

    def signature(self, corpus: Corpus) -> str:
        """E.g. `accuracy_top5|exact-match|first:5|norm:none|refs:1|v0.2`."""
        parts = (self.name, self.family, f"first:{self.k}", "norm:none", f"refs:{corpus.reference_count}")
        return "|".join((*parts, SIGNATURE_VERSION))

    def score(self, corpus: Corpus, *, population: int | None = None, resamples: int = 1000, seed: int = 0) -> Score:
        """See `Metric.score`; raises `MetricError` as `hits` does. `counts` holds the hits and the number of rows."""
        values = hits(corpus, self.k, self.name)
        return mean_score(self, corpus, values, population=population, resamples=resamples, seed=seed)


def hits(corpus: Corpus, k: int, name: str) -> Sequence[float]:
    """1 for each output whose first `k` of the ranking hold one of its references, else 0.

    Args:
        corpus: has rankings.
        k: how many of a ranking count.
        name: the metric, for messages.

    Raises:
        MetricError: there is no ranking; or a ranking is too short to say that nothing right is among the first `k`.
    """
    if corpus.ranked is None:
        raise MetricError(f"{name} needs a ranking for each row, and these outputs have none.")
    found = array("d")
    for id_, ranking, references in zip(corpus.ids, corpus.ranked, corpus.references, strict=True):
        hit = not set(references).isdisjoint(ranking[:k])
        if not hit and len(ranking) < k:
            # A complete ranking of fewer candidates holds the right one, so this one was cut.
            raise MetricError(
                f"{id_!r} ranks {len(ranking)} candidates, none of them right; {name} expects the first {k}, or a ranking of "
                "all candidates."
            )
        found.append(float(hit))
    return floats(found)
