"""Families of models, one class for each family that needs special treatment.

The base class, `Architecture`, fits any model that `AutoModelForImageTextToText` loads and whose processor takes image and text
together, with or without a chat template. A family that differs is a subclass in this module. It is listed in `FAMILIES` and
has a test in tests/test_architectures.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from pytest_claims.errors import EvaluationError, first_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from PIL.Image import Image
    from transformers import GenerationConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """The special tokens that a family of language models puts around a text: the names of their ids, or None for none."""

    before: str | None = None
    behind: str | None = None


LANGUAGE_MODELS: Mapping[str, Around] = {
    "opt": Around(before="bos_token_id"),  # OPT (Zhang et al. 2022): every text begins with </s>
    "t5": Around(behind="eos_token_id"),
    "blip_text_model": Around(before="cls_token_id", behind="sep_token_id"),  # BERT's [CLS] and [SEP]
    "git": Around(before="cls_token_id"),  # BERT's [CLS]; the caption continues the prompt, so there is no [SEP]
    "llama": Around(before="bos_token_id"),
    "mistral": Around(before="bos_token_id"),
}
"""The special tokens around a text, by the model type of the text configuration. They follow the papers and the original
tokenizers. Their ids are in the text configuration or in the tokenizer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A loaded model and its processor: how the family's input is prepared, and how its output is read."""

    model: Any
    processor: Any
    label: str
    """The name of the checkpoint in messages."""

    model_type: ClassVar[str] = ""
    """The `model_type` of the family's configuration. The base class serves every type that no subclass names."""
    model_class: ClassVar[str] = ""
    """The class of the model, if the family is not told by the type of its configuration: it has other heads."""
    decoding_part: ClassVar[str] = ""
    """The submodule whose `generate` decodes and whose own configuration gives the defaults; "" if it is the model itself."""
    one_prompt: ClassVar[bool] = False
    """Whether the input tokens are the same for every image, so that images and prompt can be processed separately."""

    def settle(self) -> None:
        """Adapt the generation configuration to what the family's `generate` does. Called once, after loading."""

    @property
    def language_model(self) -> Any:
        """The module whose `generate` decodes."""
        return getattr(self.model, self.decoding_part) if self.decoding_part else self.model

    @property
    def main_part(self) -> Any:
        """The module whose weights' dtype is the precision of a run: the one that decodes."""
        return self.language_model

    @property
    def text_config(self) -> Any:
        """The configuration of the model's language model."""
        return getattr(self.model.config, "text_config", None) or self.model.config

    @property
    def template(self) -> str | None:
        """The checkpoint's chat template, which puts text around a prompt; None if it has none."""
        found: str | None = getattr(self.processor, "chat_template", None)
        return found

    @property
    def image_tokens(self) -> set[int]:
        """The placeholder tokens of the image in a prompt."""
        named = (getattr(self.model.config, name, None) for name in ("image_token_id", "image_token_index"))
        return {token for token in named if token is not None}

    # --- input ---

    def batch(self, images: Sequence[Image], prompts: Sequence[str]) -> Any:
        """The input of `generate` for images, each with its prompt: a dictionary of tensors; `input_ids` is (B, L).

        Raises:
            EvaluationError: the processor refuses the images or the prompts.
        """
        # Generated tokens are appended at the right end of a row. Padding there would separate them from the prompt.
        self.processor.tokenizer.padding_side = "left"
        texts = [self._rendered(prompt) for prompt in prompts]
        try:
            batch = self.processor(images=list(images), text=texts, padding=True, return_tensors="pt")
        except ValueError as error:
            raise EvaluationError(
                f"The processor of {self.label} refuses image and prompt: {first_line(error)}."
            ) from None
        return self.cut_end(batch)

    def cut_end(self, batch: Any) -> Any:
        """The batch without the end token after each prompt, which BERT's tokenizer adds (GIT uses it).

        Without the end token, the generated caption continues the prompt.
        """
        last = set(batch["input_ids"][:, -1].tolist())
        if not self.language_model.config.is_encoder_decoder and last == {self.processor.tokenizer.sep_token_id}:
            for name in ("input_ids", "attention_mask", "token_type_ids"):
                if name in batch:
                    batch[name] = batch[name][:, :-1]
        return batch

    def _rendered(self, prompt: str) -> str:
        """The prompt with the chat template's text around it; the prompt alone if there is no template."""
        if not self.template:
            return prompt
        turn: list[dict[str, str]] = [{"type": "image"}, {"type": "text", "text": prompt}]
        text: str = self.processor.apply_chat_template(
            [{"role": "user", "content": turn}], add_generation_prompt=True, tokenize=False
        )
        return text

    def feed(self, prompt: str) -> torch.Tensor:
        """The input tokens of the prompt with a blank image: (1, image tokens + prompt).

        Raises:
            EvaluationError: the processor adds no placeholder tokens for the image.
        """
        import PIL.Image

        ids = self.batch([PIL.Image.new("RGB", (64, 64))], [prompt])["input_ids"]
        if self.image_tokens and not self.image_tokens & set(ids[0].tolist()):
            raise EvaluationError(
                f"The processor of {self.label} puts no image token before the prompt: the image would be ignored. A "
                "chat_template that has a place for the image is missing from the checkpoint."
            )
        return cast("torch.Tensor", ids)

    def feed_each(self, prompts: Sequence[str]) -> list[tuple[int, ...]]:
        """The input tokens of several prompts, as `feed` gives them one by one."""
        found = {prompt: tuple(self.feed(prompt)[0].tolist()) for prompt in dict.fromkeys(prompts)}
        return [found[prompt] for prompt in prompts]

    def stated(self, text: str) -> list[int]:
        """The correct input tokens of a prompt that the paper states: the text's own tokens and the family's special tokens.

        The text's own tokens come from the tokenizer without its post-processor, since a checkpoint can change the latter. For
        a language model that is not in `LANGUAGE_MODELS`, and for a checkpoint with a chat template, the processor's tokens
        are taken. A begin token of the family is added if the processor leaves it out.
        """
        around = LANGUAGE_MODELS.get(self.text_config.model_type, Around())
        first, last = self._special(around.before), self._special(around.behind)
        if self.text_config.model_type in LANGUAGE_MODELS and self.image_prefix is not None:
            return [*self.image_prefix, *first, *self.own_ids(text), *last]
        row: list[int] = self.feed(text)[0].tolist()
        return row if row[: len(first)] == first else [*first, *row]

    @property
    def image_prefix(self) -> list[int] | None:
        """The placeholder tokens of the image before every prompt; None if only the processor knows them."""
        return None if self.template or self.image_tokens else []

    def _special(self, name: str | None) -> list[int]:
        if name is None:
            return []
        found: int | None = getattr(self.text_config, name, None) if name.startswith(("bos", "eos")) else None
        found = found if found is not None else getattr(self.processor.tokenizer, name, None)
        return [] if found is None else [found]

    def own_ids(self, text: str) -> list[int]:
        """The tokens of a text, without special tokens."""
        tokenizer = self.processor.tokenizer
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is not None:
            # The tokenizer pads as the call before this one asked it to.
            found = backend.encode(text, add_special_tokens=False)
            return [token for token, real in zip(found.ids, found.attention_mask, strict=True) if real]
        return list(tokenizer.encode(text, add_special_tokens=False))

    # --- output ---

    def prompt_length(self, fed: int) -> int:
        """How many tokens at the start of a row of `generate`'s output were not generated, if the input had `fed` tokens."""
        return 1 if self.language_model.config.is_encoder_decoder else fed  # an encoder-decoder returns its start token

    def foreign_ends(self, config: GenerationConfig) -> dict[str, Any]:
        """The start and end tokens of the generation config that differ from those of the model's own configuration.

        `generation_config.json` can be changed without changing the model, and another end token would cut captions short. For
        a checkpoint with a chat template, further end tokens are allowed, since the end of a turn has its own token.
        """
        found: dict[str, Any] = {}
        decoder = self.language_model.config
        own_config = getattr(decoder, "text_config", None) or decoder
        ends, own = token_ids(config.eos_token_id), token_ids(getattr(own_config, "eos_token_id", None))
        if own and ends != own and not (self.template and own < ends):
            found["eos_token_id"] = sorted(ends)
        start = getattr(config, "decoder_start_token_id", None)
        starts = getattr(own_config, "is_encoder_decoder", False) and start is not None
        if starts and start != getattr(own_config, "decoder_start_token_id", None):
            found["decoder_start_token_id"] = start
        return found


class Blip2(Architecture):
    """BLIP-2: the Q-Former's query outputs precede the prompt, and OPT or T5 decodes."""

    __slots__ = ()
    model_type = "blip-2"
    decoding_part = "language_model"
    one_prompt = True

    def feed(self, prompt: str) -> torch.Tensor:
        """See `Architecture.feed`. A processor without `num_query_tokens` leaves out the image without a warning."""
        import PIL.Image

        blank = PIL.Image.new("RGB", (32, 32))
        ids: torch.Tensor = self.processor(images=[blank], text=[prompt], return_tensors="pt")["input_ids"]
        queries = getattr(self.model.config, "num_query_tokens", None)
        found = sum(token in self.image_tokens for token in ids[0].tolist())
        if queries is not None and found != queries:
            raise EvaluationError(
                f"The processor puts {found} image tokens before the prompt and the model expects {queries}: the image would "
                "be ignored. Set num_query_tokens in the checkpoint's processor_config.json."
            )
        return ids

    def feed_each(self, prompts: Sequence[str]) -> list[tuple[int, ...]]:
        """See `Architecture.feed_each`. The processor puts the same placeholders before each text, however many there are."""
        import PIL.Image

        self.feed(prompts[0])  # raises if the placeholders are not those that the model expects
        rows = self.processor(images=[PIL.Image.new("RGB", (32, 32))], text=list(prompts))["input_ids"]
        return [tuple(row) for row in rows]

    @property
    def image_prefix(self) -> list[int]:
        """One placeholder token for each query."""
        return [self.model.config.image_token_id] * self.model.config.num_query_tokens


class Blip2Retrieval(Architecture):
    """BLIP-2 without a language model: the Q-Former reads images and texts. It generates nothing."""

    __slots__ = ()
    model_class = "Blip2ForImageTextRetrieval"
    one_prompt = True

    @property
    def main_part(self) -> Any:
        """The vision encoder: the Q-Former stays in float32 under float16."""
        return self.model.vision_model


class InstructBlip(Architecture):
    """InstructBLIP: like BLIP-2, but the Q-Former reads the prompt too."""

    __slots__ = ()
    model_type = "instructblip"
    decoding_part = "language_model"


class Blip(Architecture):
    """BLIP: its decoder is BERT with cross-attention."""

    __slots__ = ()
    model_type = "blip"
    decoding_part = "text_decoder"

    def settle(self) -> None:
        """Write BLIP's end token into the generation config, where the rest of the project reads the end token.

        BLIP's `generate` passes it to the decoder's `generate` as an argument, and does not read it from there.
        """
        self.model.text_decoder.generation_config.eos_token_id = self.model.config.text_config.sep_token_id
        self.model.text_decoder.generation_config.pad_token_id = self.model.config.text_config.pad_token_id

    def cut_end(self, batch: Any) -> Any:
        """The unchanged batch, since BLIP's own `generate` removes the end token after the prompt."""
        return batch

    def prompt_length(self, fed: int) -> int:
        """One token less than the input has, since BLIP's `generate` removes the end token after the prompt."""
        return fed - 1

    def foreign_ends(self, config: GenerationConfig) -> dict[str, Any]:  # noqa: ARG002 - `settle` wrote its end token
        """An empty dictionary, since the checkpoint's generation config does not determine BLIP's end token."""
        return {}


FAMILIES: tuple[type[Architecture], ...] = (Blip2Retrieval, Blip2, InstructBlip, Blip)


def of(model: Any, processor: Any, label: str) -> Architecture:
    """The `Architecture` of a loaded model."""
    own, known = type(model).__name__, model.config.model_type
    kind = next(
        (f for f in FAMILIES if (f.model_class == own if f.model_class else f.model_type == known)), Architecture
    )
    return kind(model=model, processor=processor, label=label)


def token_ids(value: Any) -> frozenset[int]:
    """The set of a token id, of several token ids, or of None (the empty set)."""
    return frozenset(() if value is None else (value,) if isinstance(value, int) else value)
