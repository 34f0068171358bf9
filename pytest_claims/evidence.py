"""The evidence of a run: its captions or counts, the protocol that it observed, and the hardware and versions that it used."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from pytest_claims import digests
from pytest_claims.protocol import Observed, facts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from fractions import Fraction


class Basis(StrEnum):
    """Where the outputs come from. Every report states it."""

    REPRODUCED = "reproduced"
    """The run generated the captions with the model."""
    RESCORED = "rescored"
    """Somebody released the captions, and the run only scored them. It could not observe how they were generated."""
    COUNTED = "counted"
    """The run counted the parameters of a configuration."""
    DERIVED = "derived"
    """The number was computed from others, which the paper or other claims report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """The caption of one image, with the references that it is scored against."""

    id: str
    text: str
    references: tuple[str, ...]
    tokens: int | None = None
    """The number of generated tokens, without the prompt; None for a released caption."""
    truncated: bool = False
    """Whether the generation stopped at the length limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Differing:
    """One thing apart from the weights on which a release candidate differs from the checkpoint that it replaces."""

    what: str
    """`processor`, `tokenizer`, `generation config` or `parameters`."""
    key: str
    reference: str
    candidate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """A number that a derived one comes from, in its own unit."""

    name: str
    printed: str
    """With the digits that the paper prints."""
    unit: str
    low: Fraction
    """The least number that is printed like this."""
    high: Fraction
    place: str
    """The cell that is cited."""
    claim: str = ""
    """The claim that reports it: `claims/x.yaml::id`; empty if it is only cited."""
    measured: tuple[Fraction, Fraction, Fraction] | None = None
    """What the claim's run measured: value, and both ends of its interval, which are the value where nothing was sampled."""
    note: str = ""
    """Why nothing was measured, or under which protocol it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A derived value and what it may be, in the reported unit."""

    value: Fraction
    low: Fraction
    high: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """How a number follows from others."""

    expression: str
    operands: tuple[Operand, ...]
    printed: Derived
    """From the printed numbers."""
    measured: Derived | None = None
    """From the measured numbers, and the printed ones where nothing was measured; None if nothing was."""
    sampled: bool = False
    """Whether a measured number is the estimate of a sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The result of one evaluation. Several claims may be scored from it."""

    basis: Basis
    captions: tuple[Caption, ...] = ()
    """The captions, sorted by id, so that no later step depends on the order of evaluation."""
    images: int | None = None
    """The number of images to be captioned; None if nothing was generated."""
    quantities: Mapping[str, int] = field(default_factory=dict)
    """The counts, by metric name."""
    parts: Mapping[str, int] = field(default_factory=dict)
    """The number of parameters of each part of the model."""
    population: int | None = None
    """The number of images in the split, if the captions are a sample of it; None if they are the whole split."""
    derivation: Derivation | None = None
    """How a derived number was computed."""
    observed: Observed = field(default_factory=Observed)
    provenance: Mapping[str, str | int | float | None] = field(default_factory=dict)
    """Hardware, versions and timings, for the record. A difference in them is never a deviation."""
    notes: tuple[str, ...] = ()
    """Sentences about the run, which the reports show."""
    differing: tuple[Differing, ...] = ()
    """On what a release candidate differs from the checkpoint that it replaces, apart from the weights."""
    created_at: str = ""
    """When the run was completed: ISO 8601, UTC."""
    replayed: bool = False
    """Whether the evidence was read from a folder whose author is not verified (`--claims-replay`)."""

    @property
    def digest(self) -> str:
        """SHA-256 over the outputs and the observed protocol. The provenance is not part of it."""
        content = {
            "basis": self.basis,
            "captions": [[c.id, c.text, list(c.references)] for c in self.captions],
            "quantities": dict(self.quantities),
            "observed": facts_of(self.observed),
            # Left out where there is none, so that the digests of older evidence stay valid.
            **({"derivation": repr(self.derivation)} if self.derivation else {}),
        }
        return digests.of_json(content)


def per_image(references: Iterable[Sequence[str]]) -> int | str:
    """How many references each image has: a number if it is the same for all, else `4 to 6`."""
    counts = {len(texts) for texts in references}
    return counts.pop() if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
