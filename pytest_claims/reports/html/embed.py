"""Galleries → blocks of JSON inside the page, which the script parses when a gallery is opened.

A gallery has one block of texts (ids, outputs, references), one of scores per claim, and its thumbnails in blocks of
`THUMBNAILS`. Everything that a browser could take for markup is escaped, so a block is inert whatever its texts are.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_claims import text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from markupsafe import Markup

    from pytest_claims.reports.format import Gallery, Record

PAGE = 50
"""Images on one page of a gallery."""

THUMBNAILS = 100
"""Thumbnails in one block."""

BINS = 20
"""Bars of a histogram."""

# What an <img> may show: pictures of pixels. SVG is inert in an <img>, but nobody makes thumbnails in it.
_PICTURE = re.compile(r"data:image/(?:jpeg|png|webp|gif);base64,[A-Za-z0-9+/]+={0,2}", re.ASCII)

_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Per-image scores, counted in `BINS` bars of equal width."""

    low: float
    step: float
    counts: tuple[int, ...]

    def edges(self, bar: int) -> tuple[float, float]:
        """The lower and the upper end of a bar."""
        return self.low + bar * self.step, self.low + (bar + 1) * self.step


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a claim shows of its gallery."""

    key: int
    """Of the texts and thumbnails, which claims may share."""
    scores: int
    """Of the scores, which are the claim's own."""
    rows: str
    """What a row is called: `image`, if its output is a caption."""
    images: int
    thumbnails: int
    """How many images have one."""
    histogram: Histogram | None
    pictures: Mapping[str, str]
    """Thumbnails by image id, of the images that the page shows outside the gallery too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """All galleries of a page: what each claim shows, by node id, and the blocks."""

    of: Mapping[str, Shown]
    blocks: Sequence[tuple[str, Markup]]
    """HTML id → JSON."""


def block(value: Any) -> Markup:
    """`value` as JSON that may stand in a `<script>`: ASCII, without `<`, `>` and `&`.

    Control characters and their kin become U+FFFD, as in every report.
    """
    from markupsafe import Markup

    plain = json.dumps(_clean(value), separators=(",", ":"), allow_nan=False)
    return Markup(plain.translate(_ESCAPES))  # noqa: S704 - nothing is left that could be markup


def galleries(records: Sequence[Record], given: Mapping[str, Gallery]) -> Embedded:
    """The galleries of `records` as blocks; those of one evidence are embedded once."""
    first: dict[str, list[tuple[int, Gallery]]] = {}
    of: dict[str, Shown] = {}
    blocks: list[tuple[str, Markup]] = []
    key = 0
    for number, record in enumerate(records):
        nodeid = record.evidence.claim.nodeid
        gallery = given.get(nodeid)
        if gallery is None or not gallery.ids or nodeid in of:
            continue
        # A digest is only a promise: what is shared must also be equal, or a claim would show another one's outputs.
        known = first.setdefault(gallery.evidence, [])
        shared = next((place for place, other in known if _same(gallery, other)), None)
        if shared is None:
            shared = key
            known.append((key, gallery))
            blocks.extend(_texts(key, gallery))
            key += 1
        scores = _scores(gallery, 100.0 if record.evidence.unit == "percent" else 1.0)
        counted = histogram(scores)
        comparison = record.evidence.comparison
        bars = [counted.low, counted.step, len(counted.counts)] if counted else None
        blocks.append((f"_scores-{number}", block({"scores": scores, "bars": bars})))
        of[nodeid] = Shown(
            key=shared,
            scores=number,
            rows=text.row(gallery.noun),
            images=len(gallery.ids),
            thumbnails=sum(_PICTURE.match(address) is not None for address in gallery.thumbnails),
            histogram=counted,
            pictures=_pictures(gallery, [loss.id for loss in comparison.losses] if comparison else []),
        )
    return Embedded(of=of, blocks=blocks)


def _pictures(gallery: Gallery, names: Sequence[str]) -> dict[str, str]:
    """The thumbnails of some images, by id; only addresses of pictures of pixels."""
    if not names or not gallery.thumbnails:
        return {}
    wanted, known = set(names), zip(gallery.ids, gallery.thumbnails, strict=False)
    return {name: address for name, address in known if name in wanted and _PICTURE.fullmatch(address)}


def histogram(scores: Sequence[float | None]) -> Histogram | None:
    """`BINS` bars from 0, or from the lowest score below it, to a round number; None where there is no score.

    Args:
        scores: of each image, in the reported unit; None where it is no number.
    """
    known = [score for score in scores if score is not None]
    if not known:
        return None
    low = min(0.0, float(math.floor(min(known))))
    step = _round_up((max(known) - low) / BINS)
    counts = [0] * BINS
    for score in known:
        # page.js computes the same expression: both are IEEE doubles, so that an image is in the bar that counts it.
        counts[min(BINS - 1, math.floor((score - low) / step))] += 1
    return Histogram(low=low, step=step, counts=tuple(counts))


def _round_up(width: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten: 0.031 → 0.05."""
    if width <= 0:
        return 1 / BINS
    power = 10.0 ** math.floor(math.log10(width))
    return next((factor * power for factor in (1, 2, 2.5, 5) if factor * power >= width), 10 * power)


def _texts(key: int, gallery: Gallery) -> Iterator[tuple[str, Markup]]:
    yield (
        f"_texts-{key}",
        block(
            {
                "ids": gallery.ids,
                "outputs": gallery.outputs,
                "references": gallery.references,
                "ranked": gallery.ranked,
                "extras": [list(map(list, extras.items())) for extras in gallery.extras],
            }
        ),
    )
    addresses = [address if _PICTURE.fullmatch(address) else "" for address in gallery.thumbnails]
    if any(addresses):
        for start in range(0, len(addresses), THUMBNAILS):
            # `fullmatch` leaves nothing to clean or to escape but `+` and `/`, which JSON takes as they are.
            from markupsafe import Markup

            inside = json.dumps(addresses[start : start + THUMBNAILS], separators=(",", ":"))
            yield f"_thumbnails-{key}-{start // THUMBNAILS}", Markup(inside)  # noqa: S704 - base64 only


def _scores(gallery: Gallery, factor: float) -> list[float | None]:
    """Scores as they are shown: in the reported unit, to four decimals."""
    return [round(score * factor, 4) if math.isfinite(score) else None for score in gallery.scores]


def _same(one: Gallery, other: Gallery) -> bool:
    """Whether two galleries differ at most in their scores."""
    return one.model_copy(update={"scores": other.scores}) == other


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return text.clean(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return {key: _clean(item) for key, item in value.items()} if isinstance(value, dict) else value
