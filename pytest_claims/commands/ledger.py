"""The history of published verdicts, which `pytest --claims-ledger=PATH` writes: list it, check it, retract a verdict.

Every command but `retract` only reads. An ID is the beginning of what `list` shows, or of a verdict's id in a report.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims.commands import tell
from pytest_claims.digests import SHORT
from pytest_claims.errors import SettingsError, nearest

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pytest_claims.ledger import Book, Entry, Key

HELP = "the history of published verdicts: list, show, history, diff, retract, verify"

PLACES = ("ledger.jsonl", "claims/ledger.jsonl")
"""Where a ledger is looked for if none is named."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the commands of the command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, says: str, *words: tuple[str, str]) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=says, description=f"{says[0].upper()}{says[1:]}.")
        for word, meaning in words:
            action.add_argument(word, metavar=word.upper(), help=meaning)
        action.add_argument(
            "--claims-ledger", type=Path, metavar="PATH", help=f"the ledger (default: {' or '.join(PLACES)})"
        )
        return action

    every = add("list", "the current verdict on each claim")
    every.add_argument("--all", action="store_true", help="superseded and retracted verdicts too")
    add("show", "one verdict, with all its facts", ("id", "of the verdict"))
    add("history", "all verdicts on one claim, oldest first", ("claim", "its id in the claim file"))
    add("diff", "what differs between two verdicts", ("before", "id of a verdict"), ("after", "id of another"))
    gone = add("retract", "retract a verdict, for all to see; its line stays", ("id", "of the verdict"))
    gone.add_argument("--reason", required=True, help="why it does not hold; shown wherever the verdict is cited")
    whole = add("verify", "check every line, and that no line was changed, moved or removed")
    # Like the other commands, and like git fsck: the file may stand where an option would stand.
    whole.add_argument("path", nargs="?", type=Path, metavar="PATH", help="the ledger")


def run(arguments: argparse.Namespace) -> int:
    """Run one of the actions; 1 if `verify` found a problem."""
    path = getattr(arguments, "path", None) or arguments.claims_ledger or _found()
    actions: Mapping[str, Callable[[Path, argparse.Namespace], int]] = {
        "list": _list,
        "show": _show,
        "history": _history,
        "diff": _diff,
        "retract": _retract,
        "verify": _verify,
    }
    return actions[arguments.action](path, arguments)


def _found() -> Path:
    for place in map(Path, PLACES):
        if place.is_file():
            return place
    raise SettingsError(f"There is no ledger {' or '.join(PLACES)} here; name one with --claims-ledger=PATH.")


def _read(path: Path) -> Book:
    from pytest_claims import ledger

    book = ledger.read(path)
    if book.problems:
        raise SettingsError(f"{book.problems[0]} `pytest-claims ledger verify {path}` lists all problems.")
    return book


def _list(path: Path, arguments: argparse.Namespace) -> int:
    book = _read(path)
    rows = []
    for key in sorted(book.verdicts):
        found = book.verdicts[key]
        shown = found if arguments.all else [entry for entry in (book.current(key),) if entry is not None]
        rows += [_row(book, entry) for entry in shown]
    _table(rows)
    nothing = sum(book.current(key) is None for key in book.verdicts)
    told = f"{len(book.verdicts):,} claims, {sum(map(len, book.verdicts.values())):,} verdicts"
    told += f", {len(book.retracted):,} retracted" if book.retracted else ""
    tell(told + (f"; {nothing:,} claims have no current verdict" if nothing else ""))
    return 0


def _row(book: Book, entry: Entry) -> list[str]:
    from pytest_claims.reports.numbers import number

    about = book.about(entry)
    state = "current" if book.is_current(entry) else "retracted" if entry.digest in book.retracted else "superseded"
    measured = number(about["measured"], about["unit"])
    return [entry.digest[:SHORT], entry.at[:10], about["kind"], about["status"], measured, state, about["claim"]]


def _table(rows: Sequence[Sequence[str]]) -> None:
    heads = ("id", "date", "kind", "status", "measured", "state", "claim")
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        # `tell` folds white space, which would undo the columns.
        _aligned(
            [
                cell.rjust(width) if at == 4 else cell.ljust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
        )


def _aligned(cells: Sequence[str]) -> None:
    import sys

    from pytest_claims import text

    sys.stdout.write("  ".join(text.name(cell) for cell in cells).rstrip() + "\n")


def _show(path: Path, arguments: argparse.Namespace) -> int:
    from pytest_claims.reports import facts

    book = _read(path)
    entry = book.find(arguments.id)
    record = book.record(entry)
    tell(facts.headline(record))
    for said in _standing(book, entry):
        tell(said, depth=1)
    for said in facts.lines(record):
        tell(said, depth=1)
    return 0


def _standing(book: Book, entry: Entry) -> Iterator[str]:
    yield f"line {entry.number} of {book.name}, sha256 {entry.digest}"
    yield f"entered {entry.at} by {entry.agent}"
    if (gone := book.retracted.get(entry.digest)) is not None:
        yield f"RETRACTED {gone.at[:10]}: {book.reason(entry)}"
    elif book.is_current(entry):
        yield "current"
    else:
        yield "superseded by a newer verdict"


def _history(path: Path, arguments: argparse.Namespace) -> int:
    book = _read(path)
    keys = [key for key in sorted(book.verdicts) if key.claim == arguments.claim]
    if not keys:
        known = sorted({key.claim for key in book.verdicts})
        raise SettingsError(f"{path} holds no verdict on {arguments.claim}{nearest(arguments.claim, known)}.")
    for key in keys:
        _told(book, key)
    return 0


def _told(book: Book, key: Key) -> None:
    from pytest_claims.reports.numbers import number

    tell(f"{key.claim} ({key.kind}, {key.paper})")
    for entry in book.verdicts[key]:
        about = book.about(entry)
        issued = book.record(entry).verdict
        measured = f" {number(about['measured'], about['unit'])}" if about["measured"] is not None else ""
        current = ", current" if book.is_current(entry) else ""
        tell(
            f"{entry.at[:10]}  {entry.digest[:SHORT]}  {about['status']}{measured}, {issued.protocol_match}, "
            f"{issued.agent_version}{current}",
            depth=1,
        )
        if (gone := book.retracted.get(entry.digest)) is not None:
            tell(f"retracted {gone.at[:10]}: {book.reason(entry)}", depth=2)


def _diff(path: Path, arguments: argparse.Namespace) -> int:
    book = _read(path)
    one, other = book.find(arguments.before), book.find(arguments.after)
    before, after = (dict(_flat(book.record(entry).values())) for entry in (one, other))
    rests = [book.values(entry)["rests_on"] for entry in (one, other)]
    before |= {f"rests_on.{name}": value for name, value in rests[0].items()}
    after |= {f"rests_on.{name}": value for name, value in rests[1].items()}
    # Where the record stands twice, and what every run has of its own.
    aside = ("verdicts.", "evidence.seconds", "evidence.command", "evidence.test.")
    differing = [
        name
        for name in dict.fromkeys([*before, *after])
        if before.get(name, "–") != after.get(name, "–") and not name.startswith(aside)
    ]
    for name in differing:
        tell(f"{name}: {before.get(name, '–')} → {after.get(name, '–')}")
    if not differing:
        tell("The two verdicts are equal.")
    return 0


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and value:
        for place, inner in enumerate(value):
            named = isinstance(inner, dict) and inner.get("axis")
            yield from _flat(inner, f"{name}.{named or place}")
    else:
        yield name, str(value)


def _retract(path: Path, arguments: argparse.Namespace) -> int:
    from pytest_claims import ledger

    digest = ledger.retract(path, arguments.id, arguments.reason)
    book = ledger.load(path)
    entry = next(entry for entry in book.entries if entry.digest == digest)
    about = book.about(entry)
    tell(f"retracted: {about['claim']} ({about['kind']}), verdict {about['verdict']}: {about['reason']}")
    key = entry.key
    if key is not None and book.current(key) is None:
        tell("The claim has no current verdict now; run it again for one.")
    return 0


def _verify(path: Path, _: argparse.Namespace) -> int:
    from pytest_claims.ledger import load, read, validation

    read(path)  # a missing file is wrong usage
    book = load(path, strict=False, check=True, broken=validation.broken_lines)
    validation.validate(book)
    for note in book.notes:
        tell(f"note: {note}")
    for problem in book.problems:
        tell(problem)
    if book.problems:
        tell(f"{path}: {len(book.problems):,} problem{'s' if len(book.problems) > 1 else ''}")
        return 1
    verdicts = sum(map(len, book.verdicts.values()))
    tell(
        f"{path}: good: {len(book.entries):,} lines, {verdicts:,} verdicts on {len(book.verdicts):,} claims, "
        f"{len(book.retracted):,} retracted; the chain ends in {', '.join(head[:SHORT] for head in book.heads) or 'nothing'}"
    )
    return 0
