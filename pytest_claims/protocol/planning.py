"""Makes the plan of a claim under the options of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pytest_claims import command
from pytest_claims.errors import EvaluationError
from pytest_claims.protocol.plans import (
    AnsweringPlan,
    CaptioningPlan,
    DerivedPlan,
    HookedPlan,
    ParametersPlan,
    PredictionsPlan,
)
from pytest_claims.protocol.retrieval import RetrievalPlan
from pytest_claims.spec import (
    AnsweringRun,
    CaptioningProtocol,
    DerivedRun,
    GeneratingRun,
    HookedRun,
    ParametersRun,
    PredictionsProtocol,
    PredictionsRun,
    Protocol,
    RetrievalProtocol,
    RetrievalRun,
    decoding,
    merge,
)
from pytest_claims.spec.answering import of_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pytest_claims.protocol.plans import Plan
    from pytest_claims.settings import Settings
    from pytest_claims.spec import Claim
    from pytest_claims.spec.decoding import Decoding

P = TypeVar("P", bound=Protocol)


def plan(claim: Claim, settings: Settings) -> Plan:
    """The plan for `claim` under the options in `settings`.

    Raises:
        EvaluationError: an override makes the protocol invalid, or a claim that runs no checkpoint has a candidate.
    """
    folders, runs = (claim.file.parent, *settings.data), command.to_make(claim, settings)
    match claim.run:
        case GeneratingRun() as run:
            return _generating(claim, run, settings, folders, runs)
        case RetrievalRun() as run:
            ranked = _protocol(RetrievalProtocol, claim, settings)
            total = ranked.dataset.images if run.query == "image" else ranked.ranking.texts
            shared = _of_checkpoint(run, total, claim, settings)
            return RetrievalPlan(claim=claim, run=run, protocol=ranked, folders=folders, command=runs, **shared)
        case PredictionsRun() as run:
            _refuse_candidate(claim, settings, f"re-scores released {run.noun}s")
            scored = _protocol(PredictionsProtocol, claim, settings)
            return PredictionsPlan(claim=claim, run=run, protocol=scored, folders=folders, command=runs)
        case ParametersRun() as run:
            _refuse_candidate(claim, settings, "counts the configuration that it names")
            return ParametersPlan(claim=claim, run=run, folders=folders, command=runs)
        case DerivedRun() as run:
            _refuse_candidate(claim, settings, "computes its number from others")
            return DerivedPlan(claim=claim, run=run, folders=folders, command=runs)
        case HookedRun() as run:
            _refuse_candidate(claim, settings, "is run by an evaluator of a plugin")
            own = _protocol(run.protocol, claim, settings)
            return HookedPlan(claim=claim, run=run, protocol=own, folders=folders, command=runs)


def _generating(
    claim: Claim, run: GeneratingRun, settings: Settings, folders: tuple[Path, ...], runs: str
) -> CaptioningPlan:
    protocol = _protocol(CaptioningProtocol, claim, settings)
    kind: Callable[..., CaptioningPlan] = CaptioningPlan
    if isinstance(run, AnsweringRun):
        _check_template(protocol.prompt)
        kind = AnsweringPlan
    _check_decoding(protocol.decoding, answering=kind is AnsweringPlan)
    shared = _of_checkpoint(run, protocol.dataset.images, claim, settings)
    return kind(claim=claim, run=run, protocol=protocol, folders=folders, command=runs, **shared)


def _of_checkpoint(
    run: GeneratingRun | RetrievalRun, total: int | None, claim: Claim, settings: Settings
) -> dict[str, Any]:
    """What the plans of all evaluators that run a checkpoint take from the options.

    Args:
        run: the section run.
        total: how many rows could be asked; None if the claim does not state it.
        claim: the claim.
        settings: the options.
    """
    named = candidate(claim, settings)
    image = merge(claim.overrides.get("image") or {}, settings.overrides.get("image", {}))
    size = settings.sample if settings.sample is not None else run.sample.size if run.sample else None
    return {
        "sample": None if size is None or (total is not None and size >= total) else size,
        "seed": run.sample.seed if run.sample else 0,
        "device": settings.device,
        "candidate": named[1] if named else None,
        "image_overrides": tuple(sorted(image.items())),
    }


def _protocol(model: type[P], claim: Claim, settings: Settings) -> P:
    """The protocol that is run, validated as the evaluator's protocol model."""
    from pydantic import ValidationError

    values = merge(merge(claim.protocol.model_dump(exclude_none=True), claim.overrides), settings.overrides)
    _settle_strategy(values.get("decoding"), settings.overrides.get("decoding", {}))
    try:
        return model.model_validate({key: value for key, value in values.items() if value is not None})
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in detail["loc"])
        raise EvaluationError(f"--claims-set {key}: {detail['msg']}, got {detail['input']!r}.") from None


def _check_template(prompt: str) -> None:
    """Raises `EvaluationError` if a prompt that the command line gives is no template for questions."""
    for _, text in of_prompt(prompt):
        raise EvaluationError(f"--claims-set prompt: {text}, got {prompt!r}.")


def _check_decoding(stated: Decoding, *, answering: bool) -> None:
    """Raises `EvaluationError` if the command line gives a decoding that a claim file cannot give."""
    for path, text in (*decoding.of_keys(stated), *decoding.of_run(stated, answering=answering)):
        raise EvaluationError(f"--claims-set {'.'.join(path)}: {text}.")


def _refuse_candidate(claim: Claim, settings: Settings, does: str) -> None:
    if named := candidate(claim, settings):
        raise EvaluationError(
            f"--claims-model={'='.join(named)}: {claim.where}: the claim {claim.id} {does}, and does not run a checkpoint; "
            "the candidate was not evaluated. Name a checkpoint, or a claim whose evaluator is captioning, answering or "
            "retrieval."
        )


def checkpoint_id(claim: Claim, settings: Settings) -> str | None:
    """The id of the checkpoint that a claim runs under the options in `settings`, before a candidate replaces it."""
    stated = claim.protocol.checkpoint
    changed = merge(claim.overrides.get("checkpoint") or {}, settings.overrides.get("checkpoint", {}))
    found: str | None = changed.get("id") or (stated.id if stated else None)
    return found


def candidate(claim: Claim, settings: Settings) -> tuple[str, str] | None:
    """The two sides of the `--claims-model` that applies to a claim, such as `("org/model", "./candidate")`; None if none does.

    A candidate for the claim's own id takes precedence over one for its checkpoint.
    """
    for name in (claim.id, checkpoint_id(claim, settings)):
        if name is not None and name in settings.candidates:
            return name, settings.candidates[name]
    return None


def _settle_strategy(decoding: dict[str, Any] | None, changed: Mapping[str, Any]) -> None:
    """Make strategy and beams agree: `decoding.num_beams=1` implies greedy search, `decoding.strategy=greedy` one beam."""
    if decoding is None:
        return
    if changed.get("num_beams") is not None:
        decoding["strategy"] = "greedy" if decoding["num_beams"] == 1 else "beam"
    elif changed.get("strategy") == "greedy":
        decoding["num_beams"] = 1
