"""Records → what the page's templates show."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_claims.reports import facts, history
from pytest_claims.reports.html import origin, plots, trend

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

    from pytest_claims.reports.format import Reading, Record, RunInfo
    from pytest_claims.reports.format.findings import Point
    from pytest_claims.reports.html.embed import Shown

UNITS: Mapping[str | None, str] = {"percent": " %", "million": " million", "billion": " billion", "times": " times"}

_RANK = ("fail", "error", "pending", "partial", "pass", "not_attempted")
"""By status, what a reader wants to see first."""

_WORST_FIRST = ("drift", "unknown", "proxy", "not observed", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """One image on which the candidate lost."""

    id: str
    thumbnail: str
    """A `data:` address; empty if the image could not be shown."""
    reference: str
    candidate: str
    reference_score: str
    candidate_score: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """One published verdict of the ledger."""

    date: str
    status: str
    measured: str
    version: str
    retracted: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One record, and what is computed of it."""

    record: Record
    anchor: str
    """The HTML id: the claim's id where that is unique, so that a link to it can be written by hand."""
    folded: bool
    """It was not attempted, and there is nothing to say of it alone."""
    paper: str
    metric: str
    unit: str
    points: str
    """The unit of a difference."""
    measured: str
    difference: str
    interval: str
    match: str
    """How the protocol matched, and whether the outputs were released by others."""
    sort: Mapping[str, Any]
    """Column → what it is sorted by."""
    plot: Markup | None
    large: Markup | None
    marks: Sequence[str]
    """What stands beside the status: that the verdict was retracted, or carried forward."""
    earlier: Sequence[Earlier]
    """The published verdicts on the claim, newest first."""
    trend: Markup | None
    gallery: Shown | None
    histogram: Markup | None
    axes: Sequence[Reading]
    origin: origin.Origin | None
    losses: Sequence[Loss]
    supplied: Sequence[tuple[str, str]]
    """What the claim uses that a hook supplied; see `facts.supplied`."""
    reproduce: str
    refute: str


def claims(records: Sequence[Record], galleries: Mapping[str, Shown]) -> list[Claim]:
    """One view per record, in the order of the records."""
    anchors = _anchors(records)
    return [
        _claim(number, record, anchors[number], galleries.get(record.evidence.claim.nodeid))
        for number, record in enumerate(records)
    ]


def folded(all_claims: Sequence[Claim]) -> list[tuple[str, list[Claim]]]:
    """Claims that were not attempted, by reason."""
    reasons: dict[str, list[Claim]] = {}
    for claim in all_claims:
        if claim.folded:
            reasons.setdefault(claim.record.evidence.reason, []).append(claim)
    return list(reasons.items())


def red(run: RunInfo, records: Sequence[Record]) -> bool:
    """Whether the session is red, for whatever reason."""
    return run.exit_status != 0 or any(record.evidence.test.result == "failed" for record in records)


def answer(run: RunInfo, records: Sequence[Record]) -> str:
    """The gate's answer in one line."""
    failed = sum(record.evidence.test.result == "failed" for record in records)
    attempted = sum(record.verdict.status != "not_attempted" for record in records)
    total = f"{attempted:,} of {len(records):,} {'claim was' if len(records) == 1 else 'claims were'} attempted"
    if failed:
        verb = "does" if failed == 1 else "do"
        return f"The gate “{run.gate}” is red: {failed:,} of {len(records):,} {verb} not clear it. {total}."
    if run.exit_status:
        return (
            f"No claim misses the gate “{run.gate}”, but the session ended with exit status {run.exit_status}. {total}."
        )
    return f"The gate “{run.gate}” is green. {total}."


def _claim(number: int, record: Record, anchor: str, gallery: Shown | None) -> Claim:
    verdict, evidence = record.verdict, record.evidence
    citation, unit = verdict.claim_citation, evidence.unit
    reported = citation.reported_value if citation else None
    interval, tolerance = evidence.interval, evidence.tolerance
    drawn = reported is not None and evidence.measured is not None
    shares = tolerance is not None and tolerance.pass_ and evidence.difference is not None
    metric = citation.reported_metric if citation else ""
    return Claim(
        record=record,
        anchor=anchor,
        folded=verdict.status == "not_attempted" and not evidence.axes and not evidence.needs,
        paper=record.paper.title if record.paper else "",
        metric=metric,
        unit=UNITS.get(unit, ""),
        points=" points" if unit == "percent" else UNITS.get(unit, ""),
        measured=facts.number(evidence.measured, unit),
        difference=facts.difference(evidence.difference, unit),
        interval=f"{facts.number(interval.low, unit)} – {facts.number(interval.high, unit)}" if interval else "",
        match=facts.match(record),
        sort={
            "claim": record.name.lower(),
            "metric": metric,
            "reported": reported,
            "measured": evidence.measured,
            # In pass bands, so that BLEU and parameter counts can stand in one order.
            "difference": round(abs(evidence.difference or 0.0) / tolerance.pass_, 6) if shares and tolerance else None,
            "match": verdict.protocol_match or "",
            "status": _RANK.index(verdict.status),
        },
        plot=plots.bands(reported, evidence, number) if drawn and reported is not None else None,
        large=plots.bands_with_axis(reported, evidence, number) if drawn and reported is not None else None,
        marks=history.marks(record),
        earlier=[_earlier(point, unit) for point in reversed(evidence.history.points)] if evidence.history else [],
        trend=trend.draw(record, evidence.history.points, number) if evidence.history else None,
        gallery=gallery,
        histogram=plots.histogram(gallery.histogram, number, f"{metric} of each image")
        if gallery and gallery.histogram
        else None,
        axes=sorted(evidence.axes, key=lambda reading: _WORST_FIRST.index(reading.consequence)),
        origin=origin.of(record),
        losses=_losses(record, gallery),
        supplied=list(facts.supplied(evidence)),
        reproduce=evidence.command,
        refute=_afresh(evidence.command),
    )


def _anchors(records: Sequence[Record]) -> list[str]:
    """An HTML id per record: letters, digits, `.`, `_`, `-`; unique, and none of the page's own, which begin with `_`."""
    taken: set[str] = set()
    anchors = []
    for record in records:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", record.name).lstrip("_") or "claim"
        anchor, count = plain, 2
        while anchor in taken:
            anchor, count = f"{plain}-{count}", count + 1
        taken.add(anchor)
        anchors.append(anchor)
    return anchors


def _earlier(point: Point, unit: str | None) -> Earlier:
    return Earlier(
        date=point.at[:10],
        status=point.status,
        measured=facts.number(point.measured, unit),
        version=point.agent_version,
        retracted=point.retracted,
    )


def _losses(record: Record, gallery: Shown | None) -> list[Loss]:
    found, unit = record.evidence.comparison, record.evidence.unit
    return [
        Loss(
            id=loss.id,
            thumbnail=gallery.pictures.get(loss.id, "") if gallery else "",
            reference=loss.reference,
            candidate=loss.candidate,
            reference_score=facts.number(loss.reference_score, unit),
            candidate_score=facts.number(loss.candidate_score, unit),
        )
        for loss in (found.losses if found else ())
    ]


def _afresh(command: str) -> str:
    """A command with an empty folder of evidence, so that nothing that was computed before is used."""
    try:
        words = shlex.split(command)
    except ValueError:  # not a command that a shell could run; it is shown as it is
        return command
    kept = [word for word in words if not word.startswith(("--claims-evidence=", "--claims-replay", "--claims-audit="))]
    if any(word.startswith("--claims-model=") for word in kept) and "--claims-compare" not in kept:
        kept.append("--claims-compare")  # without it, an empty folder has no reference
    return shlex.join([*kept, "--claims-evidence=fresh-evidence"])
