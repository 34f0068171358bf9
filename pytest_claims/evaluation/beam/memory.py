"""The free memory of a device."""

from __future__ import annotations

import os

import torch  # noqa: TID253 - this room is imported only when a model is evaluated


def free_bytes(device: torch.device) -> int:
    """How many bytes can be allocated on `device`, approximately."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # memory that PyTorch has reserved and does not use can be allocated, too
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + cached)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # some systems do not say
        return 4 << 30
