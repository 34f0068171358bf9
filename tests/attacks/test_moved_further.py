"""Make an easier claim pass as the old one, by ways that avoid the comparison."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.attacks.repository import TEXTS, claims, compare, entry, git, move
from tests.builders import captioning, claim, of_status, predictions, put, released, write
from tests.running import LEAN, run

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["claims"]


def commit(pytester: pytest.Pytester) -> None:
    """Make the work tree what main holds, and go on from there."""
    git(pytester.path, "checkout", "-q", "main")
    git(pytester.path, "add", "-A")
    git(pytester.path, "commit", "-qm", "more")
    git(pytester.path, "checkout", "-q", "change")
    git(pytester.path, "reset", "-q", "--hard", "main")


# --- out of what the session runs ---


def test_rename_a_claim_out_of_the_selection(pytester: pytest.Pytester, claims: Path) -> None:
    """A gate that selects by -k does not run the claim under its new name: that is red."""
    text = (claims / "claim.yaml").read_text().replace("id: bleu1", "id: unigrams")
    (claims / "claim.yaml").write_text(text)
    found = compare(pytester, "-k", "bleu")
    assert found.status == 1
    assert "bleu1" in found.out


def test_move_a_claim_into_a_file_that_is_not_run(pytester: pytest.Pytester, claims: Path) -> None:
    """A file that stood at the base, and that this session was not asked for, is a place to hide a claim."""
    other = pytester.path / "other" / "claims"
    released(other, TEXTS)
    write(other / "claim.yaml", predictions(entry("bleu3", order=3)))
    commit(pytester)
    write(other / "claim.yaml", predictions(entry("bleu3", order=3), entry("bleu1")))
    write(claims / "claim.yaml", predictions(entry("bleu2", order=2)))
    found = compare(pytester)
    assert found.status == 1
    assert found.standing["bleu1"] == "removed"


@pytest.mark.parametrize("marker", ["pyvenv.cfg", "conda-meta/history"])
def test_make_the_folder_a_virtual_environment(pytester: pytest.Pytester, claims: Path, marker: str) -> None:
    """Pytest passes a virtual environment by: one file makes every claim of a folder vanish, and their files stay."""
    deep = claims / "deep"
    move(claims / "claim.yaml", deep / "claim.yaml")
    released(deep, TEXTS)
    write(claims / "kept.yaml", predictions(entry("bleu3", order=3)))
    commit(pytester)
    (deep / marker).parent.mkdir(exist_ok=True)
    (deep / marker).touch()
    found = compare(pytester)
    assert found.status == 1
    assert found.standing["bleu1"] == found.standing["bleu2"] == "removed"


def test_take_the_place_of_a_removed_claim(pytester: pytest.Pytester, claims: Path) -> None:
    """A claim that takes another's node id is in the report beside it, not in place of it."""
    write(claims / "claim.yaml", predictions(entry("bleu1", order=2)))
    found = compare(pytester)
    assert found.status == 1
    told = [(r["evidence"]["claim"]["id"], r["evidence"]["baseline"]) for r in found.records]
    assert sorted(told) == [("bleu1", "moved"), ("bleu1", "removed")]


@pytest.mark.parametrize("option", ["--deselect=claims/claim.yaml::bleu1", "--ignore-glob=*/claim.yaml"])
def test_what_the_command_line_leaves_out_is_not_removed(pytester: pytest.Pytester, claims: Path, option: str) -> None:
    """What the user leaves out on the command line is not counted as removed."""
    write(claims / "claim.yaml", predictions(entry("bleu2", order=2)))
    write(claims / "kept.yaml", predictions(entry("bleu3", order=3)))
    found = compare(pytester, option)
    assert (found.status, found.moved) == (0, [])


# --- behind pytest's configuration ---


@pytest.mark.usefixtures("claims")
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("claims/pyproject.toml", '[tool.pytest.ini_options]\nminversion = "8"\n'),
        ("claims/tox.ini", "[pytest]\nminversion = 8\n"),
        ("claims/setup.cfg", "[tool:pytest]\nminversion = 8\n"),
    ],
)
def test_hide_the_gate_behind_a_nearer_ini_file(pytester: pytest.Pytester, name: str, text: str) -> None:
    """An ini file that pytest prefers takes away what the other one says, though it says nothing itself."""
    pytester.makefile(".ini", pytest="[pytest]\nclaims_gate = pass\n")
    commit(pytester)
    (pytester.path / name).write_text(text)
    found = compare(pytester)
    assert found.status == 1
    assert any(name in said for said in found.moved)


@pytest.mark.usefixtures("claims")
def test_hide_the_gate_behind_a_preferred_ini_file(pytester: pytest.Pytester) -> None:
    """An ini file that pytest prefers in the same folder hides the gate, too: pytest prefers pyproject.toml to tox.ini."""
    (pytester.path / "pytest.ini").unlink()
    (pytester.path / "tox.ini").write_text("[pytest]\nclaims_gate = pass\n")
    commit(pytester)
    (pytester.path / "pyproject.toml").write_text('[tool.pytest.ini_options]\nminversion = "8"\n')
    found = compare(pytester)
    assert found.status == 1
    assert any("pyproject.toml" in said for said in found.moved)


# --- in what the claim says ---


def test_keep_only_the_rows_without_a_value(pytester: pytest.Pytester, claims: Path) -> None:
    """Under `where`, null is a value: the rows that have none."""
    text = (claims / "claim.yaml").read_text()
    (claims / "claim.yaml").write_text(text.replace("images: 3}", "images: 3, where: {hard: null}}"))
    found = compare(pytester, accept=False)
    assert any("where.hard" in said for said in found.moved)


def test_force_an_image_size_on_the_processor(pytester: pytest.Pytester, claims: Path) -> None:
    """An image setting in run changes what the processor does, also where the protocol says the same."""
    write(claims / "claim.yaml", captioning(entry(), protocol__image={"size": 364}))
    commit(pytester)
    write(claims / "claim.yaml", captioning(entry(), protocol__image={"size": 364}, run__image={"size": 364}))
    found = compare(pytester, "--claims-dry-run", accept=False)
    assert any(said.startswith("run.image") for said in found.moved)


# --- in the data ---


def test_edit_data_in_a_submodule(pytester: pytest.Pytester, claims: Path) -> None:
    """Data in a submodule are what the pinned commit holds: another commit is other data."""
    source = pytester.path.parent / f"{pytester.path.name}-data"
    released(source, TEXTS)
    git(source, "init", "-q", "-b", "main")
    git(source, "add", "-A")
    git(source, "commit", "-qm", "data")
    git(pytester.path, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(source), "claims/data")
    moved: dict[str, Any] = {"run__predictions__path": "data/out.json", "run__references__path": "data/refs.json"}
    write(claims / "claim.yaml", predictions(entry(), **moved))
    commit(pytester)
    references = claims / "data" / "refs.json"
    references.write_text(json.dumps({**json.loads(references.read_text()), "1": ["a dog runs on the beach", "a cat"]}))
    git(claims / "data", "commit", "-qam", "easier")
    found = compare(pytester)
    assert any("data/refs.json" in said for said in found.moved)


# --- around the verdict ---


def test_mark_a_red_claim_as_an_expected_failure(pytester: pytest.Pytester) -> None:
    """An xfail marker of a conftest does not turn a red claim green; its record keeps its own result."""
    put(pytester.path, of_status("fail", "a"))
    pytester.makeconftest(
        "import pytest\ndef pytest_collection_modifyitems(items):\n    items[0].add_marker(pytest.mark.xfail(reason='x'))"
    )
    found = run(pytester, "claims", twice=True)
    assert (found.ret, found.results) == (1, {"a": "failed"})


def test_drop_a_claim_without_a_word(pytester: pytest.Pytester) -> None:
    """A claim that a hook takes out of the session, and that nobody deselected, was selected and has no verdict."""
    put(pytester.path, claim("a"), claim("b"))
    pytester.makeconftest("def pytest_collection_modifyitems(items): del items[1:]")
    found = run(pytester, "claims")
    assert (found.ret, found.results["b"]) == (1, "failed")


def test_set_the_exit_status_at_the_end(pytester: pytest.Pytester) -> None:
    """A hook that says at the end of the session that all went well does not have the last word."""
    put(pytester.path, of_status("fail", "a"))
    pytester.makeconftest("def pytest_sessionfinish(session): session.exitstatus = 0")
    result = pytester.runpytest_inprocess("claims", *LEAN)
    assert result.ret == 1
