"""Make the public pages of a ledger: all claims with their verdicts, history and retractions, badges and feeds.

The pages are files that any web server can show. They load nothing from elsewhere and run no script.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_claims.commands import tell

if TYPE_CHECKING:
    import argparse

HELP = "make the public pages of a ledger"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("ledger", type=Path, metavar="LEDGER", help="what --claims-ledger=LEDGER wrote")
    parser.add_argument("out", type=Path, metavar="OUT", help="a folder that is empty, or that this command made")
    parser.add_argument("--url", default="", help="where the pages will be, for the addresses in the Atom feed")
    parser.add_argument("--title", default="Verdicts on paper claims", help="the title of the pages")


def run(arguments: argparse.Namespace) -> int:
    """Write the pages."""
    from pytest_claims import site

    made = site.build(arguments.ledger, arguments.out, url=arguments.url, title=arguments.title)
    tell(f"{arguments.out / 'index.html'}: {made:,} claims")
    return 0
