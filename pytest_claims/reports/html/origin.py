"""Where a number comes from: the counts that the metric was computed of, as a small table and a sentence."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_claims.reports.format import Record
    from pytest_claims.reports.format.findings import CitationCheck, Derivation


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A table, and what it adds up to."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    says: str


def of(record: Record) -> Origin | None:
    """The origin of a record's number; None where it has none. Counts of a metric that is not ours are listed as they are."""
    if record.evidence.derivation is not None:
        return _derived(record.evidence.derivation, record.evidence.citation)
    counts, citation = record.evidence.counts, record.verdict.claim_citation
    if not counts or citation is None:
        return None
    metric = citation.reported_metric
    try:
        if metric.startswith("bleu"):
            return _bleu(counts, record.noun)
        if set(counts) == {"sum", "images"}:
            return _mean(counts)
        if metric.endswith("_parameters"):
            return _parameters(metric, counts, record.evidence.provenance or {})
    except (KeyError, TypeError, ValueError, ArithmeticError):
        pass  # another plugin may count otherwise under one of our names
    return Origin(
        head=("count", "value"),
        rows=[(name, value if isinstance(value, str) else json.dumps(value)) for name, value in counts.items()],
        says="",
    )


def _derived(found: Derivation, citation: CitationCheck | None) -> Origin:
    checks = citation.operands if citation else {}
    rows = []
    for operand in found.operands:
        check = checks[operand.name].result.replace("_", " ") if operand.name in checks else "unchecked"
        measured = f"{operand.measured.value:,.6g}" if operand.measured else "–"
        between = f"{operand.low:,.6g} – {operand.high:,.6g}"
        rows.append((operand.name, f"{operand.printed} {operand.unit}", between, measured, f"{operand.place}: {check}"))
    value = found.measured or found.printed
    which = "measured" if found.measured else "printed"
    return Origin(
        head=("operand", "printed", "before rounding", "measured", "cited cell"),
        rows=rows,
        says=f"{found.expression} gives {value.value:,.6g} from the {which} numbers, between {value.low:,.6g} and "
        f"{value.high:,.6g}.",
    )


def _bleu(counts: Mapping[str, Any], noun: str) -> Origin:
    matches, totals = counts["matches"], counts["totals"]
    length, closest = counts["hypothesis_length"], counts["reference_length"]
    precisions = [match / total if total else 0.0 for match, total in zip(matches, totals, strict=True)]
    penalty = 1.0 if length >= closest else math.exp(1 - closest / length) if length else 0.0
    mean = math.prod(precisions) ** (1 / len(precisions))
    return Origin(
        head=("n", "n-grams that match", f"n-grams in the {noun}s", "precision"),
        rows=[
            (str(n), f"{match:,}", f"{total:,}", f"{precision:.4f}")
            for n, (match, total, precision) in enumerate(zip(matches, totals, precisions, strict=True), 1)
        ],
        says=f"The {noun}s have {length:,} words, the closest references {closest:,}: the brevity penalty is "
        f"{penalty:.4f}. The geometric mean of the precisions, {mean:.4f}, times the penalty gives {mean * penalty:.4f}.",
    )


def _mean(counts: Mapping[str, Any]) -> Origin:
    total, images = float(counts["sum"]), int(counts["images"])
    return Origin(
        head=("sum over images", "images", "mean"),
        rows=[(f"{total:,.4f}", f"{images:,}", f"{total / images:.4f}")],
        says="The value is the mean over images.",
    )


def _parameters(metric: str, counts: Mapping[str, Any], provenance: Mapping[str, Any]) -> Origin:
    trained = [part.strip() for part in str(provenance.get("trainable", "")).split("+")]
    counted = [name for name in counts if metric != "trainable_parameters" or name in trained]
    total = sum(counts[name] for name in counted)
    rows = [(name, f"{value:,}", "yes" if name in counted else "no") for name, value in counts.items()]
    return Origin(
        head=("part", "parameters", "counted here"),
        rows=rows,
        says=f"The parts that count here have {total:,} parameters. A tensor that two parts share is counted once.",
    )
