"""`--claims-report=github`: the summary of a job, and annotations at the claims."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from pytest_claims.reports import github
from pytest_claims.reports.format import Record
from tests.builders import claim, of_status, put
from tests.running import STATUSES, Run, plain, run
from tests.test_settings import Reader

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def summary(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a step's summary; what runs takes itself for a step of a GitHub workflow."""
    path = pytester.path / "summary.md"
    path.touch()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(pytester.path))
    return path


def commands(found: Run) -> list[str]:
    """The workflow commands in the output."""
    return found.lines("::")


def line_of(pytester: pytest.Pytester, name: str, file: str = "claims/paper.yaml") -> int:
    """The line of a claim."""
    lines = (pytester.path / file).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if re.search(rf'"?id"?: "?{name}"?\b', line))


def test_the_summary_is_the_markdown_report(pytester: pytest.Pytester, summary: Path) -> None:
    """The Markdown report is appended to what the step has written before, and to nothing else."""
    summary.write_text("# Before\n")
    put(pytester.path, *(of_status(status) for status in STATUSES))
    found = plain(pytester, "claims", "--claims-report=github", "--claims-report=v.md")
    assert found.ret == 1
    assert summary.read_text() == "# Before\n\n\n" + (pytester.path / "v.md").read_text()
    assert found.lines("verdict report") == [f"verdict report: {pytester.path / 'v.md'}", f"verdict report: {summary}"]


def test_an_annotation_of_each_level(pytester: pytest.Pytester, summary: Path) -> None:
    """Red claims are errors, partial ones warnings, those not attempted notices, at file and line; a pass has none."""
    put(pytester.path, *(of_status(status) for status in STATUSES))
    found = plain(pytester, "claims", "--claims-report=github")
    places = [(told.split(" ")[0], told.partition("line=")[2].partition(",")[0]) for told in commands(found)]
    assert places == [
        ("::error", str(line_of(pytester, "error"))),
        ("::error", str(line_of(pytester, "fail"))),
        ("::error", str(line_of(pytester, "pending"))),
        ("::warning", str(line_of(pytester, "partial"))),
        ("::notice", str(line_of(pytester, "not-attempted"))),
    ]
    assert commands(found)[1] == (
        f"::error file=claims/paper.yaml,line={line_of(pytester, 'fail')},title=fail%3A fail%2C bleu1 100.00 against 50.0 %25"
        "::100 against 50.0 percent: a difference of +50 is outside the partial band (±20.05). Much too good means wrong "
        "weights, wrong split or leakage as often as a better model.%0Apytest claims/paper.yaml::fail"
    )
    assert summary.read_text()


def test_a_recorded_result_is_a_notice(pytester: pytest.Pytester, summary: Path) -> None:
    """A claim that fails as its file says is no error."""
    put(pytester.path, of_status("fail", "one", expect="fail"))
    found = plain(pytester, "claims", "--claims-report=github")
    assert (found.ret, [told.split(" ")[0] for told in commands(found)]) == (0, ["::notice"])
    assert summary.read_text()


def test_a_file_that_cannot_be_read(pytester: pytest.Pytester, summary: Path) -> None:
    """The annotation of a broken file stands at its first problem."""
    put(pytester.path).write_text("paper: {}\nclaimz: []\n")
    (told,) = commands(plain(pytester, "claims", "--claims-report=github"))
    assert told.startswith("::error file=claims/paper.yaml,line=")
    assert "did you mean 'claims'?" in told
    assert summary.read_text()


@pytest.mark.parametrize("count", [10, 11, 30])
def test_ten_of_a_level(pytester: pytest.Pytester, summary: Path, count: int) -> None:
    """GitHub shows ten annotations of a level: of more, the tenth says how many there are."""
    put(pytester.path, *(of_status("fail", f"c{number}") for number in range(count)))
    found = commands(plain(pytester, "claims", "--claims-report=github"))
    assert len(found) == 10
    more = f"::error title={count - 9} more claims with an annotation of the level error::"
    assert found[-1].startswith(more) == (count > 10)
    assert summary.read_text()


def test_from_inside_a_folder(pytester: pytest.Pytester, summary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths start at the workspace, wherever pytest is started; a file outside has none."""
    put(pytester.path, of_status("fail", "one"), name="papers/claims/paper.yaml")
    monkeypatch.chdir(pytester.path / "papers")
    (told,) = commands(plain(pytester, "claims", "--claims-report=github"))
    assert told.startswith("::error file=papers/claims/paper.yaml,line=")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(pytester.path / "elsewhere"))
    (told,) = commands(plain(pytester, "claims", "--claims-report=github"))
    assert told.startswith("::error title=one%3A fail")
    assert summary.read_text()


def test_a_repository_below_the_workspace(pytester: pytest.Pytester, summary: Path) -> None:
    """Where the repository was checked out into a folder of the workspace, paths start at the repository."""
    subprocess.run(["git", "init", "-q", pytester.path / "checkout"], check=True)
    put(pytester.path, of_status("fail", "one"), name="checkout/claims/paper.yaml")
    values = run(pytester, "checkout/claims", twice=False).records["one"]
    values["evidence"]["claim"]["file"] = "claims/paper.yaml"
    (told,) = github.annotate([Record.model_validate(values)], pytester.path / "checkout")
    assert told.startswith("::error file=claims/paper.yaml,line=")
    assert not summary.read_text()


@pytest.mark.parametrize("args", [["-p", "no:terminal"], ["--no-summary"], ["-q", "-q"]], ids=" ".join)
def test_without_a_summary_of_pytest(pytester: pytest.Pytester, summary: Path, args: list[str]) -> None:
    """Annotations are printed once, whatever pytest shows."""
    put(pytester.path, of_status("fail", "one"))
    found = plain(pytester, "claims", "--claims-report=github", *args)
    assert len(commands(found)) == 1
    assert summary.read_text()


def test_no_room_in_the_summary(pytester: pytest.Pytester, summary: Path) -> None:
    """What would make GitHub drop the whole summary is not written, and is no silent loss."""
    summary.write_bytes(b"x" * (github.ROOM - 100))
    put(pytester.path)
    found = plain(pytester, "claims", "--claims-report=github")
    assert found.ret == 1
    (told,) = found.lines("The job summary")
    assert told.endswith("GitHub shows at most 1,048,576 of a step. Run pytest in a step of its own.")
    assert summary.stat().st_size == github.ROOM - 100


def test_little_room_in_the_summary(pytester: pytest.Pytester, summary: Path) -> None:
    """Where a step has written much, the report is cut to what is left."""
    summary.write_bytes(b"x" * (github.ROOM - 9_000))
    put(pytester.path, *(of_status("fail", f"c{number:03}") for number in range(100)))
    plain(pytester, "claims", "--claims-report=github")
    assert github.ROOM - 9_000 < summary.stat().st_size <= github.ROOM
    assert b"**Cut to fit:**" in summary.read_bytes()


def test_a_summary_that_cannot_be_written(pytester: pytest.Pytester, summary: Path) -> None:
    """A summary that is no file is one line, red, and the annotations are printed all the same."""
    summary.unlink()
    summary.mkdir()
    put(pytester.path, of_status("fail", "one"))
    found = plain(pytester, "claims", "--claims-report=github")
    assert found.lines("The job summary") == [f"The job summary {summary} cannot be written: Is a directory."]
    assert len(commands(found)) == 1


@pytest.mark.parametrize(
    ("actions", "path", "missing"),
    [
        (None, "summary.md", "GITHUB_ACTIONS is not true"),
        ("false", "summary.md", "GITHUB_ACTIONS is not true"),
        ("true", None, "GITHUB_STEP_SUMMARY is not set"),
        ("true", "", "GITHUB_STEP_SUMMARY is not set"),
    ],
)
def test_outside_github(
    pytestconfig: pytest.Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    actions: str | None,
    path: str | None,
    missing: str,
) -> None:
    """Outside a GitHub workflow the option is a usage error that names what is missing, and what to do."""
    for name, value in (("GITHUB_ACTIONS", actions), ("GITHUB_STEP_SUMMARY", path)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    reader = Reader(pytestconfig, tmp_path)
    assert reader.refused(report=["a.xml", "github"]) == (
        f"--claims-report=github: expected a step of a GitHub workflow, but {missing}; "
        "elsewhere --claims-report=verdicts.md writes the same summary"
    )


def test_no_annotation_unless_asked(pytester: pytest.Pytester, summary: Path) -> None:
    """In a GitHub workflow nothing is printed or appended that was not asked for."""
    put(pytester.path, of_status("fail", "one"), claim("two"))
    assert commands(plain(pytester, "claims", "--claims-report=v.json")) == []
    assert not summary.read_text()
