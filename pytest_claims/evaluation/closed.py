"""Answers of a closed list in place of generated ones: their tokens behind each question, and the decoder that ranks them."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from pytest_claims import spool
from pytest_claims.architectures import token_ids
from pytest_claims.errors import EvaluationError
from pytest_claims.protocol import decoding_facts
from pytest_claims.sources import answers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import torch
    from transformers import GenerationConfig

    from pytest_claims import beam
    from pytest_claims.evaluation.prompt import Fed
    from pytest_claims.protocol import CaptioningPlan
    from pytest_claims.sources.answers import ClosedList
    from pytest_claims.sources.checkpoint import Loaded

BATCH = 16
"""How many questions are encoded at a time, where the claim does not say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """Ranks a closed list for each question. What it gives for an image are the numbers of the best answers, best first."""

    ranking: beam.Ranking
    listed: ClosedList
    facts: dict[str, Any]
    """Of the axis decoding."""
    name: str = "ranking of a closed list"

    @property
    def batch_size(self) -> int:
        """See `Decoder.batch_size`."""
        return self.ranking.slots

    def decode(self, images: Iterable[tuple[str, torch.Tensor] | None]) -> Iterator[tuple[str, Sequence[int]]]:
        """See `Decoder.decode`."""
        return self.ranking.run(images)


def prepare(plan: CaptioningPlan, loaded: Loaded, config: GenerationConfig, fed: Fed) -> Ranked:
    """Read the list of a plan, and make the decoder that ranks it.

    Args:
        plan: a plan with the strategy `rank`.
        loaded: the checkpoint.
        config: the resolved generation config, which has the end token.
        fed: the prompts of the questions.

    Raises:
        NotAttempted: the list is not on this machine.
        EvaluationError: the list cannot be read, or the model cannot rank it.
    """
    from pytest_claims import beam

    stated = plan.protocol.decoding
    assert stated.answers is not None  # noqa: S101 - `spec.decoding.of_run` has seen to it
    listed = answers.read(stated.answers, plan.folders)
    kind = beam.ranking_class(loaded.model)
    if isinstance(kind, str):
        raise EvaluationError(
            f"The strategy rank is offered for BLIP-2 with OPT or T5, and this is another model: {kind}. Use greedy or beam."
        )
    ends = token_ids(config.eos_token_id)
    if len(ends) != 1:
        raise EvaluationError(
            f"The strategy rank needs one end token behind each answer, and the generation config has {sorted(ends)}."
        )
    penalty = 1.0 if stated.length_penalty is None else stated.length_penalty
    ranking = kind(
        loaded.model,
        beam.Closed(
            answers=tokens(loaded, listed, fed),
            end=min(ends),
            length_penalty=penalty,
            candidates=stated.candidates,
        ),
        prompts=spool.mapped(fed.each, itemgetter(1)),
        slots=plan.run.batch_size or BATCH,
    )
    facts = {
        "strategy": stated.strategy,
        "length_penalty": penalty,
        "answers": listed.path,
        "num_answers": len(listed.texts),
        "answers_digest": listed.digest,
        **({} if stated.candidates is None else {"candidates": stated.candidates}),
    }
    return Ranked(ranking=ranking, listed=listed, facts=decoding_facts(facts))


def tokens(loaded: Loaded, listed: ClosedList, fed: Fed) -> tuple[tuple[int, ...], ...]:
    """The tokens of each answer behind a prompt: those of `prompt answer` without those of `prompt`.

    An encoder-decoder reads the prompt elsewhere, so there they are the tokens of the answer alone.

    All answers are tokenised behind the first prompt. Behind each other prompt, the first answer must have the same tokens as
    behind the first one: so a prompt at whose end the tokenizer cuts otherwise is found.

    Raises:
        EvaluationError: the tokens of a prompt are not the first tokens of prompt and answer; a prompt changes the tokens of an
            answer; or an answer has no tokens, or a special one.
    """
    architecture, tokenizer = loaded.architecture, loaded.processor.tokenizer
    if loaded.language_model.config.is_encoder_decoder:
        found = [tuple(architecture.own_ids(text)) for text in listed.texts]
    else:
        first = next(iter(spool.entries(fed.each)))[1][0]
        found = [_behind(loaded, first, text) for text in listed.texts]
        before = first
        for _, (prompt, _) in spool.entries(fed.each):
            if prompt != before and _behind(loaded, prompt, listed.texts[0]) != found[0]:
                raise EvaluationError(
                    f"The answer {listed.texts[0]!r} has other tokens behind {prompt!r} than behind {first!r}. End the "
                    "template with a word or a sign, and without white space."
                )
            before = prompt
    special = set(tokenizer.all_special_ids)
    for ids, text, place in zip(found, listed.texts, listed.places, strict=True):
        if not ids or special & set(ids):
            odd = tokenizer.convert_ids_to_tokens(sorted(special & set(ids)))
            raise EvaluationError(
                f"{place}: the model cannot say {text!r}: the tokenizer reads {', '.join(odd) or 'nothing'} in it. Take the "
                "answer out of the list, if the paper's list does not have it."
            )
    return tuple(found)


def _behind(loaded: Loaded, prompt: str, answer: str) -> tuple[int, ...]:
    """The tokens of an answer behind a prompt. One space stands between the two."""
    own = loaded.architecture.own_ids
    before, both = own(prompt), own(f"{prompt} {answer}")
    if both[: len(before)] != before:
        raise EvaluationError(
            f"The tokens of {prompt!r} are not the first tokens of {f'{prompt} {answer}'!r}. End the template with a word or a "
            "sign, and without white space."
        )
    return tuple(both[len(before) :])
