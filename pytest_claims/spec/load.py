"""A claim file → claims. All problems of a file are reported at once, each with its line."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from pytest_claims.errors import SpecError, nearest, nearest_name
from pytest_claims.spec import bands, explain, models, nodes
from pytest_claims.spec.units import METRICS, PER_NATURAL, MetricInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

M = TypeVar("M", bound=BaseModel)

RUNS: Mapping[str, type[models.CaptioningRun | models.PredictionsRun | models.ParametersRun]] = {
    "captioning": models.CaptioningRun,
    "predictions": models.PredictionsRun,
    "parameters": models.ParametersRun,
}

NEEDS: Mapping[str, tuple[str, ...]] = {
    "captioning": ("checkpoint", "dataset", "prompt", "decoding", "metric"),
    "predictions": ("dataset", "metric"),
    "parameters": (),
}
"""Settings without which an evaluator cannot run. A protocol that leaves one out or null (the paper does not state it)
needs it in `run`."""

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
    expect: models.StatusName | None
    protocol: models.Protocol
    overrides: Mapping[str, Any]
    """Protocol keys that the run section sets differently from the paper."""
    run: models.CaptioningRun | models.PredictionsRun | models.ParametersRun
    range: tuple[Decimal, Decimal]
    """The least and the greatest value that the metric can have, in the reported unit."""
    digest: str
    """SHA-256 over everything above that decides the verdict; formatting and comments do not change it."""

    @property
    def where(self) -> str:
        """`claims/x.yaml:12`."""
        return f"{self.display}:{self.line}"


def load(path: Path, *, display: str | None = None, metrics: Mapping[str, MetricInfo] = METRICS) -> tuple[Claim, ...]:
    """Read a claim file.

    Args:
        path: the file.
        display: its name in messages; the path itself if left out.
        metrics: the metrics a claim may name.

    Raises:
        SpecError: one line per problem, `file:line: what, expected what`.
    """
    display = display or str(path)
    try:
        with path.open("rb") as file:
            data = file.read(nodes.MAX_BYTES + 1)
    except OSError as error:
        raise SpecError([f"{display}:1: cannot be read: {error.strerror}"]) from None
    return loads(data, path=path, display=display, metrics=metrics)


def loads(data: bytes, *, path: Path, display: str, metrics: Mapping[str, MetricInfo] = METRICS) -> tuple[Claim, ...]:
    """Read a claim file's bytes; `path` is where it lies or would lie. Raises `SpecError` like `load`."""
    reader = _Reader(nodes.parse(data, display), path, display, metrics)
    claims = tuple(reader.claims())
    if reader.problems:
        # A shared section is read once per claim, so its problems come once per claim too.
        raise SpecError(nodes.capped([text for _, text in sorted(dict.fromkeys(reader.problems))], display))
    return claims


@dataclass(frozen=True, slots=True, kw_only=True)
class _Merged:
    """The sections protocol and run, as they are for one claim."""

    protocol: models.Protocol
    overrides: dict[str, Any]
    settings: models.Protocol
    """The protocol with the overrides."""
    run: models.Run


class _Reader:
    def __init__(self, document: nodes.Document, path: Path, display: str, metrics: Mapping[str, MetricInfo]) -> None:
        self.document = document
        self.path = path
        self.display = display
        self.metrics = metrics
        self.problems: list[tuple[int, str]] = []
        self.misspelt: set[str] = set()
        """Sections that stand under a name close to theirs: that claims lack them goes without saying."""

    def problem(self, at: nodes.Path, text: str) -> None:
        line = self.document.line(at)
        self.problems.append((line, f"{self.display}:{line}: {text}"))

    def claims(self) -> Iterator[Claim]:
        root = self.document.value
        if not isinstance(root, dict):
            self.problem(
                (), f"expected a mapping with the keys paper, protocol, run and claims, got {explain.describe(root)}"
            )
            return
        self.check_keys((), root, ("paper", "protocol", "run", "claims"), required=("paper", "claims"))
        paper = self.validate(models.Paper, root["paper"], ("paper",)) if "paper" in root else None
        if paper and paper.arxiv_id is None and paper.source_url is None:
            self.problem(("paper",), "paper: without an arxiv_id it needs a source_url, where the numbers stand")
        shared = {key: self.section(root, (key,)) for key in ("protocol", "run")}
        entries = root.get("claims", ())
        if not isinstance(entries, tuple) or not entries:
            if "claims" in root:
                self.problem(
                    ("claims",), f"claims: expected a list of at least one claim, got {explain.describe(entries)}"
                )
            return
        seen: dict[str, int] = {}
        for index, entry in enumerate(entries):
            at: nodes.Path = ("claims", index)
            if isinstance(entry, dict) and isinstance(identifier := entry.get("id"), str):
                if identifier in seen:
                    first = self.document.line(("claims", seen[identifier]))
                    self.problem((*at, "id"), f"duplicate claim id {identifier!r}, first given in line {first}")
                seen.setdefault(identifier, index)
            section = self.validate(models.ClaimSection, entry, at)
            if not isinstance(entry, dict):
                continue
            parts = {key: _quietly(model, entry.get(key)) for key, model in _PARTS.items()}
            parts["direction"] = entry.get("direction", "two_sided")
            self.check_number(parts, at)
            merged = self.merged(shared, entry, at)
            if merged is not None:
                self.check_protocol(parts["reported"], merged, at)
            if merged is not None and section is not None and paper is not None:
                yield self.claim(paper, section, merged, at)

    def section(self, parent: Mapping[str, Any], at: nodes.Path) -> dict[str, Any]:
        value = parent.get(str(at[-1]), {})
        if isinstance(value, dict):
            return value
        self.problem(at, f"{nodes.show(at)}: expected a mapping, got {explain.describe(value)}")
        return {}

    def merged(self, shared: Mapping[str, dict[str, Any]], entry: Mapping[str, Any], at: nodes.Path) -> _Merged | None:
        """The claim's protocol, what its run makes of it, and its run; None if one is not valid."""
        protocol_at, run_at = (*at, "protocol"), (*at, "run")
        sections = {key: self.section(entry, (*at, key)) for key in ("protocol", "run")}
        protocol_dict = merge(shared["protocol"], sections["protocol"])
        run_dict = merge(shared["run"], sections["run"])
        before = len(self.problems)
        protocol = self.validate(models.Protocol, protocol_dict, protocol_at, fallback=("protocol",))
        evaluator = run_dict.get("evaluator")
        if evaluator is None:
            self.no_evaluator(run_dict, run_at)
            return None
        if not isinstance(evaluator, str) or evaluator not in RUNS:
            hint = nearest(evaluator, RUNS) if isinstance(evaluator, str) else ""
            place = self.place((*run_at, "evaluator"), ("run",))
            self.problem(
                place,
                f"{nodes.show(place)}: unknown evaluator {explain.quote(evaluator)}{hint}; "
                f"known: {', '.join(sorted(RUNS))}",
            )
            return None
        overrides = {key: value for key, value in run_dict.items() if key in PROTOCOL_KEYS}
        own = {key: value for key, value in run_dict.items() if key not in PROTOCOL_KEYS}
        if evaluator == "captioning" and protocol is not None and protocol.dataset and protocol.dataset.columns:
            # What the run does not name, it takes from the protocol.
            stated = protocol.dataset.columns.model_dump()
            own["columns"] = merge(stated, given) if isinstance(given := own.get("columns", {}), dict) else given
        run = self.validate(
            RUNS[evaluator], own, run_at, fallback=("run",), more=() if evaluator == "parameters" else PROTOCOL_KEYS
        )
        if protocol is None or run is None:
            return None
        settings = self.validate(models.Protocol, merge(protocol_dict, overrides), run_at, fallback=("run",))
        if settings is None or len(self.problems) > before:
            return None
        for key in NEEDS[evaluator]:
            if getattr(settings, key) is None and not self.misspelt & {"protocol", "run"}:
                example = ', "" for no prompt' if key == "prompt" else ""
                self.problem(
                    at,
                    f"{nodes.show(at)}: the evaluator {evaluator} needs {key}; give it in protocol, or in run where "
                    f"the paper does not state it{example}",
                )
        return _Merged(protocol=protocol, overrides=overrides, settings=settings, run=run)

    def no_evaluator(self, run: Mapping[str, Any], at: nodes.Path) -> None:
        """Without an evaluator no other key of a run section means anything; is it there under another name?"""
        if "run" in self.misspelt:
            return
        misspelt = nearest_name("evaluator", run)
        place = self.place((*at, misspelt) if misspelt else at, ("run",))
        if misspelt:
            self.problem(place, f"unknown key {misspelt!r} in {nodes.show(place[:-1])}, did you mean 'evaluator'?")
        else:
            name = nodes.show(place if place[-1] == "run" else at)
            self.problem(place, f"{name} lacks the required key 'evaluator'")

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
            display=self.display,
            line=self.document.line(at),
            paper=paper,
            citation=section.citation,
            reported=section.reported,
            tolerance=section.tolerance,
            direction=section.direction,
            expect=section.expect,
            protocol=protocol,
            overrides=overrides,
            run=run,
            range=self.range(section.reported) or (Decimal(0), Decimal("inf")),
            digest=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
        )

    def check_number(self, parts: Mapping[str, Any], at: nodes.Path) -> None:
        """Contradictions around the number itself, among those `parts` of the claim that are valid by themselves."""
        reported, tolerance, citation = parts["reported"], parts["tolerance"], parts["citation"]
        if not isinstance(reported, models.Reported):
            return
        value, unit = reported.value.value, reported.unit
        info = self.metrics.get(reported.metric)
        limits = self.range(reported)
        if info is None:
            known = ", ".join(sorted(self.metrics))
            self.problem(
                (*at, "reported", "metric"),
                f"unknown metric {reported.metric!r}{nearest(reported.metric, self.metrics)}; known: {known}",
            )
        elif unit not in info.units:
            self.problem(
                (*at, "reported", "unit"),
                f"the unit {unit!r} does not fit the metric {reported.metric}; expected {' or '.join(info.units)}",
            )
        elif limits and not limits[0] <= value <= limits[1]:
            self.problem(
                (*at, "reported", "value"),
                f"{reported.value.text} {unit} lies outside the range of {reported.metric}, "
                f"{limits[0].normalize():f} to {limits[1].normalize():f}",
            )
        elif limits and isinstance(tolerance, models.Tolerance):
            worst = None if info.trivial is None else Decimal(str(info.trivial)) * PER_NATURAL[unit]
            direction = parts["direction"]
            for path, text in bands.unfailing(reported, tolerance, direction, limits=limits, trivial=worst):
                self.problem((*at, *path), text)
        if isinstance(tolerance, models.Tolerance) and tolerance.partial.around(value) < tolerance.pass_.around(value):
            self.problem(
                (*at, "tolerance"),
                f"the partial band ({tolerance.partial.text}) is narrower than the pass band ({tolerance.pass_.text})",
            )
        if isinstance(citation, models.Citation) and not _quotes(citation.quoted_text, reported.value.text):
            self.problem(
                (*at, "citation", "quoted_text"),
                f"quoted_text does not contain the reported value {reported.value.text}: "
                f"{explain.short(citation.quoted_text)!r}",
            )

    def range(self, reported: models.Reported) -> tuple[Decimal, Decimal] | None:
        """What the metric can give, in the unit of `reported`; None where the two do not fit."""
        info = self.metrics.get(reported.metric)
        if info is None or reported.unit not in info.units:
            return None
        low, high = (Decimal(str(limit)) * PER_NATURAL[reported.unit] for limit in (info.low, info.high))
        return low, high

    def check_protocol(self, reported: models.Reported | None, merged: _Merged, at: nodes.Path) -> None:
        """Contradictions between protocol, run and metric: in what the paper did, and in what is run here."""
        info = self.metrics.get(reported.metric) if reported else None
        metric = (reported.metric, info.families) if reported and info else None
        stated = list(_contradictions(merged.protocol, metric))
        for path, text in stated:
            place = self.place((*at, "protocol", *path), ("protocol",))
            self.problem(place, f"{nodes.show(place)}: {text}")
        for path, text in _contradictions(merged.settings, metric):
            if (path, text) not in stated:
                place = self.place((*at, "run", *path), ("run",))
                self.problem(place, f"{nodes.show(place)}: {text}")
        run, decoding = merged.run, merged.settings.decoding
        if not isinstance(run, models.CaptioningRun):
            return
        if decoding and decoding.strategy == "beam" and decoding.num_beams is None:
            place = self.place((*at, "protocol", "decoding", "num_beams"), ("protocol",))
            self.problem(
                place,
                f"{nodes.show(place)}: beam search needs a number of beams; give it in run where the paper does not state it",
            )
        dataset = merged.settings.dataset
        if run.sample and dataset and run.sample.size > dataset.images:
            place = self.place((*at, "run", "sample", "size"), ("run",))
            self.problem(
                place,
                f"{nodes.show(place)}: a sample of {run.sample.size} cannot be drawn from dataset.images, {dataset.images}",
            )

    def validate(
        self,
        model: type[M],
        value: Any,
        at: nodes.Path,
        *,
        fallback: nodes.Path | None = None,
        more: Sequence[str] = (),
    ) -> M | None:
        """`value` as `model`, or None after noting every problem.

        Args:
            model: the model.
            value: the plain value.
            at: where it stands; `fallback` is where the shared section stands that it may come from.
            fallback: see `at`.
            more: keys that are valid here beside the model's own, for the nearest name.
        """
        if not isinstance(value, dict):
            self.problem(at, f"{nodes.show(at)}: expected a mapping, got {explain.describe(value)}")
            return None
        try:
            return model.model_validate(value)
        except ValidationError as error:
            details = error.errors(include_url=False)
            misspelt = {
                (*detail["loc"][:-1], match)
                for detail in details
                if detail["type"] == "extra_forbidden"
                for match in [nearest_name(str(detail["loc"][-1]), [*explain.keys(model, detail["loc"][:-1]), *more])]
            }
            unions: dict[tuple[nodes.Path, str], list[str]] = {}
            for detail in details:
                # A misspelt key is one mistake: that the right one is missing goes without saying.
                if detail["type"] in ("extra_forbidden", "missing"):
                    if detail["loc"] not in misspelt or detail["type"] != "missing":
                        self.explain_key(model, detail, at, fallback, more)
                    continue
                place = self.place((*at, *explain.steps(value, detail["loc"])), fallback)
                expected, got = explain.explained(detail)
                # A union fails once per member; that is one mistake too.
                unions.setdefault((place, got), []).append(expected)
            for (place, got), members in unions.items():
                self.problem(place, f"{nodes.show(place)}: {explain.either(members)}, got {got}")
            return None

    def explain_key(
        self, model: type[BaseModel], detail: Any, at: nodes.Path, fallback: nodes.Path | None, more: Sequence[str]
    ) -> None:
        """A key too many or too few."""
        *parents, key = detail["loc"]
        if detail["type"] == "missing":
            place = self.place((*at, *parents), fallback)
            self.problem(place, f"{nodes.show(place)} lacks the required key {key!r}")
            return
        place = self.place((*at, *parents, key), fallback)
        known = [*explain.keys(model, tuple(parents)), *more]
        hint = nearest(str(key), known) or f"; known: {', '.join(known)}"
        self.problem(place, f"unknown key {explain.short(str(key))!r} in {nodes.show(place[:-1])}{hint}")

    def check_keys(
        self, at: nodes.Path, value: Mapping[str, Any], known: Sequence[str], required: Sequence[str]
    ) -> None:
        for key in value:
            if key not in known:
                hint = nearest(key, known) or f"; known: {', '.join(known)}"
                self.problem((*at, key), f"unknown key {explain.short(key)!r} in {nodes.show(at)}{hint}")
                self.misspelt.add(nearest_name(key, known) or "")
        for key in required:
            if key not in value and key not in self.misspelt:
                self.problem(at, f"{nodes.show(at)} lacks the required key {key!r}")

    def place(self, path: nodes.Path, fallback: nodes.Path | None) -> nodes.Path:
        """Where a merged value really stands: in the claim's own section, or in the shared one.

        A value that neither holds (it was left out) belongs to the nearest parent that one of them holds.
        """
        if path in self.document.lines or fallback is None:
            return path
        claim_parts = 2  # ("claims", 0)
        below = path[claim_parts:]
        for length in range(len(below), 0, -1):
            for place in ((*path[:claim_parts], *below[:length]), below[:length]):
                if place in self.document.lines:
                    return place
        return path[:claim_parts]


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `over`, mappings merged key by key, everything else replaced."""
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


def _quietly(model: type[BaseModel], value: object) -> Any:
    """`value` as `model`, or None: its problems are noted where the whole claim is validated."""
    try:
        return model.model_validate(value)
    except ValidationError:
        return None


def _as_validated(given: Mapping[str, Any], validated: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of `given` with the values that validation made of them: 1 and 1.0 are one length penalty."""
    return {
        key: _as_validated(value, validated[key]) if isinstance(value, dict) else validated[key]
        for key, value in given.items()
    }


def _contradictions(
    protocol: models.Protocol, metric: tuple[str, Sequence[str]] | None
) -> Iterator[tuple[nodes.Path, str]]:
    """What cannot be true of one run at once: the path below the section, and what is wrong with it."""
    if metric and metric[1] and protocol.metric and protocol.metric not in metric[1]:
        name, families = metric
        hint = f"{nearest(protocol.metric, families)}; known: {', '.join(families)}"
        yield ("metric",), f"{name} is not computed as {protocol.metric!r}{hint}"
    decoding = protocol.decoding
    if decoding is None:
        return
    if decoding.strategy == "beam" and decoding.num_beams == 1:
        yield (
            ("decoding", "num_beams"),
            "beam search with one beam is greedy search; expected num_beams of 2 or more, or the strategy greedy",
        )
    if decoding.strategy == "greedy" and decoding.num_beams not in (1, None):
        yield ("decoding", "num_beams"), f"greedy search has one beam, got num_beams {decoding.num_beams}"
    low, high = decoding.min_new_tokens, decoding.max_new_tokens
    if low is not None and high is not None and low > high:
        yield ("decoding", "min_new_tokens"), f"min_new_tokens ({low}) is above max_new_tokens ({high})"


_THOUSANDS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])")


def _quotes(text: str, number: str) -> bool:
    """Whether `number` stands in `text` as a number of its own: 3.7 does not stand in 43.7, 107130880 does in 107,130,880."""
    return _stands(text, number) or _stands(_THOUSANDS.sub(lambda match: match[0].replace(",", ""), text), number)


def _stands(text: str, number: str) -> bool:
    start = text.find(number)
    while start >= 0:
        before, after = text[:start], text[start + len(number) :]
        inside = before[-1:].isdigit() or (before[-1:] in (".", ",") and before[-2:-1].isdigit())
        longer = after[:1].isdigit() or (after[:1] in (".", ",") and after[1:2].isdigit())
        if not inside and not longer:
            return True
        start = text.find(number, start + 1)
    return False
