"""The search's loop for a GPU: the device itself replaces a decided image by a waiting one, and the host looks in rarely.

A GPU works while the host goes on. When the host reads a value, it waits until all work given so far is done, and the GPU then
waits for the host. To know after each step which images are decided costs several such waits. To ask less often costs more:
a decided image would keep its slot until the next look, and captions of about ten tokens would take sixteen steps.

So images are encoded and their prefixes computed ahead, into a waiting room. At the end of each step the device writes the
captions of decided images into a table, and puts waiting images into their slots. All sizes are fixed, so this is part of the
step's CUDA graph. The host looks every `LOOK` steps: one read gives the table and the state of the queue.

Every image in flight has a *ticket*, the number of its row in the table. Slots without an image have the ticket `_nobody`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import torch  # noqa: TID253 - this room is imported only when a model is evaluated

from pytest_claims import devices
from pytest_claims.beam.decoder import Decoder
from pytest_claims.beam.hypotheses import Hypotheses
from pytest_claims.beam.intake import take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from torch import Tensor
    from transformers import Blip2ForConditionalGeneration

    from pytest_claims.beam.prompts import Prompts
    from pytest_claims.beam.settings import BeamSettings

    Images = list[tuple[str, Tensor]]

LOOK = 8
"""Steps between two looks of the host."""
_PART = 8
"""A step replaces at most this part of the slots, since it copies so many prefixes whether images are decided or not."""


def waiting_room(slots: int) -> int:
    """How many images wait at most: as many as can be put into slots between two looks."""
    return LOOK * _most(slots)


def _most(slots: int) -> int:
    return -(-slots // _PART)


class Turnover:
    """Slots, and a waiting room for the next images.

    Args:
        model: as for `BeamSearch`.
        settings: the protocol's decoding.
        prompts: the prompts of the images.
        decoder: of the slots, and of one more: the target of copies that shall have no effect.
        hypotheses: the same.
        encode: computes the features of images.
        step: decodes the first `count` slots one step further, and calls `replace`. The second argument is the number of tokens
            of the longest caption so far, or more.
    """

    def __init__(
        self,
        model: Blip2ForConditionalGeneration,
        settings: BeamSettings,
        *,
        prompts: Prompts,
        decoder: Decoder,
        hypotheses: Hypotheses,
        encode: Callable[[Images], Tensor],
        step: Callable[[int, int], None],
    ) -> None:
        self._settings, self._device = settings, devices.of(decoder.device)
        self._encode, self._step, self._prompts = encode, step, prompts
        self._decoder, self._hypotheses = decoder, hypotheses
        self.slots = hypotheses.step.shape[0] - 1
        self._most, self._room = _most(self.slots), waiting_room(self.slots)
        # Only the prefix and the first token of a waiting image are computed.
        first = replace(settings, max_new_tokens=1, min_new_tokens=min(1, settings.min_new_tokens))
        self._waiting = Decoder(model, first, prompts=prompts, slots=self._room, pack=False)
        where = decoder.device
        longest = torch.zeros(decoder.prefix, dtype=torch.long, device=where)
        self._begun = Hypotheses(settings, prompt=longest, vocabulary=decoder.vocabulary, slots=self._room)
        self._nobody = self.slots + self._room
        # A row per ticket: whether decided, length, score, tokens. Each of these is exact as a double.
        self._columns = 3 + settings.max_new_tokens
        self._table = torch.zeros((self._nobody + 1, self._columns), dtype=torch.double, device=where)
        self._ticket = torch.full((self.slots + 1,), self._nobody, device=where)
        self._waiting_ticket = torch.full((self._room,), self._nobody, device=where)
        self._queue = torch.zeros(2, dtype=torch.long, device=where)  # the first waiting image, and how many wait
        self._numbers = torch.arange(max(self.slots, self._most + 1), device=where)

    def run(self, images: Iterable[tuple[str, Tensor] | None]) -> Iterator[tuple[str, list[int], float]]:
        """Caption images: (id, tokens, score) of decided images, in any order."""
        source = iter(images)
        self._names: dict[int, str] = {}  # of the images in flight, by ticket
        self._free = deque(range(self._nobody))
        self._decided: list[int] = []  # tickets of decided images that are not free yet
        self._seats: list[int] = []  # the tickets in the slots 0, 1, ... that are in use
        self._start = self._count = 0  # of the waiting images: the place of the first, and how many there are
        self._seat()
        self._queue_up()
        most = self._settings.max_new_tokens
        youngest = furthest = 1
        exhausted = False
        while True:
            while not exhausted and (space := self._space()):
                taken, exhausted = take(source, space)
                if not taken:
                    break
                youngest = 1
                self._admit(taken)
                del taken
            if not self._names:
                if exhausted:
                    return
                continue
            # Where nothing waits, all that is in a slot is decided when the youngest has its last token.
            for _ in range(LOOK if self._count else min(LOOK, max(1, most - youngest))):
                self._step(len(self._seats), furthest)
                furthest = min(furthest + 1, most)
            found, tokens = self._look()
            yield from found
            youngest, furthest = min(tokens, default=1), max(tokens, default=1)

    def replace(self, count: int) -> None:
        """Write down the captions of decided images, and put waiting images into their slots. Part of a step's graph.

        Args:
            count: the slots of the step, the unused ones of its graph included.
        """
        hypotheses, rows = self._hypotheses, slice(0, count)
        ticket = self._ticket[rows]
        done = hypotheses.done[rows] & (ticket != self._nobody)
        parts = (
            done[:, None],
            hypotheses.best_lengths[rows, :1],
            hypotheses.best_scores[rows, :1],
            hypotheses.best_tokens[rows, 0],
        )
        self._table.index_copy_(0, ticket, torch.cat([part.double() for part in parts], 1))
        start, waiting = self._queue
        rank = done.cumsum(0)  # the first decided slot has 1
        replaced = torch.minimum(rank[-1], waiting).clamp(max=self._most)
        # The slots that are replaced, in order; where there are fewer, the one that nobody uses
        place = torch.where(done & (rank <= replaced), rank - 1, self._most)
        slots = torch.full_like(self._numbers[: self._most + 1], self.slots)
        targets = slots.scatter_(0, place, self._numbers[rows])[: self._most]
        sources = (start + self._numbers[: self._most]) % self._room
        self._decoder.take(self._waiting, sources, targets)
        hypotheses.take(self._begun, sources, targets)
        self._ticket.index_copy_(0, targets, self._waiting_ticket.index_select(0, sources))
        self._ticket[self.slots :] = (
            self._nobody
        )  # a slice: a number put into a single place comes from the host's memory
        start.add_(replaced).remainder_(self._room)
        waiting.sub_(replaced)

    def _space(self) -> int:
        """How many images can be taken in one go: into free slots or, if there are none, into neighbouring places."""
        if not self._count and len(self._seats) < self.slots:
            return self.slots - len(self._seats)
        end = self._start + self._count
        return min(self._room - self._count, self._room - end % self._room)

    @torch.inference_mode()
    def _admit(self, images: Images) -> None:
        """Put images into the space that `_space` told."""
        if not images:
            return
        tickets = [self._free.popleft() for _ in images]
        self._names.update(zip(tickets, (name for name, _ in images), strict=True))
        numbers = self._device.write(tickets)
        self._table.index_fill_(0, numbers, 0)
        if not self._count and len(self._seats) < self.slots:
            self._begin(self._decoder, self._hypotheses, len(self._seats), images)
            self._seats += tickets
            self._seat()
        else:
            first = (self._start + self._count) % self._room
            self._begin(self._waiting, self._begun, first, images)
            self._waiting_ticket[first : first + len(images)] = numbers
            self._count += len(images)
            self._queue_up()

    def _begin(self, decoder: Decoder, hypotheses: Hypotheses, first: int, images: Images) -> None:
        """Compute the prefix of images, and choose their first tokens."""
        rows = slice(first, first + len(images))
        with self._device.attention():
            features = self._encode(images)
            prompts, lengths = self._prompts.batch([name for name, _ in images], self._device)
            hypotheses.reset(rows, prompts)
            hypotheses.advance(rows, decoder.prefill(rows, features, prompts, lengths))
            decoder.reorder(rows, hypotheses.parents[rows], hypotheses.step[rows])

    @torch.inference_mode()
    def _seat(self) -> None:
        """Tell the device which tickets are in the slots."""
        empty = self.slots + 1 - len(self._seats)
        self._ticket.copy_(self._device.write([*self._seats, *[self._nobody] * empty]))

    @torch.inference_mode()
    def _queue_up(self) -> None:
        """Tell the device which images wait."""
        self._queue.copy_(self._device.write([self._start, self._count]))

    @torch.inference_mode()
    def _look(self) -> tuple[list[tuple[str, list[int], float]], list[int]]:
        """Wait for the device; the captions that are decided since the last look, and how many tokens each other image has."""
        steps = self._hypotheses.step
        told = self._device.read(
            torch.cat([part.flatten().double() for part in (self._table, self._ticket, steps, self._queue)])
        )
        rows, told = told[: self._table.numel()], told[self._table.numel() :]
        seats, steps_, (start, count) = told[: self.slots], told[self.slots + 1 : -3], told[-2:]
        self._start, self._count = int(start), int(count)
        found = []
        for ticket in list(self._names):
            done, length, score, *tokens = rows[ticket * self._columns : (ticket + 1) * self._columns]
            if done:
                found.append((self._names.pop(ticket), [int(token) for token in tokens[: int(length)]], score))
                self._decided.append(ticket)
        self._seats = [int(ticket) for ticket in seats[: len(self._seats)]]
        kept = [slot for slot, ticket in enumerate(self._seats) if ticket in self._names]
        tokens_ = [int(steps_[slot]) for slot in kept]
        if not self._count and len(kept) < len(self._seats):
            self._close_ranks(kept, max(tokens_, default=1))
        # A decided image that is not replaced yet still writes into its row.
        seated = set(self._seats)
        self._free.extend(ticket for ticket in self._decided if ticket not in seated)
        self._decided = [ticket for ticket in self._decided if ticket in seated]
        return found, tokens_

    def _close_ranks(self, kept: list[int], furthest: int) -> None:
        """Move the images of the last slots into those that are free, so that the slots in use are the first."""
        used = len(kept)
        sources = [slot for slot in kept if slot >= used]
        targets = [slot for slot in range(used) if slot not in set(kept)]
        if sources:
            from_, to = self._device.write(sources), self._device.write(targets)
            self._decoder.move(from_, to, self._decoder.rows(furthest))
            self._hypotheses.move(from_, to)
            for source, target in zip(sources, targets, strict=True):
                self._seats[target] = self._seats[source]
        del self._seats[used:]
        self._seat()
