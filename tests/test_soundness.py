"""Degenerate output is an error, not a low score."""

from __future__ import annotations

from dataclasses import replace

import pytest

from docs.make_verdicts import score
from pytest_claims.errors import EvaluationError
from pytest_claims.evidence import Basis, Caption, Evidence
from pytest_claims.protocol import Observed
from pytest_claims.soundness import check, check_score


def evidence(texts: list[str], *, cut: int = 0, images: int | None = None, basis: Basis = Basis.REPRODUCED) -> Evidence:
    """Captions with these texts, the first `cut` of them cut at the length limit."""
    captions = tuple(
        Caption(id=f"{i:03}", text=text, references=("a dog",), truncated=i < cut) for i, text in enumerate(texts)
    )
    return Evidence(basis=basis, captions=captions, images=images, observed=Observed(prompt={"prompt": "a photo of"}))


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


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_must_be_a_number(value: float) -> None:
    """NaN and infinity are errors, and so are they in an interval."""
    with pytest.raises(EvaluationError, match="is not a number that can be published"):
        check_score(replace(score(43.7), value=value))
    interval = score(43.7).interval
    assert interval
    with pytest.raises(EvaluationError, match="is not a number that can be published"):
        check_score(replace(score(43.7), interval=replace(interval, high=value)))
