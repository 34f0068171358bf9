"""Move the bar out of sight of `--claims-base`: under another name, in another file, in the data, in pytest's configuration."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.attacks.repository import TEXTS, claims, compare, entry, git, move
from tests.builders import Document, captioning, predictions, released, write, yaml_of
from tests.running import LEAN
from tests.shapes import torch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["claims", "torch"]  # a fixture of this module; what an inner run must not be the first to import


def loose(name: str = "bleu1", **changes: Any) -> Document:
    """A claim file with a looser band for BLEU-1."""
    return predictions(entry(name, pass_="9", partial="20%", **changes), entry("bleu2", order=2))


@pytest.mark.usefixtures("claims")
def test_nothing_moved(pytester: pytest.Pytester) -> None:
    """A branch that changes nothing is green, and says so of each claim."""
    found = compare(pytester)
    assert (found.status, found.moved, found.standing) == (0, [], {"bleu1": "unchanged", "bleu2": "unchanged"})


# --- under another name ---


def rename_id(claims: Path) -> None:
    """Another id, and a looser band."""
    write(claims / "claim.yaml", loose("unigrams"))


def rename_file(claims: Path) -> None:
    """Another file, and a looser band."""
    (claims / "claim.yaml").unlink()
    write(claims / "other.yaml", loose())


def rename_both(claims: Path) -> None:
    """Another file, another id, and a looser band."""
    (claims / "claim.yaml").unlink()
    write(claims / "other.yaml", loose("unigrams"))


def move_down(claims: Path) -> None:
    """Into a folder below, with its data, and a looser band."""
    for name in ("claim.yaml", "out.json", "refs.json"):
        move(claims / name, claims / "deep" / name)
    write(claims / "deep" / "claim.yaml", loose())


def split(claims: Path) -> None:
    """Into two files, one of them looser."""
    write(claims / "claim.yaml", predictions(entry("bleu2", order=2)))
    write(claims / "first.yaml", predictions(entry("bleu1", pass_="9", partial="20%")))


def link(claims: Path) -> None:
    """Into a link to a looser file that is not below claims/."""
    elsewhere = claims.parent / "elsewhere.yaml"
    write(elsewhere, loose())
    (claims / "claim.yaml").unlink()
    (claims / "claim.yaml").symlink_to(elsewhere)


def link_folder(claims: Path) -> None:
    """The folder becomes a link to another folder."""
    move(claims, claims.parent / "elsewhere")
    claims.symlink_to(claims.parent / "elsewhere")
    write(claims / "claim.yaml", loose())


def other_words(claims: Path) -> None:
    """The citation has another spelling, the claim another id, and the band is looser."""
    write(claims / "claim.yaml", loose("x", citation__section="table  1", citation__row="OURS"))


@pytest.mark.parametrize("how", [rename_id, rename_file, rename_both, move_down, split, link, link_folder, other_words])
def test_loosen_the_tolerance_behind_a_rename(
    pytester: pytest.Pytester, claims: Path, how: Callable[[Path], None]
) -> None:
    """A claim is found again by what it claims, wherever and under whatever name it stands, and what moved is named."""
    how(claims)
    found = compare(pytester)
    assert found.status == 1
    assert "tolerance.pass: 1.0 → 9" in found.moved
    assert "tolerance.partial: 5% → 20%" in found.moved


def test_merge_two_files(pytester: pytest.Pytester, claims: Path) -> None:
    """Two files made one are two claims still."""
    shutil.copy(claims / "claim.yaml", claims / "kept.yaml")
    git(pytester.path, "checkout", "-q", "main")
    write(claims / "claim.yaml", predictions(entry("bleu1")))
    write(claims / "kept.yaml", predictions(entry("bleu2", order=2)))
    git(pytester.path, "add", "-A")
    git(pytester.path, "commit", "-qm", "two files")
    git(pytester.path, "checkout", "-q", "change")
    git(pytester.path, "reset", "-q", "--hard", "main")
    (claims / "kept.yaml").unlink()
    write(claims / "claim.yaml", predictions(entry("bleu1"), entry("bleu2", order=2, pass_="3")))
    found = compare(pytester)
    assert found.moved == ["tolerance.pass: 1.0 → 3"]


def test_rename_a_claim(pytester: pytest.Pytester, claims: Path) -> None:
    """A new id of a claim is named, even if nothing else changed: other people know the claim by its id."""
    text = (claims / "claim.yaml").read_text()
    (claims / "claim.yaml").write_text(text.replace("id: bleu1", "id: unigrams"))
    assert compare(pytester).moved == ["id: bleu1 → unigrams"]


@pytest.mark.parametrize("way", ["file", "folder"])
def test_turn_a_claim_file_into_a_link(pytester: pytest.Pytester, claims: Path, way: str) -> None:
    """What a link leads to can be changed elsewhere: becoming one is a move by itself."""
    target = claims.parent / "elsewhere"
    if way == "file":
        target.mkdir()
        move(claims / "claim.yaml", target / "claim.yaml")
        (claims / "claim.yaml").symlink_to(target / "claim.yaml")
    else:
        move(claims, target)
        claims.symlink_to(target)
    found = compare(pytester)
    assert found.status == 1
    assert all(text.startswith("file: a plain file → a symbolic link: claims") for text in found.moved)


# --- by leaving it out ---


def drop_one(claims: Path) -> None:
    """One of two claims."""
    write(claims / "claim.yaml", predictions(entry("bleu2", order=2)))


def drop_and_replace(claims: Path) -> None:
    """One of two, with an easier one in its place."""
    easy = entry("bleu3", order=3, value="99.0")
    write(claims / "claim.yaml", predictions(easy, entry("bleu2", order=2)))


def drop_to_the_attic(claims: Path) -> None:
    """Into a folder that nobody runs."""
    move(claims / "claim.yaml", claims.parent / "attic" / "claims" / "claim.yaml")
    write(claims / "claim.yaml", predictions(entry("bleu2", order=2)))


def drop_by_its_ending(claims: Path) -> None:
    """Into a file that is no YAML any more."""
    move(claims / "claim.yaml", claims / "claim.yaml.txt")
    write(claims / "claim.yaml", predictions(entry("bleu2", order=2)))


@pytest.mark.parametrize("how", [drop_one, drop_and_replace, drop_to_the_attic, drop_by_its_ending])
@pytest.mark.parametrize("options", [(), ("-n", "2"), ("-k", "bleu2")])
def test_remove_a_claim(
    pytester: pytest.Pytester, claims: Path, how: Callable[[Path], None], options: tuple[str, ...]
) -> None:
    """A claim that is gone has a record of its own in every report, and is red."""
    how(claims)
    found = compare(pytester, *options)
    assert found.status == 1
    (gone,) = (record for record in found.records if record["evidence"]["claim"]["id"] == "bleu1")
    assert gone["verdict"]["status"] == "error"
    assert gone["evidence"]["reason"].startswith("removed: ")
    assert gone["evidence"]["baseline"] == "removed"
    assert "bleu1" in found.out


@pytest.mark.parametrize("options", [(), ("-n", "2")])
@pytest.mark.parametrize("way", ["no files", "no folder", "empty file list"])
def test_remove_every_claim(pytester: pytest.Pytester, claims: Path, way: str, options: tuple[str, ...]) -> None:
    """A folder without claims is no green folder."""
    args: tuple[str, ...] = ("claims",)
    (claims / "claim.yaml").unlink()
    if way == "no folder":
        shutil.rmtree(claims)
        args = (".",)
    found = compare(pytester, *options, args=args)
    assert found.status == 1
    assert found.standing == {"bleu1": "removed", "bleu2": "removed"}


def test_put_another_claim_under_the_same_id(pytester: pytest.Pytester, claims: Path) -> None:
    """The id stays, and claims something else: what it claimed is named."""
    other = entry("bleu1", order=4, citation__row="theirs")
    write(claims / "claim.yaml", predictions(other, entry("bleu2", order=2)))
    found = compare(pytester)
    assert {"citation.row: ours → theirs", "citation.column: B@1 → B@4", "metric: bleu1 → bleu4"} <= set(found.moved)


def test_a_session_that_asks_for_less_removes_nothing(pytester: pytest.Pytester, claims: Path) -> None:
    """What was not asked for is not missing: another file, one claim of a file, an ignored or deselected one."""
    released(claims / "other", TEXTS)
    write(claims / "other" / "other.yaml", predictions(entry("bleu4", order=4)))
    git(pytester.path, "add", "-A")
    git(pytester.path, "commit", "-qm", "another")
    git(pytester.path, "branch", "-f", "main")
    assert compare(pytester, args=("claims/other",)).standing == {"bleu4": "unchanged"}
    assert compare(pytester, args=("claims/claim.yaml::bleu1",)).standing == {"bleu1": "unchanged"}
    assert set(compare(pytester, "--ignore=claims/other").standing) == {"bleu1", "bleu2"}
    assert set(compare(pytester, "-k", "bleu1").standing) == {"bleu1"}
    assert set(compare(pytester, "--deselect=claims/claim.yaml::bleu1").standing) == {"bleu2", "bleu4"}


# --- in what it names ---


EASIER = {**TEXTS, "1": "a dog runs at the beach"}


@pytest.mark.parametrize("name", ["refs.json", "out.json"])
def test_edit_the_data(pytester: pytest.Pytester, claims: Path, name: str) -> None:
    """An edited file that a claim names is named, also where its time stamp and git's index say that it is the old one."""
    path = claims / name
    before = path.stat()
    path.write_text(path.read_text().replace("chess", "cards"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    git(pytester.path, "update-index", "--assume-unchanged", f"claims/{name}")
    found = compare(pytester, accept=False)
    assert found.status == 1
    assert f"data {name}: claims/{name} → edited" in found.moved


def test_edit_the_data_and_move_them(pytester: pytest.Pytester, claims: Path) -> None:
    """Data that moved with their claim are compared where they are now."""
    for name in ("claim.yaml", "out.json", "refs.json"):
        move(claims / name, claims / "deep" / name)
    released(claims / "deep", EASIER)
    found = compare(pytester)
    assert {"data out.json: claims/out.json → edited", "data refs.json: claims/refs.json → edited"} == set(found.moved)


def test_put_easier_data_before_the_folder_that_holds_them(pytester: pytest.Pytester, claims: Path) -> None:
    """The plugin looks for data beside the claim first. A file that appears there hides the one of --claims-data."""
    outside = pytester.path.parent / f"{pytester.path.name}-data"
    outside.mkdir()
    for name in ("out.json", "refs.json"):
        move(claims / name, outside / name)
    git(pytester.path, "add", "-A")
    git(pytester.path, "commit", "-qm", "data elsewhere")
    git(pytester.path, "branch", "-f", "main")
    assert compare(pytester, f"--claims-data={outside}").moved == []
    released(claims, EASIER)
    found = compare(pytester, f"--claims-data={outside}")
    assert "data refs.json: not in the repository → claims/refs.json" in found.moved


def test_edit_a_file_of_the_model(pytester: pytest.Pytester, claims: Path) -> None:
    """Every file below the folder of a checkpoint in the repository counts."""
    (claims / "model" / "sub").mkdir(parents=True)
    for name in ("config.json", "sub/weights.safetensors", "tokenizer.json"):
        (claims / "model" / name).write_text("{}")
    write(claims / "claim.yaml", captioning(entry("bleu1"), run__requires={"device": "cuda"}))
    git(pytester.path, "add", "-A")
    git(pytester.path, "commit", "-qm", "a model")
    git(pytester.path, "branch", "-f", "main")
    assert compare(pytester).moved == []
    (claims / "model" / "sub" / "weights.safetensors").write_text("[]")
    (claims / "model" / "new.json").write_text("{}")
    (claims / "model" / "tokenizer.json").unlink()
    assert compare(pytester).moved == [
        "data model: claims/model → edited: new.json, sub/weights.safetensors, tokenizer.json"
    ]


# --- in what is expected, and in pytest's configuration ---


@pytest.mark.parametrize("status", ["fail", "partial", "error", "pending"])
def test_expect_the_failure(pytester: pytest.Pytester, claims: Path, status: str) -> None:
    """An expectation that was added is named."""
    text = (claims / "claim.yaml").read_text()
    (claims / "claim.yaml").write_text(text.replace("partial: 5%}\n", f"partial: 5%}}\n    expect: {status}\n", 1))
    found = compare(pytester, accept=False)
    assert f"expect: not given → {status}" in found.moved


CONFIGURATIONS = {
    "the gate": ("pytest.ini", "[pytest]\naddopts = -p no:cacheprovider\nclaims_gate = partial\n",
                 "claims_gate: not given → partial"),
    "the options": ("pytest.ini", "[pytest]\naddopts = -p no:cacheprovider -k bleu2\n",
                    "addopts: -p no:cacheprovider → -p no:cacheprovider -k bleu2"),
    "the globs": ("pytest.ini", "[pytest]\naddopts = -p no:cacheprovider\nclaims_files = claims/*.yaml\n",
                  "claims_files: not given → claims/*.yaml"),
    "the folders": ("pytest.ini", "[pytest]\naddopts = -p no:cacheprovider\nnorecursedirs = deep\n",
                    "norecursedirs: not given → deep"),
    "another file first": ("pytest.toml", "[pytest]\naddopts = ['-p', 'no:cacheprovider']\n", "pytest.toml: added"),
    "a hidden file": (".pytest.ini", "[pytest]\n", ".pytest.ini: added"),
    "a file in the folder": ("claims/tox.ini", "[pytest]\nclaims_gate = partial\n", "claims_gate: not given → partial"),
    "pyproject": ("pyproject.toml", "[tool.pytest.ini_options]\nclaims_gate = 'partial'\n", "claims_gate: not given → partial"),
    "setup.cfg": ("setup.cfg", "[tool:pytest]\naddopts = -x\n", "addopts: not given → -x"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.usefixtures("claims")
def test_change_the_configuration(pytester: pytest.Pytester, name: str) -> None:
    """A change of what is collected, with which options and under which gate is a record of its own, and red."""
    file, text, said = CONFIGURATIONS[name]
    (pytester.path / file).write_text(text)
    found = compare(pytester)
    assert found.status == 1
    assert any(said in text for text in found.moved), found.moved


@pytest.mark.usefixtures("claims")
def test_remove_the_configuration(pytester: pytest.Pytester) -> None:
    """A configuration file that was removed is red, too."""
    (pytester.path / "pytest.ini").unlink()
    found = compare(pytester)
    assert "pytest.ini: removed\npytest.ini: addopts: -p no:cacheprovider → not given" in found.moved


CODE = {
    "a hook": ("conftest.py", "def pytest_runtest_makereport(item, call): pass\n", "conftest.py: changed"),
    "an import": ("conftest.py", "import os\n", "conftest.py: changed"),
    "in the folder": ("claims/conftest.py", "x = 1\n", "claims/conftest.py: added"),
    "a plugin": (
        "conftest.py",
        "import sys\nsys.path.insert(0, 'lib')\npytest_plugins = ['local_plugin']\n",
        "conftest.py: changed",
    ),
}


@pytest.mark.parametrize("name", CODE)
@pytest.mark.usefixtures("claims")
def test_change_the_code_that_runs_with_the_claims(pytester: pytest.Pytester, name: str) -> None:
    """A conftest.py that changed or appeared on the way to a claim is a record of its own, and red."""
    file, text, said = CODE[name]
    if name == "a plugin":
        (pytester.mkdir("lib") / "local_plugin.py").write_text("")
    (pytester.path / file).write_text(text)
    found = compare(pytester)
    assert any(text.startswith(f"{said}, and it runs with the claims") for text in found.moved), found.moved


@pytest.mark.usefixtures("claims")
def test_change_a_plugin_of_the_repository(pytester: pytest.Pytester) -> None:
    """A plugin of the repository that the command line names runs with the claims: a change of it is red."""
    (pytester.path / "quiet_claims.py").write_text("x = 1\n")
    git(pytester.path, "add", "-A")
    git(pytester.path, "commit", "-qm", "a plugin")
    git(pytester.path, "branch", "-f", "main")
    pytester.syspathinsert()
    assert compare(pytester, "-p", "quiet_claims").moved == []
    (pytester.path / "quiet_claims.py").write_text("def pytest_runtest_setup(item): pass\n")
    found = compare(pytester, "-p", "quiet_claims")
    assert found.moved == ["quiet_claims.py: changed, and it runs with the claims"]


# --- by keeping git from looking ---


def test_run_from_another_repository(pytester: pytest.Pytester, claims: Path) -> None:
    """The repository is that of the given paths, not of the working folder."""
    write(claims / "claim.yaml", loose())
    other = pytester.path.parent / f"{pytester.path.name}-other"
    other.mkdir()
    git(other, "init", "-q", "-b", "main")
    git(other, "commit", "-q", "--allow-empty", "-m", "x")
    pytester.makefile(".ini", pytest="[pytest]\naddopts = -p no:cacheprovider\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(other)
        report = other / "v.json"
        result = pytester.runpytest_inprocess(str(claims), "--claims-base=main", f"--claims-report={report}", *LEAN)
    assert result.ret == 1
    (record, _) = json.loads(report.read_text())["records"]
    assert record["evidence"]["moved"]


def test_point_git_at_another_repository(
    pytester: pytest.Pytester, claims: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables that a git hook sets do not lead elsewhere, and a replaced object is not what was committed."""
    other = pytester.path.parent / f"{pytester.path.name}-hook"
    other.mkdir()
    git(other, "init", "-q", "-b", "main")
    git(other, "commit", "-q", "--allow-empty", "-m", "x")
    write(claims / "claim.yaml", loose())
    git(pytester.path, "add", "-A")
    git(pytester.path, "commit", "-qm", "loose")
    git(pytester.path, "replace", "main:claims/claim.yaml", "HEAD:claims/claim.yaml")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert "tolerance.pass: 1.0 → 9" in compare(pytester).moved


@pytest.mark.parametrize("kind", ["nested", "outside", "two"])
def test_put_the_claims_where_git_does_not_look(pytester: pytest.Pytester, claims: Path, kind: str) -> None:
    """A claim file in another repository, or in none, cannot be compared: an error, never a new claim."""
    args: tuple[str, ...] = ("claims",)
    if kind == "nested":
        git(claims, "init", "-q")
    else:
        outside = pytester.path.parent / f"{pytester.path.name}-outside"
        shutil.copytree(claims, outside / "claims")
        if kind == "two":
            git(outside, "init", "-q")
        args = ("claims", str(outside / "claims"))
    result = pytester.runpytest_inprocess(*args, "--claims-base=main", *LEAN)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --claims-base=main: *"])


def test_a_partial_clone_that_is_offline(pytester: pytest.Pytester, claims: Path) -> None:
    """If git has the name of a file and not its content, it cannot compare. That is an error, and never a new claim."""
    blob = git(pytester.path, "rev-parse", "main:claims/claim.yaml").strip()
    (pytester.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    write(claims / "claim.yaml", loose())
    result = pytester.runpytest_inprocess("claims", "--claims-base=main", *LEAN)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --claims-base=main: git cat-file: *"])


@pytest.mark.parametrize("options", [("-n", "2")])
@pytest.mark.usefixtures("claims")
def test_what_a_worker_cannot_compare_is_red(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    """Under xdist the workers compare: what a worker cannot compare is an error, too."""
    blob = git(pytester.path, "rev-parse", "main:claims/claim.yaml").strip()
    (pytester.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    result = pytester.runpytest_inprocess("claims", "--claims-base=main", *options, *LEAN)
    assert result.ret != 0
    assert "git cat-file" in result.stdout.str() + result.stderr.str()


# --- what did not move ---


BAND = "{pass: 1.0, partial: 5%}"
SAME = {
    "1 for 1.0": lambda text: text.replace("pass: 1.0", "pass: 1"),
    "1.00 for 1.0": lambda text: text.replace("pass: 1.0", "pass: 1.00"),
    "5.0% for 5%": lambda text: text.replace("5%", "5.0%"),
    "comments": lambda text: "# a comment\n" + text.replace("claims:", "claims:  # here they are"),
    "notes and titles": lambda text: text.replace("title: A paper", "title: The paper").replace(
        'quoted_text: "ours 100.0"', 'notes: seen, quoted_text: "our result: 100.0"'
    ),
    "keys in another order": lambda text: text.replace(
        "metric: bleu1, value: 100.0, unit: percent", "unit: percent, value: 100.0, metric: bleu1"
    ),
    "claims in another order": lambda _: yaml_of(predictions(entry("bleu2", order=2), entry("bleu1"))),
    "a moved anchor": lambda text: text.replace(f"tolerance: {BAND}", f"tolerance: &t {BAND}", 1).replace(
        f"tolerance: {BAND}", "tolerance: *t"
    ),
    "a default that is written down": lambda text: text.replace("path: refs.json", "path: refs.json, captions: caption"),
    "a setting that repeats the protocol": lambda text: text.replace("  references:", "  metric: coco-caption\n  references:"),
    "block style": lambda text: text.replace(
        "protocol:\n  dataset: {id: tiny, images: 3}\n  metric: coco-caption",
        "protocol:\n  metric: coco-caption\n  dataset:\n    images: 3\n    id: tiny",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_what_says_the_same_is_not_red(pytester: pytest.Pytester, claims: Path, name: str) -> None:
    """A change of spelling, order, comments or layout does not move the bar."""
    before = (claims / "claim.yaml").read_text()
    after = SAME[name](before)  # type: ignore[no-untyped-call] # a table of lambdas
    assert after != before
    (claims / "claim.yaml").write_text(after)
    found = compare(pytester)
    assert (found.status, found.moved) == (0, []), found.out


@pytest.mark.parametrize("where", ["claims/deep", "claims", "other/claims/x"])
def test_a_claim_that_moved_with_its_data_is_not_red(pytester: pytest.Pytester, claims: Path, where: str) -> None:
    """A claim in another place, unchanged and with the same data, is shown to have moved and is green."""
    target = pytester.path / where
    for name in ("claim.yaml", "out.json", "refs.json"):
        move(claims / name, target / (name.replace("claim", "renamed")))
    found = compare(pytester, args=(".",))
    assert (found.status, found.moved) == (0, [])
    assert found.records[0]["evidence"]["notes"] == ["The claim stood in claims/claim.yaml at the merge base."]


@pytest.mark.usefixtures("claims")
def test_configuration_and_code_that_say_the_same(pytester: pytest.Pytester) -> None:
    """Other keys, comments, docstrings and layout are no move."""
    (pytester.path / "pytest.ini").write_text(
        "# a comment\n[pytest]\naddopts =\n    -p\n    no:cacheprovider\nxfail_strict = true\n"
    )
    (pytester.path / "conftest.py").write_text('"""Something."""\n\n# a comment\n')
    found = compare(pytester)
    assert (found.status, found.moved) == (0, [])


def test_a_new_claim_is_listed(pytester: pytest.Pytester, claims: Path) -> None:
    """A claim that the base does not have is new, not red, and named."""
    every = predictions(entry("bleu1"), entry("bleu2", order=2), entry("bleu4", order=4))
    write(claims / "claim.yaml", every)
    found = compare(pytester)
    assert (found.status, found.moved) == (0, [])
    assert found.standing == {"bleu1": "unchanged", "bleu2": "unchanged", "bleu4": "new"}
    assert "new since the merge base: bleu4" in found.out


def test_line_ends_of_data_are_no_edit(pytester: pytest.Pytester, claims: Path) -> None:
    """A checkout may write other line ends."""
    path = claims / "refs.json"
    path.write_text(path.read_text().replace(", ", ",\n"))
    git(pytester.path, "commit", "-qam", "lines")
    git(pytester.path, "branch", "-f", "main")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert compare(pytester).moved == []
