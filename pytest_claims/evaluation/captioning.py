"""The evaluators `captioning` and `answering`: run a model on a split. Outputs of earlier evidence are used again.

Captioning is the case in which all images have the same prompt.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_claims import git
from pytest_claims.evaluation import audit
from pytest_claims.evaluation.running import RunningScore
from pytest_claims.store import replay

if TYPE_CHECKING:
    from pytest_claims.bench import Bench
    from pytest_claims.evidence import Evidence
    from pytest_claims.protocol import CaptioningPlan


def evaluate(plan: CaptioningPlan, bench: Bench) -> Evidence:
    """The evidence of a plan: the captions of its images, or the answers to its questions.

    Raises:
        NotAttempted: weights, data or the device are missing on this machine; in a replay, the evidence is missing.
        EvaluationError: the run failed.
    """
    if bench.replay:
        return _replayed(plan, bench)
    for line in bench.preflight(plan).told(plan.claim.display):
        bench.say(line)
    setup = bench.prepare(plan)
    with bench.store.open(setup.recipe, setup.split.digest, batch=setup.batch_size, say=bench.say) as folder:
        missing = folder.missing
        score = RunningScore(shown=plan.noun == "caption")
        for name in folder.reused:
            score.add(folder.output(name))
        started = time.perf_counter()
        total = len(setup.recipe.references)
        with bench.progress(total, plan.claim.id, done=total - len(missing), note=score.told) as bar:
            for caption, image_digest in setup.caption(missing) if missing else ():
                folder.append(caption, image_digest)
                score.add(caption)
                bar.update(1)
        seconds = time.perf_counter() - started
        evidence = folder.finish(
            {
                **setup.facts(),
                "seconds": round(seconds, 3),
                "images_per_second": round(len(missing) / seconds, 2),
            },
            git.head(plan.claim.file.parent) if missing else None,
        )
    changes = setup.changes
    evidence = replace(evidence, notes=(*evidence.notes, *changes.notes), differing=changes.listed)
    return evidence if bench.audit is None else audit.reused(setup, bench, evidence, folder)


def _replayed(plan: CaptioningPlan, bench: Bench) -> Evidence:
    found = replay(bench.store.root(), plan)
    return found.evidence if bench.audit is None else audit.replayed(bench.prepare(plan), bench, found)
