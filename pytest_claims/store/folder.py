"""The outputs of one recipe while a run makes them: those of earlier runs, the new ones, and the evidence at the end."""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from pytest_claims import spool
from pytest_claims.evidence import Basis, Evidence, Output, OutputRow, output_of, outputs_of, row_of, size_of
from pytest_claims.spool import Sorter, Spool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_claims.git import Head
    from pytest_claims.store.recipe import Recipe

Provenance = dict[str, str | int | float | None]


class Folder(ABC):
    """The outputs of a run, by id. Of many rows, they are in temporary files (`spool`): no step holds all of them.

    Args:
        recipe: the recipe of the outputs.
        digest: the digest of the plan.
    """

    def __init__(self, recipe: Recipe, digest: str) -> None:
        self.recipe = recipe
        self.digest = digest
        self.notes: list[str] = []
        """Sentences about the evidence, for the reports."""
        self._old: Mapping[str, tuple[OutputRow, bytes]] = {}
        """What earlier runs made, by id in the order of the ids: the row of each output, and its line of the file."""
        self._new: Sorter[tuple[str, int, OutputRow, bytes]] = Sorter()
        """The same of this run: id, number, row, line."""

    @property
    def reused(self) -> Mapping[str, Output]:
        """The outputs of earlier runs, by id in the order of the ids."""
        return spool.mapped(self._old, lambda kept: output_of(kept[0]))

    @property
    def missing(self) -> Sequence[str]:
        """The ids that no earlier run made an output for, sorted."""
        names = spool.names(self.recipe.references)
        if not self._old:
            return names
        found: Spool[str] = Spool()
        for name in names:
            if name not in self._old:
                found.add(name, len(name))
        return found.rows()

    def __len__(self) -> int:
        """How many outputs there are."""
        return len(self._old) + len(self._new)

    def _keep(self, output: Output, line: bytes = b"") -> None:
        row = row_of(output)
        self._new.add((output.id, len(self._new), row, line), size_of(row) + len(line))

    def _entries(self) -> Iterator[tuple[OutputRow, bytes]]:
        """Row and line of each output, in the order of the ids. If this run made two for an id, the last counts."""
        old = ((name, -1, row, line) for name, (row, line) in spool.entries(self._old))
        key = itemgetter(0, 1)
        for _, group in groupby(heapq.merge(old, self._new.rows(), key=key), itemgetter(0)):
            *_, (_, _, row, line) = group
            yield row, line

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
        made: Spool[OutputRow] = Spool()
        for row, _ in self._entries():
            made.add(row, size_of(row))
        outputs = outputs_of(made.rows())
        return Evidence(
            basis=Basis.REPRODUCED,
            outputs=outputs,
            noun=self.recipe.noun,
            images=len(self.recipe.references),
            population=self.recipe.population,
            observed=replace(self.recipe.observed, scored=len(outputs)),
            provenance=provenance,
            notes=tuple(self.notes),
            created_at=created,
        )


class MemoryFolder(Folder):
    """The outputs of a run, in memory only."""

    def append(self, output: Output, image_digest: str) -> None:  # noqa: ARG002 - no later run needs it
        """See `Folder.append`."""
        self._keep(output)

    def finish(self, provenance: Mapping[str, str | int | float | None], head: Head | None = None) -> Evidence:
        """See `Folder.finish`."""
        return self._evidence(now(), with_head(provenance, head))


def with_head(provenance: Mapping[str, str | int | float | None], head: Head | None) -> Provenance:
    """The provenance of a run, with the commit of the claim file's repository if it has one."""
    return dict(provenance) if head is None else {**provenance, "git": str(head)}


def now() -> str:
    """The current time in the format of evidence: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
