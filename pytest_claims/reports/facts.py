"""The facts of a record as lines of text, for JUnit's system-out and for a failure in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_claims.reports.record import Record

_SIGNS = {"percent": " %", "million": " million", "billion": " billion", "count": "", "fraction": ""}

_DIGITS = {"fraction": 4, "count": 0, "billion": 3}


def number(value: float | None, unit: str | None = None) -> str:
    """A number as a table shows it, `–` where there is none."""
    if value is None:
        return "–"
    return f"{value:z,.{_DIGITS.get(unit or '', 2)}f}"  # z: never -0.00


def difference(value: float | None, unit: str | None = None) -> str:
    """A signed difference as a table shows it."""
    return "–" if value is None else f"{value:+z,.{_DIGITS.get(unit or '', 2)}f}"


def lines(record: Record) -> Iterator[str]:
    """What a reader must know to believe or refute the verdict, most important first.

    Each is one line whatever stands in it: a text with a line break in it must not look like a fact of its own.
    """
    for text in _lines(record):
        yield " ".join(text.splitlines())


def _lines(record: Record) -> Iterator[str]:
    verdict, evidence = record["verdict"], record["evidence"]
    citation, unit = verdict["claim_citation"], evidence["unit"]
    sign = _SIGNS.get(unit or "", "")
    yield f"status: {verdict['status']}" + (f" ({verdict['kind']})" if verdict["kind"] == "PRE" else "")
    for reason in evidence["reason"].splitlines():  # a file that cannot be read has one reason a line
        yield f"reason: {reason}"
    if evidence["next_step"]:
        yield f"next step: {evidence['next_step']}"
    if citation is None:
        return
    yield f"reported: {evidence['reported']}{sign} {citation['reported_metric']}"
    if evidence["measured"] is not None:
        yield f"measured: {number(evidence['measured'], unit)}{sign} ({difference(evidence['difference'], unit)})"
        yield f"outcome: {evidence['outcome']}"
        yield f"score: {verdict['score']!r}"
        yield f"confidence: {verdict['confidence']}"
        yield f"protocol match: {verdict['protocol_match']}"
        yield f"basis: {evidence['basis']}"
    yield from _statistics(evidence, unit)
    yield from _breadth(evidence["tolerance"], unit)
    yield f"citation: {_citation(record)}"
    yield f"quoted: {citation['quoted_text']}"
    if citation["notes"]:
        yield f"notes: {citation['notes']}"
    if evidence["baseline"]:
        yield f"merge base: {evidence['baseline']}"
    for change in evidence["moved"]:
        yield f"moved: {change['key']}: {change['before']} → {change['after']}"
    for axis in evidence["axes"]:
        consequence = axis["consequence"]
        yield f"axis {axis['axis']}: paper {axis['paper']} | run {axis['run']} | {consequence}"
    if evidence["signature"]:
        yield f"signature: {evidence['signature']}"
    for name, value in (evidence["provenance"] or {}).items():
        yield f"{name}: {value}"
    for note in evidence["notes"]:
        yield f"note: {note}"
    if evidence["digest"]:
        yield f"evidence: {evidence['digest']}"
    yield f"agent version: {verdict['agent_version']}"
    yield f"command: {evidence['command']}"


def _statistics(evidence: Any, unit: str | None) -> Iterator[str]:
    interval, power = evidence["interval"], evidence["detectable"]
    if evidence["n"]:
        yield f"images: {evidence['n']:,}"
    if interval:
        yield (
            f"95 % interval over images: {number(interval['low'], unit)} to {number(interval['high'], unit)} "
            f"(standard error {number(interval['standard_error'], unit)})"
        )
    if power:
        text = f"could have failed: a difference beyond ±{number(power['difference'], unit)} is no pass"
        if power["images_to_decide"]:
            text += f"; {power['images_to_decide']:,} images would decide the pass band"
        yield text


def _breadth(tolerance: Any, unit: str | None) -> Iterator[str]:
    """How much the bands let through: a reader must see a bar that is easy to clear."""
    found = tolerance and tolerance["breadth"]
    if not found:
        return
    shares = [
        f"{name} {found[name]:.1%} of the metric's range" for name in ("pass", "partial") if found[name] is not None
    ]
    text = f"bands: ±{number(tolerance['pass'], unit)} and ±{number(tolerance['partial'], unit)}"
    text += f"; {', '.join(shares)}" if shares else ""
    yield text + ("; the pass band is wider than this run's interval and the printed digits" if found["wide"] else "")


def _citation(record: Record) -> str:
    citation, paper = record["verdict"]["claim_citation"], record["paper"]
    where = f"arXiv {paper['arxiv_id']}" if paper["arxiv_id"] else record["latest_version"]["source_url"]
    page = f", page {citation['pdf_page']}" if citation["pdf_page"] else ""
    return f"{where}, {citation['section']}, {citation['row']}, {citation['column']}{page}"
