"""The nearest valid name."""

from __future__ import annotations

import difflib
import random

import pytest

from pytest_claims.errors import nearest, nearest_name
from pytest_claims.spec.load import RUNS
from pytest_claims.spec.models import Protocol, protocol_keys

NAMES = (*protocol_keys(), *Protocol.model_fields, *RUNS, "bleu1", "bleu4", "rouge_l", "cider", "total_parameters")


def misspelt(seed: int) -> str:
    """One of `NAMES` with up to four letters taken out, put in or replaced."""
    draw = random.Random(seed)  # noqa: S311 - a test's data
    name = draw.choice(NAMES)
    for _ in range(draw.randint(0, 4)):
        place = draw.randrange(len(name) + 1)
        name = name[:place] + draw.choice(["", "e", "_", "1"]) + name[place + draw.randint(0, 1) :]
    return name


@pytest.mark.parametrize("start", range(0, 1000, 100))
def test_ordinary_names(start: int) -> None:
    """The nearest name is the one that difflib finds, also where two names are equally near."""
    for name in map(misspelt, range(start, start + 100)):
        assert nearest_name(name, NAMES) == next(iter(difflib.get_close_matches(name, NAMES, n=1)), None)


def test_long_names() -> None:
    """A name of a million characters is told from others by its two ends."""
    long = "a" * 1_000_000
    assert nearest_name(f"{long}x", [f"{long}y", "short"]) == f"{long}y"
    assert nearest_name("b" * 1_000_000, [long]) is None


def test_nothing_near() -> None:
    """If no name is near, none is proposed."""
    assert nearest_name("tolerance", []) is None
    assert nearest("tolerance", ["run", ""]) == ""
    assert nearest("tolerence", ["tolerance"]) == ", did you mean 'tolerance'?"
