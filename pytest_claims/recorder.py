"""Collects one record per claim over the whole session and writes the reports at its end.

One registered object, on xdist's workers one that only counts. It knows what was collected, so that a claim which never ran
(`-x`, Ctrl-C, a crashed worker) and a file that could not be read stand in every report.
"""

from __future__ import annotations

import platform
import shlex
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import __version__, naming, reports, state
from pytest_claims.errors import ClaimsError, SettingsError, SpecError, first_line
from pytest_claims.files import CLAIM_SUFFIXES
from pytest_claims.text import line

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from pytest_claims.reports.format import Record, RunInfo
    from pytest_claims.settings import Settings
    from pytest_claims.spec import Claim

NAME = "claims-recorder"


def start(config: pytest.Config) -> None:
    """Validate the options and register the recorder, once; called when an option is given or a claim file is met."""
    if config.pluginmanager.hasplugin(NAME):
        return
    if config.pluginmanager.is_blocked(NAME):
        raise pytest.UsageError(
            f"-p no:{NAME}: without it no verdict is recorded and no report is written; leave it out"
        )
    if state.settings_of(config).base is not None:
        state.tree_of(config)
    worker = hasattr(config, "workerinput")
    config.pluginmanager.register(Worker(config) if worker else Recorder(config), NAME)


class Counter:
    """What was collected."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.expected: dict[str, Any] = {}
        """Collected claims by node id: the claim, or None where only an xdist worker has it."""
        self.deselected = 0
        self.standing: dict[str, Record] = {}
        """Records of what is not among the collected claims: removed ones, and files that moved the bar."""
        self.dropped: list[str] = []
        """Claims that a hook took out of the session, without deselecting them."""
        self._complete = False
        self._announced: set[str] = set()

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Remember a claim at once: the session may end before the collection does."""
        claim = getattr(item, "claim", None)
        if claim is not None:
            self.expected[item.nodeid] = claim

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Remember what somebody left out, and said so."""
        self._announced.update(item.nodeid for item in items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self) -> None:
        """Remember that the collection came to its end."""
        self._complete = True

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Forget what was deselected, and count it, whichever of `-k` and its kin left it out."""
        chosen = {item.nodeid for item in session.items}
        collected = self.expected
        left_out = [nodeid for nodeid in collected if nodeid not in chosen]
        if self._complete:
            self.dropped = [nodeid for nodeid in left_out if nodeid not in self._announced]
        self.deselected = len(left_out) - len(self.dropped)
        self.expected = {
            nodeid: claim for nodeid, claim in collected.items() if nodeid in chosen or nodeid in self.dropped
        }
        if not self.config.option.collectonly:
            self._compare(session, [claim for claim in collected.values() if claim is not None])

    def _compare(self, session: pytest.Session, claims: Sequence[Claim]) -> None:
        """Hold everything that was collected against the merge base, if one is named."""
        if state.settings_of(self.config).base is None:
            return
        from pytest_claims import bar

        try:
            running = [claim for claim in self.expected.values() if claim is not None]
            found = bar.hold(session, claims, running, complete=self._complete)
        except SettingsError as error:
            # A worker cannot end the session: there, the claims say it.
            if not hasattr(self.config, "workerinput"):
                raise pytest.UsageError(line(str(error))) from None
            state.keep_comparison(self.config, error)
            return
        state.keep_comparison(self.config, found)
        self.standing = dict(bar.records(self.config, found))


class Worker(Counter):
    """On an xdist worker: tells the process that writes the reports what only a worker sees."""

    def pytest_sessionfinish(self) -> None:
        """Hand over the count, and what every worker found beside the claims."""
        output: dict[str, Any] = self.config.workeroutput  # type: ignore[attr-defined] # xdist's
        output["claims_deselected"] = self.deselected
        output["claims_standing"] = {nodeid: record.values() for nodeid, record in self.standing.items()}
        output["claims_dropped"] = self.dropped


class Recorder(Counter):
    """The records of one session, by node id."""

    def __init__(self, config: pytest.Config) -> None:
        super().__init__(config)
        self.records: dict[str, Record] = {}
        self.other_collection_errors = False
        self.written: list[Path] = []
        self.annotations: list[str] = []
        self.problems: list[str] = []
        self.started = datetime.now(UTC)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A claim file that cannot be read is a record too."""
        problems: Sequence[str] | None = getattr(report, "claims_problems", None)
        if problems:
            from pytest_claims.reports.record import of_file

            shown = naming.display(naming.file_of(report.nodeid, self.config.rootpath), self.config)
            self.records[report.nodeid] = of_file(shown, report.nodeid, problems)
        elif report.failed:
            self.other_collection_errors = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """A claim file that cannot be read must not keep the other files from running.

        pytest runs nothing after a collection error, since tests may depend on what was not imported; claims do not depend on
        each other. The broken file is still an error, and the exit code is not 0.
        """
        if self.records and not self.other_collection_errors:
            if session.shouldfail:  # -x, --maxfail
                raise session.Failed(session.shouldfail)
            self.config.option.continue_on_collection_errors = True

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Remember what is going to run in the workers."""
        for nodeid in ids:
            path, _, claim = nodeid.partition("::")
            if claim and path.endswith(CLAIM_SUFFIXES):
                self.expected.setdefault(nodeid, None)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Every worker collects the same, so any of them knows how many claims were left out, and what was removed."""
        output = getattr(node, "workeroutput", {})
        self.deselected = max(self.deselected, output.get("claims_deselected", 0))
        self.standing.update({nodeid: _record(values) for nodeid, values in output.get("claims_standing", {}).items()})
        self.dropped = output.get("claims_dropped", self.dropped)
        for nodeid in self.dropped:
            self.expected.setdefault(nodeid, None)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a claim's record; a claim that another plugin stopped, or whose worker died, gets one here."""
        nodeid, values = report.nodeid, getattr(report, "claims_record", None)
        if values is not None:
            self.records[nodeid] = _record(values)
        if nodeid not in self.expected:
            return
        if nodeid in self.records:
            self._follow(report)
        elif not report.passed:
            # Not skipped: nobody but the claim itself may say that it could not be attempted.
            status = "not_attempted" if report.skipped else "error"
            self._stand_in(nodeid, status, f"The claim did not run: {_reason(report)}.")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """Write the reports before anybody else has a say, and have the last word on whether the session is green."""
        if self.config.option.collectonly:
            self.records.clear()
        else:
            self._write(session)
        yield
        if any(record.evidence.test.result == "failed" for record in self.records.values()):
            _fail(session)

    def _write(self, session: pytest.Session) -> None:
        """Complete the records and write the reports."""
        for nodeid in self.expected:
            if nodeid not in self.records:
                why = "a hook took it out" if nodeid in self.dropped else "the session ended before its turn"
                self._stand_in(nodeid, "not_attempted", f"The claim did not run: {why}.")
        self.records.update(self.standing)
        if any(record.evidence.test.result == "failed" for record in self.records.values()):
            # Whatever pytest was told of a claim by others, or was never told: a record that is red is no green session.
            _fail(session)
        settings = state.settings_of(self.config)
        for path in settings.reports:
            self._report(session, path, reports.write)
        if settings.github is not None:
            from pytest_claims.reports import github

            self._report(session, settings.github, github.append)
            self.annotations += github.annotate(self.sorted(), self.config.invocation_params.dir)

    def _report(
        self, session: pytest.Session, path: Path, write: Callable[[Path, RunInfo, Sequence[Record]], None]
    ) -> None:
        """Write one report; what keeps it from being written is said at the end, and the session is red."""
        run = self._run_info(state.settings_of(self.config), session.exitstatus)
        try:
            write(path, run, self.sorted())
            self.written.append(path)
        except ClaimsError as error:
            self.problems.append(str(error))
            _fail(session)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The verdict table."""
        if self.config.option.collectonly:
            return
        settings = state.settings_of(self.config)
        self.records.update(self.standing)
        if self.records:
            from pytest_claims.reports import terminal

            terminal.show(terminalreporter, self.sorted(), dry_run=settings.dry_run)
        for path in self.written:
            terminalreporter.write_line(line(f"verdict report: {path}"))
        for problem in self.problems:
            terminalreporter.write_line(line(problem), red=True)
        self.problems.clear()
        for annotation in self.annotations:
            terminalreporter.write_line(annotation)
        self.annotations.clear()

    def pytest_unconfigure(self) -> None:
        """Say what no summary said: there is none without a terminal, and under --no-summary in some releases of pytest."""
        for problem in self.problems:
            print(line(problem), file=sys.stderr)
        for annotation in self.annotations:
            print(annotation)

    def sorted(self) -> list[Record]:
        """The records in an order that does not depend on who ran first."""
        return [self.records[nodeid] for nodeid in sorted(self.records)]

    def _run_info(self, settings: Settings, exitstatus: int | pytest.ExitCode) -> RunInfo:
        from pytest_claims.reports.format import RunInfo

        return RunInfo(
            tool=f"pytest-claims {__version__}",
            command=shlex.join(["pytest", *map(str, self.config.invocation_params.args)]),
            gate=settings.gate.value,
            exit_status=int(exitstatus),
            collected=len(self.records),
            deselected=self.deselected,
            started_at=self.started.isoformat(timespec="seconds"),
            hostname=platform.node(),
        )

    def _stand_in(self, nodeid: str, status: str, reason: str) -> None:
        """A record for a claim whose own never came."""
        from pytest_claims import spec, verdict
        from pytest_claims.reports import record

        claim = self.expected[nodeid]
        if claim is None:
            path, _, name = nodeid.partition("::")
            file = naming.file_of(path, self.config.rootpath)
            try:
                claims = spec.load(
                    file, display=naming.display(file, self.config), metrics=state.metric_infos(self.config)
                )
            except SpecError:
                return  # a .yaml of another plugin's
            claim = next((claim for claim in claims if claim.id == name), None)
            if claim is None:
                return
        issued = verdict.undecided(claim, verdict.Status(status), reason)
        self.records[nodeid] = record.of_verdict(
            issued, nodeid=nodeid, result=verdict.Result.FAILED, message=reason, seconds=0.0
        )

    def _follow(self, report: pytest.TestReport) -> None:
        """Let a record be red where pytest is; where another plugin turned a red claim green, the record stays what it is."""
        from pytest_claims.reports.record import with_result
        from pytest_claims.verdict import Result

        record = self.records[report.nodeid]
        told = record.evidence.test.result
        if report.failed and told != "failed":
            message = f"The claim was verified, and its {report.when} failed: {_reason(report)}."
            self.records[report.nodeid] = with_result(record, Result.FAILED, message)


def _record(values: dict[str, Any]) -> Record:
    """A record that travelled with a report, or came from a worker."""
    from pytest_claims.reports.format import Record

    return Record.model_validate(values)


def _reason(report: pytest.TestReport) -> str:
    """Why a report is not `passed`, in a line."""
    if hasattr(report, "wasxfail"):
        return report.wasxfail.removeprefix("reason: ") or "no reason given"
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ").rstrip(".")
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else str(report.longrepr)
    return first_line(text) or "no reason given"


def _fail(session: pytest.Session) -> None:
    """Turn a green session red; one that was interrupted stays interrupted."""
    if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
