"""What a run ran on."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PACKAGES = ("pytest-claims", "torch", "transformers", "datasets", "tokenizers", "pillow", "nltk")


def machine(device: torch.device | None = None) -> dict[str, str | int | float | None]:
    """What the run ran on: recorded, never a deviation."""
    facts: dict[str, str | int | float | None] = {"python": platform.python_version(), "platform": platform.platform()}
    if device is not None:
        import torch

        name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
        facts["device"] = f"{device.type} ({name})"
        facts["threads"] = torch.get_num_threads()
    for package in PACKAGES:
        facts[package] = importlib.metadata.version(package)
    return facts
