"""The HTML report in a real browser, headless Chromium: `tox -e browser`."""

from __future__ import annotations

import base64
import io
import os
import shutil
from importlib import metadata, util
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims.reports import html
from tests.pages import gallery, record, session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGES = 230
"""In the gallery: five pages, the last one short, and three blocks of thumbnails."""

WIDTHS = (360, 800, 1280)


def missing() -> str:
    """What this machine lacks for these tests; empty if nothing."""
    for package in ("selenium", "axe_playwright_python"):
        if util.find_spec(package) is None:
            return f"{package} is not installed; `tox -e browser` installs it"
    if not (browser() and shutil.which("chromedriver")):
        return "there is no Chromium with its driver; Debian has them as chromium and chromium-driver"
    return ""


def browser() -> str | None:
    """The path of a Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None)


def axe() -> str:
    """The script of axe-core, out of a package that ships it; the package itself, which is for playwright, is not imported."""
    (file,) = (file for file in metadata.files("axe-playwright-python") or [] if file.name == "axe.min.js")
    return file.read_text()


class Tab:
    """The page in a browser.

    Args:
        driver: of the browser.
        url: of the page.
    """

    def __init__(self, driver: Any, url: str) -> None:
        self.driver = driver
        self.url = url

    def open(self, fragment: str = "") -> None:
        """Load the page anew."""
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(self.url + fragment)

    def js(self, script: str, *args: Any) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script, *args)

    def texts(self, selector: str) -> list[str]:
        """The texts of the visible elements."""
        found: list[str] = self.js(
            "return [...document.querySelectorAll(arguments[0])].filter(e => e.checkVisibility()).map(e => e.textContent)",
            selector,
        )
        return found

    def names(self) -> list[str]:
        """The claims that the table shows, in its order."""
        return self.texts("#_rows th a")

    def click(self, selector: str) -> None:
        """Click the first element, as a user does: it must be there to be clicked."""
        node = self.driver.find_element("css selector", selector)
        self.js("arguments[0].scrollIntoView({block: 'center'})", node)
        node.click()

    def type(self, selector: str, keys: str) -> None:
        """Type into the first element."""
        self.driver.find_element("css selector", selector).send_keys(keys)

    def choose(self, selector: str, value: str) -> None:
        """Choose in a menu."""
        from selenium.webdriver.support.select import Select

        Select(self.driver.find_element("css selector", selector)).select_by_value(value)

    def wait(self, condition: str) -> None:
        """Until a script's expression is true."""
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(self.driver, 20, 0.02).until(lambda _: self.js(f"return !!({condition})"), condition)

    def resize(self, width: int, height: int = 900) -> None:
        """Give the window a size in CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def media(self, media: str = "", scheme: str = "light") -> None:
        """Give the system a colour scheme, or print."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})

    def gallery(self, claim: str = "a-claim") -> None:
        """Open a claim's gallery."""
        self.click(f"[id='{claim}'] .gallery > summary")
        self.wait("document.querySelector('.gallery[open] .images li')")


def jpeg(number: int) -> str:
    """A small picture as a `data:` address."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (160, 100), (number % 256, 90, 160)).save(file, "JPEG")
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    """A browser, once for all tests."""
    if reason := missing():
        if os.environ.get("PYTEST_CLAIMS_BROWSER"):  # who asked for these tests is not served by skipping them
            pytest.fail(reason)
        pytest.skip(reason)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = browser() or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield found
    found.quit()


@pytest.fixture
def tab(driver: Any, tmp_path: Path) -> Iterator[Tab]:
    """The page, open; afterwards it must have logged nothing and asked the network for nothing."""
    records = [
        record("a-claim"),
        record("b-claim", "fail", measured=20.0, difference=-23.7, paper={"title": "Another paper"}),
        record(
            "c-claim",
            "partial",
            measured=47.0,
            difference=3.3,
            citation={"reported_metric": "trainable_parameters"},
            counts={"language_projection_of_a_long_name": 11_135_332_352, "vision_model": 985_952_256},
        ),
        *(record(f"d-{i}", "not_attempted") for i in range(3)),
    ]
    shown = gallery(IMAGES, thumbnails=[jpeg(i) for i in range(IMAGES)])
    galleries = {"claims/x.yaml::a-claim": shown, "claims/x.yaml::c-claim": shown}
    path = tmp_path / "verdicts.html"
    path.write_text(html.render(session(), records, galleries), encoding="utf-8")
    found = Tab(driver, path.as_uri())
    found.resize(1280)
    found.media()
    found.open()
    yield found
    assert driver.get_log("browser") == []
    asked = [
        entry["message"] for entry in driver.get_log("performance") if "Network.requestWillBeSent" in entry["message"]
    ]
    assert not [message for message in asked if '"url":"http' in message or '"url":"ws' in message]


# --- the table -------------------------------------------------------------------------------------------------------


def test_sorting(tab: Tab) -> None:
    """A heading sorts by its column, and the other way round when it is pressed again; the menu and aria-sort say so."""
    tab.click("th button[data-sort=measured]")
    assert tab.names() == ["b-claim", "a-claim", "c-claim"]
    assert tab.js("return document.querySelector('th[aria-sort]').getAttribute('aria-sort')") == "ascending"
    tab.click("th button[data-sort=measured]")
    assert tab.names() == ["c-claim", "a-claim", "b-claim"]
    assert tab.js("return document.getElementById('_sort').value") == "measured"
    tab.choose("#_sort", "difference")
    assert tab.names() == ["a-claim", "c-claim", "b-claim"]
    tab.choose("#_sort", "status")
    assert tab.names() == ["b-claim", "c-claim", "a-claim"]
    tab.choose("#_sort", "")
    assert tab.names() == ["a-claim", "b-claim", "c-claim"]


def test_filtering(tab: Tab) -> None:
    """Status, paper, metric and text filter together, the folded claims too, and the page says how many are left."""
    tab.click(".counts .fail")
    assert tab.names() == ["b-claim"]
    assert tab.texts("#_shown") == ["1 of 6 claims shown."]
    assert tab.texts("#_folded tr") == []
    tab.click(".counts .fail")
    tab.choose("#_metric", "trainable_parameters")
    assert tab.names() == ["c-claim"]
    tab.choose("#_metric", "")
    tab.choose("#_paper", "Another paper")
    assert tab.names() == ["b-claim"]
    tab.choose("#_paper", "")
    tab.type("#_text", "d-1")
    assert tab.names() == []
    assert len(tab.texts("#_folded tr")) == 1
    assert tab.texts("#_shown") == ["1 of 6 claims shown."]


# --- galleries -------------------------------------------------------------------------------------------------------


def test_paging(tab: Tab) -> None:
    """A gallery shows 50 images a page, from the lowest score up, and its buttons turn the pages."""
    tab.gallery()
    where = "[id='a-claim'] .where"
    assert tab.texts(where) == ["Images 1 to 50 of 230"]
    assert tab.texts("[id='a-claim'] .images .head a")[:2] == ["image-0", "image-1"]
    for _ in range(4):
        tab.click("[id='a-claim'] .next")
    assert tab.texts(where) == ["Images 201 to 230 of 230"]
    assert len(tab.texts("[id='a-claim'] .images > li")) == 30
    assert tab.js("return document.querySelector('.next').disabled")
    tab.choose("[id='a-claim'] .order", "high")
    assert tab.texts("[id='a-claim'] .images .head a")[0] == "image-229"
    assert tab.js(
        "return [...document.querySelectorAll('.images img')].every(i => i.decode && i.src.startsWith('data:'))"
    )
    tab.wait("[...document.querySelectorAll('.images img')].every(i => i.complete && i.naturalWidth === 160)")


def test_searching_and_marks(tab: Tab) -> None:
    """The search looks at captions, references and ids; words that a reference has are marked by the longest n-gram."""
    tab.gallery()
    tab.type("[id='a-claim'] .query", "number 123 sits")
    assert tab.texts("[id='a-claim'] .where") == ["Images 1 to 1 of 1 (230 in all)"]
    marks = tab.js("return [...document.querySelectorAll('.images mark')].map(m => [m.className, m.textContent])")
    assert marks == [["n1", "A"], ["n4", "small"], ["n4", "dog"], ["n4", "number"], ["n4", "123"]]
    assert tab.texts("[id='a-claim'] .images .caption") == ["A small dog number 123 runs."]
    tab.type("[id='a-claim'] .query", " nowhere")
    assert tab.texts("[id='a-claim'] .where") == ["No image fits the filters."]


def test_the_histogram_filters(tab: Tab) -> None:
    """A bar filters by its scores, pressed with the mouse or the keyboard, and says whether it is pressed."""
    tab.gallery()
    first = "[id='a-claim'] [data-bar='0']"
    label = tab.js("return document.querySelector(arguments[0]).getAttribute('aria-label')", first)
    assert label == "0 to 5: 12 images"
    tab.click(first)
    assert tab.texts("[id='a-claim'] .where") == ["Images 1 to 12 of 12 (230 in all)"]
    tab.type("[id='a-claim'] [data-bar='19']", " ")
    assert tab.texts("[id='a-claim'] .where") == ["Images 1 to 24 of 24 (230 in all)"]
    tab.type(first, "\n")
    assert tab.js("return document.querySelector(arguments[0]).getAttribute('aria-pressed')", first) == "false"
    assert tab.texts("[id='a-claim'] .where") == ["Images 1 to 12 of 12 (230 in all)"]
    counts = tab.js(
        "return [...document.querySelectorAll('[id=\"a-claim\"] [data-bar]')].map(b => parseInt(b.ariaLabel.split(': ')[1]))"
    )
    assert sum(counts) == IMAGES


def test_a_link_to_an_image(tab: Tab) -> None:
    """A link to one image opens its claim's gallery at its page, in view and focused; a filter is no obstacle."""
    tab.open("#c-claim/image-123")
    tab.wait("document.querySelector('[id=\"c-claim\"] .linked')")
    assert tab.texts("[id='c-claim'] .linked .head a") == ["image-123"]
    assert tab.texts("[id='c-claim'] .where") == ["Images 101 to 150 of 230"]
    assert tab.js("return document.activeElement.className") == "linked"
    box = tab.js("const b = document.activeElement.getBoundingClientRect(); return [b.top, b.bottom, innerHeight]")
    assert 0 <= box[0] < box[1] <= box[2]
    tab.type("[id='c-claim'] .query", "number 5")
    tab.js("location.hash = '#c-claim/image-200'")
    tab.wait("document.querySelector('.linked .head a')?.textContent === 'image-200'")
    tab.js("location.hash = '#c-claim/no-such-image'")
    tab.js("location.hash = '#nothing/%E0%A4%A'")


def test_a_link_to_a_folded_claim(tab: Tab) -> None:
    """A link to a claim that is folded away unfolds it."""
    tab.open("#d-2")
    assert any("d-2" in text for text in tab.texts("#_folded li"))


# --- how it looks ----------------------------------------------------------------------------------------------------


def background(tab: Tab) -> str:
    """The page's colour."""
    found: str = tab.js("return getComputedStyle(document.body).backgroundColor")
    return found


def test_light_and_dark(tab: Tab) -> None:
    """The page follows the system's scheme, and the button overrides it."""
    light = background(tab)
    tab.media(scheme="dark")
    dark = background(tab)
    assert light == "rgb(255, 255, 255)"
    assert dark != light
    tab.click("#_theme")
    assert (background(tab), tab.texts("#_theme")) == (light, ["Theme: light"])
    tab.media(scheme="light")
    tab.click("#_theme")
    assert (background(tab), tab.texts("#_theme")) == (dark, ["Theme: dark"])
    tab.click("#_theme")
    assert (background(tab), tab.texts("#_theme")) == (light, ["Theme: system"])


@pytest.mark.parametrize("width", WIDTHS)
def test_no_sideways_scrolling(tab: Tab, width: int) -> None:
    """The page with an open gallery fits its window, a phone's too."""
    tab.gallery()
    tab.resize(width)
    tab.wait(f"document.documentElement.clientWidth === {width}")
    assert tab.js("return document.documentElement.scrollWidth") <= width


def test_print(tab: Tab) -> None:
    """On paper the page is light, without controls, with what was folded unfolded; and it prints."""
    tab.media(media="print", scheme="dark")
    assert background(tab) == "rgb(255, 255, 255)"
    assert tab.texts(".controls, #_theme, .pager button") == []
    assert len(tab.names()) == 3
    tab.resize(700)  # about the width of a sheet: the table stays a table, with its headings
    assert "Reported" in " ".join(tab.texts(".claims thead"))
    assert tab.js("return getComputedStyle(document.querySelector('.claims tbody tr')).display") == "table-row"
    printed = base64.b64decode(tab.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert printed.startswith(b"%PDF")
    tab.js("dispatchEvent(new Event('beforeprint'))")
    assert len(tab.texts("#_folded li")) == 3
    tab.js("dispatchEvent(new Event('afterprint'))")
    assert tab.texts("#_folded li") == []


# --- without a mouse, without eyes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe(tab: Tab, width: int, scheme: str) -> None:
    """axe-core finds nothing, in the page and in an open gallery."""
    tab.resize(width)
    tab.media(scheme=scheme)
    tab.gallery()
    tab.js(axe())
    found = tab.driver.execute_async_script(
        "const done = arguments[0]; axe.run(document).then(r => done(r.violations))"
    )
    assert [(v["id"], v["impact"], [n["html"][:200] for n in v["nodes"]][:3]) for v in found] == []


def test_with_the_keyboard(tab: Tab) -> None:
    """The first press of Tab offers to skip to the claims; each control can be reached and has a name."""
    from selenium.webdriver.common.keys import Keys

    tab.type("body", Keys.TAB)
    assert tab.js("return document.activeElement.textContent") == "Skip to the claims"
    reached = set()
    for _ in range(40):
        tab.driver.switch_to.active_element.send_keys(Keys.TAB)
        reached.add(tab.js("return document.activeElement.id || document.activeElement.textContent.trim()"))
    assert {"_theme", "_text", "_paper", "_metric", "_sort", "Measured", "a-claim"} <= reached


def test_markup_is_refused(tab: Tab) -> None:
    """The browser itself refuses to make nodes from text in this page, and to run a script that was added."""
    assert (
        tab.js("try { document.body.innerHTML = '<b>x</b>'; return 'made' } catch (error) { return error.name }")
        == "TypeError"
    )
    tab.driver.get_log("browser")  # it says so
