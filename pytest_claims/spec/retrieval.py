"""The evaluator `retrieval` in a claim file: its protocol, its section run, and contradictions in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pytest_claims.spec.models import Checkpoint, Columns, Dataset, Model, Protocol, Requires, Sample
from pytest_claims.spec.ranking import Ranking
from pytest_claims.spec.values import Positive, Precision, Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_claims.spec import nodes
    from pytest_claims.spec.models import Citation


class RetrievalProtocol(Protocol):
    """What the evaluator `retrieval` runs under: what it needs is stated, by the paper or in `run`."""

    checkpoint: Checkpoint
    dataset: Dataset
    ranking: Ranking
    precision: Precision = "float32"
    metric: Text


class RetrievalRun(Model):
    """Rank all texts for each image, or all images for each text, with an image-text retrieval model."""

    protocol: ClassVar[type[Protocol]] = RetrievalProtocol
    """What the evaluator needs of a protocol is required there."""
    runs_checkpoint: ClassVar[bool] = True
    """Whether a release candidate can take the place of what is run."""
    paths: ClassVar[tuple[str, ...]] = ()
    """The files that the run section names."""
    gives: ClassVar[tuple[str, ...]] = ("ranked",)
    """What a metric can read of the outputs."""

    evaluator: Literal["retrieval"]
    query: Literal["image", "text"] = Field(
        description="image: each image ranks all texts (TR@k); text: each text ranks all images (IR@k)"
    )
    columns: Columns = Field(default=Columns(), description="the columns of the data set as it is here")
    sample: Sample | None = Field(
        default=None, description="evaluate a sample of the queries, each against all candidates: at most partial"
    )
    requires: Requires = Field(default=Requires(), description="what the machine must have")
    batch_size: Positive | None = Field(
        default=None, description="pairs of an image and a text that are matched at a time"
    )


_DIRECTIONS = {
    "image": re.compile(
        r"\bTR@|\btext retrieval\b|\bimages?\s*(?:→|->|to)\s*texts?\b|\bimage-to-text\b", re.IGNORECASE
    ),
    "text": re.compile(
        r"\bIR@|\bimage retrieval\b|\btexts?\s*(?:→|->|to)\s*images?\b|\btext-to-image\b", re.IGNORECASE
    ),
}
"""How papers name the two directions. An image has several right texts, so that the one is easier than the other."""


def of_run(run: RetrievalRun, settings: Protocol, citation: Citation | None) -> Iterator[tuple[nodes.Path, str]]:
    """Contradictions in a claim about retrieval: a path below the claim, and what is wrong there.

    Args:
        run: the section run.
        settings: what is run here: the protocol with the overrides of the section run.
        citation: the cited cell; None if it is not valid by itself.
    """
    ranking, dataset = settings.ranking, settings.dataset
    if ranking is not None:
        if ranking.rerank is None:
            yield (
                ("protocol", "ranking", "rerank"),
                "retrieval needs rerank; give it in run where the paper does not state it",
            )
        elif ranking.rerank and ranking.score is None:
            yield (
                ("protocol", "ranking", "score"),
                "re-ranking needs score; give it in run where the paper does not state it",
            )
    total = None if dataset is None else dataset.images if run.query == "image" else ranking.texts if ranking else None
    if run.sample and total is not None and run.sample.size > total:
        yield ("run", "sample", "size"), f"a sample of {run.sample.size} cannot be drawn from {total} {run.query}s"
    if citation is None:
        return
    named = [query for query, pattern in _DIRECTIONS.items() if pattern.search(citation.column)]
    if named and run.query not in named:
        expected = "images" if named == ["image"] else "texts"
        yield (
            ("run", "query"),
            f"the column {citation.column!r} is about queries that are {expected}, the run has query: {run.query}",
        )
