"""The section run of an evaluator that a plugin adds through the hook `pytest_claims_evaluators`."""

from __future__ import annotations

from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field

from pytest_claims.spec.models import Model, PredictionsProtocol, Protocol
from pytest_claims.spec.values import Noun, Text, relative_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class HookedRun(Model):
    """What a claim file says under `run`. A plugin adds its own keys in a subclass; files are of the type `DataPath`.

    The class also says what the evaluator gives, so that a claim is refused before anything runs.
    """

    protocol: ClassVar[type[Protocol]] = PredictionsProtocol
    """What the evaluator needs of a protocol is required there."""
    runs_checkpoint: ClassVar[bool] = False

    noun: ClassVar[Noun] = "label"
    """What an output is called."""
    gives: ClassVar[tuple[str, ...]] = ("text",)
    """What a metric can read of the outputs: `text`, `ranked`, or both."""
    observes: ClassVar[tuple[str, ...]] = ("dataset",)
    """The axes that a run reads from the objects that ran: the fields of `protocol.Observed` that its evidence fills."""

    evaluator: Text = Field(description="the name of the evaluator")

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that the run section names: every value of the type `DataPath`."""
        return tuple(dict.fromkeys(_paths_of(self)))


class UnknownRun(HookedRun):
    """Any section run, for a command that checks a claim file and must not run the plugin's code."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    gives: ClassVar[tuple[str, ...]] = ()
    """Only the plugin knows."""


def _paths_of(model: BaseModel) -> Iterator[str]:
    for name, field in type(model).model_fields.items():
        yield from _paths(getattr(model, name), field.annotation, field.metadata)


def _paths(value: Any, annotation: Any, metadata: Sequence[Any]) -> Iterator[str]:
    """The paths in a value, given its type."""
    if isinstance(value, BaseModel):
        yield from _paths_of(value)
    elif isinstance(value, str):
        if any(getattr(part, "func", None) is relative_path for part in metadata):
            yield value
        elif get_origin(annotation) is Annotated:
            inner, *further = get_args(annotation)
            yield from _paths(value, inner, further)
        elif get_origin(annotation) in (Union, UnionType):
            for member in get_args(annotation):
                yield from _paths(value, member, ())
    elif isinstance(value, tuple | list | dict):
        of = next((member for member in _members(annotation) if get_origin(member) in (tuple, list, dict)), None)
        for item in value.values() if isinstance(value, dict) else value:
            for member in get_args(of):
                yield from _paths(item, member, ())


def _members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
