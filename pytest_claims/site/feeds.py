"""A ledger → badges, the records as JSON, and an Atom feed."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

from pytest_claims import __version__, text
from pytest_claims.reports import facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_claims.ledger import Book, Entry
    from pytest_claims.site.pages import Shown

NEWEST = 100
"""Events in the Atom feed."""

COLOURS = {"pass": "#1a7f37", "partial": "#9a6700", "fail": "#cf222e", "retracted": "#57606a"}
"""Of badges: each with white text has a contrast of 4.5 or more."""

_ATOM = "http://www.w3.org/2005/Atom"


def badges(claims: Sequence[Shown]) -> Iterator[tuple[str, str]]:
    """For each claim a badge as SVG, and what shields.io's endpoint badge reads."""
    for claim in claims:
        label, message, colour = _badge(claim)
        yield f"badges/{claim.name}.svg", _svg(label, message, colour)
        shields = {"schemaVersion": 1, "label": label, "message": message, "color": colour}
        yield f"badges/{claim.name}.json", json.dumps(shields) + "\n"


def _badge(claim: Shown) -> tuple[str, str, str]:
    citation, evidence = claim.record.verdict.claim_citation, claim.record.evidence
    status = "retracted" if claim.retracted is not None else claim.record.verdict.status
    measured = ""
    if evidence.measured is not None and claim.retracted is None:
        measured = f" {facts.number(evidence.measured, evidence.unit)} / {evidence.reported}"
    return (
        text.line(citation.reported_metric if citation else claim.key.claim),
        text.line(status + measured),
        COLOURS[status],
    )


def _svg(label: str, message: str, colour: str) -> str:
    """A badge: two boxes with text. The width of a letter is estimated, and `textLength` makes the text fit."""
    import svg
    from markupsafe import escape

    widths = [round(6.5 * len(part)) + 12 for part in (label, message)]
    whole = sum(widths)

    def words(said: str, x: float, width: int) -> svg.Text:
        return svg.Text(
            x=x, y=14, text=str(escape(said)), fill="#fff", text_anchor="middle", textLength=width - 12,
            font_family="Verdana, DejaVu Sans, sans-serif", font_size=11,
        )  # fmt: skip

    drawn = svg.SVG(
        width=whole,
        height=20,
        extra={"role": "img", "aria-label": str(escape(f"{label}: {message}"))},
        elements=[
            svg.Title(text=str(escape(f"{label}: {message}"))),
            svg.Rect(width=widths[0], height=20, fill="#555"),
            svg.Rect(x=widths[0], width=widths[1], height=20, fill=colour),
            words(label, widths[0] / 2, widths[0]),
            words(message, widths[0] + widths[1] / 2, widths[1]),
        ],
    )
    return drawn.as_str() + "\n"


def records(claims: Sequence[Shown]) -> str:
    """The current records, as the published record has them: paper, latest_version, verdict and verdicts."""
    found: list[dict[str, Any]] = []
    for claim in claims:
        if claim.retracted is None:
            values = claim.record.values()
            found.append({key: values[key] for key in ("paper", "latest_version", "verdict", "verdicts")})
    return json.dumps(found, indent=1) + "\n"


def atom(book: Book, claims: Sequence[Shown], url: str, title: str) -> str:
    """The newest verdicts and retractions, newest first."""
    names = {claim.key: claim.name for claim in claims}
    events = sorted((entry for entry in book.entries if entry.key), key=lambda entry: entry.at, reverse=True)[:NEWEST]
    base = url.rstrip("/") + "/" if url else ""
    feed = ET.Element("feed", xmlns=_ATOM)
    _say(feed, "title", title)
    # A digest of the first line names the ledger, wherever its pages are.
    first = book.entries[0].digest if book.entries else "0" * 64
    _say(feed, "id", base or f"urn:sha256:{first}")
    _say(feed, "updated", events[0].at if events else "1970-01-01T00:00:00Z")
    ET.SubElement(feed, "link", href=base or "./", rel="alternate")
    ET.SubElement(feed, "link", href=f"{base}atom.xml", rel="self")
    ET.SubElement(feed, "generator", version=__version__).text = "pytest-claims"
    author = ET.SubElement(feed, "author")
    _say(author, "name", "pytest-claims")
    for entry in events:
        _entry(feed, book, entry, f"{base}claims/{names[entry.key]}.html" if entry.key else base)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(feed, encoding="unicode") + "\n"


def _entry(feed: ET.Element, book: Book, entry: Entry, href: str) -> None:
    about = book.about(entry)
    if entry.retracts:
        heading, said = f"{about['claim']}: retracted", str(about["reason"])
    else:
        measured = f" {facts.number(about['measured'], about['unit'])}" if about["measured"] is not None else ""
        heading, said = f"{about['claim']}: {about['status']}{measured}", f"{about['kind']}, {about['paper']}"
    element = ET.SubElement(feed, "entry")
    _say(element, "title", heading)
    _say(element, "id", f"urn:sha256:{entry.digest}")
    _say(element, "updated", entry.at)
    ET.SubElement(element, "link", href=href)
    _say(element, "summary", said)


def _say(parent: ET.Element, tag: str, said: str) -> None:
    ET.SubElement(parent, tag).text = text.line(said)
