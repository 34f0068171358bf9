"""What a mistake in a claim file was probably meant to be: the hint at the end of a problem.

Each function gives text to append to a sentence, and "" where nothing is likely.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_claims.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ALIASES: Mapping[str, str] = {
    "%": "percent", "pct": "percent", "percentage": "percent", "point": "percent", "points": "percent",
    "m": "million", "millions": "million", "b": "billion", "bn": "billion", "billions": "billion",
    "fp16": "float16", "half": "float16", "bf16": "bfloat16", "fp32": "float32", "float": "float32", "full": "float32",
    "beam search": "beam", "beam_search": "beam", "greedy search": "greedy", "greedy_search": "greedy",
    "ciderd": "cider", "cider-d": "cider", "rouge": "rouge_l", "bleu": "bleu4",
    "acc": "accuracy", "top1": "accuracy", "top-1": "accuracy", "acc1": "accuracy",
    "top5": "accuracy_top5", "top-5": "accuracy_top5", "acc5": "accuracy_top5", "em": "exact_match", "vqa": "vqa_accuracy",
}  # fmt: skip
"""How people write what a claim file has one word for."""

_DECIMAL_COMMA = re.compile(r"([0-9]+),([0-9]{1,2}|[0-9]{4,})( ?%)?")
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+")
_WITH_SIGN = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(?:%|percent|points?|[MB]|million|billion)")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def word(given: str, known: Iterable[str]) -> str:
    """For a word that is not among those that are known: `BLEU-4` is `bleu4`, `%` is `percent`, `fp16` is `float16`."""
    names = list(known)
    found = alias(given, names)
    return f", did you mean {found!r}?" if found else nearest(given, names)


def alias(given: str, known: Iterable[str]) -> str | None:
    """The known word that another way to write it stands for; None if there is none. Misspellings are none."""
    names = list(known)
    plain = {_plain(name): name for name in names}
    found = _ALIASES.get(given.strip().lower()) or plain.get(_plain(given)) or _ALIASES.get(_plain(given))
    if found is None and (short := re.fullmatch(r"b(?:leu)?@?([1-4])", given.strip().lower())):  # B@4
        found = f"bleu{short[1]}"
    if found is None and (short := re.fullmatch(r"[it]?r(?:ecall)?[@_-]?(1|5|10)", given.strip().lower())):  # R@5, TR@1
        found = f"recall_at_{short[1]}"
    return found if found in names else None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


def number(given: object, *, percentage: bool = False) -> str:
    """For a text where a number belongs.

    Args:
        given: the value.
        percentage: whether a percentage is valid too.
    """
    if not isinstance(given, str):
        return ""
    text = given.strip()
    if found := _DECIMAL_COMMA.fullmatch(text):
        sign = "%" if percentage and found[3] else ""
        return f", did you mean {found[1]}.{found[2]}{sign}? A point separates the decimals"
    if _THOUSANDS.fullmatch(text):
        return f", did you mean {text.replace(',', '')}? Write it without commas"
    if _NUMBER.fullmatch(text):
        return f", did you mean {text}, without quotes?"
    if found := _WITH_SIGN.fullmatch(text):
        if percentage:
            return f", did you mean {found[1]}%?"
        return f", did you mean {found[1]}? The unit stands under unit"
    return ""


def text(given: object, written: str) -> str:
    """For a number, or true and false, where text belongs.

    Args:
        given: the value.
        written: as the file writes it.
    """
    return f'; in quotes it is text: "{written}"' if isinstance(given, bool | int | float) else ""


def comma(key: str, before: tuple[str, str] | None) -> str:
    """For an unknown key that is the rest of a value: between braces, `value: 43,7` has the keys `value` and `7`.

    Args:
        key: the unknown key.
        before: the key before it, and that key's value as the file writes it; None if there is none.
    """
    if before is None or not re.fullmatch(r"[0-9][0-9.]*%?", key):
        return ""
    name, value = before
    value = value.strip("'")
    if _NUMBER.fullmatch(value):
        return f", did you mean {name}: {value}.{key}? Between braces a comma separates keys"
    return f'; between braces a comma separates keys, so text with a comma needs quotes: {name}: "{value}, {key}"'


def syntax(problem: str, line: str, column: int) -> str:
    """For a file that is no YAML.

    Args:
        problem: what the parser says.
        line: the text of the line at which it stopped.
        column: where on the line, counted from 0.
    """
    line = line[:2_000]
    if "mapping values are not allowed" in problem:
        found = re.match(r"\s*(?:- )?([\w.-]+): +([^\"'{\[].*)", line)
        example = f': {found[1]}: "{found[2].strip()[:60]}"' if found and '"' not in found[2] else ""
        return f"; a value that has ': ' in it needs quotes{example}"
    if "flow mapping" in problem and re.search(r": [^,{}\"']*: ", line):
        return "; between braces, too, a value that has ': ' in it needs quotes"
    if "cannot start any token" in problem:
        sign = line[column : column + 1]
        meant = "; the unit is written percent" if sign == "%" else ""
        return f"; a value that begins with {sign!r} needs quotes{meant}" if sign.strip() else ""
    if "scanning an alias" in problem or "scanning an anchor" in problem:
        return "; a value that begins with '*' or '&' needs quotes"
    return ""
