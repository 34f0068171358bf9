"""Hostile text that tries to act as a command to the CI system or to the terminal that shows it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.builders import changed, claim, of_status, predictions, put, write
from tests.running import LEAN
from tests.shapes import SHAPES, rows, warm, write_claim

__all__ = ["warm"]  # a fixture of this module

PWN = "x\n::error::a\r::warning::b\n##vso[task.c]d\n  ##[error]e\x1b[31m\u202e"
"""Hostile text: commands to GitHub and Azure after line breaks, and characters that control a terminal."""

ACTS = re.compile(r"\s*::|.*##\w*\[")


def harmless(pytester: pytest.Pytester, *args: str, child: bool = False) -> str:
    """Run pytest with reports; no line of output or report acts. Gives the output.

    Args:
        pytester: pytest's fixture.
        args: the command line, without reports.
        child: in a process of its own.
    """
    reports = [f"--claims-report=v.{suffix}" for suffix in ("xml", "json", "md")]
    command = (*args, "-rA", "-p", "no:cacheprovider", *reports, *LEAN)
    result = pytester.runpytest_subprocess(*command) if child else pytester.runpytest_inprocess(*command)
    out = result.stdout.str() + "\n" + result.stderr.str()
    told = [out, *(report.read_text(encoding="utf-8") for report in sorted(Path.cwd().glob("v.*")))]
    for text in told:
        assert [line for line in text.splitlines() if ACTS.match(line)] == []
        assert {"\x1b", "\r", "\u202e"} & set(text) == set()
    return out


def records(folder: Path) -> list[dict[str, Any]]:
    """The records of the JSON report."""
    found: list[dict[str, Any]] = json.loads((folder / "v.json").read_text(encoding="utf-8"))["records"]
    return found


@pytest.mark.parametrize("verbosity", ["-q", "-v", "-vv", "--co", "--tb=line", "--tb=native"])
@pytest.mark.parametrize("readable", [True, False], ids=["a claim", "no claim"])
def test_command_by_a_file_name_with_a_line_break(pytester: pytest.Pytester, verbosity: str, readable: bool) -> None:
    """A file name with a line break and a command in it stands escaped, in one line, wherever pytest or a report names it."""
    file = put(pytester.path, of_status("fail", "one"), name="claims/x\n::error::y.yaml")
    if not readable:
        file.write_text("paper: {titel: x}")
    out = harmless(pytester, "claims", verbosity)
    assert r"x\n:\:error:\:y.yaml" in out


@pytest.mark.parametrize("name", ["::error::x.yaml", "##vso[task.x]y.yaml", "##[error]x.yaml", "  ::error::x.yaml"])
@pytest.mark.parametrize("verbosity", ["-q", "-v", "--co"])
def test_command_by_a_file_name_from_inside_its_folder(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, name: str, verbosity: str
) -> None:
    """A file that is named like a command is no command where its name stands first in a line."""
    put(pytester.path, of_status("fail", "one"), name=f"claims/{name}")
    folder = pytester.path / "claims"
    (folder / f"{name}.yaml").write_text("paper: {titel: x}")
    (folder / "pytest.ini").write_text("[pytest]\nclaims_files = *.yaml\n")
    monkeypatch.chdir(folder)
    assert name[-6:] in harmless(pytester, ".", verbosity)


def test_command_by_a_file_name_to_xdist(pytester: pytest.Pytester) -> None:
    """The process that writes the reports knows a file again whose name travels escaped, also when its worker died."""
    put(pytester.path, claim("one"), name="claims/x\n::error::y.yaml")
    (pytester.path / "conftest.py").write_text(
        "import os\ndef pytest_runtest_setup(item):\n    os._exit(1)\n", encoding="utf-8"
    )
    harmless(pytester, "claims", "-n1", "--max-worker-restart=0")
    (record,) = records(pytester.path)
    assert record["evidence"]["claim"]["id"] == "one"
    assert record["evidence"]["claim"]["file"] == r"claims/x\n:\:error:\:y.yaml"
    assert record["verdict"]["status"] == "error"


def test_hide_a_red_claim_behind_a_file_of_the_same_name(pytester: pytest.Pytester) -> None:
    """A file that is named as another's name is written stands beside it in the reports."""
    put(pytester.path, of_status("fail", "one"), name="claims/x\ny.yaml")
    put(pytester.path, claim("one"), name=r"claims/x\ny.yaml")
    harmless(pytester, "claims")
    assert sorted(record["verdict"]["status"] for record in records(pytester.path)) == ["fail", "pass"]


def test_command_by_a_key_of_a_claim_file(pytester: pytest.Pytester) -> None:
    """An unknown key is one line of one problem, whatever it holds, and however deep it stands."""
    document = predictions()
    write(
        pytester.path / "claims/paper.yaml", {**document, PWN: {PWN: 1}, "protocol": {**document["protocol"], PWN: 1}}
    )
    out = harmless(pytester, "claims")
    assert "unknown key" in out
    (record,) = records(pytester.path)
    problems = record["evidence"]["reason"].splitlines()
    assert len(problems) == 2
    assert all(problem.startswith("claims/paper.yaml:") for problem in problems)


def test_command_by_a_duplicate_key(pytester: pytest.Pytester) -> None:
    """The place of a problem, made of the keys above it, is part of the problem's line."""
    file = put(pytester.path, claim("one"))
    file.write_text(f'paper: {{{json.dumps(PWN)}: {{"a": 1, "a": 2}}}}')
    assert "duplicate key 'a' in paper.x" in harmless(pytester, "claims")


def test_command_by_a_where_key(pytester: pytest.Pytester) -> None:
    """A condition on the rows, its key and its value, stands in one line of a plan and of a problem."""
    write_claim(pytester.path, count=4, protocol__dataset__where={PWN: PWN})
    assert "where={x" in harmless(pytester, "claims", "--claims-dry-run", f"--claims-data={SHAPES}")
    assert "has no column" in harmless(pytester, "claims", f"--claims-data={SHAPES}")


def test_command_by_a_column_name(pytester: pytest.Pytester) -> None:
    """The names of the columns that a data set has, and of the one that a claim wants, stand in one line."""
    content = [{**row, PWN: 1} for row in rows(4)]
    write_claim(pytester.path, content=content, run__columns__id=PWN + "z")
    assert "has no column" in harmless(pytester, "claims", f"--claims-data={SHAPES}")


def test_command_by_a_data_set(pytester: pytest.Pytester) -> None:
    """The name of data or a model that are not there is part of the reason for a skip, and of the next step."""
    write_claim(pytester.path, count=4, protocol__checkpoint__id=PWN)
    assert "not_attempted" in harmless(pytester, "claims", f"--claims-data={SHAPES}")


def test_command_by_the_id_of_a_prediction(pytester: pytest.Pytester) -> None:
    """An id that the references do not know, or that stands twice, is quoted in one line."""
    file = put(pytester.path, claim("one"))
    found = json.loads((file.parent / "out.json").read_text())
    (file.parent / "out.json").write_text(json.dumps([*found, {"image_id": PWN, "caption": "x"}]))
    assert "a prediction for image" in harmless(pytester, "claims")


def test_command_by_the_key_of_a_prediction(pytester: pytest.Pytester) -> None:
    """The keys that a row of a predictions file has are listed in one line."""
    file = put(pytester.path, claim("one"))
    (file.parent / "out.json").write_text(json.dumps([{"image_id": "1", PWN: "x"}]))
    assert "its keys: image_id, x" in harmless(pytester, "claims")


def test_command_by_a_caption(pytester: pytest.Pytester) -> None:
    """Captions that are commands are scored, and what is said of them commands nothing."""
    captions = {f"{PWN}{number}": PWN for number in range(12)}
    put(pytester.path, of_status("fail", "one"), captions=captions)
    assert "One caption stands for 12 of 12 images" in harmless(pytester, "claims")


@pytest.mark.parametrize("key", ["section", "row", "column", "notes"])
def test_command_by_a_citation(pytester: pytest.Pytester, key: str) -> None:
    """Citation and notes of a red claim are shown, a line each."""
    put(pytester.path, changed(of_status("fail", "one"), **{f"citation__{key}": f"::error::{PWN}"}))
    assert "quoted: ours 50.0" in harmless(pytester, "claims")


def test_command_by_the_path_of_a_configuration(pytester: pytest.Pytester) -> None:
    """A message that begins with a path of the claim file begins with no command."""
    put(pytester.path, claim("one", run={"predictions": {"path": "::error::x.json", "id": "i"}}))
    (pytester.path / "claims/::error::x.json").write_text("{")
    assert r"\::error::x.json:1: not JSON" in harmless(pytester, "claims")


@pytest.mark.parametrize("stream", ["stdout", "stderr", "logging"])
def test_command_by_what_a_library_prints(pytester: pytest.Pytester, stream: str) -> None:
    """What was printed while a claim ran is shown, and a command in it is none any more."""
    put(pytester.path, of_status("fail", "one"))
    call = f"print(PWN, file=sys.{stream})" if stream != "logging" else "logging.warning(PWN)"
    (pytester.path / "conftest.py").write_text(
        f"import logging, sys\nimport pytest\nPWN = {f'::error::{PWN}'!r}\n"
        f"@pytest.hookimpl(tryfirst=True)\ndef pytest_runtest_call(item):\n    {call}\n",
        encoding="utf-8",
    )
    assert "Captured" in harmless(pytester, "claims", child=True)


def test_command_by_a_folded_line(pytester: pytest.Pytester) -> None:
    """On a narrow terminal a text is folded, and no part of it becomes a command because it comes to stand first."""
    from tests.reports.test_terminal import shown

    words = " ".join(f"{'x' * number} ::error::y" for number in range(1, 60))
    put(pytester.path, of_status("error", "one"))
    harmless(pytester, "claims")
    (record,) = records(pytester.path)
    record["evidence"]["reason"] = words
    lines = shown([record], 60)
    assert len(lines) > 10
    assert [line for line in lines if ACTS.match(line)] == []


def test_command_by_a_report_that_cannot_be_written(pytester: pytest.Pytester) -> None:
    """The path of a report, in the line that names it and in the one that says why it is missing, is part of a line."""
    put(pytester.path, claim("one"))
    (pytester.path / "blocked").write_text("a file")
    for extra in ([], ["-p", "no:terminal"]):
        harmless(
            pytester,
            "claims",
            "--claims-report=blocked/x\n::error::y.json",
            "--claims-report=x\n::error::y.xml",
            *extra,
            child=True,
        )
    harmless(pytester, "claims", "--claims-gate=x\n::error::y")
