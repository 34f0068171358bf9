"""Keeps one record per claim over the whole session, and writes the reports at its end.

One `Recorder` is registered as a plugin; in an xdist worker, a `Worker` that only counts. It knows which claims were collected.
So every report names the claims that never ran (`-x`, Ctrl-C, a crashed worker) and the files that could not be read.
"""

from __future__ import annotations

import platform
import shlex
import sys
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import __version__, naming, reports, state
from pytest_claims.errors import ClaimsError, SettingsError, first_line
from pytest_claims.files import CLAIM_SUFFIXES
from pytest_claims.text import line

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from pytest_claims.chronicle import Chronicle
    from pytest_claims.reports.format import Gallery, Record, RunInfo
    from pytest_claims.settings import Settings
    from pytest_claims.spec import Claim

NAME = "claims-recorder"


def start(config: pytest.Config) -> None:
    """Validate the options and register the recorder, once. Called when an option is given or a claim file is found."""
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
    """Keeps what was collected."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.expected: dict[str, Any] = {}
        """The collected claims by node id; None instead of a claim that only an xdist worker has."""
        self.deselected = 0
        self.standing: dict[str, str] = {}
        """Records of what is not among the collected claims: removed ones, and files that moved the bar."""
        self.dropped: list[str] = []
        """The node ids of claims that a hook removed from the session without reporting them as deselected."""
        self._complete = False
        """Whether the collection was completed."""
        self._announced: set[str] = set()
        """The node ids that were reported as deselected."""
        self.carried: dict[str, str] = {}
        """Records of the ledger, of claims that `--claims-stale` leaves out because nothing that they rest on changed."""
        self.chronicle: Chronicle | None = None
        if state.settings_of(config).ledger is not None:
            from pytest_claims import chronicle  # it brings pydantic

            self.chronicle = chronicle.open_ledger(config)

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Remember a claim as soon as it is collected, since the session may end during the collection."""
        claim = getattr(item, "claim", None)
        if claim is not None:
            self.expected[item.nodeid] = claim

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Remember what was reported as deselected."""
        self._announced.update(item.nodeid for item in items)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
        """Remember that the collection was completed. After all others, leave out the claims that are not stale."""
        self._complete = True
        yield
        if self.chronicle is not None and state.settings_of(config).stale:
            left, self.carried = self.chronicle.leave_fresh(items)
            config.hook.pytest_deselected(items=left)
            items[:] = [item for item in items if item.nodeid not in self.carried]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Count the deselected claims and forget them, whichever option deselected them. Then compare with the merge base."""
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
        """Compare everything that was collected with the merge base, if `--claims-base` is given."""
        if state.settings_of(self.config).base is None:
            return
        from pytest_claims import bar

        try:
            running = [claim for claim in self.expected.values() if claim is not None]
            found = bar.hold(session, claims, running, complete=self._complete)
        except SettingsError as error:
            # An xdist worker cannot end the session. There, the error becomes the verdict of every claim.
            if not hasattr(self.config, "workerinput"):
                raise pytest.UsageError(line(str(error))) from None
            state.keep_comparison(self.config, error)
            return
        state.keep_comparison(self.config, found)
        self.standing = {nodeid: record.dump() for nodeid, record in bar.records(self.config, found)}


class Worker(Counter):
    """In an xdist worker: sends what only a worker knows to the controller, which writes the reports."""

    def pytest_sessionfinish(self) -> None:
        """Send the number of deselected claims, and what the comparison with the merge base found."""
        output: dict[str, Any] = self.config.workeroutput  # type: ignore[attr-defined] # xdist adds it
        output["claims_deselected"] = self.deselected
        output["claims_standing"] = self.standing
        output["claims_dropped"] = self.dropped
        output["claims_carried"] = self.carried


class Recorder(Counter):
    """Keeps the records of one session and writes the reports."""

    def __init__(self, config: pytest.Config) -> None:
        super().__init__(config)
        self.records: dict[str, str] = {}
        """`Record.dump` by node id."""
        self._sorted: list[Record] = []
        self.galleries: dict[str, str] = {}
        """`Gallery` as JSON text by node id, if a report shows it."""
        self.other_collection_errors = False
        """Whether pytest failed to collect something other than a claim file."""
        self.written: list[Path] = []
        """The reports that were written."""
        self.annotations: list[str] = []
        """The annotations of `--claims-report=github`, not printed yet."""
        self.problems: list[str] = []
        """Why reports could not be written."""
        self.started = datetime.now(UTC)
        """When the session began; reports state it."""

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Make a record for a claim file that cannot be read."""
        problems: Sequence[str] | None = getattr(report, "claims_problems", None)
        if problems:
            from pytest_claims.reports.record import of_file

            shown = naming.display(naming.file_of(report.nodeid, self.config.rootpath), self.config)
            self._keep(report.nodeid, of_file(shown, report.nodeid, problems).dump())
        elif report.failed:
            self.other_collection_errors = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Run the other claim files if one cannot be read.

        After a collection error, pytest runs nothing, since tests may depend on a module that could not be imported. Claims do
        not depend on each other. The broken file is still an error, and the exit code is not 0.
        """
        if self.records and not self.other_collection_errors:
            if session.shouldfail:  # -x, --maxfail
                raise session.Failed(session.shouldfail)
            self.config.option.continue_on_collection_errors = True

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Remember the claims that the workers will run."""
        for nodeid in ids:
            path, _, claim = nodeid.partition("::")
            if claim and path.endswith(CLAIM_SUFFIXES):
                self.expected.setdefault(nodeid, None)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a worker sent. All workers collect the same items, so the data of one of them is enough."""
        output = getattr(node, "workeroutput", {})
        self.deselected = max(self.deselected, output.get("claims_deselected", 0))
        self.standing.update(output.get("claims_standing", {}))
        self.carried.update(output.get("claims_carried", {}))
        self.dropped = output.get("claims_dropped", self.dropped)
        for nodeid in self.dropped:
            self.expected.setdefault(nodeid, None)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a claim's record; a claim that another plugin stopped, or whose worker died, gets one here."""
        nodeid, record = report.nodeid, getattr(report, "claims_record", None)
        if record is not None:
            self._keep(nodeid, record)
        if gallery := getattr(report, "claims_gallery", None):
            self.galleries[nodeid] = gallery
        if nodeid not in self.expected:
            return
        if nodeid in self.records:
            self._follow(report)
        elif not report.passed:
            # Its result is not `skipped`: only the claim's own run may decide that it could not be attempted.
            status = "not_attempted" if report.skipped else "error"
            self._stand_in(nodeid, status, f"The claim did not run: {_reason(report)}.")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """Write the reports before other plugins run, and make the session red after them if a record is red."""
        if self.config.option.collectonly:
            self.records.clear()
        else:
            self._write(session)
        yield
        if any(record.evidence.test.result == "failed" for record in self.sorted()):
            _fail(session)

    def _write(self, session: pytest.Session) -> None:
        """Complete the records and write the reports."""
        for nodeid in self.expected:
            if nodeid not in self.records:
                why = "a hook took it out" if nodeid in self.dropped else "the session ended before its turn"
                self._stand_in(nodeid, "not_attempted", f"The claim did not run: {why}.")
        if self.chronicle is not None:
            self._enter(session, self.chronicle)
        self.records.update(self.standing | self.carried)
        self._sorted.clear()
        if any(record.evidence.test.result == "failed" for record in self.sorted()):
            # Whatever pytest was told of a claim by others, or was never told: a record that is red is no green session.
            _fail(session)
        settings = state.settings_of(self.config)
        for path in settings.reports:
            self.written += self._report(session, path, partial(reports.write, galleries=self._galleries()))
        if settings.github is not None:
            from pytest_claims.reports import github

            self.written += self._report(session, settings.github, github.append)
            self.annotations += github.annotate(self.sorted(), self.config.invocation_params.dir)

    def _enter(self, session: pytest.Session, chronicle: Chronicle) -> None:
        """Enter the verdicts into the ledger; what keeps them from it is said at the end, and the session is red."""
        try:
            self.records.update(chronicle.enter(self.records, self.expected))
            self.standing |= chronicle.standing()
        except ClaimsError as error:
            self.problems.append(str(error))
        self.problems += chronicle.problems
        if self.problems:
            _fail(session)

    def _report(
        self, session: pytest.Session, path: Path, write: Callable[[Path, RunInfo, Sequence[Record]], tuple[Path, ...]]
    ) -> tuple[Path, ...]:
        """The files of one report; what keeps it from being written is said at the end, and the session is red."""
        run = self._run_info(state.settings_of(self.config), session.exitstatus)
        try:
            return write(path, run, self.sorted())
        except ClaimsError as error:
            self.problems.append(str(error))
            _fail(session)
            return ()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None]:
        """Show the table of verdicts, after all that pytest and other plugins show, so that it stands above the prompt."""
        yield
        if not self.config.option.collectonly:
            self._summary(terminalreporter)

    def _summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        settings = state.settings_of(self.config)
        self.records.update(self.standing | self.carried)
        if self.records:
            from pytest_claims.reports import terminal

            terminal.show(terminalreporter, self.sorted(), dry_run=settings.dry_run)
        for path in self.written if self.config.option.verbose >= 0 else ():
            terminalreporter.write_line(line(f"verdict report: {path}"))
        for problem in self.problems:
            terminalreporter.write_line(line(problem), red=True)
        self.problems.clear()
        for annotation in self.annotations:
            terminalreporter.write_line(annotation)
        self.annotations.clear()

    def pytest_unconfigure(self) -> None:
        """Print problems that no summary showed.

        There is no summary without a terminal reporter, and in some releases of pytest none with `--no-summary`.
        """
        for problem in self.problems:
            print(line(problem), file=sys.stderr)
        for annotation in self.annotations:
            print(annotation)

    def _galleries(self) -> dict[str, Gallery]:
        """The outputs by node id. Thumbnails came with one claim of each evidence, and belong to all of them."""
        if not self.galleries:
            return {}
        from pytest_claims.reports.format import Gallery

        found = {nodeid: Gallery.model_validate_json(text) for nodeid, text in sorted(self.galleries.items())}
        made = {gallery.evidence: gallery.thumbnails for gallery in found.values() if gallery.thumbnails}
        return {
            nodeid: gallery.model_copy(update={"thumbnails": made.get(gallery.evidence, [""] * len(gallery.ids))})
            for nodeid, gallery in found.items()
        }

    def _keep(self, nodeid: str, record: str) -> None:
        self.records[nodeid] = record
        self._sorted.clear()

    def sorted(self) -> list[Record]:
        """The records in an order that does not depend on who ran first."""
        if len(self._sorted) != len(self.records):
            self._sorted = [_load(self.records[nodeid]) for nodeid in sorted(self.records)]
        return self._sorted

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
        """Make a record for a claim that has none."""
        from pytest_claims import verdict
        from pytest_claims.reports import record

        claim = self.expected[nodeid] or state.claim_of(self.config, nodeid)
        if claim is None:
            return
        issued = verdict.undecided(claim, verdict.Status(status), reason)
        stands = record.of_verdict(
            issued,
            nodeid=nodeid,
            result=verdict.Result.FAILED,
            message=reason,
            seconds=0.0,
            settings=state.settings_of(self.config),
        )
        self._keep(nodeid, stands.dump())

    def _follow(self, report: pytest.TestReport) -> None:
        """Make a record red if pytest's report is red. A red record stays red if another plugin made the report green."""
        from pytest_claims.reports.record import with_result
        from pytest_claims.verdict import Result

        if not report.failed:
            return
        record = _load(self.records[report.nodeid])
        if record.evidence.test.result != "failed":
            message = f"The claim was verified, and its {report.when} failed: {_reason(report)}."
            self._keep(report.nodeid, with_result(record, Result.FAILED, message).dump())


def _load(text: str) -> Record:
    """A record that travelled with a report, or came from a worker."""
    from pytest_claims.reports.format import Record

    return Record.load(text)


def _reason(report: pytest.TestReport) -> str:
    """Why a report is not `passed`, in one line."""
    if hasattr(report, "wasxfail"):
        return report.wasxfail.removeprefix("reason: ") or "no reason given"
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ").rstrip(".")
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else str(report.longrepr)
    return first_line(text) or "no reason given"


def _fail(session: pytest.Session) -> None:
    """Make a green session red. An interrupted session keeps its exit status."""
    if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
