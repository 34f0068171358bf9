"""Linear layers for a CPU in fp32: oneDNN with weights that are packed once, and a fused activation.

`nn.Linear` calls the BLAS library. It rearranges the weights into its own layout in every call, and bias and activation
are separate passes. oneDNN accepts weights in its own layout, and adds bias and activation in the same pass.

The two operators are private: torch.compile's CPU backend calls them (torch/_inductor/mkldnn_ir.py). If they are missing
or take other arguments, a layer falls back to `nn.Linear`. Measured with benchmarks/beam_parts.py, preset `mid`: with
`nn.Linear`, captioning takes 1.11 times as long. With the public `torch.utils.mkldnn.MkldnnLinear`, which also converts
each input and output, it takes 1.24 times as long. On the tiny model of `shapes` the operators gain nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch  # noqa: TID253 - this room is imported only when a model is evaluated
from torch import nn  # noqa: TID253 - as above

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

# The activations that oneDNN can fuse: name in the configuration to (operator, algorithm)
_FUSED = {None: ("none", ""), "relu": ("relu", ""), "gelu": ("gelu", "none")}


def prepare(
    layer: nn.Module,
    *,
    pack: bool,
    activation: str | None = None,
    activation_fn: Callable[[Tensor], Tensor] | None = None,
) -> Callable[[Tensor], Tensor]:
    """A function that computes `activation_fn(layer(x))`.

    Args:
        layer: if its weights are packed, later changes of them have no effect.
        pack: whether a second copy of the weights may be held.
        activation: the name of the activation in the configuration.
        activation_fn: the activation.
    """

    def plain(x: Tensor) -> Tensor:
        result: Tensor = layer(x)
        return result if activation_fn is None else activation_fn(result)

    # Only nn.Linear itself: a quantised or adapted layer is a subclass or a wrapper, with a forward pass of its own.
    if type(layer) is not nn.Linear or not _onednn(layer.weight) or activation not in _FUSED:
        return plain
    # With the activation as a separate pass, captioning takes 1.08 times as long (preset `mid`).
    operator: Any = torch.ops.mkldnn._linear_pointwise
    attribute, algorithm = _FUSED[activation]
    weight: Tensor = layer.weight.detach()
    bias: Tensor | None = layer.bias  # may be None, which nn.Linear's stub does not say
    bias = None if bias is None else bias.detach()
    try:
        if pack:
            # Without packing, captioning takes 1.05 times as long (preset `mid`).
            weight = torch.ops.mkldnn._reorder_linear_weight(weight, None)

        def fused(x: Tensor) -> Tensor:
            result: Tensor = operator(x, weight, bias, attribute, [], algorithm)
            return result

        fused(torch.zeros((2, layer.in_features)))
    except (AttributeError, RuntimeError, TypeError):
        return plain
    return fused


def _onednn(weight: Tensor) -> bool:
    backend: Any = torch.backends.mkldnn
    return bool(
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and backend.is_available()
        and backend.enabled
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
