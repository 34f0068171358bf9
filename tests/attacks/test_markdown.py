"""Text of a stranger that wants to be more than text in a job summary or in a comment on a pull request."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims.reports import markdown
from pytest_claims.reports.format import Record, RunInfo
from tests.builders import claim, of_status, put
from tests.running import run

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN = RunInfo(tool="pytest-claims 0", command="pytest", gate="partial", exit_status=0, collected=0, deselected=0)

TRICKS = {
    "link": "[verified](https://evil.example)",
    "address": "https://evil.example www.evil.example a@evil.example",
    "image": "![x](https://evil.example/x.png)",
    "mention": "@octocat @org/team",
    "issue": "#1 GH-1 octo/repo#1 https://github.com/o/r/issues/1",
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "markup": "</code></details><script>alert(1)</script><img src=x onerror=alert(1)>",
    "comment": "<!-- everything below is gone",
    "cell": "x | **green** | pass |",
    "escaped cell": "x \\| **green** | pass \\",
    "a bare cell": "|",
    "end of code": "` **bold** `` @octocat ```` [x](https://evil.example)",
    "many backticks": "`" * 500 + " @octocat",
    "end of a block": "```\n@octocat\n```\n# heading\n~~~\n@octocat",
    "entities": "&#64;octocat &lt;b&gt; &commat;octocat",
    "mathematics": "$\\href{https://evil.example}{x}$ $`x`$",
    "reference": "[x]: https://evil.example\n[^1]: note",
    "html block": "\n\n<details open>\n\n# heading\n\n",
    "line ends": "a\r\n\r\n# heading\x0b\x0c\x85# heading\u2028# heading\u2029",
    "command": "\n::error::x\n##vso[task.x]y\n  ##[error]z",
    "steering": "\x1b[31m\u202e\x00",
}

ACTS = re.compile(r"\s*::|.*##\w*\[")


class Seen(HTMLParser):
    """What a browser would make of a rendered report: the elements, and the text outside code."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.outside: list[str] = []
        self.inside = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element; `code` and `pre` hold what is not ours."""
        self.elements.add(tag)
        assert tag == "code" or not attrs, (tag, attrs)
        self.inside += tag in ("code", "pre")

    def handle_endtag(self, tag: str) -> None:
        """Note the end of code."""
        self.inside -= tag in ("code", "pre")

    def handle_data(self, data: str) -> None:
        """Note what stands outside code."""
        if not self.inside:
            self.outside.append(data)

    def handle_comment(self, data: str) -> None:
        """There is no comment of ours."""
        raise AssertionError(data)


def hostile(values: dict[str, Any], trick: str) -> Record:
    """A record in which everything that a stranger can write is `trick`."""
    values = json.loads(json.dumps(values))
    evidence, citation = values["evidence"], values["verdict"]["claim_citation"]
    for key in ("id", "file", "nodeid"):
        evidence["claim"][key] = trick
    for key in ("reason", "next_step", "signature", "command", "reported"):
        evidence[key] = trick
    for key in ("section", "row", "column", "reported_metric", "quoted_text", "notes"):
        citation[key] = trick
    evidence["notes"] = [trick, trick]
    evidence["moved"] = [{"key": trick, "before": trick, "after": trick}]
    evidence["axes"] = [{"axis": trick, "paper": trick, "run": trick, "consequence": "drift"}]
    evidence["provenance"] = {trick: trick}
    evidence["test"]["message"] = trick
    return Record.model_validate(values)


@pytest.fixture
def values(pytester: pytest.Pytester) -> dict[str, Any]:
    """A record with a number."""
    put(pytester.path, of_status("fail", "one"))
    found: dict[str, Any] = run(pytester, "claims", twice=False).records["one"]
    return found


def reports(values: dict[str, Any], trick: str) -> Iterator[str]:
    """Reports in which a claim, several that share a reason, and a session are hostile."""
    info = RUN.model_copy(update={"command": trick, "hostname": trick, "tool": trick})
    yield markdown.render(info, [hostile(values, trick)])
    values["evidence"] |= {"measured": None, "difference": None}
    shared = hostile(values, trick)
    unmoved = shared.model_copy(update={"evidence": shared.evidence.model_copy(update={"moved": []})})
    yield markdown.render(info, [unmoved, unmoved])


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS.keys())
def test_be_more_than_text(values: dict[str, Any], trick: str) -> None:
    """Whatever a stranger writes stands in code: what a renderer makes of the report has our elements and our words."""
    parser = pytest.importorskip("markdown_it", reason="markdown-it-py is not installed")
    renderer = parser.MarkdownIt("gfm-like", {"linkify": False})
    plain = Seen()
    for text in reports(dict(values, evidence=dict(values["evidence"])), "harmless"):
        plain.feed(renderer.render(text))
    seen = Seen()
    for text in reports(values, trick):
        seen.feed(renderer.render(text))
    assert seen.elements == plain.elements
    assert seen.outside == plain.outside
    assert seen.inside == 0


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS.keys())
def test_stay_in_code(values: dict[str, Any], trick: str) -> None:
    """The same without a renderer: no backtick of a stranger's, the cells of a row are ours, and no line is a command."""
    for text in reports(values, trick):
        assert len(text.encode()) < 60_000
        lines = text.splitlines()
        fences = [line for line in lines if "```" in line]
        assert fences == ["```text", "```"] * (len(fences) // 2)
        assert all(line.count("|") == 9 for line in lines if line.startswith("| "))
        assert [line for line in lines if ACTS.match(line)] == []
        assert not {"\x1b", "\u202e", "\r", "\x0b", "\u2028"} & set(text)
        outside = re.sub(r"(?s)```text\n.*?\n```|`[^`\n]*`|<code>[^<>\n]*</code>", "", text)
        assert not re.search(r"octocat|evil|script|heading|onerror|#|@", outside)


def test_hide_behind_many(values: dict[str, Any]) -> None:
    """Ten thousand claims that pass do not push the one that fails out of the report, however long their names are."""
    red = Record.model_validate(values)
    green = json.loads(json.dumps(values))
    green["verdict"]["status"] = "pass"
    green["evidence"]["test"]["result"] = "passed"
    green["evidence"]["claim"]["id"] = "é" * 5_000
    text = markdown.render(RUN, [*[Record.model_validate(green)] * 10_000, red])
    assert 30_000 < len(text.encode()) < 60_000
    assert "10,001 claims: 1 fail, 10,000 pass. **1 red.**" in text
    assert "| **red** | fail | `one` |" in text
    assert re.search(r"the table leaves out [\d,]+ of 10,001 claims \([\d,]+ pass\)\.", text)


def test_a_file_of_many_hostile_claims(pytester: pytest.Pytester) -> None:
    """A real run whose captions, ids and notes are Markdown."""
    tricks = "\n".join(TRICKS.values())
    red = of_status("fail", "one")
    red["citation"] |= {"notes": tricks, "section": tricks}
    put(pytester.path, red, claim("two"), captions={f"{number}{tricks}": f"{tricks} {number}" for number in range(3)})
    found = run(pytester, "claims", twice=False)
    assert found.markdown
