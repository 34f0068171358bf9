"""An evaluator of your own: what the hook `pytest_claims_evaluators` returns. docs/extending.md builds one.

Everything that it needs is in this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_claims.digests import of_file
from pytest_claims.errors import EvaluationError, NotAttempted
from pytest_claims.evidence import Basis, Evidence, Output
from pytest_claims.protocol import HookedPlan, Observed
from pytest_claims.spec.hooked import HookedRun as Run
from pytest_claims.spec.values import DataPath

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Basis",
    "DataPath",
    "EvaluationError",
    "Evaluator",
    "Evidence",
    "HookedPlan",
    "NotAttempted",
    "Observed",
    "Output",
    "Run",
    "of_file",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluator:
    """An evaluator that a plugin adds.

    Args:
        name: what a claim writes under `run.evaluator`.
        run: the model of the section run: a subclass of `Run`, which also says what an output is called (`noun`), what a
            metric can read of it (`gives`), and which axes a run observes (`observes`).
        evaluate: from a plan to its evidence. It raises `NotAttempted` if this machine lacks something, and
            `EvaluationError` if something is not as the claim says. `plan.run` is the section run, `plan.protocol` the
            protocol that is run, and `plan.path(name)` the file of a `DataPath`.
    """

    name: str
    run: type[Run]
    evaluate: Callable[[HookedPlan], Evidence]
