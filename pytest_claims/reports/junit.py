"""The JUnit report, valid under the Jenkins xunit plugin's junit-10.xsd.

That schema allows a `<testcase>` neither `file` and `line` nor `<properties>`, and a reader that validates refuses the whole
file for one of them. So the file stands on the `<testsuite>`, of which there is one per claim file, and file and line stand in
the text of a result, where other readers look for them. The `group` of a case, which the schema does allow, is the verdict's
status, followed by `moved` where the bar moved. The facts of a claim stand once, in its `<system-out>`, one a line.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from pytest_claims import text
from pytest_claims.reports import facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_claims.reports.format import Record, RunInfo

RED = ("failure", "error", "skipped")
"""The elements that stand for a result, in the order of the attributes that count them: `failures`, `errors`, `skipped`."""

WHY = 10
"""Lines of a reason that the text of a result repeats; `message` and `<system-out>` hold all."""


def render(run: RunInfo, records: Sequence[Record]) -> str:
    """One `<testsuite>` per claim file, one `<testcase>` per record; claims that ended as recorded count as skipped."""
    files: dict[str, list[Record]] = {}
    for record in records:
        files.setdefault(text.clean(record.evidence.claim.file), []).append(record)
    suites = [_suite(run, file, sharing) for file, sharing in files.items()]
    counts = _counts([case for suite in suites for case in suite.iter("testcase")])
    root = ET.Element("testsuites", name="claims")
    for name in ("tests", "failures", "errors"):  # not `skipped`, which the schema does not know here
        root.set(name, counts[name])
    root.set("time", _seconds(records))
    # A session without claims says which session it was.
    root.extend(suites or [_suite(run, None, ())])
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(run: RunInfo, file: str | None, records: Sequence[Record]) -> ET.Element:
    cases = [_case(record) for record in records]
    suite = ET.Element("testsuite", name=file or "claims")
    if file:
        suite.set("file", file)
    for name, value in (("timestamp", run.started_at), ("hostname", run.hostname), *_counts(cases).items()):
        if value:
            suite.set(name, text.line(value))
    suite.set("time", _seconds(records))
    properties = ET.SubElement(suite, "properties")
    for name, value in run:
        if name not in ("started_at", "hostname"):
            ET.SubElement(properties, "property", name=name, value=text.block(str(value)))
    suite.extend(cases)
    return suite


def _counts(cases: Sequence[ET.Element]) -> dict[str, str]:
    found = [sum(case.find(tag) is not None for case in cases) for tag in RED]
    return dict(zip(("tests", "failures", "errors", "skipped"), map(str, (len(cases), *found)), strict=True))


def _seconds(records: Sequence[Record]) -> str:
    return f"{sum(record.evidence.seconds for record in records):.3f}"


def _case(record: Record) -> ET.Element:
    claim, test = record.evidence.claim, record.evidence.test
    case = ET.Element(
        "testcase",
        classname=text.clean(claim.file),
        name=text.clean(record.name),
        group=record.verdict.status + (" moved" if facts.moved(record) else ""),
        time=f"{record.evidence.seconds:.3f}",
    )
    if test.result != "passed":
        if test.result == "failed":
            tag, kind = "error" if test.type == "claim.error" else "failure", test.type
        else:
            known = record.evidence.history
            skipped = "claim.carried" if known is not None and known.carried else "claim.not_attempted"
            recorded = f"claim.expected.{record.verdict.status}"
            tag, kind = "skipped", recorded if test.result == "expected" else skipped
        element = ET.SubElement(case, tag, type=kind, message=text.block(test.message))
        element.text = text.block("\n".join(_text(record)))
    ET.SubElement(case, "system-out").text = text.block("\n".join(facts.lines(record)))
    return case


def _text(record: Record) -> Iterator[str]:
    """The text of a result: a title, why, what to do, and where the claim stands."""
    claim, test, step = record.evidence.claim, record.evidence.test, record.evidence.next_step
    yield facts.headline(record)
    why = test.message.splitlines()
    yield from why[:WHY]
    if len(why) > WHY:
        yield f"… and {len(why) - WHY:,} more lines"
    yield " ".join(step.splitlines()) or f"To see it again: {record.evidence.command}"
    # Readers look for ` FILE:LINE` in this text.
    yield f"claim: {claim.file}" + (f":{claim.line}" if claim.line else "")
