"""One line of a ledger: what it is made of, and how it is read quickly.

The keys of a line are sorted. So the small keys, which a list needs, stand before `record`, and `sha256` is the last one: it is
the digest of the bytes before it. A reader need not write the line again to check it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_claims import __version__, digests

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_claims.reports.format import Record

SCHEMA = "pytest-claims/ledger/1"
"""The version of the format."""

PUBLISHED = ("pass", "partial", "fail")
"""The statuses that may stand in a ledger. The others say that nothing is published."""

END = len(',"sha256":""}') + 64
"""Bytes of the key `sha256` with its value, and of the brace that ends a line."""

RECORD = b',"record":'
"""Ends the part of a line that `head` reads. In a string these quotes would be escaped, so it is no part of one."""


class Key(NamedTuple):
    """Verdicts with the same key are about the same claim: the newest of them supersedes the others."""

    paper: str
    """The arXiv id; for a paper without one its address, or its title."""
    claim: str
    """The id in the claim file. The file's name is no part of the key, so that a history survives a move."""
    kind: str
    """POST or PRE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a line shall say; the writer adds its place in the chain."""

    event: str
    about: Mapping[str, Any]
    more: Mapping[str, Any] = field(default_factory=dict)
    """The record of a verdict, and what it rests on."""


def verdict(record: Record, rests_on: Mapping[str, str]) -> Draft:
    """The draft of a verdict's line."""
    values = record.values()
    return Draft(event="verdict", about=about(values), more={"record": values, "rests_on": dict(rests_on)})


def about(record: Mapping[str, Any]) -> dict[str, Any]:
    """The summary of a record that its line begins with."""
    issued, evidence = record["verdict"], record["evidence"]
    return {
        "claim": evidence["claim"]["id"],
        "digest": evidence["claim"]["digest"],
        "evidence": evidence["digest"],
        "kind": issued["kind"],
        "measured": evidence["measured"],
        "paper": paper(record),
        "status": issued["status"],
        "unit": evidence["unit"],
        "verdict": issued["id"],
    }


def paper(record: Mapping[str, Any]) -> str:
    """What tells a record's paper from others: its arXiv id, else its address, else its title."""
    stated = record["paper"] or {}
    address = (record["latest_version"] or {}).get("source_url")
    return str(stated.get("arxiv_id") or address or stated.get("title") or "")


def key_of(said: Mapping[str, Any]) -> Key:
    """The key of what a line, or the summary of a record, is about."""
    return Key(paper=str(said["paper"]), claim=str(said["claim"]), kind=str(said["kind"]))


def encode(draft: Draft, *, at: str, offset: int, parents: Sequence[str]) -> tuple[bytes, str]:
    """A line with its line break, and its digest."""
    values = {
        "about": dict(draft.about),
        "agent": f"pytest-claims {__version__}",
        "at": at,
        "event": draft.event,
        "offset": offset,
        "parents": list(parents),
        "schema": SCHEMA,
        **draft.more,
    }
    # ASCII: no reader splits the file at U+2028, and a line is safe to print.
    body = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()[:-1]
    digest = digests.of(body)
    return b'%b,"sha256":"%b"}\n' % (body, digest.encode()), digest


def stated(line: bytes) -> str:
    """The digest that a line states of itself; empty if it states none at its end."""
    end = line[-END:]
    if not end.startswith(b',"sha256":"') or not end.endswith(b'"}'):
        return ""
    return end[11:-2].decode("ascii", "replace")


def holds(line: bytes) -> bool:
    """Whether a line, without its line break, has the digest that it states."""
    return digests.of(line[:-END]) == stated(line)


def head(line: bytes) -> dict[str, Any]:
    """The small keys of a line, without its record.

    Raises:
        ValueError, TypeError, KeyError: the line is no JSON object, or lacks a key.
    """
    before, record, _ = line.partition(RECORD)
    values: dict[str, Any] = json.loads(before.decode() + "}" if record else line)
    if (
        values["event"] in ("verdict", "retraction")
        and not {"claim", "kind", "paper", "verdict"} <= values["about"].keys()
    ):
        raise ValueError("its summary is not complete")
    return values


_TEXT = r'"([^"\\]*+)"'
_QUICK = re.compile(
    rf'\{{"about":\{{"claim":{_TEXT},"digest":[^,]*+,"evidence":[^,]*+,"kind":"(POST|PRE)","measured":[^,]*+,'
    rf'"paper":{_TEXT},"status":"[a-z]*+","unit":[^,]*+,"verdict":{_TEXT}\}},"agent":{_TEXT},"at":{_TEXT},'
    r'"event":"verdict","offset":[0-9]++,"parents":\[(?:"([0-9a-f]{64})")?\],"record":'
)


def quick(beginning: bytes) -> tuple[str, str, str, str, str, str, str | None] | None:
    """Claim, kind, paper, verdict's id, agent, time and parent of a verdict's line, without reading it as JSON.

    None if it has an escape, or more than one parent: `head` reads such a line. The digest of the line, which is computed
    apart, covers these bytes, so that no line reads otherwise for `head`.
    """
    found = _QUICK.match(beginning.decode("latin-1"))
    return found.groups() if found else None  # type: ignore[return-value] # seven groups


def now() -> str:
    """The time of a line."""
    return moment(datetime.now(UTC))


def moment(when: datetime) -> str:
    """A time in UTC as lines have it: always with six decimals, so that texts sort like times."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def after(earlier: Sequence[str], current: str) -> str:
    """`current`, or the next microsecond after the latest of `earlier`, if a clock went back."""
    latest = max(earlier, default="")
    if current > latest:
        return current
    return moment(datetime.fromisoformat(latest) + timedelta(microseconds=1))
