"""What captions the images of a plan: this process (`setup.Setup`), or a Ray cluster (`cluster.remote.Remote`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_claims.bench import Bench
    from pytest_claims.evaluation.reference import Changes
    from pytest_claims.evidence import Evidence, Output
    from pytest_claims.protocol import CaptioningPlan
    from pytest_claims.store import Recipe


class Asked(Protocol):
    """What a run is asked about: the images of a data set, or in retrieval by text its texts."""

    def digest(self, name: str) -> str:
        """The digest of the bytes of an image, or of a text, by its id."""


class Prepared(Protocol):
    """A run that is ready to start: everything is loaded, and the protocol was observed."""

    @property
    def recipe(self) -> Recipe:
        """Everything that determines the captions."""

    @property
    def split(self) -> Asked:
        """The data set, as far as its content is asked for by id."""

    @property
    def changes(self) -> Changes:
        """On what a release candidate differs from the checkpoint that it replaces."""

    @property
    def batch_size(self) -> int:
        """How many images are processed at a time; after so many captions, the evidence is synced to the disk."""

    def caption(self, ids: Sequence[str]) -> Iterator[tuple[Output, str]]:
        """Caption images. The captions come in the order in which they are ready, each with the digest of its image's bytes.

        Raises:
            EvaluationError: an image cannot be captioned.
        """

    def facts(self) -> Mapping[str, str | int | float | None]:
        """Hardware, versions and batch size, for the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The devices that a run will have."""

    kind: str
    """`cpu` or `cuda`."""
    actors: int
    """How many devices caption at the same time."""
    threads: int
    """PyTorch's threads of each, if it is a CPU."""
    told: str
    """The same in words, for the plan."""


class Executor(Protocol):
    """Runs captioning plans elsewhere than in this process."""

    def preflight(self, plan: CaptioningPlan) -> Room:
        """The devices that a run of `plan` will have.

        Raises:
            NotAttempted: the executor has no such device.
            EvaluationError: the executor cannot be reached.
        """

    def access(self, plan: CaptioningPlan, bench: Bench) -> str:
        """Who reads the images of a plan, in words. The data set is on this machine.

        Raises:
            EvaluationError: a machine of the executor cannot run the plan.
        """

    def prepare(self, plan: CaptioningPlan, bench: Bench) -> Prepared:
        """Load everything that a run needs, and observe the protocol that the run will follow.

        Raises:
            NotAttempted: weights, data or the device are missing.
            EvaluationError: the weights or the data cannot be used.
        """

    def expect(self, plans: Sequence[CaptioningPlan], bench: Bench) -> None:
        """Learn which plans the session will ask for, so that those of several checkpoints can run at the same time."""

    def evidence(self, plan: CaptioningPlan, bench: Bench) -> Evidence | None:
        """The evidence of a plan that was expected and is run already, when it is ready; None for any other plan.

        Raises:
            NotAttempted: see `prepare`.
            EvaluationError: the run failed.
        """

    def close(self) -> None:
        """End everything that the executor started."""
