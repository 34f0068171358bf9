"""What a run ran on."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PACKAGES = ("pytest-claims", "torch", "transformers", "datasets", "tokenizers", "pillow", "nltk")


DECISIVE = ("torch", "transformers", "tokenizers", "pillow")
"""Packages whose next version may turn the same image into another caption."""


def versions() -> dict[str, str]:
    """The versions that decide captions."""
    return {package: importlib.metadata.version(package) for package in DECISIVE}


def machine(device: torch.device | None = None) -> dict[str, str | int | float | None]:
    """What the run ran on: recorded, never a deviation."""
    facts: dict[str, str | int | float | None] = {"python": platform.python_version(), "platform": platform.platform()}
    if device is not None:
        import torch

        name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
        facts["device"] = f"{device.type} ({name})"
        facts["threads"] = torch.get_num_threads()
    for package in PACKAGES:
        try:
            facts[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # released captions are scored without torch
            facts[package] = None
    return facts
