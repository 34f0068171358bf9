"""Small valid claim files, and the data that they are about."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PREDICTIONS = {"a": "a cat on a mat", "b": "a dog in the snow", "c": "two red buses"}
REFERENCES = {
    "a": ["a cat sits on a mat", "a cat on a mat"],
    "b": ["a dog runs in the snow", "the dog is white"],
    "c": ["two red buses in a street", "buses on a road"],
}

_CLAIM = ("id", "citation", "reported", "tolerance", "direction", "expect")


def claim_file(folder: Path, name: str = "claim.yaml", **changes: Any) -> Path:
    """Write a valid claim file: one claim, BLEU-4 of released captions (`caption_files` writes them), no torch needed.

    A change names a key by its path, with `__` for each step down: `run__references__path="refs.json"`. What begins with a
    key of a claim (id, citation, reported, tolerance, direction, expect) is of the first claim: `tolerance__pass=0`. A
    mapping or a list replaces what was there, `...` takes the key out, and a `Decimal` keeps its digits: `Decimal("43.70")`.
    A changed `reported__value` is quoted too, unless the quotation is changed as well.
    """
    content: dict[str, Any] = {
        "paper": {"arxiv_id": "2301.12597", "title": "A paper: with captions"},
        "protocol": {"dataset": {"id": "three-images", "split": "test", "images": 3}, "metric": "coco-caption"},
        "run": {
            "evaluator": "predictions",
            "predictions": {"path": "predictions.json", "id": "image_id", "caption": "caption"},
            "references": {"path": "references.json", "id": "image_id", "captions": "caption"},
        },
        "claims": [
            {
                "id": "three-images-bleu4",
                "citation": {"section": "Table 3", "row": "ours", "column": "B@4", "quoted_text": "ours 43.7"},
                "reported": {"metric": "bleu4", "value": Decimal("43.7"), "unit": "percent"},
                "tolerance": {"pass": 1, "partial": "35%"},
            }
        ],
    }
    if "reported__value" in changes:
        changes.setdefault("citation__quoted_text", f"ours {changes['reported__value']}")
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = content["claims"][0] if path.split("__")[0] in _CLAIM else content
        for parent in parents:
            place = place.setdefault(parent, {})
        if value is ...:
            del place[last]
        else:
            place[last] = value
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join([*_block(content), ""]), encoding="utf-8")
    return target


def caption_files(
    folder: Path, predictions: Mapping[str, str] = PREDICTIONS, references: Mapping[str, list[str]] = REFERENCES
) -> None:
    """Write the captions that `claim_file` is about: `predictions.json` and `references.json`."""
    rows = [{"image_id": name, "caption": text} for name, text in predictions.items()]
    (folder / "predictions.json").write_text(json.dumps(rows), encoding="utf-8")
    (folder / "references.json").write_text(json.dumps(references), encoding="utf-8")


def _block(value: Any, indent: str = "") -> list[str]:
    """`value` as lines of YAML in block style, every key on a line of its own."""
    if isinstance(value, dict) and value:
        lines = []
        for key, inner in value.items():
            below = _block(inner, indent + "  ")
            nested = isinstance(inner, dict | list) and inner
            lines += [f"{indent}{key}:", *below] if nested else [f"{indent}{key}: {below[0].strip()}"]
        return lines
    if isinstance(value, list) and value:
        lines = []
        for inner in value:
            first, *others = _block(inner, indent + "  ")
            lines += [f"{indent}- {first.strip()}", *others]
        return lines
    return [indent + (str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False))]
