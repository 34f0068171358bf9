"""The JSON report: every record, whole."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pytest_claims.reports.format import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_claims.reports.format import Record, RunInfo


def render(run: RunInfo, records: Sequence[Record]) -> str:
    """`{"schema", "run", "records"}`; ASCII, so that no terminal or log is asked to show what a stranger wrote.

    For the same reason no two `#` stand side by side: `##vso[` is a command to a CI system that shows the file.
    """
    report = {"schema": SCHEMA, "run": run.model_dump(), "records": [record.values() for record in records]}
    return re.sub("#(?=#)", r"\\u0023", json.dumps(report, indent=2, allow_nan=False)) + "\n"
