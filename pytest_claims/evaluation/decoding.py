"""Which search turns images into tokens: our own where it gives `generate`'s tokens, else `generate` itself."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, cast

from pytest_claims.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import torch
    from PIL.Image import Image
    from transformers import GenerationConfig

    from pytest_claims.evaluation import beam
    from pytest_claims.evaluation.beam import BeamSettings
    from pytest_claims.evaluation.checkpoint import Loaded

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
    if not one_prompt(loaded):
        return Together(loaded=loaded, prompt=prompt, batch_size=batch_size or STOCK_BATCH)
    from pytest_claims.evaluation import beam

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
        from pytest_claims.evaluation import beam

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
            )  # (B, L + new), or (B, 1 + new) from an encoder-decoder, which starts with its start token
        encoder_decoder = self.loaded.language_model.config.is_encoder_decoder
        rows: list[list[int]] = output[:, 1 if encoder_decoder else ids.shape[1] :].tolist()
        return rows


def one_prompt(loaded: Loaded) -> bool:
    """Whether every image is fed the same tokens, so that image and prompt can be prepared apart. So it is for BLIP-2."""
    return bool(loaded.model.config.model_type == "blip-2")


def feed(loaded: Loaded, prompt: str) -> torch.Tensor:
    """What a processor that takes images and text together feeds a small image: the ids, (1, L).

    Raises:
        EvaluationError: the processor makes no room for the image.
    """
    import PIL.Image

    ids = _together(loaded, [PIL.Image.new("RGB", (64, 64))], prompt)["input_ids"]
    config = loaded.model.config
    places = {getattr(config, name, None) for name in ("image_token_id", "image_token_index")} - {None}
    if places and not places & set(ids[0].tolist()):
        raise EvaluationError(
            f"The processor of {loaded.facts['id']} puts no image token before the prompt: the image would be ignored. A "
            "chat_template that has a place for the image is missing from the checkpoint."
        )
    return cast("torch.Tensor", ids)


def template(loaded: Loaded) -> str | None:
    """The checkpoint's chat template, which puts words around a prompt; None where it has none."""
    found: str | None = getattr(loaded.processor, "chat_template", None)
    return found


def _rendered(loaded: Loaded, prompt: str) -> str:
    """The prompt as the checkpoint's chat template puts it, where it has one."""
    if not template(loaded):
        return prompt
    turn: list[dict[str, str]] = [{"type": "image"}, {"type": "text", "text": prompt}]
    text: str = loaded.processor.apply_chat_template(
        [{"role": "user", "content": turn}], add_generation_prompt=True, tokenize=False
    )
    return text


def _together(loaded: Loaded, images: Sequence[Image], prompt: str) -> Any:
    """Images and prompt as the model takes them: a dictionary of tensors on its device."""
    processor = loaded.processor
    # What is generated goes on at the right; padding there would tear it off the prompt.
    processor.tokenizer.padding_side = "left"
    texts = [_rendered(loaded, prompt)] * len(images)
    try:
        batch = processor(images=list(images), text=texts, padding=True, return_tensors="pt")
    except ValueError as error:
        said = str(error).strip().splitlines()[0].rstrip(".")
        raise EvaluationError(f"The processor of {loaded.facts['id']} refuses image and prompt: {said}.") from None
    config = loaded.language_model.config
    end = processor.tokenizer.sep_token_id
    last = set(batch["input_ids"][:, -1].tolist())
    if loaded.model.config.model_type != "blip" and not config.is_encoder_decoder and last == {end}:
        # BERT's tokenizer, which GIT has, ends every text; a prompt is to be gone on from. BLIP cuts it off by itself.
        for name in ("input_ids", "attention_mask", "token_type_ids"):
            if name in batch:
                batch[name] = batch[name][:, :-1]
    return batch.to(loaded.device, loaded.pixel_dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """`transformers.generate` for a processor that takes images and text together, and may feed each image other tokens."""

    loaded: Loaded
    prompt: str
    batch_size: int

    @property
    def name(self) -> str:
        """With the reason why it is not our own search."""
        chat = ", chat template" if template(self.loaded) else ""
        return f"transformers.generate ({type(self.loaded.model).__name__}{chat})"

    def decode(self, images: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Sequence[int]]]:
        """See `Decoder`, with pictures instead of pixel values."""
        import torch

        source = iter(images)
        model = self.loaded.model
        while batch := list(islice(source, self.batch_size)):
            inputs = _together(self.loaded, [image for _, image in batch], self.prompt)
            length = inputs["input_ids"].shape[1]
            with torch.inference_mode():
                output: torch.Tensor = model.generate(**inputs)
            if self.loaded.language_model.config.is_encoder_decoder:
                length = 1  # it starts with its start token
            elif model.config.model_type == "blip":
                length -= 1  # it cuts off the prompt's end token
            yield from zip((name for name, _ in batch), output[:, length:].tolist(), strict=True)
