"""This machine: the device that a run is computed on, the memory that is left, and what is recorded of both."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_claims.errors import NotAttempted

if TYPE_CHECKING:
    import torch

RECORDED = ("pytest-claims", "torch", "transformers", "datasets", "tokenizers", "pillow", "nltk")
"""Packages whose versions every evidence states."""

DECISIVE = ("torch", "transformers", "tokenizers", "pillow")
"""Packages whose next version may turn the same image into another caption."""


UNKNOWN_MEMORY = 4 * 2**30
"""Bytes that are taken for free where the system does not say."""


def choose_device(wanted: str, required: str, *, command: str) -> torch.device:
    """The device to run on.

    Args:
        wanted: `auto`, `cpu`, `cuda` or `cuda:N`, as the user says.
        required: `cpu` or `cuda`, as the claim says; an explicit device goes before it.
        command: runs the claim where such a device is.

    Raises:
        NotAttempted: the claim or the user asks for an accelerator that is not there.
    """
    import torch

    there = torch.cuda.is_available()
    if wanted == "auto":
        if required == "cuda" and not there:
            raise NotAttempted(
                "The claim needs a CUDA device and this machine has none.", f"On a machine with one: {command}"
            )
        wanted = "cuda" if there else "cpu"
    if wanted.startswith("cuda") and not there:
        raise NotAttempted(
            f"--claims-device={wanted}: this machine has no CUDA device.", "Leave the option out, or say cpu."
        )
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise NotAttempted(
            f"--claims-device={wanted}: this machine has {torch.cuda.device_count()} CUDA devices.",
            "Name one of cuda:0 and up.",
        )
    return device


def free_memory(device: torch.device) -> int:
    """Bytes that can be allocated on `device`, roughly. The host's page cache counts as free, since the system gives it up."""
    if device.type == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        # PyTorch's allocator keeps memory that no tensor uses, and gives it to the next tensor.
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return UNKNOWN_MEMORY


def versions() -> dict[str, str]:
    """The versions that decide captions."""
    return {package: importlib.metadata.version(package) for package in DECISIVE}


def facts(device: torch.device | None = None) -> dict[str, str | int | float | None]:
    """What the run ran on: recorded, never a deviation."""
    found: dict[str, str | int | float | None] = {"python": platform.python_version(), "platform": platform.platform()}
    if device is not None:
        import torch

        name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
        found["device"] = f"{device.type} ({name})"
        found["threads"] = torch.get_num_threads()
    for package in RECORDED:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # released captions are scored without torch
            found[package] = None
    return found
