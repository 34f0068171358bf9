"""The Markdown report: for the summary of a GitHub job, and for a comment on a pull request.

Worst first, and never longer than a comment may be: what does not fit is counted. Whatever is not ours stands in code
(`text.py`).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pytest_claims import text
from pytest_claims.reports import citations, facts, history

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_claims.reports.format import Record, RunInfo

LIMIT = 60_000
"""Bytes of a report; a comment on GitHub holds 65,536 characters."""

LEAST = 8_000
"""Bytes below which no report can be made: the heading, what was left out, and how the session was run."""

TABLE = 0.4
"""The share of the room that the table may take, if there are details for the rest."""

NAME = 100
"""Characters of a name."""

FEW = 5
"""Plugins that are named."""

FACT = 300
"""Characters of one fact."""

FACTS = 3_000
"""Bytes of the facts of one claim; the most important ones come first."""

NAMES = 20
"""Claims that are named where many share a reason."""

_RESULTS = {"failed": "**red**", "passed": "green", "skipped": "skipped", "expected": "as recorded"}
_HEADINGS = ("result", "status", "claim", "metric", "reported", "measured", "difference", "protocol")


def render(run: RunInfo, records: Sequence[Record], *, limit: int = LIMIT) -> str:
    """The report, shorter than `limit` bytes, which is at least `LEAST`."""
    ranked = facts.worst_first(records)
    top, bottom = _summary(ranked), _session(run)
    room = limit - _size(top) - _size(bottom) - 1_000  # for the head of the table, and for what was left out
    groups = list(_grouped(ranked))
    wanted = [(len(sharing), "\n".join(_details(sharing))) for sharing in groups]
    rows = [(1, _row(record)) for record in ranked]
    rest = sum(_size(part) for _, part in wanted)
    listed = _fitting(rows, max(room * TABLE, room - rest))
    told = _fitting(wanted, room - sum(_size(row) for _, row in listed))
    parts = [top]
    if listed:
        parts.append("\n".join([_cells(_HEADINGS), _cells(["---"] * len(_HEADINGS)), *(row for _, row in listed)]))
    parts += [part for _, part in told]
    parts += _left_out(ranked, len(listed), sum(count for count, _ in wanted) - sum(count for count, _ in told))
    return "\n\n".join([*parts, bottom]) + "\n"


def _fitting(parts: Iterable[tuple[int, str]], room: float) -> list[tuple[int, str]]:
    """The first of `parts` that fit into `room` bytes; none is left out before another one."""
    fitting = []
    for count, part in parts:
        room -= _size(part)
        if room < 0:
            break
        fitting.append((count, part))
    return fitting


def _size(part: str) -> int:
    return len(part.encode()) + 2  # what joins it with the next


def _summary(ranked: Sequence[Record]) -> str:
    # A heading that starts with ## would look like a command to a CI system that shows the file.
    title = "Claims\n------\n\n"
    if not ranked:
        return f"{title}No claims."
    red = sum(record.evidence.test.result == "failed" for record in ranked)
    moved = sum(map(facts.moved, ranked))
    line = f"{len(ranked):,} claim{'s' if len(ranked) > 1 else ''}: {_counted(ranked)}. "
    line += f"**{red:,} red.**" if red else "None is red."
    if moved:
        line += f" The bar moved for {moved:,}."
    cited = citations.counted(ranked)
    return title + line + (f" {cited}" if cited else "") + _supplied(ranked)


def _supplied(records: Sequence[Record]) -> str:
    """The code of plugins that decides a claim of the session; empty if there is none."""
    known = list(dict.fromkeys(pair for record in records for pair in facts.supplied(record.evidence)))
    told = "; ".join(f"{kind} {text.code(said, FACT)}" for kind, said in known[:FEW])
    more = f"; and {len(known) - FEW:,} more" if len(known) > FEW else ""
    return f"\n\nPlugins supply {told}{more}." if known else ""


def _counted(records: Sequence[Record]) -> str:
    """`1 fail, 2 partial`."""
    counts: Counter[str] = Counter(record.verdict.status for record in records)
    return ", ".join(f"{counts[status]:,} {status}" for status in facts.WORST_FIRST if counts[status])


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _row(record: Record) -> str:
    verdict, evidence, citation = record.verdict, record.evidence, record.verdict.claim_citation
    decision = evidence.comparison and evidence.comparison.decision
    status = verdict.status + (", moved" if facts.moved(record) else "") + (", PRE" if verdict.kind == "PRE" else "")
    status += "".join(f", {said}" for said in ([decision] if decision else []) + history.marks(record))
    return _cells(
        [
            _RESULTS[evidence.test.result],
            status,
            text.code(record.name, NAME),
            text.code(citation.reported_metric if citation else "", NAME),
            text.code(facts.reported(record), NAME),
            facts.number(evidence.measured, evidence.unit),
            facts.difference(evidence.difference, evidence.unit),
            facts.match(record) or "–",
        ]
    )


def _grouped(ranked: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """The records that need an explanation; those that have no number and share a reason are explained together."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for index, record in enumerate(ranked):
        known = record.evidence.history
        told = known is None or (known.change in ("new", "unchanged") and known.retracted is None)
        if facts.clear(record) and record.evidence.comparison is None and told:
            continue
        alone = record.evidence.measured is not None or facts.moved(record)
        reason = str(index) if alone else record.evidence.reason
        groups.setdefault((record.evidence.test.result, record.verdict.status, reason), []).append(record)
    yield from groups.values()


def _details(sharing: Sequence[Record]) -> Iterator[str]:
    """What is known of a claim, or of several that share a reason, folded."""
    first = sharing[0]
    status = f"<b>{first.verdict.status}</b>"
    if len(sharing) == 1:
        told = facts.headline(first).removeprefix(f"{first.name}: {first.verdict.status}").removeprefix(", ")
        shown = f"{status} {text.code_element(first.name, NAME)}" + (
            f" {text.code_element(told, FACT)}" if told else ""
        )
    else:
        shown = f"{status} {len(sharing):,} claims: {text.code_element(first.evidence.reason, FACT)}"
    # Up to the empty line this is HTML, and nothing in it is Markdown.
    yield f"<details><summary>{shown}</summary>"
    yield ""
    yield _facts(facts.lines(first) if len(sharing) == 1 else _shared(sharing))
    yield ""
    yield "</details>"


def _shared(sharing: Sequence[Record]) -> Iterator[str]:
    evidence = sharing[0].evidence
    yield from evidence.reason.splitlines()
    if evidence.next_step:
        yield f"next step, as for {sharing[0].name}: {evidence.next_step}"
    yield from (f"claim: {record.evidence.claim.nodeid}" for record in sharing[:NAMES])
    if len(sharing) > NAMES:
        yield f"… and {len(sharing) - NAMES:,} more"


def _facts(lines: Iterable[str]) -> str:
    kept, room, left = [], FACTS, 0
    for line in lines:
        short = text.cut(" ".join(line.splitlines()), FACT)
        room -= _size(short)
        if room < 0:
            left += 1
        else:
            kept.append(short)
    if left:
        kept.append(f"… {left:,} more lines")
    return text.code_block("\n".join(kept), FACT)


def _left_out(ranked: Sequence[Record], listed: int, untold: int) -> Iterator[str]:
    """What did not fit, counted."""
    said = []
    if missing := ranked[listed:]:
        said.append(f"the table leaves out {len(missing):,} of {len(ranked):,} claims ({_counted(missing)})")
    if untold:
        said.append(f"the details of {untold:,} claims are left out")
    if said:
        yield f"**Cut to fit:** {'; '.join(said)}. The worst come first; the reports `.json` and `.xml` hold all."


def _session(run: RunInfo) -> str:
    """How, when and where: the one part that differs between two runs of the same."""
    known = {
        "tool": run.tool,
        "command": run.command,
        "gate": run.gate,
        "exit status": str(run.exit_status),
        "deselected": f"{run.deselected:,}",
        "started": run.started_at,
        "host": run.hostname,
    }
    shown = "\n".join(f"{name}: {' '.join(value.split())}" for name, value in known.items() if value)
    return "\n".join(["<details><summary>The session</summary>", "", text.code_block(shown, FACT), "", "</details>"])
