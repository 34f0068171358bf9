"""Two runs, and their scores, → how they compare."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pytest_claims.paired import pairing, rule
from pytest_claims.paired.models import Decision, Difference, Loss, Outputs, PairedComparison
from pytest_claims.spec.units import PER_NATURAL, to_unit

if TYPE_CHECKING:
    from decimal import Decimal

    from pytest_claims.evidence import Evidence, Output
    from pytest_claims.metrics import Metric, Pair, Score

LOSSES = 20
"""How many of the largest losses are kept."""


def compare(
    pair: Pair,
    metric: Metric,
    candidate: tuple[Evidence, Score],
    reference: tuple[Evidence, Score],
    *,
    unit: str,
    margin: Decimal | None,
    made: str,
) -> PairedComparison:
    """The comparison of two runs that may be paired.

    Args:
        pair: the corpora of both runs.
        metric: the claim's metric.
        candidate: the candidate's evidence and score.
        reference: the reference's.
        unit: the reported unit.
        margin: the largest loss that is accepted, in the reported unit.
        made: where the reference's outputs come from.
    """
    (ours, our_score), (theirs, their_score) = candidate, reference
    found = _difference(pair, metric, our_score, their_score, unit)
    images = len(ours.outputs)
    decision = None if margin is None else rule.decide(found, margin)
    decide = (
        rule.images_to_decide(found, margin, images)
        if margin is not None and decision is Decision.INCONCLUSIVE
        else None
    )
    return PairedComparison(
        made=made,
        images=images,
        difference=found,
        outputs=_outputs(ours, our_score, theirs, their_score, unit, lower_is_better=found.lower_is_better),
        settings=ours.differing,
        notes=(*_unresampled(metric, found, images), *pairing.notes(ours, theirs)),
        margin=margin,
        decision=decision,
        reason=_sentence(found, unit, margin, decision, decide),
        images_to_decide=decide,
    )


def trivial(metric: Metric) -> float:
    """The score of a system that gets nothing right, in natural units. A metric for which lower is better states it."""
    stated = getattr(metric, "trivial", None)
    return metric.low if stated is None else float(stated)


def lower_is_better(metric: Metric) -> bool:
    """Whether a lower value is the better one: a system that gets nothing right is nearer to the upper end."""
    return abs(metric.high - trivial(metric)) < abs(trivial(metric) - metric.low)


def _difference(pair: Pair, metric: Metric, ours: Score, theirs: Score, unit: str) -> Difference:
    lower, found = lower_is_better(metric), pair.difference(metric, ours, theirs)
    return Difference(
        value=to_unit(ours.value, unit) - to_unit(theirs.value, unit),
        low=to_unit(found.low, unit) if found else None,
        high=to_unit(found.high, unit) if found else None,
        level=found.level if found else None,
        standard_error=to_unit(found.standard_error, unit) if found else None,
        probability_worse=(found.higher if lower else found.lower) if found else None,
        resamples=found.resamples if found else None,
        lower_is_better=lower,
    )


def _unresampled(metric: Metric, found: Difference, images: int) -> tuple[str, ...]:
    if found.low is not None or images < 2:
        return ()
    said = (
        f"{metric.name} cannot be resampled, so its difference has no interval: its value is not the mean over images, and the "
        "metric has no `statistics` and `value`."
    )
    return (said,)


def _outputs(
    ours: Evidence, our_score: Score, theirs: Evidence, their_score: Score, unit: str, *, lower_is_better: bool
) -> Outputs:
    before = {output.id: output for output in theirs.outputs}
    changed = sum(_said(output) != _said(before[output.id]) for output in ours.outputs)
    if any(len(score.per_image) != len(before) for score in (our_score, their_score)):
        return Outputs(changed=changed, better=None, worse=None, losses=())  # another plugin's metric may give none
    sign, factor = (-1 if lower_is_better else 1), float(PER_NATURAL[unit])
    known = dict(zip((output.id for output in theirs.outputs), their_score.per_image, strict=True))
    better = 0
    losses: list[tuple[float, Loss]] = []
    for output, score in zip(ours.outputs, our_score.per_image, strict=True):
        gain = sign * round(score - known[output.id], 12)  # so that equal losses are equal
        better += gain > 0
        if gain < 0 and math.isfinite(gain):
            told = Loss(
                id=output.id,
                reference=before[output.id].shown,
                candidate=output.shown,
                reference_score=known[output.id] * factor,
                candidate_score=score * factor,
            )
            losses.append((gain, told))
    losses.sort(key=lambda pair: (pair[0], pair[1].id))
    return Outputs(changed=changed, better=better, worse=len(losses), losses=tuple(told for _, told in losses[:LOSSES]))


def _said(output: Output) -> tuple[str, tuple[str, ...]]:
    return output.text, output.ranked


def _sentence(
    found: Difference, unit: str, margin: Decimal | None, decision: Decision | None, decide: int | None
) -> str:
    """The decision, with the numbers that it rests on."""

    def amount(value: Decimal) -> str:
        return f"{value:z.4f}" if unit == "fraction" else f"{value:z.2f}"

    span, points = found.loss_span, " points" if unit == "percent" else ""
    ends = f"95 % interval of the loss {amount(span[0])} to {amount(span[1])}" if span else "without an interval"
    verb = "loses" if found.loss >= 0 else "gains"
    loss = f"The candidate {verb} {amount(abs(found.loss))}{points} against the reference ({ends})"
    if margin is None or decision is None:
        return f"{loss}."
    told = {
        Decision.INFERIOR: f"credibly more than the margin of {margin.normalize():f}",
        Decision.NON_INFERIOR: f"credibly at most the margin of {margin.normalize():f}",
        Decision.INCONCLUSIVE: f"and these images cannot tell whether that is more than the margin of {margin.normalize():f}",
    }[decision]
    if decision is Decision.INCONCLUSIVE and span:
        told += f"; about {decide:,} images would" if decide else "; no feasible number of images would"
    return f"{loss}, {told}."
