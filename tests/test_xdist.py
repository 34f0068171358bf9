"""Under pytest-xdist: the same records as without it, whatever happens to a worker."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tests.builders import cell, claim, derived, of_status, put, sentence, write
from tests.running import STATUSES, Run, run, without_timings
from tests.test_plugin import BROKEN, excited, metric

if TYPE_CHECKING:
    from collections.abc import Sequence

xdist = pytest.importorskip("xdist", reason="pytest-xdist is not installed")


MEASURED = {"ours": {"claim": "a.yaml::one"}, "theirs": cell("90.0", "theirs", "B@1")}
PAPER = r"""
\begin{abstract}Our model outperforms theirs by 8.7\% on VQAv2. Our model outperforms theirs by 10.0\% on COCO.\end{abstract}
\begin{table}\caption{x}\begin{tabular}{lcc} & B@1 & VQAv2 \\ \hline
theirs & 90.0 & 56.3 \\ ours & 100.0 & 65.0 \\ \end{tabular}\end{table}
"""


def both(pytester: pytest.Pytester, args: Sequence[str] = (), distributed: Sequence[str] = ("-n", "2")) -> Run:
    """Run with and without xdist; the records must be the same."""
    alone = run(pytester, "claims", "-p", "no:cacheprovider", *args)
    found = run(pytester, "claims", "-p", "no:cacheprovider", *args, *distributed)
    assert found.ret == alone.ret
    assert json.loads(without_records(found)) == json.loads(without_records(alone))
    assert without_timings(found.xml) == without_timings(alone.xml)
    return found


def without_records(found: Run) -> str:
    """The JSON report as `without_timings` leaves it, made JSON again."""
    report = json.loads(found.json)
    for key in ("command", "started_at", "hostname"):
        report["run"].pop(key, None)
    for record in report["records"]:
        record["evidence"].pop("seconds")
        for verdict in (record["verdict"], *filter(None, record["verdicts"].values())):
            verdict.pop("computed_at")
    return json.dumps(report)


@pytest.mark.parametrize("dist", ["load", "loadfile"])
def test_every_status(pytester: pytest.Pytester, dist: str) -> None:
    """Two workers report what one process reports, a file that cannot be read and the claims left out among it."""
    put(pytester.path, *(of_status(status) for status in STATUSES))
    put(pytester.path, claim("other"), claim("left-out"), name="claims/deep/b.yaml")
    (pytester.path / "claims/bad.yaml").write_text(BROKEN)
    found = both(pytester, ["-k", "not left-out"], ["-n", "2", "--dist", dist])
    assert len(found.records) == len(STATUSES) + 2
    assert found.statuses["claims/bad.yaml"] == "error"
    assert found.info["deselected"] == 1
    assert found.ret == 1


def test_green(pytester: pytest.Pytester) -> None:
    """Under xdist, too, a session is green where every claim passes. The workers know the metric of a conftest."""
    pytester.makeconftest(metric(counts="{'whole': __import__('numpy').int64(3), 'nan': float('nan')}"))
    excited(pytester)
    found = both(pytester)
    assert (found.ret, found.statuses) == (0, {"one": "pass"})


def test_sentences(pytester: pytest.Pytester) -> None:
    """A derived claim has one verdict, whichever worker it runs on: its operand of another file runs on the other worker."""
    put(pytester.path, claim("one"), claim("two"), name="claims/a.yaml")
    quoted = "our model outperforms theirs by 10.0% on COCO"
    more = sentence("measured", reported__value=Decimal("10.0"), run__operands=MEASURED, citation__quoted_text=quoted)
    write(pytester.path / "claims" / "b.yaml", derived(sentence("printed"), more))
    (pytester.path / "claims" / "papers").mkdir()
    (pytester.path / "claims" / "papers" / "2301.12597.tex").write_text(PAPER, encoding="utf-8")
    found = both(pytester, distributed=["-n", "2", "--dist", "loadfile"])
    assert found.statuses == dict.fromkeys(("one", "two", "printed", "measured"), "pass")
    derivation = found.records["measured"]["evidence"]["derivation"]
    assert derivation["measured"]["value"] == pytest.approx(10)
    # The operand stays what it is, on whichever worker, and where it alone was not selected.
    alone = run(pytester, "claims/b.yaml", "-n", "2")
    assert alone.records["measured"]["evidence"]["derivation"] == derivation


def test_a_worker_that_dies(pytester: pytest.Pytester) -> None:
    """A claim whose worker is killed is an error with that reason; the other claims run in a new worker."""
    pytester.makeconftest(metric(body="__import__('os')._exit(1)"))
    put(pytester.path, *(claim(name) for name in "abc"))
    excited(pytester)
    (pytester.path / "claims/paper.yaml").rename(pytester.path / "claims/killer.yaml")
    put(pytester.path, *(claim(name) for name in "abc"), name="claims/deep/paper.yaml")
    found = run(pytester, "claims", "-n", "1")
    assert found.ret == 1
    assert found.statuses == {"a": "pass", "b": "pass", "c": "pass", "one": "error"}
    reason = found.records["one"]["evidence"]["reason"]
    assert reason == "The claim did not run: worker 'gw0' crashed while running 'claims/killer.yaml::one'."


def test_workers_that_all_die(pytester: pytest.Pytester) -> None:
    """Where no worker is left, the claims that no worker reached stand in the report as not attempted."""
    pytester.makeconftest(metric(body="__import__('os')._exit(1)"))
    excited(pytester)
    (pytester.path / "claims/paper.yaml").rename(pytester.path / "claims/killer.yaml")
    put(pytester.path, *(claim(name) for name in "abc"), name="claims/zzz/paper.yaml")
    found = run(pytester, "claims", "-n", "1", "--max-worker-restart=0")
    assert found.ret != 0
    assert found.statuses == {"a": "not_attempted", "b": "not_attempted", "c": "not_attempted", "one": "error"}


def test_stopping_at_a_red_claim(pytester: pytest.Pytester) -> None:
    """Under -x every claim stands in the report, run or not."""
    put(pytester.path, of_status("fail", "a"), *(claim(name) for name in "bcdef"))
    found = run(pytester, "claims", "-n", "2", "-x")
    assert found.ret != 0
    assert set(found.records) == set("abcdef")
    assert found.statuses["a"] == "fail"


def test_bad_options(pytester: pytest.Pytester) -> None:
    """A bad option is one line, before any worker starts."""
    result = pytester.runpytest_inprocess("-n", "2", "--claims-gate=green")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stderr.str().strip() == "ERROR: --claims-gate=green: expected partial or pass"
