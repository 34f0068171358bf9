"""pydantic's errors, in the words of a claim file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from pytest_claims.spec import hints, models, nodes, values

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def check_override(key: str, value: object) -> str:
    """What is wrong with `value` for the dotted protocol key `key`, or "": `expected a whole number, got 'five'`.

    A claim file may say null, since a paper may not state a key. A run needs a value, so null is wrong here.
    """
    *parents, last = key.split(".")
    model: type[BaseModel] = models.Protocol
    for parent in parents:
        model = models_in(model.model_fields[parent].annotation)[0]
    field = model.model_fields[last]
    kind: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    try:
        TypeAdapter(kind, config=ConfigDict(strict=True)).validate_python(value)
    except ValidationError as error:
        details = [explained(detail) for detail in error.errors(include_url=False)]
        return f"{either([expected for expected, _ in details])}, got {details[0][1]}"
    return "expected a value to run with, got nothing" if value is None else ""


def steps(value: object, loc: Sequence[str | int]) -> nodes.Path:
    """The part of a pydantic location that is a path in the file, without the name of a union's member at its end."""
    path: list[str | int] = []
    for part in loc:
        if isinstance(value, dict) and part in value:
            value = value[str(part)]
        elif isinstance(value, tuple) and isinstance(part, int):
            value = value[part]
        else:
            break
        path.append(part)
    return tuple(path)


def either(members: Sequence[str]) -> str:
    """`expected A or B` of `expected A` and `expected B`."""
    first, *others = dict.fromkeys(members)
    return " or ".join([first, *(text.removeprefix("expected ") for text in others)])


def explained(detail: Any) -> tuple[str, str]:
    """What one pydantic error expected, and what it found."""
    kind, got, context = detail["type"], detail["input"], detail.get("ctx", {})
    expected = _EXPECTED.get(kind, detail["msg"].removeprefix("Value error, "))
    hint = ""
    if kind == "literal_error":
        expected = f"expected {context['expected']}"
        options = [option.strip(" '") for option in context["expected"].replace(" or ", ",").split(",")]
        hint = hints.word(str(got), options)
    if kind in ("int_type", "float_type"):
        hint = hints.number(got)
    if kind == "value_error":
        hint = hints.number(got, percentage="percentage" in expected)
    if kind == "string_type":
        hint = hints.text(got, quote(got))
    if kind == "greater_than":
        expected = f"expected a number above {context['gt']:g}"
    if kind == "greater_than_equal":
        expected = f"expected a number of at least {context['ge']:g}"
    if kind == "string_pattern_mismatch":
        expected = f"expected {values.PATTERNS[context['pattern']]}"
    return expected, f"{quote(got)}{hint}"


def keys(model: type[BaseModel], path: nodes.Path) -> list[str]:
    """The keys that are valid at `path` below `model`."""
    named = False
    for part in path:
        if named:  # the name of an entry of a mapping, not a key
            named = False
            continue
        found = next((f for n, f in model.model_fields.items() if (f.alias or n) == part), None)
        if found is None:
            return []
        inner = models_in(found.annotation)
        if not inner:
            return []
        model, named = inner[0], get_origin(found.annotation) is dict
    return [found.alias or name for name, found in model.model_fields.items()]


def models_in(annotation: object) -> list[type[BaseModel]]:
    """The models among the members of a field's type."""
    return [m for m in (annotation, *get_args(annotation)) if isinstance(m, type) and issubclass(m, BaseModel)]


def describe(value: object) -> str:
    """`value` in words: a mapping, a list, nothing, or what it is."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, tuple):
        return "a list" if value else "an empty list"
    return quote(value)


def quote(value: object) -> str:
    """`value` as its file writes it, text in quotes."""
    if isinstance(value, dict | tuple) or value is None:
        return describe(value)
    if isinstance(value, nodes.Digits):
        return value.text
    if isinstance(value, bool):
        return str(value).lower()
    return repr(short(value)) if isinstance(value, str) else repr(value)


def short(text: str, limit: int = 60) -> str:
    """The first `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
