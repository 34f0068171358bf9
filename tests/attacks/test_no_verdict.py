"""Have a session green although a selected claim has no verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.builders import claim, of_status, put
from tests.running import LEAN, plain, run

if TYPE_CHECKING:
    from pathlib import Path


def two(folder: Path) -> None:
    """Two claims that pass."""
    put(folder, claim("a"), claim("b"))


CONFTESTS = {
    "skip in setup": "def pytest_runtest_setup(item):\n    if item.name == 'b': pytest.skip('not today')",
    "skip marker": "def pytest_collection_modifyitems(items):\n    items[1].add_marker(pytest.mark.skip(reason='no'))",
    "skipif marker": (
        "def pytest_collection_modifyitems(items):\n    items[1].add_marker(pytest.mark.skipif(True, reason='no'))"
    ),
    "xfail without a run": (
        "def pytest_collection_modifyitems(items):\n    items[1].add_marker(pytest.mark.xfail(run=False, reason='no'))"
    ),
    "exit with 0 in setup": "def pytest_runtest_setup(item):\n    if item.name == 'b': pytest.exit('enough', returncode=0)",
    "exit with 0 in call": "def pytest_runtest_call(item):\n    if item.name == 'b': pytest.exit('enough', returncode=0)",
    "exit with 0 in a log": (
        "def pytest_runtest_logstart(nodeid):\n    if nodeid.endswith('::b'): pytest.exit('enough', returncode=0)"
    ),
    "a protocol that does nothing": "def pytest_runtest_protocol(item):\n    return True if item.name == 'b' else None",
    "a loop that does nothing": "def pytest_runtestloop(session):\n    return True",
    "a call that does nothing": (
        "class Nothing:\n    def runtest(self): pass\n"
        "def pytest_collection_modifyitems(items):\n    items[1].runtest = lambda: None"
    ),
}


@pytest.mark.parametrize("name", CONFTESTS)
def test_keep_a_claim_from_running(pytester: pytest.Pytester, name: str) -> None:
    """A selected claim that did not run is red in every report, and so is the session."""
    two(pytester.path)
    pytester.makeconftest(f"import pytest\n{CONFTESTS[name]}")
    found = run(pytester, "claims")
    assert found.ret != 0
    assert found.results["b"] == "failed"
    assert found.statuses["b"] == "not_attempted"


@pytest.mark.parametrize("options", [("--setup-only",), ("--setup-plan",)])
def test_stop_after_the_setup(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    """Options of pytest that run no test give no verdict."""
    two(pytester.path)
    found = run(pytester, "claims", *options)
    assert found.ret == 1
    assert found.statuses == {"a": "not_attempted", "b": "not_attempted"}


@pytest.mark.parametrize("options", [("-x",), ("--maxfail=1",)])
def test_stop_at_the_first_failure(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    """What a failure keeps from running is red, too."""
    put(pytester.path, of_status("fail", "a"), claim("b"))
    found = run(pytester, "claims", *options)
    assert (found.ret, found.results) == (1, {"a": "failed", "b": "failed"})


@pytest.mark.parametrize("options", [("-k", "nothing"), ("--deselect=claims/paper.yaml",), ("--lf", "--lfnf=none")])
def test_select_nothing(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    """A session without a claim is not green."""
    two(pytester.path)
    assert plain(pytester, "claims", *options).ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize("report", ["passed", "skipped"])
def test_turn_a_red_claim_green_in_a_hook(pytester: pytest.Pytester, report: str) -> None:
    """A record that is red is no green session, whatever a hook tells pytest."""
    put(pytester.path, of_status("fail", "a"))
    pytester.makeconftest(
        "import pytest\n@pytest.hookimpl(wrapper=True, tryfirst=True)\n"
        "def pytest_runtest_makereport(item, call):\n    report = yield\n"
        f"    report.outcome = {report!r}\n    report.longrepr = ('x', 1, 'y') if {report!r} == 'skipped' else None\n"
        "    return report\n"
    )
    found = run(pytester, "claims")
    assert found.ret == 1
    assert found.results == {"a": "failed"}


@pytest.mark.parametrize("options", [("--claims-report=v.xml",), (), ("--claims-gate=pass",)])
def test_switch_the_recorder_off(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    """Without the recorder nobody counts what has no verdict: a usage error."""
    two(pytester.path)
    result = pytester.runpytest_inprocess("claims", "-p", "no:claims-recorder", *options, *LEAN)
    assert result.ret != 0
    said = result.stdout.str() + result.stderr.str()
    assert "-p no:claims-recorder: without it no verdict is recorded and no report is written" in said


@pytest.mark.parametrize("code", ["None", "0", "3"])
def test_end_the_session_inside_an_evaluation(pytester: pytest.Pytester, code: str) -> None:
    """`pytest.exit` ends the session; it is no error of one claim that lets the others go on, and never green."""
    two(pytester.path)
    pytester.makeconftest(
        "import pytest\nfrom pytest_claims.evaluation import predictions\n"
        f"def leave(*_): pytest.exit('enough', returncode={code})\n"
        "@pytest.fixture(autouse=True)\ndef nothing(): pass\n"
        "def pytest_sessionstart():\n    predictions.evaluate, predictions.kept = leave, predictions.evaluate\n"
        "def pytest_unconfigure():\n    predictions.evaluate = predictions.kept\n"
    )
    found = run(pytester, "claims")
    assert found.ret == {"None": 2, "0": 1, "3": 3}[code]
    assert found.statuses == {"a": "not_attempted", "b": "not_attempted"}
