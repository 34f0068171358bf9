"""Walks through mappings inside mappings, with the dotted path that leads to each place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def sections(value: object, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object inside a JSON value, with the dotted path that leads to its keys: `""`, `text_config.`, …"""
    if isinstance(value, dict):
        yield place, value
        for key, inner in value.items():
            yield from sections(inner, f"{place}{key}.")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from sections(inner, f"{place}{index}.")


def flat(value: Mapping[str, Any], prefix: str = "", *, whole: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every value that is no mapping, or an empty one, with its dotted key: `decoding.num_beams`.

    Args:
        value: the outermost mapping.
        prefix: what stands before each key.
        whole: keys whose mappings are values.
    """
    for key, item in value.items():
        if isinstance(item, Mapping) and item and key not in whole:
            yield from flat(item, f"{prefix}{key}.", whole=whole)
        else:
            yield f"{prefix}{key}", item
