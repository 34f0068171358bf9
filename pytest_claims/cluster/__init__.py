"""Captions the images of a plan on the actors of a Ray cluster (`--claims-executor=ray`).

`remote.Remote` stands where `evaluation.setup.Setup` stands without a cluster: evidence, replay, audit and seal are the same
code. `connection.py` starts Ray or connects to it, `pool.py` keeps the actors of a checkpoint, `work.py` says which image goes
to which actor (pure), `actor.py` is what runs in an actor: the local code. Ray is imported in functions only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_claims.evaluation.executor import Executor
    from pytest_claims.settings import Settings


def executor(settings: Settings) -> Executor | None:
    """The executor that the options name; None: images are captioned in this process."""
    if settings.executor == "local":
        return None
    # Imported here: a session without a cluster needs neither this room nor Ray.
    from pytest_claims.cluster.executor import Cluster

    return Cluster(settings.actor_cpus)
