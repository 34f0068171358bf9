"""Write claims/example.yaml, with every key explained, and its small data: `pytest claims/` then has a verdict.

It asks nothing, uses no network, and overwrites nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_claims.commands import tell
from pytest_claims.errors import ClaimsError

if TYPE_CHECKING:
    import argparse

HELP = "write a first claim with its data: claims/example.yaml"

TEMPLATE = Path(__file__).with_name("example")
FILES = ("example.yaml", "example/predictions.json", "example/references.json")


def configure(_parser: argparse.ArgumentParser) -> None:
    """Add no argument."""


def run(_arguments: argparse.Namespace) -> int:
    """Write the files into the folder `claims` of the working folder.

    Raises:
        ClaimsError: a file of one of the names exists, or cannot be written.
    """
    # lexists: a link that leads nowhere is in the way too.
    there = [name for name in FILES if os.path.lexists(Path("claims", name))]
    if there:
        raise ClaimsError(
            f"claims/{there[0]} exists and is not overwritten; nothing was written. Rename it, or edit it."
        )
    for name in FILES:
        path = Path("claims", name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write((TEMPLATE / name).read_bytes())
        except OSError as error:
            raise ClaimsError(f"claims/{name} cannot be written: {error.strerror}.") from None
        tell(f"wrote claims/{name}")
    tell("Run it:     pytest claims/")
    tell("Change it:  claims/example.yaml explains every key; pytest-claims check claims/ checks it")
    return 0
