"""Runs pytest on claim files, and holds every report that comes out against what must always be true of reports."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np  # noqa: F401 - pytester drops what an inner run imports, and numpy cannot be loaded twice
import xmlschema

import pytest_claims.bar
import pytest_claims.bench
import pytest_claims.counting.counter  # inner runs share the process that counts
import pytest_claims.evaluation.predictions  # inner runs share the modules that tests patch
import pytest_claims.items
import pytest_claims.metrics
import pytest_claims.recorder
import pytest_claims.reports.junit
import pytest_claims.reports.markdown
import pytest_claims.reports.terminal
import pytest_claims.run
import pytest_claims.store  # noqa: F401
from pytest_claims.reports.format import Report

if TYPE_CHECKING:
    import pytest

RECORD = {
    "paper": {
        "arxiv_id", "title", "abstract", "primary_category", "venue", "published_at", "latest_version", "withdrawn",
    },
    "latest_version": {"id", "version", "source_url", "rendered_html_url", "rendering_engine"},
    "verdict": {
        "id", "kind", "status", "score", "confidence", "agent_version", "computed_at", "is_current", "protocol_match",
        "claim_citation",
    },
    "verdicts": {"post", "pre"},
}  # fmt: skip
"""The keys of the record that this project starts from; no more and no fewer."""

CITATION = {
    "paper_arxiv_id", "section", "row", "column", "reported_value", "reported_metric", "quoted_text", "pdf_page", "notes",
}  # fmt: skip
EVIDENCE = {
    "basis", "outcome", "measured", "unit", "difference", "interval", "n", "deviations", "signature", "provenance", "digest",
    "claim", "test", "reason", "command", "axes", "notes",
}  # fmt: skip
"""What a record holds beside them, at least."""

STATUSES = ("pass", "partial", "fail", "pending", "not_attempted", "error")

LEAN = ("-p", "no:hypothesispytest", "-p", "no:anyio")
"""Plugins that have no part in any claim, and cost a second each time that pytester makes them load again."""


class Run:
    """One pytest run and its reports, checked.

    Args:
        result: what pytester gives.
        folder: where the run's reports lie.
    """

    def __init__(self, result: pytest.RunResult, folder: Path) -> None:
        self.ret = int(result.ret)
        self.out = result.stdout.str()
        self.err = result.stderr.str()
        self.result = result
        self.json = self.xml = self.markdown = ""
        if (folder / "verdicts.json").exists():
            self.json = (folder / "verdicts.json").read_text(encoding="utf-8")
            self.xml = (folder / "verdicts.xml").read_text(encoding="utf-8")
            self.markdown = (folder / "verdicts.md").read_text(encoding="utf-8")
            check(self.json, self.xml, self.ret)
            check_markdown(self.markdown, json.loads(self.json)["records"])

    @property
    def reported(self) -> bool:
        """Whether reports were written."""
        return bool(self.json)

    @property
    def records(self) -> dict[str, Any]:
        """The records by claim id, or by file name for a file that could not be read."""
        found = json.loads(self.json)["records"]
        named = {record["evidence"]["claim"]["id"] or record["evidence"]["claim"]["file"]: record for record in found}
        assert len(named) == len(found)
        return named

    @property
    def statuses(self) -> dict[str, str]:
        """The status of each record."""
        return {name: record["verdict"]["status"] for name, record in self.records.items()}

    @property
    def results(self) -> dict[str, str]:
        """What pytest was told of each record."""
        return {name: record["evidence"]["test"]["result"] for name, record in self.records.items()}

    @property
    def info(self) -> dict[str, Any]:
        """What the report says about the session."""
        info: dict[str, Any] = json.loads(self.json)["run"]
        return info

    def case(self, name: str) -> ET.Element:
        """The `<testcase>` of a claim."""
        found = ET.fromstring(self.xml).find(f"testsuite/testcase[@name='{name}']")  # noqa: S314 - our own
        assert found is not None
        return found

    def lines(self, *starts: str) -> list[str]:
        """The lines of the output that start with one of `starts`."""
        return [line for line in self.out.splitlines() if line.startswith(starts)]


def run(pytester: pytest.Pytester, *args: str | Path, child: bool = False, twice: bool = False) -> Run:
    """Run pytest with both reports, and check them.

    Args:
        pytester: pytest's fixture.
        args: the command line, without reports.
        child: in a process of its own, for what would end this one.
        twice: run it a second time; that must report the same.
    """
    runs = []
    for name in ("first", "second") if twice else ("first",):
        folder = pytester.path / "reports" / name
        reports = [f"--claims-report={folder / f'verdicts.{suffix}'}" for suffix in ("xml", "json", "md")]
        command = [*args, *reports, *LEAN]
        if child:
            result = pytester.runpytest_subprocess(*command)
        else:
            result = pytester.runpytest_inprocess(*command, no_reraise_ctrlc=True)
        runs.append(Run(result, folder))
        if name == "first":
            for suffix in ("json", "xml", "md"):
                assert (folder / f"verdicts.{suffix}").exists() == runs[0].reported
    if twice:
        first, second = runs
        assert second.ret == first.ret
        assert without_timings(second.json) == without_timings(first.json)
        assert without_timings(second.xml) == without_timings(first.xml)
        assert without_timings(second.markdown) == without_timings(first.markdown)
    return runs[0]


def plain(pytester: pytest.Pytester, *args: str | Path) -> Run:
    """Run pytest without reports."""
    return Run(pytester.runpytest_inprocess(*args, *LEAN), pytester.path / "none")


def without_timings(report: str) -> str:
    """A report's text without what two runs of the same evidence may differ in: how long, when, and as which command."""
    for pattern in (
        r'"seconds": [0-9.]+',
        r'"computed_at": "[^"]+"',
        r'(?m)^    "command": .*$',  # the session's; a claim's own stands deeper, and stays
        r'"(started_at|hostname)": "[^"]*",?',
        r' time="[0-9.]+"',
        r' (timestamp|hostname)="[^"]*"',
        r'<property name="command" .*/>',
        r"(?m)^(command: .* --claims-report=|started: |host: ).*$",
    ):
        report = re.sub(pattern, "", report)
    return report


@cache
def schema() -> xmlschema.XMLSchema10:
    """Ours; whatever is valid under it is valid under the Jenkins xunit plugin's junit-10.xsd."""
    return xmlschema.XMLSchema10(str(Path(__file__).parent / "verdicts.xsd"))


def check(json_text: str, xml_text: str, exit_status: int) -> None:
    """What must be true of the two reports of any run."""
    schema().validate(xml_text)
    report = json.loads(json_text, parse_constant=_refuse)
    Report.model_validate_json(json_text)
    assert list(report) == ["schema", "run", "records"]
    assert report["schema"] == "pytest-claims/report/2"
    records, info = report["records"], report["run"]
    for record in records:
        _check_record(record)
    root = ET.fromstring(xml_text)  # noqa: S314 - our own
    for suite in (root, *root):
        assert int(suite.attrib["tests"]) == len(list(suite.iter("testcase")))
        for tag, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            if attribute in suite.attrib:
                assert int(suite.attrib[attribute]) == len(list(suite.iter(tag)))
    cases = {(case.attrib["classname"], case.attrib["name"]): case for case in root.iter("testcase")}
    assert info["collected"] == len(records) == len(cases)
    assert info["exit_status"] == exit_status
    for record in records:
        known = record["evidence"]["claim"]
        _check_case(record, cases[known["file"], known["id"] or known["file"]])
    red = [record for record in records if record["evidence"]["test"]["result"] == "failed"]
    assert exit_status != 0 or not red, "a red claim in a green run"


def check_markdown(text: str, records: list[dict[str, Any]]) -> None:
    """What must be true of the Markdown report of any run."""
    assert len(text.encode()) < 60_000
    assert [line for line in text.splitlines() if re.match(r"\s*::|\s*##", line)] == []
    counts = Counter(record["verdict"]["status"] for record in records)
    for status, count in counts.items():
        assert re.search(rf"(: |, ){count:,} {status}[,.]", text.splitlines()[3])
    red = sum(record["evidence"]["test"]["result"] == "failed" for record in records)
    assert not records or (f"**{red:,} red.**" if red else "None is red.") in text
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == len(records) or "**Cut to fit:**" in text
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 9 for row in rows)
    assert text.count("\n```") % 2 == 0
    assert text.count("<details>") == text.count("</details>")


def _check_record(record: dict[str, Any]) -> None:
    assert set(record) == {*RECORD, "evidence"}
    verdict, evidence = record["verdict"], record["evidence"]
    for section, keys in RECORD.items():
        unread = section in ("paper", "latest_version") and evidence["claim"]["id"] is None
        assert record[section] is None if unread else set(record[section]) == keys
    assert verdict["claim_citation"] is None or set(verdict["claim_citation"]) == CITATION
    assert set(evidence) >= EVIDENCE
    assert verdict["status"] in STATUSES
    assert verdict["kind"] in ("POST", "PRE")
    assert evidence["test"]["result"] in ("passed", "failed", "skipped", "expected")
    assert evidence["reason"]
    # Nothing that was withheld, broke or never ran may look green.
    if verdict["status"] not in ("pass", "partial"):
        assert evidence["test"]["result"] != "passed"
    checked = evidence["citation"]
    rejected = checked is not None and checked["result"] in ("misattributed", "contradicted", "not_found")
    assert not rejected or verdict["status"] in ("pending", "error", "not_attempted")  # the last in a dry run
    if verdict["status"] in ("not_attempted", "error") or (rejected and evidence["measured"] is None):
        assert verdict["score"] is evidence["measured"] is evidence["outcome"] is None
    else:
        assert isinstance(verdict["score"], float)
        assert 0 <= verdict["confidence"] <= 1
        assert evidence["digest"]


def _check_case(record: dict[str, Any], case: ET.Element) -> None:
    known, result, status = record["evidence"]["claim"], record["evidence"]["test"], record["verdict"]["status"]
    moved = record["evidence"]["moved"] or record["evidence"]["baseline"] in ("moved", "removed")
    assert case.attrib["group"] == status + (" moved" if moved else "")
    text = "".join(child.text or "" for child in case if child.tag != "system-out").splitlines()
    if text:
        assert text[0].startswith(f"{known['id'] or known['file']}: {status}")
        assert text[-1] == f"claim: {known['file']}" + (f":{known['line']}" if known["line"] else "")
        assert len(text) <= 15
    tags = {child.tag: child.get("type") for child in case if child.tag != "system-out"}
    if result["result"] == "passed":
        assert tags == {}
    elif result["result"] == "skipped":
        carried = (record["evidence"]["history"] or {}).get("carried")
        assert tags == {"skipped": "claim.carried" if carried else "claim.not_attempted"}
    elif result["result"] == "expected":
        assert tags == {"skipped": f"claim.expected.{status}"}
    else:
        assert tags in ({"error": "claim.error"}, {"failure": result["type"]})
    facts = (case.findtext("system-out") or "").splitlines()
    assert facts[0].startswith(f"status: {status}")
    assert sum(line.startswith("status: ") for line in facts) == 1


def _refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} is not JSON")
