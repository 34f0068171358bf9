"""Claim files and claims as pytest collects them; an item holds no opinion, it asks `run.Session`."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import settings, spec
from pytest_claims.errors import ClaimsError, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_claims.baseline import Baseline
    from pytest_claims.evaluation import Progress
    from pytest_claims.metrics import Metric
    from pytest_claims.reports.record import Record
    from pytest_claims.run import Session
    from pytest_claims.spec import Claim, MetricInfo

SETTINGS: pytest.StashKey[settings.Settings] = pytest.StashKey()
BASELINE: pytest.StashKey[Any] = pytest.StashKey()
SESSION: pytest.StashKey[Session] = pytest.StashKey()


class ClaimFailed(Exception):  # noqa: N818 - a result, not an error
    """A claim whose result is red; `str()` of it is what the terminal shows."""


class ClaimFile(pytest.File):
    """A claim file."""

    claims_problems: tuple[str, ...] = ()

    def collect(self) -> Iterator[ClaimItem]:
        """One item per claim; a `SpecError` with all problems of the file otherwise."""
        try:
            claims = spec.load(self.path, display=display(self.path, self.config), metrics=metric_infos(self.config))
        except SpecError as error:
            self.claims_problems = error.problems
            raise
        for claim in claims:
            yield ClaimItem.from_parent(self, name=claim.id, claim=claim)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:  # type: ignore[override] # as pytest's
        """The problems, one a line, and no traceback."""
        if isinstance(excinfo.value, ClaimsError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)


class ClaimItem(pytest.Item):
    """A claim."""

    def __init__(self, *, claim: Claim, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.claim = claim
        self.record: Record | None = None

    def runtest(self) -> None:
        """Verify the claim, keep the record, and tell pytest the result."""
        from pytest_claims.reports import facts, record
        from pytest_claims.verdict import Result, settle

        session = session_of(self.config)
        started = time.perf_counter()
        verdict = session.verify(self.claim)
        chosen = session.settings
        result, message = settle(
            verdict,
            gate=chosen.gate,
            require_attempt=chosen.require_attempt,
            accept_moved=chosen.accept_moved,
        )
        seconds = round(time.perf_counter() - started, 3)
        self.record = record.of_verdict(verdict, nodeid=self.nodeid, result=result, message=message, seconds=seconds)
        if result is Result.SKIPPED:
            pytest.skip(f"{message} {verdict.next_step}".strip())
        if result is Result.EXPECTED:
            pytest.xfail(message)  # does nothing under --runxfail, where the result then counts as it is
        if result in (Result.FAILED, Result.EXPECTED):
            raise ClaimFailed("\n".join([facts.clean(message), *map(facts.clean, facts.lines(self.record))]))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The facts of a red claim, without the runner's stack."""
        if isinstance(excinfo.value, ClaimFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """File, 0-based line, name."""
        return self.path, self.claim.line - 1, self.name


def annotate(report: pytest.TestReport, item: Any) -> None:
    """Attach what the recorder needs; attributes of a report survive the way from an xdist worker."""
    claim: Claim = item.claim
    report.claims_item = (claim.display, claim.line, claim.id)  # type: ignore[attr-defined]
    if report.when == "call":
        report.claims_record = item.record  # type: ignore[attr-defined]
        if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
            # Where a reader looks for the reason is the claim, not the line of ours that skipped it.
            report.longrepr = (claim.display, claim.line, report.longrepr[2])


def session_of(config: pytest.Config) -> Session:
    """What the claims of this pytest session share, made when the first one runs."""
    if SESSION not in config.stash:
        from pytest_claims.evaluation import Bench
        from pytest_claims.run import Session

        bench = Bench(_progress(config))
        config.stash[SESSION] = Session(settings_of(config), bench, extra_metrics(config), baseline_of(config))
    return config.stash[SESSION]


def settings_of(config: pytest.Config) -> settings.Settings:
    """The session's options, validated; raises `pytest.UsageError`."""
    if SETTINGS not in config.stash:
        try:
            config.stash[SETTINGS] = settings.read(config.getoption, config.getini, config.invocation_params.dir)
        except ClaimsError as error:
            raise pytest.UsageError(str(error)) from None
    return config.stash[SETTINGS]


def baseline_of(config: pytest.Config) -> Baseline | None:
    """The claims as they were at `--claims-base`, if it is given; raises `pytest.UsageError` where git has no such revision."""
    if BASELINE not in config.stash:
        base = settings_of(config).base
        try:
            config.stash[BASELINE] = base and _baseline(base, config)
        except ClaimsError as error:
            raise pytest.UsageError(str(error)) from None
    return config.stash[BASELINE] or None


def _baseline(revision: str, config: pytest.Config) -> Baseline:
    from pytest_claims.baseline import Baseline

    return Baseline(revision, config.invocation_params.dir, metric_infos(config))


def extra_metrics(config: pytest.Config) -> Mapping[str, Metric]:
    """The metrics that other plugins add, by name; raises `pytest.UsageError` where a name is taken."""
    found: dict[str, Metric] = {}
    for metrics in config.hook.pytest_claims_metrics(config=config):
        for metric in metrics:
            if metric.name in found or metric.name in spec.METRICS:
                raise pytest.UsageError(f"pytest_claims_metrics: the metric name {metric.name!r} is taken")
            found[metric.name] = metric
    return found


def metric_infos(config: pytest.Config) -> Mapping[str, MetricInfo]:
    """What claim files may name: the metrics that ship, and those of other plugins."""
    extra = {
        name: spec.MetricInfo(
            units=("percent", "fraction"), low=metric.low, high=metric.high, families=(metric.family,)
        )
        for name, metric in extra_metrics(config).items()
    }
    return {**spec.METRICS, **extra}


def display(path: Path, config: pytest.Config) -> str:
    """`path` as the user would type it."""
    start = config.invocation_params.dir
    return os.path.relpath(path, start) if path.is_relative_to(start) else str(path)


def matches(path: Path, root: Path, globs: Iterable[str]) -> bool:
    """Whether `path` matches one of the globs of the ini option `claims_files`; `**/` stands for any folders, or none."""
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    return any(fnmatch(name, glob) or fnmatch(name, glob.replace("**/", "")) for glob in globs)


def side_by_side(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """`items` with the claims of one checkpoint next to each other, in the order in which each checkpoint first occurs."""
    groups: dict[object, list[pytest.Item]] = {}
    for item in items:
        if isinstance(item, ClaimItem):
            protocol = item.claim.protocol
            checkpoint = str(item.claim.overrides.get("checkpoint") or protocol.checkpoint)
            groups.setdefault((item.claim.file.parent, checkpoint), []).append(item)
        else:
            groups.setdefault(item, []).append(item)
    return [item for group in groups.values() for item in group]


def _progress(config: pytest.Config) -> Any:
    """A progress bar on a terminal, and nothing in a log, a pipe or an xdist worker."""
    from pytest_claims.evaluation import silent

    reporter = config.pluginmanager.getplugin("terminalreporter")
    capture = config.pluginmanager.getplugin("capturemanager")
    if reporter is None or hasattr(config, "workerinput"):
        return silent

    @contextmanager
    def bar(total: int, label: str) -> Iterator[Progress]:
        import sys

        from tqdm import tqdm

        if capture is None:
            stream: Any = sys.stderr
        else:
            with capture.global_and_fixture_disabled():
                stream = sys.stderr
                if stream.isatty():
                    # The bar is drawn while pytest captures: it needs a descriptor that capturing does not replace.
                    stream = os.fdopen(os.dup(stream.fileno()), "w")
        if not stream.isatty():
            with silent(total, label) as progress:
                yield progress
            return
        reporter.ensure_newline()
        with tqdm(total=total, desc=label, unit=" images", leave=False, file=stream, dynamic_ncols=True) as progress:
            yield progress

    return bar
