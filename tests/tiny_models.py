"""BLIP-2 models with random weights: small enough for tests, lively enough that captions differ.

A freshly initialised model is no test of a beam search: all images give the same features (query tokens start at zero),
all tokens are about equally likely, and nothing ever ends. Here the weights are drawn wider, so that features depend on
the image and next-token distributions are peaked; the output layer is not tied to the embeddings, so that a token does
not simply repeat; and the end-of-sequence token is pulled up: the learned positions, which reach the last layer through
the residual stream, carry its output vector, more of it the later the position, so that lengths vary around a typical
one as those of real captions do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    OPTConfig,
    T5Config,
)

if TYPE_CHECKING:
    from torch import Tensor

EOS = 5
PAD = 1
BOS = 2


def random_blip2(
    *,
    seed: int = 0,
    vocabulary: int = 120,
    hidden: int = 32,
    ffn: int = 64,
    layers: int = 2,
    heads: int = 4,
    vision: tuple[int, int, int, int] = (24, 2, 2, 48),
    qformer: tuple[int, int, int, int] = (24, 2, 2, 48),
    image_size: int = 28,
    patch_size: int = 14,
    queries: int = 4,
    positions: int = 256,
    sharpness: float = 3.0,
    typical_length: float | None = 6.0,
    eos_slope: float = 0.8,
    layer_norm_before: bool = True,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Blip2ForConditionalGeneration:
    """A BLIP-2 with OPT, in evaluation mode.

    Args:
        seed: of the weights.
        vocabulary: token ids; the last one is the image placeholder.
        hidden: width of the language model.
        ffn: width of its feed-forward layers.
        layers: its number of layers.
        heads: its number of heads.
        vision: width, layers, heads and feed-forward width of the vision model.
        qformer: the same of the Q-Former.
        image_size: pixels.
        patch_size: pixels.
        queries: image tokens.
        positions: longest sequence.
        sharpness: standard deviation of the logits.
        typical_length: captions end around here (anywhere, without `layer_norm_before`); None: the end is as likely as
            any other token.
        eos_slope: by how much the end's logit grows per token.
        layer_norm_before: as all OPT models but the 350m one.
        device: where the weights are created.
        dtype: of the weights; the Q-Former stays in fp32 beside fp16, as `from_pretrained` keeps it.
    """
    text = OPTConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        ffn_dim=ffn,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=positions,
        do_layer_norm_before=layer_norm_before,
        word_embed_proj_dim=hidden,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
        tie_word_embeddings=False,
    )
    config = Blip2Config(
        vision_config=Blip2VisionConfig(
            hidden_size=vision[0],
            num_hidden_layers=vision[1],
            num_attention_heads=vision[2],
            intermediate_size=vision[3],
            image_size=image_size,
            patch_size=patch_size,
        ).to_dict(),
        qformer_config=Blip2QFormerConfig(
            hidden_size=qformer[0],
            num_hidden_layers=qformer[1],
            num_attention_heads=qformer[2],
            intermediate_size=qformer[3],
            encoder_hidden_size=vision[0],
            vocab_size=vocabulary,
        ).to_dict(),
        text_config=text.to_dict(),
        num_query_tokens=queries,
        image_token_index=vocabulary - 1,
    )
    torch.manual_seed(seed)
    with torch.device(device):
        model: Any = Blip2ForConditionalGeneration(config)
    model.eval().to(dtype)
    if dtype == torch.float16:
        model.qformer.float()
        model.query_tokens.data = model.query_tokens.data.float()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=1.4 * parameter[0].numel() ** -0.5)
            elif name.endswith("bias"):
                parameter.normal_(std=0.1)
        # differences between images, not between queries, are what the caption shall depend on
        model.query_tokens.normal_(std=1.0)
        model.language_projection.weight.mul_(2.0)
        decoder = model.language_model.model.decoder
        decoder.embed_tokens.weight.normal_(std=1.0)
        decoder.embed_positions.weight.normal_(std=0.3)
        words = model.language_model.lm_head.weight
        words.normal_(std=sharpness * words.shape[1] ** -0.5)
        end = words[EOS] / words[EOS].square().sum()
        # The largest of the other tokens' logits, about
        largest = sharpness * (2 * math.log(vocabulary)) ** 0.5
        if typical_length is not None and layer_norm_before:
            prompt = prompt_ids(model)
            # How large the residual stream is where the last layer norm divides it away
            sizes: list[float] = []
            hook = decoder.final_layer_norm.register_forward_pre_hook(
                lambda _, inputs: sizes.append(float(inputs[0].float().square().mean().sqrt()))
            )
            pixels = torch.randn(2, 3, image_size, image_size, device=device, dtype=dtype)
            model(pixel_values=pixels, input_ids=prompt.expand(2, -1))
            hook.remove()
            # Where the caption shall end, the end's logit reaches the largest of the others'
            place = torch.arange(positions + 2, device=device) - 2 - (prompt.shape[1] - 1) - typical_length
            pull = (largest + eos_slope * place).clamp(min=-largest) * sizes[0]
            pull[: 2 + prompt.shape[1] - 1] = 0
            decoder.embed_positions.weight.add_((pull[:, None] * end).to(dtype))
        elif typical_length is not None:
            # Layer norms after every half layer wash positions out: here the end is likely everywhere.
            decoder.layers[-1].final_layer_norm.bias.add_(0.8 * largest * end)
    result: Blip2ForConditionalGeneration = model
    return result


def prompt_ids(model: Blip2ForConditionalGeneration) -> Tensor:
    """The tokenised prompt: image placeholders, the begin token, three words."""
    image = [int(model.config.image_token_id)] * int(model.config.num_query_tokens)
    return torch.tensor([[*image, BOS, 7, 8, 9]], device=model.device)


def random_images(count: int, *, size: int = 28, seed: int = 0) -> list[tuple[str, Tensor]]:
    """Images with ids `i0`, `i1`, ..."""
    generator = torch.Generator().manual_seed(seed)
    return [(f"i{n}", torch.randn(3, size, size, generator=generator)) for n in range(count)]


def random_flan_t5() -> Blip2ForConditionalGeneration:
    """A BLIP-2 whose language model is an encoder-decoder."""
    tiny = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Blip2Config(
        vision_config={**tiny, "intermediate_size": 16, "image_size": 28, "patch_size": 14},
        qformer_config={**tiny, "intermediate_size": 16, "encoder_hidden_size": 16},
        text_config=T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2).to_dict(),
        num_query_tokens=2,
        image_token_index=31,
    )
    model: Any = Blip2ForConditionalGeneration(config)
    result: Blip2ForConditionalGeneration = model.eval()
    return result
