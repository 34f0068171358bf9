"""How tokens are chosen, or the answers of a closed list ranked, as a section of a protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from pytest_claims.spec.values import DataPath, Positive, Text

if TYPE_CHECKING:
    from collections.abc import Iterator

RANK = "rank"
"""The strategy that generates nothing: it scores the answers of a closed list, and the best one is the answer."""

GENERATING = ("num_beams", "max_new_tokens", "min_new_tokens", "repetition_penalty", "early_stopping")
"""The keys that only generated text has."""

CLOSED = ("answers", "num_answers", "answers_digest", "candidates")
"""The keys that only a closed list has."""


class Decoding(BaseModel):
    """How tokens are chosen. A key left out has the neutral value; null says that the paper does not state it."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    strategy: Literal["greedy", "beam", "rank"] = Field(
        description="greedy: the likeliest token each time; beam: beam search; rank: the answers of a closed list are scored"
    )
    num_beams: Positive | None = Field(default=1, description="how many beams; 1 is greedy search")
    max_new_tokens: Positive | None = Field(default=20, description="the most tokens of a caption, without the prompt")
    min_new_tokens: Annotated[int, Field(ge=0)] | None = Field(
        default=0, description="the fewest tokens of a caption, without the prompt"
    )
    length_penalty: float | None = Field(
        default=1.0,
        description="the exponent of the length that divides a beam's score, or with rank an answer's; 0: nothing is divided",
    )
    repetition_penalty: Annotated[float, Field(gt=0)] | None = Field(
        default=1.0, description="what divides the score of a token that was there before; 1: nothing"
    )
    early_stopping: bool | Literal["never"] | None = Field(
        default=False, description="when beam search stops, as in transformers' generation config"
    )
    answers: DataPath | None = Field(
        default=None,
        description="with rank: the file of the answers, one a line or a JSON list, below the claim file's folder or a "
        "--claims-data folder",
    )
    num_answers: Positive | None = Field(default=None, description="with rank: how many answers the paper's list has")
    answers_digest: Text | None = Field(
        default=None, description="with rank: digest of the list, as an earlier run observed it; it pins the answers"
    )
    candidates: Positive | None = Field(
        default=None,
        description="with rank: only so many answers, those with the likeliest first token, are scored in full; null: all",
    )

    @model_serializer(mode="wrap")
    def _of_strategy(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Only the keys that the strategy has. So the digests of claims that generate stay what they were before `rank`."""
        values: dict[str, Any] = plain(self)
        if self.strategy != RANK:
            return {key: value for key, value in values.items() if key not in CLOSED}
        # Nobody has to state these two: a list that is not pinned is recorded, and all of its answers are scored.
        unused = {key for key in ("answers_digest", "candidates") if getattr(self, key) is None}
        return {key: value for key, value in values.items() if key not in GENERATING and key not in unused}


def of_keys(decoding: Decoding) -> Iterator[tuple[tuple[str, ...], str]]:
    """Keys that the strategy does not have, and contradictions: the path below the protocol, and a sentence."""
    ranks = decoding.strategy == RANK
    for key in GENERATING if ranks else CLOSED:
        if key in decoding.model_fields_set and getattr(decoding, key) is not None:
            why = "with the strategy rank, nothing is generated" if ranks else "only the strategy rank has a list"
            yield ("decoding", key), f"{why}: {key} has no meaning; leave it out"
    asked, known = decoding.candidates, decoding.num_answers
    if ranks and asked is not None and known is not None and asked > known:
        yield ("decoding", "candidates"), f"candidates ({asked}) is above num_answers ({known})"


def of_paper(decoding: Decoding) -> Iterator[tuple[tuple[str, ...], str]]:
    """What a ranking has no neutral value for, and the paper's protocol leaves out: it must say it, or that it is unknown."""
    if decoding.strategy != RANK:
        return
    for key, said in (
        ("answers", "the file of the closed list"),
        ("num_answers", "how many answers the paper's list has"),
        ("length_penalty", "0 for the sum of an answer's log-probabilities, 1 for their mean"),
    ):
        if key not in decoding.model_fields_set:
            yield ("decoding",), f"the strategy rank needs {key}: {said}; null where the paper does not state it"


def of_run(decoding: Decoding, *, answering: bool) -> Iterator[tuple[tuple[str, ...], str]]:
    """What a run cannot do: the path below the protocol, and a sentence.

    Args:
        decoding: the settings of the run.
        answering: whether the run asks questions.
    """
    if decoding.strategy != RANK:
        return
    if not answering:
        text = "captions are generated; the strategy rank is one of the evaluator answering"
        yield ("decoding", "strategy"), f"{text}, expected greedy or beam"
        return
    for key in ("answers", "length_penalty"):
        if getattr(decoding, key) is None:
            yield (
                ("decoding", key),
                f"the strategy rank needs {key}; give it in run where the paper does not state it",
            )
