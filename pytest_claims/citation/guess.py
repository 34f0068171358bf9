"""What a cell's headers and its own digits suggest about its metric and its unit. A guess, to be read by a person."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_claims.citation import numbers, words
from pytest_claims.spec.citations import NAMED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_claims.citation.grid import Value

SHARES = (
    "bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider", "meteor", "spice", "recall_at_1", "recall_at_5", "recall_at_10",
    "accuracy_top5",
)  # fmt: skip
"""Metrics that are shares and whose name in a header is theirs alone."""

_LETTERS = {"c": "cider", "m": "meteor", "s": "spice"}
"""What tables of captions call them. Only a header of this one letter: ViT-S is a model."""

_TOP_1 = re.compile(r"\btop[- ]?1(?![0-9])|\bacc(?:uracy)?\s?@\s?1(?![0-9])", re.IGNORECASE)
_TOP_K = re.compile(r"\btop[- ]?[0-9]|\bacc(?:uracy)?\s?@\s?[0-9]", re.IGNORECASE)
_EXACT = re.compile(r"\bexact[- ]match\b|\bem\b", re.IGNORECASE)
_VQA = re.compile(r"(?<![a-z])(?:ok|text)?vqa(?:v?[0-9](?:\.[0-9])?)?(?![a-z0-9])|\bvizwiz\b", re.IGNORECASE)
"""Data sets with ten answers to each question: VQAv2, OK-VQA, TextVQA, VizWiz."""
_GQA = re.compile(r"\bgqa\b", re.IGNORECASE)
"""A data set with one answer to each question."""


def metric(value: Value) -> str:
    """The metric that the headers name; empty where they name none that an evaluator gives."""
    return _of_words(value.column_path) or _of_data(value.column_path) or _of_words(value.row_path)


def _of_words(path: Sequence[str]) -> str:
    """The metric that headers name with a word of its own."""
    found = words.all_terms(path)
    if "parameters" in found:
        if found & {"trainable", "trained"}:
            return "trainable_parameters"
        return "total_parameters" if "total" in found else ""
    text = " ".join(path)
    if named := [
        name for name in SHARES if NAMED[name].search(text) or (name in found and name not in _LETTERS.values())
    ]:
        return named[0]
    alone = [_LETTERS[header[0]] for header in map(words.tokens, path) if len(header) == 1 and header[0] in _LETTERS]
    if alone:
        return alone[0]
    if _EXACT.search(text):
        return "exact_match"
    if _TOP_1.search(text):
        return "accuracy"
    if NAMED["accuracy"].search(text) and not _TOP_K.search(text):
        return _of_data(path) or "accuracy"
    return ""


def _of_data(path: Sequence[str]) -> str:
    """The metric of a data set that headers name: tables of visual questions name no other."""
    text = " ".join(path)
    return "vqa_accuracy" if _VQA.search(text) else "exact_match" if _GQA.search(text) else ""


def unit(value: Value, metric_name: str) -> str:
    """The unit that the digits suggest: `1.1B` is in billions, a BLEU of 0.437 a fraction."""
    (first, *_) = numbers.numbers(value.text)
    if metric_name.endswith("parameters"):
        return {"m": "million", "b": "billion"}.get(first.suffix, "count")
    return "fraction" if first.text.lstrip("-").startswith("0.") else "percent"
