"""The lines of a ledger, as strict models. `verify` holds every line against them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pytest_claims.reports.format import Kind, Record

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")]


class Strict(BaseModel):
    """A strict and frozen model: values are not converted, and unknown keys are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class About(Strict):
    """What a verdict's line says first, so that a list of verdicts reads no record. `verify` compares it with the record."""

    claim: str
    digest: str | None = Field(description="of the claim")
    evidence: str | None = Field(description="digest; null: the verdict is older than the ledger, and was taken over")
    kind: Kind
    measured: float | None = Field(description="in the reported unit")
    paper: str
    status: Literal["pass", "partial", "fail"] = Field(description="only published verdicts stand in a ledger")
    unit: str | None
    verdict: str = Field(description="the verdict's id")


class Retracted(Strict):
    """Which verdict a line retracts, and why."""

    claim: str
    kind: Kind
    paper: str
    reason: str
    retracts: Digest = Field(description="of the verdict's line")
    verdict: str


class Repaired(Strict):
    """What a writer found after the last whole line: the rest of a line that a killed process did not finish."""

    bytes: int
    digest: Digest


class Line(Strict):
    """What every line has."""

    agent: str = Field(description="the tool that wrote the line, with its version")
    at: Moment = Field(description="when the line was written; later than every line that it names")
    offset: int = Field(ge=0, description="where the line began in the file to which it was appended")
    parents: list[Digest] = Field(description="the last line before it; after a merge, the last line of each branch")
    schema_: Literal["pytest-claims/ledger/1"] = Field(alias="schema")
    sha256: Digest = Field(description="of the bytes of the line before this key")


class VerdictLine(Line):
    """A published verdict."""

    about: About
    event: Literal["verdict"]
    record: Record
    rests_on: dict[str, str] = Field(description="what makes the verdict stale when it changes")


class RetractionLine(Line):
    """A verdict that does not hold any more. Its line stays."""

    about: Retracted
    event: Literal["retraction"]


class RepairLine(Line):
    """A torn line was taken out."""

    about: Repaired
    event: Literal["repair"]


MODELS: dict[str, type[Line]] = {"verdict": VerdictLine, "retraction": RetractionLine, "repair": RepairLine}
"""The model of a line, by its `event`."""
