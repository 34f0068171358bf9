"""The JSON report: every record, whole."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_claims.reports.format import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_claims.reports.format import Record, RunInfo


def render(run: RunInfo, records: Sequence[Record]) -> str:
    """`{"schema", "run", "records"}`; ASCII, so that no terminal or log is asked to show what a stranger wrote.

    For the same reason no two `#` stand side by side: `##vso[` is a command to a CI system that shows the file.
    """
    report = Report(schema="pytest-claims/report/2", run=run, records=list(records))
    text = report.model_dump_json(by_alias=True, indent=2)
    return re.sub("#(?=#)", r"\\u0023", _NOT_ASCII.sub(_escaped, text)) + "\n"


_NOT_ASCII = re.compile("[^\x00-\x7e]")


def _escaped(match: re.Match[str]) -> str:
    """A character as JSON escapes it: one UTF-16 unit after the other."""
    units = match[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
