"""Synthetic scenes: a picture of a few coloured shapes, and five captions of it in different words.

Everything follows from a seed. Scene number i of a stream is drawn from a generator seeded with
the stream's name and i alone, so a scene does not depend on how many others were made before it,
and the training and the test stream never share one.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageDraw

RGB = tuple[int, int, int]
Point = tuple[float, float]

CAPTIONS_PER_SCENE = 5

COLOURS: dict[str, RGB] = {
    "red": (214, 40, 40),
    "orange": (240, 130, 30),
    "yellow": (240, 210, 50),
    "green": (50, 150, 70),
    "blue": (45, 90, 200),
    "purple": (130, 60, 170),
    "pink": (240, 140, 180),
    "brown": (125, 80, 45),
    "black": (35, 35, 40),
}
BACKGROUNDS: dict[str, RGB] = {
    "white": (248, 248, 248),
    "grey": (185, 188, 192),
    "beige": (236, 222, 196),
    "light blue": (190, 218, 240),
}
# Every name an annotator may use for a shape; the first is the usual one.
SHAPES: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "disc"),
    "square": ("square", "box"),
    "triangle": ("triangle",),
    "star": ("star",),
    "cross": ("cross", "plus sign"),
    "ring": ("ring", "hoop"),
}
# Radius as a share of the picture's shorter side.
SIZES: dict[str, tuple[float, float]] = {
    "small": (0.11, 0.13),
    "medium": (0.16, 0.19),
    "large": (0.22, 0.26),
}
SIZE_WORDS: dict[str, tuple[str, ...]] = {
    "small": ("small", "small", "little", "tiny"),
    "medium": ("",),
    "large": ("large", "large", "big"),
}
# Pictures are not square and not of the model's input size, so that how they are resized matters.
CANVASES = ((96, 72), (72, 96), (84, 84))
SUPERSAMPLING = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One shape: what it is and where it lies, in pixels of the picture."""

    shape: str
    colour: str
    size: str
    fill: RGB
    x: float
    y: float
    radius: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a picture shows; `things` runs from the most to the least prominent."""

    width: int
    height: int
    background: str
    backdrop: RGB
    things: tuple[Thing, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A scene with its picture and its captions."""

    scene: Scene
    image: Image.Image
    captions: tuple[str, ...]


def example(stream: str, index: int) -> Example:
    """Scene `index` of a stream ("train", "test"), drawn and described."""
    rng = random.Random(f"{stream}/{index}")  # a str is hashed with SHA-512: the same everywhere
    scene = compose(rng)
    return Example(scene=scene, image=draw(scene), captions=describe(scene, rng))


# --- what is in the scene -----------------------------------------------------------------------


def compose(rng: random.Random) -> Scene:
    """Choose a background and one to three things that do not touch."""
    width, height = rng.choice(CANVASES)
    background = rng.choice(tuple(BACKGROUNDS))
    wanted = rng.choices((1, 2, 3), weights=(25, 55, 20))[0]
    things: list[Thing] = []
    while len(things) < wanted:
        thing = _place(rng, width, height)
        # One that fits nowhere clears the table: large things may leave no room for another.
        things = [*things, thing] if all(_apart(thing, other) for other in things) else []
    things.sort(key=lambda thing: (-tuple(SIZES).index(thing.size), thing.x))
    return Scene(
        width=width,
        height=height,
        background=background,
        backdrop=_jitter(rng, BACKGROUNDS[background], 6),
        things=tuple(things),
    )


def _place(rng: random.Random, width: int, height: int) -> Thing:
    size = rng.choice(tuple(SIZES))
    radius = rng.uniform(*SIZES[size]) * min(width, height)
    colour = rng.choice(tuple(COLOURS))
    return Thing(
        shape=rng.choice(tuple(SHAPES)),
        colour=colour,
        size=size,
        fill=_jitter(rng, COLOURS[colour], 22),
        x=rng.uniform(radius + 2, width - radius - 2),
        y=rng.uniform(radius + 2, height - radius - 2),
        radius=radius,
    )


def _apart(one: Thing, other: Thing) -> bool:
    # Different in colour or shape, too: "a red circle and a red circle" is nobody's caption.
    alike = (one.colour, one.shape) == (other.colour, other.shape)
    distance = math.dist((one.x, one.y), (other.x, other.y))
    return not alike and distance > one.radius + other.radius + 4


def _jitter(rng: random.Random, colour: RGB, amount: int) -> RGB:
    red, green, blue = (min(255, max(0, c + rng.randint(-amount, amount))) for c in colour)
    return red, green, blue


# --- how it is drawn ----------------------------------------------------------------------------


def draw(scene: Scene) -> Image.Image:
    """The picture: drawn larger and reduced, which smooths the edges."""
    canvas = Image.new("RGB", (scene.width * SUPERSAMPLING, scene.height * SUPERSAMPLING), scene.backdrop)
    pen = ImageDraw.Draw(canvas)
    for thing in scene.things:
        _draw_thing(pen, thing, scene.backdrop)
    return canvas.reduce(SUPERSAMPLING)


def _draw_thing(pen: ImageDraw.ImageDraw, thing: Thing, backdrop: RGB) -> None:
    x, y, r = (value * SUPERSAMPLING for value in (thing.x, thing.y, thing.radius))
    match thing.shape:
        case "circle":
            pen.ellipse((x - r, y - r, x + r, y + r), fill=thing.fill)
        case "ring":
            pen.ellipse((x - r, y - r, x + r, y + r), fill=thing.fill)
            hole = 0.55 * r
            pen.ellipse((x - hole, y - hole, x + hole, y + hole), fill=backdrop)
        case "square":
            half = 0.85 * r
            pen.rectangle((x - half, y - half, x + half, y + half), fill=thing.fill)
        case "cross":
            arm = 0.33 * r
            pen.rectangle((x - r, y - arm, x + r, y + arm), fill=thing.fill)
            pen.rectangle((x - arm, y - r, x + arm, y + r), fill=thing.fill)
        case _:
            pen.polygon([(x + r * u, y + r * v) for u, v in OUTLINES[thing.shape]], fill=thing.fill)


def _star() -> list[Point]:
    # Five tips and five notches, from the top clockwise; y grows downwards.
    radii = (1.0, 0.42) * 5
    angles = [math.pi * (step / 5 - 0.5) for step in range(10)]
    return [(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]


OUTLINES: dict[str, list[Point]] = {
    "triangle": [(0.0, -1.0), (0.95, 0.75), (-0.95, 0.75)],
    "star": _star(),
}


# --- what people say about it -------------------------------------------------------------------


def describe(scene: Scene, rng: random.Random) -> tuple[str, ...]:
    """Five captions in five wordings, written like people's: a capital, mostly a full stop."""
    wordings = WORDINGS[len(scene.things)]
    chosen = rng.sample(wordings, CAPTIONS_PER_SCENE)
    return tuple(_sentence(wording(_Annotator(scene, rng)), rng) for wording in chosen)


def _sentence(text: str, rng: random.Random) -> str:
    text = text[0].upper() + text[1:]
    return text if rng.random() < 0.2 else f"{text}."


class _Annotator:
    """One person's choice of words for one scene."""

    def __init__(self, scene: Scene, rng: random.Random) -> None:
        self._scene = scene
        self._rng = rng
        self.first, *self.others = scene.things
        self._names = {
            thing: rng.choices(names, weights=(6, *(2 for _ in names[1:])))[0]
            for thing in scene.things
            for names in (SHAPES[thing.shape],)
        }

    def bare(self, thing: Thing) -> str:
        """Colour and shape: `red circle`."""
        return f"{thing.colour} {self._names[thing]}"

    def noun(self, thing: Thing) -> str:
        """Most people mention a striking size: `large red circle`."""
        size = self._rng.choice(SIZE_WORDS[thing.size])
        mentioned = bool(size) and self._rng.random() < 0.7
        return f"{size} {self.bare(thing)}" if mentioned else self.bare(thing)

    def a(self, thing: Thing) -> str:
        """The thing with its size and an indefinite article."""
        return _with_article(self.noun(thing))

    def some(self, thing: Thing) -> str:
        """The thing without its size, with an indefinite article."""
        return _with_article(self.bare(thing))

    def background(self) -> str:
        """`a white background`."""
        word = self._rng.choice(("background", "background", "background", "surface"))
        return f"a {self._scene.background} {word}"

    def there_is(self) -> str:
        """An opening; PTB tokenisation splits the short form."""
        return self._rng.choice(("there is", "there is", "there's"))

    def relation(self, one: Thing, other: Thing) -> str:
        """Where `one` lies, seen from `other`, along the axis on which they are farther apart."""
        dx, dy = one.x - other.x, one.y - other.y
        if abs(dx) >= abs(dy):
            usual = "to the left of" if dx < 0 else "to the right of"
            return self._rng.choice((usual, usual, usual, "next to", "beside"))
        usual = "above" if dy < 0 else "below"
        return self._rng.choice((usual, usual, usual, "over" if dy < 0 else "under"))

    def place(self, thing: Thing) -> str:
        """Where in the picture: nine regions."""
        column = _third(thing.x / self._scene.width, ("left", "", "right"))
        row = _third(thing.y / self._scene.height, ("top", "", "bottom"))
        if row and column:
            return f"in the {row} {column} corner"
        if not (row or column):
            return self._rng.choice(("in the middle", "in the center"))
        return f"at the {row}" if row else f"on the {column}"

    def bigger(self) -> str:
        """The first two things compared; `first` is never the smaller one."""
        first, second = self.first, self.others[0]
        if first.size == second.size:
            return f"{self.some(first)} and {self.some(second)} of about the same size"
        return f"the {self.bare(first)} is bigger than the {self.bare(second)}"


def _third(share: float, names: tuple[str, str, str]) -> str:
    return names[0 if share < 0.38 else 2 if share > 0.62 else 1]


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


Wording = Callable[[_Annotator], str]

ONE_THING: tuple[Wording, ...] = (
    lambda by: f"{by.a(by.first)} on {by.background()}",
    lambda by: f"{by.a(by.first)} {by.place(by.first)} of the picture",
    lambda by: f"{by.there_is()} {by.a(by.first)} {by.place(by.first)}",
    lambda by: f"a picture of {by.a(by.first)}",
    lambda by: f"{by.background()} with {by.a(by.first)} {by.place(by.first)}",
    lambda by: f"a single {by.noun(by.first)} on {by.background()}",
    lambda by: f"one {by.bare(by.first)} and nothing else",
)
TWO_THINGS: tuple[Wording, ...] = (
    lambda by: f"{by.a(by.first)} {by.relation(by.first, by.others[0])} {by.a(by.others[0])}",
    lambda by: f"{by.a(by.others[0])} {by.relation(by.others[0], by.first)} {by.a(by.first)}",
    lambda by: f"{by.a(by.first)} and {by.a(by.others[0])} on {by.background()}",
    lambda by: f"{by.there_is()} {by.a(by.first)} {by.relation(by.first, by.others[0])} {by.some(by.others[0])}",
    lambda by: f"the {by.bare(by.first)} is {by.relation(by.first, by.others[0])} the {by.bare(by.others[0])}",
    lambda by: f"two shapes, {by.some(by.first)} and {by.some(by.others[0])}",
    lambda by: by.bigger(),
    lambda by: f"{by.a(by.first)} {by.place(by.first)} and {by.a(by.others[0])} {by.place(by.others[0])}",
)
THREE_THINGS: tuple[Wording, ...] = (
    lambda by: f"{by.a(by.first)}, {by.a(by.others[0])} and {by.a(by.others[1])}",
    lambda by: (
        f"{by.a(by.first)} {by.relation(by.first, by.others[0])} {by.a(by.others[0])} and {by.some(by.others[1])}"
    ),
    lambda by: (
        f"three shapes on {by.background()}, {by.some(by.first)}, {by.some(by.others[0])} and {by.some(by.others[1])}"
    ),
    lambda by: f"{by.a(by.first)} {by.place(by.first)} with {by.some(by.others[0])} and {by.some(by.others[1])}",
    lambda by: f"{by.there_is()} {by.a(by.first)} together with {by.some(by.others[0])} and {by.some(by.others[1])}",
    lambda by: f"{by.a(by.first)} and two other shapes on {by.background()}",
    lambda by: (
        f"{by.a(by.others[0])} {by.relation(by.others[0], by.others[1])} {by.a(by.others[1])} "
        f"and {by.some(by.first)} {by.place(by.first)}"
    ),
)
WORDINGS: dict[int, tuple[Wording, ...]] = {1: ONE_THING, 2: TWO_THINGS, 3: THREE_THINGS}
