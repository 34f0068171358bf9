"""Runs the plans of several checkpoints side by side, where the cluster has room. Claims are still judged one after the other.

Each checkpoint has a thread, which runs its plans one after the other, with a bench of its own. The session's thread takes the
evidence when the claim's turn comes, and shows until then what the thread is doing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pytest_claims.bench import Bench
    from pytest_claims.evidence import Evidence
    from pytest_claims.progress import Progress, ProgressMaker
    from pytest_claims.protocol import CaptioningPlan

    Key = tuple[object, ...]

FEWEST = 64
"""Images for which a further actor is started as long as another checkpoint waits. Loading the weights takes about as long as
captioning some hundreds of images, so that fewer images are not worth an actor that another checkpoint could have."""

LOOK = 0.2
"""Seconds between two looks at what a thread is doing."""

PATIENCE = 5.0
"""Seconds that threads have to end."""


@dataclass(slots=True)
class Step:
    """What a thread is doing: a progress bar that nobody sees yet."""

    total: int
    label: str
    unit: str
    done: int
    note: Callable[[float], str] | None

    def update(self, n: int) -> None:
        """See `Progress.update`."""
        self.done += n


@dataclass(slots=True)
class Ran:
    """The run of a plan in a thread."""

    plan: CaptioningPlan
    said: deque[str] = field(default_factory=deque)
    step: Step | None = None
    evidence: Evidence | None = None
    error: BaseException | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def progress(
        self,
        total: int,
        label: str,
        /,
        *,
        unit: str = " images",
        done: int = 0,
        note: Callable[[float], str] | None = None,
    ) -> Iterator[Progress]:
        """See `ProgressMaker`: keeps the state for the session's thread."""
        self.step = step = Step(total, label, unit, done, note)
        try:
            yield step
        finally:
            self.step = None


class Ahead:
    """The plans that are run side by side.

    Args:
        plans: the plans by the key of their actors, in the order of the session.
        room: how many actors the cluster has room for.
        evaluate: evaluates a plan with what a thread shows in place of a bar, and keeps as messages.
        ended: called with the key when all plans of a checkpoint have run.
    """

    def __init__(
        self,
        plans: Mapping[Key, Sequence[CaptioningPlan]],
        *,
        room: int,
        evaluate: Callable[[CaptioningPlan, ProgressMaker, Callable[[str], object]], Evidence],
        ended: Callable[[Key], None],
    ) -> None:
        self._waiting = dict(plans)
        self._room, self._evaluate, self._ended = room, evaluate, ended
        self._runs = {plan.key: Ran(plan) for group in plans.values() for plan in group}
        self._granted: dict[Key, int] = {}
        self._lock = threading.RLock()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def has(self, plan: CaptioningPlan) -> bool:
        """Whether a thread runs a plan, or will."""
        return plan.key in self._runs

    def start(self) -> None:
        """Start as many checkpoints as the cluster has room for."""
        with self._lock:
            while self._waiting and not self._closed and (free := self._room - sum(self._granted.values())) > 0:
                key = next(iter(self._waiting))
                plans = self._waiting.pop(key)
                images = max(plan.sample or plan.protocol.dataset.images for plan in plans)
                self._granted[key] = min(free, -(-images // FEWEST))
                thread = threading.Thread(target=self._work, args=(key, plans), name=f"plans-{len(self._threads)}")
                thread.daemon = True
                self._threads.append(thread)
                thread.start()

    def most(self, key: Key) -> int | None:
        """How many actors a checkpoint may have now; None if it is none of these."""
        with self._lock:
            granted = self._granted.get(key)
            if granted is None:
                return None
            free = self._room - sum(self._granted.values())
            if not self._waiting and free > 0:
                # Nobody waits for what is left: the first that asks may have it.
                granted = self._granted[key] = granted + free
            return granted

    def _work(self, key: Key, plans: Sequence[CaptioningPlan]) -> None:
        for plan in plans:
            ran = self._runs[plan.key]
            if not self._closed:
                try:
                    ran.evidence = self._evaluate(plan, ran.progress, ran.said.append)
                except BaseException as error:  # noqa: BLE001 - raised again in the session's thread
                    ran.error = error
            ran.ended.set()
        self._ended(key)
        with self._lock:
            del self._granted[key]
        self.start()

    def result(self, plan: CaptioningPlan, bench: Bench) -> Evidence:
        """The evidence of a plan, when it is ready. Until then, its messages and its progress are shown by `bench`.

        Raises:
            Exception: what the run raised.
        """
        ran = self._runs[plan.key]
        while not ran.ended.is_set():
            self._tell(ran, bench)
            step = ran.step
            if step is None:
                ran.ended.wait(LOOK)
                continue
            seen = step.done
            with bench.progress(step.total, step.label, unit=step.unit, done=seen, note=step.note) as bar:
                while ran.step is step and not ran.ended.wait(LOOK):
                    now = step.done
                    if now > seen:
                        bar.update(now - seen)
                    seen = now
        self._tell(ran, bench)
        if ran.error is not None:
            raise ran.error
        if ran.evidence is None:
            raise RuntimeError(f"the run of {plan.claim.id} was stopped")
        return ran.evidence

    @staticmethod
    def _tell(ran: Ran, bench: Bench) -> None:
        while ran.said:
            bench.say(ran.said.popleft())

    def close(self) -> None:
        """Start nothing more, and wait for the threads: the cluster has told them to stop."""
        with self._lock:
            self._closed = True
        until = time.monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
