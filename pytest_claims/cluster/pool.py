"""The actors of a checkpoint: started as far as the cluster has room, replaced when one is lost."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims import text
from pytest_claims.cluster import actor as actors_
from pytest_claims.cluster import connection
from pytest_claims.errors import EvaluationError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_claims.cluster.actor import Answer, Failed, Ready, Sent, Site
    from pytest_claims.cluster.connection import Shape
    from pytest_claims.protocol import CaptioningPlan

ENDED = 3
"""After so many actors in a row that were lost before they were ready, no more are started."""

LONGEST = 160
"""How much of Ray's reason is shown: it goes on with a list of common causes."""

TICK = 0.5
"""Seconds after which the driver looks around when no actor says anything. Ctrl-C is heard at least as often."""


@dataclass(slots=True)
class Member:
    """An actor, as the driver sees it."""

    number: int
    handle: Any
    call: Any = None
    """The call that was not answered yet."""
    asked: str = "site"
    """What the call asks for: `site`, `prepare` or `exchange`."""
    site: Site | None = None
    run: object = None
    """The run for which it was asked to prepare."""
    ready: Ready | None = None
    """What it observed for that run; None as long as it loads."""
    loaded: bool = False
    """Whether it has the checkpoint, so that it is ready for another run at once."""

    @property
    def name(self) -> str:
        """The actor in messages."""
        return f"an actor on {self.site.node}" if self.site else "an actor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """An actor that died."""

    why: str
    blame: bool
    """Whether its work may be the reason; not if its whole node is gone."""


@dataclass(slots=True)
class Pool:
    """The actors of a checkpoint."""

    key: tuple[object, ...]
    """The checkpoint."""
    shape: Shape
    closed: Callable[[], bool]
    """Whether the session ends, so that a thread that waits for actors is to stop."""
    members: dict[int, Member] = field(default_factory=dict)
    _number: int = 0
    _ended: int = 0
    """How many actors in a row were lost before they were ready."""
    _why: str = ""
    """What became of the last of them."""

    def grow(self, wanted: int) -> int:
        """Start actors until there are `wanted`. Ray starts them as soon as there is room; how many there are."""
        import ray

        while len(self.members) < wanted and self._ended < ENDED:
            self._number += 1
            made = ray.remote(actors_.Captioner).options(
                num_cpus=self.shape.cpus, num_gpus=self.shape.gpus, max_restarts=0, max_task_retries=0
            )
            threads = None if self.shape.gpus else self.shape.cpus
            member = Member(number=self._number, handle=made.remote(str(Path.cwd()), threads))
            member.call = member.handle.site.remote()
            self.members[member.number] = member
        return len(self.members)

    def prepare(self, member: Member, plan: CaptioningPlan, shipped: Any, actors: int) -> None:
        """Ask an actor to load what a plan needs."""
        member.ready = None
        member.asked, member.call = "prepare", member.handle.prepare.remote(plan, shipped, actors)

    def exchange(self, member: Member, given: Sequence[Sent]) -> None:
        """Give images to an actor, and ask for its captions."""
        member.asked, member.call = "exchange", member.handle.exchange.remote(list(given))

    def answers(self) -> Iterator[tuple[Member, Site | Ready | Failed | Answer | Lost]]:
        """What the actors said since the last time; waits for up to `TICK` seconds if none did. Lost actors leave the pool.

        Raises:
            EvaluationError: actors are lost before they are ready, one after the other.
        """
        import ray

        if self.closed():
            raise EvaluationError("The session ended before the run did.")
        if not self.members and self._ended >= ENDED:
            raise EvaluationError(f"{ENDED} actors in a row ended before they had loaded the checkpoint: {self._why}.")
        calls = {member.call: member for member in self.members.values() if member.call is not None}
        if not calls:
            time.sleep(TICK)
            return
        done, _ = ray.wait(list(calls), num_returns=len(calls), timeout=0)
        if not done:
            done, _ = ray.wait(list(calls), num_returns=1, timeout=TICK)
        for call in done:
            member = calls[call]
            member.call = None
            try:
                answer = ray.get(call)
            except ray.exceptions.RayActorError as error:
                yield member, self._lost(member, error)
            except ray.exceptions.RayError as error:
                raise EvaluationError(f"{member.name.capitalize()} failed: {said(error)}.") from None
            else:
                if isinstance(answer, actors_.Site):
                    member.site = answer
                elif isinstance(answer, actors_.Ready):
                    self._ended, member.loaded = 0, True
                yield member, answer

    def _lost(self, member: Member, error: Any) -> Lost:
        self.stop([member])  # one that only cannot be reached must not keep its place
        why = said(error)
        if member.ready is None:
            self._ended, self._why = self._ended + 1, why
        # Ray tells of a lost machine by a sentence, or, where only the connection broke, by the list of machines that are left.
        there = {node.id for node in connection.nodes()}
        gone = "its node has died" in str(error) or (member.site is not None and member.site.machine not in there)
        return Lost(why=why, blame=not gone)

    def stop(self, members: Sequence[Member]) -> None:
        """End actors at once, whatever they do."""
        import ray

        for member in members:
            self.members.pop(member.number, None)
            ray.kill(member.handle)

    def close(self) -> None:
        """End all actors."""
        self.stop(list(self.members.values()))


def said(error: Any) -> str:
    """The sentence of Ray's error that says what happened; the rest names ids."""
    cause = getattr(error, "cause", None)
    if cause is not None:
        return f"{type(cause).__name__}: {first_line(cause)}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("The actor is dead because", "The actor died because"))]
    found = (telling or [line for line in lines if ":" not in line] or lines or [type(error).__name__])[0]
    return text.cut(found, LONGEST).rstrip(".")
