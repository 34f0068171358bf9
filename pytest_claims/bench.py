"""Evaluates plans, and shares evidence, the loaded checkpoint and the data set between the claims of one session."""

from __future__ import annotations

import importlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, cast

from pytest_claims import machine
from pytest_claims.errors import ClaimsError
from pytest_claims.progress import silent
from pytest_claims.protocol import CaptioningPlan, CheckpointPlan, RetrievalPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import torch

    from pytest_claims.evaluation.executor import Executor, Prepared
    from pytest_claims.evaluators import Evaluator as Hooked
    from pytest_claims.evidence import Evidence
    from pytest_claims.preflight import Preflight
    from pytest_claims.progress import ProgressMaker
    from pytest_claims.protocol import Plan
    from pytest_claims.sources.checkpoint import Loaded
    from pytest_claims.sources.data import Split
    from pytest_claims.store import Replayed, Store


THREADS = 4
"""Threads that make thumbnails."""


class Evaluator(Protocol):
    """Runs the plans of one kind. The modules of `evaluation/` are evaluators."""

    def evaluate(self, plan: Any, bench: Bench, /) -> Evidence:
        """The evidence of a plan.

        Raises:
            NotAttempted: something that the run needs is missing on this machine.
            EvaluationError: the run failed.
        """


EVALUATORS: Mapping[str, str] = {
    "captioning": "pytest_claims.evaluation.captioning",
    "answering": "pytest_claims.evaluation.captioning",
    "predictions": "pytest_claims.evaluation.predictions",
    "parameters": "pytest_claims.evaluation.parameters",
    "retrieval": "pytest_claims.evaluation.retrieval",
    "derived": "pytest_claims.evaluation.derived",
    "hooked": "pytest_claims.evaluation.hooked",
}
"""The module of each evaluator, by the name that a claim file gives; `hooked` runs those of plugins.

It is imported when the first of its claims runs.
"""


def evaluator(name: str) -> Evaluator:
    """What runs the plans of an evaluator."""
    found: Evaluator = cast("Evaluator", importlib.import_module(EVALUATORS[name]))
    return found


def unheard(_said: str) -> None:
    """Ignore a message."""


class Bench:
    """The evaluations of one session, and what they share.

    Args:
        progress: makes progress bars.
        evidence: gives the folder where evidence is kept, or None: in memory.
        replay: captions come from evidence only, no model is run.
        say: tells the user what a run is about to need.
        audit: how many captions that come from evidence are generated again.
        executor: captions the images elsewhere; None: in this process.
        evaluators: those that plugins add, by name.
        streaming: data sets of Parquet files are read where they lie.
    """

    def __init__(
        self,
        progress: ProgressMaker = silent,
        *,
        evidence: Callable[[], Path | None] = lambda: None,
        replay: bool = False,
        audit: int | None = None,
        say: Callable[[str], object] = unheard,
        executor: Executor | None = None,
        evaluators: Mapping[str, Hooked] | None = None,
        streaming: bool = False,
    ) -> None:
        self.progress = progress
        self._root = evidence
        self._store: Store | None = None
        self.replay = replay
        self.audit = audit
        self.say = say
        self.executor = executor
        self.evaluators = evaluators or {}
        self.streaming = streaming
        self._evidence: dict[str, Evidence] = {}
        self._loaded: tuple[tuple[object, ...], Loaded] | None = None
        self._split: tuple[tuple[object, ...], Split] | None = None

    @property
    def store(self) -> Store:
        """Where evidence is kept."""
        if self._store is None:
            from pytest_claims.store import Store

            self._store = Store(self._root)
        return self._store

    def evaluate(self, plan: Plan) -> Evidence:
        """The evidence of `plan`. Claims whose plans have the same key share one run.

        Raises:
            NotAttempted: weights, data or the device are missing on this machine.
            EvaluationError: the run failed.
        """
        found = self._evidence.get(plan.key)
        if found is None:
            found = self._evidence[plan.key] = self._elsewhere(plan) or self.evaluate_here(plan)
        return found

    def evaluate_here(self, plan: Plan) -> Evidence:
        """The evidence of `plan`, from a run of its own. See `evaluate`."""
        return evaluator(plan.evaluator).evaluate(plan, self)

    def _elsewhere(self, plan: Plan) -> Evidence | None:
        if self.executor is None or not isinstance(plan, CaptioningPlan):
            return None
        return self.executor.evidence(plan, self)

    def beside(self, progress: ProgressMaker, say: Callable[[str], object]) -> Bench:
        """A bench for another thread, with the same evidence folder and executor, and nothing else in common."""
        return Bench(
            progress,
            evidence=self._root,
            replay=self.replay,
            audit=self.audit,
            say=say,
            executor=self.executor,
            streaming=self.streaming,
        )

    def held(self, plan: Plan) -> Evidence | None:
        """The evidence of `plan`, if a claim of this session has made it."""
        return self._evidence.get(plan.key)

    def left(self, plan: CheckpointPlan) -> Replayed | None:
        """The evidence that an earlier run left for `plan`, whoever wrote it: `sealed` says whether this user's runs did.

        Raises:
            EvaluationError: the evidence is not complete or not valid.
        """
        from pytest_claims.store import left

        return left(self.store.root(), plan, self.store.key)

    def preflight(self, plan: Plan, *, collect: bool = False, names: bool = False) -> Preflight:
        """What a run of `plan` will need; see `preflight.check`."""
        from pytest_claims import preflight

        return preflight.check(plan, self, collect=collect, names=names)

    def prepare(self, plan: CaptioningPlan) -> Prepared:
        """Load everything that a captioning run needs, here or where the executor runs it.

        Raises:
            NotAttempted: weights, data or the device are missing.
            EvaluationError: the weights or the data cannot be used.
        """
        if self.executor is not None:
            return self.executor.prepare(plan, self)
        from pytest_claims.evaluation import setup

        return setup.prepare(plan, self)

    def share(self, images: int) -> int:
        """How many of a plan's images this process will caption: all of them. An actor of a cluster captions its part."""
        return images

    def close(self) -> None:
        """End what the executor started."""
        if self.executor is not None:
            self.executor.close()

    def split(self, plan: CheckpointPlan) -> Split:
        """The data set of a plan, read once as long as the claims that follow each other use it."""
        from pytest_claims.sources import data

        stated, columns = plan.protocol.dataset, plan.run.columns
        keep = isinstance(plan, RetrievalPlan)  # it reads images in the order of its scores
        key = (plan.folders, repr(stated), columns, tuple(plan.extras.items()), keep)
        if self._split is None or self._split[0] != key:
            self._split = None
            self._split = (
                key,
                data.load(
                    stated,
                    columns,
                    plan.folders,
                    self.progress,
                    extras=plan.extras,
                    streaming=self.streaming,
                    keep=keep,
                ),
            )
        return self._split[1]

    def thumbnails(self, plan: Plan, ids: Sequence[str]) -> list[str]:
        """The images of a plan in small, as `data:` addresses, "" for one that cannot be shown; empty if no image is here."""
        if self.replay or not isinstance(plan, CheckpointPlan) or not plan.shows_images:
            return []
        from pytest_claims.sources import pictures

        split = self.split(plan)

        def small(name: str) -> str:
            try:
                return pictures.thumbnail(split.image(name))
            except ClaimsError:
                return ""

        ordered = split.in_order(ids)
        # PIL releases the interpreter's lock while it decodes.
        with ThreadPoolExecutor(THREADS, thread_name_prefix="thumbnails") as pool:
            made = dict(zip(ordered, pool.map(small, ordered), strict=True))
        return [made[name] for name in ids]

    def device(self, plan: CheckpointPlan) -> torch.device:
        """The device that a plan runs on.

        Raises:
            NotAttempted: this machine does not have the device.
        """
        return machine.choose_device(plan.device, plan.run.requires.device, command=plan.command)

    def checkpoint(self, plan: CheckpointPlan, device: torch.device) -> Loaded:
        """The checkpoint of a plan. It is loaded once for consecutive claims that use it.

        Only one checkpoint is kept, since two may not fit into memory. `items.side_by_side` makes the claims of one checkpoint
        consecutive.
        """
        from pytest_claims.sources import checkpoint

        protocol = plan.protocol
        key = (
            plan.model_class,
            plan.folders,
            protocol.checkpoint,
            plan.candidate,
            protocol.precision,
            plan.image_overrides,
            device,
        )
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None  # frees the memory before the next checkpoint is loaded
            self._loaded = (key, checkpoint.load(plan, device, self.progress))
        return self._loaded[1]
