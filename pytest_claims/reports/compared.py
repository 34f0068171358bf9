"""The comparison of a candidate with its reference: from a verdict to the record, and from the record to lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_claims.reports.numbers import difference, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from decimal import Decimal

    from pytest_claims.reports.format import Record
    from pytest_claims.reports.format.findings import Comparison
    from pytest_claims.verdict import Verdict

FEW = 5
"""How many of the largest losses are shown as text; the JSON and the HTML report hold all."""

OUTPUT = 200
"""Characters of an output in a line of text."""


def values(verdict: Verdict) -> dict[str, Any] | None:
    """`evidence.comparison` of a record; None without a comparison."""
    found = verdict.comparison
    if found is None:
        return None
    moved, outputs = found.difference, found.outputs
    return {
        "decision": found.decision.value if found.decision else None,
        "reason": found.reason,
        "next_step": found.next_step,
        "margin": _float(found.margin),
        "made": found.made or None,
        "reference": _side(verdict.reference, moved is not None),
        "candidate": _side(verdict, moved is not None),
        "images": found.images,
        "difference": _float(moved.value) if moved else None,
        "interval": {
            "low": _float(moved.low),
            "high": _float(moved.high),
            "level": moved.level,
            "standard_error": _float(moved.standard_error),
            "resamples": moved.resamples,
        }
        if moved and moved.low is not None
        else None,
        "probability_worse": moved.probability_worse if moved else None,
        "images_to_decide": found.images_to_decide,
        "changed": outputs.changed if outputs else None,
        "better": outputs.better if outputs else None,
        "worse": outputs.worse if outputs else None,
        "losses": [
            {
                "id": loss.id,
                "reference": loss.reference,
                "candidate": loss.candidate,
                "reference_score": round(loss.reference_score, 6),
                "candidate_score": round(loss.candidate_score, 6),
            }
            for loss in (outputs.losses if outputs else ())
        ],
        "settings": [
            {"what": one.what, "key": one.key, "reference": one.reference, "candidate": one.candidate}
            for one in found.settings
        ],
        "notes": list(found.notes),
    }


def _side(verdict: Verdict | None, compared: bool) -> dict[str, Any] | None:
    if verdict is None or verdict.evidence is None or not compared:
        return None
    evidence = verdict.evidence
    facts = evidence.observed.checkpoint or {}
    return {
        "checkpoint": evidence.observed.candidate or facts.get("id") or "",
        "commit": facts.get("commit"),
        "digest": facts.get("digest"),
        "measured": _float(verdict.measured),
        "evidence": evidence.digest,
        "computed_at": evidence.created_at or None,
    }


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def lines(record: Record) -> Iterator[str]:
    """The facts of a record's comparison, the most important first; nothing without a comparison."""
    found, unit = record.evidence.comparison, record.evidence.unit
    if found is None:
        return
    yield f"comparison: {found.decision}: {found.reason}" if found.decision else f"comparison: {found.reason}"
    if found.next_step:
        yield f"comparison, next step: {found.next_step}"
    if found.reference and found.candidate:
        yield (
            f"reference: {number(found.reference.measured, unit)} ({found.reference.checkpoint}, "
            f"digest {found.reference.digest}; from {found.made})"
        )
        yield (
            f"candidate: {number(found.candidate.measured, unit)} ({found.candidate.checkpoint}, "
            f"digest {found.candidate.digest})"
        )
    if found.interval:
        yield (
            f"candidate − reference: {difference(found.difference, unit)}, paired 95 % interval "
            f"{difference(found.interval.low, unit)} to {difference(found.interval.high, unit)} over {found.images:,} images; "
            f"probability that the candidate is worse {found.probability_worse:.3f}"
        )
    elif found.difference is not None:
        yield f"candidate − reference: {difference(found.difference, unit)}, without an interval"
    if found.changed is not None:
        scored = "" if found.better is None else f", {found.better:,} better, {found.worse:,} worse"
        yield f"{record.noun}s: {found.changed:,} changed{scored}, of {found.images:,}"
    for one in found.settings:
        yield f"{one.what}: {one.key}: {one.reference} → {one.candidate}"
    for note in found.notes:
        yield f"comparison, note: {note}"
    for loss in found.losses[:FEW]:
        yield (
            f"loss on {loss.id}: {number(loss.reference_score, unit)} → {number(loss.candidate_score, unit)}: "
            f"{_cut(loss.reference)} → {_cut(loss.candidate)}"
        )
    if len(found.losses) > FEW:
        yield f"losses: {len(found.losses) - FEW} more of the largest in the JSON and HTML reports"


def summary(records: Sequence[Record]) -> Iterator[str]:
    """One line for each claim with a comparison, for the terminal: the decision, or why there is none."""
    for record in records:
        found = record.evidence.comparison
        if found is not None:
            yield f"{found.decision or 'compared'}: {record.name}: {short(found, record)}"
            if found.next_step and found.decision == "not compared":
                yield f"  {found.next_step}"


def short(found: Comparison, record: Record) -> str:
    """A comparison in one line: `67.9 → 66.9 (-1.00, 95 % -1.85 to -0.15), worse with probability 0.996. The candidate …`."""
    if not (found.reference and found.candidate):
        return found.reason
    unit = record.evidence.unit
    text = f"{number(found.reference.measured, unit)} → {number(found.candidate.measured, unit)}"
    text += f", {found.changed:,} of {found.images:,} {record.noun}s changed"
    if found.probability_worse is not None:
        text += f", worse with probability {found.probability_worse:.3f}"
    return f"{text}. {found.reason}"


def _cut(output: str) -> str:
    return repr(output if len(output) <= OUTPUT else output[: OUTPUT - 1] + "…")
