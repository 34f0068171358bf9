"""Claim + score + readings → verdict, and what the test runner is told of it. Pure; docs/verdicts.md states the rules."""

from pytest_claims.verdict.arithmetic import bands
from pytest_claims.verdict.gates import PROXY_CONFIDENCE, judge, undecided
from pytest_claims.verdict.models import RULES, Bands, Breadth, Direction, Kind, Outcome, Power, Span, Status, Verdict
from pytest_claims.verdict.runner import Result, failure_type, removed, settle
from pytest_claims.verdict.words import TOO_FEW

__all__ = [
    "PROXY_CONFIDENCE",
    "RULES",
    "TOO_FEW",
    "Bands",
    "Breadth",
    "Direction",
    "Kind",
    "Outcome",
    "Power",
    "Result",
    "Span",
    "Status",
    "Verdict",
    "bands",
    "failure_type",
    "judge",
    "removed",
    "settle",
    "undecided",
]
