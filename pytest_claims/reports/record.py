"""Makes records from verdicts. Records are sent between processes, and all reports are made from them (see `format.py`)."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pytest_claims import __version__, command
from pytest_claims.reports import compared
from pytest_claims.reports.format import Record
from pytest_claims.settings import Settings
from pytest_claims.spec.models import MIN_SAMPLE
from pytest_claims.verdict import Kind, Result, Status, bands, failure_type

if TYPE_CHECKING:
    from decimal import Decimal

    from pytest_claims.evidence import Derivation, Derived
    from pytest_claims.spec import Claim
    from pytest_claims.verdict import Verdict


def of_verdict(
    verdict: Verdict, *, nodeid: str, result: Result, message: str, seconds: float, settings: Settings | None = None
) -> Record:
    """The record of a verdict.

    Args:
        verdict: the verdict.
        nodeid: the node id of the pytest item.
        result: the result for the test runner.
        message: the reason, if the result is not `passed`.
        seconds: the duration of the item.
        settings: the options of the session, which the record's command repeats.
    """
    claim, score, evidence = verdict.claim, verdict.score, verdict.evidence
    issued = _issued(verdict)
    origin = [f"The claim stood in {verdict.origin} at the merge base."] if verdict.origin else []
    return _record(
        {
            "paper": claim.paper.model_dump(exclude={"source", "source_url", "rendered_html_url", "rendering_engine"}),
            "latest_version": _latest_version(claim),
            "verdict": issued,
            "verdicts": {
                "post": issued if verdict.kind is Kind.POST else verdict.reference and _issued(verdict.reference),
                "pre": issued if verdict.kind is Kind.PRE else None,
            },
            "evidence": {
                "claim": _place(claim, nodeid),
                "test": {
                    "result": result.value,
                    "message": message,
                    "type": failure_type(
                        verdict.status, moved=bool(verdict.moved), decision=_decision(verdict, message)
                    ),
                },
                "reason": verdict.reason,
                "next_step": verdict.next_step,
                "basis": evidence.basis.value if evidence else None,
                "noun": evidence.noun if evidence and evidence.outputs else None,
                **_numbers(verdict),
                "n": score.n if score else None,
                "deviations": [_reading(reading) for reading in verdict.deviations],
                "baseline": verdict.baseline,
                "moved": _moved(verdict),
                "axes": [_reading(reading) for reading in verdict.readings],
                "needs": [{"what": what, "found": found} for what, found in verdict.needs],
                "signature": score.signature if score else None,
                "counts": dict(score.counts) if score else None,
                "provenance": dict(evidence.provenance) if evidence else None,
                "notes": [*origin, *(evidence.notes if evidence else ())],
                "citation": asdict(verdict.citation) if verdict.citation else None,
                "derivation": _derivation(evidence.derivation) if evidence and evidence.derivation else None,
                "digest": evidence.digest if evidence else None,
                "comparison": compared.values(verdict),
                "supplied": _supplied(verdict),
                "command": command.of(claim, settings or Settings(), compare=_has_reference(verdict)),
                "seconds": seconds,
            },
        }
    )


def _moved(verdict: Verdict) -> list[dict[str, str]]:
    return [{"key": change.key, "before": change.before, "after": change.after} for change in verdict.moved]


def _supplied(verdict: Verdict) -> list[dict[str, Any]]:
    named = {"metric": verdict.claim.reported.metric, "evaluator": verdict.claim.run.evaluator}
    return [{**asdict(one), "used": one.name == named[one.kind]} for one in verdict.supplied]


def _place(claim: Claim, nodeid: str) -> dict[str, Any]:
    return {
        "id": claim.id,
        "file": claim.display,
        "line": claim.line,
        "nodeid": nodeid,
        "digest": claim.digest,
        "file_digest": claim.file_digest,
        "expect": claim.expect,
    }


def _issued(verdict: Verdict) -> dict[str, Any]:
    claim, evidence = verdict.claim, verdict.evidence
    return {
        "id": verdict.id,
        "kind": verdict.kind.value,
        "status": verdict.status.value,
        "score": verdict.score.value if verdict.score else None,
        "confidence": verdict.confidence,
        "agent_version": agent_version(verdict),
        "computed_at": evidence.created_at if evidence else None,
        "is_current": True,
        "protocol_match": verdict.match.value if verdict.match else None,
        "claim_citation": {
            "paper_arxiv_id": claim.paper.arxiv_id,
            **claim.citation.model_dump(include={"section", "row", "column"}),
            "reported_value": float(claim.reported.value.value),
            "reported_metric": claim.reported.metric,
            **claim.citation.model_dump(include={"quoted_text", "pdf_page", "notes"}),
        },
    }


def _numbers(verdict: Verdict) -> dict[str, Any]:
    """The reported and the measured number, the bands, the interval and the detectable difference."""
    claim, span, power, width = verdict.claim, verdict.span, verdict.power, verdict.breadth
    limits = bands(claim)
    return {
        "outcome": verdict.outcome.value if verdict.outcome else None,
        "reported": claim.reported.value.text,
        "measured": _number(verdict.measured),
        "unit": claim.reported.unit,
        "difference": _number(verdict.difference),
        "tolerance": {
            "pass": _number(limits.pass_),
            "partial": _number(limits.partial),
            "direction": limits.direction.value,
            "min_sample": max(claim.tolerance.min_sample, MIN_SAMPLE),
            "breadth": width and {"pass": width.pass_, "partial": width.partial, "wide": width.wide},
        },
        "interval": span
        and {
            "low": _number(span.low),
            "high": _number(span.high),
            "level": span.level,
            "standard_error": _number(span.standard_error),
            "resamples": span.resamples,
            "population": span.population,
        },
        "detectable": power
        and {
            "difference": _number(power.detectable),
            "images_to_decide": power.images_to_decide,
        },
    }


def _derivation(found: Derivation) -> dict[str, Any]:
    def value(one: Derived | None) -> dict[str, float] | None:
        return None if one is None else {"value": float(one.value), "low": float(one.low), "high": float(one.high)}

    return {
        "expression": found.expression,
        "operands": [
            {
                "name": operand.name,
                "printed": operand.printed,
                "unit": operand.unit,
                "low": float(operand.low),
                "high": float(operand.high),
                "place": operand.place,
                "claim": operand.claim,
                "measured": operand.measured
                and dict(zip(("value", "low", "high"), map(float, operand.measured), strict=True)),
                "note": operand.note,
            }
            for operand in found.operands
        ],
        "printed": value(found.printed),
        "measured": value(found.measured),
        "sampled": found.sampled,
    }


def with_result(record: Record, result: Result, message: str) -> Record:
    """`record` with another test result, for a claim that another plugin made red. The verdict is not changed."""
    told = {"result": result.value, "message": message, "type": failure_type(Status.ERROR)}
    values = record.values()
    return _record({**values, "evidence": {**values["evidence"], "test": told}})


_NOTHING: Mapping[str, Any] = {
    "basis": None, "outcome": None, "reported": None, "measured": None, "unit": None, "difference": None, "tolerance": None,
    "interval": None, "detectable": None, "n": None, "deviations": [], "baseline": None, "moved": [], "axes": [], "needs": [],
    "signature": None, "counts": None, "provenance": None, "notes": [], "citation": None,
    "digest": None,
}  # fmt: skip
"""The values of `evidence` that a record about a file does not have."""


def of_file(display: str, nodeid: str, problems: Sequence[str]) -> Record:
    """The record of a claim file that cannot be read. It stands for all claims in the file, which are unknown."""
    reason = "\n".join(problems)
    told = {"result": Result.FAILED.value, "message": reason, "type": failure_type(Status.ERROR)}
    return _of_file(display, nodeid, told, reason=reason, next_step="Correct the file; none of its claims was read.")


def of_change(display: str, nodeid: str, said: Sequence[str], *, accepted: bool) -> Record:
    """The record of a configuration or code file that changed since the merge base."""
    reason = "\n".join(said)
    told = {
        "result": (Result.EXPECTED if accepted else Result.FAILED).value,
        "message": f"accepted with --claims-accept-moved. {reason}" if accepted else f"the bar moved. {reason}",
        "type": failure_type(Status.ERROR, moved=True),
    }
    step = "Review the change; --claims-accept-moved accepts it."
    return _of_file(display, nodeid, told, reason=reason, next_step=step, baseline="moved")


def _of_file(display: str, nodeid: str, told: dict[str, str], **changes: str) -> Record:
    """A record about a file."""
    issued = {
        "id": None, "kind": Kind.POST.value, "status": Status.ERROR.value, "score": None, "confidence": None,
        "agent_version": f"v{__version__}", "computed_at": None, "is_current": True, "protocol_match": None,
        "claim_citation": None,
    }  # fmt: skip
    place = {"id": None, "file": display, "line": None, "nodeid": nodeid, "digest": None, "expect": None}
    run = {"command": f"pytest {shlex.quote(display)}", "seconds": 0.0}
    return _record(
        {
            "paper": None,
            "latest_version": None,
            "verdict": issued,
            "verdicts": {"post": issued, "pre": None},
            "evidence": {"claim": place, "test": told, **_NOTHING, **run, **changes},
        }
    )


def _record(values: dict[str, Any]) -> Record:
    return Record.model_validate(_plain(values))


def _has_reference(verdict: Verdict) -> bool:
    """Whether a reference was compared whose evidence this user's runs made, and can make again."""
    known = verdict.reference.evidence if verdict.reference else None
    return known is not None and not known.replayed


def _decision(verdict: Verdict, message: str) -> str | None:
    """What a comparison decided, if it is why the result is red."""
    found = verdict.comparison
    return found.decision if found is not None and found.decision and found.reason in message else None


def agent_version(verdict: Verdict) -> str:
    """Version and main settings of the run, in the style of the starting record: `v0.2.0-blip2-flickr30k-beam5-n100`."""
    claim, parts = verdict.claim, [f"v{__version__}"]
    protocol = claim.protocol
    if protocol.checkpoint:
        parts.append(_family(protocol.checkpoint.id))
    if protocol.dataset:
        parts.append(_family(protocol.dataset.id))
    observed = verdict.evidence.observed if verdict.evidence else None
    if observed and observed.decoding:
        decoding, strategy = observed.decoding, observed.decoding["strategy"]
        named = {"greedy": "greedy", "rank": f"rank{decoding.get('num_answers')}"}
        parts.append(named.get(strategy) or f"beam{decoding['num_beams']}")
    if observed and observed.ranking:
        parts += [f"by-{observed.ranking['query']}", f"rerank{observed.ranking['rerank']}"]
    if verdict.score and verdict.score.n:
        parts.append(f"n{verdict.score.n}")
    elif not protocol.checkpoint:
        parts.append(claim.id)
    return "-".join(parts)


def _family(identifier: str) -> str:
    """`Salesforce/blip2-opt-2.7b` → `blip2`, `data/test.parquet` → `test`: the first word of the last part."""
    name = identifier.rsplit("/", 1)[-1].rsplit(".parquet", 1)[0]
    return re.split(r"[-_.]", name, maxsplit=1)[0].lower()


def _latest_version(claim: Claim) -> dict[str, Any]:
    paper = claim.paper
    identifier = f"{paper.arxiv_id}v{paper.latest_version}" if paper.arxiv_id and paper.latest_version else None
    return {
        "id": identifier,
        "version": paper.latest_version,
        "source_url": paper.source_url or (f"https://arxiv.org/abs/{paper.arxiv_id}" if paper.arxiv_id else None),
        # Not derived from the id, since not every paper has such a page.
        "rendered_html_url": paper.rendered_html_url,
        "rendering_engine": paper.rendering_engine,
    }


def _reading(reading: Any) -> dict[str, str]:
    return {
        "axis": reading.axis,
        "paper": reading.paper,
        "run": reading.run,
        "consequence": reading.consequence.value,
    }


def _plain(value: Any) -> Any:
    """`value` as plain JSON values: exactly dict, list, str, int, float, bool and None.

    The counts of another plugin's metric may be numpy values. Predictions may have lone surrogates, which cannot be encoded in
    UTF-8; they are replaced.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return (
            str(value) if value.isascii() else value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        )
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in (sorted(value, key=str) if isinstance(value, set | frozenset) else value)]
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        value = value.tolist()
        if isinstance(value, list | bool):
            return _plain(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    return str(value)  # nan and infinities, which JSON does not have


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
