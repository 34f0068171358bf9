"""The evaluator `retrieval`: ranks texts for images, or images for texts. Rankings of earlier evidence are used again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_claims.evaluation import kept
from pytest_claims.evaluation.retrieving import prepare

if TYPE_CHECKING:
    from pytest_claims.bench import Bench
    from pytest_claims.evaluation.retrieving import Setup
    from pytest_claims.evidence import Evidence
    from pytest_claims.protocol import RetrievalPlan


def evaluate(plan: RetrievalPlan, bench: Bench) -> Evidence:
    """The evidence of a plan: the first candidates of each of its queries; see `kept.evaluate`."""
    return kept.evaluate(
        plan,
        bench,
        lambda: prepare(plan, bench),
        lambda setup: setup.stage,
        unit=f"{plan.run.query}s",
        rate="queries_per_second",
        notes=lambda setup: (told(setup),),
    )


def told(setup: Setup) -> str:
    """What was ranked for what, in a sentence."""
    queries, candidates = ("images", "texts") if setup.pool.by_image else ("texts", "images")
    asked, pool = len(setup.recipe.references), len(setup.pool.candidates)
    rerank = f"; the first {min(setup.rerank, pool):,} were matched and ranked again" if setup.rerank else ""
    return f"For each of {asked:,} {queries}, all {pool:,} {candidates} were ranked{rerank}."
