"""Chooses the decoder that turns images into tokens.

The decoder is the project's beam search (`beam/`) if it gives the same tokens as `generate`, otherwise `generate` itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from pytest_claims.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import torch
    from transformers import GenerationConfig

    from pytest_claims import beam
    from pytest_claims.beam import BeamSettings
    from pytest_claims.sources.checkpoint import Loaded

STOCK_BATCH = 16
"""The default batch size of `generate`: LAVIS evaluates with 16 images per batch."""


class Decoder(Protocol):
    """Turns images into tokens."""

    @property
    def name(self) -> str:
        """The name in reports. If the decoder is not the project's own beam search, it includes the reason."""

    @property
    def batch_size(self) -> int:
        """How many images are processed at a time. In float32, it does not change the captions."""

    def decode(self, images: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, Sequence[int]]]:
        """Decode images: (id, pixel values (3, H, W)) → (id, generated tokens without the prompt), in any order."""


def choose(
    loaded: Loaded,
    config: GenerationConfig,
    prompt_ids: torch.Tensor,
    *,
    prompt: str,
    images: int,
    batch_size: int | None,
) -> Decoder:
    """The decoder for a checkpoint.

    Args:
        loaded: the checkpoint.
        config: the resolved generation config.
        prompt_ids: the input tokens of every image, (1, L).
        prompt: the prompt of the protocol as text.
        images: the number of images.
        batch_size: how many images are processed at a time; None: as many as the memory allows.
    """
    if not loaded.architecture.one_prompt:
        return Together(loaded=loaded, prompt=prompt, batch_size=batch_size or STOCK_BATCH)
    from pytest_claims import beam

    reason = beam.supports(loaded.model)
    if reason is None:
        try:
            settings = beam.BeamSettings.from_generation_config(config)
        except EvaluationError as error:
            reason = str(error)
        else:
            slots = batch_size or _slots(loaded, settings, prompt_ids, images)
            return SharedPrefix(loaded=loaded, settings=settings, prompt_ids=prompt_ids, budget=beam.SlotBudget(slots))
    return Stock(
        loaded=loaded, config=config, prompt_ids=prompt_ids, batch_size=batch_size or STOCK_BATCH, reason=reason
    )


def _slots(loaded: Loaded, settings: BeamSettings, prompt_ids: torch.Tensor, images: int) -> int:
    """How many images to decode at a time: as many as a search that is kept, or as the memory allows without one."""
    from pytest_claims import beam

    kept = loaded.searches.get(_search_key(settings, prompt_ids))
    # A search for few images has few slots, whatever the memory allows.
    if kept is not None and kept.slots >= min(images, beam.most_slots(loaded.model)):
        return int(kept.slots)
    del kept
    loaded.searches.clear()  # its memory is free again before the free memory is measured
    return beam.choose_slots(loaded.model, settings, prompt_tokens=prompt_ids.shape[1], images=images)


def _search_key(settings: BeamSettings, prompt_ids: torch.Tensor) -> tuple[Any, ...]:
    return settings, tuple(prompt_ids[0].tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPrefix:
    """The project's own beam search: the prefix is computed once per image, and the next image replaces a finished one."""

    loaded: Loaded
    settings: BeamSettings
    prompt_ids: torch.Tensor
    budget: beam.SlotBudget
    name: str = "shared-prefix beam search"

    @property
    def batch_size(self) -> int:
        """How many images are processed at a time; less than at the start if memory ran out."""
        return self.budget.slots

    def decode(self, images: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, Sequence[int]]]:
        """See `Decoder`. If memory runs out, continue with half as many images at a time."""
        from pytest_claims import beam

        loaded, settings = self.loaded, self.settings
        prompt_ids, key = self.prompt_ids.to(loaded.device), _search_key(settings, self.prompt_ids)

        def build(slots: int) -> beam.BeamSearch:
            kept: beam.BeamSearch | None = loaded.searches.pop(key, None)
            loaded.searches.clear()
            if kept is not None and kept.slots == slots:
                return kept
            del kept  # before the next one takes memory
            return beam.BeamSearch(loaded.model, settings, input_ids=prompt_ids, slots=slots)

        def keep(search: beam.BeamSearch) -> None:
            loaded.searches[key] = search

        return beam.caption(build, images, self.budget, keep=keep)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """`transformers.generate` in batches, for models that get the same prompt tokens for every image."""

    loaded: Loaded
    config: GenerationConfig
    prompt_ids: torch.Tensor
    batch_size: int
    reason: str

    @property
    def name(self) -> str:
        """See `Decoder`. The name includes the reason why the project's own beam search is not used."""
        return f"transformers.generate ({self.reason.rstrip('.')})"

    def decode(self, images: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, Sequence[int]]]:
        """See `Decoder`. The last batch may be smaller."""
        source = iter(images)
        while batch := list(islice(source, self.batch_size)):
            rows = self._generate([pixels for _, pixels in batch])
            yield from zip((name for name, _ in batch), rows, strict=True)

    def _generate(self, pixels: Sequence[torch.Tensor]) -> list[list[int]]:
        import torch

        model, device = self.loaded.model, self.loaded.device
        ids = self.prompt_ids.to(device).expand(len(pixels), -1)  # (B, L)
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
    prompt: str
    batch_size: int

    @property
    def name(self) -> str:
        """See `Decoder`. The name includes the model's class, and whether it has a chat template."""
        chat = ", chat template" if self.loaded.architecture.template else ""
        return f"transformers.generate ({type(self.loaded.model).__name__}{chat})"

    def decode(self, images: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Sequence[int]]]:
        """See `Decoder`. The input has PIL images instead of pixel values."""
        import torch

        source = iter(images)
        loaded = self.loaded
        while batch := list(islice(source, self.batch_size)):
            inputs = loaded.architecture.batch([image for _, image in batch], self.prompt)
            inputs = inputs.to(loaded.device, loaded.pixel_dtype)
            start = loaded.architecture.prompt_length(inputs["input_ids"].shape[1])
            with torch.inference_mode():
                output: torch.Tensor = loaded.model.generate(**inputs)
            yield from zip((name for name, _ in batch), output[:, start:].tolist(), strict=True)
