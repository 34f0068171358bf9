"""What a citation must agree with before anybody looks into the paper: its metric, and the file's other citations."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_claims.spec.load import Claim
    from pytest_claims.spec.models import Citation

_ACCURACY = re.compile(r"\bacc(?:uracy|\.)?(?![\w-])", re.IGNORECASE)

NAMED: Mapping[str, re.Pattern[str]] = {
    **{f"bleu{n}": re.compile(rf"\bb(?:leu)?\s?[-@_]?\s?{n}(?![0-9.])", re.IGNORECASE) for n in (1, 2, 3, 4)},
    "rouge_l": re.compile(r"\br(?:ouge)?[-_ ]?l\b", re.IGNORECASE),
    "cider": re.compile(r"\bcider\b", re.IGNORECASE),
    "trainable_parameters": re.compile(r"\btrain(?:able|ed)?\b.*\bparam", re.IGNORECASE),
    "total_parameters": re.compile(r"\b(?:total|all)\b.*\bparam", re.IGNORECASE),
    "spice": re.compile(r"\bspice\b", re.IGNORECASE),
    "meteor": re.compile(r"\bmeteor\b", re.IGNORECASE),
    **{f"recall_at_{k}": re.compile(rf"\b(?:recall|[it]?r)\s?@\s?{k}(?![0-9.])", re.IGNORECASE) for k in (1, 5, 10)},
    **dict.fromkeys(("accuracy", "vqa_accuracy"), _ACCURACY),
    "accuracy_top5": re.compile(r"\btop[- ]?5\b|\bacc(?:uracy)?\s?@\s?5(?![0-9])", re.IGNORECASE),
    "exact_match": re.compile(rf"{_ACCURACY.pattern}|\bexact[- ]match\b|\bem\b", re.IGNORECASE),
    # Metrics that no evaluator here gives, and that stand beside ours in tables.
    "recall": re.compile(r"\brecall\b(?!\s?@)|\br\s?@\s?(?!(?:1|5|10)(?![0-9]))[0-9]+", re.IGNORECASE),
    "perplexity": re.compile(r"\b(?:perplexity|ppl)\b", re.IGNORECASE),
}
"""How tables write metrics, by the metric's name."""


DOUBLES = 10
"""How many other claims a claim names at most: a file may cite one number under thousands of columns."""


def other_metric(metric: str, citation: Citation) -> str:
    """The metric that the cited column names, if it is not the claim's; empty where the words do not contradict the claim.

    In a transposed table the metric stands in the row.
    """
    if metric not in NAMED:
        return ""
    named = [name for name, pattern in NAMED.items() if pattern.search(citation.column)]
    if not named or metric in named or NAMED[metric].search(citation.row):
        return ""
    return named[0]


def with_doubles(claims: Sequence[Claim]) -> tuple[Claim, ...]:
    """The claims of a file; each one knows those that cite its number from the same row under another column."""
    places: dict[tuple[str, ...], dict[str, list[str]]] = {}
    """By number, then by column: the claims that cite it there."""
    keys = [(_number(claim), _folded(claim.citation.column)) for claim in claims]
    for claim, (number, column) in zip(claims, keys, strict=True):
        places.setdefault(number, {}).setdefault(column, []).append(f"{claim.citation.column} ({claim.id})")
    return tuple(
        replace(claim, doubles=_others(places[number], column)) if len(places[number]) > 1 else claim
        for claim, (number, column) in zip(claims, keys, strict=True)
    )


def _others(cited: Mapping[str, Sequence[str]], column: str) -> tuple[str, ...]:
    return tuple(islice(chain.from_iterable(told for other, told in cited.items() if other != column), DOUBLES))


def _number(claim: Claim) -> tuple[str, ...]:
    citation, reported = claim.citation, claim.reported
    return (_folded(citation.section), _folded(citation.row), reported.metric, reported.value.text, reported.unit)


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()
