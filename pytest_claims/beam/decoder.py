"""BLIP-2's forward pass, laid out for beam search: images once, their prefix once, one key-value store that never moves.

The store of a slot is (W, H*D) per layer for keys and for values, with W = L + T * beams rows: first the prefix of L
positions, shared by all beams, then one row per beam for each generated position. A row is written once. Which rows a
beam may see is a mask: reordering beams permutes the mask (beams x W numbers per image) instead of copying a cache of
layers x 2 x positions x width numbers per beam, and all beams of an image read its prefix in one product. The price is
that a beam's query is also multiplied with rows of other beams, at most (beams - 1) * T dot products per head, which is
small beside the linear layers for the lengths of captions.

The arithmetic is that of transformers 5.23, `modeling_opt.py` and `modeling_blip_2.py`, module by module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch  # noqa: TID253 - this room is imported only when a model is evaluated
from torch.nn import functional  # noqa: TID253 - as above

from pytest_claims.beam.linear import prepare
from pytest_claims.errors import EvaluationError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import Blip2ForConditionalGeneration

    from pytest_claims.beam.settings import BeamSettings

_ALIGNMENT = 8  # attention kernels want the mask's rows to start at multiples of this


class Decoder:
    """The model's weights, with the static buffers of `slots` images.

    Args:
        model: in evaluation mode, on one device.
        settings: how many beams, how many tokens.
        input_ids: (1, L) the tokenised prompt with image placeholders.
        slots: images decoded at a time.
        pack: whether a second copy of the language model's weights may be held.

    Raises:
        EvaluationError: the prompt does not hold the model's image tokens, or is too long for its positions.
    """

    def __init__(
        self,
        model: Blip2ForConditionalGeneration,
        settings: BeamSettings,
        *,
        input_ids: Tensor,
        slots: int,
        pack: bool,
    ) -> None:
        # transformers types its submodules as Module, so attributes of a decoder layer are Any from here on
        opt: Any = model.language_model
        decoder = opt.model.decoder
        config = opt.config
        self._model: Any = model
        self._decoder = decoder
        self._head = prepare(opt.lm_head, pack=pack)
        self._layers = [_Layer(layer, config, pack=pack) for layer in decoder.layers]
        self._heads: int = config.num_attention_heads
        weight = opt.lm_head.weight
        self.device: torch.device = weight.device
        self.dtype: torch.dtype = weight.dtype
        self.prompt = input_ids[0].to(self.device)
        self.vocabulary: int = weight.shape[0]
        self._beams = settings.num_beams
        self._max_new_tokens = settings.max_new_tokens
        self._check(settings, decoder.embed_positions.num_embeddings - decoder.embed_positions.offset)

        prefix = self.prompt.shape[0]
        self.prefix = prefix
        width = prefix + settings.max_new_tokens * self._beams
        self.width = -(-width // _ALIGNMENT) * _ALIGNMENT
        hidden: int = config.hidden_size
        # (layers, 2, slots, W, H*D)
        self._store = torch.zeros(
            (len(self._layers), 2, slots, self.width, hidden), dtype=self.dtype, device=self.device
        )
        # 0 where a beam may look, -inf elsewhere, as attention adds it: (slots, beams, W)
        self._mask = torch.zeros((slots, self._beams, self.width), dtype=self.dtype, device=self.device)
        self._mask[:, :, prefix:] = float("-inf")
        self._beam_rows = torch.arange(self._beams, device=self.device)
        self._slot_rows = torch.arange(slots, device=self.device)[:, None] * self.width

        prompt_embeds = decoder.embed_tokens(self.prompt)
        self._prompt_embeds = prompt_embeds  # (L, E)
        self._image_positions = (self.prompt == model.config.image_token_id).nonzero()[:, 0]
        positions = torch.arange(prefix + settings.max_new_tokens, device=self.device)
        # OPT's learned positions start at `offset`, 2 (OPTLearnedPositionalEmbedding)
        self._positions = decoder.embed_positions.weight[positions + decoder.embed_positions.offset]

    def _check(self, settings: BeamSettings, positions: int) -> None:
        config = self._model.config
        found = int((self.prompt == config.image_token_id).sum())
        if found != config.num_query_tokens:
            raise EvaluationError(
                f"The tokenised prompt holds {found} image tokens (id {config.image_token_id}) and the "
                f"model needs {config.num_query_tokens}: the image would be ignored. "
                "Set `num_query_tokens` on the processor."
            )
        needed = self.prompt.shape[0] + settings.max_new_tokens
        if needed > positions:
            raise EvaluationError(
                f"The prompt of {self.prompt.shape[0]} tokens and max_new_tokens="
                f"{settings.max_new_tokens} need {needed} positions, and the language model has "
                f"{positions}."
            )
        if self.vocabulary < settings.candidates + len(settings.eos_token_ids):
            raise EvaluationError(
                f"A search with {settings.num_beams} beams ranks {settings.candidates} tokens, and the "
                f"language model has a vocabulary of {self.vocabulary}."
            )

    def prefill(self, rows: slice, features: Tensor) -> Tensor:
        """Fill the prefix of these slots; the logits of the last position, (G, 1, V)."""
        prefix = self.prefix
        embeds = self._prompt_embeds.repeat(features.shape[0], 1, 1)  # (G, L, E)
        embeds[:, self._image_positions] = features.to(embeds.dtype)
        hidden = embeds + self._positions[:prefix]  # (G, L, d)
        self._mask[rows] = float("-inf")
        self._mask[rows, :, :prefix] = 0
        for number, layer in enumerate(self._layers):
            keys_store, values_store = self._store[number, :, rows, :prefix]
            entered = layer.enter(hidden)
            keys, values = layer.keys(entered), layer.values(entered)
            keys_store.copy_(keys)
            values_store.copy_(values)
            last = number + 1 == len(self._layers)
            if last:  # from here on only the last position matters
                hidden, entered = hidden[:, -1:], entered[:, -1:]
            mixed = functional.scaled_dot_product_attention(
                self._split(layer.queries(entered)),
                self._split(keys),
                self._split(values),
                is_causal=not last,
                scale=1.0,
            )
            hidden = layer.leave(hidden, mixed)
        return self._logits(hidden)

    def step(self, rows: slice, tokens: Tensor, step: Tensor, width: int) -> Tensor:
        """Feed every beam's newest token; the logits that follow it, (A, beams, V).

        Args:
            rows: the slots.
            tokens: (A, beams, T), filled up to `step`.
            step: (A,) tokens generated so far, at least 1.
            width: rows of the store that can be visible to any of these slots.
        """
        decoder = self._decoder
        fed = (step - 1).clamp(min=0)
        newest = tokens.gather(2, fed[:, None, None].expand(-1, self._beams, 1))[:, :, 0]
        embeds = decoder.embed_tokens(newest)  # (A, beams, E)
        hidden = embeds + self._positions[self.prefix + fed][:, None]  # (A, beams, d)
        own = self._own_rows(fed)
        written = (self._slot_rows[rows] + own).flatten()
        mask = self._mask[rows, None, :, :width]  # (A, 1, beams, w)
        for number, layer in enumerate(self._layers):
            keys_store, values_store = self._store[number]
            entered = layer.enter(hidden)
            keys_store.flatten(0, 1).index_copy_(0, written, layer.keys(entered).flatten(0, 1))
            values_store.flatten(0, 1).index_copy_(0, written, layer.values(entered).flatten(0, 1))
            mixed = functional.scaled_dot_product_attention(
                self._split(layer.queries(entered)),  # (A, H, beams, D)
                self._split(keys_store[rows, :width]),  # (A, H, w, D)
                self._split(values_store[rows, :width]),
                attn_mask=mask,
                scale=1.0,
            )
            hidden = layer.leave(hidden, mixed)
        return self._logits(hidden)

    def reorder(self, rows: slice, parents: Tensor, step: Tensor) -> None:
        """Beam n now continues what beam `parents[n]` was: it sees what that one saw, and its own next row."""
        mask = self._mask[rows]
        if self._beams > 1:
            mask.copy_(mask.gather(1, parents[..., None].expand_as(mask)))
        fed = (step - 1).clamp(min=0)
        mask.scatter_(2, self._own_rows(fed)[..., None], 0.0)

    def move(self, source: int, target: int, width: int) -> None:
        """Copy a slot, up to the `width` rows of the store that are in use."""
        self._store[:, :, target, :width] = self._store[:, :, source, :width]
        self._mask[target] = self._mask[source]

    def _own_rows(self, fed: Tensor) -> Tensor:
        """Where in the store each beam's token number `fed` lies: (A, beams)."""
        own: Tensor = self.prefix + fed[:, None] * self._beams + self._beam_rows
        return own

    def _split(self, states: Tensor) -> Tensor:
        """(A, n, H*D) to (A, H, n, D), a view."""
        return states.view(*states.shape[:-1], self._heads, -1).transpose(1, 2)

    def _logits(self, hidden: Tensor) -> Tensor:
        decoder = self._decoder
        if decoder.final_layer_norm is not None:
            hidden = decoder.final_layer_norm(hidden)
        logits: Tensor = self._head(hidden)
        return logits


class _Layer:
    """OPTDecoderLayer.forward in two halves, around the attention."""

    def __init__(self, layer: Any, config: Any, *, pack: bool) -> None:
        attention = layer.self_attn
        self._layer = layer
        self._scaling: float = attention.scaling
        self._before: bool = layer.do_layer_norm_before
        self._query = prepare(attention.q_proj, pack=pack)
        self.keys = prepare(attention.k_proj, pack=pack)
        self.values = prepare(attention.v_proj, pack=pack)
        self._out = prepare(attention.out_proj, pack=pack)
        self._fc1 = prepare(
            layer.fc1,
            pack=pack,
            activation=config.activation_function,
            activation_fn=layer.activation_fn,
        )
        self._fc2 = prepare(layer.fc2, pack=pack)

    def enter(self, hidden: Tensor) -> Tensor:
        """What keys, values and queries are made of."""
        return self._layer.self_attn_layer_norm(hidden) if self._before else hidden

    def queries(self, entered: Tensor) -> Tensor:
        """Scaled before the product with the keys, as OPT does: in fp16 the order matters."""
        return self._query(entered) * self._scaling

    def leave(self, hidden: Tensor, mixed: Tensor) -> Tensor:
        """From the mixed values, (A, H, n, D), to the layer's output, (A, n, d)."""
        layer = self._layer
        hidden = hidden + self._out(mixed.transpose(1, 2).flatten(2))
        if not self._before:
            hidden = layer.self_attn_layer_norm(hidden)
        entered = layer.final_layer_norm(hidden) if self._before else hidden
        hidden = hidden + self._fc2(self._fc1(entered))
        return hidden if self._before else layer.final_layer_norm(hidden)
