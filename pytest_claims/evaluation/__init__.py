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
    from pytest_claims.evaluation.data import Split
    from pytest_claims.evaluation.preflight import Preflight
    from pytest_claims.evidence import Evidence
    from pytest_claims.protocol import Plan
    from pytest_claims.store import Store


class Progress(Protocol):
    """What an evaluation tells of how far it is; tqdm's bar is one."""

    def update(self, n: int) -> object:
        """`n` more images are done."""


class _Silent:
    def update(self, n: int) -> None:
        """Nobody watches."""


@contextmanager
def silent(_total: int, _label: str, *, unit: str = " images") -> Iterator[Progress]:  # noqa: ARG001 - what a bar takes
    """A progress that shows nothing."""
    yield _Silent()


class Bench:
    """What the claims of one session share: evidence of equal plans, and the checkpoint that is loaded.

    Args:
        progress: makes a progress bar of a total, a label and a unit.
        store: where evidence is kept; in memory if None.
        replay: captions come from evidence only, no model is run.
        say: tells the user what a run is about to need.
        audit: how many captions that come from evidence are generated again.
    """

    def __init__(
        self,
        progress: Callable[..., AbstractContextManager[Progress]] = silent,
        *,
        store: Store | None = None,
        replay: bool = False,
        audit: int | None = None,
        say: Callable[[str], object] = len,
    ) -> None:
        if store is None:
            from pytest_claims.store import Store

            store = Store()
        self.progress = progress
        self.store = store
        self.replay = replay
        self.audit = audit
        self.say = say
        self._evidence: dict[str, Evidence] = {}
        self._loaded: tuple[tuple[object, ...], Loaded] | None = None
        self._split: tuple[tuple[object, ...], Split] | None = None

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
        if isinstance(run, CaptioningRun) and self.replay:
            from pytest_claims.store import replay

            replayed = replay(self.store.root(), plan)
            if self.audit is None:
                return replayed.evidence
            from pytest_claims.evaluation import audit

            return audit.replayed(plan, run, self, replayed)
        if isinstance(run, CaptioningRun):
            self.say(f"{plan.claim.display}: {self.preflight(plan).summary}")
            from pytest_claims.evaluation import captioning

            return captioning.evaluate(plan, run, self)
        if isinstance(run, ParametersRun):
            from pytest_claims.evaluation import counting

            return counting.evaluate(plan, run)
        from pytest_claims.evaluation import predictions

        return predictions.evaluate(plan, run)

    def preflight(self, plan: Plan, *, collect: bool = False) -> Preflight:
        """What a run of `plan` will need; see `preflight.check`."""
        from pytest_claims.evaluation import preflight

        return preflight.check(plan, self, collect=collect)

    def split(self, plan: Plan, run: CaptioningRun) -> Split:
        """The data set of a plan, read once as long as the claims that follow each other use it."""
        from pytest_claims.evaluation import data

        stated = plan.settings.dataset
        assert stated is not None  # noqa: S101 - spec.load.NEEDS
        key = (plan.folders, repr(stated), run.columns)
        if self._split is None or self._split[0] != key:
            self._split = None
            self._split = (key, data.load(stated, run.columns, plan.folders, self.progress))
        return self._split[1]

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
            self._loaded = (key, checkpoint.load(plan, device, self.progress))
        return self._loaded[1]
