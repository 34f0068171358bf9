"""Writes verdicts to files for people, CI systems and release gates. Each format has a pure function from records to text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_claims import files
from pytest_claims.errors import ClaimsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_claims.reports.format import Record, RunInfo


def write(path: Path, run: RunInfo, records: Sequence[Record]) -> None:
    """Write a report atomically, in the format of its suffix.

    Raises:
        ClaimsError: the report cannot be written. An earlier report of that name is still there.
    """
    suffix = path.suffix.lower()
    if suffix == ".xml":
        from pytest_claims.reports import junit as format_module
    elif suffix == ".md":
        from pytest_claims.reports import markdown as format_module  # type: ignore[no-redef]
    elif suffix == ".html":
        from pytest_claims.reports import html as format_module  # type: ignore[no-redef]
    else:
        from pytest_claims.reports import json as format_module  # type: ignore[no-redef]
    text = format_module.render(run, records)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_whole(path, text.encode())
    except OSError as error:
        # mkdir's own message, "File exists", would be misleading.
        reason = f"{path.parent} is a file" if isinstance(error, FileExistsError) else error.strerror
        raise ClaimsError(f"The report {path} cannot be written: {reason}.") from None
