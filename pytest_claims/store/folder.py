"""The outputs of one recipe while a run makes them: those of earlier runs, the new ones, and the evidence at the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_claims.evidence import Basis, Evidence, Output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_claims.git import Head
    from pytest_claims.store.recipe import Recipe

Provenance = dict[str, str | int | float | None]


class Folder(ABC):
    """The outputs of a run, by id.

    Args:
        recipe: the recipe of the outputs.
        digest: the digest of the plan.
    """

    def __init__(self, recipe: Recipe, digest: str) -> None:
        self.recipe = recipe
        self.digest = digest
        self.reused: tuple[str, ...] = ()
        """The ids whose outputs come from earlier runs."""
        self.notes: list[str] = []
        """Sentences about the evidence, for the reports."""
        self._outputs: dict[str, Output] = {}

    @property
    def missing(self) -> tuple[str, ...]:
        """The ids that have no output yet, sorted."""
        return tuple(name for name in sorted(self.recipe.references) if name not in self._outputs)

    def output(self, name: str) -> Output:
        """The output for an id that is not missing."""
        return self._outputs[name]

    @abstractmethod
    def append(self, output: Output, image_digest: str) -> None:
        """Keep one output.

        Args:
            output: the output for a missing id.
            image_digest: the digest of the image's bytes.

        Raises:
            EvaluationError: the output cannot be kept.
        """

    @abstractmethod
    def finish(self, provenance: Mapping[str, str | int | float | None], head: Head | None = None) -> Evidence:
        """The evidence of the run, after all outputs were made.

        If earlier runs had made all of them, the evidence has the time and the provenance of the run that completed them.

        Args:
            provenance: hardware, versions and timings of this run.
            head: the commit of the claim file's repository.

        Raises:
            EvaluationError: the evidence cannot be kept.
        """

    def _evidence(self, created: str, provenance: Provenance) -> Evidence:
        return Evidence(
            basis=Basis.REPRODUCED,
            outputs=tuple(self._outputs[name] for name in sorted(self._outputs)),
            noun=self.recipe.noun,
            images=len(self.recipe.references),
            population=self.recipe.population,
            observed=replace(self.recipe.observed, scored=len(self._outputs)),
            provenance=provenance,
            notes=tuple(self.notes),
            created_at=created,
        )


class MemoryFolder(Folder):
    """The outputs of a run, in memory only."""

    def append(self, output: Output, image_digest: str) -> None:  # noqa: ARG002 - no later run needs it
        """See `Folder.append`."""
        self._outputs[output.id] = output

    def finish(self, provenance: Mapping[str, str | int | float | None], head: Head | None = None) -> Evidence:
        """See `Folder.finish`."""
        return self._evidence(now(), with_head(provenance, head))


def with_head(provenance: Mapping[str, str | int | float | None], head: Head | None) -> Provenance:
    """The provenance of a run, with the commit of the claim file's repository if it has one."""
    return dict(provenance) if head is None else {**provenance, "git": str(head)}


def now() -> str:
    """The current time in the format of evidence: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
