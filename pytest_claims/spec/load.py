"""A claim file → claims. All problems of a file are reported at once, each with its line."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from pytest_claims.errors import SpecError, nearest, nearest_name
from pytest_claims.spec import models, nodes
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
        raise SpecError(text for _, text in sorted(dict.fromkeys(reader.problems)))
    return claims


class _Reader:
    def __init__(self, document: nodes.Document, path: Path, display: str, metrics: Mapping[str, MetricInfo]) -> None:
        self.document = document
        self.path = path
        self.display = display
        self.metrics = metrics
        self.problems: list[tuple[int, str]] = []

    def problem(self, at: nodes.Path, text: str) -> None:
        line = self.document.line(at)
        self.problems.append((line, f"{self.display}:{line}: {text}"))

    def claims(self) -> Iterator[Claim]:
        root = self.document.value
        if not isinstance(root, dict):
            self.problem((), f"expected a mapping with the keys paper, protocol, run and claims, got {_kind(root)}")
            return
        self.check_keys((), root, ("paper", "protocol", "run", "claims"), required=("paper", "claims"))
        paper = self.validate(models.Paper, root["paper"], ("paper",)) if "paper" in root else None
        if paper and paper.arxiv_id is None and paper.source_url is None:
            self.problem(("paper",), "paper: without an arxiv_id it needs a source_url, where the numbers stand")
        shared = {key: self.section(root, (key,)) for key in ("protocol", "run")}
        entries = root.get("claims", ())
        if not isinstance(entries, tuple) or not entries:
            if "claims" in root:
                self.problem(("claims",), f"claims: expected a list of at least one claim, got {_kind(entries)}")
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
            self.check_number(parts, at)
            merged = self.merged(shared, entry, at)
            if merged is not None:
                self.check_protocol(parts["reported"], merged[0], merged[2], at)
            if merged is not None and section is not None and paper is not None:
                yield self.claim(paper, section, merged, at)

    def section(self, parent: Mapping[str, Any], at: nodes.Path) -> dict[str, Any]:
        value = parent.get(str(at[-1]), {})
        if isinstance(value, dict):
            return value
        self.problem(at, f"{nodes.show(at)}: expected a mapping, got {_kind(value)}")
        return {}

    def merged(
        self, shared: Mapping[str, dict[str, Any]], entry: Mapping[str, Any], at: nodes.Path
    ) -> tuple[models.Protocol, dict[str, Any], Any] | None:
        """The claim's protocol, its run's overrides of the protocol, and its run; None if one is not valid."""
        protocol_at, run_at = (*at, "protocol"), (*at, "run")
        sections = {key: self.section(entry, (*at, key)) for key in ("protocol", "run")}
        protocol_dict = merge(shared["protocol"], sections["protocol"])
        run_dict = merge(shared["run"], sections["run"])
        before = len(self.problems)
        protocol = self.validate(models.Protocol, protocol_dict, protocol_at, fallback=("protocol",))
        evaluator = run_dict.get("evaluator")
        if evaluator is None:
            self.problem(run_at if "run" in entry else at, f"{nodes.show(at)}: run lacks the required key 'evaluator'")
            return None
        if not isinstance(evaluator, str) or evaluator not in RUNS:
            place = self.place((*run_at, "evaluator"), ("run",))
            self.problem(
                place,
                f"{nodes.show(place)}: unknown evaluator {evaluator!r}{nearest(str(evaluator), RUNS)}; "
                f"known: {', '.join(sorted(RUNS))}",
            )
            return None
        overrides = {key: value for key, value in run_dict.items() if key in PROTOCOL_KEYS}
        own = {key: value for key, value in run_dict.items() if key not in PROTOCOL_KEYS}
        run = self.validate(
            RUNS[evaluator], own, run_at, fallback=("run",), more=() if evaluator == "parameters" else PROTOCOL_KEYS
        )
        if protocol is None or run is None:
            return None
        settings = self.validate(models.Protocol, merge(protocol_dict, overrides), run_at, fallback=("run",))
        if settings is None or len(self.problems) > before:
            return None
        for key in NEEDS[evaluator]:
            if getattr(settings, key) is None:
                example = ', "" for no prompt' if key == "prompt" else ""
                self.problem(
                    at,
                    f"{nodes.show(at)}: the evaluator {evaluator} needs {key}; give it in protocol, or in run where "
                    f"the paper does not state it{example}",
                )
        return protocol, overrides, run

    def claim(
        self,
        paper: models.Paper,
        section: models.ClaimSection,
        merged: tuple[models.Protocol, dict[str, Any], models.Run],
        at: nodes.Path,
    ) -> Claim:
        protocol, overrides, run = merged
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
            "overrides": overrides,
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
            digest=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
        )

    def check_number(self, parts: Mapping[str, Any], at: nodes.Path) -> None:
        """Contradictions around the number itself, among those `parts` of the claim that are valid by themselves."""
        reported, tolerance, citation = parts["reported"], parts["tolerance"], parts["citation"]
        if not isinstance(reported, models.Reported):
            return
        value, unit = reported.value.value, reported.unit
        info = self.metrics.get(reported.metric)
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
        else:
            low, high = (Decimal(str(limit)) * PER_NATURAL[unit] for limit in (info.low, info.high))
            if not low <= value <= high:
                self.problem(
                    (*at, "reported", "value"),
                    f"{reported.value.text} {unit} lies outside the range of {reported.metric}, "
                    f"{low.normalize():f} to {high.normalize():f}",
                )
        if isinstance(tolerance, models.Tolerance) and tolerance.partial.around(value) < tolerance.pass_.around(value):
            self.problem(
                (*at, "tolerance"),
                f"the partial band ({tolerance.partial.text}) is narrower than the pass band ({tolerance.pass_.text})",
            )
        if isinstance(citation, models.Citation) and not _quotes(citation.quoted_text, reported.value.text):
            self.problem(
                (*at, "citation", "quoted_text"),
                f"quoted_text does not contain the reported value {reported.value.text}: "
                f"{_short(citation.quoted_text)!r}",
            )

    def check_protocol(
        self, reported: models.Reported | None, protocol: models.Protocol, run: models.Run, at: nodes.Path
    ) -> None:
        """Contradictions between protocol, run and metric."""
        info = self.metrics.get(reported.metric) if reported else None
        if reported and info and info.families and protocol.metric and protocol.metric not in info.families:
            place = self.place((*at, "protocol", "metric"), ("protocol",))
            self.problem(
                place,
                f"{reported.metric} is not computed as {protocol.metric!r}"
                f"{nearest(protocol.metric, info.families)}; known: {', '.join(info.families)}",
            )
        decoding = protocol.decoding
        if decoding is not None:
            place = self.place((*at, "protocol", "decoding", "num_beams"), ("protocol",))
            name = nodes.show(place[:-1]) if place[-1] == "num_beams" else nodes.show(place)
            if decoding.strategy == "beam" and decoding.num_beams == 1:
                self.problem(
                    place, f"{name}: beam search with one beam is greedy search; expected num_beams of 2 or more"
                )
            if decoding.strategy == "greedy" and decoding.num_beams not in (1, None):
                self.problem(place, f"{name}: greedy search has one beam, got num_beams {decoding.num_beams}")
            low, high = decoding.min_new_tokens, decoding.max_new_tokens
            if low is not None and high is not None and low > high:
                self.problem(place, f"{name}: min_new_tokens ({low}) is above max_new_tokens ({high})")
        sample = run.sample if isinstance(run, models.CaptioningRun) else None
        if sample and protocol.dataset and sample.size > protocol.dataset.images:
            place = self.place((*at, "run", "sample", "size"), ("run",))
            self.problem(
                place,
                f"{nodes.show(place)}: a sample of {sample.size} cannot be drawn from "
                f"dataset.images, {protocol.dataset.images}",
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
            self.problem(at, f"{nodes.show(at)}: expected a mapping, got {_kind(value)}")
            return None
        try:
            return model.model_validate(value)
        except ValidationError as error:
            details = error.errors(include_url=False)
            misspelt = {
                (*detail["loc"][:-1], match)
                for detail in details
                if detail["type"] == "extra_forbidden"
                for match in [nearest_name(str(detail["loc"][-1]), [*_keys(model, detail["loc"][:-1]), *more])]
            }
            for detail in details:
                # A misspelt key is one mistake: that the right one is missing goes without saying.
                if detail["type"] != "missing" or detail["loc"] not in misspelt:
                    self.explain(model, detail, at, fallback, more)
            return None

    def explain(
        self, model: type[BaseModel], detail: Any, at: nodes.Path, fallback: nodes.Path | None, more: Sequence[str]
    ) -> None:
        """One pydantic error as one line of ours."""
        inner: nodes.Path = tuple(detail["loc"])
        kind, got = detail["type"], detail["input"]
        if kind == "extra_forbidden":
            place = self.place((*at, *inner), fallback)
            known = [*_keys(model, inner[:-1]), *more]
            text = f"unknown key {inner[-1]!r} in {nodes.show(place[:-1])}{nearest(str(inner[-1]), known)}"
            self.problem(place, text if "did you mean" in text else f"{text}; known: {', '.join(known)}")
            return
        if kind == "missing":
            place = self.place((*at, *inner[:-1]), fallback)
            self.problem(place, f"{nodes.show(place)} lacks the required key {inner[-1]!r}")
            return
        # A union lists one error per member, with the member's name as the last part of the location.
        steps = tuple(part for part in inner if isinstance(part, int) or part.isidentifier())
        path = (*at, *steps)
        while steps and path not in self.document.lines and (*(fallback or ()), *steps) not in self.document.lines:
            steps = steps[:-1]
            path = (*at, *steps)
        place = self.place(path, fallback)
        expected = _EXPECTED.get(kind, detail["msg"].removeprefix("Value error, "))
        context = detail.get("ctx", {})
        hint = ""
        if kind == "literal_error":
            expected = f"expected {context['expected']}"
            options = [option.strip(" '") for option in context["expected"].replace(" or ", ",").split(",")]
            hint = nearest(str(got), options)
        if kind == "greater_than":
            expected = f"expected a number above {context['gt']}"
        if kind == "greater_than_equal":
            expected = f"expected a number of at least {context['ge']}"
        self.problem(place, f"{nodes.show(place)}: {expected}, got {_got(got)}{hint}")

    def check_keys(
        self, at: nodes.Path, value: Mapping[str, Any], known: Sequence[str], required: Sequence[str]
    ) -> None:
        for key in value:
            if key not in known:
                hint = nearest(key, known) or f"; known: {', '.join(known)}"
                self.problem((*at, key), f"unknown key {key!r} in {nodes.show(at)}{hint}")
        for key in required:
            if key not in value:
                self.problem(at, f"{nodes.show(at)} lacks the required key {key!r}")

    def place(self, path: nodes.Path, fallback: nodes.Path | None) -> nodes.Path:
        """Where a merged value really stands: in the claim's own section, or in the shared one."""
        if path in self.document.lines or fallback is None:
            return path
        claim_parts = 3  # ("claims", 0, "protocol")
        shared = (*fallback, *path[claim_parts:])
        while len(shared) > 1 and shared not in self.document.lines:
            shared = shared[:-1]
        return shared if shared in self.document.lines else path[: claim_parts - 1]


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `over`, mappings merged key by key, everything else replaced."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


_EXPECTED = {
    "string_type": "expected text",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "bool_type": "expected true or false",
    "dict_type": "expected a mapping",
    "model_type": "expected a mapping",
    "model_attributes_type": "expected a mapping",
    "tuple_type": "expected a list",
    "string_too_short": "expected text that is not empty",
    "string_too_long": "expected at most 20,000 characters",
}


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


def _keys(model: type[BaseModel], path: nodes.Path) -> list[str]:
    """The keys that are valid at `path` below `model`."""
    for part in path:
        found = next((f for n, f in model.model_fields.items() if (f.alias or n) == part), None)
        if found is None:
            return []
        members = [found.annotation, *get_args(found.annotation)]
        inner = next((m for m in members if isinstance(m, type) and issubclass(m, BaseModel)), None)
        if inner is None:
            return []
        model = inner
    return [found.alias or name for name, found in model.model_fields.items()]


def _quotes(text: str, number: str) -> bool:
    """Whether `number` stands in `text` as a number of its own: 3.7 does not stand in 43.7."""
    start = text.find(number)
    while start >= 0:
        before, after = text[:start], text[start + len(number) :]
        inside = before[-1:].isdigit() or (before[-1:] in (".", ",") and before[-2:-1].isdigit())
        longer = after[:1].isdigit() or (after[:1] in (".", ",") and after[1:2].isdigit())
        if not inside and not longer:
            return True
        start = text.find(number, start + 1)
    return False


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, tuple):
        return "a list" if value else "an empty list"
    return _got(value)


def _got(value: object) -> str:
    if isinstance(value, dict | tuple) or value is None:
        return _kind(value)
    if isinstance(value, nodes.Digits):
        return value.text
    if isinstance(value, bool):
        return str(value).lower()
    return repr(_short(value)) if isinstance(value, str) else repr(value)


def _short(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
