"""The commands of `python -m pytest_claims`, one module each; `__main__.py` lists them.

A module has `HELP` (one line), `configure(parser)`, which adds the arguments, and `run(arguments)`, which gives the exit
status. It imports nothing at its top that takes time: `--help` imports all of them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pytest_claims import text

if TYPE_CHECKING:
    import argparse


def tell(result: str, *, depth: int = 0) -> None:
    """Write one line of a result to stdout, indented by two spaces for each level of `depth`."""
    sys.stdout.write(f"{'  ' * depth}{text.line(result)}\n")


def warn(message: str) -> None:
    """Write one line of a message to stderr."""
    sys.stderr.write(f"{text.line(message)}\n")


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the option `--claims-data`, as pytest has it."""
    parser.add_argument(
        "--claims-data",
        action="append",
        default=[],
        metavar="DIR",
        help="a folder with data that the repository may not ship; repeatable",
    )
