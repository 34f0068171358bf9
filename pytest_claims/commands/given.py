"""The files that commands are given: read in bounded size, and refused in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_claims import text
from pytest_claims.errors import ClaimsError, first_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_claims.reports.format import Record, Report

REPORT = 256 * 2**20
"""The most bytes of a JSON report: 100,000 claims take some 200 MB."""


def content(path: Path, most: int, what: str) -> bytes:
    """The bytes of a file.

    Args:
        path: the file, as the user names it.
        most: more bytes than this are refused.
        what: what it should be, for the message.

    Raises:
        ClaimsError: it cannot be read, or is too large.
    """
    shown = text.name(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ClaimsError(f"{shown}: cannot be read: {error.strerror}.") from None
    if len(data) > most:
        raise ClaimsError(f"{shown}: more than {most:,} bytes are not read as {what}.")
    return data


def report(path: Path) -> Report:
    """A JSON report.

    Raises:
        ClaimsError: it cannot be read, or is no report.
    """
    from pydantic import ValidationError

    from pytest_claims.reports.format import SCHEMA, Report

    try:
        return Report.model_validate_json(content(path, REPORT, "a report"))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, found["loc"])) or "the file"
        raise ClaimsError(
            f"{text.name(str(path))}: no JSON report of the form {SCHEMA}: {where}: {first_line(found['msg'])}. Expected a "
            "file that --claims-report=verdicts.json wrote."
        ) from None


def today(records: Sequence[Record], path: Path | None) -> Sequence[Record]:
    """The records with what a ledger says of their verdicts now; as they are if no ledger is named.

    Raises:
        ClaimsError: there is no such ledger, or it has a problem.
    """
    if path is None:
        return records
    from pytest_claims import ledger
    from pytest_claims.ledger import changes

    ledger.read(path)  # names a path that does not exist
    book = ledger.load(path)
    return [changes.today(book, record) for record in records]
