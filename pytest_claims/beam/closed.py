"""Ranks the answers of a closed list by the probability that the language model gives them after image and question.

The score of an answer is the sum of the log-probabilities (float32) of its tokens and of the end token behind them, divided by
their number to the power of `length_penalty`. So beam search scores a finished caption (transformers 5.23,
`GenerationMixin._beam_search`, and `BeamHypotheses.add` before it). Of equal scores, the answer that stands first in the list
ranks first.

Image and question are computed once, in `decoder.Decoder`, where beam search computes them. The answers follow as a tree: a
token that several answers begin with is fed once, and a mask lets it see the prompt and the tokens before it in its own
answers. So nothing is padded, equal tokens give equal scores, and an answer of one token costs one.

Memory is bounded by a block of `BLOCK` tokens, however long the list is: BLOCK x vocabulary logits, once in the model's
precision and once in float32, and a mask of BLOCK x (prompt + BLOCK) numbers; beside it, the keys and values of the prompts of
`slots` questions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch  # noqa: TID253 - this room is imported only when a model is evaluated
from torch.nn import functional  # noqa: TID253 - as above

from pytest_claims import devices
from pytest_claims.beam.decoder import Decoder
from pytest_claims.beam.encoder import Encoder
from pytest_claims.beam.intake import take
from pytest_claims.beam.prompts import Prompts
from pytest_claims.beam.search import may_pack
from pytest_claims.beam.settings import BeamSettings, supports
from pytest_claims.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from torch import Tensor
    from transformers import Blip2ForConditionalGeneration

BLOCK = 256
"""How many tokens of answers are computed at a time, at least one answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A closed list as tokens."""

    answers: tuple[tuple[int, ...], ...]
    """The tokens of each answer, as they follow the prompt, without the end token."""
    end: int
    """The token that ends an answer."""
    length_penalty: float
    candidates: int | None = None
    """Only so many answers, those with the likeliest first token, are scored; None: all."""
    best: int = 10
    """How many of a ranking are given back."""
    block: int = BLOCK
    """See `BLOCK`. It does not change a score, apart from its rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Answers whose first tokens may be the same. Row 0 is the last token of the prompt, row n + 1 the token n of the tree."""

    chosen: Tensor
    """Which answers of the list, (A,)."""
    tokens: Tensor
    """(S,)."""
    parents: Tensor
    """The row before each token, (S,)."""
    depths: Tensor
    """How many tokens of its answer stand before each token, (S,)."""
    mask: Tensor
    """What is added to attention scores: 0 where a token sees another, else -inf; (S, S)."""
    paths: Tensor
    """The rows of each answer's tokens, (A, T); shorter ones are filled up with row 0."""
    lasts: Tensor
    """The row of each answer's last token, (A,)."""


class Ranking(ABC):
    """Ranks a closed list for many questions.

    Args:
        model: in evaluation mode, on one device.
        closed: the list.
        prompts: the input tokens of each question, by its id.
        slots: how many questions are encoded at a time.
    """

    def __init__(
        self,
        model: Blip2ForConditionalGeneration,
        closed: Closed,
        *,
        prompts: Mapping[str, Sequence[int]],
        slots: int,
    ) -> None:
        config: Any = model.config
        self.closed = closed
        self.slots = slots
        self.model: Any = model
        self.prompts = Prompts(prompts, image_token=config.image_token_id, queries=config.num_query_tokens)
        self.device = devices.of(next(model.parameters()).device)
        self.pack = may_pack(model)
        self.encoder = Encoder(model, pack=self.pack)
        place = self.device.device
        self._firsts = torch.tensor([tokens[0] for tokens in closed.answers], device=place)
        # Computed as Python floats and rounded once to float32, as in `hypotheses`
        lengths = [float((len(tokens) + 1) ** closed.length_penalty) for tokens in closed.answers]
        self._normalisers = torch.tensor(lengths, dtype=torch.float32, device=place)

    def run(self, images: Iterable[tuple[str, Tensor] | None]) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Rank the list for each question: (id, pixel values (3, H, W)) → (id, numbers of the best answers, best first).

        Raises:
            EvaluationError: the model gives no finite numbers.
        """
        source, exhausted = iter(images), False
        while not exhausted:
            taken, exhausted = take(source, self.slots)
            if taken:
                yield from self._ranked(taken)

    @torch.inference_mode()
    def _ranked(self, images: list[tuple[str, Tensor]]) -> list[tuple[str, tuple[int, ...]]]:
        found = []
        with self.device.attention():
            features = self.encoder.encode(images, self.encoder.sub_batch)
            for name, score in self.begin([name for name, _ in images], features):
                first, of = score
                chosen = self._candidates(first)
                scores = of(chosen) / self._normalisers[chosen]
                if not bool(torch.isfinite(scores).all()):
                    raise EvaluationError(
                        f"Question {name}: an answer has no finite score: the model's numbers overflow in this precision."
                    )
                # A stable sort keeps the order of the list among equals.
                order = scores.sort(descending=True, stable=True).indices[: self.closed.best]
                found.append((name, tuple(chosen[order].tolist())))
        return found

    def _candidates(self, first: Tensor) -> Tensor:
        """The numbers of the answers that are scored in full, in the order of the list.

        Args:
            first: the log-probabilities of the first token, (V,).
        """
        total, most = len(self.closed.answers), self.closed.candidates
        if most is None or most >= total:
            return torch.arange(total, device=first.device)
        likeliest = first[self._firsts].sort(descending=True, stable=True).indices[:most]
        return likeliest.sort().values

    @abstractmethod
    def begin(
        self, names: list[str], features: Tensor
    ) -> Iterator[tuple[str, tuple[Tensor, Callable[[Tensor], Tensor]]]]:
        """Compute what the answers of each question share.

        Args:
            names: the ids of the questions.
            features: (G, Q, d), of their images.

        Yields:
            The id; the log-probabilities of the first token, (V,); and a function that gives the summed log-probabilities of
            answers, by their numbers: (A,) → (A,).
        """


class OptRanking(Ranking):
    """Ranks with BLIP-2's OPT, on the project's own forward pass; `supports(model)` must be None. See `Ranking`."""

    def __init__(
        self,
        model: Blip2ForConditionalGeneration,
        closed: Closed,
        *,
        prompts: Mapping[str, Sequence[int]],
        slots: int,
    ) -> None:
        super().__init__(model, closed, prompts=prompts, slots=slots)
        # The store holds the prompts only; it has a position for each token of the longest answer.
        settings = BeamSettings(
            num_beams=1,
            max_new_tokens=max(map(len, closed.answers)),
            min_new_tokens=0,
            length_penalty=closed.length_penalty,
            repetition_penalty=1.0,
            early_stopping=False,
            eos_token_ids=(closed.end,),
            pad_token_id=closed.end,
        )
        with torch.inference_mode():
            self._decoder = Decoder(model, settings, prompts=self.prompts, slots=slots, pack=self.pack)
        # Answers that begin alike stand together, so that a block holds their common tokens once.
        order = sorted(range(len(closed.answers)), key=lambda number: closed.answers[number])
        self._place = {number: place for place, number in enumerate(order)}
        self._all: list[Tree] | None = None
        if closed.candidates is None or closed.candidates >= len(order):
            self._all = self._trees(order)

    def begin(
        self, names: list[str], features: Tensor
    ) -> Iterator[tuple[str, tuple[Tensor, Callable[[Tensor], Tensor]]]]:
        """See `Ranking.begin`."""
        prompts, lengths = self.prompts.batch(names, self.device)
        last = self._decoder.prefill(slice(0, len(names)), features, prompts, lengths)[:, 0].float()  # (G, V)
        sizes = [prompts.shape[1]] * len(names) if lengths is None else self.device.read(lengths)
        for slot, (name, size) in enumerate(zip(names, sizes, strict=True)):
            first = functional.log_softmax(last[slot], dim=-1)

            def score(chosen: Tensor, slot: int = slot, size: int = size) -> Tensor:
                return self._sums(chosen, last[slot], slot, size)

            yield name, (first, score)

    def _sums(self, chosen: Tensor, last: Tensor, slot: int, size: int) -> Tensor:
        """See `Ranking.begin`.

        Args:
            chosen: the numbers of the answers, ascending.
            last: the logits after the prompt, (V,).
            slot: of the question.
            size: of its prompt.
        """
        trees = self._all
        if trees is None:
            trees = self._trees(sorted(self.device.read(chosen), key=self._place.__getitem__))
        sums = torch.empty(len(self.closed.answers), device=last.device)
        for tree in trees:
            logits = self._decoder.branch(slot, size, tree.tokens, tree.depths, tree.mask).float()  # (S, V)
            behind = torch.cat((last[None], logits))  # (S + 1, V)
            total = behind.logsumexp(-1)
            steps = behind[tree.parents, tree.tokens] - total[tree.parents]
            ends = behind[tree.lasts, self.closed.end] - total[tree.lasts]
            steps = torch.cat((steps.new_zeros(1), steps))  # row 0 adds nothing
            sums[tree.chosen] = steps[tree.paths].sum(-1) + ends
        return sums[chosen]

    def _trees(self, order: Sequence[int]) -> list[Tree]:
        """Answers as trees of at most `block` tokens each."""
        trees: list[Tree] = []
        taken: list[int] = []
        rows: dict[tuple[int, ...], int] = {}
        for number in order:
            tokens = self.closed.answers[number]
            prefixes = [tokens[: n + 1] for n in range(len(tokens))]
            fresh = [prefix for prefix in prefixes if prefix not in rows]
            if taken and len(rows) + len(fresh) > self.closed.block:
                trees.append(self._tree(taken, rows))
                taken, rows, fresh = [], {}, prefixes
            for prefix in fresh:
                rows[prefix] = len(rows) + 1
            taken.append(number)
        return [*trees, self._tree(taken, rows)]

    def _tree(self, taken: Sequence[int], rows: Mapping[tuple[int, ...], int]) -> Tree:
        answers = [self.closed.answers[number] for number in taken]
        longest = max(map(len, answers))
        paths = [[rows[tokens[: n + 1]] for n in range(len(tokens))] for tokens in answers]
        mask = torch.full((len(rows) + 1, len(rows) + 1), float("-inf"), dtype=self._decoder.dtype)
        parents = [rows.get(prefix[:-1], 0) for prefix in rows]
        for row, parent in enumerate(parents, start=1):
            mask[row] = mask[parent]
            mask[row, row] = 0
        place = self.device.device
        return Tree(
            chosen=torch.tensor(list(taken), device=place),
            tokens=torch.tensor([prefix[-1] for prefix in rows], device=place),
            parents=torch.tensor(parents, device=place),
            depths=torch.tensor([len(prefix) - 1 for prefix in rows], device=place),
            mask=mask[1:, 1:].to(place),
            paths=torch.tensor([[*path, *[0] * (longest - len(path))] for path in paths], device=place),
            lasts=torch.tensor([path[-1] for path in paths], device=place),
        )


class EncoderDecoderRanking(Ranking):
    """Ranks with BLIP-2's T5 through its own forward pass: the answers are padded on the right, where nothing sees them."""

    def begin(
        self, names: list[str], features: Tensor
    ) -> Iterator[tuple[str, tuple[Tensor, Callable[[Tensor], Tensor]]]]:
        """See `Ranking.begin`. Each question is encoded alone, so that no prompt is padded."""
        t5 = self.model.language_model
        start: int = t5.config.decoder_start_token_id
        for number, name in enumerate(names):
            prompt, _ = self.prompts.batch([name], self.device)
            embeds = t5.get_input_embeddings()(prompt)  # (1, L, d)
            embeds[:, torch.tensor(self.prompts.image_positions, device=embeds.device)] = features[
                number : number + 1
            ].to(embeds.dtype)
            seen = t5.get_encoder()(inputs_embeds=embeds, attention_mask=torch.ones_like(prompt)).last_hidden_state

            def logits(fed: Tensor, seen: Tensor = seen) -> Tensor:
                rows = seen.expand(fed.shape[0], -1, -1)
                mask = torch.ones(rows.shape[:2], dtype=torch.long, device=fed.device)
                found: Tensor = t5(encoder_outputs=(rows,), attention_mask=mask, decoder_input_ids=fed).logits
                return found.float()

            first = functional.log_softmax(logits(torch.full((1, 1), start, device=embeds.device))[0, 0], dim=-1)

            def score(chosen: Tensor, logits: Callable[[Tensor], Tensor] = logits) -> Tensor:
                return self._sums(chosen, logits, start)

            yield name, (first, score)

    def _sums(self, chosen: Tensor, logits: Callable[[Tensor], Tensor], start: int) -> Tensor:
        numbers = self.device.read(chosen)
        # Answers of one length stand together, so that little is padded.
        order = sorted(range(len(numbers)), key=lambda n: len(self.closed.answers[numbers[n]]))
        sums = torch.empty(len(numbers), device=chosen.device)
        end = self.closed.end
        while order:
            width = 0
            taken: list[int] = []
            while order:
                wider = max(width, len(self.closed.answers[numbers[order[0]]]) + 1)
                if taken and wider * (len(taken) + 1) > self.closed.block:
                    break
                width = wider
                taken.append(order.pop(0))
            rows = [(*self.closed.answers[numbers[n]], end) for n in taken]
            targets = torch.tensor([[*row, *[end] * (width - len(row))] for row in rows], device=chosen.device)
            counted = torch.tensor([[n < len(row) for n in range(width)] for row in rows], device=chosen.device)
            fed = torch.cat((torch.full_like(targets[:, :1], start), targets[:, :-1]), 1)
            scores = logits(fed)  # (B, T, V)
            steps = scores.gather(-1, targets[..., None])[..., 0] - scores.logsumexp(-1)
            sums[torch.tensor(taken, device=chosen.device)] = (steps * counted).sum(-1)
        return sums


def ranking_class(model: torch.nn.Module) -> type[Ranking] | str:
    """What ranks a closed list with `model`; else a sentence that says why nothing does."""
    from transformers import Blip2ForConditionalGeneration

    if supports(model) is None:
        return OptRanking
    if isinstance(model, Blip2ForConditionalGeneration):
        text: Any = model.language_model
        if text.config.model_type == "t5":
            return EncoderDecoderRanking
        return f"its language model is {type(text).__name__}"
    return f"it is {type(model).__name__}"
