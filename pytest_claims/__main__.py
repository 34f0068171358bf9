"""The commands beside pytest: `python -m pytest_claims COMMAND`, or `pytest-claims COMMAND`.

Each command is a module with `HELP`, `configure(parser)` and `run(arguments)`. Only the module of the command that is asked for
is imported; for `--help`, all of them, so at their top they import nothing that takes time.

Exit status: 0 good, 1 problems found, 2 wrong usage. Results go to stdout, messages to stderr.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import TYPE_CHECKING, Any

from pytest_claims import __version__, text
from pytest_claims.errors import ClaimsError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COMMANDS: Mapping[str, str] = {
    "init": "pytest_claims.commands.init",
    "check": "pytest_claims.commands.check",
    "explain": "pytest_claims.commands.explain",
    "render": "pytest_claims.commands.render",
    "from-card": "pytest_claims.commands.from_card",
    "to-card": "pytest_claims.commands.to_card",
    "cite": "pytest_claims.commands.cite",
    "scaffold": "pytest_claims.commands.scaffold",
    "ledger": "pytest_claims.commands.ledger",
    "site": "pytest_claims.commands.site",
}
"""The module of each command."""

GOOD, PROBLEMS, USAGE, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status.

    Args:
        argv: the command line without the program's name; None: that of this process.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a console that cannot show a character is no reason to stop
    named = [given[0]] if given and given[0] in COMMANDS else list(COMMANDS)
    modules: dict[str, Any] = {name: importlib.import_module(COMMANDS[name]) for name in named}
    parser = argparse.ArgumentParser(
        prog="pytest-claims", description="Commands beside `pytest claims/`, which verifies the claims."
    )
    parser.add_argument("--version", action="version", version=f"pytest-claims {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in modules.items():
        module.configure(commands.add_parser(name, help=module.HELP, description=module.__doc__))
    arguments = parser.parse_args(given)
    try:
        status: int = modules[arguments.command].run(arguments)
    except ClaimsError as error:
        sys.stderr.write(f"{text.block(str(error))}\n")
        return USAGE if isinstance(error, SettingsError) else PROBLEMS
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


if __name__ == "__main__":
    sys.exit(main())
