"""Which of PyTorch's attention kernels takes a call on a GPU, by PyTorch's own rules, transcribed.

`torch.backends.cuda.can_use_flash_attention` and `can_use_efficient_attention` state these rules, but a PyTorch without CUDA
answers False to everything, and with CUDA they need the GPU. The rules are those of PyTorch 2.13 for dense inputs without
gradients and dropout, on a GPU of compute capability 8.0 to 12.1 (Ampere to Blackwell):

* aten/src/ATen/native/transformers/cuda/sdp_utils.cpp, `can_use_flash_attention` and `can_use_mem_efficient_attention`;
* aten/src/ATen/native/transformers/sdp_utils_cpp.h for the checks that both share;
* aten/src/ATen/native/transformers/attention.cpp, `preprocess_mask`: a mask whose strides are no multiples of 8 is copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

FLASH, EFFICIENT, MATH = "flash", "efficient", "math"
HALF = (torch.float16, torch.bfloat16)
MOST = 256
"""The largest head of flash attention."""
BYTES = 16
"""To what the rows of the efficient kernel's inputs are aligned: its matrix products load 128 bits at a time."""
MASK = 8
"""To what the strides of a mask must be aligned, in elements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of `scaled_dot_product_attention`."""

    phase: str
    kernel: str
    query: tuple[int, ...]
    keys: int
    """How many keys each query meets."""
    dtype: torch.dtype
    masked: bool
    causal: bool
    copies_mask: bool
    """Whether the mask is copied in every call, because its strides are not aligned."""


def choose(phase: str, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, causal: bool) -> Call:
    """The kernel that takes a call when flash, efficient and math attention are allowed, in this order."""
    given = query, key, value
    reasons = {FLASH: flash(*given, mask, causal=causal), EFFICIENT: efficient(*given, mask), MATH: None}
    kernel = next(name for name, reason in reasons.items() if reason is None)
    return Call(
        phase=phase,
        kernel=kernel,
        query=tuple(query.shape),
        keys=key.shape[-2],
        dtype=query.dtype,
        masked=mask is not None,
        causal=causal,
        copies_mask=kernel == EFFICIENT and mask is not None and not _aligned(mask),
    )


def flash(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, causal: bool) -> str | None:
    """Why flash attention does not take the call; None if it does."""
    if mask is not None:
        return "it takes no mask"
    if not query.shape[-1] == key.shape[-1] == value.shape[-1] <= MOST:
        return f"heads differ in size, or are larger than {MOST}"
    if causal and query.shape[-2] != key.shape[-2]:
        return "a causal call has as many queries as keys"
    return _dtype(query, key, value, HALF) or _dense(query, key, value, mask)


def efficient(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> str | None:
    """Why the memory-efficient kernel does not take the call; None if it does."""
    alignment = BYTES // query.element_size()
    sizes = query.shape[-1], value.shape[-1]
    if query.shape[-1] != key.shape[-1] or any(not size or size % alignment for size in sizes):
        return f"the size of a head is no multiple of {alignment}"
    if any(tensor.storage_offset() * tensor.element_size() % BYTES for tensor in (query, key, value)):
        return f"an input does not begin at a multiple of {BYTES} bytes"
    if mask is not None and (mask.dim() not in (2, 4) or mask.dtype not in (query.dtype, torch.bool)):
        return "a mask has 2 or 4 dimensions, and the dtype of the queries"
    return _dtype(query, key, value, (*HALF, torch.float32)) or _dense(query, key, value, mask)


def _dtype(query: Tensor, key: Tensor, value: Tensor, allowed: tuple[torch.dtype, ...]) -> str | None:
    if query.dtype == key.dtype == value.dtype and query.dtype in allowed:
        return None
    return f"its inputs are {query.dtype}, {key.dtype}, {value.dtype}, expected one of {allowed}"


def _dense(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> str | None:
    given = query, key, value
    if any(tensor.dim() != 4 for tensor in given):
        return "the inputs have four dimensions"
    if not query.shape[-2] or not key.shape[-2]:
        return "there are no queries or no keys"
    if any(tensor.stride(-1) != 1 for tensor in (*given, *((mask,) if mask is not None else ()))):
        return "the last dimension is not contiguous"
    if len({tensor.shape[:2] for tensor in given}) != 1:
        return "the numbers of sequences or heads differ"
    return None


def _aligned(mask: Tensor) -> bool:
    return all(stride % MASK == 0 for stride in mask.stride()[:-1])
