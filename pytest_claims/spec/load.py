"""A claim file → claims. All problems of a file are reported at once, each with its line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from pytest_claims import files
from pytest_claims.errors import SpecError, nearest, nearest_name
from pytest_claims.spec import (
    answering,
    checks,
    citations,
    derived,
    explain,
    hooked,
    models,
    nodes,
    operands,
    released,
    retrieval,
    values,
)
from pytest_claims.spec.units import METRICS, MetricInfo
from pytest_claims.spec.validate import File, quietly

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pydantic import BaseModel

Run = (
    models.CaptioningRun
    | answering.AnsweringRun
    | released.PredictionsRun
    | models.ParametersRun
    | retrieval.RetrievalRun
    | derived.DerivedRun
    | hooked.HookedRun
)

RUNS: Mapping[str, type[Run]] = {
    "captioning": models.CaptioningRun,
    "answering": answering.AnsweringRun,
    "predictions": released.PredictionsRun,
    "parameters": models.ParametersRun,
    "retrieval": retrieval.RetrievalRun,
    "derived": derived.DerivedRun,
}
"""The evaluators that ship, with the model of their section run; a plugin adds its own through `pytest_claims_evaluators`."""


def _needs(run: type[Run]) -> tuple[str, ...]:
    """The settings that an evaluator needs.

    If the protocol leaves one out, or has null for it (the paper does not state it), the section run has to give it.
    """
    return tuple(key for key, field in run.protocol.model_fields.items() if field.is_required())


PROTOCOL_KEYS = tuple(models.Protocol.model_fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One number a paper reports, with its citation, protocol and tolerance."""

    id: str
    file: Path
    display: str
    line: int
    paper: models.Paper
    citation: models.Citation
    reported: models.Reported
    tolerance: models.Tolerance
    direction: Literal["two_sided", "at_least", "at_most"]
    expect: values.StatusName | None
    protocol: models.Protocol
    overrides: Mapping[str, Any]
    """Protocol keys that the run section sets differently from the paper."""
    run: Run
    range: tuple[Decimal, Decimal]
    """The least and the greatest value that the metric can have, in the reported unit."""
    digest: str
    """SHA-256 over everything above that decides the verdict; formatting and comments do not change it."""
    file_digest: str
    """SHA-256 of the file's bytes, for an attestation. It decides nothing."""
    doubles: tuple[str, ...] = ()
    """The other columns under which claims of this file cite the same number of the same row."""
    operands: Mapping[str, Claim] = field(default_factory=dict)
    """The claims that a derived claim's operands name, by the name of the operand."""

    @property
    def where(self) -> str:
        """`claims/x.yaml:12`."""
        return f"{self.display}:{self.line}"


Own = Callable[[str, "str | None"], "Mapping[str, str]"]
"""What a checkpoint's own files say by axis, given its id and revision. It is asked only where a claim leaves axes open."""


def _nothing(_identifier: str, _revision: str | None) -> Mapping[str, str]:
    return {}


def load(
    path: Path,
    *,
    display: str | None = None,
    metrics: Mapping[str, MetricInfo] = METRICS,
    runs: Mapping[str, type[Run]] = RUNS,
    own: Own = _nothing,
) -> tuple[Claim, ...]:
    """Read a claim file.

    Args:
        path: the file.
        display: its name in messages; the path itself if left out.
        metrics: the metrics a claim may name.
        runs: the evaluators that a claim may name, with the model of their section run.
        own: what a checkpoint's own files say, for the problem that a claim leaves axes open.

    Raises:
        SpecError: one line per problem, `file:line: what, expected what`.
    """
    display = display or str(path)
    known: dict[str, Sequence[Claim]] = {}

    def beside(name: str) -> Sequence[Claim]:
        if name not in known:
            other = files.find(name, (path.parent,))
            if other is None:
                raise SpecError([f"there is no such file beside {display}"])
            shown = display[: -len(path.name)] + name if display.endswith(path.name) else str(other)
            known[name] = loads(_bytes(other, shown), path=other, display=shown, metrics=metrics, runs=runs)
        return known[name]

    return loads(_bytes(path, display), path=path, display=display, metrics=metrics, runs=runs, own=own, others=beside)


def _bytes(path: Path, display: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(nodes.MAX_BYTES + 1)
    except OSError as error:
        raise SpecError([f"{display}:1: cannot be read: {error.strerror}"]) from None


def loads(
    data: bytes,
    *,
    path: Path,
    display: str,
    metrics: Mapping[str, MetricInfo] = METRICS,
    runs: Mapping[str, type[Run]] = RUNS,
    own: Own = _nothing,
    others: operands.Others | None = None,
) -> tuple[Claim, ...]:
    """Read a claim file from its bytes; nothing needs to exist at `path`. Raises `SpecError` like `load`.

    Without `others`, the claims that operands name in other files stay unknown.
    """
    file = File(nodes.parse(data, display), display)
    reader = _Reader(file, path, metrics, runs, own, hashlib.sha256(data).hexdigest())
    claims = citations.with_doubles(tuple(reader.claims()))
    claims = operands.resolved(claims, file, metrics, others)
    if file.problems:
        # A shared section is read once per claim, so each of its problems was noted once per claim.
        raise SpecError(nodes.capped([text for _, text in sorted(dict.fromkeys(file.problems))], display))
    return claims


@dataclass(frozen=True, slots=True, kw_only=True)
class _Merged:
    """The sections protocol and run, as they are for one claim."""

    protocol: models.Protocol
    overrides: dict[str, Any]
    settings: models.Protocol
    """The protocol with the overrides."""
    run: Run


class _Reader:
    """Reads the claims of one file; `file.problems` then holds what is wrong with it."""

    def __init__(
        self,
        file: File,
        path: Path,
        metrics: Mapping[str, MetricInfo],
        runs: Mapping[str, type[Run]],
        own: Own,
        file_digest: str,
    ) -> None:
        self.file = file
        self.file_digest = file_digest
        self.path = path
        self.metrics = metrics
        self.runs = runs
        self.own = own

    def claims(self) -> Iterator[Claim]:
        root = self.file.document.value
        if not isinstance(root, dict):
            self.file.problem(
                (), f"expected a mapping with the keys paper, protocol, run and claims, got {explain.describe(root)}"
            )
            return
        self.file.check_keys((), root, ("paper", "protocol", "run", "claims"), required=("paper", "claims"))
        paper = self.file.validate(models.Paper, root["paper"], ("paper",)) if "paper" in root else None
        if paper and paper.arxiv_id is None and paper.source_url is None:
            self.file.problem(("paper",), "paper: without an arxiv_id it needs a source_url, where the numbers stand")
        shared = {key: self.file.section(root, (key,)) for key in ("protocol", "run")}
        entries = root.get("claims", ())
        if not isinstance(entries, tuple) or not entries:
            if "claims" in root:
                self.file.problem(
                    ("claims",), f"claims: expected a list of at least one claim, got {explain.describe(entries)}"
                )
            return
        seen: dict[str, int] = {}
        for index, entry in enumerate(entries):
            at: nodes.Path = ("claims", index)
            if isinstance(entry, dict) and isinstance(identifier := entry.get("id"), str):
                if identifier in seen:
                    first = self.file.document.line(("claims", seen[identifier]))
                    self.file.problem((*at, "id"), f"duplicate claim id {identifier!r}, first given in line {first}")
                seen.setdefault(identifier, index)
            section = self.file.validate(models.ClaimSection, entry, at)
            if not isinstance(entry, dict):
                continue
            parts: dict[str, Any] = {key: quietly(model, entry.get(key)) for key, model in _PARTS.items()}
            parts["direction"] = entry.get("direction", "two_sided")
            for below, text in checks.of_number(parts, self.metrics):
                self.file.problem((*at, *below), text)
            merged = self.merged(shared, entry, at)
            if merged is None:
                continue
            self.check_protocol(parts["reported"], parts["citation"], merged, at)
            if section is not None and paper is not None:
                yield self.claim(paper, section, merged, at)

    def merged(self, shared: Mapping[str, dict[str, Any]], entry: Mapping[str, Any], at: nodes.Path) -> _Merged | None:
        """The claim's protocol, its run, and the settings that the two give; None if one of them is not valid."""
        protocol_at, run_at = (*at, "protocol"), (*at, "run")
        sections = {key: self.file.section(entry, (*at, key)) for key in ("protocol", "run")}
        protocol_dict = merge(shared["protocol"], sections["protocol"])
        run_dict = merge(shared["run"], sections["run"])
        before = len(self.file.problems)
        protocol = self.file.validate(models.Protocol, protocol_dict, protocol_at, fallback=("protocol",))
        evaluator = run_dict.get("evaluator")
        if evaluator is None:
            self.no_evaluator(run_dict, run_at)
            return None
        if not isinstance(evaluator, str) or evaluator not in self.runs:
            hint = nearest(evaluator, self.runs) if isinstance(evaluator, str) else ""
            place = self.file.place((*run_at, "evaluator"), ("run",))
            self.file.problem(
                place,
                f"{nodes.show(place)}: unknown evaluator {explain.quote(evaluator)}{hint}; "
                f"known: {', '.join(sorted(self.runs))}",
            )
            return None
        overrides = {key: value for key, value in run_dict.items() if key in PROTOCOL_KEYS}
        own = {key: value for key, value in run_dict.items() if key not in PROTOCOL_KEYS}
        stating = protocol.dataset if protocol is not None and self.runs[evaluator].runs_checkpoint else None
        if stating is not None and stating.columns:
            # The protocol gives the columns that the run does not name.
            stated = stating.columns.model_dump()
            own["columns"] = merge(stated, given) if isinstance(given := own.get("columns", {}), dict) else given
        model = self.runs[evaluator]
        run = self.file.validate(model, own, run_at, fallback=("run",), more=PROTOCOL_KEYS if _needs(model) else ())
        if protocol is None or run is None:
            return None
        settings = self.file.validate(models.Protocol, merge(protocol_dict, overrides), run_at, fallback=("run",))
        if settings is None or len(self.file.problems) > before:
            return None
        if not self.file.misspelt & {"protocol", "run"}:
            self.check_needs(evaluator, protocol, settings, at)
        return _Merged(protocol=protocol, overrides=overrides, settings=settings, run=run)

    def check_needs(self, evaluator: str, protocol: models.Protocol, settings: models.Protocol, at: nodes.Path) -> None:
        """Note each setting that the evaluator needs and nothing gives, and then all that the paper leaves open beside it."""
        missing = [key for key in _needs(self.runs[evaluator]) if getattr(settings, key) is None]
        if not missing:
            return
        checkpoint = settings.checkpoint
        said = self.own(checkpoint.id, checkpoint.revision) if checkpoint else {}
        beside = {axis: f"; the checkpoint's {text}" for axis, text in said.items()}
        for key in missing:
            example = ', "" for no prompt' if key == "prompt" else ""
            self.file.problem(
                at,
                f"{nodes.show(at)}: the evaluator {evaluator} needs {key}; give it in protocol, or in run where "
                f"the paper does not state it{example}{beside.get(key, '')}",
            )
        if not self.runs[evaluator].runs_checkpoint:
            return
        for axis in ("image", "precision"):
            if getattr(protocol, axis) is None:
                self.file.problem(
                    at,
                    f"{nodes.show(at)}: the paper's {axis} is not stated either: look it up too{beside.get(axis, '')}",
                )

    def check_protocol(
        self, reported: models.Reported | None, cited: models.Citation | None, merged: _Merged, at: nodes.Path
    ) -> None:
        """Note each contradiction between protocol, run, metric and cell, where it stands: in the claim or a shared section."""
        for (section, *below), text in checks.of_protocol(
            merged.protocol, merged.settings, merged.run, reported, cited, self.metrics
        ):
            place = self.file.place((*at, section, *below), (section,))
            self.file.problem(place, f"{nodes.show(place)}: {text}")

    def no_evaluator(self, run: Mapping[str, Any], at: nodes.Path) -> None:
        """Note that the evaluator is missing or misspelt. Without it, no other key of the section run has a meaning."""
        if "run" in self.file.misspelt:
            return
        misspelt = nearest_name("evaluator", run)
        place = self.file.place((*at, misspelt) if misspelt else at, ("run",))
        if misspelt:
            self.file.problem(place, f"unknown key {misspelt!r} in {nodes.show(place[:-1])}, did you mean 'evaluator'?")
        else:
            name = nodes.show(place if place[-1] == "run" else at)
            self.file.problem(place, f"{name} lacks the required key 'evaluator'")

    def claim(
        self,
        paper: models.Paper,
        section: models.ClaimSection,
        merged: _Merged,
        at: nodes.Path,
    ) -> Claim:
        protocol, overrides, run = merged.protocol, merged.overrides, merged.run
        content = {
            "id": section.id,
            "arxiv_id": paper.arxiv_id,
            "source_url": paper.source_url,
            **({"source": paper.source} if paper.source else {}),
            "citation": section.citation.model_dump(exclude={"notes"}),
            "reported": [section.reported.metric, section.reported.value.text, section.reported.unit],
            "tolerance": [section.tolerance.pass_.text, section.tolerance.partial.text, section.tolerance.min_sample],
            "direction": section.direction,
            "expect": section.expect,
            "protocol": protocol.model_dump(),
            "overrides": _as_validated(overrides, merged.settings.model_dump()),
            "run": run.model_dump(),
        }
        return Claim(
            id=section.id,
            file=self.path,
            display=self.file.display,
            line=self.file.document.line(at),
            paper=paper,
            citation=section.citation,
            reported=section.reported,
            tolerance=section.tolerance,
            direction=section.direction,
            expect=section.expect,
            protocol=protocol,
            overrides=overrides,
            run=run,
            range=checks.metric_range(section.reported, self.metrics) or (Decimal(0), Decimal("inf")),
            digest=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
            file_digest=self.file_digest,
        )


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`: mappings are merged key by key, any other value is replaced."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


_PARTS: Mapping[str, type[BaseModel]] = {
    "citation": models.Citation,
    "reported": models.Reported,
    "tolerance": models.Tolerance,
}


def _as_validated(given: Mapping[str, Any], validated: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of `given` with their validated values: a length penalty of 1 becomes 1.0, so both give the same digest."""
    return {
        key: _as_validated(value, validated[key]) if isinstance(value, dict) else validated.get(key)
        for key, value in given.items()
    }
