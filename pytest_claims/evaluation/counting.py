"""Count the parameters of a configuration as a claim's evidence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_claims import files
from pytest_claims.evaluation.machine import machine
from pytest_claims.evidence import Basis, Evidence

if TYPE_CHECKING:
    from pytest_claims.protocol import Plan
    from pytest_claims.spec.models import ParametersRun


def evaluate(plan: Plan, run: ParametersRun) -> Evidence:
    """Count on the meta device, in a process of its own: no weights, no network, no more time and memory than a count needs.

    Raises:
        NotAttempted: the configuration file is not there, or torch is not.
        EvaluationError: it does not describe a model, or none that can be counted within the bounds.
    """
    from pytest_claims.evaluation import counter

    path = files.need(run.config.path, plan.folders, "The configuration")
    counts = counter.count(path, run.trainable)
    return Evidence(
        basis=Basis.COUNTED,
        quantities={"trainable_parameters": counts.trainable, "total_parameters": counts.total},
        parts=dict(counts.groups),
        provenance={
            **machine(),
            "architecture": counts.architecture,
            "config": run.config.path,
            "config_digest": files.digest([path])[:16],
            "trainable": " + ".join(run.trainable),
        },
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
