"""Verdicts → files that a person, a CI system and a release gate can read. Pure: records in, text out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_claims import files
from pytest_claims.errors import ClaimsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_claims.reports.format import Record, RunInfo


def write(path: Path, run: RunInfo, records: Sequence[Record]) -> None:
    """Write a report in the format of its suffix, whole or not at all.

    Raises:
        ClaimsError: it cannot be written; what was there before is still there.
    """
    if path.suffix.lower() == ".xml":
        from pytest_claims.reports import junit as format_module
    elif path.suffix.lower() == ".html":
        from pytest_claims.reports import html as format_module  # type: ignore[no-redef]
    else:
        from pytest_claims.reports import json as format_module  # type: ignore[no-redef]
    text = format_module.render(run, records)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_whole(path, text.encode())
    except OSError as error:
        # mkdir's "File exists" would say the opposite of what is wrong.
        reason = f"{path.parent} is a file" if isinstance(error, FileExistsError) else error.strerror
        raise ClaimsError(f"The report {path} cannot be written: {reason}.") from None
