"""Evaluates plans, and shares evidence, the loaded checkpoint and the data set between the claims of one session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from pytest_claims import machine, preflight
from pytest_claims.evaluation import captioning, parameters, predictions
from pytest_claims.progress import silent
from pytest_claims.sources import checkpoint, data
from pytest_claims.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch

    from pytest_claims.evidence import Evidence
    from pytest_claims.preflight import Preflight
    from pytest_claims.progress import ProgressMaker
    from pytest_claims.protocol import CaptioningPlan, Plan
    from pytest_claims.sources.checkpoint import Loaded
    from pytest_claims.sources.data import Split


class Evaluator(Protocol):
    """Runs the plans of one kind. The modules of `evaluation/` are evaluators."""

    def evaluate(self, plan: Any, bench: Bench, /) -> Evidence:
        """The evidence of a plan.

        Raises:
            NotAttempted: something that the run needs is missing on this machine.
            EvaluationError: the run failed.
        """


EVALUATORS: Mapping[str, Evaluator] = {
    "captioning": captioning,
    "predictions": predictions,
    "parameters": parameters,
}
"""The evaluators, by the name that a claim file uses."""


def unheard(_said: str) -> None:
    """Ignore a message."""


class Bench:
    """The evaluations of one session, and what they share.

    Args:
        progress: makes progress bars.
        store: where evidence is kept; None: in memory.
        replay: whether captions come from earlier evidence only, without running a model.
        audit: how many captions from earlier evidence are generated again and compared; None: none.
        say: prints a message for the user.
    """

    def __init__(
        self,
        progress: ProgressMaker = silent,
        *,
        store: Store | None = None,
        replay: bool = False,
        audit: int | None = None,
        say: Callable[[str], object] = unheard,
    ) -> None:
        self.progress = progress
        self.store = store or Store()
        self.replay = replay
        self.audit = audit
        self.say = say
        self._evidence: dict[str, Evidence] = {}
        self._loaded: tuple[tuple[object, ...], Loaded] | None = None
        self._split: tuple[tuple[object, ...], Split] | None = None

    def evaluate(self, plan: Plan) -> Evidence:
        """The evidence of `plan`. Claims whose plans have the same key share one run.

        Raises:
            NotAttempted: weights, data or the device are missing on this machine.
            EvaluationError: the run failed.
        """
        found = self._evidence.get(plan.key)
        if found is None:
            found = self._evidence[plan.key] = EVALUATORS[plan.evaluator].evaluate(plan, self)
        return found

    def preflight(self, plan: Plan, *, collect: bool = False) -> Preflight:
        """What a run of `plan` needs. See `preflight.check`."""
        return preflight.check(plan, self, collect=collect)

    def split(self, plan: CaptioningPlan) -> Split:
        """The data set of a plan. It is read once for consecutive claims that use it."""
        stated, columns = plan.protocol.dataset, plan.run.columns
        key = (plan.folders, repr(stated), columns)
        if self._split is None or self._split[0] != key:
            self._split = None
            self._split = (key, data.load(stated, columns, plan.folders, self.progress))
        return self._split[1]

    def device(self, plan: CaptioningPlan) -> torch.device:
        """The device that a plan runs on.

        Raises:
            NotAttempted: this machine does not have the device.
        """
        return machine.choose_device(plan.device, plan.run.requires.device, command=plan.command)

    def checkpoint(self, plan: CaptioningPlan, device: torch.device) -> Loaded:
        """The checkpoint of a plan. It is loaded once for consecutive claims that use it.

        Only one checkpoint is kept, since two may not fit into memory. `items.side_by_side` makes the claims of one checkpoint
        consecutive.
        """
        protocol = plan.protocol
        key = (plan.folders, protocol.checkpoint, plan.candidate, protocol.precision, plan.image_overrides, device)
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None  # frees the memory before the next checkpoint is loaded
            self._loaded = (key, checkpoint.load(plan, device, self.progress))
        return self._loaded[1]
