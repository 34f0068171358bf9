"""Chooses the decoder that turns images into tokens.

The decoder is the project's beam search (`beam/`) if it gives the same tokens as `generate`, otherwise `generate` itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pytest_claims import spool
from pytest_claims.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import torch
    from transformers import GenerationConfig

    from pytest_claims import beam
    from pytest_claims.beam import BeamSettings
    from pytest_claims.evaluation.prompt import Fed
    from pytest_claims.sources.checkpoint import Loaded

T = TypeVar("T")

STOCK_BATCH = 16
"""The default batch size of `generate`: LAVIS evaluates with 16 images per batch."""

HELD = 8
"""How many batches of images are held at most while they wait for others whose prompts are as long."""


class Decoder(Protocol):
    """Turns images into tokens."""

    @property
    def name(self) -> str:
        """The name in reports. If the decoder is not the project's own beam search, it includes the reason."""

    @property
    def batch_size(self) -> int:
        """How many images are processed at a time. In float32, it does not change the captions."""

    def decode(self, images: Iterable[tuple[str, torch.Tensor] | None]) -> Iterator[tuple[str, Sequence[int]]]:
        """Decode images: (id, pixel values (3, H, W)) → (id, generated tokens without the prompt), in any order.

        Of a closed list: the numbers of the best answers, best first, in place of tokens.
        """


def choose(
    loaded: Loaded,
    config: GenerationConfig,
    fed: Fed,
    *,
    images: int,
    batch_size: int | None,
) -> Decoder:
    """The decoder for a checkpoint.

    Args:
        loaded: the checkpoint.
        config: the resolved generation config.
        fed: the prompts of the images.
        images: the number of images.
        batch_size: how many images are processed at a time; None: as many as the memory allows.
    """
    if not loaded.architecture.one_prompt:
        return Together(loaded=loaded, fed=fed, batch_size=batch_size or STOCK_BATCH)
    from pytest_claims import beam

    reason = beam.supports(loaded.model)
    if reason is None:
        try:
            settings = beam.BeamSettings.from_generation_config(config)
        except EvaluationError as error:
            reason = str(error)
        else:
            slots = batch_size or _slots(loaded, settings, fed, images)
            return SharedPrefix(loaded=loaded, settings=settings, fed=fed, budget=beam.SlotBudget(slots))
    return Stock(loaded=loaded, config=config, fed=fed, batch_size=batch_size or STOCK_BATCH, reason=reason)


def _slots(loaded: Loaded, settings: BeamSettings, fed: Fed, images: int) -> int:
    """How many images to decode at a time: as many as a search that is kept, or as the memory allows without one."""
    from pytest_claims import beam

    kept = loaded.searches.get(_search_key(settings, fed))
    # A search for few images has few slots, whatever the memory allows.
    if kept is not None and kept.slots >= min(images, beam.most_slots(loaded.model)):
        return int(kept.slots)
    del kept
    loaded.searches.clear()  # its memory is free again before the free memory is measured
    return beam.choose_slots(loaded.model, settings, prompt_tokens=fed.longest, images=images)


def _search_key(settings: BeamSettings, fed: Fed) -> tuple[Any, ...]:
    return settings, fed.digest


def alike(images: Iterable[tuple[str, T] | None], size: int, fed: Fed) -> Iterator[list[tuple[str, T]]]:
    """Batches of at most `size` images whose prompts have the same number of tokens.

    So `generate` never pads a prompt. Where positions are absolute and are not counted from the mask (BERT in BLIP), padding
    would change the output. None: no image is there now (see `beam.intake`), so a batch is not waited for.
    """
    waiting: dict[int, list[tuple[str, T]]] = {}
    for image in images:
        full = image is None and bool(waiting)
        if image is not None:
            group = waiting.setdefault(len(fed.tokens(image[0])), [])
            group.append(image)
            full = len(group) == size
        if full or sum(map(len, waiting.values())) > HELD * size:
            longest = max(waiting, key=lambda length: len(waiting[length]))
            yield waiting.pop(longest)
    yield from waiting.values()


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPrefix:
    """The project's own beam search: the prefix is computed once per image, and the next image replaces a finished one."""

    loaded: Loaded
    settings: BeamSettings
    fed: Fed
    budget: beam.SlotBudget
    name: str = "shared-prefix beam search"

    @property
    def batch_size(self) -> int:
        """How many images are processed at a time; less than at the start if memory ran out."""
        return self.budget.slots

    def decode(self, images: Iterable[tuple[str, torch.Tensor] | None]) -> Iterator[tuple[str, Sequence[int]]]:
        """See `Decoder`. If memory runs out, continue with half as many images at a time."""
        import torch

        from pytest_claims import beam

        loaded, settings, fed = self.loaded, self.settings, self.fed
        key = _search_key(settings, fed)
        prompts: torch.Tensor | Mapping[str, tuple[int, ...]] = torch.tensor([fed.shared])
        if fed.each:
            prompts = spool.mapped(fed.each, itemgetter(1))

        def build(slots: int) -> beam.BeamSearch:
            kept: beam.BeamSearch | None = loaded.searches.pop(key, None)
            loaded.searches.clear()
            if kept is not None and kept.slots == slots:
                return kept
            del kept  # before the next one takes memory
            return beam.BeamSearch(loaded.model, settings, input_ids=prompts, slots=slots)

        def keep(search: beam.BeamSearch) -> None:
            loaded.searches[key] = search

        return beam.caption(build, images, self.budget, keep=keep)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """`transformers.generate` in batches, for models whose input tokens do not depend on the image."""

    loaded: Loaded
    config: GenerationConfig
    fed: Fed
    batch_size: int
    reason: str

    @property
    def name(self) -> str:
        """See `Decoder`. The name includes the reason why the project's own beam search is not used."""
        return f"transformers.generate ({self.reason.rstrip('.')})"

    def decode(self, images: Iterable[tuple[str, torch.Tensor] | None]) -> Iterator[tuple[str, Sequence[int]]]:
        """See `Decoder`. The last batch may be smaller."""
        for batch in alike(images, self.batch_size, self.fed):
            rows = self._generate([pixels for _, pixels in batch], [self.fed.tokens(name) for name, _ in batch])
            yield from zip((name for name, _ in batch), rows, strict=True)

    def _generate(self, pixels: Sequence[torch.Tensor], prompts: Sequence[tuple[int, ...]]) -> list[list[int]]:
        import torch

        model, device = self.loaded.model, self.loaded.device
        ids = torch.tensor(prompts, device=device)  # (B, L)
        with torch.inference_mode():
            output: torch.Tensor = model.generate(
                pixel_values=torch.stack(list(pixels)).to(device), input_ids=ids, attention_mask=torch.ones_like(ids)
            )  # (B, prompt + new)
        rows: list[list[int]] = output[:, self.loaded.architecture.prompt_length(ids.shape[1]) :].tolist()
        return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """`transformers.generate` for a processor that takes images and text together, and may give each image other tokens."""

    loaded: Loaded
    fed: Fed
    batch_size: int

    @property
    def name(self) -> str:
        """See `Decoder`. The name includes the model's class, and whether it has a chat template."""
        chat = ", chat template" if self.loaded.architecture.template else ""
        return f"transformers.generate ({type(self.loaded.model).__name__}{chat})"

    def decode(self, images: Iterable[tuple[str, Any] | None]) -> Iterator[tuple[str, Sequence[int]]]:
        """See `Decoder`. The input has PIL images instead of pixel values."""
        import torch

        loaded, fed = self.loaded, self.fed
        for batch in alike(images, self.batch_size, fed):
            inputs = loaded.architecture.batch([image for _, image in batch], [fed.prompt(name) for name, _ in batch])
            inputs = inputs.to(loaded.device, loaded.pixel_dtype)
            start = loaded.architecture.prompt_length(inputs["input_ids"].shape[1])
            with torch.inference_mode():
                output: torch.Tensor = loaded.model.generate(**inputs)
            yield from zip((name for name, _ in batch), output[:, start:].tolist(), strict=True)
