"""A release candidate beside the checkpoint that it would replace: finds the reference's evidence, and compares.

The reference is the same claim without the candidate, so its evidence is that of its own plan. It is used if a claim of this
session made it, or if `--claims-compare` asks to make it, or if this user's earlier runs left it. Evidence that somebody else
wrote is shown, and decides nothing unless `--claims-accept-replay` vouches for it, as in a replay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from pytest_claims import paired, verdict
from pytest_claims.errors import ClaimsError, EvaluationError, NotAttempted
from pytest_claims.paired import Decision, PairedComparison
from pytest_claims.protocol import CheckpointPlan, Consequence
from pytest_claims.spec.units import to_unit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from pytest_claims.citation import CitationCheck
    from pytest_claims.evidence import Evidence
    from pytest_claims.metrics import Metric
    from pytest_claims.protocol import Plan
    from pytest_claims.run import Session
    from pytest_claims.verdict import Verdict

MAKE_IT = "Make the reference's evidence in the same run with --claims-compare."
SHOWN = 5
"""How many differences between two runs a message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The evidence of the reference."""

    evidence: Evidence
    made: str
    """Where it comes from, for the reports."""


class NotCompared(Exception):  # noqa: N818 - a result, not an error
    """Why there is no comparison, and what to do about it."""

    def __init__(self, problem: str, next_step: str = "") -> None:
        super().__init__(problem)
        self.next_step = next_step


def beside(session: Session, plan: CheckpointPlan, candidate: Verdict) -> Verdict:
    """The verdict on a candidate, with its comparison and the verdict on the reference.

    Args:
        session: gives options, evidence and scores.
        plan: the candidate's plan.
        candidate: the verdict on it, which has evidence and a score.

    Raises:
        EvaluationError: the margin is one that no candidate can exceed.
    """
    settings, evidence = session.settings, candidate.evidence
    assert evidence is not None  # noqa: S101 - the caller has judged it
    margin = settings.max_regression
    try:
        reference = _known(session, plan, evidence)
        post = _judged(session, plan, reference.evidence, candidate.citation)
        found = _compare(session, plan, candidate, post, reference.made, margin)
    except NotCompared as error:
        asked = settings.compare or margin is not None
        found = PairedComparison(
            next_step=error.next_step,
            settings=evidence.differing,
            margin=margin,
            decision=Decision.NOT_COMPARED if asked else None,
            reason=str(error),
        )
        return replace(candidate, comparison=found)
    return replace(candidate, comparison=found, reference=post)


def planned(session: Session, plan: Plan) -> Iterator[tuple[str, str]]:
    """What a dry run says of the reference of a candidate, as lines of a preflight."""
    if not isinstance(plan, CheckpointPlan) or plan.candidate is None:
        return
    if not session.settings.compare:
        yield "reference", "is compared if an earlier run left its evidence; --claims-compare makes it"
        return
    found = session.bench.preflight(replace(plan, candidate=None), collect=True)
    for name, text in found.lines:
        if name in ("checkpoint", "memory", "download", "time"):
            yield f"reference: {name}", text
    yield from (("also, for the reference", str(problem)) for problem in found.problems)


def _known(session: Session, plan: CheckpointPlan, candidate: Evidence) -> Reference:
    """What `_find` found for the first claim of this plan: looking for it may read all files of a checkpoint."""
    found = session.references.get(plan.key)
    if found is None:
        try:
            found = _find(session, plan, candidate)
        except NotCompared as error:
            found = error
        session.references[plan.key] = found
    if isinstance(found, NotCompared):
        raise NotCompared(str(found), found.next_step)
    return found


def _find(session: Session, plan: CheckpointPlan, candidate: Evidence) -> Reference:
    """The evidence of the reference.

    Raises:
        NotCompared: there is none, or it is not of this reference and these images.
    """
    bench, own = session.bench, replace(plan, candidate=None)
    if (held := bench.held(own)) is not None:
        return _checked(candidate, Reference(evidence=held, made="this session"))
    if session.settings.compare:
        try:
            return _checked(candidate, Reference(evidence=bench.evaluate(own), made="this session"))
        except ClaimsError as error:
            step = error.next_step if isinstance(error, NotAttempted) else ""
            said = error.reason if isinstance(error, NotAttempted) else str(error)
            raise NotCompared(f"The reference {own.checkpoint} could not be evaluated. {said}", step) from None
    try:
        stored = bench.left(own)
    except EvaluationError as error:
        raise NotCompared(f"The evidence of the reference {own.checkpoint} cannot be used. {error}", MAKE_IT) from None
    if stored is None:
        raise NotCompared(f"There is no evidence of the reference {own.checkpoint} here.", MAKE_IT)
    from pytest_claims.evaluation import pool, reference

    if changed := reference.moved_on(own, stored.evidence.observed.checkpoint or {}, bench.progress):
        raise NotCompared(f"The reference {own.checkpoint} is not the one of its evidence: {changed}.", MAKE_IT)
    when = stored.evidence.created_at
    made = f"an earlier run of this user ({when})" if stored.sealed else f"evidence that was not made here ({when})"
    found = _checked(candidate, Reference(evidence=stored.evidence, made=made))
    digest_of = pool.digest_of(own, bench.split(own))
    other = [name for name, digest in stored.image_digests.items() if digest_of(name) != digest]
    if other:
        raise NotCompared(
            f"{len(other):,} images are not those that the reference captioned, the first {other[0]}.", MAKE_IT
        )
    return found


def _checked(candidate: Evidence, reference: Reference) -> Reference:
    """The reference, if its run and the candidate's may be compared image by image."""
    differing = list(paired.problems(candidate, reference.evidence))
    if differing:
        more = f"; and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        raise NotCompared(f"The two runs may not be compared. {'; '.join(islice(differing, SHOWN))}{more}.", MAKE_IT)
    return reference


def _judged(session: Session, plan: CheckpointPlan, evidence: Evidence, citation: CitationCheck | None) -> Verdict:
    """The verdict on the reference.

    Raises:
        NotCompared: its output is degenerate, or it is not the checkpoint that the claim pins.
    """
    try:
        evidence, score, readings = session.weighed(plan, evidence)
    except ClaimsError as error:
        raise NotCompared(f"The reference cannot be scored. {error}") from None
    for reading in readings:
        if reading.axis == "checkpoint" and reading.consequence is Consequence.DRIFT:
            raise NotCompared(
                f"The reference is not the checkpoint of the claim: the paper's is {reading.paper}, this one is {reading.run}."
            )
    return verdict.judge(
        plan.claim,
        score,
        evidence,
        readings,
        accept_replay=session.settings.accept_replay,
        citation=citation,
    )


def _compare(
    session: Session, plan: CheckpointPlan, candidate: Verdict, reference: Verdict, made: str, margin: Decimal | None
) -> PairedComparison:
    metric = session.metric(plan)
    ours, theirs = candidate.evidence, reference.evidence
    if not (metric and ours and theirs and candidate.score and reference.score):
        raise NotCompared("There is no score to compare.")
    unit = plan.claim.reported.unit
    foreign = theirs.replayed and not session.settings.accept_replay
    if margin is not None and not foreign:
        _check_margin(metric, unit, to_unit(reference.score.value, unit), margin)
    found = paired.compare(
        session.pair(ours, theirs),
        metric,
        (ours, candidate.score),
        (theirs, reference.score),
        unit=unit,
        margin=margin,
        made=made,
    )
    if margin is not None and foreign:
        step = f"{MAKE_IT} --claims-accept-replay vouches for evidence that was not made here."
        reason = "The evidence of the reference was not made here, so the comparison decides nothing."
        return replace(found, decision=Decision.NOT_COMPARED, reason=reason, next_step=step, images_to_decide=None)
    return found


def _check_margin(metric: Metric, unit: str, measured: Decimal, margin: Decimal) -> None:
    """Refuse a margin that even a system that gets nothing right stays within.

    Raises:
        EvaluationError: the margin cannot be exceeded.
    """
    most = abs(measured - to_unit(paired.trivial(metric), unit))
    if margin >= most:
        raise EvaluationError(
            f"--claims-max-regression={margin:f}: no candidate of this claim can lose more than {most.normalize():f} {unit}, "
            "since that is what the reference has; expected a smaller loss, in the reported unit."
        )
