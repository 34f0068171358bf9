"""Plan → Evidence: the only room that imports torch."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from pytest_claims.spec import CaptioningRun, ParametersRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import torch

    from pytest_claims.evaluation.checkpoint import Loaded
    from pytest_claims.evidence import Evidence
    from pytest_claims.protocol import Plan


class Progress(Protocol):
    """What an evaluation tells of how far it is; tqdm's bar is one."""

    def update(self, n: int) -> object:
        """`n` more images are done."""


class _Silent:
    def update(self, n: int) -> None:
        """Nobody watches."""


@contextmanager
def silent(_total: int, _label: str) -> Iterator[Progress]:
    """A progress that shows nothing."""
    yield _Silent()


class Bench:
    """What the claims of one session share: evidence of equal plans, and the checkpoint that is loaded.

    Args:
        progress: makes a progress bar of a total and a label.
    """

    def __init__(self, progress: Callable[[int, str], AbstractContextManager[Progress]] = silent) -> None:
        self.progress = progress
        self._evidence: dict[str, Evidence] = {}
        self._loaded: tuple[tuple[object, ...], Loaded] | None = None

    def evaluate(self, plan: Plan) -> Evidence:
        """The evidence of `plan`; claims whose plans have the same key share one run.

        Raises:
            NotAttempted: weights, data or device cannot be had here.
            EvaluationError: they are there and the run broke.
        """
        found = self._evidence.get(plan.key)
        if found is None:
            found = self._evidence[plan.key] = self._run(plan)
        return found

    def _run(self, plan: Plan) -> Evidence:
        run = plan.claim.run
        if isinstance(run, CaptioningRun):
            from pytest_claims.evaluation import captioning

            return captioning.evaluate(plan, run, self)
        if isinstance(run, ParametersRun):
            from pytest_claims.evaluation import counting

            return counting.evaluate(plan, run)
        from pytest_claims.evaluation import predictions

        return predictions.evaluate(plan, run)

    def device(self, plan: Plan) -> torch.device:
        """The device that a plan runs on; raises `NotAttempted` if it is not there."""
        from pytest_claims.evaluation import checkpoint

        return checkpoint.choose_device(plan)

    def checkpoint(self, plan: Plan, device: torch.device) -> Loaded:
        """The checkpoint of a plan, loaded once as long as the claims that follow each other use it.

        One is kept: two of these models may not fit, and collection puts the claims of one checkpoint side by side.
        """
        from pytest_claims.evaluation import checkpoint

        stated = plan.settings.checkpoint
        key = (plan.folders, stated, plan.candidate, plan.settings.precision, plan.image_overrides, device)
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None  # before the next one takes its place in memory
            self._loaded = (key, checkpoint.load(plan, device))
        return self._loaded[1]
