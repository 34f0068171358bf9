"""How candidates are ranked in retrieval, as a section of a protocol."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pytest_claims.spec.values import Positive


class Ranking(BaseModel):
    """How the candidates of a query are ranked. Null: the paper does not state it."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    score: Literal["matching+contrastive", "matching"] | None = Field(
        default=None,
        description="what orders the re-ranked candidates: the image-text matching score alone, or plus the contrastive score",
    )
    rerank: Annotated[int, Field(ge=0)] | None = Field(
        description="how many candidates, the first by contrastive score, are re-ranked by matching; 0: none"
    )
    texts: Positive | None = Field(
        default=None, description="how many texts the paper's split has; all of them are ranked, or are queries"
    )
    text: Literal["as_is", "blip_caption"] | None = Field(
        default=None,
        description='how texts are cleaned; blip_caption, of LAVIS: lower case, no .!"()*#:;~ and at most 50 words',
    )
    max_tokens: Positive | None = Field(
        default=None, description="the most tokens of a text, with the special ones; the rest of the text is cut off"
    )
