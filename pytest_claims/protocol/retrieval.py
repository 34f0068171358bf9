"""The plan of the evaluator `retrieval`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_claims.protocol.axes import Observed, Reading, ranking_facts
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

    def _decides(self) -> dict[str, Any]:
        return {
            "protocol": self.protocol.model_dump(exclude={"metric"}),
            "run": self.run.model_dump(),
            "sample": self.sample,
            "seed": self.seed,
            "device": self.device,
            "candidate": self.candidate,
            "image": list(self.image_overrides),
        }

    @property
    def asked(self) -> dict[str, Any]:
        """See `CheckpointPlan.asked`."""
        protocol = self.protocol
        return {
            "checkpoint": protocol.checkpoint.model_dump(),
            "candidate": self.candidate,
            "dataset": protocol.dataset.model_dump(exclude={"images"}),
            "columns": self.run.columns.model_dump(),
            "query": self.run.query,
            "sample": self.sample,
            "seed": None if self.sample is None else self.seed,
            "image": dict(self.image_overrides),
            "ranking": protocol.ranking.model_dump(exclude={"texts"}),
            "precision": protocol.precision,
        }

    @property
    def queries(self) -> int | None:
        """How many queries the paper's split has; None if the claim does not say how many texts there are."""
        return self.protocol.dataset.images if self.by_image else self.protocol.ranking.texts

    @property
    def expected(self) -> tuple[Reading, ...]:
        """See `Plan.expected`."""
        protocol = self.protocol
        dataset = protocol.dataset.model_dump(exclude={"split"})
        return self._readings(
            Observed(
                checkpoint=protocol.checkpoint.model_dump(),
                dataset={**dataset, "columns": self.run.columns.model_dump()},
                split={"split": protocol.dataset.split},
                image=protocol.image.model_dump(exclude_none=True) if protocol.image else None,
                ranking={**ranking_facts(protocol.ranking.model_dump()), "query": self.run.query},
                precision={"precision": protocol.precision},
                metric={"family": protocol.metric},
                scored=self.queries if self.sample is None else self.sample,
                seed=self.seed,
                candidate=self.candidate,
            )
        )
