"""The captions of one recipe while a run makes them: what is there already, what comes, and the evidence at the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_claims.evidence import Basis, Caption, Evidence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_claims.git import Head
    from pytest_claims.store.recipe import Recipe

Provenance = dict[str, str | int | float | None]


class Folder(ABC):
    """Captions by image id.

    Args:
        recipe: what decides the captions.
        digest: of the plan.
    """

    def __init__(self, recipe: Recipe, digest: str) -> None:
        self.recipe = recipe
        self.digest = digest
        self.reused: tuple[str, ...] = ()
        """The ids whose captions were there before this run."""
        self.notes: list[str] = []
        self._captions: dict[str, Caption] = {}

    @property
    def missing(self) -> tuple[str, ...]:
        """The ids that have no caption yet, sorted."""
        return tuple(name for name in sorted(self.recipe.references) if name not in self._captions)

    def caption(self, name: str) -> Caption:
        """The caption of an image that is not missing."""
        return self._captions[name]

    @abstractmethod
    def append(self, caption: Caption, image_digest: str) -> None:
        """Keep one caption.

        Args:
            caption: of an image that is missing.
            image_digest: of the bytes that were captioned.

        Raises:
            EvaluationError: it cannot be kept.
        """

    @abstractmethod
    def finish(self, provenance: Mapping[str, str | int | float | None], head: Head | None = None) -> Evidence:
        """The evidence of the run, all images captioned.

        A run that had nothing to do keeps the time and the provenance of the run that did it.

        Args:
            provenance: hardware, versions and timings of this run.
            head: the commit of the claim file's repository.

        Raises:
            EvaluationError: it cannot be kept.
        """

    def _evidence(self, created: str, provenance: Provenance) -> Evidence:
        return Evidence(
            basis=Basis.REPRODUCED,
            captions=tuple(self._captions[name] for name in sorted(self._captions)),
            images=len(self.recipe.references),
            population=self.recipe.population,
            observed=replace(self.recipe.observed, scored=len(self._captions)),
            provenance=provenance,
            notes=tuple(self.notes),
            created_at=created,
        )


class MemoryFolder(Folder):
    """Captions that are gone when the process ends."""

    def append(self, caption: Caption, image_digest: str) -> None:  # noqa: ARG002 - nothing is compared with it later
        """See `Folder.append`."""
        self._captions[caption.id] = caption

    def finish(self, provenance: Mapping[str, str | int | float | None], head: Head | None = None) -> Evidence:
        """See `Folder.finish`."""
        return self._evidence(now(), with_head(provenance, head))


def with_head(provenance: Mapping[str, str | int | float | None], head: Head | None) -> Provenance:
    """The provenance of a run, with the commit of the claim file's repository where there is one."""
    return dict(provenance) if head is None else {**provenance, "git": str(head)}


def now() -> str:
    """The time, as evidence states it: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
