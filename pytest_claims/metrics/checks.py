"""Checks of what is given to a metric. All raise `MetricError` with the place, the value and what was expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_claims.errors import MetricError


def shown(value: object) -> str:
    """A value and its type, for a message."""
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"


def check_sequence(role: str, given: object) -> None:
    """Refuse what is not a list with one item per image."""
    if given is None and role in ("ids", "ranked"):
        return
    # numpy arrays and pandas series are no `Sequence`, yet have a length and an order.
    if isinstance(given, str | bytes | Mapping | set | frozenset) or not hasattr(given, "__len__"):
        raise MetricError(f"The {role} are {shown(given)}, expected a list with one item per image.")


def check_ids(ids: Sequence[str]) -> bool:
    """Refuse ids that are not strings, or not unique; whether they are sorted. Sorted ids need no memory."""
    before = None
    for position, id_ in enumerate(ids):
        if not isinstance(id_, str):
            raise MetricError(f"The id at position {position} is {shown(id_)}, expected a string.")
        if before is not None and not before < id_:
            break
        before = id_
    else:
        return True
    seen: set[str] = set()
    for position, id_ in enumerate(ids):
        if not isinstance(id_, str):
            raise MetricError(f"The id at position {position} is {shown(id_)}, expected a string.")
        if id_ in seen:
            raise MetricError(f"The id {id_!r} stands for more than one image, expected unique ids.")
        seen.add(id_)
    return False


def check_ranking(id_: str, given: object) -> tuple[str, ...]:
    """The ranking of an image, the best first; refused if it is no list of texts, or ranks one twice."""
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Sequence):
        raise MetricError(f"Image {id_!r}: the ranking is {shown(given)}, expected a list of strings, the best first.")
    seen: set[str] = set()
    for place, text in enumerate(given):
        check_text(id_, f"rank {place + 1}", text)
        if text in seen:
            raise MetricError(f"Image {id_!r}: {text!r} is ranked twice, the second time at {place + 1}.")
        seen.add(text)
    return tuple(given)


def check_text(id_: str, role: str, text: object) -> None:
    """Refuse what is not a text that a file can hold."""
    if not isinstance(text, str):
        raise MetricError(f"Image {id_!r}: {role} is {shown(text)}, expected a string.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        # No file can hold such text. It was decoded with "surrogateescape", or is half of a UTF-16 pair.
        raise MetricError(
            f"Image {id_!r}: {role} has a lone surrogate U+{ord(text[error.start]):04X} at position {error.start}, "
            f"expected text that can be written as UTF-8."
        ) from None


def check_whole(name: str, value: object, *, least: int) -> None:
    """Refuse what is not a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise MetricError(f"{name} is {shown(value)}, expected a whole number of at least {least}.")
