"""Families of models: what differs from one to the next stands in one class each.

The base class, `Architecture`, fits any model that `AutoModelForImageTextToText` loads and whose processor takes image and text
together, with a chat template or without one. A family that differs is a subclass here, named in `FAMILIES`, with a test in
tests/test_architectures.py.
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
    """The special tokens that a family of language models puts around a text, as names of ids; None where it puts none."""

    before: str | None = None
    behind: str | None = None


LANGUAGE_MODELS: Mapping[str, Around] = {
    "opt": Around(before="bos_token_id"),  # Zhang et al. 2022: every text begins with </s>
    "t5": Around(behind="eos_token_id"),
    "blip_text_model": Around(before="cls_token_id", behind="sep_token_id"),  # BERT's [CLS] and [SEP]
    "git": Around(before="cls_token_id"),  # BERT's too; a caption goes on from the prompt, so that [SEP] is left out
    "llama": Around(before="bos_token_id"),
    "mistral": Around(before="bos_token_id"),
}
"""By the model type of the text configuration, as the papers and the original tokenizers have it. The ids stand in the text
configuration or in the tokenizer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A loaded model and its processor, and how its family is fed and read."""

    model: Any
    processor: Any
    label: str
    """What messages call the checkpoint."""

    model_type: ClassVar[str] = ""
    """Of the configuration; the base class stands for every type that no subclass names."""
    decoding_part: ClassVar[str] = ""
    """The part whose `generate` decodes, and which takes what it is not told from its own configuration; "" for the model."""
    one_prompt: ClassVar[bool] = False
    """Whether every image is fed the same tokens, so that image and prompt can be prepared apart."""

    def settle(self) -> None:
        """Change what the family's configuration leaves to its `generate`; called once, after loading."""

    @property
    def language_model(self) -> Any:
        """The module whose `generate` decodes."""
        return getattr(self.model, self.decoding_part) if self.decoding_part else self.model

    @property
    def text_config(self) -> Any:
        """The configuration of the language model inside the whole."""
        return getattr(self.model.config, "text_config", None) or self.model.config

    @property
    def template(self) -> str | None:
        """The checkpoint's chat template, which puts words around a prompt; None where it has none."""
        found: str | None = getattr(self.processor, "chat_template", None)
        return found

    @property
    def image_tokens(self) -> set[int]:
        """The tokens that hold the image's place in a prompt."""
        named = (getattr(self.model.config, name, None) for name in ("image_token_id", "image_token_index"))
        return {token for token in named if token is not None}

    # --- what is fed ---

    def batch(self, images: Sequence[Image], prompt: str) -> Any:
        """Images and prompt as `generate` takes them: a dictionary of tensors; `input_ids` is (B, L).

        Raises:
            EvaluationError: the processor refuses them.
        """
        # A caption goes on at the right end of its row; padding there would tear it off the prompt.
        self.processor.tokenizer.padding_side = "left"
        texts = [self._rendered(prompt)] * len(images)
        try:
            batch = self.processor(images=list(images), text=texts, padding=True, return_tensors="pt")
        except ValueError as error:
            raise EvaluationError(
                f"The processor of {self.label} refuses image and prompt: {first_line(error)}."
            ) from None
        return self.cut_end(batch)

    def cut_end(self, batch: Any) -> Any:
        """The batch without its prompts' end tokens, which BERT's tokenizer adds (GIT has it): a caption goes on from there."""
        last = set(batch["input_ids"][:, -1].tolist())
        if not self.language_model.config.is_encoder_decoder and last == {self.processor.tokenizer.sep_token_id}:
            for name in ("input_ids", "attention_mask", "token_type_ids"):
                if name in batch:
                    batch[name] = batch[name][:, :-1]
        return batch

    def _rendered(self, prompt: str) -> str:
        """The prompt as the chat template puts it, where there is one."""
        if not self.template:
            return prompt
        turn: list[dict[str, str]] = [{"type": "image"}, {"type": "text", "text": prompt}]
        text: str = self.processor.apply_chat_template(
            [{"role": "user", "content": turn}], add_generation_prompt=True, tokenize=False
        )
        return text

    def feed(self, prompt: str) -> torch.Tensor:
        """The tokens that a small image is fed: (1, image tokens + prompt).

        Raises:
            EvaluationError: the processor makes no room for the image.
        """
        import PIL.Image

        ids = self.batch([PIL.Image.new("RGB", (64, 64))], prompt)["input_ids"]
        if self.image_tokens and not self.image_tokens & set(ids[0].tolist()):
            raise EvaluationError(
                f"The processor of {self.label} puts no image token before the prompt: the image would be ignored. A "
                "chat_template that has a place for the image is missing from the checkpoint."
            )
        return cast("torch.Tensor", ids)

    def stated(self, text: str) -> list[int]:
        """The tokens that a stated prompt should be fed as: its own, and those that the family puts around it.

        Its own come from the tokenizer without its post-processor, which a checkpoint can change. For a language model that
        is not in `LANGUAGE_MODELS`, and for a chat template, the processor is believed; a begin token that the family has
        must be there all the same.
        """
        around = LANGUAGE_MODELS.get(self.text_config.model_type, Around())
        first, last = self._special(around.before), self._special(around.behind)
        if self.text_config.model_type in LANGUAGE_MODELS and self.image_prefix is not None:
            return [*self.image_prefix, *first, *self.own_ids(text), *last]
        row: list[int] = self.feed(text)[0].tolist()
        return row if row[: len(first)] == first else [*first, *row]

    @property
    def image_prefix(self) -> list[int] | None:
        """The tokens that stand for the image before every prompt; None where only the processor can say."""
        return None if self.template or self.image_tokens else []

    def _special(self, name: str | None) -> list[int]:
        if name is None:
            return []
        found: int | None = getattr(self.text_config, name, None) if name.startswith(("bos", "eos")) else None
        found = found if found is not None else getattr(self.processor.tokenizer, name, None)
        return [] if found is None else [found]

    def own_ids(self, text: str) -> list[int]:
        """The tokens of a text alone, without special ones."""
        tokenizer = self.processor.tokenizer
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is not None:
            return list(backend.encode(text, add_special_tokens=False).ids)
        return list(tokenizer.encode(text, add_special_tokens=False))

    # --- what comes back ---

    def prompt_length(self, fed: int) -> int:
        """How many tokens of a row that `generate` returns are not generated, when `fed` tokens were fed."""
        return 1 if self.language_model.config.is_encoder_decoder else fed  # an encoder-decoder returns its start token

    def foreign_ends(self, config: GenerationConfig) -> dict[str, Any]:
        """Tokens that begin or end a caption, where the generation config names others than the model's own configuration.

        `generation_config.json` can be changed without the model: another end token cuts captions short. A chat template may
        add the token that ends a turn.
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
    """BLIP-2: the Q-Former's queries stand before the prompt, and OPT or T5 decodes."""

    __slots__ = ()
    model_type = "blip-2"
    decoding_part = "language_model"
    one_prompt = True

    def feed(self, prompt: str) -> torch.Tensor:
        """See `Architecture.feed`. Without `num_query_tokens`, the processor leaves the image out and says nothing."""
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

    @property
    def image_prefix(self) -> list[int]:
        """One token for each query."""
        return [self.model.config.image_token_id] * self.model.config.num_query_tokens


class InstructBlip(Architecture):
    """InstructBLIP: BLIP-2 whose Q-Former reads the prompt too."""

    __slots__ = ()
    model_type = "instructblip"
    decoding_part = "language_model"


class Blip(Architecture):
    """BLIP: its decoder is BERT with cross-attention."""

    __slots__ = ()
    model_type = "blip"
    decoding_part = "text_decoder"

    def settle(self) -> None:
        """BLIP hands its end token to the decoder's `generate` by hand: put it where the end of a caption is read from."""
        self.model.text_decoder.generation_config.eos_token_id = self.model.config.text_config.sep_token_id
        self.model.text_decoder.generation_config.pad_token_id = self.model.config.text_config.pad_token_id

    def cut_end(self, batch: Any) -> Any:
        """The whole batch: BLIP's own `generate` cuts the end token off."""
        return batch

    def prompt_length(self, fed: int) -> int:
        """One less than was fed: see `cut_end`."""
        return fed - 1

    def foreign_ends(self, config: GenerationConfig) -> dict[str, Any]:  # noqa: ARG002 - `settle` wrote the end token itself
        """None: the end token does not come from the generation config."""
        return {}


FAMILIES: tuple[type[Architecture], ...] = (Blip2, InstructBlip, Blip)


def of(model: Any, processor: Any, label: str) -> Architecture:
    """The family of a loaded model."""
    kind = next((family for family in FAMILIES if family.model_type == model.config.model_type), Architecture)
    return kind(model=model, processor=processor, label=label)


def token_ids(value: Any) -> frozenset[int]:
    """One token, several or None, as a set."""
    return frozenset(() if value is None else (value,) if isinstance(value, int) else value)
