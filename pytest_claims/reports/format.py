"""What a report holds, as strict models: `record.py` makes them, every report is made from them, and so is the JSON Schema.

The keys `paper`, `latest_version`, `verdict` and `verdicts` are those of the record that this project started from, with the
same types; `evidence` holds what was added. A model is given its values as JSON has them: no tuples, no enums, no NaN.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pytest_claims.spec.models import StatusName as Expected
from pytest_claims.spec.models import Unit

SCHEMA = "pytest-claims/report/2"
"""Changes with the first key that is renamed or dropped; keys may be added."""

Status = Literal["pass", "partial", "fail", "pending", "not_attempted", "error"]
Kind = Literal["POST", "PRE"]
Result = Literal["passed", "failed", "skipped", "expected"]
Match = Literal["exact", "proxy", "unknown", "drift"]


class Model(BaseModel):
    """Strict and frozen."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Paper(Model):
    """The paper that reports the number."""

    arxiv_id: str | None
    title: str
    abstract: str | None
    primary_category: str | None
    venue: str | None
    published_at: str | None
    latest_version: int | None
    withdrawn: bool


class LatestVersion(Model):
    """The paper's latest version, as far as the claim file states it."""

    id: str | None
    version: int | None
    source_url: str | None
    rendered_html_url: str | None
    rendering_engine: str | None


class ClaimCitation(Model):
    """Where the paper reports the number."""

    paper_arxiv_id: str | None
    section: str
    row: str
    column: str
    reported_value: float
    reported_metric: str
    quoted_text: str
    pdf_page: int | None
    notes: str | None


class Issued(Model):
    """The verdict."""

    id: str | None = Field(description="the same claim, evidence and result have the same id")
    kind: Kind = Field(description="PRE: a release candidate was evaluated, before its publication")
    status: Status = Field(description="what may be published")
    score: float | None = Field(description="in the metric's natural range: BLEU-4 0.3039, not 30.39")
    confidence: float | None
    agent_version: str
    computed_at: str | None = Field(description="ISO 8601, UTC")
    is_current: bool
    protocol_match: Match | None
    claim_citation: ClaimCitation | None = Field(description="null: the file could not be read")


class Verdicts(Model):
    """The verdict by its kind."""

    post: Issued | None
    pre: Issued | None


class Place(Model):
    """Where the claim stands; `id` is null for a file that could not be read, or that moved the bar."""

    id: str | None
    file: str
    line: int | None
    nodeid: str
    digest: str | None
    expect: Expected | None


class Told(Model):
    """What the test runner was told."""

    result: Result
    message: str
    type: str = Field(description="of a JUnit failure: claim.fail, claim.withheld, claim.moved, …")


class Breadth(Model):
    """How much the tolerance lets through, as shares of the metric's range; null where that has no end."""

    pass_: float | None = Field(alias="pass")
    partial: float | None
    wide: bool = Field(description="the pass band is wider than the run's interval and the printed digits justify")


class Tolerance(Model):
    """The bands around the reported value, half of the last printed digit added; in the reported unit."""

    pass_: float = Field(alias="pass")
    partial: float
    direction: Literal["two_sided", "at_least", "at_most"]
    min_sample: int
    breadth: Breadth | None


class Interval(Model):
    """The interval over images, in the reported unit."""

    low: float
    high: float
    level: float
    standard_error: float
    resamples: int
    population: int | None


class Detectable(Model):
    """Could the claim have failed? In the reported unit."""

    difference: float
    images_to_decide: int | None


class Reading(Model):
    """One protocol axis: what the paper says, what the run did, what a difference means."""

    axis: str
    paper: str
    run: str
    consequence: Literal["none", "proxy", "unknown", "drift", "not observed"]


class Moved(Model):
    """What changed in the claim since the merge base."""

    key: str
    before: str
    after: str


class Need(Model):
    """What a run of the claim would need; of a dry run."""

    what: str
    found: str


class Evidence(Model):
    """What the verdict rests on. Numbers without another word are in the reported unit."""

    claim: Place
    test: Told
    reason: str
    next_step: str
    basis: Literal["reproduced", "rescored", "counted"] | None
    outcome: Literal["pass", "partial", "fail"] | None = Field(description="what arithmetic alone says")
    reported: str | None = Field(description="as the paper prints it")
    measured: float | None
    unit: Unit | None
    difference: float | None
    tolerance: Tolerance | None
    interval: Interval | None
    detectable: Detectable | None
    n: int | None = Field(description="images scored")
    deviations: list[Reading]
    baseline: Literal["new", "unchanged", "moved", "removed"] | None
    moved: list[Moved]
    axes: list[Reading]
    needs: list[Need]
    signature: str | None
    counts: dict[str, Any] | None
    provenance: dict[str, str | int | float | bool | None] | None
    notes: list[str]
    digest: str | None
    command: str
    seconds: float


class Record(Model):
    """One claim, or one file that stands for claims."""

    paper: Paper | None
    latest_version: LatestVersion | None
    verdict: Issued
    verdicts: Verdicts
    evidence: Evidence

    @property
    def name(self) -> str:
        """The claim's id, or the file's name."""
        return self.evidence.claim.id or self.evidence.claim.file

    def values(self) -> dict[str, Any]:
        """The record as JSON has it, and as it travels between processes."""
        return self.model_dump(mode="json", by_alias=True)


class Gallery(Model):
    """What was generated behind a claim, image by image, in the order of the ids. It is no part of the record."""

    evidence: str = Field(description="digest: claims of one evidence have the same captions")
    ids: list[str]
    captions: list[str]
    references: list[list[str]]
    scores: list[float] = Field(description="of each image alone, in the metric's natural range")
    thumbnails: list[str] = Field(
        description="data: addresses, one for each image that could be shown, else empty text"
    )


class RunInfo(Model):
    """What a report says about the session as a whole."""

    tool: str
    command: str
    gate: str
    exit_status: int
    collected: int
    deselected: int
    started_at: str = Field(default="", description="ISO 8601, UTC; empty: not known")
    hostname: str = Field(default="", description="of the machine that wrote the report; empty: not known")


class Report(Model):
    """A file of verdicts."""

    schema_: Literal["pytest-claims/report/2"] = Field(alias="schema")
    run: RunInfo
    records: list[Record]
