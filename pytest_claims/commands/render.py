"""Make other reports of a JSON report, such as the Markdown for a comment.

The JSON is read strictly, and the reports are made of its values by the same code as in a session. So a job that has the right
to comment can show the report of a job that ran foreign code: whatever the values are, they are inert in the new report. They
are still what that code wrote.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_claims.commands import given, tell
from pytest_claims.errors import SettingsError

if TYPE_CHECKING:
    import argparse

HELP = "make other reports of a JSON report"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "report", type=Path, metavar="REPORT.json", help="a report that --claims-report=REPORT.json wrote"
    )
    parser.add_argument(
        "out", type=Path, nargs="+", metavar="OUT", help=".md, .xml, .html or .json; images are not in JSON"
    )
    parser.add_argument(
        "--claims-ledger", type=Path, metavar="PATH", help="mark verdicts that were retracted or superseded since"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the reports."""
    from pytest_claims import reports, settings

    for path in arguments.out:
        if path.suffix.lower() not in settings.REPORT_FORMATS:
            known = ", ".join(settings.REPORT_FORMATS)
            raise SettingsError(f"{path}: expected a file that ends in one of {known}.")
    report = given.report(arguments.report)
    records = given.today(report.records, arguments.claims_ledger)
    for path in arguments.out:
        for written in reports.write(path, report.run, records):
            tell(f"verdict report: {written}")
    return 0
