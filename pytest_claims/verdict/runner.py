"""What the test runner is told of a verdict; docs/verdicts.md states the rules under "Status"."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from pytest_claims.baseline import Change
from pytest_claims.paired import Decision
from pytest_claims.settings import Gate
from pytest_claims.verdict.gates import undecided
from pytest_claims.verdict.models import Kind, Outcome, Status

if TYPE_CHECKING:
    from pytest_claims.spec import Claim
    from pytest_claims.verdict.models import Verdict


class Result(StrEnum):
    """What the test runner is told."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    EXPECTED = "expected"
    """The recorded result came out again, such as a claim that is known to fail."""


def settle(verdict: Verdict, *, gate: Gate, require_attempt: bool, accept_moved: bool = False) -> tuple[Result, str]:
    """The test result and, where it is not `passed`, why; the rules are in docs/verdicts.md.

    Args:
        verdict: the verdict.
        gate: the lowest status that stays green.
        require_attempt: a claim that was not attempted fails.
        accept_moved: a claim that was changed since the merge base does not fail for that.
    """
    status, outcome, expect = verdict.status, verdict.outcome, verdict.claim.expect
    if verdict.moved and not accept_moved:
        moved = "; ".join(f"{change.key}: {change.before} → {change.after}" for change in verdict.moved)
        return Result.FAILED, f"the bar moved ({moved}). {verdict.reason}"
    withheld_unrun = status is Status.PENDING and verdict.measured is None  # by its citation alone
    if (status is Status.NOT_ATTEMPTED or withheld_unrun) and verdict.kind is Kind.PRE:
        return Result.FAILED, f"the candidate was not evaluated. {verdict.reason}"
    if status is Status.NOT_ATTEMPTED:
        return (Result.FAILED if require_attempt else Result.SKIPPED), verdict.reason
    if withheld_unrun and require_attempt:
        return Result.FAILED, f"the gate asks for an attempt. {verdict.reason}"
    if worse := _compared(verdict, gate):
        return Result.FAILED, f"{worse} {verdict.reason}"
    if expect is not None and status.value != expect:
        return Result.FAILED, f"expected {expect}, as recorded, but got {status}. {verdict.reason}"
    if expect is not None and outcome is Outcome.FAIL and expect != Status.FAIL.value:
        return Result.FAILED, f"expected {expect}, as recorded, but the outcome is fail. {verdict.reason}"
    if expect is not None and verdict.kind is Kind.PRE and status not in (Status.PASS, Status.PARTIAL, Status.FAIL):
        # `expect` records a result of the published checkpoint. It says nothing about a candidate that could not be judged.
        return Result.FAILED, f"{status} of a candidate, which {expect!r} as recorded does not excuse. {verdict.reason}"
    if expect is not None and status is not Status.PASS:
        return Result.EXPECTED, f"{expect}, as recorded. {verdict.reason}"
    green = status is Status.PASS or (status is Status.PARTIAL and outcome is not Outcome.FAIL and gate is Gate.PARTIAL)
    if green:
        return Result.PASSED, ""
    if status is Status.PARTIAL and outcome is not Outcome.FAIL:
        return Result.FAILED, f"the gate asks for pass, the verdict is partial. {verdict.reason}"
    return Result.FAILED, verdict.reason


def _compared(verdict: Verdict, gate: Gate) -> str:
    """Why a candidate is red beside the checkpoint that it replaces; empty if it is not. A comparison only ever lowers."""
    found = verdict.comparison
    if found is None or found.decision in (None, Decision.NON_INFERIOR):
        return ""
    if found.decision is Decision.INCONCLUSIVE and gate is Gate.PARTIAL:
        return ""
    words = {
        Decision.INFERIOR: "the candidate is worse than the reference.",
        Decision.INCONCLUSIVE: "the gate asks for pass, and the comparison is inconclusive.",
        Decision.NOT_COMPARED: "the candidate was not compared with the reference.",
    }
    return f"{words[found.decision]} {found.reason}"


def removed(claim: Claim, *, revision: str, why: str, accepted: bool) -> tuple[Verdict, Result, str]:
    """The verdict on a claim that the merge base with `revision` holds and nobody runs, with the test result and its reason."""
    reason = f"removed: {claim.where} held the claim {claim.id} at the merge base with {revision}, and {why}."
    gone = Change(key="claim", before=claim.id, after="removed")
    verdict = replace(undecided(claim, Status.ERROR, reason), moved=(gone,), baseline="removed")
    if accepted:
        return verdict, Result.EXPECTED, f"accepted with --claims-accept-moved. {reason}"
    return verdict, Result.FAILED, reason


def failure_type(status: str, *, moved: bool = False, decision: str | None = None) -> str:
    """The `type` of a JUnit failure: `claim.fail`, `claim.withheld`, `claim.error`, `claim.moved`, `claim.inferior`, …

    Args:
        status: the status of the verdict.
        moved: whether the bar moved.
        decision: what a comparison with the reference said, if the verdict's status alone is not red.
    """
    if moved:
        return "claim.moved"
    if status in (Status.PASS, Status.PARTIAL) and decision not in (None, Decision.NON_INFERIOR):
        return f"claim.{decision.replace(' ', '_')}"
    return "claim.withheld" if status == Status.PENDING else f"claim.{status}"
