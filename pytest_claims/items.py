"""Claim files and claims as pytest's collectors and items. An item decides nothing itself: it asks `run.Session`."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import candidates, naming, spec, state, text
from pytest_claims.errors import ClaimsError, SettingsError, SpecError
from pytest_claims.files import CLAIM_SUFFIXES
from pytest_claims.reports import facts, record
from pytest_claims.verdict import Result, settle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_claims.reports.format import Record
    from pytest_claims.spec import Claim


class ClaimFailed(Exception):  # noqa: N818 - a result, not an error
    """A claim's result is red. `str()` of the exception is the text for the terminal."""


class ClaimFile(pytest.File):
    """A claim file."""

    claims_problems: tuple[str, ...] = ()
    """Why the file cannot be read, one line per problem; empty if it can."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        state.files_of(self.config).add(self.path)

    def collect(self) -> Iterator[ClaimItem]:
        """One item per claim. If the file cannot be read, keep the problems for the reports and raise an exception."""
        shown = naming.display(self.path, self.config)
        try:
            known = state.extensions_of(self.config)
            claims = spec.load(self.path, display=shown, metrics=known.metric_infos, runs=known.runs, own=self._own)
        except SpecError as error:
            self.claims_problems = error.problems
            raise
        except Exception as error:  # a hook or pytest-claims is at fault: pytest shows why, the reports name the file
            self.claims_problems = (text.line(f"{shown}: {type(error).__name__}: {error}"),)
            raise
        state.claims_of(self.config).extend(claims)
        for claim in claims:
            yield ClaimItem.from_parent(self, name=claim.id, claim=claim)

    def _own(self, identifier: str, revision: str | None) -> Mapping[str, str]:
        # Imported here: only a file that leaves axes open needs it.
        from pytest_claims.sources import own

        return own.offline(identifier, revision, (self.path.parent, *state.settings_of(self.config).data))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:  # type: ignore[override] # as pytest's
        """The problems, one per line, without a traceback."""
        if isinstance(excinfo.value, ClaimsError):
            return text.block(str(excinfo.value))
        return super().repr_failure(excinfo)


class ClaimItem(pytest.Item):
    """A claim."""

    def __init__(self, *, claim: Claim, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.claim = claim
        self.record: Record | None = None
        self.gallery: str | None = None
        """`Gallery` as JSON text, if a report shows it."""

    def runtest(self) -> None:
        """Verify the claim, keep the record, and tell pytest the result."""
        session = state.session_of(self.config)
        started = time.perf_counter()
        session.expect(item.claim for item in self.session.items if isinstance(item, ClaimItem))
        verdict = session.verify(self.claim)
        chosen = session.settings
        # --runxfail: ignore `expect`, as pytest ignores the marker xfail.
        asked = replace(self.claim, expect=None) if self.config.option.runxfail else self.claim
        result, message = settle(
            replace(verdict, claim=asked),
            gate=chosen.gate,
            require_attempt=chosen.require_attempt,
            accept_moved=chosen.accept_moved,
        )
        seconds = round(time.perf_counter() - started, 3)
        self.record = record.of_verdict(
            verdict, nodeid=self.nodeid, result=result, message=message, seconds=seconds, settings=chosen
        )
        # pytest's own JUnit report shows them.
        told = {name: text.line(value) for name, value in facts.properties(self.record)}
        others = [entry for entry in self.user_properties if entry[0] not in told]
        self.user_properties[:] = [*others, *told.items()]
        if chosen.shows_outputs and (outputs := session.gallery(self.claim, verdict)) is not None:
            self.gallery = outputs.model_dump_json()
        if result is Result.SKIPPED:
            pytest.skip(text.line(f"{message} {verdict.next_step}"))
        if result is Result.EXPECTED:
            pytest.xfail(text.line(message))
        if result is Result.FAILED:
            # The message ends with the verdict's reason: once is enough.
            shown = [fact for fact in facts.lines(self.record) if not fact.startswith("reason: ")]
            raise ClaimFailed("\n".join(map(text.line, [message, *shown])))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The facts of a red claim, without a traceback."""
        if isinstance(excinfo.value, ClaimFailed):
            return str(excinfo.value)
        # The fault is in pytest-claims. pytest's own frames are cut off, since they do not explain it.
        excinfo.traceback = excinfo.traceback.cut(path=__file__)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """The file, the line (counted from 0) and the name of the claim."""
        nodeid = naming.names(self.path, self.config).get("nodeid")
        return self.config.rootpath / nodeid if nodeid else self.path, self.claim.line - 1, self.name


def annotate(report: pytest.TestReport, item: Any) -> None:
    """Attach what the recorder needs to a report. xdist sends a report's attributes from a worker to the controller."""
    claim: Claim = item.claim
    # The captured output of libraries may quote untrusted files, and pytest shows it unchanged.
    report.sections[:] = [(title, text.block(content)) for title, content in report.sections]
    report.claims_item = (claim.display, claim.line, claim.id)  # type: ignore[attr-defined]
    if report.when == "call":
        found: Record | None = item.record
        if found is not None:
            report.claims_record = found.dump()  # type: ignore[attr-defined]
            report.claims_status = found.verdict.status  # type: ignore[attr-defined]
            report.claims_gallery = item.gallery  # type: ignore[attr-defined]
            item.record = item.gallery = None
        if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
            # Show the place of the claim, not the line in this module that called `pytest.skip`.
            report.longrepr = (claim.display, claim.line, report.longrepr[2])


def check_candidates(config: pytest.Config, nodeids: Sequence[str] | None = None) -> None:
    """Refuse a release candidate that does not exist, or that no selected claim runs.

    Args:
        config: the configuration of the session.
        nodeids: the node ids of the selected items; None before collection, when only the paths are checked. In a session
            with xdist, only the workers have the items.

    Raises:
        pytest.UsageError: a candidate is refused; see `candidates`.
    """
    chosen = state.settings_of(config)
    try:
        if nodeids is None:
            candidates.check_paths(chosen, config.invocation_params.dir)
            return
        if getattr(config.option, "dist", "no") != "no" and not nodeids:
            return  # xdist's controller collects nothing, and receives the workers' node ids later
        known = state.extensions_of(config)
        wanted: dict[Path, set[str]] = {}
        for nodeid in nodeids:
            path, _, name = nodeid.partition("::")
            if path.endswith(CLAIM_SUFFIXES) and name:
                wanted.setdefault(naming.file_of(path, config.rootpath), set()).add(name)
        claims = []
        for file, ids in wanted.items():
            with suppress(SpecError):  # the YAML file belongs to another plugin
                found = spec.load(
                    file, display=naming.display(file, config), metrics=known.metric_infos, runs=known.runs
                )
                claims += [claim for claim in found if claim.id in ids]
        candidates.check_names(chosen, claims)
    except SettingsError as error:
        raise pytest.UsageError(text.line(str(error))) from None


def side_by_side(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """`items`, reordered so that the claims of one checkpoint are consecutive. A group stays where its first claim was."""
    groups: dict[object, list[pytest.Item]] = {}
    for item in items:
        if isinstance(item, ClaimItem):
            protocol = item.claim.protocol
            checkpoint = str(item.claim.overrides.get("checkpoint") or protocol.checkpoint)
            groups.setdefault((item.claim.file.parent, checkpoint), []).append(item)
        else:
            groups.setdefault(item, []).append(item)
    return [item for group in groups.values() for item in group]
