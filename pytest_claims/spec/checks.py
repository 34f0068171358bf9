"""Contradictions in a claim: values that are valid one by one, but not together."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from pytest_claims.errors import nearest
from pytest_claims.spec import (
    answering,
    bands,
    citations,
    decoding,
    derived,
    explain,
    given,
    hints,
    models,
    released,
    retrieval,
    values,
)
from pytest_claims.spec.units import PER_NATURAL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_claims.spec import nodes
    from pytest_claims.spec.load import Run
    from pytest_claims.spec.units import MetricInfo

Problem: TypeAlias = "tuple[nodes.Path, str]"
"""Where a contradiction stands, as a path below the claim, and what is wrong there."""


def of_number(parts: Mapping[str, Any], metrics: Mapping[str, MetricInfo]) -> Iterator[Problem]:
    """Contradictions around the number itself.

    Args:
        parts: the claim's citation, reported, tolerance and direction; None for one that is not valid by itself.
        metrics: the metrics that a claim may name.
    """
    reported, tolerance, citation = parts["reported"], parts["tolerance"], parts["citation"]
    if not isinstance(reported, models.Reported):
        return
    value, unit = reported.value.value, reported.unit
    info = metrics.get(reported.metric)
    limits = metric_range(reported, metrics)
    if info is None:
        hint = f"{hints.word(reported.metric, metrics)}; known: {', '.join(sorted(metrics))}"
        yield ("reported", "metric"), f"unknown metric {reported.metric!r}{hint}"
    elif unit not in info.units:
        expected = " or ".join(info.units)
        yield ("reported", "unit"), f"the unit {unit!r} does not fit the metric {reported.metric}; expected {expected}"
    elif limits and not limits[0] <= value <= limits[1]:
        low, high = (f"{limit.normalize():f}" for limit in limits)
        text = f"{reported.value.text} {unit} lies outside the range of {reported.metric}, {low} to {high}"
        yield ("reported", "value"), text
    elif limits and isinstance(tolerance, models.Tolerance):
        worst = None if info.trivial is None else Decimal(str(info.trivial)) * PER_NATURAL[unit]
        yield from bands.unfailing(reported, tolerance, parts["direction"], limits=limits, trivial=worst)
    if isinstance(tolerance, models.Tolerance) and tolerance.partial.around(value) < tolerance.pass_.around(value):
        text = f"the partial band ({tolerance.partial.text}) is narrower than the pass band ({tolerance.pass_.text})"
        yield ("tolerance",), text
    if isinstance(citation, models.Citation) and not values.quotes(citation.quoted_text, reported.value.text):
        text = f"quoted_text does not contain the reported value {reported.value.text}"
        yield ("citation", "quoted_text"), f"{text}: {explain.short(citation.quoted_text)!r}"
    if isinstance(citation, models.Citation) and (other := citations.other_metric(reported.metric, citation)):
        text = f"the column names {other}, the claim reports {reported.metric}"
        yield ("citation", "column"), f"{text}: {explain.short(citation.column)!r}"


def metric_range(reported: models.Reported, metrics: Mapping[str, MetricInfo]) -> tuple[Decimal, Decimal] | None:
    """What the metric can give, in the unit of `reported`; None where the two do not fit."""
    info = metrics.get(reported.metric)
    if info is None or reported.unit not in info.units:
        return None
    low, high = (Decimal(str(limit)) * PER_NATURAL[reported.unit] for limit in (info.low, info.high))
    return low, high


def of_protocol(
    protocol: models.Protocol,
    settings: models.Protocol,
    run: Run,
    reported: models.Reported | None,
    cited: models.Citation | None,
    metrics: Mapping[str, MetricInfo],
) -> Iterator[Problem]:
    """Contradictions between protocol, run and metric: in what the paper did, and in what is run here.

    Args:
        protocol: what the paper did.
        settings: what is run here: the protocol with the overrides of the section run.
        run: the section run.
        reported: the number; None if it is not valid by itself.
        cited: the cell that holds the number; None if it is not valid by itself.
        metrics: the metrics that a claim may name.
    """
    info = metrics.get(reported.metric) if reported else None
    metric = (reported.metric, info.families) if reported and info else None
    stated = list(_contradictions(protocol, metric))
    for path, text in stated:
        yield ("protocol", *path), text
    for path, text in _contradictions(settings, metric):
        if (path, text) not in stated:
            yield ("run", *path), text
    if protocol.decoding:
        yield from ((("protocol", *path), text) for path, text in decoding.of_paper(protocol.decoding))
    if reported and info:
        gives = answering.given_by(run, settings) if isinstance(run, answering.AnsweringRun) else run.gives
        for text in given.problem(reported.metric, run.evaluator, gives, metrics):
            yield ("reported", "metric"), text
    if isinstance(run, derived.DerivedRun):
        yield from ((("run", *path), text) for path, text in derived.of_run(run, reported))
    if isinstance(run, released.PredictionsRun):
        yield from ((("run", *path), text) for path, text in _names(run))
    if isinstance(run, retrieval.RetrievalRun):
        yield from retrieval.of_run(run, settings, cited)
    if not isinstance(run, models.GeneratingRun):
        return
    if isinstance(run, answering.AnsweringRun):
        yield from ((("run", *path), text) for path, text in answering.of_run(run))
        yield from ((("protocol", *path), text) for path, text in answering.of_prompt(protocol.prompt))
        if settings.prompt != protocol.prompt:
            yield from ((("run", *path), text) for path, text in answering.of_prompt(settings.prompt))
    chosen, dataset = settings.decoding, settings.dataset
    if chosen and chosen.strategy == "beam" and chosen.num_beams is None:
        text = "beam search needs a number of beams; give it in run where the paper does not state it"
        yield ("protocol", "decoding", "num_beams"), text
    if chosen:
        unable = decoding.of_run(chosen, answering=isinstance(run, answering.AnsweringRun))
        yield from ((("protocol", *path), text) for path, text in unable)
    if run.sample and dataset and run.sample.size > dataset.images:
        text = f"a sample of {run.sample.size} cannot be drawn from dataset.images, {dataset.images}"
        yield ("run", "sample", "size"), text


def _names(run: released.PredictionsRun) -> Iterator[Problem]:
    """Two names for one thing, and names that do not fit the outputs."""
    given = (
        (run.predictions, "caption", "prediction", "predictions"),
        (run.references, "captions", "references", "references"),
    )
    for file, old, new, section in given:
        if old not in file.model_fields_set:
            continue
        if getattr(file, new) is not None:
            yield (section, new), f"{old} and {new} name the same key; expected one of them"
        elif run.noun != "caption":
            yield (section, old), f"the outputs are {run.noun}s; expected the key {new} in place of {old}"
    for extra in run.predictions.extras or ():
        if extra in (run.references.extras or ()):
            yield ("references", "extras"), f"{extra!r} is an extra of the predictions too; expected it once"


def _contradictions(protocol: models.Protocol, metric: tuple[str, Sequence[str]] | None) -> Iterator[Problem]:
    """Contradictions within one section: the path below the section, and what is wrong there."""
    if metric and metric[1] and protocol.metric and protocol.metric not in metric[1]:
        name, families = metric
        hint = f"{nearest(protocol.metric, families)}; known: {', '.join(families)}"
        yield ("metric",), f"{name} is not computed as {protocol.metric!r}{hint}"
    chosen = protocol.decoding
    if chosen is None:
        return
    yield from decoding.of_keys(chosen)
    if chosen.strategy == decoding.RANK:
        return
    if chosen.strategy == "beam" and chosen.num_beams == 1:
        yield (
            ("decoding", "num_beams"),
            "beam search with one beam is greedy search; expected num_beams of 2 or more, or the strategy greedy",
        )
    if chosen.strategy == "greedy" and chosen.num_beams not in (1, None):
        yield ("decoding", "num_beams"), f"greedy search has one beam, got num_beams {chosen.num_beams}"
    low, high = chosen.min_new_tokens, chosen.max_new_tokens
    if low is not None and high is not None and low > high:
        yield ("decoding", "min_new_tokens"), f"min_new_tokens ({low}) is above max_new_tokens ({high})"
