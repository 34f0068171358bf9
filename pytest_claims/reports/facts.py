"""The facts of a record as lines of text: for JUnit's system-out, Markdown, and a failure in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_claims.reports import compared, history
from pytest_claims.reports.numbers import difference as difference
from pytest_claims.reports.numbers import number as number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_claims.reports.format import ClaimCitation, Evidence, Record
    from pytest_claims.reports.format.findings import CitationCheck

_SIGNS = {"percent": " %", "million": " million", "billion": " billion", "count": "", "fraction": "", "times": " times"}

WORST_FIRST = ("error", "fail", "pending", "partial", "not_attempted", "pass")


def _place(record: Record) -> tuple[bool, int]:
    return record.evidence.test.result != "failed", WORST_FIRST.index(record.verdict.status)


def worst_first(records: Sequence[Record]) -> list[Record]:
    """What is red first, then by status; among equals, the order that the records have."""
    return sorted(records, key=_place)


def worst_last(records: Sequence[Record]) -> list[Record]:
    """What is red last, and before it by status; among equals, the order that the records have."""
    return sorted(records, key=_place, reverse=True)


def moved(record: Record) -> bool:
    """Whether the bar moved since the merge base, accepted or not."""
    return bool(record.evidence.moved) or record.evidence.baseline in ("moved", "removed")


def red_beside(record: Record) -> bool:
    """Whether a claim is red although its status does not say so: by the gate, or by the comparison with its reference."""
    green = record.verdict.status in ("pass", "partial", "not_attempted")
    return green and record.evidence.test.result == "failed" and not moved(record)


def clear(record: Record) -> bool:
    """Whether nothing needs to be explained: it passed, here or in the verdict that was carried forward, and nothing moved."""
    known, result = record.evidence.history, record.evidence.test.result
    carried = known is not None and known.carried is not None and result == "skipped"
    return record.verdict.status == "pass" and (result == "passed" or carried) and not moved(record)


def rescored(record: Record) -> list[str]:
    """The axes of generation that were not observed, if the outputs were released by others; empty for other claims."""
    evidence = record.evidence
    if evidence.basis != "rescored":
        return []
    return [axis.axis for axis in evidence.axes if axis.consequence == "not observed"]


def match(record: Record) -> str:
    """How the protocol that ran matches the paper's: `exact`; `exact, rescored` where the generation was not observed.

    `exact, derived` where a number was computed from others. Empty if nothing ran.
    """
    found = record.verdict.protocol_match
    if found is None:
        return ""
    if record.evidence.basis == "derived":
        return f"{found}, derived"
    return f"{found}, rescored" if rescored(record) else found


def reported(record: Record) -> str:
    """The value as the paper prints it, with its unit; empty where nothing is known of a claim."""
    evidence = record.evidence
    return f"{evidence.reported}{_SIGNS.get(evidence.unit or '', '')}" if evidence.reported is not None else ""


def headline(record: Record) -> str:
    """One line: `a-claim: fail, bleu4 30.39 against 43.7 %`."""
    verdict, evidence, citation = record.verdict, record.evidence, record.verdict.claim_citation
    said = [verdict.status, *(["the bar moved"] if moved(record) else []), *history.marks(record)]
    if citation is not None and evidence.measured is not None:
        measured = number(evidence.measured, evidence.unit)
        said.append(f"{citation.reported_metric} {measured} against {reported(record)}")
    if evidence.comparison and evidence.comparison.decision:
        said.append(f"beside its reference {evidence.comparison.decision}")
    return f"{record.name}: {', '.join(said)}"


def properties(record: Record) -> Iterator[tuple[str, str]]:
    """The facts that a program looks for, by name; for the JUnit report of pytest itself."""
    verdict, evidence, claim = record.verdict, record.evidence, record.evidence.claim
    found = {
        "status": verdict.status,
        "kind": verdict.kind,
        "metric": verdict.claim_citation and verdict.claim_citation.reported_metric,
        "reported": evidence.reported,
        "unit": evidence.unit,
        "measured": evidence.measured,
        "difference": evidence.difference,
        "outcome": evidence.outcome,
        "match": verdict.protocol_match,
        "confidence": verdict.confidence,
        "images": evidence.n,
        "moved": ", ".join(change.key for change in evidence.moved) or None,
        "comparison": evidence.comparison and evidence.comparison.decision,
        "file": claim.file,
        "line": claim.line,
        "verdict": verdict.id,
        "evidence": evidence.digest,
    }
    for name, value in found.items():
        if value is not None:
            yield f"claim.{name}", str(value)


def lines(record: Record) -> Iterator[str]:
    """The facts that a reader needs to check the verdict, the most important first.

    Each fact is one line: line breaks in a text are removed, so that a part of it cannot look like another fact.
    """
    for text in _lines(record):
        yield " ".join(text.splitlines())


def _lines(record: Record) -> Iterator[str]:
    verdict, evidence = record.verdict, record.evidence
    citation, unit = verdict.claim_citation, evidence.unit
    sign = _SIGNS.get(unit or "", "")
    yield f"status: {verdict.status}" + (f" ({verdict.kind})" if verdict.kind == "PRE" else "")
    for reason in evidence.reason.splitlines():  # a file that cannot be read has one line per problem
        yield f"reason: {reason}"
    if evidence.next_step:
        yield f"next step: {evidence.next_step}"
    if citation is None:
        return
    yield f"reported: {reported(record)} {citation.reported_metric}"
    if evidence.measured is not None:
        yield f"measured: {number(evidence.measured, unit)}{sign} ({difference(evidence.difference, unit)})"
        yield f"outcome: {evidence.outcome}"
        yield f"score: {verdict.score!r}"
        yield f"confidence: {verdict.confidence}"
        yield f"protocol match: {verdict.protocol_match}"
        yield f"basis: {evidence.basis}"
    yield from history.lines(record)
    yield from compared.lines(record)
    yield from _derivation(evidence)
    yield from _statistics(evidence)
    yield from _breadth(evidence)
    yield f"citation: {place(record, citation)}"
    yield f"quoted: {citation.quoted_text}"
    if evidence.citation:
        yield from _citation(evidence.citation)
    if citation.notes:
        yield f"notes: {citation.notes}"
    if evidence.baseline:
        yield f"merge base: {evidence.baseline}"
    for change in evidence.moved:
        yield f"moved: {change.key}: {change.before} → {change.after}"
    for axis in evidence.axes:
        yield f"axis {axis.axis}: paper {axis.paper} | run {axis.run} | {axis.consequence}"
    if evidence.signature:
        yield f"signature: {evidence.signature}"
    yield from (f"{kind} of a plugin: {said}" for kind, said in supplied(evidence))
    for name, value in (evidence.provenance or {}).items():
        yield f"{name}: {value}"
    for note in evidence.notes:
        yield f"note: {note}"
    if evidence.digest:
        yield f"evidence: {evidence.digest}"
    yield f"agent version: {verdict.agent_version}"
    yield f"command: {evidence.command}"


def supplied(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """What the claim uses that a hook supplied: its kind, and its name with the code that it is."""
    for one in evidence.supplied:
        if one.used:
            version = f" {one.version}" if one.version else ""
            digest = f"digest {one.digest}" if one.digest else "in no file"
            yield one.kind, f"{one.name}, from {one.module}{version}, {digest}"


def _derivation(evidence: Evidence) -> Iterator[str]:
    """How a derived number was computed."""
    found = evidence.derivation
    if found is None:
        return
    for which, value in (("printed", found.printed), ("measured", found.measured)):
        if value is not None:
            shown = [number(one, evidence.unit) for one in (value.value, value.low, value.high)]
            yield f"derived: {found.expression} = {shown[0]} from the {which} numbers ({shown[1]} to {shown[2]})"
    checks = evidence.citation.operands if evidence.citation else {}
    for operand in found.operands:
        text = f"operand {operand.name}: {operand.printed}{_SIGNS[operand.unit]} ({operand.place})"
        if operand.name in checks:
            text += f", citation {checks[operand.name].result.replace('_', ' ')}"
        if operand.claim:
            value = operand.measured
            said = f"{number(value.value, operand.unit)}{_SIGNS[operand.unit]}" if value else "nothing that is used"
            text += f"; measured by {operand.claim}: {said}. {operand.note}"
        yield text


def _citation(check: CitationCheck) -> Iterator[str]:
    """Whether the number stands in the cited cell."""
    yield f"citation check: {check.result}: {check.sentence}"
    for note in check.notes:
        yield f"citation note: {note}"
    if check.source:
        yield f"citation source: {check.source}" + (f" (SHA-256 {check.digest[:16]})" if check.digest else "")
    if check.next_step and check.result == "unchecked":
        yield f"to check the citation: {check.next_step}"


def _statistics(evidence: Evidence) -> Iterator[str]:
    interval, power, unit = evidence.interval, evidence.detectable, evidence.unit
    if evidence.n:
        yield f"images: {evidence.n:,}"
    if interval:
        yield (
            f"95 % interval over images: {number(interval.low, unit)} to {number(interval.high, unit)} "
            f"(standard error {number(interval.standard_error, unit)})"
        )
    if power:
        text = f"could have failed: a difference beyond ±{number(power.difference, unit)} is no pass"
        if power.images_to_decide:
            text += f"; {power.images_to_decide:,} images would decide the pass band"
        yield text


def _breadth(evidence: Evidence) -> Iterator[str]:
    """How wide the bands are, so that a reader sees a claim that is easy to pass."""
    tolerance, unit = evidence.tolerance, evidence.unit
    if tolerance is None or tolerance.breadth is None:
        return
    shares = [("pass", tolerance.breadth.pass_), ("partial", tolerance.breadth.partial)]
    told = [f"{name} {share:.1%} of the metric's range" for name, share in shares if share is not None]
    text = f"bands: ±{number(tolerance.pass_, unit)} and ±{number(tolerance.partial, unit)}"
    text += f"; {', '.join(told)}" if told else ""
    wide = "; the pass band is wider than this run's interval and the printed digits"
    yield text + (wide if tolerance.breadth.wide else "")


def place(record: Record, citation: ClaimCitation) -> str:
    """The place of the number: the paper, the cell of the table, the page."""
    source = record.latest_version.source_url if record.latest_version else None
    where = f"arXiv {citation.paper_arxiv_id}" if citation.paper_arxiv_id else source
    page = f", page {citation.pdf_page}" if citation.pdf_page else ""
    return f"{where}, {citation.section}, {citation.row}, {citation.column}{page}"
