"""Ways to be green through the ledger: each test is named after the attacker's goal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_claims.ledger import append, load
from pytest_claims.ledger.lines import verdict
from tests.attacks.repository import git
from tests.builders import claim, of_status, put
from tests.running import run

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = ("claims", "--claims-ledger=ledger.jsonl", "--claims-stale", "--claims-base=main", "-p", "no:cacheprovider")


@pytest.fixture
def repository(pytester: pytest.Pytester) -> Path:
    """A repository whose ledger holds a verdict on `passes`, and a branch `change`."""
    put(pytester.path, claim("passes"), of_status("fail", "fails"))
    pytester.makefile(".ini", pytest="[pytest]\n")
    (pytester.path / ".gitignore").write_text("reports\n*.lock\n")
    run(pytester, "claims", "--claims-ledger=ledger.jsonl", "-k", "passes", "-p", "no:cacheprovider")
    git(pytester.path, "init", "-q", "-b", "main")
    git(pytester.path, "add", "-A")
    git(pytester.path, "commit", "-qm", "claims")
    git(pytester.path, "checkout", "-qb", "change")
    return pytester.path


def test_forge_a_verdict_for_a_claim_that_fails(pytester: pytest.Pytester, repository: Path) -> None:
    """A line that the pull request adds carries nothing forward, however well it is made: the claim runs."""
    found = run(pytester, "claims", "--claims-ledger=other.jsonl", "-k", "fails", "-p", "no:cacheprovider")
    assert found.statuses == {"fails": "fail"}
    other = load(repository / "other.jsonl")
    (entry,) = other.entries
    values = other.record(entry).values()
    values["verdict"] |= {"status": "pass"}
    values["evidence"] |= {"outcome": "pass", "measured": 50.0}
    forged = type(other.record(entry)).model_validate(values)
    append(repository / "ledger.jsonl", [verdict(forged, other.values(entry)["rests_on"])])
    (repository / "other.jsonl").unlink()
    trusting = run(pytester, *OPTIONS[:3], "-p", "no:cacheprovider")
    assert trusting.results["fails"] == "skipped"  # without --claims-base, the ledger is trusted like the command line
    checked = run(pytester, *OPTIONS)
    assert checked.ret == 1
    assert checked.results == {"passes": "skipped", "fails": "failed"}
    assert checked.statuses["fails"] == "fail"


@pytest.mark.parametrize("how", ["cut off", "written anew"])
def test_rewrite_the_history(pytester: pytest.Pytester, repository: Path, how: str) -> None:
    """A ledger that lacks a line of the merge base is red, also if its own chain is whole."""
    path = repository / "ledger.jsonl"
    (record,) = [load(path).record(entry) for entry in load(path).entries]
    path.unlink()
    if how == "written anew":
        append(path, [verdict(record, {})])
    found = run(pytester, *OPTIONS, "-k", "passes")
    assert found.ret == 1
    assert "1 lines of the merge base are gone" in found.records["ledger.jsonl"]["evidence"]["reason"]


def test_keep_a_moved_bar_as_a_verdict(pytester: pytest.Pytester, repository: Path) -> None:
    """A verdict whose bar moved is stale, red and not entered, until the move is accepted."""
    put(repository, claim("passes", tolerance={"pass": 5, "partial": 30}), of_status("fail", "fails"))
    found = run(pytester, *OPTIONS, "-k", "passes")
    assert (found.ret, found.results["passes"]) == (1, "failed")
    assert len(load(repository / "ledger.jsonl").entries) == 1
    accepted = run(pytester, *OPTIONS, "-k", "passes", "--claims-accept-moved")
    assert accepted.results["passes"] == "passed"
    assert len(load(repository / "ledger.jsonl").entries) == 2


def test_publish_what_no_gate_published(pytester: pytest.Pytester) -> None:
    """A verdict that is withheld, or whose test broke after it, is not entered."""
    put(pytester.path, of_status("pending", "drifts"), run__dataset__id="other")
    run(pytester, "claims", "--claims-ledger=ledger.jsonl")
    assert load(pytester.path / "ledger.jsonl").entries == []
    (pytester.path / "conftest.py").write_text("def pytest_runtest_teardown(item): raise ValueError('torn down')")
    put(pytester.path, claim("passes"))
    found = run(pytester, "claims", "--claims-ledger=ledger.jsonl")
    assert found.statuses == {"passes": "pass"}
    assert load(pytester.path / "ledger.jsonl").entries == []
