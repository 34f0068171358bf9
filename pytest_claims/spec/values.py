"""The values in a claim file that are more than text or a number: printed numbers, bands, paths, and words from a list."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, PlainValidator, StringConstraints, WithJsonSchema

from pytest_claims.spec.nodes import Digits
from pytest_claims.spec.units import METRICS

Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
Positive = Annotated[int, Field(gt=0)]
Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """A number as a paper prints it; the digits say how exactly it is known."""

    text: str
    value: Decimal

    @property
    def half_digit(self) -> Decimal:
        """Half of the last printed decimal: 0.05 for `43.7`, 0.005 for `43.70`, 0.5 for `107`."""
        exponent = self.value.as_tuple().exponent
        assert isinstance(exponent, int)  # noqa: S101 - infinities and NaN cannot be written in a claim file
        return Decimal(5).scaleb(exponent - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A tolerance: an amount in the reported unit, or a percentage of the reported value."""

    text: str
    amount: Decimal
    relative: bool

    def around(self, reported: Decimal) -> Decimal:
        """The width of the band on either side of `reported`, in the reported unit."""
        return abs(reported) * self.amount / 100 if self.relative else self.amount


def _printed(value: object) -> Printed:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("expected a number as the paper prints it, such as 43.7")
    text = value.text if isinstance(value, Digits) else str(value)
    return Printed(text=text, value=Decimal(text))


_PERCENTAGE = re.compile(r"([0-9]{1,40}(?:\.[0-9]{1,40})?) ?%")


def _band(value: object) -> Band:
    expected = "expected a number in the reported unit, such as 1.0, or a percentage of the reported value, such as 35%"
    if isinstance(value, str) and (match := _PERCENTAGE.fullmatch(value)):
        return Band(text=value, amount=Decimal(match[1]), relative=True)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(expected)
    if value < 0:
        raise ValueError(f"{expected}; a band cannot be negative")
    text = value.text if isinstance(value, Digits) else str(value)
    return Band(text=text, amount=Decimal(text), relative=False)


def relative_path(value: object) -> object:
    """`value`, unless it is a path that leads elsewhere than below a folder."""
    if isinstance(value, str) and (value.startswith(("/", "~", "\\")) or "://" in value or ".." in value.split("/")):
        raise ValueError("expected a path below the claim file's folder or a --claims-data folder, without '..'")
    return value


PrintedNumber = Annotated[Printed, PlainValidator(_printed), WithJsonSchema({"type": "number"})]
ToleranceBand = Annotated[
    Band,
    PlainValidator(_band),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?%$"}]}
    ),
]
DataPath = Annotated[Text, BeforeValidator(relative_path)]

Unit = Literal["percent", "fraction", "million", "billion", "count", "times"]
StatusName = Literal["pass", "partial", "fail", "pending", "error"]
Precision = Literal["float16", "bfloat16", "float32"]
Noun = Literal["caption", "answer", "label", "ranking"]
"""What the output of an evaluator is called. The plural of each ends in `s`."""
NOUNS: tuple[Noun, ...] = get_args(Noun)
Resample = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]


ARXIV_ID = r"^([0-9]{4}\.[0-9]{4,5}|[a-z-]+(\.[A-Z]{2})?/[0-9]{7})$"
CLAIM_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,119}$"
OPERAND = r"^[a-z][a-z0-9_]{0,39}$"
OPERAND_CLAIM = r"^([A-Za-z0-9_][A-Za-z0-9._-]{0,119}\.ya?ml::)?[A-Za-z0-9][A-Za-z0-9._-]{0,119}$"
PATTERNS = {
    OPERAND: "a name of at most 40 small letters, digits and '_', the first a letter",
    OPERAND_CLAIM: "the id of a claim of this file, or FILE.yaml::ID of a file in the same folder",
    ARXIV_ID: "an arXiv id without its version, such as '2301.12597'",
    CLAIM_ID: "at most 120 letters, digits, '.', '_' and '-', the first a letter or a digit",
}
"""What each pattern asks for, in words."""

_METRICS = sorted(METRICS)
_FAMILIES = sorted({family for info in METRICS.values() for family in info.families})


def _completed(names: list[str]) -> WithJsonSchema:
    """Any text, for which an editor offers these names: a plugin may add more of them."""
    return WithJsonSchema({"anyOf": [{"enum": names}, {"maxLength": 20_000, "minLength": 1, "type": "string"}]})


MetricName = Annotated[Text, _completed(_METRICS)]
Family = Annotated[Text, _completed(_FAMILIES)]

_THOUSANDS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])")


def quotes(text: str, number: str) -> bool:
    """Whether `text` holds `number` as a number of its own: "43.7" does not hold 3.7, "107,130,880" holds 107130880."""
    return _stands(text, number) or _stands(_THOUSANDS.sub(lambda match: match[0].replace(",", ""), text), number)


def _stands(text: str, number: str) -> bool:
    start = text.find(number)
    while start >= 0:
        before, after = text[:start], text[start + len(number) :]
        inside = before[-1:].isdigit() or (before[-1:] in (".", ",") and before[-2:-1].isdigit())
        longer = after[:1].isdigit() or (after[:1] in (".", ",") and after[1:2].isdigit())
        if not inside and not longer:
            return True
        start = text.find(number, start + 1)
    return False
