"""The machine that runs the claims: choice of the device, and the facts that are recorded."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import TYPE_CHECKING

from pytest_claims import devices, libraries
from pytest_claims.errors import NotAttempted

if TYPE_CHECKING:
    import torch

RECORDED = ("pytest-claims", "torch", "transformers", "datasets", "tokenizers", "pillow", "nltk")
"""Packages whose versions are recorded in all evidence."""

DECISIVE = ("torch", "transformers", "tokenizers", "pillow")
"""Packages of which another version may give another caption for the same image."""


def choose_device(wanted: str, required: str, *, command: str) -> torch.device:
    """The device to run on.

    Args:
        wanted: the user's choice: `auto`, `cpu`, `cuda` or `cuda:N`. Without a number, each worker of pytest-xdist gets a GPU
            of its own, as long as there are enough.
        required: the claim's requirement: `cpu` or `cuda`. A device that the user names takes precedence.
        command: the command that runs the claim on a machine with such a device, for the message.

    Raises:
        NotAttempted: the claim or the user asks for a device that this machine does not have.
    """
    with libraries.importing():
        import torch

    there = devices.count()
    if wanted == "auto":
        if required == "cuda" and not there:
            raise NotAttempted(
                "The claim needs a CUDA device and this machine has none.", f"On a machine with one: {command}"
            )
        wanted = "cuda" if there else "cpu"
    number = _worker()
    if wanted == "cuda" and number is not None and there > 1:
        wanted = f"cuda:{number % there}"
    if wanted.startswith("cuda") and not there:
        raise NotAttempted(
            f"--claims-device={wanted}: this machine has no CUDA device.", "Leave the option out, or say cpu."
        )
    device = torch.device(wanted)
    if devices.of(device).far and (device.index or 0) >= there:
        raise NotAttempted(
            f"--claims-device={wanted}: this machine has {there} CUDA devices.",
            "Name one of cuda:0 and up.",
        )
    return device


def _worker() -> int | None:
    """The number of this worker of pytest-xdist: `gw3` → 3; None outside xdist."""
    name = os.environ.get("PYTEST_XDIST_WORKER", "")
    number = name.removeprefix("gw")
    return int(number) if name != number and number.isascii() and number.isdecimal() else None


def versions() -> dict[str, str]:
    """The versions of the `DECISIVE` packages."""
    return {package: importlib.metadata.version(package) for package in DECISIVE}


def facts(device: torch.device | None = None) -> dict[str, str | int | float | None]:
    """The facts about the machine and the packages, for the record. A difference in them is never a deviation."""
    found: dict[str, str | int | float | None] = {"python": platform.python_version(), "platform": platform.platform()}
    if device is not None:
        import torch

        known = devices.of(device)
        found["device"] = f"{known.kind} ({known.name})"
        found["threads"] = torch.get_num_threads()
    for package in RECORDED:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # scoring released captions needs no torch
            found[package] = None
    return found
