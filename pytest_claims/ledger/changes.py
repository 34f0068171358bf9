"""A record beside the ledger: is its verdict new, better, worse or the same, what differs, and may it be published?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_claims.ledger import lines, rests_on
from pytest_claims.reports import facts
from pytest_claims.reports.format import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_claims.ledger.book import Book, Entry
    from pytest_claims.ledger.lines import Key

POINTS = 50
"""How many verdicts of a history a report holds: the newest ones."""

_RANK = ("fail", "partial", "pass")


def key_of(record: Record) -> Key | None:
    """Which history a record belongs to; None if it is about a file."""
    if record.evidence.claim.id is None:
        return None
    stated = lines.paper(record.values())
    return lines.Key(paper=stated, claim=record.evidence.claim.id, kind=record.verdict.kind)


def withheld(record: Record) -> str:
    """Why a record's verdict is not published; empty if it is."""
    evidence = record.evidence
    if record.verdict.status not in lines.PUBLISHED:
        return f"the verdict is {record.verdict.status}"
    if evidence.claim.id is None or evidence.claim.digest is None or evidence.digest is None:
        return "nothing was evaluated"
    if facts.moved(record) and evidence.test.result == "failed":
        return "the bar moved, and was not accepted"
    if evidence.test.type == "claim.error":
        return "the test failed for another reason"
    return ""


def retracted(book: Book, record: Record, key: Key) -> str | None:
    """Why this very verdict was retracted: the same claim, evidence and status, from the same version; None if it was not."""
    for entry in book.verdicts.get(key, ()):
        equal = entry.digest in book.retracted and entry.verdict == record.verdict.id
        if equal and book.record(entry).verdict.agent_version == record.verdict.agent_version:
            return book.reason(entry)
    return None


def same(book: Book, entry: Entry, record: Record, rests: Mapping[str, str]) -> bool:
    """Whether a line holds this verdict already, with nothing changed of what it rests on."""
    if entry.verdict != record.verdict.id:
        return False
    values = book.values(entry)
    issued = values["record"]["verdict"]
    now = record.verdict
    return bool(
        values["rests_on"] == dict(rests)
        and (issued["status"], issued["score"], issued["agent_version"]) == (now.status, now.score, now.agent_version)
    )


def beside(
    book: Book,
    record: Record,
    key: Key,
    rests: Mapping[str, str] | None,
    *,
    gone: str | None = None,
    carried: str | None = None,
) -> Record:
    """A record with its history, and `is_current` as the ledger has it.

    Args:
        book: the ledger before this session.
        record: the record.
        key: of its claim.
        rests: what its verdict rests on; None if it is not published.
        gone: why this very verdict was retracted.
        carried: when the verdict was entered, if this session did not run the claim.
    """
    before = book.current(key)
    found: dict[str, Any] = {
        "change": None, "said": "", "causes": [], "only_library": False, "carried": carried, "retracted": gone,
        "points": points(book, key),
    }  # fmt: skip
    if carried is not None:
        found |= {"change": "unchanged", "said": f"the current verdict of {carried[:10]}, which is not stale"}
    elif gone is not None:
        found["said"] = "this very verdict was retracted, so it is not published again"
    elif rests is None:
        found["said"] = f"not published: {withheld(record)}{_last(book, before)}"
    elif before is None:
        again = "; earlier ones were retracted or stand no more" if book.verdicts.get(key) else ""
        found |= {"change": "new", "said": f"the first current verdict on this claim{again}"}
    else:
        found |= _compared(book, before, record, rests)
    current = gone is None and (rests is not None or carried is not None)
    return with_history(record, found, current=current)


def today(book: Book, record: Record) -> Record:
    """A record of an earlier session, with what the ledger says of its verdict now: current, superseded or retracted."""
    key = key_of(record)
    entered = [entry for entry in book.verdicts.get(key, ()) if entry.verdict == record.verdict.id] if key else []
    if key is None or not entered:
        return record
    gone = retracted(book, record, key)
    current = gone is None and book.is_current(entered[-1])
    found = {
        "change": None, "said": "current" if current else "superseded by a newer verdict", "causes": [], "only_library": False,
        "carried": None, "retracted": gone, "points": points(book, key),
    }  # fmt: skip
    if gone is not None:
        found["said"] = "retracted since this report was made"
    return with_history(record, found, current=current)


def with_history(record: Record, found: Mapping[str, Any], *, current: bool) -> Record:
    """A record with another history and `is_current`."""
    values = record.values()
    kind = record.verdict.kind.lower()
    issued = {**values["verdict"], "is_current": current}
    verdicts = {**values["verdicts"], kind: issued}
    return Record.model_validate(
        {**values, "verdict": issued, "verdicts": verdicts, "evidence": {**values["evidence"], "history": dict(found)}}
    )


def points(book: Book, key: Key, most: int = POINTS) -> list[dict[str, Any]]:
    """The published verdicts on a claim, oldest first; of more than `most`, the newest."""
    return [_point(book, entry) for entry in book.verdicts.get(key, ())[-most:]]


def _point(book: Book, entry: Entry) -> dict[str, Any]:
    record = book.record(entry)
    interval = record.evidence.interval
    return {
        "verdict": str(record.verdict.id),
        "at": entry.at,
        "status": record.verdict.status,
        "measured": record.evidence.measured,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "agent_version": record.verdict.agent_version,
        "retracted": book.reason(entry),
    }


def _last(book: Book, before: Entry | None) -> str:
    if before is None:
        return ""
    about = book.about(before)
    return f"; the current verdict is still {about['status']}, of {before.at[:10]}"


def _compared(book: Book, before: Entry, record: Record, rests: Mapping[str, str]) -> dict[str, Any]:
    values = book.values(before)
    earlier = Record.model_validate(values["record"])
    differing = rests_on.differences(values["rests_on"], rests)
    signatures = (earlier.evidence.signature, record.evidence.signature)
    causes = [rests_on.told(*one) for one in differing]
    if signatures[0] != signatures[1] and not any(key == "metric" for key, _, _ in differing):
        causes.append(f"metric signature {signatures[0]} → {signatures[1]}")
    change = _change(earlier, record)
    unit = record.evidence.unit
    said = f"{_told(earlier, unit)} → {_told(record, unit)} since {before.at[:10]}"
    if change == "unchanged":
        said = f"{_told(record, unit)}, unchanged since {before.at[:10]}"
    only = bool(causes) and all(key in rests_on.LIBRARIES for key, _, _ in differing) and len(causes) == len(differing)
    if change != "unchanged" and only:
        said += f"; nothing differs but {', '.join(causes)}"
    elif change != "unchanged" and not causes:
        said += "; nothing that is recorded differs: the run itself gave another result"
    return {"change": change, "said": said, "causes": causes, "only_library": only}


def _told(record: Record, unit: str | None) -> str:
    measured = record.evidence.measured
    return record.verdict.status + (f" {facts.number(measured, unit)}" if measured is not None else "")


def _change(before: Record, now: Record) -> str:
    """By status, then by the distance from the reported value on a side that counts."""
    ranks = _RANK.index(before.verdict.status), _RANK.index(now.verdict.status)
    if ranks[0] != ranks[1]:
        return "better" if ranks[1] > ranks[0] else "worse"
    distances = _distance(before), _distance(now)
    if distances[0] is None or distances[1] is None or abs(distances[0] - distances[1]) < 1e-9:
        return "unchanged"
    return "better" if distances[1] < distances[0] else "worse"


def _distance(record: Record) -> float | None:
    difference, tolerance = record.evidence.difference, record.evidence.tolerance
    if difference is None:
        return None
    direction = tolerance.direction if tolerance else "two_sided"
    if direction == "at_least":
        return max(-difference, 0.0)
    return max(difference, 0.0) if direction == "at_most" else abs(difference)
