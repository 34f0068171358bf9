"""VQA accuracy as the official evaluation of the VQA data set computes it, its quirks included.

The rule (Antol et al. 2015; https://visualqa.org/evaluation.html): ten people answered each question. An answer is scored
against nine of them, with min(1, n / 3) where n of the nine gave it, and the value is the mean over the ten ways to leave one
out. Before, both sides are normalised: punctuation, lower case, number words, articles, apostrophes of contractions.
The numbers are those of vqaEval.py (GT-Vision-Lab/VQA at a013f00) on Python 2.7, which the published numbers come from. What it
does where nobody would expect it is kept, and said where it happens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_claims.errors import MetricError
from pytest_claims.metrics.base import SIGNATURE_VERSION, mean_score
from pytest_claims.spool import floats

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_claims.metrics.base import Score
    from pytest_claims.metrics.corpus import Corpus

ANSWERS = 10
"""How many people answered each question."""

AGREED = 3
"""An answer that so many people gave is right."""

MEMO_SIZE, MEMO_LENGTH = 65_536, 200
"""How many normalised texts are kept, and the most characters of one. VQAv2 has 214,354 questions, and few distinct answers."""

# ----------------------------------------------------------------------------------------------------
# Words

_ARTICLES = frozenset(("a", "an", "the"))

_NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {**{word: str(number) for number, word in enumerate(_NUMBER_WORDS)}, "none": "0"}
"""Number words become digits; "none" becomes 0."""

_WRITTEN = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't
    not've o'clock oughtn't shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're
    what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't
    would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
"""The contractions that get a lost apostrophe back. Others stay as they are: "im", "ive", "lets", "shell", "well", …"""


def _lost(word: str) -> Iterator[str]:
    """How `word` is written when one of its apostrophes is missing."""
    for place, sign in enumerate(word):
        if sign == "'":
            yield word[:place] + word[place + 1 :]


_CONTRACTIONS = {
    **{lost: word for word in _WRITTEN.split() for lost in _lost(word)},
    "somebody'd": "somebodyd",  # the official table has this one the wrong way round
    "ow's'at": "'ow's'at", "'ows'at": "'ow's'at", "'ow'sat": "'ow's'at",
}  # fmt: skip

# ----------------------------------------------------------------------------------------------------
# Signs

_SIGNS = ';/[]"{}()=+\\_-><@`,?!'
"""What counts as punctuation. The stop is treated on its own; an apostrophe, a colon and any other sign stay."""

_DIGITS_AROUND_COMMA = re.compile(r"\d,\d", re.ASCII)

_STOP = re.compile(r"\.(?!\d)", re.ASCII)
"""A stop that no digit follows. The official pattern has a slip, by which the sign before the stop does not matter."""

_MOST_STOPS = 32
"""The official script passes a flag (re.UNICODE, 32) where `sub` expects how many matches to replace at most."""


def normalise(text: str) -> str:
    """An answer as the official script compares it.

    Examples:
        >>> normalise("The two dogs, isnt it?")
        "2 dogs isn't it"
        >>> normalise("10,000.50"), normalise("black/white"), normalise("10,000 black/white")
        ('10000.50', 'black white', '10000 blackwhite')
    """
    return _normalised(text) if len(text) <= MEMO_LENGTH else _normalise(text)


def _normalise(text: str) -> str:
    # A sign with a blank beside it vanishes, and any other leaves a blank; but one number such as "10,000" anywhere in the text
    # makes every sign of the text vanish.
    number = _DIGITS_AROUND_COMMA.search(text) is not None
    bare = text
    for sign in _SIGNS:
        if sign in bare:
            bare = bare.replace(sign, "" if number or f"{sign} " in text or f" {sign}" in text else " ")
    bare = _STOP.sub("", bare, count=_MOST_STOPS)
    words = (_NUMBERS.get(word, word) for word in bare.lower().split())
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


_normalised = lru_cache(maxsize=MEMO_SIZE)(_normalise)


def _trimmed(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def accuracy(answer: str, references: Sequence[str]) -> float:
    """The value of one answer, 0 to 1: with ten references 0, 0.3, 0.6, 0.9 or 1.

    Examples:
        >>> accuracy("Two.", ["2"] * 3 + ["3"] * 7)
        0.9
    """
    answer, given = _trimmed(answer), [_trimmed(text) for text in references]
    if len(set(given)) > 1:  # where all people gave the same answer, nothing is normalised: "yes." is not "yes"
        answer, given = normalise(answer), list(map(normalise, given))
    same = [text == answer for text in given]
    matches = sum(same)
    # In the order of the references, so that the last bit is the official script's too.
    return sum(min(1, float(matches - own) / AGREED) for own in same) / len(same)


@dataclass(frozen=True, slots=True, kw_only=True)
class VqaAccuracy:
    """The mean of `accuracy` over the questions; natural range 0 to 1. Each question needs its ten answers as references."""

    name: str = "vqa_accuracy"
    family: str = "vqa"
    low: float = 0.0
    high: float = 1.0
    needs: tuple[str, ...] = ("text",)

    def signature(self, corpus: Corpus) -> str:
        """E.g. `vqa_accuracy|vqa|norm:vqaEval|refs:10|rule:leave-one-out|v0.2`."""
        parts = (self.name, self.family, "norm:vqaEval", f"refs:{corpus.reference_count}", "rule:leave-one-out")
        return "|".join((*parts, SIGNATURE_VERSION))

    def score(self, corpus: Corpus, *, population: int | None = None, resamples: int = 1000, seed: int = 0) -> Score:
        """See `Metric.score`. `counts` holds the sum of the values and the number of questions.

        Raises:
            MetricError: a question does not have ten answers. (With a single one, nothing would be left to compare with.)
        """
        values = corpus.derived(per_answer_values)
        return mean_score(self, corpus, values, population=population, resamples=resamples, seed=seed)


def per_answer_values(corpus: Corpus) -> Sequence[float]:
    """The value of each answer, in the order of the corpus."""
    for name, references in zip(corpus.ids, corpus.references, strict=True):
        if len(references) != ANSWERS:
            raise MetricError(
                f"{name!r}: vqa_accuracy expects the {ANSWERS} answers that people gave as references, got {len(references)}. "
                "For a data set with one right answer, use exact_match or accuracy."
            )
    return floats(map(accuracy, corpus.hypotheses, corpus.references))
