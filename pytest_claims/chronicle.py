"""The pytest side of `--claims-ledger` and `--claims-stale`: what is read before the claims run, and entered after them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import naming, state, text
from pytest_claims.errors import SettingsError
from pytest_claims.ledger import Book, changes, lines, load, parse, rests_on, writer
from pytest_claims.reports import record as records_of
from pytest_claims.reports.format import Record
from pytest_claims.verdict import Kind, Outcome, Result, Status, Verdict, failure_type, settle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pytest_claims.ledger import Draft, Key
    from pytest_claims.spec import Claim


def open_ledger(config: pytest.Config) -> Chronicle | None:
    """The ledger of the session; None without `--claims-ledger`.

    Raises:
        pytest.UsageError: the ledger cannot be read, or has a problem.
    """
    path = state.settings_of(config).ledger
    try:
        return None if path is None else Chronicle(config, path)
    except SettingsError as error:
        raise pytest.UsageError(text.line(str(error))) from None


class Chronicle:
    """The ledger of one pytest session.

    With `--claims-base` the ledger is that of the merge base: lines that a pull request adds carry nothing forward.

    Args:
        config: of the session.

    Raises:
        SettingsError: the ledger cannot be read, or has a problem.
    """

    def __init__(self, config: pytest.Config, path: Path) -> None:
        self.config = config
        self.path = path
        self.book = load(path)
        """What the file holds before the session."""
        self.trusted = self.book
        """What verdicts may be carried from."""
        self.moved: list[str] = []
        """What a pull request changed in the ledger of the merge base."""
        self.problems: list[str] = []
        """Why verdicts could not be entered."""
        self.entered = 0
        if state.settings_of(config).base is not None:
            self._hold()

    def _hold(self) -> None:
        """Compare the file with that of the merge base: every line of that one must still be there."""
        tree = state.tree_of(self.config)
        name = tree.name(self.path)
        if name is None:
            return  # it lies outside the repository, as whoever wrote the command line wanted
        content = tree.read(name) if name in tree.entries else b""
        before = parse(content or b"", f"{name} at the merge base")
        now = {entry.digest for entry in self.book.entries}
        gone = [entry for entry in before.entries if entry.digest not in now]
        self.trusted = before if not before.problems else Book(name=before.name)
        self.moved += before.problems[:1]
        if gone:
            first = gone[0]
            self.moved.append(
                f"{len(gone):,} lines of the merge base are gone from the ledger, the first is line {first.number} "
                f"({first.event}{f' on {first.key.claim}' if first.key else ''})"
            )

    def standing(self) -> dict[str, str]:
        """A red record about the ledger, by its node id, if the history that the merge base holds was changed."""
        if not self.moved:
            return {}
        settings = state.settings_of(self.config)
        shown, nodeid = naming.display(self.path, self.config), naming.nodeid(self.path, self.config)
        said = [f"{shown}: {text}" for text in self.moved]
        return {nodeid: records_of.of_change(shown, nodeid, said, accepted=settings.accept_moved).dump()}

    # --- before the claims run ---

    def leave_fresh(self, items: Iterable[Any]) -> tuple[list[Any], dict[str, str]]:
        """Which items need not run because their verdicts are not stale, and the records that are carried forward instead."""
        left, carried = [], {}
        for item in items:
            claim = getattr(item, "claim", None)
            if claim is not None and (record := self.fresh(item.nodeid, claim)) is not None:
                left.append(item)
                carried[item.nodeid] = record
        return left, carried

    def fresh(self, nodeid: str, claim: Claim) -> str | None:
        """The record of a claim whose current verdict is not stale, as JSON text; None if the claim must run."""
        key = self._key(claim)
        entry = self.trusted.current(key)
        if entry is None or entry.digest in self.book.retracted:  # a retraction counts, whoever made it
            return None
        values = self.trusted.values(entry)
        before: Mapping[str, str] = values["rests_on"]
        chosen = state.settings_of(self.config)
        supplied = state.extensions_of(self.config).supplied
        now = rests_on.of(claim, chosen.data, rests_on.installed(before), chosen.papers, supplied)
        if rests_on.differences(before, now, minor=True):
            return None
        return self._carried(nodeid, claim, Record.model_validate(values["record"]), key, entry.at).dump()

    def _carried(self, nodeid: str, claim: Claim, record: Record, key: Key, at: str) -> Record:
        """A verdict of the ledger in this session's reports. It may be red, and is never `passed`: nothing ran."""
        settings = state.settings_of(self.config)
        outcome = record.evidence.outcome
        held = Verdict(
            claim=claim,
            kind=Kind(record.verdict.kind),
            status=Status(record.verdict.status),
            reason=record.evidence.reason,
            outcome=Outcome(outcome) if outcome else None,
        )
        result, message = settle(held, gate=settings.gate, require_attempt=False)
        result = Result.SKIPPED if result is Result.PASSED else result
        told = f"carried from {at[:10]}, since nothing that the verdict rests on has changed. {message}".rstrip()
        values = record.values()
        place = {"file": claim.display, "line": claim.line, "nodeid": nodeid, "expect": claim.expect}
        values["evidence"] |= {
            "claim": values["evidence"]["claim"] | place,
            "test": {"result": result.value, "message": told, "type": failure_type(record.verdict.status)},
            "seconds": 0.0,
        }
        return changes.beside(self.trusted, Record.model_validate(values), key, None, carried=at)

    @staticmethod
    def _key(claim: Claim) -> Key:
        paper = claim.paper
        address = paper.source_url or (f"https://arxiv.org/abs/{paper.arxiv_id}" if paper.arxiv_id else None)
        return lines.Key(paper.arxiv_id or address or paper.title, claim.id, Kind.POST.value)

    # --- after the claims ran ---

    def enter(self, given: Mapping[str, str], expected: Mapping[str, Any]) -> dict[str, str]:
        """Enter the published verdicts; the records of all claims with their history, by node id.

        Args:
            given: the records by node id, as JSON text.
            expected: the claims by node id; None for a claim that only an xdist worker has.

        Raises:
            ClaimsError: the ledger cannot be written.
        """
        if state.settings_of(self.config).dry_run:
            return {}
        records = {nodeid: Record.load(text) for nodeid, text in given.items()}
        keys = {nodeid: key for nodeid, record in records.items() if (key := changes.key_of(record)) is not None}
        doubles = {key for key, times in Counter(keys.values()).items() if times > 1}
        for key in sorted(doubles):
            self.problems.append(
                f"{self.path}: two claims of this session have the same history, {key.claim} of {key.paper}; "
                "nothing was entered for them. Give one of them another id."
            )
        chosen = state.settings_of(self.config)
        rests: dict[str, dict[str, str]] = {}
        for nodeid, key in keys.items():
            record = records[nodeid]
            if key not in doubles and not changes.withheld(record) and (claim := self._claim(nodeid, expected, record)):
                ran = record.evidence.provenance or {}
                rests[nodeid] = rests_on.of(claim, chosen.data, ran, chosen.papers, record.evidence.supplied)
        made: dict[str, str] = {}

        def choose(book: Book) -> list[Draft]:
            trusted = book if self.trusted is self.book else self.trusted
            drafts = []
            for nodeid, key in keys.items():
                record, resting = records[nodeid], rests.get(nodeid)
                gone = changes.retracted(book, record, key)
                shown = changes.beside(trusted, record, key, resting if gone is None else None, gone=gone)
                if gone is not None:
                    shown = records_of.with_result(shown, Result.FAILED, f"this verdict was retracted: {gone}")
                elif resting is not None:
                    before = book.current(key)
                    if before is None or not changes.same(book, before, record, resting):
                        drafts.append(lines.verdict(record, resting))
                made[nodeid] = shown.dump()
            self.entered = len(drafts)
            return drafts

        writer.update(self.path, choose)
        return made

    def _claim(self, nodeid: str, expected: Mapping[str, Any], record: Record) -> Claim | None:
        """The claim of a record, as its file has it; None if the file was changed while the session ran."""
        claim = expected.get(nodeid) or state.claim_of(self.config, nodeid)
        if claim is None or claim.digest != record.evidence.claim.digest:
            self.problems.append(f"{nodeid}: its file changed while the session ran; the verdict was not entered.")
            return None
        return claim
