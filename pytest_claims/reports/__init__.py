"""Writes verdicts to files for people, CI systems and release gates. Each format has a pure function from records to text."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_claims import files
from pytest_claims.errors import ClaimsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pytest_claims.reports.format import Gallery, Record, RunInfo


STATEMENT = ".intoto.json"
"""The end of the name of a report that is an in-toto statement. Beside it lies a second one, which holds the records."""


def write(
    path: Path, run: RunInfo, records: Sequence[Record], galleries: Mapping[str, Gallery] = MappingProxyType({})
) -> tuple[Path, ...]:
    """Write a report atomically, in the format of its suffix; the files that were written.

    Args:
        path: the file.
        run: what is said of the session.
        records: one per claim, or per file that stands for claims.
        galleries: what was generated behind each claim, by its node id; only the HTML report shows it.

    Raises:
        ClaimsError: the report cannot be written. An earlier report of that name is still there.
    """
    made = [(path, _render(path.suffix.lower(), run, records, galleries))]
    if path.name.lower().endswith(STATEMENT):
        from pytest_claims.reports import intoto

        beside = path.with_name(f"{path.name[: -len(STATEMENT)]}.records{STATEMENT}")
        made = [(path, intoto.render(run, records)), (beside, intoto.render_records(run, records))]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for place, content in made:
            files.write_whole(place, content.encode())
    except OSError as error:
        # mkdir's own message, "File exists", would be misleading.
        reason = f"{path.parent} is a file" if isinstance(error, FileExistsError) else error.strerror
        raise ClaimsError(f"The report {path} cannot be written: {reason}.") from None
    return tuple(place for place, _ in made)


def _render(suffix: str, run: RunInfo, records: Sequence[Record], galleries: Mapping[str, Gallery]) -> str:
    # Each format is imported when a report of it is written: the HTML report brings jinja2 and a plotting library.
    if suffix == ".html":
        from pytest_claims.reports import html

        return html.render(run, records, galleries)
    if suffix == ".xml":
        from pytest_claims.reports import junit

        return junit.render(run, records)
    if suffix == ".md":
        from pytest_claims.reports import markdown

        return markdown.render(run, records)
    from pytest_claims.reports import json

    return json.render(run, records)
