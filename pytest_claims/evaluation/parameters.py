"""Count the parameters of a configuration as a claim's evidence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_claims import counting, digests, files, machine
from pytest_claims.evidence import Basis, Evidence

if TYPE_CHECKING:
    from pytest_claims.bench import Bench
    from pytest_claims.protocol import ParametersPlan


def evaluate(plan: ParametersPlan, _bench: Bench | None = None) -> Evidence:
    """Count on the meta device, in a process of its own: no weights, no network, no more time and memory than a count needs.

    Raises:
        NotAttempted: the configuration file is not there, or torch is not.
        EvaluationError: it does not describe a model, or none that can be counted within the bounds.
    """
    run = plan.run
    path = files.need(run.config.path, plan.folders, "The configuration")
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
