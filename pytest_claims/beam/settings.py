"""The settings that this beam search implements, and the models that it can decode. All others are refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_claims.errors import EvaluationError

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig

_HONOURED = frozenset(
    {
        "num_beams",
        "max_new_tokens",
        "min_new_tokens",
        "length_penalty",
        "repetition_penalty",
        "early_stopping",
        "eos_token_id",
        "pad_token_id",
    }
)

# Fields of GenerationConfig that cannot change the tokens of a deterministic search with a decoder-only model. They are
# about the returned object, the cache, compilation, sampling (do_sample must be off), assisted decoding, or the tokens
# from which an encoder-decoder starts. `max_new_tokens` is required, and it overrides `max_length`.
_WITHOUT_EFFECT = frozenset(
    {
        "max_length",
        "bos_token_id",
        "decoder_start_token_id",
        "use_cache",
        "cache_implementation",
        "cache_config",
        "max_cache_len",
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "top_h",
        "typical_p",
        "epsilon_cutoff",
        "eta_cutoff",
        "output_attentions",
        "output_hidden_states",
        "output_scores",
        "output_logits",
        "return_dict_in_generate",
        "is_assistant",
        "num_assistant_tokens",
        "num_assistant_tokens_schedule",
        "assistant_confidence_threshold",
        "max_matching_ngram_size",
        "assistant_early_exit",
        "assistant_lookbehind",
        "target_lookbehind",
        "assistant_ensemble_weight",
        "speculation_type",
        "compile_config",
        "disable_compile",
        "continuous_batching_config",
        "prefill_chunk_size",
        "transformers_version",
        "generation_kwargs",
    }
)

# Fields that this search does not implement, with the values that have no effect. None never has an effect.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "do_sample": (False,),
    "use_mtp": (False,),
    "min_length": (0,),
    "encoder_repetition_penalty": (1.0,),
    "no_repeat_ngram_size": (0,),
    "encoder_no_repeat_ngram_size": (0,),
    "renormalize_logits": (False,),
    "remove_invalid_values": (False,),
    "token_healing": (False,),
    "guidance_scale": (1, 1.0),
    "num_return_sequences": (1,),
    "num_beam_groups": (1,),
    "diversity_penalty": (0.0,),
    "low_memory": (False,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamSettings:
    """The fields of a `GenerationConfig` that this search implements. They mean what they mean in `generate`.

    Args:
        num_beams: 1 is greedy search.
        max_new_tokens: the largest number of generated tokens, with the end-of-sequence token.
        min_new_tokens: this many tokens are generated before an end-of-sequence token may follow.
        length_penalty: a finished caption's log-probability is divided by its length to this power.
        repetition_penalty: applied to all tokens of the prompt, with its image placeholders, and of the caption.
        early_stopping: `True` stops when `num_beams` captions are finished. `False` stops when the best running caption
            would not win if it ended now. `"never"` stops when no running caption can win any more.
        eos_token_ids: each of these tokens ends a caption. If there are none, only `max_new_tokens` ends it.
        pad_token_id: the token with which `generate` pads. The search returns no padding.
    """

    num_beams: int
    max_new_tokens: int
    min_new_tokens: int
    length_penalty: float
    repetition_penalty: float
    early_stopping: bool | str
    eos_token_ids: tuple[int, ...]
    pad_token_id: int

    def __post_init__(self) -> None:
        problems = []
        if self.num_beams < 1:
            problems.append(f"num_beams is {self.num_beams}, expected at least 1.")
        if self.max_new_tokens < 1:
            problems.append(f"max_new_tokens is {self.max_new_tokens}, expected at least 1.")
        if not 0 <= self.min_new_tokens <= self.max_new_tokens:
            problems.append(
                f"min_new_tokens is {self.min_new_tokens}, expected 0 to max_new_tokens ({self.max_new_tokens})."
            )
        if not self.repetition_penalty > 0:
            problems.append(f"repetition_penalty is {self.repetition_penalty}, expected above 0.")
        if self.early_stopping not in (True, False, "never"):
            problems.append(f"early_stopping is {self.early_stopping!r}, expected true, false or 'never'.")
        if any(token < 0 for token in self.eos_token_ids):
            problems.append(f"eos_token_id is {list(self.eos_token_ids)}, expected token ids.")
        if problems:
            raise EvaluationError(" ".join(problems))

    @classmethod
    def from_generation_config(cls, config: GenerationConfig) -> BeamSettings:
        """Read from `config` what `generate` would do.

        Unset fields get the defaults of `generate` (`GenerationConfig._get_default_generation_params`). `generate` also
        reads the language model's own generation config (`_prepare_generation_config`). This method does not: the
        caller must put its values into `config`, above all the end-of-sequence token.

        Raises:
            EvaluationError: `max_new_tokens` is not set, or a field changes the output and is not implemented here.
        """
        fields = vars(config)
        refused = [f"{name}={value!r}" for name, value in turned_on(config).items()]
        if refused:
            raise EvaluationError(
                f"The beam search does not implement {', '.join(refused)}. "
                "Remove the setting, or evaluate with the stock `generate`."
            )
        if fields.get("max_new_tokens") is None:
            raise EvaluationError(
                "The generation config does not set max_new_tokens, and the beam search needs it: "
                "max_length would count the tokens of the prompt."
            )
        eos = fields.get("eos_token_id")
        eos_ids = () if eos is None else (eos,) if isinstance(eos, int) else tuple(eos)
        pad = fields.get("pad_token_id")
        return cls(
            num_beams=_or(fields.get("num_beams"), 1),
            max_new_tokens=fields["max_new_tokens"],
            min_new_tokens=_or(fields.get("min_new_tokens"), 0),
            length_penalty=float(_or(fields.get("length_penalty"), 1.0)),
            repetition_penalty=float(_or(fields.get("repetition_penalty"), 1.0)),
            early_stopping=_or(fields.get("early_stopping"), False),
            eos_token_ids=tuple(int(token) for token in eos_ids),
            # Without a padding token, `generate` pads with the first end-of-sequence token
            pad_token_id=int(pad if pad is not None else eos_ids[0] if eos_ids else 0),
        )

    @property
    def candidates(self) -> int:
        """How many continuations of an image are ranked per step.

        Each end-of-sequence token ends at most one continuation per beam, so at least `num_beams` of these
        continuations do not end (transformers 5.23, `GenerationMixin._beam_search`, `beams_to_keep`).
        """
        return max(2, 1 + len(self.eos_token_ids)) * self.num_beams


def turned_on(config: GenerationConfig) -> dict[str, Any]:
    """The fields of `config` that change the tokens and that a protocol cannot state, with their values."""
    fields = {name: value for name, value in vars(config).items() if not name.startswith("_")}
    return {
        name: value
        for name, value in sorted(fields.items())
        if value is not None
        and name not in _HONOURED
        and name not in _WITHOUT_EFFECT
        # min_new_tokens overrides min_length (GenerationMixin._prepare_generated_length)
        and not (name == "min_length" and fields.get("min_new_tokens") is not None)
        and not any(value == neutral for neutral in _NEUTRAL.get(name, ()))
    }


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def supports(model: torch.nn.Module) -> str | None:
    """None if `BeamSearch` can decode `model`, else a sentence that says why it cannot."""
    from transformers import Blip2ForConditionalGeneration, OPTForCausalLM

    if not isinstance(model, Blip2ForConditionalGeneration):
        return f"{type(model).__name__} is not a BLIP-2 captioning model, so it is decoded by the stock `generate`."
    language_model = model.language_model
    if not isinstance(language_model, OPTForCausalLM):
        kind = "not OPT" if model.config.use_decoder_only_language_model else "an encoder-decoder"
        return (
            f"The language model is {type(language_model).__name__}, {kind}, so it is decoded by the stock `generate`."
        )
    config = language_model.config
    if config.word_embed_proj_dim != config.hidden_size:
        # BLIP-2 projects images to `hidden_size`, so `generate` cannot run such a model correctly either.
        return (
            f"The language model's word embeddings have {config.word_embed_proj_dim} dimensions and its "
            f"layers {config.hidden_size}, so it is decoded by the stock `generate`."
        )
    if model.training:
        return "The model is in training mode, where dropout makes captions random: call `eval()`."
    devices = {str(parameter.device) for parameter in model.parameters()}
    if len(devices) > 1:
        return f"The model is spread over {', '.join(sorted(devices))}, so it is decoded by the stock `generate`."
    return None
