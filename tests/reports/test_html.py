"""The HTML report as a text: what it holds, that hostile texts are inert in it, and that plots are true to the numbers."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import reports, settings
from pytest_claims.errors import SettingsError
from pytest_claims.reports import html
from pytest_claims.reports.html import embed, origin, plots, view
from tests.builders import of_status, put
from tests.pages import BLEU, comparison, gallery, record, session
from tests.running import plain

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_claims.reports.format import Gallery, Record

VOID = {"meta", "link", "br", "wbr", "input", "img", "hr"}

HOSTILE = (
    "</script></style><script>alert(1)</script><img src=x onerror=alert(1)>"
    "\"'`${1}&amp;--><!--\u2028\u202e\x1b[31m{{ 7*7 }}"
)
"""A text that would run, break out of its element or attribute, or be expanded, if anything let it."""


class Page(HTMLParser):
    """A parsed page: tags, attributes, and the text of each script and style.

    Args:
        source: the page.
    """

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.raw: list[tuple[dict[str, str | None], str, str]] = []
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag; each but the void ones must be closed."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("script", "style"):
            self.raw.append((dict(attrs), tag, ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that closes itself, as in SVG."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """What is closed is what was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text of the page, or of a script or a style."""
        if self.open and self.open[-1] in ("script", "style"):
            attrs, tag, text = self.raw[-1]
            self.raw[-1] = (attrs, tag, text + data)
        else:
            self.text += data

    def blocks(self) -> dict[str, Any]:
        """The JSON blocks by id."""
        return {str(attrs["id"]): json.loads(text) for attrs, _, text in self.raw if "id" in attrs}


def page(*records: Record, galleries: dict[str, Gallery] | None = None) -> Page:
    """The parsed page of `records`; galleries by claim id."""
    by_nodeid = {f"claims/x.yaml::{name}": shown for name, shown in (galleries or {}).items()}
    found = Page(html.render(session(), records, by_nodeid))
    assert found.open == []
    return found


def hostile() -> tuple[Record, Gallery]:
    """A record and a gallery each text of which is hostile."""
    bad = record(
        HOSTILE,
        "fail",
        citation=dict.fromkeys(("section", "row", "column", "quoted_text", "notes", "reported_metric"), HOSTILE),
        paper={"title": HOSTILE, "venue": HOSTILE},
        reason=HOSTILE,
        next_step=HOSTILE,
        reported=HOSTILE,
        axes=[{"axis": HOSTILE, "paper": HOSTILE, "run": HOSTILE, "consequence": "drift"}],
        moved=[{"key": HOSTILE, "before": HOSTILE, "after": HOSTILE}],
        needs=[{"what": HOSTILE, "found": HOSTILE}],
        counts={HOSTILE: HOSTILE},
        provenance={HOSTILE: HOSTILE},
        notes=[HOSTILE],
        command=HOSTILE,
        signature=HOSTILE,
        comparison=comparison(
            reason=HOSTILE,
            next_step=HOSTILE,
            made=HOSTILE,
            losses=[
                {
                    "id": HOSTILE,
                    "reference": HOSTILE,
                    "candidate": HOSTILE,
                    "reference_score": 1.0,
                    "candidate_score": 0.0,
                }
            ],
            settings=[dict.fromkeys(("what", "key", "reference", "candidate"), HOSTILE)],
            notes=[HOSTILE],
        ),
    )
    shown = gallery(
        1, ids=[HOSTILE], outputs=[HOSTILE], references=[[HOSTILE]], thumbnails=[f"data:image/png;base64,{HOSTILE}"]
    )
    return bad, shown


def test_hostile_texts_are_inert() -> None:
    """Whatever texts say, the page has the scripts, handlers and addresses that it has without them, and no others."""
    bad, shown = hostile()
    found = page(bad, record("folded", "not_attempted", reason=HOSTILE), galleries={HOSTILE: shown})
    assert len([tag for tag, _ in found.tags if tag == "img"]) == 0
    assert [attrs.get("type") for attrs, tag, _ in found.raw if tag == "script"] == [None, *["application/json"] * 2]
    for tag, attrs in found.tags:
        assert not [name for name in attrs if name.startswith("on") or name in ("src", "style")], tag
        assert (attrs.get("href") or "#").startswith("#")
    # Shown as it is, but for what text.clean replaces; and never taken for a template.
    assert "<script>alert(1)</script>" in found.text
    assert "{{ 7*7 }}" in found.text
    assert not {"\u2028", "\u202e", "\x1b"} & set(found.text)


def test_hostile_texts_in_the_blocks() -> None:
    """A block of JSON has no character that ends a script, and gives the texts back; what is no picture is dropped."""
    bad, shown = hostile()
    found = page(bad, galleries={HOSTILE: shown})
    for _, text in [(attrs, text) for attrs, _, text in found.raw if "id" in attrs]:
        assert text.isascii()
        assert not set("<>&") & set(text)
    texts = found.blocks()["_texts-0"]
    assert texts["outputs"] == [
        HOSTILE.replace("\u2028", "\ufffd").replace("\u202e", "\ufffd").replace("\x1b", "\ufffd")
    ]
    assert "_thumbnails-0-0" not in found.blocks()


@pytest.mark.parametrize(
    "address",
    ["https://example.org/x.png", "javascript:alert(1)", "data:text/html;base64,PGI+", "data:image/svg+xml;base64,PGI+",
     "data:image/png;base64,AA==\n", "data:image/png,<svg>"],
)  # fmt: skip
def test_only_pictures_are_thumbnails(address: str) -> None:
    """A thumbnail is a `data:` address of a picture of pixels; another one is left out, and the images keep their places."""
    good = gallery(2).thumbnails[0]
    found = page(record(), galleries={"a-claim": gallery(2, thumbnails=[address, good])})
    assert found.blocks()["_thumbnails-0-0"] == ["", good]


def test_the_policy() -> None:
    """Nothing may be loaded but `data:` images; the script and the style are those whose hashes the policy names."""
    found = page(record())
    (policy,) = [str(a["content"]) for tag, a in found.tags if tag == "meta" and "http-equiv" in a]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for attrs, tag, text in found.raw:
        if "type" not in attrs:
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    assert rules.keys() == {
        "default-src", "img-src", "script-src", "style-src", "base-uri", "form-action", "require-trusted-types-for",
        "trusted-types",
    }  # fmt: skip
    assert not {tag for tag, _ in found.tags} & {"link", "iframe", "object", "embed", "form", "base"}


def test_the_same_bytes() -> None:
    """The same records and galleries give the same bytes, in another process with another hash seed too."""
    program = (
        "import sys; from tests.pages import *; from pytest_claims.reports import html; "
        "records = [record(), record('b', 'not_attempted')]; "
        "page = html.render(session(), records, {'claims/x.yaml::a-claim': gallery(150)}); "
        "sys.stdout.buffer.write(page.encode())"
    )
    pages = [
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            check=True,
            env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]
    assert pages[0] == pages[1]
    assert pages[0].startswith(b"<!doctype html>")


def test_what_was_asked_and_answered() -> None:
    """The top names the command, the gate and its answer, and the counts by status."""
    records = [record("a"), record("b", "fail"), record("c", "not_attempted")]
    found = Page(html.render(session(command="pytest 'claims/<x>'", exit_status=1), records))
    assert "pytest 'claims/<x>'" in found.text
    assert "The gate “partial” is red: 1 of 3 does not clear it. 2 of 3 claims were attempted." in found.text
    assert re.findall(r"(\d) (pass|fail|not attempted)\n", found.text) == [
        ("1", "pass"),
        ("1", "fail"),
        ("1", "not attempted"),
    ]


def test_red_for_another_reason() -> None:
    """A session that is red for something else than a claim is not called green."""
    said = view.answer(session(exit_status=2), [record()])
    assert said.startswith("No claim misses the gate “partial”, but the session ended with exit status 2.")
    assert view.red(session(exit_status=2), [record()])
    assert not view.red(session(), [record()])


def test_claims_that_were_not_attempted_are_folded() -> None:
    """Claims that were not attempted have one row per reason, which names each, and no sections of their own."""
    records = [record(f"c{i}", "not_attempted", reason=f"reason {i % 2}") for i in range(5)]
    found = page(record(), *records)
    assert [tag for tag, _ in found.tags].count("article") == 1
    assert re.findall(r"(\d) claims: (reason \d)", found.text) == [("3", "reason 0"), ("2", "reason 1")]
    ids = [str(attrs["id"]) for _, attrs in found.tags if "id" in attrs]
    assert {f"c{i}" for i in range(5)} <= set(ids)
    assert len(ids) == len(set(ids))


def test_deviations_come_first() -> None:
    """A section lists the axes with the worst consequence first."""
    (shown,) = view.claims([record()], {})
    assert [axis.consequence for axis in shown.axes] == ["drift", "proxy", "none"]


@pytest.mark.parametrize(
    ("command", "refute"),
    [
        ("pytest x::a '--claims-set=prompt=a b'", "pytest x::a '--claims-set=prompt=a b' --claims-evidence=fresh-evidence"),
        ("pytest x::a --claims-evidence=e --claims-replay", "pytest x::a --claims-evidence=fresh-evidence"),
        ("pytest x::a --claims-model=m=c", "pytest x::a --claims-model=m=c --claims-compare --claims-evidence=fresh-evidence"),
    ],
)  # fmt: skip
def test_the_commands(command: str, refute: str) -> None:
    """The reproducing command is the record's; the refuting one uses no earlier evidence, and makes that of a reference."""
    (shown,) = view.claims([record(command=command)], {})
    assert (shown.reproduce, shown.refute) == (command, refute)


def test_anchors() -> None:
    """A claim's id is its anchor; ids that would be equal, or one of the page's own, get others."""
    found = page(record("x"), record("x"), record("_rows"), record("é/ "), record("x-2"))
    assert [str(a["id"]) for tag, a in found.tags if tag == "article"] == ["x", "x-2", "rows", "-", "x-2-2"]
    ids = [str(attrs["id"]) for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


# --- where a number comes from ---------------------------------------------------------------------------------------


def test_origin_of_bleu() -> None:
    """BLEU's precisions, lengths and brevity penalty are shown, and give the value: √(0.9 · 0.7778) · exp(1 − 110/100)."""
    found = origin.of(record())
    assert found is not None
    assert [row[-1] for row in found.rows] == ["0.9000", "0.7778"]
    assert "brevity penalty is 0.9048" in found.says
    assert found.says.endswith("gives 0.7570.")


@pytest.mark.parametrize(
    ("metric", "counts", "rows"),
    [
        ("cider", {"sum": 12.5, "images": 10}, [("12.5000", "10", "1.2500")]),
        ("trainable_parameters", {"a": 1000, "b": 2}, [("a", "1,000", "no"), ("b", "2", "yes")]),
        ("bleu2", {"matches": "many"}, [("matches", "many")]),
        ("bleu2", {**BLEU, "matches": [0, 0], "totals": [0, 0]}, [("1", "0", "0", "0.0000"), ("2", "0", "0", "0.0000")]),
        ("other", {"x": [1, None]}, [("x", "[1, null]")]),
    ],
)  # fmt: skip
def test_origins(metric: str, counts: dict[str, Any], rows: list[tuple[str, ...]]) -> None:
    """Means show sum and images, parameter counts their parts and which count; what is not ours is listed as it is."""
    found = origin.of(record(citation={"reported_metric": metric}, counts=counts, provenance={"trainable": "b + c"}))
    assert found is not None
    assert list(map(tuple, found.rows)) == rows


# --- plots -----------------------------------------------------------------------------------------------------------


def drawn(svg: str, class_: str) -> list[dict[str, float]]:
    """The numbers of the elements of a class."""
    found = re.findall(rf'<\w+ [^>]*class="{class_}"[^>]*/>', svg)
    return [{name: float(value) for name, value in re.findall(r'(\w+)="(-?[\d.]+)"', element)} for element in found]


@pytest.mark.parametrize("draw", [plots.bands, plots.bands_with_axis])
@pytest.mark.parametrize("measured", [43.1, 43.7, 10.0, 80.0])
def test_markers_stand_where_the_numbers_are(draw: Any, measured: float) -> None:
    """All of a plot is on one linear axis: distances between marks are as the differences of the numbers."""
    evidence = record(measured=measured).evidence
    svg = str(draw(43.7, evidence, 0))
    (reported,), (dot,) = drawn(svg, "reported"), drawn(svg, "measured")
    (inner,), (outer,) = drawn(svg, "band-pass"), drawn(svg, "band-partial")
    (line, *_) = drawn(svg, "interval")
    unit = outer["width"] / (2 * 4.42)
    assert inner["width"] / unit == pytest.approx(2 * 1.05, abs=0.02 / unit)
    assert (dot["cx"] - reported["x1"]) / unit == pytest.approx(measured - 43.7, abs=0.02 / unit)
    assert (line["x1"] - reported["x1"]) / unit == pytest.approx(40.1 - 43.7, abs=0.02 / unit)
    assert (line["x2"] - reported["x1"]) / unit == pytest.approx(46.2 - 43.7, abs=0.02 / unit)
    assert inner["x"] + inner["width"] / 2 == pytest.approx(reported["x1"], abs=0.02)


@pytest.mark.parametrize(
    ("direction", "open_", "said"), [("at_least", "right", "from 42.65"), ("at_most", "left", "up to 44.75")]
)
def test_bands_with_one_side(direction: str, open_: str, said: str) -> None:
    """A band with one side reaches to the end of the plot on the other."""
    tolerance = {"pass": 1.05, "partial": 4.42, "direction": direction, "min_sample": 100, "breadth": None}
    svg = str(plots.bands(43.7, record(tolerance=tolerance).evidence, 0))
    for band in drawn(svg, "band-(?:pass|partial)"):
        end = band["x"] + band["width"] if open_ == "right" else plots.SMALL - band["x"]
        assert end == pytest.approx(plots.SMALL - plots.MARGIN)
    assert f"Pass band {said}." in svg


def test_a_plot_has_words() -> None:
    """A plot is an image with a title and a description that says each number."""
    svg = str(plots.bands(43.7, record().evidence, 5))
    assert 'role="img" aria-labelledby="_bands-5-t" aria-describedby="_bands-5-d"' in svg
    said = "Reported 43.7. Measured 43.10, 95 % interval 40.10 to 46.20. Pass band 42.65 to 44.75. Partial band 39.28 to 48.12."
    assert f'<desc id="_bands-5-d">{said}</desc>' in svg


@pytest.mark.parametrize(
    "scores", [[0.0], [0.0, 1.0], [1.0] * 5, [0.05 * i for i in range(21)], [-2.5, 0.1], [123.4, 9.9]]
)
def test_every_score_is_in_a_bar(scores: list[float]) -> None:
    """Each image is counted once, in the bar whose ends its score lies between."""
    counted = embed.histogram(scores)
    assert counted is not None
    assert sum(counted.counts) == len(scores)
    for bar, count in enumerate(counted.counts):
        low, high = counted.edges(bar)
        assert count <= sum(low - 1e-9 <= score <= high + 1e-9 for score in scores)


def test_scores_that_are_no_numbers() -> None:
    """An image without a score is in no bar and stays in the gallery; without any score there is no histogram."""
    found = page(record(), galleries={"a-claim": gallery(3, scores=[0.5, float("nan"), float("inf")])})
    assert found.blocks()["_scores-0"]["scores"] == [50.0, None, None]
    assert sum(attrs.get("data-bar") is not None for _, attrs in found.tags) == 1
    assert embed.histogram([None]) is None


# --- galleries -------------------------------------------------------------------------------------------------------


def test_one_evidence_is_embedded_once() -> None:
    """Claims of one evidence share captions and thumbnails and have scores of their own; one that differs has its own."""
    shared = {"a": gallery(250), "b": gallery(250, scores=[0.5] * 250), "c": gallery(250, outputs=["other"] * 250)}
    found = page(record("a"), record("b"), record("c"), galleries=shared)
    pictures = [f"_thumbnails-{key}-{i}" for key in (0, 1) for i in range(3)]
    assert sorted(found.blocks()) == sorted(["_texts-0", "_texts-1", "_scores-0", "_scores-1", "_scores-2", *pictures])
    details = [attrs for tag, attrs in found.tags if tag == "details" and attrs.get("class") == "gallery"]
    assert [(a["data-key"], a["data-scores"], a["data-anchor"]) for a in details] == [
        ("0", "0", "a"), ("0", "1", "b"), ("1", "2", "c"),
    ]  # fmt: skip
    assert [len(found.blocks()[f"_thumbnails-0-{i}"]) for i in range(3)] == [100, 100, 50]


# --- the extra -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["jinja2", "svg"])
def test_without_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config, missing: str
) -> None:
    """Without what an HTML report needs, the option is refused before anything runs, with the command that helps."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find(name))
    given = {"claims_report": ["verdicts.html"]}

    def read(report: str) -> settings.Settings:
        given["claims_report"] = [report]
        return settings.read(
            lambda name: given[name] if name in given else pytestconfig.getoption(name),
            {"claims_gate": ""}.get,
            tmp_path,
        )

    with pytest.raises(SettingsError) as raised:
        read("verdicts.html")
    assert (
        str(raised.value)
        == "--claims-report=verdicts.html: an HTML report needs more: pip install 'pytest-claims[report]'"
    )
    assert read("verdicts.xml").reports == (tmp_path / "verdicts.xml",)


def test_a_folder_named_svg_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of drawings on the path does not pass for the plotting library."""
    (tmp_path / "drawings_of_mine").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not settings.installed("drawings_of_mine")
    assert not settings.installed("no_such_package_at_all")


def test_a_session_writes_it(pytester: pytest.Pytester) -> None:
    """`--claims-report=verdicts.html` writes a page with a row and a section for each claim that the session verified."""
    put(pytester.path, of_status("pass", "good"), of_status("fail", "bad"))
    plain(pytester, "claims", "--claims-report=verdicts.html")
    found = Page((pytester.path / "verdicts.html").read_text(encoding="utf-8"))
    assert [attrs["id"] for tag, attrs in found.tags if tag == "article"] == ["bad", "good"]
    assert "The gate “partial” is red: 1 of 2 does not clear it." in found.text


def test_a_file_that_cannot_be_read_has_its_place(tmp_path: Path) -> None:
    """`reports.write` writes the page; a record of a file, of which no claim is known, is shown with its problems."""
    from pytest_claims.reports.record import of_file

    broken = of_file("claims/<b>.yaml", "claims/<b>.yaml", ["line 1: no", "line 2: neither"])
    reports.write(tmp_path / "verdicts.HTML", session(), [broken])
    found = Page((tmp_path / "verdicts.HTML").read_text(encoding="utf-8"))
    assert "line 1: no\nline 2: neither" in found.text
    assert "claims/<b>.yaml" in found.text
