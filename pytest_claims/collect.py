"""Claim files and claims as pytest collects them; an item holds no opinion, it asks `run.Session`."""

from __future__ import annotations

import os
import re
import time
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import settings, text
from pytest_claims.errors import ClaimsError, SettingsError, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pytest_claims.baseline import Comparison
    from pytest_claims.metrics import Metric
    from pytest_claims.progress import Progress
    from pytest_claims.reports.record import Record
    from pytest_claims.run import Session
    from pytest_claims.spec import Claim, MetricInfo

SETTINGS: pytest.StashKey[settings.Settings] = pytest.StashKey()
COMPARISON: pytest.StashKey[Comparison | SettingsError] = pytest.StashKey()
"""What moved since the merge base, or why nobody can say; set when everything is collected."""
FILES: pytest.StashKey[set[Path]] = pytest.StashKey()
"""The claim files that pytest collects, whether or not they can be read."""
SESSION: pytest.StashKey[Session] = pytest.StashKey()


class ClaimFailed(Exception):  # noqa: N818 - a result, not an error
    """A claim whose result is red; `str()` of it is what the terminal shows."""


class ClaimFile(pytest.File):
    """A claim file."""

    claims_problems: tuple[str, ...] = ()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config.stash.setdefault(FILES, set()).add(self.path)

    def collect(self) -> Iterator[ClaimItem]:
        """One item per claim; an exception, and the problems that stand for the file in every report, otherwise."""
        from pytest_claims import spec

        shown = display(self.path, self.config)
        try:
            claims = spec.load(self.path, display=shown, metrics=metric_infos(self.config))
        except SpecError as error:
            self.claims_problems = error.problems
            raise
        except Exception as error:  # a conftest's hook, or a fault of ours: pytest shows it, and the file is counted
            self.claims_problems = (text.line(f"{shown}: {type(error).__name__}: {error}"),)
            raise
        for claim in claims:
            yield ClaimItem.from_parent(self, name=claim.id, claim=claim)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:  # type: ignore[override] # as pytest's
        """The problems, one a line, and no traceback."""
        if isinstance(excinfo.value, ClaimsError):
            return text.block(str(excinfo.value))
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
        # --runxfail: the results of claims that say `expect` count as if they did not.
        asked = replace(self.claim, expect=None) if self.config.option.runxfail else self.claim
        result, message = settle(
            replace(verdict, claim=asked),
            gate=chosen.gate,
            require_attempt=chosen.require_attempt,
            accept_moved=chosen.accept_moved,
        )
        seconds = round(time.perf_counter() - started, 3)
        self.record = record.of_verdict(verdict, nodeid=self.nodeid, result=result, message=message, seconds=seconds)
        if result is Result.SKIPPED:
            pytest.skip(text.line(f"{message} {verdict.next_step}"))
        if result is Result.EXPECTED:
            pytest.xfail(text.line(message))
        if result is Result.FAILED:
            # The message ends with the verdict's reason: once is enough.
            told = [fact for fact in facts.lines(self.record) if not fact.startswith("reason: ")]
            raise ClaimFailed("\n".join(map(text.line, [message, *told])))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The facts of a red claim, without the runner's stack."""
        if isinstance(excinfo.value, ClaimFailed):
            return str(excinfo.value)
        # A fault of ours: without the runner's frames, which say nothing about it.
        excinfo.traceback = excinfo.traceback.cut(path=__file__)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """File, 0-based line, name."""
        nodeid = names(self.path, self.config).get("nodeid")
        return self.config.rootpath / nodeid if nodeid else self.path, self.claim.line - 1, self.name


def annotate(report: pytest.TestReport, item: Any) -> None:
    """Attach what the recorder needs; attributes of a report survive the way from an xdist worker."""
    claim: Claim = item.claim
    # What libraries printed quotes a stranger's files, and pytest shows it as it is.
    report.sections[:] = [(title, text.block(content)) for title, content in report.sections]
    report.claims_item = (claim.display, claim.line, claim.id)  # type: ignore[attr-defined]
    if report.when == "call":
        report.claims_record = item.record  # type: ignore[attr-defined]
        if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
            # Where a reader looks for the reason is the claim, not the line of ours that skipped it.
            report.longrepr = (claim.display, claim.line, report.longrepr[2])


def session_of(config: pytest.Config) -> Session:
    """What the claims of this pytest session share, made when the first one runs."""
    if SESSION not in config.stash:
        from pytest_claims.bench import Bench
        from pytest_claims.run import Session
        from pytest_claims.store import Store

        chosen = settings_of(config)
        store = Store(partial(_evidence_root, config))
        bench = Bench(_progress(config), store=store, replay=chosen.replay, audit=chosen.audit, say=_say(config))
        config.stash[SESSION] = Session(
            settings_of(config),
            bench,
            extra_metrics(config),
            config.stash.get(COMPARISON, None),
            through=(pytest.exit.Exception,),
        )
    return config.stash[SESSION]


def check_candidates(config: pytest.Config, nodeids: Sequence[str] | None = None) -> None:
    """Refuse a release candidate that is not there, or that none of the selected claims runs.

    Args:
        config: the session's.
        nodeids: what is selected; None before anything is collected. In a session with xdist, only workers have the items.

    Raises:
        pytest.UsageError: see `candidates`.
    """
    from pytest_claims import candidates, spec

    chosen = settings_of(config)
    try:
        if nodeids is None:
            candidates.check_paths(chosen, config.invocation_params.dir)
            return
        if getattr(config.option, "dist", "no") != "no" and not nodeids:
            return  # the controller collects nothing; the workers' ids come later
        infos = metric_infos(config)
        wanted: dict[Path, set[str]] = {}
        for nodeid in nodeids:
            path, _, name = nodeid.partition("::")
            if path.endswith((".yaml", ".yml")) and name:
                wanted.setdefault(file_of(path, config.rootpath), set()).add(name)
        claims = []
        for file, ids in wanted.items():
            with suppress(SpecError):  # another plugin's file
                found = spec.load(file, display=display(file, config), metrics=infos)
                claims += [claim for claim in found if claim.id in ids]
        candidates.check_names(chosen, claims)
    except SettingsError as error:
        raise pytest.UsageError(text.line(str(error))) from None


def _evidence_root(config: pytest.Config) -> Path | None:
    """Where evidence is kept; None with `-p no:cacheprovider`."""
    chosen = settings_of(config).evidence
    cache = getattr(config, "cache", None)
    return chosen if chosen is not None or cache is None else cache.mkdir("claims-evidence")


def settings_of(config: pytest.Config) -> settings.Settings:
    """The session's options, validated; raises `pytest.UsageError`."""
    if SETTINGS not in config.stash:
        try:
            config.stash[SETTINGS] = settings.read(config.getoption, config.getini, config.invocation_params.dir)
        except ClaimsError as error:
            raise pytest.UsageError(text.line(str(error))) from None
    return config.stash[SETTINGS]


def extra_metrics(config: pytest.Config) -> Mapping[str, Metric]:
    """The metrics that other plugins add, by name; raises `SettingsError` where a name is taken."""
    from pytest_claims import spec

    found: dict[str, Metric] = {}
    for metrics in config.hook.pytest_claims_metrics(config=config):
        for metric in metrics:
            if metric.name in found or metric.name in spec.METRICS:
                raise SettingsError(f"pytest_claims_metrics: the metric name {metric.name!r} is taken")
            found[metric.name] = metric
    return found


def metric_infos(config: pytest.Config) -> Mapping[str, MetricInfo]:
    """What claim files may name: the metrics that ship, and those of other plugins."""
    from pytest_claims import spec

    extra = {
        name: spec.MetricInfo(
            units=("percent", "fraction"),
            low=metric.low,
            high=metric.high,
            families=(metric.family,),
            # What a system gets that does nothing right; a metric that is better when it is lower says so.
            trivial=getattr(metric, "trivial", metric.low),
        )
        for name, metric in extra_metrics(config).items()
    }
    return {**spec.METRICS, **extra}


def display(path: Path, config: pytest.Config) -> str:
    """`path` as the user would type it."""
    start = config.invocation_params.dir
    return text.name(os.path.relpath(path, start) if path.is_relative_to(start) else str(path))


def names(path: Path, config: pytest.Config) -> dict[str, Any]:
    """The name and the node id of a claim file whose own pytest cannot print safely; nothing for any other file."""
    plain = Path(os.path.relpath(path, config.rootpath)).as_posix()
    nodeid = text.name(plain)
    return {} if nodeid == plain else {"name": text.name(path.name), "nodeid": nodeid}


def file_of(nodeid: str, root: Path) -> Path:
    """The claim file of a node id in which parts of the path may be escaped."""
    path = root
    for part in nodeid.split("/"):
        escaped = "\\" in part and path.is_dir()
        found = (entry for entry in path.iterdir() if text.name(entry.name) == part) if escaped else iter(())
        path = next(found, path / part)
    return path


def below_claims(path: Path, inipath: Path | None) -> bool:
    """Whether `path` lies below a folder named `claims`, whatever the rootdir is.

    Without a configuration file nothing says where the project ends, so that every folder above counts. With one, those
    above it do not: a project that is checked out below `~/claims/` is not all claims.
    """
    above = len(inipath.parent.parent.parts) if inipath and path.is_relative_to(inipath.parent) else 0
    return "claims" in path.parent.parts[above:]


def matches(path: Path, root: Path, globs: Iterable[str]) -> bool:
    """Whether `path` matches one of the globs of the ini option `claims_files`, taken from `root`.

    As in a shell: `*` and `?` stop at a slash, `**/` stands for any folders, or none. As in `python_files`: a glob without a
    slash is a file name in any folder.
    """
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    return any(re.fullmatch(_pattern(glob), name) for glob in globs)


_WILD = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def _pattern(glob: str) -> str:
    glob = glob.removeprefix("./") if "/" in glob else f"**/{glob}"
    tokens = re.findall(r"\*\*/|\*\*|\*|\?|\[!?[^]/]+\]|.", glob)
    return "".join(
        _WILD.get(token) or (re.sub(r"^\[!", "[^", token) if len(token) > 1 else re.escape(token)) for token in tokens
    )


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


def _say(config: pytest.Config) -> Any:
    """Writes a line to the terminal; nothing in an xdist worker."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    capture = config.pluginmanager.getplugin("capturemanager")

    def say(told: str) -> None:
        if reporter is not None and not hasattr(config, "workerinput"):
            with capture.global_and_fixture_disabled() if capture else nullcontext():
                reporter.ensure_newline()
                reporter.write_line(text.line(told))

    return say


def _progress(config: pytest.Config) -> Any:
    """A progress bar on a terminal, and nothing in a log, a pipe or an xdist worker."""
    from pytest_claims.progress import silent

    reporter = config.pluginmanager.getplugin("terminalreporter")
    capture = config.pluginmanager.getplugin("capturemanager")
    if reporter is None or hasattr(config, "workerinput"):
        return silent

    @contextmanager
    def bar(total: int, label: str, *, unit: str = " images") -> Iterator[Progress]:
        import sys

        from tqdm import tqdm

        with ExitStack() as stack:
            stream: Any = sys.stderr
            if capture is not None:
                with capture.global_and_fixture_disabled():
                    stream = sys.stderr
                    if stream.isatty():
                        # The bar is drawn while pytest captures: it needs a descriptor that capturing does not replace.
                        stream = stack.enter_context(os.fdopen(os.dup(stream.fileno()), "w"))
            if stream.isatty():
                reporter.ensure_newline()
                progress: Any = tqdm(
                    total=total,
                    desc=text.line(label),
                    unit=unit,
                    unit_scale=unit == "B",
                    leave=False,
                    file=stream,
                    dynamic_ncols=True,
                )
            else:
                progress = silent(total, label)
            yield stack.enter_context(progress)

    return bar
