"""The JUnit report, valid under the Jenkins xunit plugin's junit-10.xsd.

The schema allows neither `<properties>` inside a `<testcase>` nor further attributes. So the facts of a claim are in its
`<system-out>`, one per line.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from pytest_claims import text
from pytest_claims.reports import facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_claims.reports.format import Record, RunInfo


def render(run: RunInfo, records: Sequence[Record]) -> str:
    """The report as XML text: a `<testsuite>` with one `<testcase>` per record. A result as `expect` says counts as skipped."""
    cases = [_case(record) for record in records]
    suite = ET.Element(
        "testsuite",
        name="claims",
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
        time=f"{sum(record.evidence.seconds for record in records):.3f}",
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in run:
        ET.SubElement(properties, "property", name=name, value=text.block(str(value)))
    suite.extend(cases)
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(record: Record) -> ET.Element:
    claim, test = record.evidence.claim, record.evidence.test
    case = ET.Element(
        "testcase",
        classname=text.clean(claim.file),
        name=text.clean(record.name),
        time=f"{record.evidence.seconds:.3f}",
    )
    message = text.block(test.message)
    told = text.block("\n".join(facts.lines(record)))
    if test.result == "skipped":
        ET.SubElement(case, "skipped", type="claim.not_attempted", message=message)
    elif test.result == "expected":
        ET.SubElement(case, "skipped", type=f"claim.expected.{record.verdict.status}", message=message)
    elif test.result == "failed":
        tag = "error" if test.type == "claim.error" else "failure"
        ET.SubElement(case, tag, type=test.type, message=message).text = message
    ET.SubElement(case, "system-out").text = told
    return case
