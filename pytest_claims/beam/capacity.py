"""How many images are decoded at a time: chosen from free memory, halved when that was too many, and remembered."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch  # noqa: TID253 - this room is imported only when a model is evaluated

from pytest_claims.errors import EvaluationError
from pytest_claims.machine import free_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from torch import Tensor
    from transformers import Blip2ForConditionalGeneration

    from pytest_claims.beam.search import BeamSearch
    from pytest_claims.beam.settings import BeamSettings

_SHARE = 0.7  # of the free memory; the rest is for activations, graphs and fragmentation
# More images at a time than this are no faster, and the longer the last ones run alone. A large GPU's matrix products
# reach their full rate at about 1,000 rows. A CPU's do at about 80 (16 images of 5 beams); only for a model so narrow
# that calling an operator costs more than its arithmetic do more rows pay. Measured: 64 images are 1.6 times as fast as
# 16 for a width of 128, and equal for 512.
_MOST_ON_GPU = 256
_MOST_ON_CPU = 64
_FEWEST_FULL_RATE = 16
_OVERHEAD = 8192  # width times images at which arithmetic outweighs calls


def _most(kind: str, hidden: int) -> int:
    if kind != "cpu":
        return _MOST_ON_GPU
    return min(_MOST_ON_CPU, max(_FEWEST_FULL_RATE, _OVERHEAD // hidden))


@dataclass(slots=True)
class SlotBudget:
    """How many images are decoded at a time; shrinks when memory runs out and stays so for the next run."""

    slots: int

    def halve(self) -> None:
        """Half as many from now on."""
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
        model: where it lies decides which memory counts.
        settings: beams and lengths.
        prompt_tokens: length of the tokenised prompt.
        images: how many there are at all, if known.
        free_bytes: instead of asking the device.
    """
    language_model: Any = model.language_model
    parameter: Tensor = next(language_model.parameters())
    config = language_model.config
    free = free_memory(parameter.device) if free_bytes is None else free_bytes
    rows = prompt_tokens + settings.max_new_tokens * settings.num_beams
    store: int = config.num_hidden_layers * 2 * rows * config.hidden_size * parameter.element_size()  # keys and values
    # logits in the model's precision, their log-probabilities in fp32, and one copy of those
    scores: int = settings.num_beams * config.vocab_size * (4 + 4 + parameter.element_size())
    fitting = int(free * _SHARE) // (store + scores)
    most = _most(parameter.device.type, config.hidden_size)
    return max(1, min(fitting, most, images if images is not None else most))


def caption(
    build: Callable[[int], BeamSearch],
    images: Iterable[tuple[str, Tensor]],
    budget: SlotBudget,
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Run a search; when memory runs out, go on with half the slots.

    Finished images stay finished; those that were being decoded start again. `budget` remembers what worked.

    Args:
        build: makes the search for a number of slots.
        images: as for `BeamSearch.run`, with unique ids.
        budget: how many slots to begin with.

    Raises:
        EvaluationError: memory does not suffice for a single image, or an id comes twice.
    """
    pending: dict[str, Tensor] = {}  # taken from `images` and not finished: at most `slots`
    broken: list[BaseException] = []

    def remembered() -> Iterator[tuple[str, Tensor]]:
        try:
            for image_id, pixels in images:
                if image_id in pending:
                    raise EvaluationError(f"Image {image_id} comes twice.")
                pending[image_id] = pixels
                yield image_id, pixels
        except Exception as error:
            # Whatever it was, `images` cannot be asked again: it would look as if there were no more.
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
            if broken or not _is_out_of_memory(error):
                raise
            if budget.slots == 1:
                raise EvaluationError(
                    "Memory does not suffice to decode a single image. Free some, use fewer beams, "
                    f"a lower precision or another device. ({_first_line(error)})"
                ) from error
        else:
            return
        # Outside the except clause: the traceback would keep the old search's tensors alive.
        search = None
        budget.halve()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]


def _is_out_of_memory(error: BaseException | None) -> bool:
    """PyTorch has a class for the GPU's, and only words for a CPU's; a failed graph capture hides it behind its own."""
    while error is not None:
        text = str(error).lower()
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return True
        if "out of memory" in text or "can't allocate memory" in text:
            return True
        error = error.__cause__ or error.__context__
    return False
