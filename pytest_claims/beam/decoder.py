"""OPT's forward pass for beam search: one prefix per image, and a key-value store that is never copied.

Each layer stores keys and values of a slot as (W, H*D), with W = L + T * beams rows. The first L rows are the prefix,
which all beams share. Then follows one row per beam for each generated position. Every row is written once. A mask says
which rows a beam may see. When beams are reordered, only the mask is permuted: beams x W numbers per image, instead of a
cache of layers x 2 x positions x width numbers per beam. All beams of an image read the prefix in one product.

L is the length of the longest prompt. A shorter one is filled up on the right: attention is causal, so no token of the
prompt sees the filling, and the mask hides it from the beams. Positions count the image's own tokens only.

The cost: a beam's query is also multiplied with the rows of other beams, at most (beams - 1) * T dot products per head.
For captions this is small compared with the linear layers.

The arithmetic is that of transformers 5.23, `modeling_opt.py` and `modeling_blip_2.py`, module by module. It is written
again to run on packed layers. What this gains over OPT's own layers on the same store is measured by
benchmarks/beam_parts.py.
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

    from pytest_claims.beam.prompts import Prompts
    from pytest_claims.beam.settings import BeamSettings

_ALIGNMENT = 8  # attention kernels need rows of the mask to start at multiples of this


class Decoder:
    """The language model's weights, and buffers of a fixed size for `slots` images.

    Args:
        model: in evaluation mode, on one device.
        settings: the number of beams and tokens.
        prompts: the prompts of the images.
        slots: how many images are decoded at a time.
        pack: whether a second copy of the language model's weights may be held.

    Raises:
        EvaluationError: a prompt is too long, or the vocabulary too small.
    """

    def __init__(
        self,
        model: Blip2ForConditionalGeneration,
        settings: BeamSettings,
        *,
        prompts: Prompts,
        slots: int,
        pack: bool,
    ) -> None:
        # transformers types submodules as Module, so a decoder layer's attributes are Any from here on
        opt: Any = model.language_model
        decoder = opt.model.decoder
        config = opt.config
        self._model: Any = model
        self._decoder = decoder
        self._head = prepare(opt.lm_head, pack=pack)
        self._layers = [_Layer(layer, pack=pack) for layer in decoder.layers]
        self._heads: int = config.num_attention_heads
        weight = opt.lm_head.weight
        self.device: torch.device = weight.device
        self.dtype: torch.dtype = weight.dtype
        self.vocabulary: int = weight.shape[0]
        self._beams = settings.num_beams
        self._max_new_tokens = settings.max_new_tokens
        prefix = prompts.longest
        self.prefix = prefix
        self._check(settings, decoder.embed_positions.num_embeddings - decoder.embed_positions.offset)

        width = prefix + settings.max_new_tokens * self._beams
        self.width = -(-width // _ALIGNMENT) * _ALIGNMENT
        hidden: int = config.hidden_size
        # (layers, 2, slots, W, H*D)
        self._store = torch.zeros(
            (len(self._layers), 2, slots, self.width, hidden), dtype=self.dtype, device=self.device
        )
        # Added to the attention scores: 0 for rows that a beam may see, -inf for others: (slots, beams, W)
        self._mask = torch.zeros((slots, self._beams, self.width), dtype=self.dtype, device=self.device)
        self._mask[:, :, prefix:] = float("-inf")
        self._beam_rows = torch.arange(self._beams, device=self.device)
        self._slot_rows = torch.arange(slots, device=self.device)[:, None] * self.width

        self._prefix_rows = torch.arange(prefix, device=self.device)
        self._lengths = torch.full((slots,), prefix, device=self.device)  # of each image's prompt
        self._image_positions = torch.tensor(prompts.image_positions, device=self.device)
        positions = torch.arange(prefix + settings.max_new_tokens, device=self.device)
        # OPT's learned positions start at `offset`, which is 2 (OPTLearnedPositionalEmbedding)
        self._positions = decoder.embed_positions.weight[positions + decoder.embed_positions.offset]

    def _check(self, settings: BeamSettings, positions: int) -> None:
        needed = self.prefix + settings.max_new_tokens
        if needed > positions:
            raise EvaluationError(
                f"The prompt of {self.prefix} tokens and max_new_tokens="
                f"{settings.max_new_tokens} need {needed} positions, and the language model has "
                f"{positions}."
            )
        if self.vocabulary < settings.candidates + len(settings.eos_token_ids):
            raise EvaluationError(
                f"A search with {settings.num_beams} beams ranks {settings.candidates} tokens, and the "
                f"language model has a vocabulary of {self.vocabulary}."
            )

    def prefill(self, rows: slice, features: Tensor, prompts: Tensor, lengths: Tensor | None) -> Tensor:
        """Compute the prefix of these slots; return the logits of its last position, (G, 1, V).

        Args:
            rows: the slots.
            features: (G, Q, d), of the images.
            prompts: (G, l), filled up on the right.
            lengths: (G,), of the prompts; None if all have the length l, and no prompt of the search has another.
        """
        width = prompts.shape[1]
        embeds = self._decoder.embed_tokens(prompts)  # (G, l, E)
        embeds[:, self._image_positions] = features.to(embeds.dtype)
        hidden = embeds + self._positions[:width]  # (G, l, d)
        self._mask[rows] = float("-inf")
        if lengths is None:
            self._mask[rows, :, :width] = 0
        else:
            self._lengths[rows] = lengths
            filling = self._prefix_rows >= lengths[:, None]  # (G, L)
            self._mask[rows, :, : self.prefix] = torch.where(filling, float("-inf"), 0.0)[:, None].to(self.dtype)
        for number, layer in enumerate(self._layers):
            keys_store, values_store = self._store[number, :, rows, :width]
            entered = layer.enter(hidden)
            keys, values = layer.keys(entered), layer.values(entered)
            keys_store.copy_(keys)
            values_store.copy_(values)
            last = number + 1 == len(self._layers)
            seen = None
            if last:  # only the last position is needed from here on
                hidden, entered = _last(hidden, lengths), _last(entered, lengths)
                seen = None if lengths is None else self._mask[rows, None, :1, :width]
            mixed = functional.scaled_dot_product_attention(
                self._split(layer.queries(entered)),
                self._split(keys),
                self._split(values),
                attn_mask=seen,
                is_causal=not last,
                scale=1.0,
            )
            hidden = layer.leave(hidden, mixed)
        return self._logits(hidden)

    def step(self, rows: slice, tokens: Tensor, step: Tensor, width: int) -> Tensor:
        """Feed the newest token of every beam; return the logits of the next one, (A, beams, V).

        Args:
            rows: the slots.
            tokens: (A, beams, T), filled up to `step`.
            step: (A,) how many tokens are generated so far, at least 1.
            width: how many rows of the store these slots can see at most.
        """
        decoder = self._decoder
        fed = (step - 1).clamp(min=0)
        newest = tokens.gather(2, fed[:, None, None].expand(-1, self._beams, 1))[:, :, 0]
        embeds = decoder.embed_tokens(newest)  # (A, beams, E)
        hidden = embeds + self._positions[self._lengths[rows] + fed][:, None]  # (A, beams, d)
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

    def branch(self, slot: int, length: int, tokens: Tensor, depths: Tensor, mask: Tensor) -> Tensor:
        """Feed tokens that continue the prompt of one slot in several ways; return the logits behind each, (S, V).

        Nothing is written to the store.

        Args:
            slot: the slot.
            length: the length of its prompt.
            tokens: (S,).
            depths: how many tokens stand between the prompt and each token, (S,).
            mask: what is added to the attention scores between the tokens, (S, S). All see the whole prompt.
        """
        hidden = (self._decoder.embed_tokens(tokens) + self._positions[length + depths])[None]  # (1, S, d)
        width = length + len(tokens)
        seen = functional.pad(mask, (length, -width % _ALIGNMENT))[None, None, :, :width]  # (1, 1, S, length + S)
        for number, layer in enumerate(self._layers):
            keys_store, values_store = self._store[number, :, slot : slot + 1, :length]
            entered = layer.enter(hidden)
            mixed = functional.scaled_dot_product_attention(
                self._split(layer.queries(entered)),
                self._split(torch.cat((keys_store, layer.keys(entered)), 1)),
                self._split(torch.cat((values_store, layer.values(entered)), 1)),
                attn_mask=seen,
                scale=1.0,
            )
            hidden = layer.leave(hidden, mixed)
        return self._logits(hidden)[0]

    def reorder(self, rows: slice, parents: Tensor, step: Tensor) -> None:
        """Let beam n continue the old beam `parents[n]`: it sees the same rows, and its own next row."""
        mask = self._mask[rows]
        if self._beams > 1:
            mask.copy_(mask.gather(1, parents[..., None].expand_as(mask)))
        fed = (step - 1).clamp(min=0)
        mask.scatter_(2, self._own_rows(fed)[..., None], 0.0)

    def move(self, sources: Tensor, targets: Tensor, width: int) -> None:
        """Copy slots: the first `width` rows of the store, and the mask. No slot is both source and target."""
        for store in self._store:  # layer by layer, so that the copy in between is small
            store[:, targets, :width] = store[:, sources, :width]
        self._mask[targets] = self._mask[sources]
        self._lengths[targets] = self._lengths[sources]

    def take(self, other: Decoder, sources: Tensor, targets: Tensor) -> None:
        """Copy slots of another decoder, of which only the prefix is computed and the first token chosen."""
        for store, theirs in zip(self._store, other._store, strict=True):
            store[:, :, : self.prefix].index_copy_(1, targets, theirs[:, :, : self.prefix].index_select(1, sources))
        self._mask.index_fill_(0, targets, float("-inf"))
        self._mask[:, :, : other.width].index_copy_(0, targets, other._mask.index_select(0, sources))
        self._lengths.index_copy_(0, targets, other._lengths.index_select(0, sources))

    def rows(self, step: int) -> int:
        """How many rows of the store an image can see after `step` tokens."""
        return self.prefix + step * self._beams

    def _own_rows(self, fed: Tensor) -> Tensor:
        """The row of the store for token number `fed` of each beam: (A, beams)."""
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


def _last(states: Tensor, lengths: Tensor | None) -> Tensor:
    """The last position of each prompt: (G, l, d) to (G, 1, d)."""
    if lengths is None:
        return states[:, -1:]
    return states.gather(1, (lengths - 1)[:, None, None].expand(-1, 1, states.shape[2]))


class _Layer:
    """The parts of OPTDecoderLayer.forward before and after the attention."""

    def __init__(self, layer: Any, *, pack: bool) -> None:
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
            activation_fn=layer.activation_fn,
        )
        self._fc2 = prepare(layer.fc2, pack=pack)

    def enter(self, hidden: Tensor) -> Tensor:
        """The input of the projections to keys, values and queries."""
        return self._layer.self_attn_layer_norm(hidden) if self._before else hidden

    def queries(self, entered: Tensor) -> Tensor:
        """The queries, scaled before the product with the keys as in OPT: in fp16 the order changes the result."""
        return self._query(entered) * self._scaling

    def leave(self, hidden: Tensor, mixed: Tensor) -> Tensor:
        """Turn the attention's result, (A, H, n, D), into the layer's output, (A, n, d)."""
        layer = self._layer
        hidden = hidden + self._out(mixed.transpose(1, 2).flatten(2))
        if not self._before:
            hidden = layer.self_attn_layer_norm(hidden)
        entered = layer.final_layer_norm(hidden) if self._before else hidden
        hidden = hidden + self._fc2(self._fc1(entered))
        return hidden if self._before else layer.final_layer_norm(hidden)
