"""The evaluator `retrieval`: ranks texts for images, or images for texts. Rankings of earlier evidence are used again."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_claims import git
from pytest_claims.evaluation import audit
from pytest_claims.evaluation.retrieving import prepare
from pytest_claims.store import replay

if TYPE_CHECKING:
    from pytest_claims.bench import Bench
    from pytest_claims.evaluation.retrieving import Setup
    from pytest_claims.evidence import Evidence
    from pytest_claims.protocol import RetrievalPlan


def evaluate(plan: RetrievalPlan, bench: Bench) -> Evidence:
    """The evidence of a plan: the first candidates of each of its queries.

    Raises:
        NotAttempted: weights, data or the device are missing on this machine; in a replay, the evidence is missing.
        EvaluationError: the run failed.
    """
    if bench.replay:
        found = replay(bench.store.root(), plan)
        return found.evidence if bench.audit is None else audit.replayed(prepare(plan, bench), bench, found)
    for line in bench.preflight(plan).told(plan.claim.display):
        bench.say(line)
    setup = prepare(plan, bench)
    with bench.store.open(setup.recipe, setup.split.digest, batch=setup.batch_size, say=bench.say) as folder:
        missing = folder.missing
        started = time.perf_counter()
        total = len(setup.recipe.references)
        with bench.progress(
            total, plan.claim.id, unit=f" {plan.run.query}s", done=total - len(missing), note=setup.stage.told
        ) as bar:
            for output, digest in setup.caption(missing) if missing else ():
                folder.append(output, digest)
                bar.update(1)
        seconds = time.perf_counter() - started
        evidence = folder.finish(
            {
                **setup.facts(),
                "seconds": round(seconds, 3),
                "queries_per_second": round(len(missing) / seconds, 2),
            },
            git.head(plan.claim.file.parent) if missing else None,
        )
    changes = setup.changes
    evidence = replace(evidence, notes=(*evidence.notes, told(setup), *changes.notes), differing=changes.listed)
    return evidence if bench.audit is None else audit.reused(setup, bench, evidence, folder)


def told(setup: Setup) -> str:
    """What was ranked for what, in a sentence."""
    queries, candidates = ("images", "texts") if setup.pool.by_image else ("texts", "images")
    asked, pool = len(setup.recipe.references), len(setup.pool.candidates)
    rerank = f"; the first {min(setup.rerank, pool):,} were matched and ranked again" if setup.rerank else ""
    return f"For each of {asked:,} {queries}, all {pool:,} {candidates} were ranked{rerank}."
