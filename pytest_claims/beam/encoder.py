"""Turn images into the input of the language model: vision model, Q-Former, projection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch  # noqa: TID253 - this room is imported only when a model is evaluated
from torch.nn import functional  # noqa: TID253 - as above

from pytest_claims import devices
from pytest_claims.beam.linear import prepare
from pytest_claims.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from transformers import Blip2ForConditionalGeneration


# How many images are encoded at a time. On a CPU, a layer's input should fit into the cache: 400,000 numbers are 1.6 MB
# in fp32. More images are not faster. Fewer are slower for narrow models, where a call costs more than its arithmetic.
_CACHED = 400_000
_ON_GPU = 64


def sub_batch(model: Blip2ForConditionalGeneration) -> int:
    """How many images are encoded at a time on the model's device."""
    vision: Any = model.vision_model
    if devices.of(vision.embeddings.patch_embedding.weight.device).far:
        return _ON_GPU
    return max(1, _CACHED // (_patches(vision.config) * int(vision.config.hidden_size)))


def activations(model: Blip2ForConditionalGeneration) -> int:
    """The most bytes that encoding takes at a time, apart from weights: in a layer's feed-forward part, or its attention."""
    vision: Any = model.vision_model
    config = vision.config
    # The residual stream, the normalised input, and the widest of what is computed from it, before and after an activation
    widest = max(2 * config.intermediate_size, 5 * config.hidden_size)
    numbers = sub_batch(model) * _patches(config) * (2 * config.hidden_size + widest)
    size: int = vision.embeddings.patch_embedding.weight.element_size()
    return int(numbers * size)


def _patches(config: Any) -> int:
    """The positions of an image in the vision model: its patches and the class token."""
    return int((config.image_size // config.patch_size) ** 2 + 1)


def _stack(images: list[Tensor]) -> Tensor:
    return torch.stack(images)


class Pinned:
    """Stacks images in page-locked memory and copies them to a GPU while the GPU works. It has not run on a GPU yet.

    Only a copy from page-locked memory does not wait (pytorch.org, "CUDA semantics", "Use pinned memory buffers"). There are
    two buffers: one is filled while the other is copied. A buffer is filled again only after its copy has ended.

    Args:
        device: the GPU.
    """

    def __init__(self, device: devices.Cuda) -> None:
        self._device = device
        self._buffers: list[tuple[Tensor, devices.Mark]] = []  # the one whose copy began first comes first

    def __call__(self, images: list[Tensor]) -> Tensor:
        """The images on the device: (n, 3, H, W)."""
        count, dtype = len(images), images[0].dtype
        buffer = torch.empty(0, dtype=dtype)
        if len(self._buffers) == 2:
            buffer, copied = self._buffers.pop(0)
            copied.synchronize()
        if buffer.shape[0] < count or buffer.dtype != dtype:
            buffer = self._device.locked((count, *images[0].shape), dtype)
        torch.stack(images, out=buffer[:count])
        batch = buffer[:count].to(self._device.device, non_blocking=True)
        self._buffers.append((buffer, self._device.mark()))
        return batch


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
        self._size: int = vision.config.image_size
        self._heads: int = vision.config.num_attention_heads
        patches = _patches(vision.config)
        self.sub_batch = sub_batch(model)
        device = devices.of(vision.embeddings.patch_embedding.weight.device)
        self._upload: Callable[[list[Tensor]], Tensor] = Pinned(device) if isinstance(device, devices.Cuda) else _stack
        self._blocks = [
            (
                layer,
                prepare(layer.self_attn.qkv, pack=pack, rows=patches),
                prepare(layer.self_attn.projection, pack=pack, rows=patches),
                prepare(
                    layer.mlp.fc1,
                    pack=pack,
                    rows=patches,
                    activation_fn=layer.mlp.activation_fn,
                ),
                prepare(layer.mlp.fc2, pack=pack, rows=patches),
            )
            for layer in vision.encoder.layers
        ]

    def encode(self, images: list[tuple[str, Tensor]], sub_batch: int) -> Tensor:
        """The features of G images, computed for `sub_batch` images at a time: (G, Q, d)."""
        expected = (3, self._size, self._size)
        for image_id, values in images:
            if tuple(values.shape) != expected:
                raise EvaluationError(f"Image {image_id} has the shape {tuple(values.shape)}, expected {expected}.")
        pixels = [values for _, values in images]
        starts = range(0, len(images), sub_batch)
        return torch.cat([self._features(self._upload(pixels[start : start + sub_batch])) for start in starts])

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

        What this gains over the model's own forward pass is measured by benchmarks/beam_parts.py.
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
