"""The pytest plugin: options, and hooks that call the other modules.

pytest imports this module in every session of every project that has the plugin installed. So it imports nothing but pytest
until a claim file is found. tests/test_cost.py states the allowed modules and the allowed time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from pytest_claims.items import ClaimFile

SUFFIXES = (
    ".yaml",
    ".yml",
)
"""`files.CLAIM_SUFFIXES`, repeated here so that `files` need not be imported in every project that has the plugin installed."""


_UNREAD: pytest.StashKey[list[Path]] = pytest.StashKey()
"""The YAML files that are no claim files, by their paths alone."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options; `settings.read` validates them."""
    group = parser.getgroup("claims", "paper claims")
    add = group.addoption
    add(
        "--claims-report",
        action="append",
        default=[],
        metavar="PATH|github",
        help="write a report: .xml (JUnit), .json (records), .md (Markdown), .html, .intoto.json (statements to be signed), or "
        "github (job summary, annotations); repeatable",
    )
    add(
        "--claims-images",
        default="thumbnails",
        metavar="thumbnails|none",
        help="whether an HTML report shows images (default: thumbnails of 160 pixels)",
    )
    add("--claims-gate", metavar="partial|pass", help="the lowest status that stays green (default: partial)")
    add("--claims-require-attempt", action="store_true", help="a claim that could not be attempted fails")
    add("--claims-sample", type=int, metavar="N", help="evaluate N images (the protocol rules apply)")
    add(
        "--claims-set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a protocol key for this run, such as decoding.num_beams=1 (the protocol rules apply); repeatable",
    )
    add(
        "--claims-model",
        action="append",
        default=[],
        metavar="CLAIM_OR_CHECKPOINT=PATH",
        help="a release candidate in place of a checkpoint: the verdict's kind is PRE; repeatable",
    )
    add(
        "--claims-compare",
        action="store_true",
        help="evaluate the checkpoint that a candidate replaces too, and compare them",
    )
    add(
        "--claims-max-regression",
        metavar="X",
        help="the largest loss of a candidate against the checkpoint that it replaces, in the reported unit",
    )
    add(
        "--claims-device",
        default="auto",
        metavar="auto|cpu|cuda[:N]",
        help="where to run (default: auto); an explicit device overrides the claim's requires.device",
    )
    add(
        "--claims-executor",
        metavar="local|ray",
        help="where images are captioned: in this process, or on a Ray cluster, that of RAY_ADDRESS or a local one "
        "(default: local)",
    )
    add(
        "--claims-actor-cpus",
        metavar="N",
        help="CPUs of each Ray actor (default: 4, or 1 beside a GPU; each actor has one GPU where the cluster has any)",
    )
    add(
        "--claims-data",
        action="append",
        default=[],
        metavar="DIR",
        help="a folder with data that the repository may not ship; repeatable",
    )
    add(
        "--claims-streaming",
        action="store_true",
        help="read data sets of Parquet files where they lie, also such as do not fit on the disk",
    )
    add(
        "--claims-papers",
        action="append",
        default=[],
        metavar="DIR",
        help="a folder with sources of papers (HTML, LaTeX or PDF), which citations are checked against; repeatable",
    )
    add("--claims-evidence", metavar="DIR", help="where evidence is kept (default: in pytest's cache folder)")
    add("--claims-replay", action="store_true", help="score from evidence only; withheld unless accepted")
    add("--claims-accept-replay", action="store_true", help="publish replayed verdicts like those of a run")
    add("--claims-audit", type=int, metavar="N", help="generate N captions of earlier evidence again and compare")
    add("--claims-ledger", metavar="PATH", help="keep the history of published verdicts in this file of JSON lines")
    add(
        "--claims-stale",
        action="store_true",
        help="run only claims whose verdict in the ledger is stale, or that have none",
    )
    add("--claims-dry-run", action="store_true", help="resolve everything, print the plan, run nothing")
    add(
        "--claims-base",
        metavar="REV",
        help="compare each claim with itself at the merge base of REV and HEAD: a moved bar is red",
    )
    add("--claims-accept-moved", action="store_true", help="show a moved bar, and do not fail because of it")
    parser.addini("claims_gate", "the lowest status that stays green: partial or pass", default="")
    parser.addini("claims_max_regression", "as --claims-max-regression, for sessions with a candidate", default="")
    parser.addini("claims_executor", "as --claims-executor", default="")
    parser.addini("claims_actor_cpus", "as --claims-actor-cpus", default="")
    parser.addini(
        "claims_files",
        "globs of claim files, from the rootdir, **/ for any folders; one without a slash is a file name in any folder "
        "(default: *.yaml and *.yml below a folder named claims)",
        type="args",
        default=[],
    )


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the hooks that other plugins may implement."""
    from pytest_claims import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse invalid options before the collection."""
    if _asked(config):
        from pytest_claims import recorder

        recorder.start(config)
    if config.option.claims_model:
        from pytest_claims import items

        items.check_candidates(config)


def _asked(config: pytest.Config) -> bool:
    """Whether an option or ini value of the plugin is set, or xdist's workers may collect claims instead of this process."""
    given = (value for name, value in vars(config.option).items() if name.startswith("claims_"))
    # `is not False`, since 0 equals False, and `--claims-sample=0` must be seen to be refused.
    if any(value is not None and value is not False and value not in ([], "auto", "thumbnails") for value in given):
        return True
    if any(config.getini(name) for name in ("claims_gate", "claims_max_regression")):
        return True
    return bool(getattr(config.option, "dist", "no") != "no")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ClaimFile | None:
    """Collect claim files. No other YAML file is opened."""
    if file_path.suffix not in SUFFIXES:
        return None
    if not _is_claim_file(file_path, parent):
        parent.config.stash.setdefault(_UNREAD, []).append(file_path)
        return None
    from pytest_claims import items, naming, recorder

    recorder.start(parent.config)
    return items.ClaimFile.from_parent(parent, path=file_path, **naming.names(file_path, parent.config))


def _is_claim_file(path: Path, parent: pytest.Collector) -> bool:
    if parent.session.isinitpath(path):
        return True
    from pytest_claims import globs

    return globs.is_claim_file(path, parent.config)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Make the claims of one checkpoint consecutive, so that each checkpoint is loaded once."""
    if any(hasattr(item, "claim") for item in items):
        from pytest_claims.items import side_by_side

        items[:] = side_by_side(items)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse a release candidate that no selected claim runs."""
    if session.config.option.claims_model and not hasattr(session.config, "workerinput"):
        from pytest_claims.items import check_candidates

        check_candidates(session.config, [item.nodeid for item in session.items])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:
    """Refuse a release candidate that no selected claim runs, if xdist's workers collect."""
    if node.config.option.claims_model:
        from pytest_claims import items

        items.check_candidates(node.config, ids)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Attach a file's problems to its report, which xdist sends to the process that writes the reports."""
    report = yield
    if problems := getattr(collector, "claims_problems", None):
        report.claims_problems = problems  # type: ignore[attr-defined] # xdist sends all attributes of a report
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach a claim's record to its report."""
    report = yield
    if hasattr(item, "claim"):
        from pytest_claims.items import annotate

        annotate(report, item)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    """If a session found no test at all, say why the YAML files that it saw were not read."""
    unread = config.stash.get(_UNREAD, [])
    if unread and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and not terminalreporter.stats.get("deselected"):
        from pytest_claims import globs

        terminalreporter.write_line(globs.why_unread(unread, config))


def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
    """Give `partial`, `error` and `withheld` their own words in pytest's summary."""
    status: str | None = getattr(report, "claims_status", None)
    if status is None or report.when != "call":
        return None
    if report.passed and status == "partial":
        return "partial", "~", "PARTIAL"
    if report.failed and status == "error":
        return "error", "E", "ERROR"
    if report.failed and status == "pending":
        return "failed", "W", "WITHHELD"
    return None
