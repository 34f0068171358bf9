"""The plan of the evaluator `retrieval`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_claims.protocol.axes import Reading, ranking_facts
from pytest_claims.protocol.plans import CheckpointPlan

if TYPE_CHECKING:
    from pytest_claims.spec import Noun, RetrievalProtocol, RetrievalRun


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalPlan(CheckpointPlan):
    """Ranks the texts of a data set for its images, or its images for its texts, with a checkpoint."""

    evaluator = "retrieval"
    model_class = "Blip2ForImageTextRetrieval"
    follows = ("image", "ranking", "precision", "metric")

    run: RetrievalRun
    protocol: RetrievalProtocol

    @property
    def noun(self) -> Noun:
        """See `Plan.noun`."""
        return "ranking"

    @property
    def gives(self) -> tuple[str, ...]:
        """See `Plan.gives`."""
        return ("ranked",)

    @property
    def by_image(self) -> bool:
        """Whether the images are the queries."""
        return self.run.query == "image"

    @property
    def shows_images(self) -> bool:
        """See `CheckpointPlan.shows_images`."""
        return self.by_image

    @property
    def queries(self) -> int | None:
        """See `CheckpointPlan.queries`."""
        return self.protocol.dataset.images if self.by_image else self.protocol.ranking.texts

    @property
    def asked(self) -> dict[str, Any]:
        """See `CheckpointPlan.asked`."""
        return self._asked(query=self.run.query, ranking=self.protocol.ranking.model_dump(exclude={"texts"}))

    @property
    def expected(self) -> tuple[Reading, ...]:
        """See `Plan.expected`."""
        return self._expected(ranking={**ranking_facts(self.protocol.ranking.model_dump()), "query": self.run.query})
