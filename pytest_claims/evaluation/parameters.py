"""The evaluator `parameters`: counts the parameters of a configuration."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_claims import counting, digests, files, machine
from pytest_claims.evidence import Basis, Evidence

if TYPE_CHECKING:
    from pytest_claims.bench import Bench
    from pytest_claims.protocol import ParametersPlan


def evaluate(plan: ParametersPlan, bench: Bench) -> Evidence:
    """The evidence of a plan: the counts, made in a child process with limited time and memory (`counting/`).

    Raises:
        NotAttempted: the configuration file or torch is missing.
        EvaluationError: the file does not describe a model, or the model cannot be counted within the limits.
    """
    run = plan.run
    path = files.need(run.config.path, plan.folders, "The configuration")
    with bench.progress(0, f"{plan.claim.id}: counting the parameters of {run.config.path}"):
        counts = counting.count(path, run.trainable)
    return Evidence(
        basis=Basis.COUNTED,
        quantities={"trainable_parameters": counts.trainable, "total_parameters": counts.total},
        parts=dict(counts.groups),
        provenance={
            **machine.facts(),
            "architecture": counts.architecture,
            "config": run.config.path,
            "config_digest": digests.of_files([path])[: digests.SHORT],
            "trainable": " + ".join(run.trainable),
        },
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
