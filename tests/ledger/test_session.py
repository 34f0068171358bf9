"""`--claims-ledger` and `--claims-stale`: what a session enters, and what it carries forward."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import __main__
from pytest_claims.ledger import load, retract
from tests.builders import claim, of_status, put
from tests.running import Run, run

if TYPE_CHECKING:
    from pathlib import Path

LEDGER = "--claims-ledger=ledger.jsonl"


def events(folder: Path) -> list[tuple[str, str]]:
    """The lines of the ledger: what happened, to which claim."""
    return [(entry.event, entry.key.claim if entry.key else "") for entry in load(folder / "ledger.jsonl").entries]


def history(found: Run, name: str) -> dict[str, Any]:
    """The history of a record."""
    kept: dict[str, Any] = found.records[name]["evidence"]["history"]
    return kept


def test_only_published_verdicts_enter(pytester: pytest.Pytester) -> None:
    """pass, partial and fail are entered, once; pending, not_attempted and error are not, and none of these is current."""
    statuses = ("pass", "partial", "fail", "pending", "not_attempted", "error")
    for status in statuses:
        put(pytester.path, of_status(status), name=f"claims/{status}/paper.yaml", **_of_file(status))
    first = run(pytester, "claims", LEDGER)
    assert sorted(events(pytester.path)) == [("verdict", "fail"), ("verdict", "partial"), ("verdict", "pass")]
    assert {name: record["verdict"]["is_current"] for name, record in first.records.items()} == {
        status.replace("_", "-"): status in ("pass", "partial", "fail") for status in statuses
    }
    assert {name: history(first, name)["change"] for name in ("pass", "fail", "pending")} == {
        "pass": "new", "fail": "new", "pending": None,
    }  # fmt: skip
    again = run(pytester, "claims", LEDGER)
    assert len(events(pytester.path)) == 3
    assert history(again, "partial")["change"] == "unchanged"
    stored = load(pytester.path / "ledger.jsonl")
    assert all(stored.record(entry).evidence.history is None for entry in stored.entries)


def _of_file(status: str) -> dict[str, Any]:
    """The part of `of_status` that stands in the file, not in the claim."""
    changes: dict[str, dict[str, Any]] = {
        "pending": {"run__dataset__id": "other"},
        "not_attempted": {"run__predictions__path": "missing.json"},
        "error": {"run__references__captions": "no-such-key"},
    }
    return changes.get(status, {})


def test_better_worse_and_why(pytester: pytest.Pytester) -> None:
    """A verdict is compared with the last current one, and what differs is named."""
    captions = {
        "1": "a dog runs on the beach",
        "2": "two men play a game of chess",
        "3": "a red bus stops at the corner",
    }
    put(pytester.path, claim("one", tolerance={"pass": 1, "partial": 90}))
    run(pytester, "claims", LEDGER)
    rows = [{"image_id": name, "caption": text.split(" ", 1)[1]} for name, text in captions.items()]
    (pytester.path / "claims/out.json").write_text(json.dumps(rows))
    worse = run(pytester, "claims", LEDGER)
    found = history(worse, "one")
    assert (found["change"], found["causes"], found["only_library"]) == ("worse", ["file out.json changed"], False)
    assert found["said"].startswith("pass 100.00 → partial ")
    assert "worse: one: pass 100.00 → partial" in worse.out
    assert [point["status"] for point in found["points"]] == ["pass"]
    put(pytester.path, claim("one", tolerance={"pass": 1, "partial": 90}))
    assert history(run(pytester, "claims", LEDGER), "one")["change"] == "better"


def test_only_a_library(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """If nothing but a library's version differs, the reports name it; another minor version makes the verdict stale."""
    import importlib.metadata

    put(pytester.path, claim("one"))
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "3.1.0" if name == "nltk" else version(name))
    run(pytester, "claims", LEDGER)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "3.1.9" if name == "nltk" else version(name))
    assert history(run(pytester, "claims", LEDGER, "--claims-stale"), "one")["carried"]
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "3.2.0" if name == "nltk" else version(name))
    ran = history(run(pytester, "claims", LEDGER, "--claims-stale"), "one")
    assert (ran["carried"], ran["causes"], ran["only_library"]) == (None, ["nltk 3.1.0 → 3.2.0"], True)


def test_stale_claims_run_and_others_are_carried(pytester: pytest.Pytester) -> None:
    """Only what changed runs. The others stand in every report with the date of their verdict, skipped and never passed."""
    tolerance = {"pass": 1, "partial": 50}
    put(pytester.path, claim("one"), claim("two"))
    run(pytester, "claims", LEDGER)
    put(pytester.path, claim("one"), claim("two", tolerance=tolerance), claim("three"))
    found = run(pytester, "claims", LEDGER, "--claims-stale")
    assert found.ret == 0
    assert found.results == {"one": "skipped", "two": "passed", "three": "passed"}
    assert found.statuses["one"] == "pass"
    assert history(found, "one")["carried"][:10] == history(found, "one")["points"][0]["at"][:10]
    assert found.records["one"]["evidence"]["test"]["message"].startswith("carried from 20")
    assert "carried from 20" in found.markdown
    nothing = run(pytester, "claims", LEDGER, "--claims-stale")
    assert nothing.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert set(nothing.results.values()) == {"skipped"}
    assert len(events(pytester.path)) == 4
    # -k comes first: what it leaves out is not carried forward.
    assert set(run(pytester, "claims", LEDGER, "--claims-stale", "-k", "one").records) == {"one"}


def test_another_source_of_the_paper(pytester: pytest.Pytester) -> None:
    """If the source that the citation is checked against appears or changes, the verdict is stale, and the claim runs."""
    put(pytester.path, claim("one"), paper__source="paper.tex")
    ask = (LEDGER, "--claims-stale")
    run(pytester, "claims", LEDGER)
    assert run(pytester, "claims", *ask).results == {"one": "skipped"}
    source = pytester.path / "claims" / "paper.tex"
    for rows in ("ours & 100.0", "theirs & 1.0"):
        source.write_text(
            r"\begin{table}\caption{A}\begin{tabular}{lc}Models & B@1 \\ " + rows + r" \\ \end{tabular}\end{table}"
        )
        found = run(pytester, "claims", *ask)
        assert found.results["one"] != "skipped"
    assert found.statuses == {"one": "pending"}


def test_a_carried_verdict_can_be_red(pytester: pytest.Pytester) -> None:
    """A fail that is carried forward keeps the session red, though nothing ran."""
    put(pytester.path, of_status("fail", "one"))
    assert run(pytester, "claims", LEDGER).ret == 1
    carried = run(pytester, "claims", LEDGER, "--claims-stale")
    assert (carried.ret, carried.results) == (1, {"one": "failed"})


def test_a_retracted_verdict_is_red(pytester: pytest.Pytester) -> None:
    """A retracted verdict is stale. If the run gives the very same one again, it is red, says why, and is not entered."""
    put(pytester.path, claim("one"))
    first = run(pytester, "claims", LEDGER)
    retract(pytester.path / "ledger.jsonl", first.records["one"]["verdict"]["id"], "the images were mixed up")
    again = run(pytester, "claims", LEDGER, "--claims-stale")
    record = again.records["one"]
    assert (again.ret, record["verdict"]["is_current"]) == (1, False)
    assert record["evidence"]["history"]["retracted"] == "the images were mixed up"
    assert "retracted: one: the images were mixed up" in again.out
    assert "retracted: the images were mixed up" in again.xml
    assert "retracted: the images were mixed up" in again.markdown
    assert len(events(pytester.path)) == 2


def test_an_older_report(pytester: pytest.Pytester) -> None:
    """A report from before a retraction says so when it is rendered again with the ledger."""
    put(pytester.path, claim("one"))
    first = run(pytester, "claims", LEDGER)
    ledger, report = pytester.path / "ledger.jsonl", pytester.path / "reports/first/verdicts.json"
    command = ["render", str(report), str(pytester.path / "again.md"), f"--claims-ledger={ledger}"]
    assert __main__.main(command) == 0
    assert "history: current" in (pytester.path / "again.md").read_text()
    retract(ledger, first.records["one"]["verdict"]["id"], "the images were mixed up")
    assert __main__.main(command) == 0
    assert "retracted: the images were mixed up" in (pytester.path / "again.md").read_text()


def test_workers(pytester: pytest.Pytester) -> None:
    """With xdist, the controller enters the verdicts, and the workers leave out what is not stale."""
    put(pytester.path, claim("one"), claim("two"))
    assert run(pytester, "claims", LEDGER, "-n1", child=True).ret == 0
    assert len(events(pytester.path)) == 2
    put(pytester.path, claim("one"), claim("two", tolerance={"pass": 1, "partial": 50}))
    found = run(pytester, "claims", LEDGER, "-n1", "--claims-stale", child=True)
    assert found.results == {"one": "skipped", "two": "passed"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--claims-stale"], "--claims-stale: expected --claims-ledger=PATH too"),
        ([LEDGER, "--claims-stale", "--claims-gate=pass"], "the gate pass asks that each claim is run"),
        (
            [LEDGER, "--claims-stale", "--claims-require-attempt"],
            "--claims-require-attempt asks that each claim is run",
        ),
        ([LEDGER, "--claims-stale", "--claims-sample=2"], "--claims-sample makes another run than that of the ledger"),
        (["--claims-ledger=claims"], "--claims-ledger=claims: expected a file name that ends in .jsonl"),
    ],
)
def test_options(pytester: pytest.Pytester, options: list[str], said: str) -> None:
    """A combination in which a carried verdict would stand for a run that was asked for is a usage error of one line."""
    result = pytester.runpytest_inprocess(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert said in result.stderr.str()


def test_a_broken_ledger(pytester: pytest.Pytester) -> None:
    """A ledger that was edited stops the session before anything runs."""
    put(pytester.path, claim("one"))
    run(pytester, "claims", LEDGER)
    path = pytester.path / "ledger.jsonl"
    path.write_text(path.read_text().replace("100.0", "99.0"))
    result = pytester.runpytest_inprocess("claims", LEDGER)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "ledger.jsonl:1: it was edited (claim one" in result.stderr.str()


def test_one_history_for_two_claims(pytester: pytest.Pytester) -> None:
    """Two claims that would share a history are refused, since each would supersede the other."""
    put(pytester.path, claim("one"))
    put(pytester.path, claim("one", value="50.0"), name="claims/other/paper.yaml")
    found = run(pytester, "claims", LEDGER, child=True)
    assert found.ret == 1
    assert "two claims of this session have the same history, one of" in found.out
    assert not (pytester.path / "ledger.jsonl").read_text()
