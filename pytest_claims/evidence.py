"""The evidence of a run: its outputs or counts, the protocol that it observed, and the hardware and versions that it used."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

from pytest_claims import digests
from pytest_claims.protocol import Observed, facts_of
from pytest_claims.spool import Column

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from fractions import Fraction

    from pytest_claims.spec import Noun


FEW = 5
"""How many of a ranking a reader sees."""


class Basis(StrEnum):
    """Where the outputs come from. Every report states it."""

    REPRODUCED = "reproduced"
    """The run generated the outputs with the model."""
    RESCORED = "rescored"
    """Somebody released the outputs, and the run only scored them. It could not observe how they were generated."""
    COUNTED = "counted"
    """The run counted the parameters of a configuration."""
    DERIVED = "derived"
    """The number was computed from others, which the paper or other claims report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The output for one row (of an image: its caption), with the references that it is scored against."""

    id: str
    text: str
    references: tuple[str, ...]
    tokens: int | None = None
    """The number of generated tokens, without the prompt; None for a released output."""
    truncated: bool = False
    """Whether the generation stopped at the length limit."""
    ranked: tuple[str, ...] = ()
    """Labels or ids, the best first, for metrics that look at more than the first; empty if the row was not ranked."""
    extras: Mapping[str, str] = field(default_factory=dict)
    """Named texts of the row, such as its question, which reports show beside the output. No metric reads them."""

    @property
    def shown(self) -> str:
        """The output for a reader: its text, or the first of the ranking."""
        more = f" and {len(self.ranked) - FEW:,} more" if len(self.ranked) > FEW else ""
        return self.text or ", ".join(self.ranked[:FEW]) + more


OutputRow = tuple[str, str, tuple[str, ...], tuple[str, ...], "Mapping[str, str] | None", int | None, bool]
"""An output as a spool keeps it: id, text, references, ranking, extras (None: there are none), tokens, truncated."""


class Outputs(Column[Output]):
    """Outputs of which each is made when it is asked for. Their rows may be in a file."""

    __slots__ = ()

    def __init__(self, rows: Sequence[OutputRow]) -> None:
        super().__init__(rows, output_of)

    def column(self, name: str) -> Column[Any]:
        """See `column`."""
        return Column(self._rows, itemgetter(("id", "text", "references", "ranked").index(name)))


def output_of(row: OutputRow) -> Output:
    """The output that a row is made of."""
    name, text, references, ranked, extras, tokens, truncated = row
    return Output(
        id=name,
        text=text,
        references=references,
        ranked=ranked,
        extras=extras or {},
        tokens=tokens,
        truncated=truncated,
    )


def row_of(output: Output) -> OutputRow:
    """The row that an output is made of again."""
    extras = output.extras or None
    return output.id, output.text, output.references, output.ranked, extras, output.tokens, output.truncated


def size_of(row: OutputRow) -> int:
    """About how many bytes the texts of a row take."""
    name, text, references, ranked, extras, *_ = row
    more = (*extras, *extras.values()) if extras else ()
    return sum(map(len, (name, text, *references, *ranked, *more)))


def outputs_of(rows: Sequence[OutputRow]) -> Sequence[Output]:
    """The outputs of rows: a tuple if the rows are in memory, else `Outputs`."""
    return tuple(map(output_of, rows)) if isinstance(rows, tuple) else Outputs(rows)


def column(outputs: Sequence[Output], name: Literal["id", "text", "references", "ranked"]) -> Sequence[Any]:
    """One field of all outputs. Those of `Outputs` are read when they are asked for, without making the outputs."""
    return outputs.column(name) if isinstance(outputs, Outputs) else [getattr(output, name) for output in outputs]


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplied:
    """A metric or an evaluator that a hook supplied, and the code that it is."""

    kind: str
    """`metric` or `evaluator`."""
    name: str
    module: str
    version: str | None
    """The version of its distribution, or what its module says; None if neither is known."""
    digest: str | None
    """SHA-256 over its source files; None if it is in no file."""


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
    outputs: Sequence[Output] = ()
    """The outputs, sorted by id, so that no later step depends on the order of evaluation: a tuple, or `Outputs`."""
    noun: Noun = "caption"
    """What an output is called. It is a property of the evaluator (`Plan.noun`)."""
    images: int | None = None
    """The number of images to be captioned, or of rows; None if nothing was generated."""
    quantities: Mapping[str, int] = field(default_factory=dict)
    """The counts, by metric name."""
    parts: Mapping[str, int] = field(default_factory=dict)
    """The number of parameters of each part of the model."""
    population: int | None = None
    """The number of images in the split, if the outputs are a sample of it; None if they are the whole split."""
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
    _digests: list[str] = field(default_factory=list, init=False, repr=False, compare=False)
    """The digest, once it was computed: outputs may be millions. `dataclasses.replace` leaves it behind."""

    @property
    def gives(self) -> tuple[str, ...]:
        """What a metric can read of the outputs: `text`, `ranked`, or both (`metrics.needs`)."""
        text = ("text",) if self.noun != "ranking" else ()
        return (*text, "ranked") if any(column(self.outputs, "ranked")) else text

    @property
    def digest(self) -> str:
        """SHA-256 over the outputs and the observed protocol. The provenance is not part of it."""
        if not self._digests:
            self._digests.append(self._digest())
        return self._digests[0]

    def _digest(self) -> str:
        content = {
            "basis": self.basis,
            "quantities": dict(self.quantities),
            "observed": facts_of(self.observed),
            **({"derivation": repr(self.derivation)} if self.derivation else {}),
            **({"noun": self.noun} if self.noun != "caption" else {}),
        }
        # This key whatever they are called, and nothing where there is none: so the digests of older evidence stay valid.
        captions = ([o.id, o.text, list(o.references), *_further(o)] for o in self.outputs)
        return digests.of_json_object(content, "captions", captions)


def _further(output: Output) -> Iterator[dict[str, Any]]:
    """What an output has that a caption has not."""
    if output.ranked or output.extras:
        yield {"ranked": list(output.ranked), "extras": dict(output.extras)}


def per_image(references: Iterable[Sequence[str]]) -> int | str:
    """How many references each image has: a number if it is the same for all, else `4 to 6`."""
    counts = {len(texts) for texts in references}
    return counts.pop() if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
