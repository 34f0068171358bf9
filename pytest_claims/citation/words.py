"""Words of a citation and words of a table, made comparable; how well the one fits the other."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_claims.citation.numbers import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_CITED = re.compile(
    r"\((?:[^()]{0,80}?(?:et\s+al\.?|&|,)[^()]{0,20}?)?(?:19|20)[0-9]{2}[a-z]?(?:[;,][^()]{0,200})?\)|\[[0-9]{1,3}(?:\s?[,-]\s?[0-9]{1,3}){0,20}\]"
    r"|[A-Z][\w'’-]{0,40}\s+et\s+al\.?,?\s*(?:\(?(?:19|20)[0-9]{2}[a-z]?\)?)?"
)
"""`(Li et al., 2022)`, `[12, 14]` and `Li et al. (2022)`: in the name of a row they say where a model comes from."""

_MARKS = re.compile(r"[†‡§¶*⋆★☆∗♠♣♦♥△▲▽▼↑↓⁎]+")

# What a token is: a number with at most one letter of size, or a run of letters.
_TOKEN = re.compile(r"[0-9]+(?:[.,][0-9]+)*(?:[kmbt](?![^\W0-9_])|%)?|[^\W0-9_]+")

_JOINED = (
    (re.compile(r"(?<=[0-9])\s?×"), "x "),  # "54×" of a formula is the "54x" that people type
    (re.compile(r"(?<=[0-9])\s+%"), "%"),
    (re.compile(r"\bb(?:leu)?\s?[-@_ ]?\s?([1-4])(?![0-9.])"), r" bleu\1 "),
    (re.compile(r"\br(?:ouge)?\s?[-@_ ]\s?l\b|\brougel\b"), " rouge_l "),
    (re.compile(r"\b(?:recall|r)\s?@\s?([0-9]+)\b"), r" recall at \1 "),
    (re.compile(r"\bcider-?d\b"), " cider "),
    (re.compile(r"\bfine[- ]?tun(?:ed|ing|e)\b"), " finetuned "),
    (re.compile(r"\bzero[- ]?shot\b"), " zeroshot "),
    (re.compile(r"\bfew[- ]?shot\b"), " fewshot "),
    (re.compile(r"\btest[- ]dev\b"), " testdev "),
    (re.compile(r"\btest[- ]std\b"), " teststd "),
    (re.compile(r"\bin[- ]domain\b"), " indomain "),
    (re.compile(r"\bnear[- ]domain\b"), " neardomain "),
    (re.compile(r"\bout[- ](?:of[- ])?domain\b"), " outdomain "),
)
"""Different spellings of one term. `OPT-2.7B` needs no such rule: its hyphen separates tokens as a space does."""

_SAME: Mapping[str, str] = {
    "param": "parameters", "params": "parameters", "parameter": "parameters", "val": "validation", "acc": "accuracy",
    "avg": "average", "mean": "average", "overall": "overall", "full": "overall", "entire": "overall", "ft": "finetuned",
    "zs": "zeroshot", "c": "cider", "s": "spice", "m": "meteor", "models": "model", "methods": "method",
}  # fmt: skip
"""Short and long forms. The single letters are those that tables of captions use."""

_EMPTY = frozenset({
    "a", "an", "the", "of", "on", "for", "and", "with", "by", "to", "from", "at", "in", "set", "split", "score", "scores",
    "result", "results", "value", "column", "row", "number", "model", "method", "data", "dataset",
})  # fmt: skip
"""Words that tell no row from another and no column from another; a citation may have them or not."""


_ALONE: Mapping[tuple[str, ...], tuple[str]] = {
    ("in",): ("indomain",),
    ("near",): ("neardomain",),
    ("out",): ("outdomain",),
}
"""What a header of this one word means: NoCaps' domains."""


@lru_cache(maxsize=20_000)
def tokens(text: str) -> tuple[str, ...]:
    """The words and numbers of `text`, lower-cased, in one spelling."""
    return _tokens(text)


@lru_cache(maxsize=400)
def page_tokens(text: str) -> tuple[str, ...]:
    """`tokens` of a whole page; few of them are kept, since they are large."""
    return _tokens(text)


def _tokens(text: str) -> tuple[str, ...]:
    text = unicodedata.normalize("NFKC", plain(text)).translate({0xAD: None, 0x200B: None, 0x2206: "Δ"})
    text = _MARKS.sub(" ", text).lower()
    for pattern, replacement in _JOINED:
        text = pattern.sub(replacement, text)
    found = (match[0] for match in re.finditer(r"rouge_l|bleu[1-4]|" + _TOKEN.pattern, text))
    return tuple(token.replace(",", "") if token[0].isdigit() else token for token in found)


@lru_cache(maxsize=20_000)
def terms(text: str) -> frozenset[str]:
    """The words of a header or of a citation's row or column that tell it from others."""
    return frozenset(_ordered(text))


@lru_cache(maxsize=20_000)
def _ordered(text: str) -> tuple[str, ...]:
    """`terms` as they follow one another."""
    if len(text) <= 2_000:
        text = _CITED.sub(" ", text)
    found = tokens(text)
    if found in _ALONE:
        return _ALONE[found]
    same = tuple(_SAME.get(token, token) for token in found)
    return tuple(token for token in same if token not in _EMPTY) or same


def in_order(cited: str, headers: Iterable[str]) -> bool:
    """Whether the words that a citation shares with a header follow one another as there, in each of some headers.

    The headers themselves may stand in any order. `Image → Text` and `Text → Image` have the same words.
    """
    for header in headers:
        rest = iter(_ordered(cited))
        # `in` goes on behind the word before
        if not all(word in rest for word in _ordered(header) if word in terms(cited)):
            return False
    return True


def all_terms(texts: Iterable[str]) -> frozenset[str]:
    """The terms of several texts together."""
    return frozenset().union(*map(terms, texts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How well the words of a citation fit those of a header."""

    covered: float
    """Share of the citation's words that the header has, 0 to 1."""
    exact: bool
    """The header has no word more."""
    whole: bool
    """Every word of the citation stands in the header, or in the caption."""
    ordered: bool
    """The words stand in the header's order."""

    @property
    def rank(self) -> tuple[bool, float, bool]:
        """The higher, the better."""
        return self.whole, self.covered, self.exact


def fit(cited: str, headers: tuple[str, ...], caption: frozenset[str], others: frozenset[str]) -> Fit:
    """Compare the words of a citation with those of one row's or one column's headers.

    Args:
        cited: the citation's words.
        headers: the headers.
        caption: the caption's, which belong to every header.
        others: those of all headers of the table. A word that some header has tells them apart, so that it must stand in
            this one, whether or not the caption has it too.
    """
    wanted, header = terms(cited), all_terms(headers)
    shared = wanted & header
    missing = wanted - header
    return Fit(
        covered=len(shared) / len(wanted) if wanted else 0.0,
        exact=header <= wanted,
        whole=bool(shared) and not (missing & others) and missing <= caption,
        ordered=in_order(cited, headers),
    )
