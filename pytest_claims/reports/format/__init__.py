"""The format of reports, as strict models. `record.py` makes them, and every report and the JSON Schema are made from them.

The keys `paper`, `latest_version`, `verdict` and `verdicts` have the names and types of the record that this project started
from; `evidence` has what was added. The values of a model must be plain JSON values: no tuples, no enums, no NaN.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from pytest_claims.reports.format.findings import CitationCheck, Comparison, Derivation, History, Model, Supplied
from pytest_claims.spec.values import Noun, Unit
from pytest_claims.spec.values import StatusName as Expected

SCHEMA = "pytest-claims/report/2"
"""The version of the format. It changes if a key is renamed or dropped. Keys may be added without a new version."""

Status = Literal["pass", "partial", "fail", "pending", "not_attempted", "error"]
Kind = Literal["POST", "PRE"]
Result = Literal["passed", "failed", "skipped", "expected"]
Match = Literal["exact", "proxy", "unknown", "drift"]


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

    id: str | None = Field(description="equal for verdicts with the same claim, evidence and result")
    kind: Kind = Field(description="PRE: a release candidate was evaluated before its publication; POST: otherwise")
    status: Status = Field(description="the result that may be published")
    score: float | None = Field(description="the score in the metric's natural range: BLEU-4 0.3039, not 30.39")
    confidence: float | None
    agent_version: str
    computed_at: str | None = Field(description="ISO 8601, UTC")
    is_current: bool
    protocol_match: Match | None
    claim_citation: ClaimCitation | None = Field(description="null: the file could not be read")


class Verdicts(Model):
    """The verdict, under the key of its kind. With a candidate, `post` is the verdict on the reference, if it is known."""

    post: Issued | None
    pre: Issued | None


class Place(Model):
    """The place of the claim. `id` is null if the record is about a file that could not be read, or that moved the bar."""

    id: str | None
    file: str
    line: int | None
    nodeid: str
    digest: str | None
    file_digest: str | None = Field(default=None, description="SHA-256 of the claim file's bytes")
    expect: Expected | None


class Told(Model):
    """The result for the test runner."""

    result: Result
    message: str
    type: str = Field(description="the type of a JUnit failure: claim.fail, claim.withheld, claim.moved, …")


class Breadth(Model):
    """The widths of the bands as shares of the metric's range; null if the range is not bounded."""

    pass_: float | None = Field(alias="pass")
    partial: float | None
    wide: bool = Field(description="the pass band is wider than the run's interval and the printed digits justify")


class Tolerance(Model):
    """The bands around the reported value, in the reported unit. Half of the last printed digit is added to each."""

    pass_: float = Field(alias="pass")
    partial: float
    direction: Literal["two_sided", "at_least", "at_most"]
    min_sample: int
    breadth: Breadth | None


class Interval(Model):
    """The bootstrap interval over images, in the reported unit."""

    low: float
    high: float
    level: float
    standard_error: float
    resamples: int
    population: int | None


class Detectable(Model):
    """The smallest difference that the run could have detected, in the reported unit."""

    difference: float
    images_to_decide: int | None


class Reading(Model):
    """One axis of the protocol: what the paper says, what the run did, and the consequence of the difference."""

    axis: str
    paper: str
    run: str
    consequence: Literal["none", "proxy", "unknown", "drift", "not observed"]


class Moved(Model):
    """One change in the claim since the merge base."""

    key: str
    before: str
    after: str


class Need(Model):
    """One thing that a run of the claim would need, from a dry run."""

    what: str
    found: str


class Evidence(Model):
    """The evidence for the verdict. Numbers are in the reported unit unless stated otherwise."""

    claim: Place
    test: Told
    reason: str
    next_step: str
    basis: Literal["reproduced", "rescored", "counted", "derived"] | None
    noun: Noun | None = Field(default=None, description="what an output is called; null: there is none")
    outcome: Literal["pass", "partial", "fail"] | None = Field(description="the result before the gates")
    reported: str | None = Field(description="the reported number as the paper prints it")
    measured: float | None
    unit: Unit | None
    difference: float | None
    tolerance: Tolerance | None
    interval: Interval | None
    detectable: Detectable | None
    n: int | None = Field(description="the number of scored images")
    deviations: list[Reading]
    baseline: Literal["new", "unchanged", "moved", "removed"] | None
    moved: list[Moved]
    axes: list[Reading]
    needs: list[Need]
    signature: str | None
    counts: dict[str, Any] | None
    provenance: dict[str, str | int | float | bool | None] | None
    notes: list[str]
    citation: CitationCheck | None = None
    derivation: Derivation | None = Field(default=None, description="how a derived number was computed; else null")
    digest: str | None
    comparison: Comparison | None = Field(
        default=None, description="a release candidate beside its reference; null without a candidate"
    )
    supplied: list[Supplied] = Field(
        default=[], description="the metrics and evaluators that hooks supplied to the session"
    )
    history: History | None = Field(default=None, description="beside the ledger; null: there is no ledger")
    command: str = Field(description="gives this verdict again, from the folder in which the session was started")
    seconds: float


class Record(Model):
    """The record of one claim, or of one file."""

    paper: Paper | None
    latest_version: LatestVersion | None
    verdict: Issued
    verdicts: Verdicts
    evidence: Evidence

    @property
    def name(self) -> str:
        """The claim's id; the file's name if the record is about a file."""
        return self.evidence.claim.id or self.evidence.claim.file

    @property
    def noun(self) -> str:
        """What an output is called. A report that does not say so is older than other outputs than captions."""
        return self.evidence.noun or "caption"

    def values(self) -> dict[str, Any]:
        """The record as JSON has it."""
        return self.model_dump(mode="json", by_alias=True)

    def dump(self) -> str:
        """The record as it travels between processes, and is kept until the session ends: one text.

        Ten thousand records as objects would keep Python's garbage collector busy for a third of the session.
        """
        return self.model_dump_json(by_alias=True)

    @classmethod
    def load(cls, text: str) -> Record:
        """What `dump` gave."""
        return cls.model_validate_json(text)


class Gallery(Model):
    """What was generated behind a claim, image by image, in the order of the ids. It is no part of the record."""

    evidence: str = Field(description="digest: claims of one evidence have the same outputs")
    noun: Noun = Field(default="caption", description="what an output is called")
    ids: list[str]
    outputs: list[str]
    references: list[list[str]]
    ranked: list[list[str]] = Field(default=[], description="the first of each ranking; empty if nothing was ranked")
    extras: list[dict[str, str]] = Field(default=[], description="named texts of each row; empty if there are none")
    scores: list[float] = Field(description="of each image alone, in the metric's natural range")
    thumbnails: list[str] = Field(
        description="data: addresses, one for each image that could be shown, else empty text"
    )


class RunInfo(Model):
    """The session of a report."""

    tool: str
    command: str
    gate: str
    exit_status: int
    collected: int
    deselected: int
    started_at: str = Field(default="", description="ISO 8601, UTC; empty: not known")
    hostname: str = Field(default="", description="of the machine that wrote the report; empty: not known")


class Report(Model):
    """A JSON report."""

    schema_: Literal["pytest-claims/report/2"] = Field(alias="schema")
    run: RunInfo
    records: list[Record]
