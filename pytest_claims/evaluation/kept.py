"""Runs what the evidence does not hold yet, and completes it: the one way of every evaluator that runs a checkpoint."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from pytest_claims import git
from pytest_claims.evaluation import audit
from pytest_claims.evaluation.executor import Prepared
from pytest_claims.store import replay

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_claims.bench import Bench
    from pytest_claims.evidence import Evidence, Output
    from pytest_claims.protocol import CheckpointPlan

S = TypeVar("S", bound=Prepared)


class Watch(Protocol):
    """What the progress of a run shows beside the count."""

    def add(self, output: Output, /) -> None:
        """Take an output into account, of this run or of an earlier one."""

    def told(self, elapsed: float, /) -> str:
        """The text, `elapsed` seconds after the run began."""


def evaluate(
    plan: CheckpointPlan,
    bench: Bench,
    prepare: Callable[[], S],
    watch: Callable[[S], Watch],
    *,
    unit: str = "images",
    rate: str = "images_per_second",
    notes: Callable[[S], tuple[str, ...]] = lambda _: (),
) -> Evidence:
    """The evidence of a plan. Outputs of earlier evidence are used again.

    Args:
        plan: the plan.
        bench: what the claims of the session share.
        prepare: loads everything that the run needs, and observes the protocol.
        watch: what is shown while it runs.
        unit: what is counted, in the plural.
        rate: the name under which the record has the speed.
        notes: sentences about the run, for the reports.

    Raises:
        NotAttempted: weights, data or the device are missing on this machine; in a replay, the evidence is missing.
        EvaluationError: the run failed.
    """
    if bench.replay:
        found = replay(bench.store.root(), plan)
        return found.evidence if bench.audit is None else audit.replayed(prepare(), bench, found)
    for line in bench.preflight(plan).told(plan.claim.display):
        bench.say(line)
    setup = prepare()
    with bench.store.open(setup.recipe, setup.split.digest, batch=setup.batch_size, say=bench.say) as folder:
        missing, watched = folder.missing, watch(setup)
        for output in folder.reused.values():
            watched.add(output)
        started = time.perf_counter()
        total = len(setup.recipe.references)
        with bench.progress(total, plan.claim.id, unit=f" {unit}", done=total - len(missing), note=watched.told) as bar:
            for output, digest in setup.caption(missing) if missing else ():
                folder.append(output, digest)
                watched.add(output)
                bar.update(1)
        seconds = time.perf_counter() - started
        evidence = folder.finish(
            {
                **setup.facts(),
                "seconds": round(seconds, 3),
                rate: round(len(missing) / seconds, 2),
            },
            git.head(plan.claim.file.parent) if missing else None,
        )
    changes = setup.changes
    evidence = replace(evidence, notes=(*evidence.notes, *notes(setup), *changes.notes), differing=changes.listed)
    return evidence if bench.audit is None else audit.reused(setup, bench, evidence, folder)
