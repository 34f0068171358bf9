"""The metrics that are not ours: each is checked when it is registered, before a claim names it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from pytest_claims import spec
from pytest_claims.errors import EvaluationError, NotAttempted, SettingsError, nearest
from pytest_claims.spec import given

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_claims.metrics import Metric

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

EXAMPLE = "docs/metrics.md has an example"


def gather(metrics: Iterable[Any], source: str) -> dict[str, Metric]:
    """Metrics by name, each checked.

    Args:
        metrics: what was registered.
        source: who registered it, for messages.

    Raises:
        SettingsError: one of them is no metric, or has a name that is taken.
    """
    found: dict[str, Metric] = {}
    for metric in metrics:
        if problem := _problem(metric):
            raise SettingsError(f"{source}: {_called(metric)} {problem}; {EXAMPLE}")
        if metric.name in found or metric.name in spec.METRICS:
            raise SettingsError(f"{source}: the metric name {metric.name!r} is taken")
        found[metric.name] = metric
    return found


def infos(extra: Mapping[str, Metric]) -> Mapping[str, spec.MetricInfo]:
    """The metrics that claim files may name: those of pytest-claims, and `extra`."""
    added = {
        name: spec.MetricInfo(
            units=("percent", "fraction"),
            low=metric.low,
            high=metric.high,
            families=(metric.family,),
            # The score of a system that gets nothing right. A metric for which lower is better states it as `trivial`.
            trivial=getattr(metric, "trivial", metric.low),
            needs=getattr(metric, "needs", ("text",)),
        )
        for name, metric in extra.items()
    }
    return {**spec.METRICS, **added}


def check_needs(metric: Metric, gives: Sequence[str], evaluator: str, noun: str) -> None:
    """Refuse a metric that reads something of the outputs which they do not have.

    Args:
        metric: the metric.
        gives: what the outputs have: `text`, `ranked`, or both.
        evaluator: the name of the evaluator.
        noun: what it calls an output.

    Raises:
        EvaluationError: the metric is refused. The message says what is missing, and which evaluators give it.
    """
    from pytest_claims.metrics.needs import needs_of

    for need in needs_of(metric):
        if need not in gives:
            others = ", ".join(given.GIVEN_BY[need])
            raise EvaluationError(
                f"{metric.name} needs {given.NEEDS[need]}, and the {noun}s of the evaluator {evaluator} have none; expected an "
                f"evaluator that gives it: {others}."
            )


def missing(metric: Metric | None) -> NotAttempted | None:
    """What a metric lacks on this machine, such as a program that it runs; None if nothing.

    Raises:
        EvaluationError: the metric's `missing` gave something else.
    """
    ask = getattr(metric, "missing", None)
    if metric is None or ask is None:
        return None
    found = ask() if callable(ask) else ask
    if found is None or isinstance(found, NotAttempted):
        return found
    raise EvaluationError(
        f"The metric {metric.name}: missing() gave {_short(found)}, expected None or a pytest_claims.errors.NotAttempted; "
        f"{EXAMPLE}."
    )


def check_score(score: Any, metric: Metric, *, images: int) -> None:
    """Refuse what a metric gave, if it is no score of every image. (`soundness` refuses what is not a number.)

    Raises:
        EvaluationError: it is refused.
    """
    from pytest_claims.metrics import Score

    who = f"The metric {metric.name}"
    if not isinstance(score, Score):
        raise EvaluationError(f"{who} gave {_short(score)}, expected a pytest_claims.metrics.Score; {EXAMPLE}.")
    if score.family != metric.family:
        raise EvaluationError(f"{who} is of the family {metric.family!r}, and its score says {score.family!r}.")
    if score.n != images or len(score.per_image) != images:
        raise EvaluationError(
            f"{who} scored {score.n:,} images and {len(score.per_image):,} one by one, of {images:,}."
        )
    if not math.isnan(score.value) and not _within(score.value, metric):
        raise EvaluationError(f"{who} gave {score.value}, outside its range from {metric.low} to {metric.high}.")


def _within(value: float, metric: Metric) -> bool:
    slack = 1e-9 * max(1.0, abs(value))  # the last bits of a mean of values at the end of the range
    return metric.low - slack <= value <= metric.high + slack


def _short(value: object) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"


def _called(metric: Any) -> str:
    name = getattr(metric, "name", None)
    kind = f"the class {metric.__name__}" if isinstance(metric, type) else f"a {type(metric).__name__}"
    return f"the metric {name!r} ({kind})" if isinstance(name, str) else kind


def _problem(metric: Any) -> str:
    """What keeps an object from being a metric, in words that follow its name; empty if nothing does."""
    if isinstance(metric, type):
        return f"is a class; expected an object of it: {metric.__name__}()"
    for key in ("name", "family", "low", "high", "signature", "score"):
        if not hasattr(metric, key):
            return f"has no {key!r}{nearest(key, [name for name in dir(metric) if not name.startswith('_')])}"
    for key in ("signature", "score"):
        if not callable(getattr(metric, key)):
            return f"has a {key!r} that cannot be called; expected a method"
    if not isinstance(metric.name, str) or not NAME.fullmatch(metric.name):
        return "needs another name: expected at most 64 letters, digits, '.', '_' and '-'"
    if not isinstance(metric.family, str) or not metric.family.strip():
        return f"has the family {metric.family!r}; expected text, the value of protocol.metric in a claim file"
    return _needs(metric) or _range(metric)


def _needs(metric: Any) -> str:
    from pytest_claims.metrics.needs import NEEDS

    needs = getattr(metric, "needs", ())
    if not isinstance(needs, tuple) or (hasattr(metric, "needs") and not needs):
        return f"has needs = {needs!r}; expected a tuple such as ('text',)"
    unknown = next((need for need in needs if need not in NEEDS), None)
    if unknown is None:
        return ""
    hint = nearest(unknown, NEEDS) if isinstance(unknown, str) else ""
    return f"needs {unknown!r}{hint}; known: {', '.join(NEEDS)}"


def _range(metric: Any) -> str:
    numbers = {"low": metric.low, "high": metric.high, "trivial": getattr(metric, "trivial", metric.low)}
    for key, value in numbers.items():
        if key == "trivial" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            return f"has {key} = {value!r}; expected a number of its natural range"
    if not metric.low < metric.high:
        return f"has a range from {metric.low} to {metric.high}; expected low below high"
    trivial = numbers["trivial"]
    if trivial is not None and not metric.low <= trivial <= metric.high:
        return f"has trivial = {trivial}, outside its range from {metric.low} to {metric.high}"
    return ""
