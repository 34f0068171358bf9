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
    from collections.abc import Sequence

    from pytest_claims.spec import MetricInfo


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


def with_metrics(names: Sequence[str]) -> dict[str, MetricInfo]:
    """The metrics that a claim may name, and these: metrics of plugins, of which only the names are known here."""
    from pytest_claims import spec

    unknown = spec.MetricInfo(
        units=("percent", "fraction"), low=float("-inf"), high=float("inf"), trivial=None, needs=()
    )
    return {**dict.fromkeys(names, unknown), **spec.METRICS}
