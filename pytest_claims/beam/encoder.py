"""Turn images into the input of the language model: vision model, Q-Former, projection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch  # noqa: TID253 - this room is imported only when a model is evaluated
from torch.nn import functional  # noqa: TID253 - as above

from pytest_claims.beam.linear import prepare
from pytest_claims.errors import EvaluationError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import Blip2ForConditionalGeneration


# How many images are encoded at a time. On a CPU, a layer's input should fit into the cache: 400,000 numbers are 1.6 MB
# in fp32. More images are not faster. Fewer are slower for narrow models, where a call costs more than its arithmetic.
_CACHED = 400_000
_ON_GPU = 64


class Encoder:
    """The part of `Blip2ForConditionalGeneration.generate` before the language model.

    Args:
        model: in evaluation mode, on one device.
        pack: whether a second copy of the vision model's weights may be held.
    """

    def __init__(self, model: Blip2ForConditionalGeneration, *, pack: bool) -> None:
        self._model: Any = model
        vision: Any = model.vision_model
        self._vision = vision
        self._device: torch.device = vision.embeddings.patch_embedding.weight.device
        self._size: int = vision.config.image_size
        self._heads: int = vision.config.num_attention_heads
        patches = (self._size // vision.config.patch_size) ** 2 + 1
        on_cpu = self._device.type == "cpu"
        self.sub_batch = max(1, _CACHED // (patches * vision.config.hidden_size)) if on_cpu else _ON_GPU
        self._blocks = [
            (
                layer,
                prepare(layer.self_attn.qkv, pack=pack, rows=patches),
                prepare(layer.self_attn.projection, pack=pack, rows=patches),
                prepare(
                    layer.mlp.fc1,
                    pack=pack,
                    rows=patches,
                    activation=vision.config.hidden_act,
                    activation_fn=layer.mlp.activation_fn,
                ),
                prepare(layer.mlp.fc2, pack=pack, rows=patches),
            )
            for layer in vision.encoder.layers
        ]

    def encode(self, images: list[tuple[str, Tensor]], sub_batch: int) -> Tensor:
        """The features of G images, computed for `sub_batch` images at a time: (G, Q, d)."""
        expected = (3, self._size, self._size)
        for image_id, pixels in images:
            if tuple(pixels.shape) != expected:
                raise EvaluationError(f"Image {image_id} has the shape {tuple(pixels.shape)}, expected {expected}.")
        features = []
        for start in range(0, len(images), sub_batch):
            batch = torch.stack([pixels for _, pixels in images[start : start + sub_batch]])
            features.append(self._features(batch.to(self._device, non_blocking=True)))
        return torch.cat(features)

    def _features(self, pixels: Tensor) -> Tensor:
        model = self._model
        seen = self._see(pixels)  # (G, patches + 1, dv)
        queries = model.query_tokens.expand(seen.shape[0], -1, -1)
        # `generate` also passes a mask of ones. It has no effect.
        read = model.qformer(query_embeds=queries, encoder_hidden_states=seen, return_dict=True)
        # transformers keeps the Q-Former of an fp16 model in fp32 (_keep_in_fp32_modules)
        features: Tensor = model.language_projection(read.last_hidden_state.to(seen.dtype))
        return features

    def _see(self, pixels: Tensor) -> Tensor:
        """Blip2VisionModel.forward without its pooled output, on packed layers.

        With the model's own forward pass, captioning takes 1.08 times as long (benchmarks/beam_parts.py, preset `mid`).
        """
        hidden: Tensor = self._vision.embeddings(pixels)
        for layer, qkv, projection, fc1, fc2 in self._blocks:
            mixed = qkv(layer.layer_norm1(hidden))  # (G, p, 3 * dv)
            mixed = mixed.view(*mixed.shape[:-1], 3, self._heads, -1).permute(2, 0, 3, 1, 4)
            mixed = functional.scaled_dot_product_attention(mixed[0], mixed[1], mixed[2], scale=layer.self_attn.scale)
            hidden = hidden + projection(mixed.transpose(1, 2).flatten(2))
            hidden = hidden + fc2(fc1(layer.layer_norm2(hidden)))
        result: Tensor = self._vision.post_layernorm(hidden)
        return result
