"""Text of a stranger that wants to be a workflow command, now that we print some of our own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pytest_claims import text
from pytest_claims.reports import github
from pytest_claims.reports.format import Record
from tests.attacks.test_printing import PWN
from tests.builders import claim, of_status, put
from tests.running import plain, run

OURS = re.compile(r"::(error|warning|notice) (?:file=([^:,]*),)?(?:line=(\d+),)?title=([^:,]*)::([^\n\r]*)")
"""A command of ours, whole: its properties hold neither `:` nor `,`, so the first `::` behind them ends them."""

TRICKS = (
    PWN,
    "::set-env name=PATH::/evil",
    "x::y",
    "x,line=1,file=other.yaml",
    "a%0A::error::b",
    "a%250Ab",
    "a\r\n::stop-commands::pause\n::pause::",
    "  ::add-mask::x",
    "x\x85::error::y\u2028::error::z\x0b::error::w",
    "##[error]x",
)


def undone(told: str) -> str:
    """What the runner makes of escaped text."""
    for escaped, plain_text in (("%2C", ","), ("%3A", ":"), ("%0A", "\n"), ("%0D", "\r"), ("%25", "%")):
        told = told.replace(escaped, plain_text)
    return told


@pytest.fixture(autouse=True)
def _workflow(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(pytester.path))


@pytest.mark.parametrize("trick", TRICKS)
def test_command_by_a_text_of_an_annotation(trick: str) -> None:
    """Whatever title, message and file hold, the command is one line, and gives them back as text."""
    told = text.annotation("error", f"t {trick}", f"m {trick}", file=f"f {trick}", line_number=7)
    found = OURS.fullmatch(told)
    assert found is not None
    assert found[3] == "7"
    assert undone(found[4]) == text.line(f"t {trick}")
    assert not [line for line in undone(found[5]).splitlines() if re.match(r"\s*::|.*##\w*\[", line)]


def test_a_level_that_is_none() -> None:
    """The word that says what the command does is ours."""
    with pytest.raises(ValueError, match="set-env"):
        text.annotation("set-env", "x", "y")


@pytest.mark.parametrize("trick", TRICKS)
def test_command_by_a_record(pytester: pytest.Pytester, trick: str) -> None:
    """A record in which everything is a command gives one annotation, of the claim that it is about."""
    put(pytester.path, of_status("fail", "one"))
    values: dict[str, Any] = json.loads(json.dumps(run(pytester, "claims", twice=False).records["one"]))
    values["evidence"]["claim"] |= {"id": trick, "line": None}
    values["evidence"] |= {"reason": f"{trick}:1: x", "next_step": trick, "command": trick, "reported": trick}
    values["evidence"]["test"]["message"] = trick
    (told,) = github.annotate([Record.model_validate(values)], Path.cwd())
    found = OURS.fullmatch(told)
    assert found is not None
    assert (found[1], found[2], found[3]) == ("error", "claims/paper.yaml", None)


def test_command_by_a_claim_file(pytester: pytest.Pytester) -> None:
    """In a real run the only commands are ours, one for each red claim."""
    file = put(pytester.path, claim("one", run={"predictions": {"path": "::error::x.json", "id": "i"}}))
    (file.parent / "::error::x.json").write_text("{")
    put(pytester.path, of_status("fail", "two"), name="claims/x\n::error::y,z.yaml")
    red = of_status("fail", "three")
    red["citation"] |= {"notes": PWN, "section": f"::error::{PWN}"}
    put(pytester.path, red, name="claims/red/paper.yaml", captions={f"{PWN}{number}": PWN for number in range(12)})
    found = plain(pytester, "claims", "--claims-report=github", "-rA", "-v")
    commands = [line for line in found.out.splitlines() if re.match(r"\s*::|.*##\w*\[", line)]
    assert len(commands) == 3
    assert all(OURS.fullmatch(line) for line in commands)
