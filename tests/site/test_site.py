"""The public pages of a ledger."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import __main__
from pytest_claims.ledger import retract
from tests.ledger.books import ROOT, record, write
from tests.running import RECORD

if TYPE_CHECKING:
    from pathlib import Path

ATOM = "{http://www.w3.org/2005/Atom}"
HOSTILE = "<img src=x onerror=alert(1)>\u202e & @team"


class Page(HTMLParser):
    """The tags and links of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag, and where it leads."""
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src") and value]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of a ledger with a current claim, a retracted one, one with a hostile id, and a candidate's."""
    folder = tmp_path_factory.mktemp("site")
    path = folder / "ledger.jsonl"
    write(
        path,
        record(measured=40.0, n=1),
        record(n=2),
        record("gone", n=3),
        record(HOSTILE, n=4),
        record(kind="PRE", n=5),
    )
    retract(path, f"{3:032x}", HOSTILE)
    assert __main__.main(["site", str(path), str(folder / "out"), "--url=https://example.org/claims"]) == 0
    return folder / "out"


def test_every_link_leads_somewhere(site: Path) -> None:
    """Each link of each page leads to a file of the site or to a place on the page; no page loads or runs anything."""
    pages = sorted(site.rglob("*.html"))
    assert len(pages) == 5
    for page in pages:
        found = Page(page)
        assert not {"script", "img", "iframe", "object"} & set(found.tags)
        assert "script-src &#39;none&#39;" in page.read_text(encoding="utf-8")
        for link in found.links:
            assert link.startswith("#") or (page.parent / link).resolve().is_file(), (page, link)


def test_what_was_retracted_is_shown(site: Path) -> None:
    """A retracted verdict stands on the page of its claim with the reason, is no current record, and its badge says so."""
    page = (site / "claims/gone.html").read_text(encoding="utf-8")
    assert "Retracted." in page
    assert "&lt;img src=x" in page
    assert json.loads((site / "badges/gone.json").read_text())["message"] == "retracted"
    records: list[dict[str, Any]] = json.loads((site / "records.json").read_text())
    assert len(records) == 3
    assert all(found["verdict"]["is_current"] for found in records)


def test_the_records_have_the_published_keys(site: Path) -> None:
    """Each record of the JSON feed has the keys of the published record, in each section."""
    published = json.loads((ROOT / "tests/data/starting-record.json").read_text(encoding="utf-8"))
    for found in json.loads((site / "records.json").read_text()):
        assert list(found) == list(published)
        for section in ("paper", "latest_version", "verdict"):
            assert set(found[section]) == set(published[section]) == RECORD[section]


def test_the_feed(site: Path) -> None:
    """The Atom feed has each verdict and retraction, newest first, with what RFC 4287 asks for and addresses that exist."""
    feed = ET.parse(site / "atom.xml").getroot()  # noqa: S314 - our own
    for tag in ("id", "title", "updated"):
        assert feed.findtext(ATOM + tag)
    entries = feed.findall(f"{ATOM}entry")
    assert len(entries) == 6
    times = [entry.findtext(f"{ATOM}updated") or "" for entry in entries]
    assert times == sorted(times, reverse=True)
    assert len({entry.findtext(f"{ATOM}id") for entry in entries}) == 6
    for entry in entries:
        link = entry.find(f"{ATOM}link")
        assert link is not None
        assert (site / link.attrib["href"].removeprefix("https://example.org/claims/")).is_file()


def test_badges(site: Path) -> None:
    """A badge is valid SVG of a claim's current status, without markup from the ledger."""
    for path in sorted((site / "badges").glob("*.svg")):
        tags = {element.tag.partition("}")[2] for element in ET.parse(path).iter()}  # noqa: S314 - our own
        assert tags == {"svg", "title", "rect", "text"}
    assert "pass 43.00 / 43.7" in (site / "badges/a-claim.svg").read_text()
    shields = json.loads((site / "badges/a-claim-pre.json").read_text())
    assert set(shields) == {"schemaVersion", "label", "message", "color"}
    assert re.fullmatch("#[0-9a-f]{6}", shields["color"])


def test_a_folder_with_something_else(site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder with other files is not touched; one that the command made is replaced: the same ledger, the same bytes."""
    ledger = str(site.parent / "ledger.jsonl")
    (tmp_path / "mine.txt").write_text("mine")
    assert __main__.main(["site", ledger, str(tmp_path)]) == 2
    assert "holds something that this command did not write" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    before = {path: path.read_bytes() for path in site.rglob("*") if path.is_file()}
    assert __main__.main(["site", ledger, str(site), "--url=https://example.org/claims"]) == 0
    assert {path: path.read_bytes() for path in site.rglob("*") if path.is_file()} == before
