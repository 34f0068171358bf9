"""Degenerate output is an error, not a low score."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from docs.make_verdicts import score
from pytest_claims.errors import EvaluationError
from pytest_claims.evidence import Basis, Evidence, Output
from pytest_claims.protocol import Observed
from pytest_claims.soundness import check, check_score

if TYPE_CHECKING:
    from pytest_claims.spec import Noun


def evidence(texts: list[str], *, cut: int = 0, images: int | None = None, basis: Basis = Basis.REPRODUCED) -> Evidence:
    """Captions with these texts, the first `cut` of them cut at the length limit."""
    captions = tuple(
        Output(id=f"{i:03}", text=text, references=("a dog",), truncated=i < cut) for i, text in enumerate(texts)
    )
    return Evidence(basis=basis, outputs=captions, images=images, observed=Observed(prompt={"prompt": "a photo of"}))


def sound(count: int) -> list[str]:
    """Captions of which none is like another."""
    return [f"dog number {i}" for i in range(count)]


@pytest.mark.parametrize(
    ("produced", "problem"),
    [
        (evidence(["", " ", *sound(98)]), "2 of 100 captions are empty (more than 1%), the first that of 000."),
        (evidence(["a dog"] * 51 + sound(49)), "One caption stands for 51 of 100 images (more than 50%): 'a dog'."),
        (
            evidence(sound(100), cut=6),
            "6 of 100 captions were cut at the length limit (more than 5%), the first that of 000.",
        ),
        (
            evidence([*sound(99), "a <image> dog"]),
            "1 of 100 captions hold special tokens, the first that of 099: 'a <image> dog'.",
        ),
        (
            evidence(["A photo of a dog"] * 6 + sound(94)),
            "6 of 100 captions begin with the prompt, the first that of 000.",
        ),
        (evidence(sound(99), images=100), "100 images gave 99 captions."),
    ],
)
def test_degenerate(produced: Evidence, problem: str) -> None:
    """Degenerate output is named with its share, its threshold and the first image; of released captions it is noted."""
    with pytest.raises(EvaluationError) as caught:
        check(produced)
    assert str(caught.value) == f"Degenerate output, not scored: {problem}"
    assert check(replace(produced, basis=Basis.RESCORED)) == (problem,)


@pytest.mark.parametrize(
    "produced",
    [
        evidence(["", *sound(99)]),
        evidence(["a dog"] * 50 + sound(50)),
        evidence(sound(100), cut=5),
        evidence(["a photo of a dog"] * 5 + sound(95)),
        evidence(["a dog"] * 9),  # so few images may share a caption
        evidence(sound(100), images=100),
        Evidence(basis=Basis.COUNTED, quantities={"total_parameters": 1}),
    ],
)
def test_sound(produced: Evidence) -> None:
    """At the thresholds, and where nothing was generated, there is nothing to say."""
    assert check(produced) == ()


def answers(*rows: tuple[str, str], noun: Noun = "answer") -> Evidence:
    """Answers, each with its reference; of a ranking, the first candidate."""
    outputs = tuple(
        Output(id=f"{i:03}", text="" if noun == "ranking" else text, references=(right,), ranked=(text, "x"))
        for i, (text, right) in enumerate(rows)
    )
    return Evidence(basis=Basis.REPRODUCED, outputs=outputs, noun=noun)


HALF = [("yes", "yes")] * 50


def test_an_answer_may_be_right_for_most_rows() -> None:
    """One answer for most rows is degenerate only where the references say something else; the noun is the evaluator's."""
    assert check(answers(*HALF, *[("no", "no")] * 6)) == ()
    (note,) = check(answers(*HALF, *[("Yes", "no")] * 45, *[("no", "no")] * 5))
    assert "To give it always is right in 50 of them (50.0%)" in note
    with pytest.raises(
        EvaluationError, match=r"One answer stands for 46 of 50 rows whose references say something else"
    ):
        check(answers(*HALF, *[("yes", "no")] * 46, *[("no", "no")] * 4))
    with pytest.raises(
        EvaluationError, match=r"One first candidate stands for 50 of 50 rows .* \(more than 90%\): 'yes'"
    ):
        check(answers(*HALF, *[("yes", "no")] * 50, noun="ranking"))


def test_references_may_be_as_biased_as_answers() -> None:
    """One answer for all rows is degenerate unless the commonest reference is right for more than 90 %; then it is told."""
    nouns: tuple[tuple[int, Noun], ...] = ((89, "answer"), (50, "label"))
    for right, noun in nouns:
        constant = answers(*[("yes", "yes")] * right, *[("yes", "no")] * (100 - right), noun=noun)
        with pytest.raises(EvaluationError, match=rf"One {noun} stands for {100 - right} of {100 - right} rows whose"):
            check(constant)
    (note,) = check(answers(*[("Yes", "yes")] * 180, *[("yes", "no")] * 20))
    assert note == (
        "One answer stands for 200 of 200 rows: 'yes'. To give it always is right in 180 of them (90.0%): "
        "a model that does not look gets as much."
    )
    with pytest.raises(EvaluationError, match="One answer stands for 190 of 190 rows whose"):
        check(answers(*[("no", "yes")] * 190, *[("no", "no")] * 10))
    (note,) = check(answers(*[("yes", "yes")] * 95, *[("no", "no")] * 5, noun="label"))
    assert "right in 95 of them (95.0%)" in note
    assert check(answers(*[("yes", "yes")] * 90, *[("no", "no")] * 10)) == ()


def test_of_ten_answers_most_are_right() -> None:
    """A reference that one of ten people gave is not what the row's people say."""
    outputs = tuple(
        Output(id=f"{i:03}", text="yes", references=(*["yes" if i % 2 else "no"] * 8, "yes", "no")) for i in range(100)
    )
    rows = [*outputs, *(Output(id=f"x{i}", text="yes", references=("no",) * 10) for i in range(10))]
    with pytest.raises(
        EvaluationError, match="One answer stands for 10 of 10 rows whose references say something else"
    ):
        check(Evidence(basis=Basis.REPRODUCED, outputs=tuple(rows), noun="answer"))


def test_a_ranking_ranks_each_once() -> None:
    """A candidate that is ranked twice is two chances for one."""
    wrong = replace(answers(*HALF), noun="ranking")
    wrong = replace(wrong, outputs=(*wrong.outputs[1:], replace(wrong.outputs[0], ranked=("a", "b", "a"))))
    with pytest.raises(EvaluationError, match=r"1 of 50 rankings rank something twice, the first that of 000\."):
        check(wrong)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_must_be_a_number(value: float) -> None:
    """NaN and infinity are errors, and so are they in an interval."""
    with pytest.raises(EvaluationError, match="is not a number that can be published"):
        check_score(replace(score(43.7), value=value))
    interval = score(43.7).interval
    assert interval
    with pytest.raises(EvaluationError, match="is not a number that can be published"):
        check_score(replace(score(43.7), interval=replace(interval, high=value)))
