"""The JUnit reports, ours and pytest's own, as the common readers see them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

from pytest_claims.reports import junit
from pytest_claims.reports.format import Record, RunInfo
from tests.builders import claim, of_status, put
from tests.running import STATUSES, run, schema

if TYPE_CHECKING:
    import pytest

RUN = RunInfo(
    tool="pytest-claims 0", command="pytest", gate="partial", exit_status=0, collected=0, deselected=0,
    started_at="2026-01-02T03:04:05+00:00", hostname="a-machine",
)  # fmt: skip


def test_one_suite_per_claim_file(pytester: pytest.Pytester) -> None:
    """Each claim file is a suite that names it, counts its own claims, and says when and where it was run."""
    put(pytester.path, claim("a"), of_status("fail", "b"))
    put(pytester.path, of_status("not_attempted", "c"), name="claims/deep/other.yaml")
    root = ET.fromstring(run(pytester, "claims").xml)  # noqa: S314 - our own
    assert [suite.get("file") for suite in root] == ["claims/deep/other.yaml", "claims/paper.yaml"]
    assert [suite.get("name") for suite in root] == [suite.get("file") for suite in root]
    assert [[suite.get(key) for key in ("tests", "failures", "skipped")] for suite in root] == [
        ["1", "0", "1"],
        ["2", "1", "0"],
    ]
    assert [root.get(key) for key in ("tests", "failures", "errors")] == ["3", "1", "0"]
    assert all(suite.get("timestamp", "")[-6:] == "+00:00" and suite.get("hostname") for suite in root)


def test_a_report_without_claims() -> None:
    """A session without claims has a suite that says which session it was."""
    text = junit.render(RUN, [])
    schema().validate(text)
    (suite,) = ET.fromstring(text)  # noqa: S314 - our own
    assert [suite.get(key) for key in ("name", "file", "tests", "timestamp", "hostname")] == [
        "claims", None, "0", "2026-01-02T03:04:05+00:00", "a-machine",
    ]  # fmt: skip


def test_the_group_is_the_status(pytester: pytest.Pytester) -> None:
    """What is partial is told from what passes by an attribute, though both are green."""
    put(pytester.path, *(of_status(status) for status in STATUSES))
    found = run(pytester, "claims")
    assert {name: found.case(name).get("group") for name in found.records} == found.statuses


def test_the_group_of_a_moved_bar(pytester: pytest.Pytester) -> None:
    """A moved bar is told by an attribute, also where it was accepted and the claim is green."""
    put(pytester.path)
    values = run(pytester, "claims", twice=False).records["one"]
    values["evidence"]["moved"] = [{"key": "tolerance.pass", "before": "0", "after": "1"}]
    (case,) = ET.fromstring(junit.render(RUN, [Record.model_validate(values)])).iter("testcase")  # noqa: S314 - our own
    assert case.get("group") == "pass moved"


def test_the_text_of_a_failure(pytester: pytest.Pytester) -> None:
    """A failure's text is a title, why, what to do and where: a few lines, the last one in the form that actions look for."""
    put(pytester.path, of_status("fail", "one"))
    found = run(pytester, "claims")
    text = found.case("one").findtext("failure") or ""
    line = found.records["one"]["evidence"]["claim"]["line"]
    assert text.splitlines() == [
        "one: fail, bleu1 100.00 against 50.0 %",
        found.records["one"]["evidence"]["test"]["message"],
        "To see it again: pytest claims/paper.yaml::one",
        f"claim: claims/paper.yaml:{line}",
    ]
    # As mikepenz/action-junit-report looks for the line of a suite's `file`.
    assert re.findall(r" [^ ]*claims/paper\.yaml.*?:(\d+)", text)[-1] == str(line)


def test_the_text_of_a_skip(pytester: pytest.Pytester) -> None:
    """Why a claim was not attempted, and what to do, is text as well, since GitLab shows no attribute."""
    put(pytester.path, of_status("not_attempted", "one"))
    text = run(pytester, "claims").case("one").findtext("skipped") or ""
    assert text.splitlines()[1:3] == [
        "The predictions file missing.json was not found below claims.",
        "Name the folder that holds it with --claims-data=DIR.",
    ]


def test_a_file_with_many_problems(pytester: pytest.Pytester) -> None:
    """The text of an error repeats the first problems and counts the rest, which the message holds."""
    file = put(pytester.path)
    file.write_text("{" + ",\n".join(f"k{number}: 1" for number in range(30)) + "}")
    error = run(pytester, "claims").case("claims/paper.yaml").find("error")
    assert error is not None
    assert len(error.attrib["message"].splitlines()) > 20
    lines = (error.text or "").splitlines()
    assert len(lines) == 14
    assert re.fullmatch(r"… and \d+ more lines", lines[11])


def test_pytests_own_junit_has_the_facts(pytester: pytest.Pytester) -> None:
    """Pytest's JUnit report holds the facts as properties; its class name is ours with dots for slashes, its name is ours."""
    put(pytester.path, *(of_status(status) for status in STATUSES))
    found = run(pytester, "claims", "--junitxml=junit.xml", twice=False)
    cases = ET.parse(pytester.path / "junit.xml").getroot().iter("testcase")  # noqa: S314 - our own
    seen: dict[str, Any] = {}
    for case in cases:
        name = case.attrib["name"]
        assert case.attrib["classname"] == found.case(name).attrib["classname"].replace("/", ".")
        seen[name] = {entry.attrib["name"]: entry.attrib["value"] for entry in case.iter("property")}
    assert {name: facts["claim.status"] for name, facts in seen.items()} == found.statuses
    assert {key: seen["partial"][key] for key in ("claim.reported", "claim.measured", "claim.match", "claim.file")} == {
        "claim.reported": "90.0", "claim.measured": str(found.records["partial"]["evidence"]["measured"]),
        "claim.match": "exact", "claim.file": "claims/paper.yaml",
    }  # fmt: skip
    assert "claim.measured" not in seen["error"]
