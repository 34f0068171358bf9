"""The table of verdicts at the end of a session, and below it what there is to say about the claims that are not green."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_claims.reports import citations, compared, facts, history, plan
from pytest_claims.reports.facts import difference, number
from pytest_claims.text import block, cut_middle, line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pytest

    from pytest_claims.reports.format import Evidence, Record

_UNITS = {"percent": "%", "million": "M", "billion": "B", "count": "", "fraction": "", "times": "x"}
_COLOURS = {
    "pass": {"green": True},
    "partial": {"yellow": True},
    "fail": {"red": True},
    "pending": {"red": True},
    "error": {"red": True},
    "not_attempted": {"cyan": True},
}
PROBLEMS = 10
"""How many problems of a file, and changes of a moved bar, are listed below the table. The reports hold all of them."""
BLOCKS = 40
"""How many reasons are explained below the table without `-v`: the worst ones."""
ORDER = ("pass", "partial", "fail", "pending", "not_attempted", "error")
NARROWEST = 12
"""How many characters of a claim's name are shown at least."""


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    cell: Callable[[Record], str]
    right: bool = False
    """Numbers are aligned right, and words left."""
    room: int = 0
    """0: always shown. Others are shown where the terminal has room for them, the lowest number first."""


def _reported(record: Record) -> str:
    evidence = record.evidence
    return f"{evidence.reported} {_UNITS[evidence.unit]}".strip() if evidence.unit else "–"


def _half_width(evidence: Evidence) -> str:
    found = evidence.interval
    return f"± {number((found.high - found.low) / 2, evidence.unit)}" if found else "–"


def _interval(evidence: Evidence) -> str:
    found, unit = evidence.interval, evidence.unit
    return f"{number(found.low, unit)} – {number(found.high, unit)}" if found else "–"


def _metric(record: Record) -> str:
    citation = record.verdict.claim_citation
    return citation.reported_metric if citation else "–"


def _confidence(record: Record) -> str:
    confidence = record.verdict.confidence
    return f"{confidence:.2f}" if confidence is not None else "–"


def _status(record: Record) -> str:
    expected = "expected " if record.evidence.test.result == "expected" else ""
    more = ["moved"] if facts.moved(record) else ["red"] if facts.red_beside(record) else []
    kind = " PRE" if record.verdict.kind == "PRE" else ""
    marks = (mark.partition(" ")[0] for mark in history.marks(record))  # the date stands below the table
    return expected + ", ".join([f"{record.verdict.status}{kind}", *more, *marks])


COLUMNS = (
    _Column("claim", lambda record: record.name),
    _Column("metric", _metric, room=1),
    _Column("reported", _reported, right=True),
    _Column("measured", lambda record: number(record.evidence.measured, record.evidence.unit), right=True),
    _Column("±", lambda record: _half_width(record.evidence), right=True),
    _Column("difference", lambda record: difference(record.evidence.difference, record.evidence.unit), True, room=2),
    _Column("95 % interval", lambda record: _interval(record.evidence), right=True, room=5),
    _Column("n", lambda record: f"{record.evidence.n:,}" if record.evidence.n else "–", right=True, room=3),
    _Column("match", lambda record: facts.match(record) or "–"),
    _Column("confidence", _confidence, right=True, room=4),
    _Column("status", _status),
)
"""The columns of the table. `±` is half the width of the 95 % interval over images, in the reported unit."""


def show(reporter: pytest.TerminalReporter, records: Sequence[Record], *, dry_run: bool) -> None:
    """Write the table, the worst claims last, and below it why claims are not green and what to do.

    The table keeps to the width of the terminal. A log or a pipe has no width: there, the table has all columns and each
    reason is one line, so that `grep` finds them. Under `-q` the table stands alone, and under `-qq` the line of counts.
    """
    width = reporter.config.get_terminal_writer().fullwidth if reporter.isatty else None
    verbosity: int = reporter.config.option.verbose
    ranked = facts.worst_last(records)
    if verbosity > -2:
        reporter.write_sep("=", "claims")
        if not (dry_run and _only_planned(records)):
            _table(reporter, ranked, width, whole=verbosity > 0)
    if verbosity > -1:
        _explain(reporter, ranked, width, whole=verbosity > 0)
        for said in (*compared.summary(records), *history.summary(records)):
            _write(reporter, said, "  ", width)
        if told := citations.counted(records):
            _write(reporter, told, "  ", width)
        _new(reporter, records, width)
        if dry_run:
            _plans(reporter, records, width)
    if verbosity != -1:
        reporter.write_line(counts(records))


def counts(records: Sequence[Record]) -> str:
    """How many claims there are, of each status, and with a moved bar: `3 claims: 2 pass, 1 fail; the bar moved in 1`."""
    found = Counter(str(record.verdict.status) for record in records)
    what = "claim" if len(records) == 1 else "claims"
    told = f"{len(records)} {what}: " + ", ".join(f"{found[status]} {status}" for status in ORDER if found[status])
    carried = sum(bool(record.evidence.history and record.evidence.history.carried) for record in records)
    told += f"; {carried} carried forward, not run" if carried else ""
    moved, red = sum(map(facts.moved, records)), sum(map(facts.red_beside, records))
    return told + (f"; the bar moved in {moved}" if moved else "") + (f"; {red} of them red by the gate" if red else "")


def _table(reporter: pytest.TerminalReporter, ranked: Sequence[Record], width: int | None, *, whole: bool) -> None:
    rows = list(_rows(ranked, whole=whole))
    used, widths = _layout([cells for cells, _ in rows], width)

    def columns(cells: Sequence[str]) -> str:
        parts = [
            cells[i].rjust(widths[i]) if COLUMNS[i].right else cut_middle(cells[i], widths[i]).ljust(widths[i])
            for i in used
        ]
        return "  ".join(parts).rstrip()

    reporter.write_line(columns([column.heading for column in COLUMNS]), bold=True)
    for cells, colour in rows:
        reporter.write_line(columns(cells), **colour)


def _rows(ranked: Sequence[Record], *, whole: bool) -> Iterator[tuple[list[str], Any]]:
    """The cells of each row and its colour. Claims that could not be attempted share a row, except under `-v`."""

    def folds(record: Record) -> bool:
        return not whole and record.verdict.status == "not_attempted" and not facts.moved(record)

    sharing = Counter(record.evidence.test.result for record in ranked if folds(record))
    for record in ranked:
        cells = [line(column.cell(record)) for column in COLUMNS]
        if folds(record) and (count := sharing[record.evidence.test.result]) != 1:
            if not count:
                continue  # the first one's row stands for it
            sharing[record.evidence.test.result] = 0
            cells = [f"{count:,} claims", *[""] * (len(COLUMNS) - 2), _status(record)]
        yield cells, _colour(record)


def _colour(record: Record) -> Any:
    if record.evidence.test.result == "failed":
        return {"red": True}
    return {"yellow": True} if record.evidence.test.result == "expected" else _COLOURS[record.verdict.status]


def _layout(rows: Sequence[Sequence[str]], width: int | None) -> tuple[list[int], dict[int, int]]:
    """Which columns are shown, and the width of each. Columns without any value are left out."""
    last = len(COLUMNS) - 1
    filled = [i for i in range(len(COLUMNS)) if i in (0, last) or any(cells[i] not in ("–", "") for cells in rows)]
    widths = {i: max(len(COLUMNS[i].heading), *(len(cells[i]) for cells in rows)) for i in filled}
    if width is None:
        return filled, widths

    def room(used: Sequence[int]) -> int:
        return width - sum(widths[i] for i in used) - 2 * (len(used) - 1)

    used = [i for i in filled if COLUMNS[i].room == 0]
    if room(used) < 0:
        widths[0] = max(NARROWEST, widths[0] + room(used))
    for i in sorted((i for i in filled if COLUMNS[i].room), key=lambda i: COLUMNS[i].room):
        if room([*used, i]) >= 0:
            used.append(i)
    return sorted(used), widths


def _only_planned(records: Sequence[Record]) -> bool:
    """Whether no claim has another status than `not_attempted`, so that the plans alone are shown."""
    return all(record.verdict.status == "not_attempted" for record in records)


def _explain(reporter: pytest.TerminalReporter, ranked: Sequence[Record], width: int | None, *, whole: bool) -> None:
    """Write why claims are not green, and what to do. A reason that several claims share is written once."""
    reasons: dict[tuple[str, str], list[Record]] = {}
    unseen: dict[str, list[Record]] = {}
    for record in ranked:
        if not facts.clear(record):
            green = record.verdict.status == "pass" and record.evidence.test.result == "passed"
            # What makes a `pass` red is in the result alone.
            why = record.evidence.test.message if record.verdict.status == "pass" else record.evidence.reason
            reasons.setdefault((record.verdict.status, "" if green else why), []).append(record)
        if axes := ", ".join(facts.rescored(record)):
            unseen.setdefault(axes, []).append(record)
    if reasons or unseen:
        reporter.write_line("")
    for axes, sharing in unseen.items():
        told = f"rescored: {_names(sharing)}: the outputs were released by others; not observed: {axes}"
        _write(reporter, told, "  ", width)
    hidden = 0 if whole else max(0, len(reasons) - BLOCKS)
    if hidden:
        _write(
            reporter, f"{hidden:,} reasons more; -v shows all, and so does --claims-report=verdicts.html", "  ", width
        )
    for (status, reason), sharing in list(reasons.items())[hidden:]:
        _reason(reporter, status, reason, sharing, width)


def _reason(
    reporter: pytest.TerminalReporter, status: str, reason: str, sharing: Sequence[Record], width: int | None
) -> None:
    """Write the lines about the claims that share a reason: why, what moved, and what to do."""
    first = sharing[0]
    if first.evidence.claim.id is None and first.verdict.status == "error" and not facts.moved(first):
        _file(reporter, first, width)
        return
    who = _names(sharing)
    # The next steps of claims with the same reason differ only in the claim's name, so the first one is enough.
    step = first.evidence.next_step
    if status == "not_attempted":
        named = f"{len(sharing):,} claims" if len(sharing) > 1 else who
        _write(reporter, f"not_attempted: {named}: {reason} {step}".rstrip(), "  ", width)
        step = ""
    elif reason:
        expected = "expected " if first.evidence.test.result == "expected" else ""
        _write(reporter, f"{expected}{status}: {who}: {reason}", "  ", width)
        if not step and first.evidence.test.result == "failed":
            step = f"Run it again: {first.evidence.command}"
    for record in sharing:
        for text in _moved(record):
            _write(reporter, f"moved: {record.name}: {text}", "  ", width)
    if step:
        _write(reporter, step, "    ", width)


def _names(sharing: Sequence[Record]) -> str:
    names = [record.name for record in sharing]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _moved(record: Record) -> Iterator[str]:
    """What changed in a claim since the merge base."""
    changes = record.evidence.moved
    for change in changes[:PROBLEMS]:
        yield f"{change.key}: {change.before} → {change.after}"
    if len(changes) > PROBLEMS:
        yield f"and {len(changes) - PROBLEMS} more changes; the reports hold them"


def _file(reporter: pytest.TerminalReporter, record: Record, width: int | None) -> None:
    """Write the problems of a file that cannot be read, unless pytest has shown them under its heading ERRORS."""
    problems = record.evidence.reason.splitlines()
    if reporter.config.option.tbstyle != "no" and reporter.config.option.verbose >= 0:
        what = "problem" if len(problems) == 1 else "problems"
        _write(reporter, f"error: {record.name}: {len(problems)} {what}, listed under ERRORS above.", "  ", width)
        return
    # Each problem begins with the path and the line of its file.
    for text in problems[:PROBLEMS]:
        _write(reporter, f"error: {text}", "  ", width)
    if len(problems) > PROBLEMS:
        _write(reporter, f"error: {record.name}: {len(problems) - PROBLEMS} more problems", "  ", width)


def _new(reporter: pytest.TerminalReporter, records: Sequence[Record], width: int | None) -> None:
    """Write which claims are new since the merge base, since they cannot be compared with anything."""
    names = [record.name for record in records if record.evidence.baseline == "new"]
    if names:
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        _write(reporter, f"new since the merge base: {', '.join(names[:10])}{more}", "  ", width)


def _write(reporter: pytest.TerminalReporter, text: str, indent: str, width: int | None, **markup: bool) -> None:
    """Write one line. If it is too long for the terminal, it is wrapped between words."""
    text = line(text)
    if width is None:
        reporter.write_line(indent + text, **markup)
        return
    folded = textwrap.wrap(
        text, max(width - 1, 40), initial_indent=indent, subsequent_indent=f"{indent}  ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    for part in folded:
        reporter.write_line(block(part), **markup)  # wrapping can move a CI command to the start of a line


def _plans(reporter: pytest.TerminalReporter, records: Sequence[Record], width: int | None) -> None:
    looks: tuple[dict[str, bool], ...] = ({"bold": True}, {}, {"yellow": True})
    for record in records:
        for depth, text in plan.lines(record):
            _write(reporter, text, "  " * depth, width, **looks[depth])
