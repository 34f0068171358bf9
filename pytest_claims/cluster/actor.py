"""What runs in an actor: the code of a local run, fed with ids by the driver. Imported on every machine of the cluster."""

from __future__ import annotations

import contextlib
import os
import pickle
import platform
import threading
import time
import traceback
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims import digests, machine
from pytest_claims.bench import Bench
from pytest_claims.errors import ClaimsError, EvaluationError, NotAttempted, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_claims.evaluation.reference import Changes
    from pytest_claims.evaluation.setup import Setup
    from pytest_claims.evidence import Output
    from pytest_claims.protocol import CaptioningPlan, CheckpointPlan
    from pytest_claims.sources.data import Split
    from pytest_claims.store import Recipe

FLUSH = 0.2
"""For how many seconds captions are collected before the driver gets them. An actor that dies loses them."""
PATIENCE = 1.0
"""After how many seconds the driver gets an answer without captions, so that it can hand out more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """A data set on its way to the actors."""

    split: Split
    """Without its rows."""
    rows: bytes
    """The pickled rows: for rows in a file, `datasets` pickles the path of the file, so that an actor needs access to it."""
    first: str
    """The id of an image that the actor reads, to find out whether it has access."""
    digest: str
    """The digest of this image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where an actor runs, and with which code."""

    node: str
    """The name of the machine."""
    machine: str
    """Ray's id of the machine."""
    process: int
    versions: Mapping[str, str]
    """Of the packages that decide captions."""
    code: str
    """The digest of the source files of pytest-claims."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What an actor observed when it had loaded everything."""

    recipe: Recipe
    """Without the references, which the driver has."""
    changes: Changes
    batch_size: int
    facts: Mapping[str, str | int | float | None]
    reads: bool
    """Whether the actor reads the images itself; otherwise the driver sends their bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """An error on its way to the driver. Exceptions with arguments of their own cannot be pickled safely."""

    reason: str
    next_step: str | None = None
    """Of a `NotAttempted`; None for other errors."""

    def error(self) -> ClaimsError:
        """The error, to be raised by the driver."""
        return EvaluationError(self.reason) if self.next_step is None else NotAttempted(self.reason, self.next_step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An image for an actor."""

    id: str
    row: Mapping[str, Any] | None = None
    """The row with the image's bytes, for an actor that has no access to the data set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an actor has finished since its last answer."""

    captions: tuple[tuple[Output, str], ...] = ()
    """Each with the digest of its image's bytes, as the actor read them."""
    failed: Failed | None = None
    batch_size: int = 1


def site() -> Site:
    """Where this process runs, and with which code."""
    import ray

    where = ray.get_runtime_context().get_node_id()
    return Site(node=platform.node(), machine=where, process=os.getpid(), versions=machine.versions(), code=code())


def code() -> str:
    """A digest of the source files of pytest-claims: two processes with equal digests run the same code."""
    home = Path(__file__).parents[1]
    parts = [f"{path.relative_to(home).as_posix()} {digests.of_file(path)}" for path in sorted(home.rglob("*.py"))]
    return digests.of("\n".join(parts))[: digests.SHORT]


class Rows(dict[int, "Mapping[str, Any]"]):
    """The rows that the driver sent, by their number: what a `Split` reads of a `datasets.Dataset`."""


class ActorBench(Bench):
    """What the plans of one actor share: the checkpoint. The data set comes from the driver."""

    def __init__(self) -> None:
        super().__init__()
        self.given: Split | None = None
        self.actors = 1

    def split(self, plan: CheckpointPlan) -> Split:  # noqa: ARG002 - the driver has chosen it
        """See `Bench.split`."""
        assert self.given is not None  # noqa: S101 - `Captioner.prepare` sets it first
        return self.given

    def share(self, images: int) -> int:
        """See `Bench.share`."""
        return -(-images // self.actors)


class Captioner:
    """An actor. Its methods are called one at a time; a thread of its own captions.

    Args:
        folder: the driver's working folder, from which relative names of candidates start; it is used where it exists.
        threads: the number of PyTorch's threads; None: as many as PyTorch chooses.
    """

    def __init__(self, folder: str, threads: int | None) -> None:
        import torch

        with contextlib.suppress(OSError):
            os.chdir(folder)
        if threads is not None:
            torch.set_num_threads(threads)
        self._bench = ActorBench()
        self._run: _Run | None = None

    def site(self) -> Site:
        """Where this actor runs, and with which code."""
        return site()

    def prepare(self, plan: CaptioningPlan, shipped: Shipped, actors: int) -> Ready | Failed:
        """Load everything that a run of `plan` needs; a checkpoint that is loaded already stays.

        Args:
            plan: the plan.
            shipped: the data set.
            actors: how many actors share the images.
        """
        from pytest_claims.evaluation import setup

        try:
            if self._run is not None:
                self._run.stop()
                self._run = None
            split, sent = unpacked(shipped)
            self._bench.given, self._bench.actors = split, actors
            made = setup.prepare(plan, self._bench)
            self._run = _Run(made, sent)
            return Ready(
                recipe=replace(made.recipe, references={}),
                changes=made.changes,
                batch_size=made.batch_size,
                facts=made.facts(),
                reads=sent is None,
            )
        except Exception as error:  # noqa: BLE001 - the driver says it, as of a local run
            return failed(error)

    def exchange(self, given: Sequence[Sent]) -> Answer:
        """Take images to caption, and give what is finished. Waits until something is, but not for longer than `PATIENCE`."""
        assert self._run is not None  # noqa: S101 - the driver prepares first
        return self._run.exchange(given)


def unpacked(shipped: Shipped) -> tuple[Split, Rows | None]:
    """The data set of an actor, and where rows are put that the driver sends; None if the actor reads them itself."""
    split = shipped.split
    try:
        found = replace(split, rows=pickle.loads(shipped.rows))  # noqa: S301 - from the driver, as is the code that runs here
        if found.digest(shipped.first) == shipped.digest:
            return found, None
    except Exception:  # noqa: BLE001, S110 - whatever is missing here: the driver has it
        pass
    sent = Rows()
    return replace(split, rows=sent), sent


def probe(shipped: Shipped) -> tuple[Site, bool]:
    """Where a task runs, and whether it reads the images itself."""
    return site(), unpacked(shipped)[1] is None


def failed(error: Exception) -> Failed:
    """An exception, as the driver shall tell it."""
    if isinstance(error, NotAttempted):
        return Failed(reason=error.reason, next_step=error.next_step)
    if isinstance(error, ClaimsError):
        return Failed(reason=str(error))
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (at {frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return Failed(reason=f"On {platform.node()}: {type(error).__name__}: {first_line(error)}{place}")


@dataclass(slots=True)
class _Run:
    """The images of one plan in an actor: those that wait, and the captions that are ready."""

    setup: Setup
    sent: Rows | None
    waiting: deque[str] = field(default_factory=deque)
    ready: list[tuple[Output, str]] = field(default_factory=list)
    error: Failed | None = None
    held: int = 0
    """Images that were given and not answered."""
    changed: threading.Condition = field(default_factory=threading.Condition)
    stopped: bool = False
    thread: threading.Thread | None = None

    def exchange(self, given: Sequence[Sent]) -> Answer:
        """See `Captioner.exchange`."""
        index = self.setup.split.index
        with self.changed:
            for image in given:
                if self.sent is not None and image.row is not None:
                    self.sent[index[image.id]] = image.row
                self.waiting.append(image.id)
            self.held += len(given)
            self.changed.notify_all()
        if self.thread is None:
            self.thread = threading.Thread(target=self._work, name="captions", daemon=True)
            self.thread.start()
        with self.changed:
            self.changed.wait_for(self._something, PATIENCE)
            until = time.monotonic() + FLUSH
            while self.ready and not self._enough() and (rest := until - time.monotonic()) > 0:
                self.changed.wait(rest)
            # The driver has the references and the other texts of a row.
            done = tuple((replace(found, references=(), extras={}), image_digest) for found, image_digest in self.ready)
            self.ready = []
            self.held -= len(done)
        for caption, _ in done:
            if self.sent is not None:
                self.sent.pop(index[caption.id], None)
        return Answer(captions=done, failed=self.error, batch_size=self.setup.batch_size)

    def _something(self) -> bool:
        return bool(self.ready) or self.error is not None

    def _enough(self) -> bool:
        return self.error is not None or len(self.ready) >= min(self.held, self.setup.batch_size)

    def stop(self) -> None:
        """Caption no more than what is being decoded, and wait for that."""
        with self.changed:
            self.stopped = True
            self.waiting.clear()
            self.changed.notify_all()
        if self.thread is not None:
            self.thread.join()

    def _work(self) -> None:
        try:
            while True:
                with self.changed:
                    self.changed.wait_for(lambda: self.waiting or self.stopped)
                if self.stopped:
                    return
                for found in self.setup.caption(self._next()):
                    with self.changed:
                        self.ready.append(found)
                        self.changed.notify_all()
        except Exception as error:  # noqa: BLE001 - the driver says it, as of a local run
            with self.changed:
                self.error = failed(error)
                self.changed.notify_all()

    def _next(self) -> Iterator[str | None]:
        """The images as they arrive; None while none waits and others are decoded. It ends when there is nothing to do."""
        while True:
            with self.changed:
                name = self.waiting.popleft() if self.waiting else None
                if self.stopped or (name is None and self.held == len(self.ready)):
                    return
            yield name
