"""A ledger → the HTML pages: one with all claims, and one for each claim."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_claims import __version__, digests
from pytest_claims.ledger import changes
from pytest_claims.reports import html
from pytest_claims.reports.html import view

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_claims.ledger import Book, Entry, Key
    from pytest_claims.reports.format import Record

TEMPLATES = Path(__file__).parent / "templates"

POINTS = 500
"""How many verdicts of a claim its page lists: the newest ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A claim of the ledger."""

    key: Key
    name: str
    """Of its files: letters, digits, `.`, `_` and `-`."""
    entry: Entry
    """Its newest verdict."""
    record: Record
    """Of that verdict, with the history."""
    retracted: str | None
    """Why that verdict was retracted; None: it is current."""


def gather(book: Book) -> list[Shown]:
    """The claims of a ledger with their newest verdicts, by name and kind."""
    found: list[Shown] = []
    taken: set[str] = set()
    for key in sorted(book.verdicts, key=lambda key: (key.claim, key.kind, key.paper)):
        entry = book.verdicts[key][-1]
        gone = book.reason(entry)
        when = entry.at[:10]
        said = "the newest verdict was retracted, and the claim has no current one" if gone else f"current since {when}"
        history = {
            "change": None, "said": said, "causes": [], "only_library": False, "carried": None, "retracted": gone,
            "points": changes.points(book, key, POINTS),
        }  # fmt: skip
        record = changes.with_history(book.record(entry), history, current=gone is None)
        name = _name(key, taken)
        taken.add(name.lower())
        found.append(Shown(key=key, name=name, entry=entry, record=record, retracted=gone))
    return found


def _name(key: Key, taken: set[str]) -> str:
    """The name of a claim's files: its id where that is a good name, and with a digest where another claim has it."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", key.claim).strip(".-")[:80] or "claim"
    plain += "" if key.kind == "POST" else f"-{key.kind.lower()}"
    return plain if plain.lower() not in taken and plain != "index" else f"{plain}-{digests.short(repr(key))}"


def render(claims: Sequence[Shown], title: str) -> Iterator[tuple[str, str]]:
    """The pages: name and HTML."""
    style = html.asset("page.css")
    environment = html.environment(TEMPLATES)
    shared = {"style": style, "policy": html.policy("", style), "title": title, "tool": f"pytest-claims {__version__}"}
    index, page = environment.get_template("index.html.jinja"), environment.get_template("one.html.jinja")
    views = view.claims([claim.record for claim in claims], {})
    counts = Counter("retracted" if claim.retracted else str(claim.record.verdict.status) for claim in claims)
    order = ("pass", "partial", "fail", "retracted")
    yield (
        "index.html",
        index.render(
            claims=list(zip(claims, views, strict=True)),
            counts=[(status, counts[status]) for status in order if counts[status]],
            **shared,
        ),
    )
    for claim, shown in zip(claims, views, strict=True):
        yield (
            f"claims/{claim.name}.html",
            page.render(claim=shown, name=claim.name, side=html.SIDE, page_size=0, **shared),
        )
