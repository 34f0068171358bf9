"""`pytest-claims render`: other reports of a JSON report, which may come from code that nobody trusts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import __main__
from tests.builders import claim, of_status, put
from tests.running import check, check_markdown, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def report(pytester: pytest.Pytester) -> Path:
    """The JSON report of two claims."""
    put(pytester.path, claim("passes"), of_status("pending", "drifts"))
    run(pytester, "claims")
    return pytester.path / "reports" / "first" / "verdicts.json"


def test_the_reports_are_those_of_the_session(report: Path, tmp_path: Path) -> None:
    """Each report is byte for byte the one that the session wrote."""
    made = [tmp_path / f"made.{suffix}" for suffix in ("md", "xml", "json")]
    assert __main__.main(["render", str(report), *map(str, made)]) == 0
    for path in made:
        assert path.read_bytes() == report.with_suffix(path.suffix).read_bytes()


def test_a_hostile_report_is_inert(report: Path, tmp_path: Path) -> None:
    """Markup, mentions and commands in the values stand in code, and nothing else changes."""
    values = json.loads(report.read_text())
    hostile = "::error::x @team #1 <img src=x> [a](http://x) `b` | c\n## d"
    for record in values["records"]:
        record["evidence"]["reason"] = hostile
        record["evidence"]["next_step"] = hostile
        record["evidence"]["notes"] = [hostile]
    values["run"]["command"] = values["run"]["tool"] = hostile
    report.write_text(json.dumps(values))
    assert __main__.main(["render", str(report), str(tmp_path / "made.md"), str(tmp_path / "made.xml")]) == 0
    check_markdown((tmp_path / "made.md").read_text(), values["records"])
    check(report.read_text(), (tmp_path / "made.xml").read_text(), values["run"]["exit_status"])


def test_what_is_no_report(tmp_path: Path, report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is no report ends in one line with the place and status 1, and nothing is written."""
    out = tmp_path / "made.md"
    values = json.loads(report.read_text())
    values["records"][0]["verdict"]["status"] = "perfect"
    cases: dict[str, tuple[Any, str]] = {
        "no JSON": ("{", "Invalid JSON"),
        "another format": ("{}", "schema: Field required"),
        "a status of one's own": (json.dumps(values), "records.0.verdict.status: Input should be"),
    }
    for name, (content, said) in cases.items():
        given = tmp_path / f"{name}.json"
        given.write_text(content)
        assert __main__.main(["render", str(given), str(out)]) == 1
        told = capsys.readouterr().err
        assert said in told
        assert len(told.splitlines()) == 1
        assert not out.exists()
    assert __main__.main(["render", str(tmp_path / "none.json"), str(out)]) == 1
    assert "cannot be read: No such file or directory." in capsys.readouterr().err
    assert __main__.main(["render", str(report), str(tmp_path / "made.pdf")]) == 2
    assert "expected a file that ends in one of .xml, .json, .md, .html" in capsys.readouterr().err
