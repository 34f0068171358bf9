"""Matches the current claims with the claims of the merge base, and finds what changed in each."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pytest_claims import nested
from pytest_claims.spec import merge

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_claims.spec import Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change in a claim since the merge base."""

    key: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """A claim, and the name of its file in the repository."""

    claim: Claim
    name: str


def pair(before: Sequence[Located], now: Sequence[Located]) -> dict[int, int]:
    """Match the claims of the merge base with the current claims.

    Claims are matched by the cell of the paper that they cite, so that a renamed claim is not taken for a new one. The
    remaining claims are matched by their id. If several claims cite the same cell, those with the same id are matched first,
    then those in the same file, then the others in their order.

    Returns:
        The index in `now` by the index in `before`, for each claim that still exists.
    """
    found: dict[int, int] = {}
    free = set(range(len(now)))
    for keys in (
        lambda one: (_cell(one), one.claim.id, one.name),
        lambda one: (_cell(one), one.claim.id),
        lambda one: (_cell(one), one.name),
        lambda one: (_cell(one),),
        lambda one: (one.claim.id, one.name),
        lambda one: (one.claim.id,),
    ):
        places: dict[object, list[int]] = {}
        for place in sorted(free, reverse=True):
            places.setdefault(keys(now[place]), []).append(place)
        for place, one in enumerate(before):
            if place not in found and places.get(keys(one)):
                found[place] = places[keys(one)].pop()
                free.remove(found[place])
    return found


def _cell(located: Located) -> tuple[str, ...]:
    claim = located.claim
    words = (claim.citation.section, claim.citation.row, claim.citation.column)
    return (_paper(claim), *(" ".join(text.split()).casefold() for text in words), claim.reported.metric)


def _paper(claim: Claim) -> str:
    return claim.paper.arxiv_id or claim.paper.source_url or ""


def differences(before: Claim, now: Claim) -> Iterator[Change]:
    """The changes in everything that decides whether a claim is green."""
    one, other = dict(_bar(before)), dict(_bar(now))
    for key in [*one, *(key for key in other if key not in one)]:
        (old, old_text), (new, new_text) = one.get(key, _ABSENT), other.get(key, _ABSENT)
        if key.startswith("run.") and key.replace("run.", "protocol.", 1) in one and _same_move(key, one, other):
            continue  # the change of the protocol is reported already
        if not _equal(old, new):
            yield Change(key=key, before=old_text, after=new_text)


_ABSENT = (None, "not given")


def _same_move(key: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a setting of the run equals the protocol's both before and now, so that it changed only with the protocol."""
    stated = key.replace("run.", "protocol.", 1)
    return all(_equal(side.get(key, _ABSENT)[0], side.get(stated, _ABSENT)[0]) for side in (one, other))


def _bar(claim: Claim) -> Iterator[tuple[str, tuple[Any, str]]]:
    """Everything that decides whether a claim is green: key → (value that is compared, text that is shown)."""
    value, tolerance = claim.reported.value, claim.tolerance
    yield "id", (claim.id, claim.id)
    yield "paper", (_paper(claim), _paper(claim))
    # What the citation is checked against decides whether it is rejected.
    yield "paper.source", (claim.paper.source, _show(claim.paper.source))
    for key in ("section", "row", "column"):
        text = str(getattr(claim.citation, key))
        yield f"citation.{key}", (" ".join(text.split()).casefold(), text)
    # The number of digits matters too: half of the last digit is added to every band.
    yield "value", (str(value.value.as_tuple()), value.text)
    yield "unit", (claim.reported.unit, claim.reported.unit)
    yield "metric", (claim.reported.metric, claim.reported.metric)
    for name, band in (("pass", tolerance.pass_), ("partial", tolerance.partial)):
        yield f"tolerance.{name}", ((band.amount.normalize(), band.relative), band.text)
    yield "tolerance.min_sample", (tolerance.min_sample, str(tolerance.min_sample))
    yield "direction", (claim.direction, claim.direction)
    yield "expect", (claim.expect, _show(claim.expect))
    stated = claim.protocol.model_dump()
    yield from ((key, (item, _show(item))) for key, item in _flat(stated, "protocol."))
    run = claim.run.model_dump(exclude={"batch_size"})
    settings = {**run, **merge(claim.protocol.model_dump(exclude_none=True), claim.overrides)}
    yield from ((key, (item, _show(item))) for key, item in _flat(settings, "run."))
    # An image setting of the run section is forced on the checkpoint's processor, even if the protocol says the same.
    forced = claim.overrides.get("image") or {}
    yield from ((f"run.image.{key} (forced)", (item, _show(item))) for key, item in forced.items())
    # What decides a claim of this file that is an operand decides the derived claim. Another file is compared as data.
    for name, target in claim.operands.items():
        if target.file.name == claim.file.name:
            yield from ((f"operand {name}.{key}", found) for key, found in _bar(target))


def _flat(value: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, item in nested.flat(value, prefix, whole=("where",)):
        if isinstance(item, dict):
            # Only here is null a value: it selects the rows that have none.
            yield from ((f"{key}.{column}", ("is", wanted)) for column, wanted in item.items())
        elif item is not None:
            yield key, item


def _equal(one: Any, other: Any) -> bool:
    """Whether two values mean the same: 1 equals 1.0, but not True; a list equals a tuple with the same items."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float | Decimal) and isinstance(other, int | float | Decimal):
        return one == other
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return type(one) is type(other) and bool(one == other)


def _show(value: Any) -> str:
    if isinstance(value, tuple) and value[:1] == ("is",):
        return "null" if value[1] is None else str(value[1])
    return "not given" if value is None else repr(value) if value == "" else str(value)
