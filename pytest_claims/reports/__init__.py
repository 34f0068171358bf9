"""Verdicts → files that a person, a CI system and a release gate can read. Pure: records in, text out."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_claims.errors import ClaimsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_claims.reports.record import Record, RunInfo


def write(path: Path, run: RunInfo, records: Sequence[Record]) -> None:
    """Write a report in the format of its suffix, whole or not at all.

    Raises:
        ClaimsError: it cannot be written; what was there before is still there.
    """
    if path.suffix.lower() == ".xml":
        from pytest_claims.reports import junit as format_module
    else:
        from pytest_claims.reports import json as format_module  # type: ignore[no-redef]
    text = format_module.render(run, records)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            Path(name).chmod(0o666 & ~umask)  # mkstemp's 0600 would keep a CI system from reading it
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        # mkdir's "File exists" would say the opposite of what is wrong.
        reason = f"{path.parent} is a file" if isinstance(error, FileExistsError) else error.strerror
        raise ClaimsError(f"The report {path} cannot be written: {reason}.") from None
