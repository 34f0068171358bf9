"""The JSON report: all records with all their keys."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pytest_claims.reports.format import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_claims.reports.format import Record, RunInfo


def render(run: RunInfo, records: Sequence[Record]) -> str:
    """The report as JSON text: `{"schema", "run", "records"}`.

    The text is ASCII, so that it is safe to print: other characters from untrusted text could control a terminal. For the same
    reason, one of two adjacent `#` is escaped: `##vso[` is a command to a CI system that prints the file.
    """
    report = {"schema": SCHEMA, "run": run.model_dump(), "records": [record.values() for record in records]}
    return re.sub("#(?=#)", r"\\u0023", json.dumps(report, indent=2, allow_nan=False)) + "\n"
