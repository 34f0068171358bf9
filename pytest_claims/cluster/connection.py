"""Starts a local Ray cluster or connects to one, and says what room it has."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Any

from pytest_claims import devices
from pytest_claims.errors import EvaluationError, NotAttempted, first_line

ADDRESS = "RAY_ADDRESS"
"""The environment variable with the address of a cluster, as Ray's own tools read it."""

CPUS = 4
"""The CPUs of an actor without a GPU, where `--claims-actor-cpus` is not given."""

STORE = 512 * 2**20
"""Bytes of a local cluster's object store. Captions are small, and actors on this machine read the images themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A machine of the cluster."""

    id: str
    name: str
    cpus: int
    gpus: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What each actor gets."""

    kind: str
    """`cuda` or `cpu`."""
    cpus: int
    """The CPUs that Ray reserves for the actor; without a GPU, also the number of PyTorch's threads."""

    @property
    def gpus(self) -> int:
        """The GPUs that Ray reserves for the actor."""
        return 1 if self.kind == "cuda" else 0

    def room(self, nodes: tuple[Node, ...]) -> int:
        """How many such actors the nodes have room for, if nobody else uses them."""
        return sum(
            min(node.cpus // self.cpus, node.gpus) if self.gpus else node.cpus // self.cpus
            for node in nodes
            if node.cpus >= self.cpus
        )

    def __str__(self) -> str:
        threads = f"{self.cpus} CPU{'' if self.cpus == 1 else 's'}"
        return f"1 GPU and {threads}" if self.gpus else threads


def address() -> str | None:
    """The address of the cluster that the user names; None: a local one is to be started."""
    return os.environ.get(ADDRESS) or None


def nodes() -> tuple[Node, ...]:
    """The machines of the cluster. Before a local cluster is started: this one."""
    import ray

    if not ray.is_initialized():
        return (_here(),)
    found = []
    for node in ray.nodes():
        if node["Alive"]:
            has: dict[str, float] = node["Resources"]
            found.append(
                Node(
                    id=node["NodeID"],
                    name=f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})",
                    cpus=int(has.get("CPU", 0)),
                    gpus=int(has.get("GPU", 0)),
                )
            )
    return tuple(found)


def _here() -> Node:
    import platform

    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    return Node(id="", name=platform.node(), cpus=cpus, gpus=devices.count())


def shape(wanted: str, required: str, cpus: int | None, *, command: str) -> Shape:
    """What each actor gets.

    Args:
        wanted: the user's choice of a device: `auto`, `cpu` or `cuda`.
        required: the claim's requirement: `cpu` or `cuda`.
        cpus: `--claims-actor-cpus`.
        command: the command that runs the claim elsewhere, for the message.

    Raises:
        NotAttempted: the cluster has no such device, or no machine with so many CPUs.
    """
    there = nodes()
    gpus, most = any(node.gpus for node in there), max((node.cpus for node in there), default=0)
    if wanted == "auto" and required == "cuda" and not gpus:
        raise NotAttempted(
            f"The claim needs a CUDA device and {called()} has none.", f"On a cluster with GPUs: {command}"
        )
    if wanted == "cuda" and not gpus:
        raise NotAttempted(f"--claims-device=cuda: {called()} has no GPU.", "Leave the option out, or say cpu.")
    kind = "cuda" if gpus and wanted != "cpu" else "cpu"
    chosen = Shape(kind=kind, cpus=cpus or (1 if kind == "cuda" else max(1, min(CPUS, most))))
    if not chosen.room(there):
        raise NotAttempted(
            f"No machine of {called()} has room for an actor with {chosen}.",
            "Say less with --claims-actor-cpus, or add machines to the cluster.",
        )
    return chosen


def free(shape: Shape) -> bool:
    """Whether the cluster has room for an actor now."""
    import ray

    has = ray.available_resources()
    return bool(has.get("CPU", 0) >= shape.cpus and has.get("GPU", 0) >= shape.gpus)


def called() -> str:
    """The cluster, in words."""
    where = address()
    return f"the Ray cluster {where}" if where else "the local Ray cluster"


def connect() -> bool:
    """Connect to the cluster of `RAY_ADDRESS`, or start a local one; nothing if this process is connected.

    Returns:
        Whether `disconnect` is to be called: this process was not connected before.

    Raises:
        EvaluationError: the cluster cannot be reached, or Ray does not start.
    """
    # Ray reports usage to its makers unless told otherwise. A test run sends nothing anywhere.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Without this, Ray takes the GPUs away from tasks that ask for none, and says so with a warning in every process.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if ray.is_initialized():
        return False
    where = address()
    if where is not None and where.startswith("ray://"):
        raise EvaluationError(
            f"{ADDRESS}={where}: Ray Client is not supported; run pytest on a machine of the cluster, or as a job: "
            "ray job submit -- pytest …"
        )
    if where is None and "PYTEST_XDIST_WORKER" in os.environ:
        raise EvaluationError(
            "--claims-executor=ray: each worker of pytest-xdist would start a Ray cluster of its own on this machine; leave -n "
            f"out, or start one cluster (ray start --head) and name it with {ADDRESS}=auto."
        )
    options: dict[str, Any] = {"address": where}
    if where is None:
        here = _here()
        options = {
            "address": "local",
            "num_cpus": here.cpus,
            "num_gpus": here.gpus,
            "include_dashboard": False,
            "object_store_memory": STORE,
            "_node_ip_address": "127.0.0.1",  # nobody outside this machine is to talk to it
        }
    try:
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR, namespace="pytest-claims")
    except (OSError, RuntimeError, ValueError, TimeoutError) as error:
        ray.shutdown()
        if where is None:
            raise EvaluationError(f"Ray does not start on this machine: {first_line(error)}.") from None
        raise EvaluationError(
            f"{ADDRESS}={where}: the cluster cannot be reached: {first_line(error)}. `ray status` says whether it runs; "
            f"without {ADDRESS}, a local one is started."
        ) from None
    return True


def disconnect() -> None:
    """Leave the cluster: its actors of this process end; a local cluster ends."""
    import ray

    ray.shutdown()
