"""The running and finished captions of a beam search over many images, where each image has its own step.

The arithmetic and its order are those of `GenerationMixin._beam_search` in transformers 5.23. There are three differences.
Every image has its own step counter. The search for an image ends when this image is decided; `generate` waits for the
whole batch, but adds -1e9 to all new scores of a decided image, so its caption does not change. Ties follow a rule.

The rule for ties: continuations of equal score are ranked by beam (the better-ranked beam first), then by token id (the
lower first). Finished captions of equal score are ranked by age (the one that finished earlier first). The stock search
uses `torch.topk`, which defines no order among equal values.

Every tensor is allocated once and changed in place, no operation waits for the device, and all shapes depend only on the
number of rows. So a step can be captured in a CUDA graph. Further steps do not change the caption of a decided image. So the
host need not know at once that an image is decided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch  # noqa: TID253 - this room is imported only when a model is evaluated
from torch.nn import functional  # noqa: TID253 - as above

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_claims.beam.settings import BeamSettings

_IMPOSSIBLE = -1.0e9  # the stock search adds this to what must not win; the same number gives the same rounding
_FEW = 64  # values up to which a sort is faster than making keys; measured
_MOST_CHUNKS = 2048  # chunk maxima to sort per image; measured: sorting then takes less than 5 % of a step


class Hypotheses:
    """The running and finished captions of all slots.

    Args:
        settings: the protocol's decoding.
        prompt: the longest prompt's token ids, (L,), on the device.
        vocabulary: the number of token ids.
        slots: how many images are decoded at a time.
    """

    def __init__(self, settings: BeamSettings, *, prompt: Tensor, vocabulary: int, slots: int) -> None:
        self.settings = settings
        self.prompts = prompt.repeat(slots, 1)
        """The prompt of each slot, filled up with its first token."""
        device, beams, length = prompt.device, settings.num_beams, settings.max_new_tokens
        self.step = torch.zeros(slots, dtype=torch.long, device=device)
        self.tokens = torch.zeros((slots, beams, length), dtype=torch.long, device=device)
        self.scores = torch.zeros((slots, beams), device=device)
        self.best_tokens = torch.zeros_like(self.tokens)
        self.best_scores = torch.zeros_like(self.scores)
        self.best_lengths = torch.zeros((slots, beams), dtype=torch.long, device=device)
        self.best_finished = torch.zeros((slots, beams), dtype=torch.bool, device=device)
        self.open = torch.ones(slots, dtype=torch.bool, device=device)
        self.done = torch.zeros(slots, dtype=torch.bool, device=device)
        self.parents = torch.zeros((slots, beams), dtype=torch.long, device=device)
        self._eos = torch.tensor(settings.eos_token_ids, dtype=torch.long, device=device)
        self._positions = torch.arange(length, device=device)
        self._in_top = torch.arange(settings.candidates, device=device) < beams
        # Computed as Python floats and rounded once to fp32, as in the stock search
        self._normalisers = torch.tensor(
            [1.0, *(n**settings.length_penalty for n in range(1, length + 1))], device=device
        )
        size = 64
        while beams * vocabulary // size > _MOST_CHUNKS:
            size *= 2
        self._chunk = size

    def per_slot(self) -> tuple[Tensor, ...]:
        """All tensors of what is generated; their first dimension is the slot."""
        return (
            self.step,
            self.tokens,
            self.scores,
            self.best_tokens,
            self.best_scores,
            self.best_lengths,
            self.best_finished,
            self.open,
            self.done,
            self.parents,
        )

    def reset(self, rows: slice, prompts: Tensor | None = None) -> None:
        """Start new images in these slots.

        Args:
            rows: the slots.
            prompts: (G, l), filled up with their first token; None: as before.
        """
        if prompts is not None:
            self.prompts[rows] = prompts[:, :1]
            self.prompts[rows, : prompts.shape[1]] = prompts
        for tensor in self.per_slot():
            tensor[rows] = 0
        self.best_scores[rows] = _IMPOSSIBLE
        self.open[rows] = True

    def move(self, sources: Tensor, targets: Tensor) -> None:
        """Copy slots. No slot is both source and target."""
        for tensor in (self.prompts, *self.per_slot()):
            tensor[targets] = tensor[sources]

    def take(self, other: Hypotheses, sources: Tensor, targets: Tensor) -> None:
        """Copy slots of other hypotheses."""
        theirs = (other.prompts, *other.per_slot())
        for tensor, source in zip((self.prompts, *self.per_slot()), theirs, strict=True):
            tensor.index_copy_(0, targets, source.index_select(0, sources))

    def advance(self, rows: slice, logits: Tensor) -> None:
        """Choose the next token of every beam of these slots, and find out which images are decided.

        Args:
            rows: the slots.
            logits: (A, beams, V), of the last position. At the first step (A, 1, V): all beams are equal to the prompt,
                and only the first is continued.
        """
        if self.settings.num_beams == 1:
            self._advance_greedy(rows, logits)
        else:
            self._advance_beams(rows, logits)

    def _process(self, rows: slice, scores: Tensor) -> None:
        """Apply the repetition penalty, then the minimum length, in place; `generate` has the same order."""
        settings, step = self.settings, self.step[rows]
        if settings.repetition_penalty != 1.0:
            beams = scores.shape[1]
            filled = self._positions < step[:, None, None]
            # Positions that are not generated yet get the prompt's first token, which is penalised anyway.
            prompt = self.prompts[rows, None].expand(-1, beams, -1)
            generated = torch.where(filled, self.tokens[rows, :beams], prompt[..., :1])
            seen = torch.cat((prompt, generated), dim=-1)  # (A, beams, L + T)
            penalised = scores.gather(-1, seen)
            penalised = torch.where(
                penalised < 0,
                penalised * settings.repetition_penalty,
                penalised / settings.repetition_penalty,
            )
            scores.scatter_(-1, seen, penalised)
        if settings.min_new_tokens and settings.eos_token_ids:
            too_short = (step < settings.min_new_tokens)[:, None, None]
            ended = scores[:, :, self._eos].masked_fill(too_short, float("-inf"))
            scores[:, :, self._eos] = ended

    def _ends(self, token: Tensor, step: Tensor) -> Tensor:
        """Whether each of the chosen tokens, (A, n), ends its caption."""
        is_eos = (token[..., None] == self._eos).any(-1)
        return is_eos | (step + 1 >= self.settings.max_new_tokens)[:, None]

    def _advance_greedy(self, rows: slice, logits: Tensor) -> None:
        # Greedy search uses logits, and beam search log-probabilities (GenerationMixin._sample). With a repetition
        # penalty the two differ.
        step = self.step[rows]
        scores = logits.to(torch.float32, copy=True)
        self._process(rows, scores)
        best, token = scores.max(-1)  # (A, 1); the first of equal values
        last = step.clamp(max=self.settings.max_new_tokens - 1)
        self.tokens[rows].scatter_(2, last[:, None, None], token[..., None])
        self.scores[rows] += best
        step.add_(1).clamp_(max=self.settings.max_new_tokens)
        open_ = self.open[rows]  # a decided image may stay in its slot, and keeps its caption
        self.best_tokens[rows] = torch.where(open_[:, None, None], self.tokens[rows], self.best_tokens[rows])
        self.best_scores[rows] = torch.where(open_[:, None], self.scores[rows], self.best_scores[rows])
        self.best_lengths[rows] = torch.where(open_[:, None], step[:, None], self.best_lengths[rows])
        open_ &= ~self._ends(token, step - 1)[:, 0]
        self.done[rows] = ~open_

    def _advance_beams(self, rows: slice, logits: Tensor) -> None:
        settings, step = self.settings, self.step[rows]
        beams, vocabulary = logits.shape[1], logits.shape[2]
        scores = functional.log_softmax(logits.float(), dim=-1)
        self._process(rows, scores)
        scores += self.scores[rows, :beams, None]
        top, index = self._best_candidates(scores)  # (A, K)
        parent, token = index // vocabulary, index % vocabulary
        ends = self._ends(token, step)
        candidates = _gather(self.tokens[rows], parent)  # (A, K, T)
        last = step.clamp(max=settings.max_new_tokens - 1)
        candidates.scatter_(2, last[:, None, None].expand(-1, top.shape[1], 1), token[..., None])

        # The beams that continue
        running, order = _ranked(top + ends * _IMPOSSIBLE, settings.num_beams)  # (A, beams)
        self.parents[rows] = parent.gather(1, order)
        self.tokens[rows] = _gather(candidates, order)
        self.scores[rows] = running

        # The captions that ended; only the best `num_beams` continuations may end one
        open_ = self.open[rows]
        ended = ends & self._in_top
        final = top / self._normalisers[(step + 1).clamp(max=settings.max_new_tokens)][:, None]
        if settings.early_stopping is True:
            final = final + self.best_finished[rows].all(-1, keepdim=True) * _IMPOSSIBLE
        final = final + (~open_)[:, None] * _IMPOSSIBLE
        final = final + ~ended * _IMPOSSIBLE
        best, order = _ranked(torch.cat((self.best_scores[rows], final), 1), settings.num_beams)
        lengths = (step + 1)[:, None].expand_as(final)
        self.best_tokens[rows] = _gather(torch.cat((self.best_tokens[rows], candidates), 1), order)
        self.best_lengths[rows] = _gather(torch.cat((self.best_lengths[rows], lengths), 1), order)
        self.best_finished[rows] = _gather(torch.cat((self.best_finished[rows], ended), 1), order)
        self.best_scores[rows] = best

        # Can a running beam still win? (GenerationMixin._check_early_stop_heuristic)
        step.add_(1).clamp_(max=settings.max_new_tokens)
        if settings.early_stopping == "never" and settings.length_penalty > 0.0:
            reachable = running[:, :1] / self._normalisers[-1]
        else:
            reachable = running[:, :1] / self._normalisers[step][:, None]
        finished = self.best_finished[rows]
        worst = torch.where(finished, best.amin(1, keepdim=True), _IMPOSSIBLE)
        open_ &= (reachable > worst).any(-1) & (step < settings.max_new_tokens)
        if settings.early_stopping is True:
            open_ &= ~finished.all(-1)
        # A decided image may stay in its slot. Nothing can win any more where `open` is False, so it keeps its caption.
        self.done[rows] = ~open_

    def _best_candidates(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """The `candidates` best scores of (A, beams, V), and their indices in (beams x V). Ties follow the rule above.

        The scores are cut into chunks. The best K scores are in the K chunks with the largest maxima, because these K
        maxima rank before every score of another chunk. So only the maxima and these chunks are ranked.
        What this gains over a stable sort of all scores is measured by benchmarks/beam_parts.py.
        """
        count, vocabulary = self.settings.candidates, scores.shape[2]
        missing = -vocabulary % self._chunk
        if missing:
            scores = functional.pad(scores, (0, missing), value=float("-inf"))
        padded = vocabulary + missing
        chunks = scores.view(scores.shape[0], -1, self._chunk)  # (A, M, C)
        if chunks.shape[1] > count:
            _, picked = _ranked(chunks.amax(-1), count)
            picked = picked.sort(-1).values  # ascending, so that equal scores are ranked by index
            chunks = _gather(chunks, picked)
            start = picked * self._chunk
        else:
            start = torch.arange(chunks.shape[1], device=scores.device) * self._chunk
            start = start.expand(scores.shape[0], -1)
        top, order = _ranked(chunks.flatten(1), count)  # (A, K)
        index = start.gather(1, order // self._chunk) + order % self._chunk
        if missing:
            index = index // padded * vocabulary + index % padded
        return top, index


def _ranked(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest along the last dimension, and their indices; the lower index first among equals.

    As in a sort of PyTorch, NaN ranks before all numbers. So a score that is NaN reaches the caption, which is then an error.
    """
    size = values.shape[-1]
    if size < _FEW:
        ranked, order = values.sort(dim=-1, descending=True, stable=True)
        return ranked[..., :count], order[..., :count]
    # `torch.topk` is about ten times as fast as a stable sort, but defines no order among equals. So it gets numbers of
    # which no two are equal: the bits of the score, as an integer of the same order, and behind them the negated index.
    bits = values.masked_fill(values.isnan(), float("nan")).add_(0.0).view(torch.int32)  # one NaN, one zero
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # below zero, larger bits are a smaller number
    behind = torch.arange(size - 1, -1, -1, device=values.device)
    keys = (ordered.long() << 32) | behind
    order = size - 1 - (keys.topk(count).values & 0xFFFFFFFF)
    return values.gather(-1, order), order


def _gather(values: Tensor, index: Tensor) -> Tensor:
    """`values[i, index[i]]` for every row i: (A, n, ...), (A, m) to (A, m, ...)."""
    index = index.view(*index.shape, *(1,) * (values.dim() - 2))
    return values.gather(1, index.expand(-1, -1, *values.shape[2:]))
