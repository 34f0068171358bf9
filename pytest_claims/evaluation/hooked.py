"""Runs the plans of evaluators that plugins add, and checks what they give before anything is scored."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pytest_claims import machine
from pytest_claims.errors import EvaluationError
from pytest_claims.evidence import Basis, Evidence, Output
from pytest_claims.protocol import Observed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_claims.bench import Bench
    from pytest_claims.protocol import HookedPlan

EXAMPLE = "docs/extending.md has an example."

OWN = ("quantities", "parts", "derivation", "differing", "replayed")
"""The fields of evidence that only evaluators of pytest-claims fill: a number without a metric, a hidden replay."""


def evaluate(plan: HookedPlan, bench: Bench) -> Evidence:
    """The evidence that the plugin's evaluator gives for a plan.

    Raises:
        NotAttempted: something is missing on this machine.
        EvaluationError: the run failed, or what it gave is no evidence.
    """
    run = plan.run
    given: Any = bench.evaluators[run.evaluator].evaluate(plan)
    problem = next(_problems(given, plan), None)
    if problem:
        raise EvaluationError(f"The evaluator {run.evaluator} {problem}; {EXAMPLE}")
    outputs = tuple(sorted(given.outputs, key=lambda output: output.id))
    images = plan.protocol.dataset.images if plan.protocol.dataset else len(outputs)
    evidence: Evidence = replace(
        given,
        outputs=outputs,
        population=images if len(outputs) < images else None,
        observed=replace(given.observed, scored=len(outputs)),
        provenance={**machine.facts(), **given.provenance, "evaluator": run.evaluator},
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return evidence


def _problems(given: Any, plan: HookedPlan) -> Iterator[str]:
    """What keeps an object from being the evidence of a plan, in words that follow the evaluator's name."""
    run = plan.run
    if not isinstance(given, Evidence):
        yield f"gave {_short(given)}, expected a pytest_claims.evaluators.Evidence"
        return
    if given.basis not in (Basis.REPRODUCED, Basis.RESCORED):
        yield f"gave evidence of the basis {given.basis!s}; expected reproduced (a model ran) or rescored (outputs were read)"
    default = Evidence(basis=Basis.REPRODUCED)
    for name in OWN:
        if getattr(given, name) != getattr(default, name):
            yield f"fills {name}, which only evaluators of pytest-claims may"
    if given.noun != run.noun:
        yield f"calls its outputs {given.noun}s, and {type(run).__name__} says {run.noun}s"
    yield from _of_outputs(given.outputs)
    if given.basis is Basis.REPRODUCED and given.images is None:
        yield "does not say how many rows there were (images)"
    missing = [need for need in run.gives if need not in given.gives]
    if missing:
        yield f"gives no {missing[0]}, and {type(run).__name__} says that it does"
    yield from _of_axes(given.observed, run.observes)
    if any(not isinstance(value, str | int | float | None) for value in given.provenance.values()):
        yield "has a provenance with a value that is neither text nor a number"


def _of_outputs(outputs: Any) -> Iterator[str]:
    if not isinstance(outputs, tuple) or not outputs or not all(isinstance(output, Output) for output in outputs):
        yield f"gave {_short(outputs)} as its outputs, expected a tuple of Output, at least one"
        return
    seen: set[str] = set()
    for output in outputs:
        if not isinstance(output.id, str) or not output.id or output.id in seen:
            yield f"gave the id {output.id!r} twice, or it is no text"
        seen.add(output.id)
        if not isinstance(output.text, str):
            yield f"gave {_short(output.text)} for {output.id!r}, expected text"
        if not _texts(output.references) or not output.references:
            yield f"gave {_short(output.references)} as the references of {output.id!r}, expected a tuple of texts"
        if not _texts(output.ranked):
            yield f"gave {_short(output.ranked)} as the ranking of {output.id!r}, expected a tuple of texts"
        if not _texts(tuple(output.extras.values())):
            yield f"gave an extra for {output.id!r} that is no text"


def _of_axes(observed: Any, declared: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(observed, Observed):
        yield f"observed {_short(observed)}, expected an Observed"
        return
    for name in AXES:
        facts = getattr(observed, name)
        if name in declared and not _plain(facts):
            yield f"declares that it observes the axis {name}, and gave {_short(facts)}, expected a dict of plain values"
        if name not in declared and facts is not None:
            yield f"observed the axis {name}, which its run model does not declare (observes)"
    for name in ("metric", "candidate", "operands"):
        if getattr(observed, name) is not None:
            yield f"observed {name}, which pytest-claims fills"


AXES = tuple(
    field.name for field in fields(Observed) if field.name not in ("metric", "scored", "seed", "candidate", "operands")
)
"""The axes that an evaluator can observe."""


def _texts(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, str) for item in value)


def _plain(facts: Any) -> bool:
    """Whether facts are a dict that JSON can hold."""
    import json

    if not isinstance(facts, dict):
        return False
    try:
        json.dumps(facts, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return all(isinstance(key, str) for key in facts)


def _short(value: object) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
