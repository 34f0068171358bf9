"""What a device has left."""

from __future__ import annotations

import os

import torch  # noqa: TID253 - this room is imported only when a model is evaluated


def free_bytes(device: torch.device) -> int:
    """Bytes that can be allocated on `device`, roughly."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # what PyTorch holds without using it is free to us
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + cached)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # not every system tells
        return 4 << 30
