"""What a retrieval run will compute and hold, known before it starts: from its plan and the configuration of its model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_claims.evaluation import ranking

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_claims.protocol import RetrievalPlan

AT_ONCE = 8192
"""How many text queries are ranked at a time. All their pairs with one image are matched together, so that the image is encoded
once for all of them. A run that is killed loses the part that it was at; COCO's 25,010 texts are four parts."""

TOKENS = 35
"""The most tokens of a text, where a claim does not state it: LAVIS's number. Only for estimates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The amount of a run."""

    told: str
    """The queries, the candidates and the pairs that are matched, in words."""
    held: int
    """The bytes beside the model and one batch that the run holds; 0 if the claim does not say how many texts there are."""
    pairs: int
    encoded: int
    """How often an image is encoded, over all images."""
    per_pair: float
    """Multiply-adds of a pair of an image and a text."""
    patches: int

    def multiply_adds(self, parameters: int) -> float:
        """Multiply-adds of the run, for a model with this many parameters, of which most are the vision encoder's."""
        return self.encoded * self.patches * parameters + self.pairs * self.per_pair


def of_plan(plan: RetrievalPlan, config: Mapping[str, Any]) -> Work:
    """The work of a plan.

    Args:
        plan: the plan.
        config: the content of the checkpoint's `config.json`; empty if it is not known.
    """
    stated, images = plan.protocol.ranking, plan.protocol.dataset.images
    texts = stated.texts or 0
    rerank = stated.rerank or 0
    asked = plan.sample or plan.queries or 0
    candidates = texts if plan.by_image else images
    pairs = asked * min(rerank, candidates) if candidates else asked * rerank
    qformer, vision = _section(config, "qformer_config"), _section(config, "vision_config")
    tokens, queries = stated.max_tokens or TOKENS, int(config.get("num_query_tokens", 32))
    hidden, layers = int(qformer.get("hidden_size", 768)), int(qformer.get("num_hidden_layers", 12))
    inner = int(qformer.get("intermediate_size", 3072))
    side = int(vision.get("image_size", 224)) // int(vision.get("patch_size", 14))
    parts = -(-asked // AT_ONCE) if rerank else 0
    held = ranking.held(
        images=images,
        texts=texts,
        queries=queries,
        width=int(config.get("image_text_hidden_size", 256)),
        tokens=tokens,
        by_image=plan.by_image,
        rerank=rerank,
        at_once=min(AT_ONCE, asked),
    )
    return Work(
        told=_told(plan, asked, candidates, pairs),
        held=held if texts else 0,
        pairs=pairs,
        encoded=asked if plan.by_image else images * (1 + parts),
        per_pair=float((queries + tokens) * layers * (4 * hidden**2 + 2 * hidden * inner)),
        patches=side * side + 1,
    )


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _told(plan: RetrievalPlan, asked: int, candidates: int, pairs: int) -> str:
    queries, others = ("images", "texts") if plan.by_image else ("texts", "images")
    count = f"{asked:,} {queries}" if asked else f"all {queries} of the data set"
    pool = f"{candidates:,} {others}" if candidates else f"all {others} of the data set"
    rerank = plan.protocol.ranking.rerank
    if not rerank:
        return f"{count}, each against {pool}; nothing is re-ranked"
    matched = f": {pairs:,} pairs" if asked else ""
    return f"{count}, each against {pool}; the first {rerank:,} are matched{matched}"
