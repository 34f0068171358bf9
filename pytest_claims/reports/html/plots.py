"""Plots as inline SVG: the bands around a reported value, and the histogram of a gallery. Lengths are SVG units.

Colours are classes that the page's style knows, so a plot follows light, dark and print. svg.py writes texts as they are; each
text that goes into it is escaped here, once, by `escaped`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_claims import text
from pytest_claims.reports.facts import number

if TYPE_CHECKING:
    from collections.abc import Iterator

    import svg
    from markupsafe import Markup

    from pytest_claims.reports.format import Evidence
    from pytest_claims.reports.html.embed import Histogram

WIDTH = 400
"""Of a plot with an axis."""

SMALL = 220
"""Of a plot in a row of the table."""

MARGIN = 8
"""Left and right of the axis, so that a marker at its end is whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A linear axis from `low` to `high`, drawn between the margins."""

    low: float
    high: float
    width: int = WIDTH

    def x(self, value: float) -> float:
        """Where a value lies; what is outside lies at the end."""
        share = (value - self.low) / (self.high - self.low)
        return round(MARGIN + min(max(share, 0.0), 1.0) * (self.width - 2 * MARGIN), 2)

    def ticks(self) -> list[float]:
        """Three to seven round values."""
        rough = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [index * step for index in range(first, last + 1)]


def scale(reported: float, evidence: Evidence, width: int = WIDTH) -> Scale:
    """The axis that holds the reported value, both bands, the measured value and its interval."""
    band = evidence.tolerance.partial if evidence.tolerance else 0.0
    values = [reported, reported - band, reported + band]
    if evidence.measured is not None:
        values.append(evidence.measured)
    if evidence.interval:
        values += [evidence.interval.low, evidence.interval.high]
    low, high = min(values), max(values)
    room = (high - low) * 0.06 or max(abs(low), 1.0) * 0.1
    return Scale(low=low - room, high=high + room, width=width)


def bands(reported: float, evidence: Evidence, number_: int) -> Markup:
    """The small plot of a table row: bands, reported value, measured value with its interval, on one axis.

    Args:
        reported: the reported value.
        evidence: with everything else, in the same unit.
        number_: makes the ids of title and description unique in the page.
    """
    axis = scale(reported, evidence, SMALL)
    parts = [*_bands(axis, reported, evidence, 4, 22), *_marks(axis, reported, evidence, 1, 25)]
    return image(parts, (SMALL, 26), "Bands", told(reported, evidence), f"_bands-{number_}", "plot small")


def bands_with_axis(reported: float, evidence: Evidence, number_: int) -> Markup:
    """The same, larger, with an axis and the two numbers."""
    import svg

    axis = scale(reported, evidence)
    parts = [*_bands(axis, reported, evidence, 20, 52), *_marks(axis, reported, evidence, 16, 56)]
    parts.append(label(axis.x(reported), 11, f"reported {evidence.reported}"))
    if evidence.measured is not None:
        parts.append(label(axis.x(evidence.measured), 70, f"measured {number(evidence.measured, evidence.unit)}"))
    parts.append(svg.Line(class_=["axis"], x1=MARGIN, x2=WIDTH - MARGIN, y1=78, y2=78))
    for tick in axis.ticks():
        parts.append(svg.Line(class_=["axis"], x1=axis.x(tick), x2=axis.x(tick), y1=78, y2=82))
        parts.append(label(axis.x(tick), 95, f"{tick:z,.10g}", "tick"))
    return image(parts, (WIDTH, 99), "Bands", told(reported, evidence), f"_axis-{number_}", "plot")


def told(reported: float, evidence: Evidence) -> str:
    """What the plot of the bands shows, in words."""
    unit, tolerance, interval = evidence.unit, evidence.tolerance, evidence.interval
    said = f"Reported {evidence.reported}."
    if evidence.measured is not None:
        said += f" Measured {number(evidence.measured, unit)}"
        said += f", 95 % interval {number(interval.low, unit)} to {number(interval.high, unit)}." if interval else "."
    if tolerance:
        for name, width in (("Pass", tolerance.pass_), ("Partial", tolerance.partial)):
            low, high = number(reported - width, unit), number(reported + width, unit)
            reach = {"two_sided": f"{low} to {high}", "at_least": f"from {low}", "at_most": f"up to {high}"}
            said += f" {name} band {reach[tolerance.direction]}."
    return said


def histogram(counted: Histogram, number_: int, what: str) -> Markup:
    """Bars that can be pressed: page.js gives them their effect.

    Args:
        counted: the bars.
        number_: makes the ids unique.
        what: whose scores these are, for the title.
    """
    import svg
    from markupsafe import Markup

    axis = Scale(low=counted.low, high=counted.edges(len(counted.counts) - 1)[1])
    most = max(counted.counts)
    parts: list[svg.Element] = []
    for bar, count in enumerate(counted.counts):
        if not count:
            continue
        low, high = counted.edges(bar)
        x, right = axis.x(low), axis.x(high)
        height = max(2.0, round(76 * count / most, 2))
        images = f"{count:,} image{'' if count == 1 else 's'}"
        says = escaped(f"{low:z,.6g} to {high:z,.6g}: {images}")
        inside: list[svg.Element] = [
            svg.Title(text=says),
            svg.Rect(class_=["hit"], x=x, y=0, width=round(right - x, 2), height=80),
            svg.Rect(class_=["bar"], x=x + 1, y=80 - height, width=round(right - x - 2, 2), height=height),
        ]
        extra = {"role": "button", "aria-pressed": "false", "aria-label": says}
        parts.append(svg.G(elements=inside, tabindex=0, data={"bar": str(bar)}, extra=extra))
    parts.append(svg.Line(class_=["axis"], x1=MARGIN, x2=WIDTH - MARGIN, y1=80, y2=80))
    parts += [label(axis.x(tick), 95, f"{tick:z,.10g}", "tick") for tick in axis.ticks()]
    # A group and not an image: what is inside can be pressed, and a screen reader passes over the inside of an image.
    drawn = svg.SVG(
        viewBox=svg.ViewBoxSpec(0, 0, WIDTH, 99),
        class_=["plot", "histogram"],
        extra={"role": "group", "aria-labelledby": f"_bars-{number_}"},
        elements=[
            svg.Title(id=f"_bars-{number_}", text=escaped(f"Histogram of {what}; press a bar to filter")),
            *parts,
        ],
    )
    return Markup(drawn.as_str())  # noqa: S704 - numbers, and texts that `escaped` escaped


def _bands(axis: Scale, reported: float, evidence: Evidence, top: float, bottom: float) -> Iterator[svg.Element]:
    import svg

    tolerance = evidence.tolerance
    for name, width in (("partial", tolerance.partial), ("pass", tolerance.pass_)) if tolerance else ():
        low, high = axis.x(reported - width), axis.x(reported + width)
        if tolerance and tolerance.direction == "at_least":
            high = axis.width - MARGIN
        if tolerance and tolerance.direction == "at_most":
            low = MARGIN
        yield svg.Rect(
            class_=[f"band-{name}"], x=low, y=top, width=round(max(high - low, 0.5), 2), height=bottom - top, rx=2
        )


def _marks(axis: Scale, reported: float, evidence: Evidence, top: float, bottom: float) -> Iterator[svg.Element]:
    """The reported value as a line, the measured one as a dot with whiskers: they differ by more than colour."""
    import svg

    middle, at = (top + bottom) / 2, axis.x(reported)
    yield svg.Line(class_=["reported"], x1=at, x2=at, y1=top, y2=bottom)
    if interval := evidence.interval:
        low, high = axis.x(interval.low), axis.x(interval.high)
        yield svg.Line(class_=["interval"], x1=low, x2=high, y1=middle, y2=middle)
        for end in (low, high):
            yield svg.Line(class_=["interval"], x1=end, x2=end, y1=middle - 5, y2=middle + 5)
    if evidence.measured is not None:
        yield svg.Circle(class_=["measured"], cx=axis.x(evidence.measured), cy=middle, r=5)


def label(x: float, y: float, said: str, class_: str = "label") -> svg.Element:
    """A text beside a mark, or below the axis (`tick`)."""
    import svg

    anchor = "start" if x < WIDTH * 0.25 else "end" if x > WIDTH * 0.75 else "middle"
    return svg.Text(class_=[class_, anchor if class_ == "label" else "middle"], x=x, y=y, text=escaped(said))


def image(parts: list[svg.Element], size: tuple[int, int], title: str, said: str, id_: str, classes: str) -> Markup:
    """A plot with a title, and what it shows in words."""
    import svg
    from markupsafe import Markup

    words: list[svg.Element] = [
        svg.Title(id=f"{id_}-t", text=escaped(title)),
        svg.Desc(id=f"{id_}-d", text=escaped(said)),
    ]
    drawn = svg.SVG(
        viewBox=svg.ViewBoxSpec(0, 0, *size),
        class_=classes.split(),
        extra={"role": "img", "aria-labelledby": f"{id_}-t", "aria-describedby": f"{id_}-d"},
        elements=[*words, *parts],
    )
    return Markup(drawn.as_str())  # noqa: S704 - numbers, and texts that `escaped` escaped


def escaped(said: str) -> str:
    """A text as SVG may hold it."""
    from markupsafe import escape

    return str(escape(text.clean(said)))
