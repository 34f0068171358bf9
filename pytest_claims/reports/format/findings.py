"""The findings beside a verdict: comparison with a reference, check of the citation, history, derivation."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pytest_claims.spec.values import Unit


class Model(BaseModel):
    """A strict and frozen model: values are not converted, and unknown keys are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Side(Model):
    """One of the two checkpoints that were compared."""

    checkpoint: str = Field(description="the folder or hub id, as it was named")
    commit: str | None = Field(description="of a hub id")
    digest: str | None = Field(description="of every file that loading can open")
    measured: float
    evidence: str = Field(description="digest of the evidence")
    computed_at: str | None = Field(description="ISO 8601, UTC")


class PairedInterval(Model):
    """The paired bootstrap interval of the difference candidate − reference, in the reported unit."""

    low: float
    high: float
    level: float
    standard_error: float
    resamples: int


class Loss(Model):
    """One image on which the candidate has the lower score; scores of the image alone, in the reported unit."""

    id: str
    reference: str = Field(description="the reference's output")
    candidate: str = Field(description="the candidate's output")
    reference_score: float
    candidate_score: float


class Differing(Model):
    """One thing apart from the weights on which candidate and reference differ."""

    what: str = Field(description="processor, tokenizer, generation config or parameters")
    key: str
    reference: str
    candidate: str


class Comparison(Model):
    """A release candidate beside the checkpoint that it would replace, on the same images."""

    decision: Literal["non-inferior", "inferior", "inconclusive", "not compared"] | None = Field(
        description="null: nothing was to be decided, since no margin was given"
    )
    reason: str
    next_step: str
    margin: float | None = Field(description="the largest loss that is accepted, in the reported unit")
    made: str | None = Field(description="where the reference's outputs come from; null: nothing was compared")
    reference: Side | None
    candidate: Side | None
    images: int
    difference: float | None = Field(description="candidate − reference, in the reported unit")
    interval: PairedInterval | None = Field(description="null: the metric cannot be resampled")
    probability_worse: float | None = Field(description="share of the resamples in which the candidate is worse")
    images_to_decide: int | None = Field(description="how many images would decide if the loss stays as it is")
    changed: int | None = Field(description="outputs that differ")
    better: int | None = Field(description="images whose score rose")
    worse: int | None = Field(description="images whose score fell")
    losses: list[Loss] = Field(description="the largest losses, at most twenty, the largest first")
    settings: list[Differing]
    notes: list[str]


class Neighbour(Model):
    """A number of the row that the value stands in."""

    column: list[str] = Field(description="the words above it, the topmost first")
    text: str
    found: bool = Field(description="it is the claim's value")


class CitedCell(Model):
    """The cell that holds the value; where none does, the cited one."""

    table: str
    row: list[str] = Field(description="the words at its left")
    column: list[str] = Field(description="the words above it, the topmost first")
    text: str
    neighbours: list[Neighbour] = Field(description="the numbers of the row, this one among them")


class CitationCheck(Model):
    """Whether the number stands in the cell that the claim cites."""

    @property
    def rejected(self) -> bool:
        """Whether the verdict is withheld for it."""
        return self.result in ("misattributed", "contradicted", "not_found")

    result: Literal["confirmed", "misattributed", "contradicted", "not_found", "unchecked"]
    sentence: str
    next_step: str
    source: str = Field(description="the file that was looked into; empty: none was at hand")
    digest: str = Field(description="SHA-256 of that file")
    version: int | None = Field(description="the paper's version, if the file's name says it")
    score: float | None = Field(description="the share of the cited words that the cell's headers hold")
    found: CitedCell | None
    operands: dict[str, CitationCheck] = Field(
        default={}, description="of what a derived number comes from, by operand"
    )
    notes: list[str]


class Point(Model):
    """A published verdict on the claim, as the ledger holds it."""

    verdict: str
    at: str = Field(description="when it was entered; ISO 8601, UTC")
    status: Literal["pass", "partial", "fail"]
    measured: float | None
    low: float | None = Field(description="the lower end of the interval")
    high: float | None
    agent_version: str
    retracted: str | None = Field(description="why; null: it was not retracted")


class Supplied(Model):
    """A metric or an evaluator that a hook supplied, and the code that it is."""

    kind: Literal["metric", "evaluator"]
    name: str
    module: str
    version: str | None = Field(description="of its distribution, or what its module says; null: not known")
    digest: str | None = Field(description="of its source files; null: it is in no file")
    used: bool = Field(description="whether this claim names it")


class History(Model):
    """The verdict beside the last current one in the ledger."""

    change: Literal["new", "unchanged", "better", "worse"] | None = Field(
        description="null: this verdict is not published, so it is not compared"
    )
    said: str = Field(description="the comparison in a sentence")
    causes: list[str] = Field(description="what differs between the two: the claim, its data, libraries with versions")
    only_library: bool = Field(description="nothing but versions of libraries differs")
    carried: str | None = Field(
        description="the date of a verdict that was carried forward; null: this session ran the claim"
    )
    retracted: str | None = Field(description="why this verdict was retracted; null: it was not")
    points: list[Point] = Field(description="the published verdicts on the claim, oldest first; the last fifty")


class DerivedValue(Model):
    """A derived value, and what it may be, in the reported unit."""

    value: float
    low: float
    high: float


class Operand(Model):
    """A number that a derived one comes from, in its own unit."""

    name: str = Field(description="as the expression has it")
    printed: str = Field(description="with the digits that the paper prints")
    unit: Unit
    low: float = Field(description="the least number that is printed like this")
    high: float = Field(description="the greatest number that is printed like this")
    place: str = Field(description="section, row and column that are cited")
    claim: str = Field(description="the claim that reports it, as FILE::ID; empty: it is only cited")
    measured: DerivedValue | None = Field(description="what the claim's run measured; null: nothing that is used")
    note: str = Field(description="why nothing measured is used; else the status of the claim")


class Derivation(Model):
    """How a number was computed from others."""

    expression: str
    operands: list[Operand]
    printed: DerivedValue = Field(description="from the printed numbers and their rounding")
    measured: DerivedValue | None = Field(description="from what was measured, and the other printed numbers")
    sampled: bool = Field(description="a measured number is the estimate of a sample")
