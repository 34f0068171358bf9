"""The public pages of a ledger in a real browser, headless Chromium: `tox -e browser`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import __main__
from pytest_claims.ledger import retract
from tests.browser.test_html import WIDTHS, Tab, axe
from tests.browser.test_html import driver as driver
from tests.ledger.books import record, write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """The pages of a ledger with a history, a retraction in it, and a claim whose newest verdict was retracted."""
    path = tmp_path / "ledger.jsonl"
    numbers = ((40.0, "partial"), (20.0, "fail"), (42.9, "pass"))
    write(path, *(record(status=status, measured=measured, n=n) for n, (measured, status) in enumerate(numbers, 1)))
    write(path, record("gone", "fail", 12.0, n=9))
    retract(path, f"{2:032x}", "greedy decoding, 20 images and no prompt")
    retract(path, f"{9:032x}", "the wrong split")
    assert __main__.main(["site", str(path), str(tmp_path / "out")]) == 0
    return tmp_path / "out"


def test_the_pages(driver: Any, pages: Path) -> None:
    """A reader gets from the list to a claim's history and back; nothing is wider than the window, logged, or inaccessible."""
    tab = Tab(driver, (pages / "index.html").as_uri())
    tab.media()
    for scheme in ("light", "dark"):
        for width in WIDTHS:
            tab.resize(width)
            tab.media(scheme=scheme)
            tab.open()
            assert tab.texts("tbody th a") == ["a-claim", "gone"]
            _sound(tab)
            tab.click("tbody th a")
            assert "greedy decoding, 20 images and no prompt" in tab.js("return document.body.innerText")
            assert tab.js("return document.querySelectorAll('.trend circle').length") == 2
            _sound(tab)
            tab.click("header a")
            assert tab.texts("h1") == ["Verdicts on paper claims"]
    assert driver.get_log("browser") == []


def _sound(tab: Tab) -> None:
    """No violation of what axe knows, and no scrolling to the side. The browser's driver may run scripts, the page may not."""
    assert tab.js("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    tab.js(axe())
    found = tab.driver.execute_async_script(
        "const done = arguments[0]; axe.run(document).then(r => done(r.violations))"
    )
    assert [(v["id"], v["impact"], [n["html"][:200] for n in v["nodes"]][:3]) for v in found] == []
