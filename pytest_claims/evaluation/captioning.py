"""The evaluators `captioning` and `answering`: run a model on a split. Outputs of earlier evidence are used again.

Captioning is the case in which all images have the same prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_claims.evaluation import kept
from pytest_claims.evaluation.running import RunningScore

if TYPE_CHECKING:
    from pytest_claims.bench import Bench
    from pytest_claims.evidence import Evidence
    from pytest_claims.protocol import CaptioningPlan


def evaluate(plan: CaptioningPlan, bench: Bench) -> Evidence:
    """The evidence of a plan: the captions of its images, or the answers to its questions; see `kept.evaluate`."""
    shown = None if plan.noun == "caption" else plan.claim.reported.metric  # BLEU says nothing of answers of one word
    return kept.evaluate(plan, bench, lambda: bench.prepare(plan), lambda _: RunningScore(shown))
