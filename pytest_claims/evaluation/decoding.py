"""Which search turns images into tokens: our own where it gives `generate`'s tokens, else `generate` itself."""

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
"""LAVIS evaluates with 16 images a batch."""


class Decoder(Protocol):
    """Turns images into tokens."""

    @property
    def name(self) -> str:
        """What the report calls it, with the reason where it is not our own."""

    @property
    def batch_size(self) -> int:
        """Images at a time; in float32 it changes no caption."""

    def decode(self, images: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, Sequence[int]]]:
        """(id, pixel values (3, H, W)) → (id, generated tokens without the prompt), in any order."""


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
        prompt_ids: what every image is fed, (1, L).
        prompt: the text that the protocol names.
        images: how many there are.
        batch_size: images at a time; None: as memory allows.
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
            slots = batch_size or beam.choose_slots(
                loaded.model, settings, prompt_tokens=prompt_ids.shape[1], images=images
            )
            return SharedPrefix(loaded=loaded, settings=settings, prompt_ids=prompt_ids, budget=beam.SlotBudget(slots))
    return Stock(
        loaded=loaded, config=config, prompt_ids=prompt_ids, batch_size=batch_size or STOCK_BATCH, reason=reason
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPrefix:
    """Our own search: the prefix once per image, finished images leave and others take their place."""

    loaded: Loaded
    settings: BeamSettings
    prompt_ids: torch.Tensor
    budget: beam.SlotBudget
    name: str = "shared-prefix beam search"

    @property
    def batch_size(self) -> int:
        """Images at a time, as far as memory has allowed until now."""
        return self.budget.slots

    def decode(self, images: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, Sequence[int]]]:
        """See `Decoder`; when memory runs out, goes on with half as many images at a time."""
        from pytest_claims import beam

        prompt_ids = self.prompt_ids.to(self.loaded.device)

        def build(slots: int) -> beam.BeamSearch:
            return beam.BeamSearch(self.loaded.model, self.settings, input_ids=prompt_ids, slots=slots)

        return beam.caption(build, images, self.budget)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """`transformers.generate` in batches."""

    loaded: Loaded
    config: GenerationConfig
    prompt_ids: torch.Tensor
    batch_size: int
    reason: str

    @property
    def name(self) -> str:
        """With the reason why it is not our own search."""
        return f"transformers.generate ({self.reason.rstrip('.')})"

    def decode(self, images: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, Sequence[int]]]:
        """See `Decoder`; the last batch may be smaller."""
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
    """`transformers.generate` for a processor that takes images and text together, and may feed each image other tokens."""

    loaded: Loaded
    prompt: str
    batch_size: int

    @property
    def name(self) -> str:
        """With the reason why it is not our own search."""
        chat = ", chat template" if self.loaded.architecture.template else ""
        return f"transformers.generate ({type(self.loaded.model).__name__}{chat})"

    def decode(self, images: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Sequence[int]]]:
        """See `Decoder`, with pictures instead of pixel values."""
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
