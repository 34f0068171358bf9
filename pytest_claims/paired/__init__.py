"""A release candidate beside the reference that it would replace, on the same images. docs/verdicts.md states the rules."""

from pytest_claims.paired.compare import compare, trivial
from pytest_claims.paired.models import Decision, Difference, Loss, Outputs, PairedComparison
from pytest_claims.paired.pairing import problems
from pytest_claims.paired.rule import decide, images_to_decide

__all__ = [
    "Decision",
    "Difference",
    "Loss",
    "Outputs",
    "PairedComparison",
    "compare",
    "decide",
    "images_to_decide",
    "problems",
    "trivial",
]
