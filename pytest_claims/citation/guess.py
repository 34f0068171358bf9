"""What a cell's headers and its own digits suggest about its metric and its unit. A guess, to be read by a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_claims.citation import numbers, words

if TYPE_CHECKING:
    from pytest_claims.citation.grid import Value

SHARES = ("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider")
"""Metrics of captions that are shares, and their names among the words of a header."""


def metric(value: Value) -> str:
    """The metric that the headers name; empty where they name none that an evaluator gives."""
    for path in (value.column_path, value.row_path):
        found = words.all_terms(path)
        if named := [name for name in SHARES if name in found]:
            return named[0]
        if "parameters" in found:
            if found & {"trainable", "trained"}:
                return "trainable_parameters"
            return "total_parameters" if "total" in found else ""
    return ""


def unit(value: Value, metric_name: str) -> str:
    """The unit that the digits suggest: `1.1B` is in billions, a BLEU of 0.437 a fraction."""
    (first, *_) = numbers.numbers(value.text)
    if metric_name.endswith("parameters"):
        return {"m": "million", "b": "billion"}.get(first.suffix, "count")
    return "fraction" if first.text.lstrip("-").startswith("0.") else "percent"
