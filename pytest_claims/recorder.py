"""Collects one record per claim over the whole session and writes the reports at its end.

One registered object, absent on xdist's workers. It counts what was collected, so that a claim which never ran (`-x`, Ctrl-C, a
crashed worker) and a file that could not be read stand in every report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_claims.reports.record import Record
    from pytest_claims.settings import Settings

NAME = "claims-recorder"
OPTIONS = ("report", "gate", "require_attempt", "sample", "set", "model", "data", "dry_run", "base", "accept_moved")


def start(config: pytest.Config) -> None:
    """Validate the options if there are any, and register the recorder where reports are written."""
    option = config.option
    if any(getattr(option, f"claims_{name}") for name in OPTIONS) or option.claims_device != "auto":
        from pytest_claims.collect import baseline_of

        baseline_of(config)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(config), NAME)


def stop(config: pytest.Config) -> None:
    """Unregister the recorder."""
    recorder = config.pluginmanager.get_plugin(NAME)
    if recorder is not None:
        config.pluginmanager.unregister(recorder)


class Recorder:
    """The records of one session, by node id."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.records: dict[str, Record] = {}
        self.expected: dict[str, Any] = {}
        """Collected claims by node id: the claim, or None where only an xdist worker has it."""
        self.deselected = 0
        self.other_collection_errors = False
        self.problems: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A claim file that cannot be read is a record too."""
        problems: Sequence[str] | None = getattr(report, "claims_problems", None)
        if problems:
            from pytest_claims.collect import display
            from pytest_claims.reports.record import of_file

            shown = display(self.config.rootpath / report.nodeid, self.config)
            self.records[report.nodeid] = of_file(shown, report.nodeid, problems)
        elif report.failed:
            self.other_collection_errors = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        """A claim file that cannot be read must not keep the other files from running.

        pytest runs nothing after a collection error, since tests may depend on what was not imported; claims do not depend on
        each other. The broken file is still an error, and the exit code is not 0.
        """
        if self.records and not self.other_collection_errors:
            self.config.option.continue_on_collection_errors = True

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Remember what is going to run."""
        for item in session.items:
            claim = getattr(item, "claim", None)
            if claim is not None:
                self.expected[item.nodeid] = claim

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Remember what is going to run in the workers."""
        for nodeid in ids:
            path, _, claim = nodeid.partition("::")
            if claim and path.endswith((".yaml", ".yml")):
                self.expected.setdefault(nodeid, None)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Count the claims that `-k` and its kin left out."""
        self.deselected += sum(hasattr(item, "claim") for item in items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a claim's record; a claim that another plugin stopped, or whose worker died, gets one here."""
        record = getattr(report, "claims_record", None)
        if record is not None:
            self.records[report.nodeid] = record
        elif report.nodeid in self.expected and not report.passed and report.nodeid not in self.records:
            status = "not_attempted" if report.skipped else "error"
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else _last_line(str(report.longrepr))
            self._stand_in(report.nodeid, status, f"The claim did not run: {reason}.")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Complete the records and write the reports."""
        if self.config.option.collectonly:
            self.records.clear()
            return
        for nodeid in self.expected:
            if nodeid not in self.records:
                self._stand_in(nodeid, "not_attempted", "The claim did not run: the session ended before its turn.")
        settings = self._settings()
        if settings is None:
            return
        from pytest_claims import reports
        from pytest_claims.errors import ClaimsError

        for path in settings.reports:
            try:
                reports.write(path, self._run_info(settings, exitstatus), self.sorted())
            except ClaimsError as error:
                self.problems.append(str(error))
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The verdict table."""
        if self.records:
            from pytest_claims.reports import terminal

            settings = self._settings()
            terminal.show(terminalreporter, self.sorted(), dry_run=bool(settings and settings.dry_run))
        settings = self._settings() if self.records or self.config.option.claims_report else None
        if not self.config.option.collectonly:
            for path in settings.reports if settings and not self.problems else ():
                terminalreporter.write_line(f"verdict report: {path}")
        for problem in self.problems:
            terminalreporter.write_line(problem, red=True)

    def sorted(self) -> list[Record]:
        """The records in an order that does not depend on who ran first."""
        return [self.records[nodeid] for nodeid in sorted(self.records)]

    def _settings(self) -> Settings | None:
        if not self.records and not self.config.option.claims_report:
            return None
        from pytest_claims.collect import settings_of

        return settings_of(self.config)

    def _run_info(self, settings: Settings, exitstatus: int) -> Any:
        import shlex

        from pytest_claims import __version__

        return {
            "tool": f"pytest-claims {__version__}",
            "command": shlex.join(["pytest", *map(str, self.config.invocation_params.args)]),
            "gate": settings.gate.value,
            "exit_status": int(exitstatus),
            "collected": len(self.records),
            "deselected": self.deselected,
        }

    def _stand_in(self, nodeid: str, status: str, reason: str) -> None:
        """A record for a claim whose own never came."""
        from pytest_claims import spec, verdict
        from pytest_claims.collect import display, metric_infos
        from pytest_claims.errors import SpecError
        from pytest_claims.reports import record

        claim = self.expected[nodeid]
        if claim is None:
            path, _, name = nodeid.partition("::")
            file = self.config.rootpath / path
            try:
                claims = spec.load(file, display=display(file, self.config), metrics=metric_infos(self.config))
            except SpecError:
                return  # a .yaml of another plugin's
            claim = next((claim for claim in claims if claim.id == name), None)
            if claim is None:
                return
        issued = verdict.undecided(claim, verdict.Status(status), reason)
        result = verdict.Result.SKIPPED if status == "not_attempted" else verdict.Result.FAILED
        self.records[nodeid] = record.of_verdict(issued, nodeid=nodeid, result=result, message=reason, seconds=0.0)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "no reason given"
