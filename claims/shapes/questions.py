"""Questions about the synthetic scenes, with the answers of ten people each.

As in scenes.py, everything follows from a seed: the questions about scene number i of a stream are drawn from a generator
seeded with the stream's name and i alone.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

if TYPE_CHECKING:  # as a script this folder is on the path, for a type checker it is not
    from claims.shapes import scenes
else:
    import scenes

PEOPLE = 10
"""As in VQAv2, ten people answer each question."""

NUMBERS = ("zero", "one", "two", "three")

# What somebody who looks less closely takes a colour for.
ALIKE: dict[str, str] = {
    "red": "orange",
    "orange": "red",
    "yellow": "orange",
    "green": "blue",
    "blue": "purple",
    "purple": "blue",
    "pink": "red",
    "brown": "orange",
    "black": "grey",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question about a scene, its right answer, and the answers of ten people."""

    kind: str
    """`colour`, `shape`, `number` or `yes/no`."""
    text: str
    answer: str
    answers: tuple[str, ...]


def ask(scene: scenes.Scene, stream: str, index: int) -> tuple[Question, ...]:
    """The questions about scene `index` of a stream, in an order drawn by the seed."""
    rng = random.Random(f"{stream}/{index}/questions")
    asked = [
        Question(kind=kind, text=text, answer=answer, answers=_people(kind, answer, rng))
        for kind, text, answer in _about(scene, rng)
    ]
    rng.shuffle(asked)
    return tuple(asked)


def _about(scene: scenes.Scene, rng: random.Random) -> Iterator[tuple[str, str, str]]:
    """Kind, text and right answer of each question. Things are named by what only one of them has."""
    shapes = [thing.shape for thing in scene.things]
    colours = [thing.colour for thing in scene.things]
    for thing in scene.things:
        if shapes.count(thing.shape) == 1:
            yield "colour", f"What colour is the {_name(thing, rng)}?", thing.colour
        if colours.count(thing.colour) == 1:
            yield "shape", f"What shape is {thing.colour}?", thing.shape
    if rng.random() < 0.5:
        yield "number", "How many shapes are there?", str(len(shapes))
    shape = rng.choice((rng.choice(shapes), rng.choice(tuple(scenes.SHAPES))))
    yield "number", f"How many {_plural(shape)} are there?", str(shapes.count(shape))
    single = [thing for thing in scene.things if shapes.count(thing.shape) == 1]
    if len(single) > 1:
        for word, holds in rng.sample(RELATIONS, 2):
            one, other = rng.sample(single, 2)
            yield "yes/no", f"Is the {one.shape} {word} the {other.shape}?", "yes" if holds(one, other) else "no"


def _name(thing: scenes.Thing, rng: random.Random) -> str:
    usual, *others = scenes.SHAPES[thing.shape]
    return rng.choice(others) if others and rng.random() < 0.2 else usual


def _plural(shape: str) -> str:
    return f"{shape}es" if shape.endswith("s") else f"{shape}s"


RELATIONS: tuple[tuple[str, Callable[[scenes.Thing, scenes.Thing], bool]], ...] = (
    ("left of", lambda one, other: one.x < other.x),
    ("right of", lambda one, other: one.x > other.x),
    ("above", lambda one, other: one.y < other.y),
    ("below", lambda one, other: one.y > other.y),
)


def _people(kind: str, answer: str, rng: random.Random) -> tuple[str, ...]:
    """Ten answers: most people are right, and not all write alike. Some questions are harder than others."""
    care = rng.choice((1.0, 0.95, 0.9, 0.75))
    return tuple(
        _written(kind, answer if rng.random() < care else _mistaken(kind, answer, rng), rng) for _ in range(PEOPLE)
    )


def _mistaken(kind: str, answer: str, rng: random.Random) -> str:
    if kind == "colour":
        return ALIKE[answer]
    if kind == "shape":
        return rng.choice([shape for shape in scenes.SHAPES if shape != answer])
    if kind == "number":
        return str(max(0, int(answer) + rng.choice((-1, 1))) % len(NUMBERS))
    return "no" if answer == "yes" else "yes"


def _written(kind: str, answer: str, rng: random.Random) -> str:
    if kind == "number" and rng.random() < 0.4:
        answer = NUMBERS[int(answer)]
    if kind == "shape":
        answer = f"a {answer}" if rng.random() < 0.3 else answer
    return f"{answer[0].upper()}{answer[1:]}." if rng.random() < 0.05 else answer
