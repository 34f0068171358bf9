"""Claims, claim files and the data that they are about, for every test that needs some.

A claim is a `dict` (`claim`, `of_status`), and so is a claim file (`predictions`, `captioning`, `parameters`, `derived`: one
skeleton for each evaluator). `write` makes the file. A `Decimal` keeps its digits in it: `Decimal("43.70")`.

Each builder takes changes. A change names a key by its path, with `__` for each step down: `run__references__path="refs.json"`.
A mapping or a list replaces what was there. `...` takes the key out.
"""

from __future__ import annotations

import copy
import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Document = dict[str, Any]

CAPTIONS = {"1": "a dog runs on the beach", "2": "two men play a game of chess", "3": "a red bus stops at the corner"}
"""Released captions that equal their references: every metric is perfect."""

PREDICTIONS = {"a": "a cat on a mat", "b": "a dog in the snow", "c": "two red buses"}
REFERENCES = {
    "a": ["a cat sits on a mat", "a cat on a mat"],
    "b": ["a dog runs in the snow", "the dog is white"],
    "c": ["two red buses in a street", "buses on a road"],
}
"""Released captions that differ from their references: no metric is perfect."""

_CLAIM = ("id", "citation", "reported", "tolerance", "direction", "expect")

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_@./-]*( [A-Za-z0-9_@./-]+)*|[0-9]+(\.[0-9]+)?%")
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
"""What YAML does not read as text."""


def changed(document: Document, **changes: Any) -> Document:
    """A copy of a claim or a claim file with these changes."""
    result = copy.deepcopy(document)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = result
        for parent in parents:
            place = place.setdefault(parent, {})
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return result


def claim(
    name: str = "one", *, metric: str = "bleu1", value: str = "100.0", unit: str = "percent", **changes: Any
) -> Document:
    """A claim of `value`; 100 per cent is what `CAPTIONS` get."""
    result = {
        "id": name,
        "citation": {
            "section": "Table 1",
            "row": "ours",
            "column": metric.replace("bleu", "B@"),
            "quoted_text": f"ours {value}",
        },
        "reported": {"metric": metric, "value": Decimal(value), "unit": unit},
        "tolerance": {"pass": 0, "partial": 20},
    }
    return changed(result, **changes)


STATUS: Mapping[str, dict[str, Any]] = {
    "pass": {},
    "partial": {"value": "90.0"},
    "fail": {"value": "50.0"},
    "pending": {"run__dataset__id": "other"},
    "not_attempted": {"run__predictions__path": "missing.json"},
    "error": {"run__references__captions": "no-such-key"},
}
"""What makes `claim` come out with a status, in the file that `put` writes."""


def of_status(status: str, name: str | None = None, **changes: Any) -> Document:
    """A claim that comes out with `status`, by default named after it."""
    return claim(name or status.replace("_", "-"), **STATUS[status], **changes)


def predictions(*claims: Document, images: int = 3, **changes: Any) -> Document:
    """A claim file about released captions, as `released` writes them."""
    document = {
        "paper": {"arxiv_id": None, "title": "A paper", "source_url": "https://example.org/paper"},
        "protocol": {"dataset": {"id": "tiny", "images": images}, "metric": "coco-caption"},
        "run": {
            "evaluator": "predictions",
            "predictions": {"path": "out.json", "id": "image_id", "caption": "caption"},
            "references": {"path": "refs.json"},
        },
        "claims": list(claims or [claim()]),
    }
    return changed(document, **changes)


def captioning(*claims: Document, images: int = 2, **changes: Any) -> Document:
    """A claim file about `rows.parquet`, captioned by the folder `model` as the shipped shapes claim has it."""
    document = {
        "paper": {"arxiv_id": None, "source_url": "README.md", "title": "shapes"},
        "protocol": {
            "checkpoint": {"id": "model"},
            "dataset": {"id": "rows.parquet", "split": "test", "images": images},
            "image": {"size": 64, "resize": "bicubic"},
            "prompt": "a photo of",
            "decoding": {"strategy": "beam", "num_beams": 5, "max_new_tokens": 30, "min_new_tokens": 1},
            "precision": "float32",
            "metric": "coco-caption",
        },
        "run": {"evaluator": "captioning"},
        "claims": list(claims),
    }
    return changed(document, **changes)


def parameters(*claims: Document, **changes: Any) -> Document:
    """A claim file about the size of the model in `config.json`."""
    document = {
        "paper": {"arxiv_id": None, "title": "A paper", "source_url": "https://example.org/paper"},
        "run": {"evaluator": "parameters", "config": {"path": "config.json"}},
        "claims": list(claims),
    }
    return changed(document, **changes)


def derived(*claims: Document, **changes: Any) -> Document:
    """A claim file of sentences; `sentence` makes its claims."""
    document = {
        "paper": {"arxiv_id": "2301.12597", "title": "A paper"},
        "run": {"evaluator": "derived"},
        "claims": list(claims or [sentence()]),
    }
    return changed(document, **changes)


def sentence(name: str = "gain", **changes: Any) -> Document:
    """A claim "outperforms theirs by 8.7%", from the cells 65.0 and 56.3 of Table 1."""
    result = {
        "id": name,
        "citation": {
            "section": "Abstract",
            "row": "ours against theirs",
            "column": "VQAv2",
            "quoted_text": "our model outperforms theirs by 8.7% on VQAv2",
        },
        "reported": {"metric": "difference", "value": Decimal("8.7"), "unit": "percent"},
        "tolerance": {"pass": 0, "partial": Decimal("0.5")},
        "run": {
            "expression": "ours - theirs",
            "operands": {"ours": cell("65.0", "ours"), "theirs": cell("56.3", "theirs")},
        },
    }
    return changed(result, **changes)


def cell(value: str, row: str, column: str = "VQAv2", *, unit: str = "percent") -> Document:
    """An operand of a sentence: a number with its cell."""
    citation = {"section": "Table 1", "row": row, "column": column, "quoted_text": f"{row} {value}"}
    return {"value": Decimal(value), "unit": unit, "citation": citation}


def write(path: Path, document: Document, *, block: bool = False) -> Path:
    """Write a claim file, and the folders above it.

    Args:
        path: of the file.
        document: its content.
        block: a line for every key; else as `yaml_of` has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml_of(document, block=block), encoding="utf-8")
    return path


def yaml_of(document: Document, *, block: bool = False) -> str:
    """A claim file as text: a line for every key of a section and of a claim, and what is below them in flow style."""
    return "\n".join([*_lines(document, depth=99 if block else 2), ""])


def released(folder: Path, captions: Mapping[str, str] = CAPTIONS, *, coco: bool = False) -> None:
    """Write released captions, `out.json`, and references that equal them, `refs.json`.

    Args:
        folder: where they go.
        captions: by image.
        coco: the references stand in COCO's `annotations`; else in an object by image.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"image_id": name, "caption": text} for name, text in captions.items()]
    references = {"annotations": rows} if coco else {name: [text] for name, text in captions.items()}
    (folder / "out.json").write_text(json.dumps(rows), encoding="utf-8")
    (folder / "refs.json").write_text(json.dumps(references), encoding="utf-8")


def put(
    folder: Path,
    *claims: Document,
    name: str = "claims/paper.yaml",
    captions: Mapping[str, str] = CAPTIONS,
    **changes: Any,
) -> Path:
    """Write `predictions(*claims, **changes)`, and beside it released captions and COCO's references."""
    path = write(folder / name, predictions(*claims, images=len(captions), **changes))
    released(path.parent, captions, coco=True)
    return path


def claim_file(folder: Path, name: str = "claim.yaml", **changes: Any) -> Path:
    """Write a claim file with one claim, BLEU-4 of `PREDICTIONS` against `REFERENCES`, with a line for every key.

    A change that begins with a key of a claim (id, citation, reported, tolerance, direction, expect) is of the claim:
    `tolerance__pass=0`. A changed `reported__value` is quoted too, unless the quotation is changed as well.
    """
    if "reported__value" in changes:
        changes.setdefault("citation__quoted_text", f"ours {changes['reported__value']}")
    of_claim = {path: value for path, value in changes.items() if path.split("__")[0] in _CLAIM}
    one = claim("three-images-bleu4", metric="bleu4", value="43.7", tolerance={"pass": 1, "partial": "35%"})
    document = predictions(
        changed(one, **of_claim),
        paper={"arxiv_id": "2301.12597", "title": "A paper: with captions"},
        protocol__dataset={"id": "three-images", "split": "test", "images": 3},
        run__predictions__path="predictions.json",
        run__references={"path": "references.json", "id": "image_id", "captions": "caption"},
    )
    others = {path: value for path, value in changes.items() if path not in of_claim}
    return write(folder / name, changed(document, **others), block=True)


def caption_files(folder: Path) -> None:
    """Write what `claim_file` is about: `predictions.json` and `references.json`."""
    rows = [{"image_id": name, "caption": text} for name, text in PREDICTIONS.items()]
    (folder / "predictions.json").write_text(json.dumps(rows), encoding="utf-8")
    (folder / "references.json").write_text(json.dumps(REFERENCES), encoding="utf-8")


def _lines(value: Any, depth: int, indent: str = "") -> list[str]:
    if isinstance(value, dict) and value and depth > 0:
        lines = []
        for key, inner in value.items():
            below = _lines(inner, depth - 1, indent + "  ")
            nested = isinstance(inner, dict | list) and inner and depth > 1
            lines += [f"{indent}{_flow(key)}:", *below] if nested else [f"{indent}{_flow(key)}: {below[0].strip()}"]
        return lines
    if isinstance(value, list) and value and depth > 0:
        lines = []
        for inner in value:
            first, *others = _lines(inner, depth, indent + "  ")
            lines += [f"{indent}- {first.strip()}", *others]
        return lines
    return [indent + _flow(value)]


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    text = json.dumps(value, ensure_ascii=False)
    return re.sub(
        r"[^ -~]", lambda found: f"\\U{ord(found[0]):08x}", text
    )  # a pair of surrogates would be two characters
