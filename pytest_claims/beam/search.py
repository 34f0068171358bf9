"""Continuous batching: an image leaves its slot when it is finished, and a waiting image takes the slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch  # noqa: TID253 - this room is imported only when a model is evaluated

from pytest_claims import devices
from pytest_claims.beam.decoder import Decoder
from pytest_claims.beam.encoder import Encoder
from pytest_claims.beam.graphs import WIDTH, Graphs
from pytest_claims.beam.hypotheses import Hypotheses
from pytest_claims.beam.intake import take
from pytest_claims.beam.prompts import Prompts
from pytest_claims.beam.settings import BeamSettings, supports
from pytest_claims.beam.turnover import Turnover
from pytest_claims.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from torch import Tensor
    from transformers import Blip2ForConditionalGeneration

_REFILL = 4  # encode images only when a quarter of the slots is free: the encoder is slow on small batches
_WIDTH_ON_CPU = 8  # rows read from the store are rounded up to this; on a GPU, each number is a CUDA graph


class BeamSearch:
    """Beam search with a BLIP-2 model whose language model is OPT.

    Captions do not depend on the number of slots, on the order of the images, or on other images in the same batch. Only
    the rounding of the matrix products does: in fp32 it decides between scores that are equal to 6 digits.

    Args:
        model: in evaluation mode; `supports(model)` must be None.
        settings: the protocol's decoding.
        input_ids: the tokenised prompt with image placeholders: (1, L), for every image the same; or the tokens of each image
            by its id.
        slots: how many images are decoded at a time.
        sub_batch: how many images are encoded at a time; default: chosen for the device.

    Raises:
        EvaluationError: the model, the prompt or the number of slots cannot be used.
    """

    def __init__(
        self,
        model: Blip2ForConditionalGeneration,
        settings: BeamSettings,
        *,
        input_ids: Tensor | Mapping[str, Sequence[int]],
        slots: int,
        sub_batch: int | None = None,
    ) -> None:
        problem = supports(model)
        if problem is not None:
            raise EvaluationError(problem)
        config: Any = model.config
        self._prompts = Prompts(input_ids, image_token=config.image_token_id, queries=config.num_query_tokens)
        if slots < 1:
            raise EvaluationError(f"The number of slots is {slots}, expected at least 1.")
        self.slots = slots
        self._settings = settings
        self._device = device = devices.of(next(model.parameters()).device)
        self._turnover: Turnover | None = None
        self._allocate(model)
        self._sub_batch = sub_batch or self._encoder.sub_batch
        self._width_step = WIDTH if device.far else _WIDTH_ON_CPU
        self._graphs = Graphs(slots, device) if isinstance(device, devices.Cuda) else None

    @torch.inference_mode()
    def _allocate(self, model: Blip2ForConditionalGeneration) -> None:
        pack = may_pack(model)
        slots = self.slots + self._device.far  # one that nobody uses (turnover.py)
        self._encoder = Encoder(model, pack=pack)
        self._decoder = decoder = Decoder(model, self._settings, prompts=self._prompts, slots=slots, pack=pack)
        self._hypotheses = Hypotheses(
            self._settings,
            prompt=torch.zeros(decoder.prefix, dtype=torch.long, device=decoder.device),
            vocabulary=decoder.vocabulary,
            slots=slots,
        )
        if self._device.far:
            self._turnover = Turnover(
                model,
                self._settings,
                prompts=self._prompts,
                decoder=decoder,
                hypotheses=self._hypotheses,
                encode=lambda images: self._encoder.encode(images, self._sub_batch),
                step=self._advance,
            )

    def run(self, images: Iterable[tuple[str, Tensor] | None]) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Caption images.

        Args:
            images: (id, pixel values of shape (3, H, W)). An image is taken only when a slot is free, or, on a GPU, a place in
                the waiting room, so at most about twice `slots` images are held at a time. None: there is none now; see
                `intake`.

        Yields:
            (id, token ids) of finished images, in any order. The token ids are those that `generate` returns after the
            prompt: with the end-of-sequence token if the caption has one, without padding.
        """
        if self._turnover is not None:
            for image_id, tokens, score in self._turnover.run(images):
                yield image_id, _sound(image_id, tokens, score)
            return
        source = iter(images)
        active: list[str] = []  # the ids in slots 0, 1, ...; the used slots are always the first
        steps: list[int] = []  # tokens generated per slot, counted here to avoid waiting for the device
        exhausted = False
        while True:
            free = self.slots - len(active)
            if not exhausted and (not active or free * _REFILL >= self.slots):
                waiting, exhausted = take(source, free)
                if waiting:
                    done = self._admit(waiting, len(active))
                    active += [image_id for image_id, _ in waiting]
                    steps += [1] * len(waiting)
                    del waiting
                    yield from self._leave(active, steps, done)
                    continue
            if not active:
                if exhausted:
                    return
                continue
            done = self._step(len(active), max(steps))
            steps = [step + 1 for step in steps]
            yield from self._leave(active, steps, done)

    @torch.inference_mode()
    def _admit(self, images: list[tuple[str, Tensor]], first: int) -> list[int]:
        """Put images into the slots from `first` on and choose their first token; return the decided slots."""
        rows = slice(first, first + len(images))
        with self._device.attention():
            features = self._encoder.encode(images, self._sub_batch)
            prompts, lengths = self._prompts.batch([image_id for image_id, _ in images], self._device)
            self._hypotheses.reset(rows, prompts)
            self._choose(rows, self._decoder.prefill(rows, features, prompts, lengths))
        return [first + n for n, done in enumerate(self._device.read(self._hypotheses.done[rows])) if done]

    @torch.inference_mode()
    def _step(self, count: int, furthest: int) -> list[int]:
        """Choose one more token for the images in the first `count` slots; return the decided slots."""
        self._advance(count, furthest)
        return [n for n, done in enumerate(self._device.read(self._hypotheses.done[:count])) if done]

    @torch.inference_mode()
    def _advance(self, count: int, furthest: int) -> None:
        """Choose one more token for the images in the first `count` slots."""
        width = self._width(furthest)
        with self._device.attention():
            if self._graphs is None:
                self._decode(count, width)
            else:
                self._graphs.decode(self._decode, count, width)

    def _width(self, step: int) -> int:
        """How many rows of the store an image can see after `step` tokens, rounded up."""
        width = self._decoder.rows(step)
        return min(-(-width // self._width_step) * self._width_step, self._decoder.width)

    def _decode(self, count: int, width: int) -> None:
        rows, hypotheses = slice(0, count), self._hypotheses
        logits = self._decoder.step(rows, hypotheses.tokens[rows], hypotheses.step[rows], width)
        self._choose(rows, logits)
        if self._turnover is not None:
            self._turnover.replace(count)

    def _choose(self, rows: slice, logits: Tensor) -> None:
        hypotheses = self._hypotheses
        hypotheses.advance(rows, logits)
        self._decoder.reorder(rows, hypotheses.parents[rows], hypotheses.step[rows])

    @torch.inference_mode()
    def _leave(self, active: list[str], steps: list[int], done: list[int]) -> list[tuple[str, tuple[int, ...]]]:
        """Return the captions of decided images, and move the last images into their slots."""
        if not done:
            return []
        hypotheses = self._hypotheses
        index = self._device.write(done)
        # One transfer for the tokens and one for the scores: each waits for the device.
        best = torch.cat((hypotheses.best_lengths[index, :1], hypotheses.best_tokens[index, 0]), 1)
        rows, scores = self._device.read(best), self._device.read(hypotheses.best_scores[index, 0])
        results = []
        for slot, (length, *row), score in zip(done, rows, scores, strict=True):
            results.append((active[slot], _sound(active[slot], row[:length], score)))
        remaining = len(active) - len(done)
        leaving = set(done)
        sources = [slot for slot in range(remaining, len(active)) if slot not in leaving]
        targets = [slot for slot in done if slot < remaining]
        if sources:
            width = self._width(max(steps[source] for source in sources))
            from_, to = self._device.write(sources), self._device.write(targets)
            self._decoder.move(from_, to, width)
            hypotheses.move(from_, to)
            for source, target in zip(sources, targets, strict=True):
                active[target], steps[target] = active[source], steps[source]
        del active[remaining:], steps[remaining:]
        return results


def _sound(image_id: str, tokens: list[int], score: float) -> tuple[int, ...]:
    """The tokens of a caption whose score is a number."""
    if not abs(score) < 1e8:  # NaN, infinite, or nothing finished
        raise EvaluationError(
            f"Image {image_id} has no caption of finite score ({score}): "
            "the model's numbers overflow in this precision."
        )
    return tuple(tokens)


def may_pack(model: torch.nn.Module) -> bool:
    """Whether a second, packed copy of the weights takes less than a quarter of the free memory."""
    size = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    return size * 4 < devices.of(torch.device("cpu")).free_memory()
