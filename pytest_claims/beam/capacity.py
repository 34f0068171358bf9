"""Choose from the free memory how many images are decoded at a time, and halve the number when memory runs out."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch  # noqa: TID253 - this room is imported only when a model is evaluated

from pytest_claims import devices
from pytest_claims.beam.encoder import activations
from pytest_claims.beam.graphs import is_out_of_memory
from pytest_claims.errors import EvaluationError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from torch import Tensor
    from transformers import Blip2ForConditionalGeneration

    from pytest_claims.beam.search import BeamSearch
    from pytest_claims.beam.settings import BeamSettings

_SHARE = 0.7  # of the free memory; libraries' workspaces, temporary copies and fragmentation need the rest
# More images at a time than these limits are not faster, and at the end of a run fewer slots are in use. On a large GPU
# a matrix product reaches its full rate at about 1,000 rows. On a CPU, 80 rows (16 images with 5 beams) suffice for that,
# but each step reads all weights of the language model from memory, and twice as many images share the reading. More
# rows help a narrow model, because there the call of an operator costs more than its arithmetic. Measured on AVX-512, one
# thread: 32 images at a time take 1/1.05 of the time of 16 for a width of 512 (`mid`), and 128 take 1/1.14 of the time of
# 64 for a width of 128 (`shapes`). On AVX2, packed weights pay below 128 rows only (linear.py), so half as many.
_MOST_ON_GPU = 256
_MOST_ON_CPU = 128
_FEWEST_FULL_RATE = 32
_OVERHEAD = 16384  # width * images; above it, arithmetic costs more than the calls


def most_slots(model: Blip2ForConditionalGeneration) -> int:
    """How many images at a time are enough for the full speed of the model's device."""
    language_model: Any = model.language_model
    if devices.of(next(language_model.parameters()).device).far:
        return _MOST_ON_GPU
    most = min(_MOST_ON_CPU, max(_FEWEST_FULL_RATE, _OVERHEAD // int(language_model.config.hidden_size)))
    return most if torch.backends.cpu.get_cpu_capability() == "AVX512" else most // 2


@dataclass(slots=True)
class SlotBudget:
    """How many images are decoded at a time. After memory ran out, the smaller number also holds for the next run."""

    slots: int

    def halve(self) -> None:
        """Decode half as many images at a time from now on."""
        self.slots = max(1, self.slots // 2)


def choose_slots(
    model: Blip2ForConditionalGeneration,
    settings: BeamSettings,
    *,
    prompt_tokens: int,
    images: int | None = None,
    free_bytes: int | None = None,
) -> int:
    """How many images to decode at a time.

    Args:
        model: its device decides which memory is measured.
        settings: beams and lengths.
        prompt_tokens: length of the tokenised prompt.
        images: the total number of images, if known.
        free_bytes: the free memory; default: ask the device.
    """
    language_model: Any = model.language_model
    parameter: Tensor = next(language_model.parameters())
    device, size, config = devices.of(parameter.device), parameter.element_size(), language_model.config
    free = device.free_memory() if free_bytes is None else free_bytes
    beams = settings.num_beams
    rows = prompt_tokens + settings.max_new_tokens * beams
    if device.far:  # about one image waits for each slot, with its prefix and its first token
        rows += prompt_tokens + beams
    store: int = config.num_hidden_layers * 2 * rows * config.hidden_size * size  # keys and values
    # the logits in the model's precision, and two copies of the log-probabilities in fp32
    scores: int = beams * config.vocab_size * (4 + 4 + size)
    # in a layer: the residual stream, queries, keys, values and the mixture, or the feed-forward part
    layer: int = beams * size * (2 * config.hidden_size + max(3 * config.hidden_size, 2 * config.ffn_dim))
    # CUDA graphs have a memory pool of their own beside that of the steps without a graph
    steps = (scores + layer) * (2 if device.far else 1)
    fitting = int(free * _SHARE - activations(model)) // (store + steps)
    most = most_slots(model)
    return max(1, min(fitting, most, images if images is not None else most))


def caption(
    build: Callable[[int], BeamSearch],
    images: Iterable[tuple[str, Tensor] | None],
    budget: SlotBudget,
    *,
    keep: Callable[[BeamSearch], object] = lambda _: None,
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Run a search. When memory runs out, continue with half the slots.

    Finished images are kept. Images that were being decoded start again.

    Args:
        build: creates a search with the given number of slots.
        images: as in `BeamSearch.run`; ids must be unique.
        budget: the number of slots; it is reduced when memory runs out.
        keep: called with the search after all images are captioned. It can run again.

    Raises:
        EvaluationError: memory is too small for a single image, or an id occurs twice.
    """
    pending: dict[str, Tensor] = {}  # taken from `images` and not finished; at most `slots` of them
    broken: list[BaseException] = []

    def remembered() -> Iterator[tuple[str, Tensor] | None]:
        try:
            for image in images:
                if image is not None:
                    if image[0] in pending:
                        raise EvaluationError(f"Image {image[0]} comes twice.")
                    pending.update([image])
                yield image
        except Exception as error:
            # A generator that has raised cannot continue. Without this, a retry would end as if all images were done.
            broken.append(error)
            raise

    fresh = remembered()
    search: BeamSearch | None = None
    while True:
        try:
            search = build(budget.slots)
            for image_id, tokens in search.run(chain(list(pending.items()), fresh)):
                del pending[image_id]
                yield image_id, tokens
        except (RuntimeError, MemoryError) as error:
            if broken or not is_out_of_memory(error):
                raise
            if budget.slots == 1:
                raise EvaluationError(
                    "Memory does not suffice to decode a single image. Free some, use fewer beams, "
                    f"a lower precision or another device. ({first_line(error)}.)"
                ) from error
        else:
            keep(search)
            return
        # This must stand outside the except clause: there, the traceback keeps the old search's tensors alive.
        search = None
        budget.halve()
        gc.collect()
        devices.release()
