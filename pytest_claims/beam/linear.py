"""Linear layers for a CPU in fp32: oneDNN with weights that are packed once, where that is faster than `nn.Linear`.

`nn.Linear` calls the BLAS library. It rearranges the weights into its own layout in every call. oneDNN accepts weights in its
own layout. It can also compute an activation in the same pass. That is not used: on AVX2 it makes GELU slower, and on
AVX-512 it gains nothing.

Which of the two is faster depends on the CPU's vector instructions and on the number of rows of the input:

* AVX-512: oneDNN with packed weights for any number of rows.
* AVX2: oneDNN with packed weights below 128 rows, `nn.Linear` (MKL) from there on.
* Other CPUs are not measured: `nn.Linear`.

The choice is made by what the CPU can do, and not by a measurement at the start: a measurement could choose differently
in the next run, and captions would not be reproducible on the same machine. It follows PyTorch's own knowledge of the CPU,
which the environment variable ATEN_CPU_CAPABILITY overrides.

The two operators are private: torch.compile's CPU backend calls them (torch/_inductor/mkldnn_ir.py). If they are missing
or take other arguments, a layer falls back to `nn.Linear`. What they gain is measured by benchmarks/beam_parts.py; the
results are in docs/performance.md.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch  # noqa: TID253 - this room is imported only when a model is evaluated
from torch import nn  # noqa: TID253 - as above

from pytest_claims import devices

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

_BELOW: Mapping[str, float] = {"AVX512": math.inf, "AVX2": 128}
"""By `torch.backends.cpu.get_cpu_capability()`: the number of rows below which oneDNN is used."""


def prepare(
    layer: nn.Module,
    *,
    pack: bool,
    rows: int = 1,
    activation_fn: Callable[[Tensor], Tensor] | None = None,
) -> Callable[[Tensor], Tensor]:
    """A function that computes `activation_fn(layer(x))`.

    Args:
        layer: if its weights are packed, later changes of them have no effect.
        pack: whether a second copy of the weights may be held.
        rows: the smallest number of rows that an input will have. It saves the copy where none would use it.
        activation_fn: the activation; None: the identity.
    """

    def plain(x: Tensor) -> Tensor:
        result: Tensor = layer(x)
        return result if activation_fn is None else activation_fn(result)

    below = _BELOW.get(torch.backends.cpu.get_cpu_capability(), 0)
    # Only nn.Linear itself: a quantised or adapted layer is a subclass or a wrapper, with a forward pass of its own.
    if rows >= below or type(layer) is not nn.Linear or not _onednn(layer.weight):
        return plain
    product = _product(layer, pack=pack)
    if product is None:
        return plain

    def chosen(x: Tensor) -> Tensor:
        if x.numel() >= below * x.shape[-1]:
            return plain(x)
        result = product(x)
        return result if activation_fn is None else activation_fn(result)

    return chosen


def _product(layer: nn.Linear, *, pack: bool) -> Callable[[Tensor], Tensor] | None:
    """The layer as an operator of oneDNN; None if the operator does not take it."""
    operator: Any = torch.ops.mkldnn._linear_pointwise
    weight: Tensor = layer.weight.detach()
    bias: Tensor | None = layer.bias  # may be None, which nn.Linear's stub does not say
    bias = None if bias is None else bias.detach()
    try:
        if pack:
            weight = torch.ops.mkldnn._reorder_linear_weight(weight, None)

        def product(x: Tensor) -> Tensor:
            result: Tensor = operator(x, weight, bias, "none", [], "")
            return result

        product(torch.zeros((2, layer.in_features)))
    except (AttributeError, RuntimeError, TypeError):
        return None
    return product


def _onednn(weight: Tensor) -> bool:
    backend: Any = torch.backends.mkldnn
    return bool(
        not devices.of(weight.device).far
        and weight.dtype == torch.float32
        and backend.is_available()
        and backend.enabled
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
