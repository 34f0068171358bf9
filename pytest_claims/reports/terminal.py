"""The table of verdicts at the end of a session."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Any

from pytest_claims.reports.facts import difference, number
from pytest_claims.text import block, line

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from pytest_claims.reports.format import Record

HEADINGS = (
    "claim",
    "metric",
    "reported",
    "measured",
    "95 % interval",
    "difference",
    "n",
    "protocol",
    "confidence",
    "status",
)
_UNITS = {"percent": "%", "million": "M", "billion": "B", "count": "", "fraction": ""}
_COLOURS = {
    "pass": {"green": True},
    "partial": {"yellow": True},
    "fail": {"red": True},
    "pending": {"red": True},
    "error": {"red": True},
    "not_attempted": {"cyan": True},
}
PROBLEMS = 10
"""How many problems of a file are repeated below the table. pytest and the reports show all of them."""
ORDER = ("pass", "partial", "fail", "pending", "not_attempted", "error")


def row(record: Record) -> tuple[str, ...]:
    """The cells of one record, in the order of `HEADINGS`."""
    verdict, evidence = record.verdict, record.evidence
    unit, citation, interval = evidence.unit, verdict.claim_citation, evidence.interval
    status = verdict.status + (" (as recorded)" if evidence.test.result == "expected" else "")
    return (
        record.name,
        citation.reported_metric if citation else "–",
        f"{evidence.reported} {_UNITS[unit]}".strip() if unit else "–",
        number(evidence.measured, unit),
        f"{number(interval.low, unit)} – {number(interval.high, unit)}" if interval else "–",
        difference(evidence.difference, unit),
        f"{evidence.n:,}" if evidence.n else "–",
        verdict.protocol_match or "–",
        f"{verdict.confidence:.2f}" if verdict.confidence is not None else "–",
        status + (" PRE" if verdict.kind == "PRE" else ""),
    )


def show(reporter: pytest.TerminalReporter, records: Sequence[Record], *, dry_run: bool) -> None:
    """Write the table, and below it the reasons of all claims that did not pass.

    If the table is wider than the terminal, each claim is shown in separate lines instead. A log or a pipe has no width: there,
    the table keeps its columns and each reason is one line, so that `grep` finds them.
    """
    width = reporter.config.get_terminal_writer().fullwidth if reporter.isatty else None
    reporter.write_sep("=", "claims")
    if not (dry_run and _only_planned(records)):
        _table(reporter, records, width)
    _explain(reporter, records, width)
    _new(reporter, records, width)
    if dry_run:
        _plans(reporter, records, width)
    counts = Counter(str(record.verdict.status) for record in records)
    what = "claim" if len(records) == 1 else "claims"
    reporter.write_line(
        f"{len(records)} {what}: " + ", ".join(f"{counts[status]} {status}" for status in ORDER if counts[status])
    )


def _table(reporter: pytest.TerminalReporter, records: Sequence[Record], width: int | None) -> None:
    rows = [tuple(map(line, row(record))) for record in records]
    used = [i for i in range(len(HEADINGS)) if i in (0, 9) or any(cells[i] != "–" for cells in rows)]
    widths = {i: max(len(HEADINGS[i]), *(len(cells[i]) for cells in rows)) for i in used}

    def columns(cells: Sequence[str]) -> str:
        # Numbers are aligned right, and words left.
        parts = [cells[i].rjust(widths[i]) if i in (2, 3, 4, 5, 6, 8) else cells[i].ljust(widths[i]) for i in used]
        return "  ".join(parts).rstrip()

    fits = width is None or sum(widths.values()) + 2 * (len(used) - 1) <= width
    if fits:
        reporter.write_line(columns(HEADINGS), bold=True)
    for cells, record in zip(rows, records, strict=True):
        expected = record.evidence.test.result == "expected"
        colour: Any = {"yellow": True} if expected else _COLOURS[record.verdict.status]
        if fits:
            reporter.write_line(columns(cells), **colour)
            continue
        head, number_ = _sentences(cells)
        _write(reporter, head, "", width, **colour)
        if number_:
            _write(reporter, number_, "    ", width)


def _sentences(cells: Sequence[str]) -> tuple[str, str]:
    """A row as text: `a-claim: partial, protocol proxy, confidence 0.60` and `bleu4 30.39 against 43.7 % (-13.31), n 100`."""
    claim, metric, reported, measured, interval, difference_, n, protocol, confidence, status = cells

    def listed(first: str, *named: tuple[str, str]) -> str:
        return ", ".join([first, *(f"{name} {text}" for name, text in named if text != "–")])

    head = listed(f"{claim}: {status}", ("protocol", protocol), ("confidence", confidence))
    if metric == "–":
        return head, ""
    if measured == "–":
        return head, f"{metric}, reported {reported}"
    return head, listed(
        f"{metric} {measured} against {reported} ({difference_})", ("95 % interval", interval), ("n", n)
    )


def _only_planned(records: Sequence[Record]) -> bool:
    """Whether no claim has another status than `not_attempted`, so that the plans alone are shown."""
    return all(record.verdict.status == "not_attempted" for record in records)


def _explain(reporter: pytest.TerminalReporter, records: Sequence[Record], width: int | None) -> None:
    """Write the reasons of all claims that did not pass. A reason that several claims share is written once."""
    reasons: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.verdict.status != "pass":
            reasons.setdefault((record.verdict.status, record.evidence.reason), []).append(record)
    if reasons and not all(record.evidence.claim.id is None for record in records):
        reporter.write_line("")
    for (status, reason), sharing in reasons.items():
        names = [record.name for record in sharing]
        who = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        problems = reason.splitlines()
        for text in problems[:PROBLEMS]:
            _write(reporter, f"{status}: {who}: {text}", "  ", width)
        if len(problems) > PROBLEMS:
            _write(reporter, f"{status}: {who}: and {len(problems) - PROBLEMS} more problems", "  ", width)
        # The next steps of claims with the same reason differ only in the claim's name, so the first one is enough.
        if step := sharing[0].evidence.next_step:
            _write(reporter, step, "    ", width)


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
    for record in records:
        axes, needs = record.evidence.axes, record.evidence.needs
        if not axes and not needs:
            continue
        reporter.write_line(line(f"plan of {record.name}:"), bold=True)
        for axis in axes:
            _write(reporter, f"{axis.axis}: {axis.run}", "  ", width)
            if axis.consequence not in ("none", "not observed"):
                _write(reporter, f"paper: {axis.paper} → {axis.consequence}", "    ", width, yellow=True)
        for need in needs:
            _write(reporter, f"needs {need.what}: {need.found}", "  ", width)
