"""The JSON report: all records with all their keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_claims.reports.format import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_claims.reports.format import Record, RunInfo


def render(run: RunInfo, records: Sequence[Record]) -> str:
    """The report as JSON text: `{"schema", "run", "records"}`.

    The text is ASCII, so that it is safe to print: other characters from untrusted text could control a terminal. For the same
    reason, one of two adjacent `#` is escaped: `##vso[` is a command to a CI system that prints the file.
    """
    report = Report(schema="pytest-claims/report/2", run=run, records=list(records))
    text = report.model_dump_json(by_alias=True, indent=2)
    return re.sub("#(?=#)", r"\\u0023", _NOT_ASCII.sub(_escaped, text)) + "\n"


_NOT_ASCII = re.compile("[^\x00-\x7e]")


def _escaped(match: re.Match[str]) -> str:
    """A character as JSON escapes it: one UTF-16 unit after the other."""
    units = match[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
