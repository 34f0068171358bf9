"""Print what a run of a claim would do, axis by axis against the paper, and what it needs: the plan of `--claims-dry-run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_claims.commands import add_data, tell

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pytest_claims.reports.format import Record

HELP = "print the plan of a claim: what a run would do and need"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: those options of pytest that change a plan."""
    parser.add_argument("claim", metavar="CLAIM", help="FILE::CLAIM, or FILE for every claim of it")
    add_data(parser)
    repeatable = {"action": "append", "default": []}
    parser.add_argument("--claims-set", metavar="KEY=VALUE", help="override a protocol key; repeatable", **repeatable)  # type: ignore[arg-type]
    parser.add_argument(
        "--claims-model",
        metavar="CLAIM_OR_CHECKPOINT=PATH",
        help="a release candidate; repeatable",
        **repeatable,  # type: ignore[arg-type]
    )
    parser.add_argument("--claims-sample", type=int, metavar="N", help="evaluate N images")
    parser.add_argument("--claims-device", default="auto", metavar="auto|cpu|cuda[:N]", help="where to run")


def run(arguments: argparse.Namespace) -> int:
    """Print the plans; 1 if a claim would end in an error."""
    from pytest_claims import api
    from pytest_claims.reports import record
    from pytest_claims.verdict import Result, Status

    options = {name: value for name, value in vars(arguments).items() if name.startswith("claims_")}
    claims, session = api.prepare(arguments.claim, {**options, "claims_dry_run": True})
    good = True
    for claim in claims:
        verdict = session.verify(claim)
        good = good and verdict.status is not Status.ERROR
        found = record.of_verdict(verdict, nodeid="", result=Result.SKIPPED, message="", seconds=0.0)
        for depth, line in _lines(found):
            tell(line, depth=depth)
    return 0 if good else 1


def _lines(record: Record) -> Iterator[tuple[int, str]]:
    from pytest_claims.reports import facts, plan

    evidence, claim, citation = record.evidence, record.evidence.claim, record.verdict.claim_citation
    yield 0, f"{claim.file}:{claim.line}: {record.name}"
    if citation is not None and evidence.tolerance is not None:
        bands, unit = evidence.tolerance, evidence.unit
        yield 1, f"reported: {facts.reported(record)} {citation.reported_metric} ({facts.place(record, citation)})"
        yield 1, f"pass within ±{facts.number(bands.pass_, unit)}, partial within ±{facts.number(bands.partial, unit)}"
    for depth, text in plan.lines(record):
        yield depth + 1, text
    yield 1, evidence.reason
    if evidence.next_step:
        yield 1, evidence.next_step
