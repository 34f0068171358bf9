"""What a new user meets in the first hour with pytest. (Mistakes in a file: tests/spec/test_hints.py.)"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_claims import verify
from tests.builders import captioning, claim, of_status, put, write
from tests.running import run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("ini", "place", "said"),
    [
        (
            "",
            "papers",
            "a claim file lies below a folder named claims, or is named on the command line: pytest papers/x.yaml",
        ),
        ("claims_files = other/*.yaml", "papers", "a claim file matches claims_files = other/*.yaml, or is named on"),
    ],
)
def test_a_claim_file_outside_claims(pytester: pytest.Pytester, ini: str, place: str, said: str) -> None:
    """If pytest finds no test, it says why the claim file was not read; the file itself is not opened."""
    pytester.makeini(f"[pytest]\n{ini}")
    path = pytester.mkdir(place) / "x.yaml"
    path.write_text("no: [valid: yaml", encoding="utf-8")
    found = run(pytester, place)
    assert found.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert f"papers/x.yaml was not read for claims: {said}" in found.out


def test_nothing_is_said_where_tests_ran(pytester: pytest.Pytester) -> None:
    """Where a session has tests, or deselects them all, other YAML files are nobody's business."""
    pytester.makepyfile("def test(): pass")
    pytester.path.joinpath("compose.yaml").write_text("a: 1", encoding="utf-8")
    assert "not read" not in run(pytester).out
    assert "not read" not in run(pytester, "-k", "nothing").out


def test_a_folder_claims_above_the_project(pytester: pytest.Pytester) -> None:
    """A folder `claims` above the configuration file does not count, and that is said."""
    project = pytester.path / "claims" / "project"
    project.mkdir(parents=True)
    (project / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    put(project, of_status("pass"), name="papers/x.yaml")
    found = run(pytester, "-c", "claims/project/pytest.ini", "claims/project/papers", "--rootdir=claims/project")
    assert "a claim file lies below a folder named claims, which is not above" in found.out


@pytest.mark.parametrize(
    ("identifier", "place", "status", "said"),
    [
        ("../model", "model", "error", "--claims-model=../model=./model"),
        ("model", "model", "not_attempted", "--claims-model=model=./model"),
        ("model", "elsewhere", "not_attempted", "--claims-model=model=PATH"),
        ("models/new", "models/new", "not_attempted", "--claims-model=models/new=./models/new"),
    ],
)
def test_a_model_outside_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, identifier: str, place: str, status: str, said: str
) -> None:
    """A model that lies where a claim may not read is told the option that names it, with the folder if it is there."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "claims" / "m.yaml", captioning(claim(), protocol__checkpoint__id=identifier))
    tmp_path.joinpath(place).mkdir(parents=True)
    (verdict,) = verify(path)
    assert verdict.status == status
    text = f"{verdict.reason} {verdict.next_step}"
    assert f"To evaluate weights that lie elsewhere, name them on the command line: {said}" in text
