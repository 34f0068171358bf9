"""The public pages of a ledger, made of the components of the HTML report, with badges and feeds.

    index.html            all claims with their current verdicts
    claims/NAME.html      one claim: its verdict, its history, and what was retracted and why
    badges/NAME.svg       the current status; badges/NAME.json is the same for shields.io's endpoint badge
    records.json          the current records, with the keys of the record that this project started from
    atom.xml              the newest verdicts and retractions

The same ledger gives the same files.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from pytest_claims import ledger
from pytest_claims.errors import ClaimsError, SettingsError
from pytest_claims.files import reason
from pytest_claims.settings import installed
from pytest_claims.site import feeds, pages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARK = ".pytest-claims-site"
"""Marks a folder that `build` made, and may replace."""


def build(path: Path, out: Path, *, url: str = "", title: str) -> int:
    """Write the pages of a ledger; the number of claims.

    Args:
        path: the ledger.
        out: a folder that is empty or does not exist, or that an earlier call made.
        url: where the pages will be; empty: the feed has relative addresses.
        title: of the pages.

    Raises:
        SettingsError: the ledger has a problem, or the folder holds something else.
        ClaimsError: the folder cannot be written.
    """
    if not all(map(installed, ("jinja2", "svg"))):
        raise SettingsError("The pages need more: pip install 'pytest-claims[report]'")
    ledger.read(path)  # names a path that does not exist
    book = ledger.load(path)
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise SettingsError(f"{out} holds something that this command did not write; name an empty folder.")
    claims = pages.gather(book)
    try:
        for folder in ("claims", "badges"):
            shutil.rmtree(out / folder, ignore_errors=True)
            (out / folder).mkdir(parents=True)
        (out / MARK).write_text("Made by `pytest-claims site`, which may replace it.\n", encoding="utf-8")
        for name, content in _files(book, claims, url, title):
            (out / name).write_text(content, encoding="utf-8", newline="\n")
    except OSError as error:
        raise ClaimsError(f"{out} cannot be written: {reason(error)}.") from None
    return len(claims)


def _files(book: ledger.Book, claims: list[pages.Shown], url: str, title: str) -> Iterator[tuple[str, str]]:
    yield ".nojekyll", ""  # GitHub Pages leaves the files as they are
    yield from pages.render(claims, title)
    yield from feeds.badges(claims)
    yield "records.json", feeds.records(claims)
    yield "atom.xml", feeds.atom(book, claims, url, title)
