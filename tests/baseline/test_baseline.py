"""The moved bar: a claim against itself at the merge base, through pytest and git."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.attacks.repository import git
from tests.builders import claim, predictions, released, yaml_of
from tests.running import LEAN

if TYPE_CHECKING:
    from pathlib import Path

PERFECT = claim("bleu1", tolerance={"pass": Decimal("1.0"), "partial": "5%"})
CLAIM = yaml_of(predictions(PERFECT, protocol__prompt="a photo of"))


@pytest.fixture
def repository(pytester: pytest.Pytester) -> Path:
    """A repository with a claim that passes, committed on main, and a branch to change it on."""
    claims = pytester.mkdir("claims")
    released(claims)
    (claims / "claim.yaml").write_text(CLAIM)
    git(pytester.path, "init", "-q", "-b", "main")
    git(pytester.path, "add", "-A")
    git(pytester.path, "commit", "-qm", "a claim")
    git(pytester.path, "checkout", "-qb", "change")
    return claims / "claim.yaml"


def run(pytester: pytest.Pytester, *options: str) -> tuple[pytest.RunResult, Any]:
    """Run pytest on claims/ and give back the result and the only record."""
    result = pytester.runpytest_inprocess(
        "claims", "--claims-report=v.json", "--claims-report=v.xml", "-p", "no:cacheprovider", *options, *LEAN
    )
    (record,) = json.loads((pytester.path / "v.json").read_text())["records"]
    return result, record


@pytest.mark.parametrize(
    ("before", "after", "key", "change"),
    [
        ("pass: 1.0", "pass: 2.0", "tolerance.pass", "1.0 → 2.0"),
        ("value: 100.0", "value: 99.0", "value", "100.0 → 99.0"),
        ("prompt: a photo of", 'prompt: ""', "protocol.prompt", "a photo of → ''"),
        ("5%}", "5%}\n    expect: pass", "expect", "not given → pass"),
        ("5%}", "5%}\n    direction: at_least", "direction", "two_sided → at_least"),
        ("path: refs.json", "path: refs.json, captions: x", "run.references.captions", "caption → x"),
    ],
)
def test_a_moved_bar_is_red(
    pytester: pytest.Pytester, repository: Path, before: str, after: str, key: str, change: str
) -> None:
    """A change of value, tolerance, protocol or expectation is shown in every report, and red until it is accepted."""
    text = repository.read_text().replace(before, after)
    if key == "value":
        text = text.replace("ours 100.0", "ours 99.0")
    repository.write_text(text)
    old, new = change.split(" → ")
    result, record = run(pytester, "--claims-base=main")
    assert result.ret == 1
    assert record["evidence"]["moved"] == [{"key": key, "before": old, "after": new}]
    assert record["evidence"]["test"]["type"] == "claim.moved"
    assert record["evidence"]["test"]["message"].startswith(f"the bar moved ({key}: {change}). ")
    assert f"moved: {key}: {change}" in (pytester.path / "v.xml").read_text()
    result, record = run(pytester, "--claims-base=main", "--claims-accept-moved")
    assert result.ret == 0
    assert record["evidence"]["moved"] == [{"key": key, "before": old, "after": new}]


def test_what_does_not_move_the_bar(pytester: pytest.Pytester, repository: Path) -> None:
    """Comments, notes, formatting and a renamed claim file do not move the bar."""
    text = CLAIM.replace("title: A paper", "title: The paper").replace("ours 100.0}", "ours 100.0, notes: seen}")
    repository.write_text(f"# a comment\n{text}")
    result, record = run(pytester, "--claims-base=main")
    assert result.ret == 0
    assert record["evidence"]["moved"] == []
    repository.rename(repository.with_name("renamed.yaml"))
    result, record = run(pytester, "--claims-base=main")
    assert record["evidence"]["moved"] == []


def test_the_merge_base_counts(pytester: pytest.Pytester, repository: Path) -> None:
    """What main changed after the branch left it is not held against the branch."""
    git(pytester.path, "checkout", "-q", "main")
    repository.write_text(CLAIM.replace("pass: 1.0", "pass: 0.1"))
    git(pytester.path, "commit", "-qam", "stricter")
    git(pytester.path, "checkout", "-q", "change")
    result, _ = run(pytester, "--claims-base=main")
    assert result.ret == 0


def test_a_broken_file_at_the_base(pytester: pytest.Pytester, repository: Path) -> None:
    """A file that was no valid claim file at the merge base is said to have moved: there is nothing to compare with."""
    repository.write_text("claims: broken")
    git(pytester.path, "commit", "-qam", "broken")
    repository.write_text(CLAIM)
    _, record = run(pytester, "--claims-base=HEAD")
    assert record["evidence"]["moved"] == [{"key": "file", "before": "not a valid claim file", "after": "valid"}]


@pytest.mark.parametrize(
    ("revision", "message"),
    [
        ("nowhere", "ERROR: --claims-base=nowhere: there is no such commit, or none in common with HEAD"),
        ("--output=x", "ERROR: --claims-base=--output=x: expected a git revision, such as origin/main"),
        ("", "ERROR: --claims-base=: expected a git revision, such as origin/main"),
    ],
)
def test_bad_revisions(pytester: pytest.Pytester, repository: Path, revision: str, message: str) -> None:
    """A revision that git does not know, or that would be an option, is one line of usage error."""
    assert repository.exists()
    result = pytester.runpytest_inprocess("claims", f"--claims-base={revision}", *LEAN)
    assert result.ret == 4
    result.stderr.fnmatch_lines([message.replace("[", "[[]")])


def test_no_repository(pytester: pytest.Pytester) -> None:
    """Outside a git repository the option is a usage error."""
    result = pytester.runpytest_inprocess("--claims-base=main", *LEAN)
    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: --claims-base=main: not a git repository*"])
