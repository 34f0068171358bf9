"""The JSON Schema of claim files, as an editor uses it: what it explains and what it completes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_claims.spec import METRICS, schema
from pytest_claims.spec.units import PER_NATURAL

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA: dict[str, Any] = json.loads(schema.generate())


def properties(value: Any, where: str = "$") -> Iterator[tuple[str, Any]]:
    """Every property of the schema, with its place."""
    if isinstance(value, dict):
        yield from ((f"{where}.{name}", rule) for name, rule in value.get("properties", {}).items())
        for key, inner in value.items():
            yield from properties(inner, f"{where}/{key}")


def test_every_property_is_described() -> None:
    """An editor shows a sentence for every key of a claim file."""
    found = dict(properties(SCHEMA))
    assert len(found) > 80
    assert [where for where, rule in found.items() if len(rule.get("description", "")) < 10] == []


def test_names_are_completed() -> None:
    """An editor offers every metric, every unit and every family, and marks no name that a plugin may add."""
    reported = SCHEMA["$defs"]["Reported"]["properties"]
    offered, other = reported["metric"]["anyOf"]
    assert offered == {"enum": sorted(METRICS)}
    assert other["type"] == "string"
    assert set(reported["unit"]["enum"]) == set(PER_NATURAL)
    families = SCHEMA["$defs"]["Protocol"]["properties"]["metric"]["anyOf"][0]["enum"]
    assert families == ["coco-caption", "exact-match", "retrieval", "vqa"]
