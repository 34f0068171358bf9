"""What the HTML report shows of a claim's history."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_claims.ledger import changes, lines, load, retract
from pytest_claims.reports import html
from pytest_claims.reports.format import RunInfo
from tests.ledger.books import record, write

if TYPE_CHECKING:
    from pathlib import Path

RUN = RunInfo(tool="t", command="pytest", gate="partial", exit_status=0, collected=1, deselected=0)


def test_the_trend(tmp_path: Path) -> None:
    """The page draws each measured value, a cross for the retracted one, and lists all with reasons; hostile text is inert."""
    path = tmp_path / "ledger.jsonl"
    write(path, record(measured=40.0, n=1), record(status="fail", measured=20.0, n=2), record(measured=42.0, n=3))
    retract(path, f"{2:032x}", "<script>alert(1)</script>")
    now = record(measured=41.0, n=4)
    key = changes.key_of(now)
    assert key is not None
    shown = changes.beside(load(path), now, key, {"claim": "d" * 64})
    assert shown.evidence.history is not None
    assert shown.evidence.history.change == "worse"
    page = html.render(RUN, [shown])
    trend = page[page.index('class="plot trend"') :].partition("</svg>")[0]
    assert trend.count("<circle") == 2
    assert "3 verdicts, from 40.00 on" in trend
    assert "1 retracted" in trend
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 2
    rows = re.findall(r'<tr role="row"><th scope="row" role="rowheader" class="whole">\d{4}-', page)
    assert len(rows) == 3
    assert '<span class="badge not_attempted">retracted</span> <span class="tag">was fail</span>' in page


def test_a_carried_verdict_is_marked(tmp_path: Path) -> None:
    """A verdict that was carried forward says so beside its status, with its date."""
    path = tmp_path / "ledger.jsonl"
    write(path, record())
    (entry,) = load(path).entries
    key = entry.key
    assert key is not None
    shown = changes.beside(load(path), record(), key, None, carried=entry.at)
    assert f'<span class="tag">carried from {entry.at[:10]}</span>' in html.render(RUN, [shown])
    assert lines.key_of(load(path).about(entry)) == key
