"""What a run produced: one line per image, what it observed of its own protocol, and what it ran on."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from pytest_claims import digests
from pytest_claims.protocol import Observed, facts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Basis(StrEnum):
    """Where the outputs come from; said in every report."""

    REPRODUCED = "reproduced"
    """Generated here."""
    RESCORED = "rescored"
    """Released by somebody, scored here: the axes of generation were not observed."""
    COUNTED = "counted"
    """Counted from a configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """One image's output and what it is held against."""

    id: str
    text: str
    references: tuple[str, ...]
    tokens: int | None = None
    """Generated tokens, without the prompt; None where captions were released."""
    truncated: bool = False
    """Whether generation stopped at the length limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The outcome of one evaluation; several claims may be scored from it."""

    basis: Basis
    captions: tuple[Caption, ...] = ()
    """Sorted by id, so that nothing downstream depends on the order of evaluation."""
    images: int | None = None
    """Images that were to be captioned; None where nothing was generated."""
    quantities: Mapping[str, int] = field(default_factory=dict)
    """What was counted, by metric name."""
    parts: Mapping[str, int] = field(default_factory=dict)
    """What the quantities are made of."""
    population: int | None = None
    """Images of the split that the captions are a sample of; None: they are all of it."""
    observed: Observed = field(default_factory=Observed)
    provenance: Mapping[str, str | int | float | None] = field(default_factory=dict)
    """Hardware, versions and timings: recorded, never a deviation."""
    notes: tuple[str, ...] = ()
    created_at: str = ""
    """When the run was completed: ISO 8601, UTC."""
    replayed: bool = False
    """Whether it was read from a folder that anybody could have written."""

    @property
    def digest(self) -> str:
        """SHA-256 over what was produced and observed; not over timings."""
        content = {
            "basis": self.basis,
            "captions": [[c.id, c.text, list(c.references)] for c in self.captions],
            "quantities": dict(self.quantities),
            "observed": facts_of(self.observed),
        }
        return digests.of_json(content)


def per_image(references: Iterable[Sequence[str]]) -> int | str:
    """How many references each image has: a number if it is the same for all, else `4 to 6`."""
    counts = {len(texts) for texts in references}
    return counts.pop() if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
