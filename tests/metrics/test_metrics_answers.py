"""vqa_accuracy, exact_match and accuracy: the numbers of their references, and every refusal.

tests/data/vqa_official.json was recorded once from the official script; tests/metrics/answer_sets.py says how.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from pytest_claims.errors import MetricError
from pytest_claims.metrics import BUILTIN, Corpus, Pair, score
from pytest_claims.metrics.vqa import accuracy, normalise
from tests.metrics.answer_sets import COUNT, answer_sets

OFFICIAL = json.loads((Path(__file__).parent.parent / "data" / "vqa_official.json").read_text(encoding="utf-8"))
VALUES = {"0": 0.0, "3": 0.3, "6": 0.6, "9": 0.9, "A": 1.0}
"""A question with ten answers has one of these values."""

NAMES = ("vqa_accuracy", "exact_match", "accuracy")

# Two questions of VQA v2.0 (visualqa.org, CC BY 4.0): 262148000, "Where is he looking?", and 393714000.
DOWN = ["down", "down", "at table", "skateboard", "down", "table", "down", "down", "down", "down"]
WHITE = ["light blue", *["white"] * 9]


@pytest.fixture(scope="module")
def sets() -> list[tuple[str, list[str]]]:
    """The generated answers, each with its ten references."""
    return list(answer_sets())


def test_ten_thousand_answer_sets(sets: list[tuple[str, list[str]]]) -> None:
    """The official script gave each of 10,000 generated answers the value that it has here, and all of them the same mean."""
    found = score("vqa_accuracy", [answer for answer, _ in sets], [references for _, references in sets], resamples=0)
    expected = [VALUES[sign] for sign in OFFICIAL["values"]]
    assert len(expected) == len(found.per_image) == COUNT
    pairs = enumerate(zip(found.per_image, expected, strict=True))
    assert [row for row, (ours, official) in pairs if abs(ours - official) > 1e-12] == []
    assert 100 * found.value == pytest.approx(OFFICIAL["overall"], abs=1e-9)
    assert set(OFFICIAL["values"]) == set(VALUES)  # the generated sets give every value that there is


def test_normalisation() -> None:
    """Every word and every sign that the official script treats in some way is written as it writes it."""
    expected = OFFICIAL["normalised"]
    assert len(expected) > 350
    assert {text: normalise(text) for text in expected} == expected


@pytest.mark.parametrize(
    ("answer", "references", "value"),
    [
        ("down", DOWN, 1.0),
        ("Table.", DOWN, 0.3),  # "table" is one answer of ten; "at table" is another
        ("the skateboard", DOWN, 0.3),
        ("up", DOWN, 0.0),
        ("light blue", WHITE, 0.3),
        ("White", WHITE, 1.0),
        ("White", ["white"] * 10, 0.0),  # nothing is normalised where all people agree
        (" white\n", ["white\t"] * 10, 1.0),
        ("none", ["none"] * 1 + ["0"] * 2 + ["x"] * 7, 0.9),
        ("2 dogs", ["two dogs"] * 2 + ["dog"] * 8, 0.6),
        ("", [""] * 4 + ["a"] * 6, 1.0),  # "a" is an article
    ],
)
def test_vqa_accuracy(answer: str, references: list[str], value: float) -> None:
    """An answer scores min(1, n / 3) against nine of the ten, averaged over the ten ways to leave one out."""
    assert accuracy(answer, references) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("count", [1, 5, 9, 11])
def test_ten_answers_are_needed(count: int) -> None:
    """The official rule is for ten answers; a question with another number is named, and what to use instead."""
    with pytest.raises(MetricError) as caught:
        score("vqa_accuracy", ["yes", "yes"], [["yes"] * 10, ["yes"] * count], ids=["q1", "q2"])
    assert str(caught.value) == (
        f"'q2': vqa_accuracy expects the 10 answers that people gave as references, got {count}. For a data set with one right "
        "answer, use exact_match or accuracy."
    )


def test_exact_match_and_accuracy() -> None:
    """`exact_match` compares what VQA's normalisation leaves, as LAVIS does for GQA; `accuracy` compares sign by sign."""
    answers = ["Yes.", "the dog", "two", "cat", "cat", "", "left"]
    references = [["yes"], ["dog"], ["2"], ["dog", "cat"], ["dog", "Cat"], ["a"], ["right"]]
    assert score("exact_match", answers, references).per_image == (1, 1, 1, 1, 1, 1, 0)
    assert score("accuracy", answers, references).per_image == (0, 0, 0, 1, 0, 0, 0)


def test_exact_match_of_any_reference(sets: list[tuple[str, list[str]]]) -> None:
    """An answer is right if one of its references is the same text after normalisation."""
    found = score("exact_match", [answer for answer, _ in sets], [references for _, references in sets], resamples=0)
    expected = [any(normalise(answer) == normalise(text) for text in references) for answer, references in sets]
    assert found.per_image == tuple(map(float, expected))
    assert 0.3 < found.value < 1


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("vqa_accuracy", "vqa_accuracy|vqa|norm:vqaEval|refs:10|rule:leave-one-out|v0.2"),
        ("exact_match", "exact_match|exact-match|norm:vqaEval|refs:10|v0.2"),
        ("accuracy", "accuracy|exact-match|norm:none|refs:10|v0.2"),
    ],
)
def test_signature(name: str, signature: str) -> None:
    """The signature names the normalisation, which moves the number."""
    corpus = Corpus(["down"], [DOWN])
    assert BUILTIN[name].signature(corpus) == BUILTIN[name].score(corpus).signature == signature


@pytest.mark.parametrize("name", NAMES)
def test_interval(name: str, sets: list[tuple[str, list[str]]]) -> None:
    """The interval is that of a mean: the standard error is √(variance / n), and a whole split leaves none."""
    answers, references = [answer for answer, _ in sets[:500]], [references for _, references in sets[:500]]
    found = score(name, answers, references)
    assert found.interval
    expected = float(np.std(found.per_image, ddof=1)) / math.sqrt(500)
    assert found.interval.standard_error == pytest.approx(expected, rel=1e-9)
    assert found.interval.low == pytest.approx(found.value - 1.96 * expected, abs=0.2 * expected)
    assert found.interval.high == pytest.approx(found.value + 1.96 * expected, abs=0.2 * expected)
    whole = score(name, answers, references, population=500).interval
    assert whole
    assert whole.low == whole.high == pytest.approx(found.value)


@pytest.mark.parametrize("name", NAMES)
def test_paired(name: str, sets: list[tuple[str, list[str]]]) -> None:
    """Two runs over the same questions are compared answer by answer: what both find hard cancels out."""
    references = [references for _, references in sets[:400]]
    reference = [answer for answer, _ in sets[:400]]
    candidate = ["no such answer" if i % 20 == 0 else answer for i, answer in enumerate(reference)]
    ours, theirs = Corpus(candidate, references), Corpus(reference, references)
    metric = BUILTIN[name]
    scores = metric.score(ours), metric.score(theirs)
    found = Pair(ours, theirs).difference(metric, *scores)
    assert found
    assert found.value == scores[0].value - scores[1].value < 0
    assert found.high < 0.001
    assert scores[0].interval
    assert found.standard_error < scores[0].interval.standard_error


def test_an_unknown_name() -> None:
    """A metric that does not exist is refused, with the nearest name."""
    with pytest.raises(MetricError, match=r"There is no metric 'vqa_acuracy', did you mean 'vqa_accuracy'\?"):
        score("vqa_acuracy", ["yes"], [["yes"] * 10])
    with pytest.raises(MetricError, match="expected one of bleu1, bleu2"):
        score("wups", ["yes"], [["yes"] * 10])
