"""The executor `ray`: connects to the cluster, keeps the actors of checkpoints, and runs those of several side by side."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pytest_claims.cluster import actor as actors_
from pytest_claims.cluster import connection
from pytest_claims.cluster.ahead import Ahead
from pytest_claims.cluster.pool import Pool, said
from pytest_claims.cluster.remote import Remote, check, shipped
from pytest_claims.errors import ClaimsError, EvaluationError
from pytest_claims.evaluation.executor import Room

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_claims.bench import Bench
    from pytest_claims.cluster.actor import Shipped, Site
    from pytest_claims.cluster.connection import Shape
    from pytest_claims.evidence import Evidence
    from pytest_claims.protocol import CaptioningPlan

PROBE = 180.0
"""Seconds that a machine has to say whether it reads the images. Its first process imports datasets."""


class Cluster:
    """The executor `ray`.

    Args:
        cpus: the CPUs of an actor, as `--claims-actor-cpus`; None: see `connection.shape`.
        most: how many actors are started at most; None: as many as there is room for.
    """

    def __init__(self, cpus: int | None = None, *, most: int | None = None) -> None:
        self._cpus, self._most = cpus, most
        self._ours = False
        """Whether this object connected the process."""
        self._connected = self._closed = False
        self._pools: dict[tuple[object, ...], Pool] = {}
        """The actors of each checkpoint that runs: one, if none run side by side."""
        self._ahead: Ahead | None = None
        self._lock = threading.RLock()

    def preflight(self, plan: CaptioningPlan) -> Room:
        """See `Executor.preflight`. A local cluster is not started for it."""
        if connection.address() is not None:
            self.connect()
        shape = self.shape(plan)
        return Room(kind=shape.kind, actors=self.room(shape), threads=shape.cpus, told=self._told(shape))

    def access(self, plan: CaptioningPlan, bench: Bench) -> str:
        """See `Executor.access`. Asks each machine of a cluster."""
        if connection.address() is None:
            return "the actors run on this machine, and read them"
        readers: list[str] = []
        others: list[str] = []
        for node, site, reads in self._probed(shipped(plan, bench.split(plan))):
            check(site)
            (readers if reads else others).append(node)
        if not readers and not others:
            return "no machine of the cluster answered when it was asked"
        if not others:
            return f"the actors read them ({len(readers)} machines asked)"
        named = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        if not readers:
            return "the driver sends them: no machine of the cluster reads them itself"
        return f"{len(readers)} machines read them; to the others the driver sends them: {named}"

    def _probed(self, given: Shipped) -> Iterator[tuple[str, Site, bool]]:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = ray.put(given)
        probe = ray.remote(actors_.probe)
        asked = [
            (
                node.name,
                probe.options(
                    num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)
                ).remote(there),
            )
            for node in connection.nodes()
            if node.cpus or node.gpus
        ]
        for name, call in asked:
            try:
                site, reads = ray.get(call, timeout=PROBE)
            except ray.exceptions.TaskUnschedulableError:
                continue  # it has left the cluster, which Ray lists for some seconds more
            except ray.exceptions.RayError as error:
                raise EvaluationError(
                    f"The machine {name} of {connection.called()} cannot run an actor: {said(error)}. It needs the same "
                    "packages as this one: pip install 'pytest-claims[ray]'."
                ) from None
            yield name, site, reads

    def connect(self) -> None:
        """Connect to the cluster, or start a local one."""
        with self._lock:
            if not self._connected:
                self._closed = False
                self._ours = connection.connect()
                self._connected = True

    def shape(self, plan: CaptioningPlan) -> Shape:
        """What each actor of a plan gets."""
        return connection.shape(plan.device, plan.run.requires.device, self._cpus, command=plan.command)

    def room(self, shape: Shape) -> int:
        """How many such actors the cluster has room for."""
        room = shape.room(connection.nodes())
        return room if self._most is None else min(room, self._most)

    def allowed(self, pool: Pool) -> int:
        """How many actors a pool may have, beside those of other checkpoints."""
        room = self.room(pool.shape)
        granted = self._ahead.most(pool.key) if self._ahead else None
        return room if granted is None else min(room, granted)

    def _told(self, shape: Shape) -> str:
        count = self.room(shape)
        return (
            f"{connection.called().removeprefix('the ')}: {count} actor{'' if count == 1 else 's'}, each with {shape}"
        )

    def expect(self, plans: Sequence[CaptioningPlan], bench: Bench) -> None:
        """See `Executor.expect`. Those of several checkpoints are run side by side."""
        groups: dict[tuple[object, ...], dict[str, CaptioningPlan]] = {}
        for plan in plans:
            groups.setdefault(_key(plan), {}).setdefault(plan.key, plan)
        if len(groups) < 2 or self._ahead is not None:
            return
        self.connect()  # in this thread: the processes of a local cluster end with the thread that started them
        shapes = [shape for plan in plans if (shape := self._possible(plan)) is not None]
        self._ahead = Ahead(
            {key: tuple(group.values()) for key, group in groups.items()},
            room=min(map(self.room, shapes), default=0),
            evaluate=lambda plan, progress, say: bench.beside(progress, say).evaluate_here(plan),
            ended=self._end,
        )
        self._ahead.start()

    def _possible(self, plan: CaptioningPlan) -> Shape | None:
        try:
            return self.shape(plan)
        except ClaimsError:
            return None

    def evidence(self, plan: CaptioningPlan, bench: Bench) -> Evidence | None:
        """See `Executor.evidence`."""
        if self._ahead is None or not self._ahead.has(plan):
            return None
        return self._ahead.result(plan, bench)

    def prepare(self, plan: CaptioningPlan, bench: Bench) -> Remote:
        """See `Executor.prepare`: the first actor that has loaded everything says what was observed."""
        self.connect()
        return Remote(self.allowed, self._pool(plan), plan, bench)

    def _pool(self, plan: CaptioningPlan) -> Pool:
        """The actors of a plan's checkpoint. They stay as long as the claims that follow each other use it."""
        key, shape = _key(plan), self.shape(plan)
        with self._lock:
            pool = self._pools.get(key)
            if pool is None or pool.shape != shape:
                if self._ahead is None or pool is not None:
                    self._end(*self._pools)
                pool = self._pools[key] = Pool(key, shape, lambda: self._closed)
            return pool

    def _end(self, *keys: tuple[object, ...]) -> None:
        with self._lock:
            for key in keys:
                if key in self._pools:
                    self._pools.pop(key).close()

    def actors(self) -> tuple[str, ...]:
        """The actors that are started, by machine and process."""
        members = [member for pool in self._pools.values() for member in pool.members.values()]
        return tuple(f"{member.site.node} {member.site.process}" for member in members if member.site)

    def close(self) -> None:
        """See `Executor.close`."""
        if not self._connected:
            return
        self._closed = True  # threads notice it within `pool.TICK`
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None
        self._end(*self._pools)
        self._connected = False
        if self._ours:
            connection.disconnect()


def _key(plan: CaptioningPlan) -> tuple[object, ...]:
    """What the plans of one checkpoint have in common: their actors need not load it again."""
    protocol = plan.protocol
    return plan.folders, protocol.checkpoint, plan.candidate, protocol.precision, plan.image_overrides, plan.device
