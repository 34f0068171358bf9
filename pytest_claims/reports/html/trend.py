"""The trend of a claim as inline SVG: the measured value of each published verdict, with its interval, over time."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import TYPE_CHECKING

from pytest_claims.reports.facts import number
from pytest_claims.reports.html import plots
from pytest_claims.reports.html.plots import MARGIN, WIDTH, Scale

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import svg
    from markupsafe import Markup

    from pytest_claims.reports.format import Record
    from pytest_claims.reports.format.findings import Point

HEIGHT, TOP, BOTTOM = 130, 12, 96
"""Of the plot, and of its area, in SVG units."""


def draw(record: Record, points: Sequence[Point], number_: int) -> Markup | None:
    """The plot; None where fewer than two verdicts have a number.

    Args:
        record: the record, for the reported value and the unit.
        points: the verdicts, oldest first.
        number_: makes the ids unique in the page.
    """
    measured = [point for point in points if point.measured is not None]
    citation, unit = record.verdict.claim_citation, record.evidence.unit
    if len(measured) < 2 or citation is None:
        return None
    reported = citation.reported_value
    values = [reported]
    for point in measured:
        values += [value for value in (point.measured, point.low, point.high) if value is not None]
    room = (max(values) - min(values)) * 0.08 or max(abs(reported), 1.0) * 0.02
    down = Scale(low=min(values) - room, high=max(values) + room)
    times = [datetime.fromisoformat(point.at).timestamp() for point in measured]
    span = (times[-1] - times[0]) or 1.0
    across = Scale(low=times[0] - span * 0.05, high=times[-1] + span * 0.05)
    parts = [
        *_frame(down, reported, unit),
        *_line([(across.x(at), _y(down, point)) for at, point in zip(times, measured, strict=True)]),
        *(part for at, point in zip(times, measured, strict=True) for part in _mark(across.x(at), down, point, unit)),
        *_versions(across, times, measured),
        _date(MARGIN, measured[0], "start"),
        _date(WIDTH - MARGIN, measured[-1], "end"),
    ]
    return plots.image(parts, (WIDTH, HEIGHT), "Trend", told(measured, unit), f"_trend-{number_}", "plot trend")


def told(points: Sequence[Point], unit: str | None) -> str:
    """What the plot shows, in words: the first, the last, and what was retracted."""
    first, last = points[0], points[-1]
    said = f"{len(points)} verdicts, from {number(first.measured, unit)} on {first.at[:10]} "
    said += f"to {number(last.measured, unit)} on {last.at[:10]}."
    gone = sum(point.retracted is not None for point in points)
    return said + (f" {gone} retracted." if gone else "")


def _date(x: float, point: Point, anchor: str) -> svg.Element:
    import svg

    return svg.Text(class_=["tick", anchor], x=x, y=HEIGHT - 4, text=plots.escaped(point.at[:10]))


def _height(scale: Scale, value: float) -> float:
    share = (value - scale.low) / (scale.high - scale.low)
    return round(BOTTOM - share * (BOTTOM - TOP), 2)


def _y(scale: Scale, point: Point) -> float:
    return _height(scale, point.measured or 0.0)


def _frame(down: Scale, reported: float, unit: str | None) -> Iterator[svg.Element]:
    import svg

    at = _height(down, reported)
    yield svg.Line(class_=["axis"], x1=MARGIN, x2=WIDTH - MARGIN, y1=BOTTOM + 4, y2=BOTTOM + 4)
    yield svg.Line(class_=["reported"], x1=MARGIN, x2=WIDTH - MARGIN, y1=at, y2=at)
    yield plots.label(MARGIN, max(at - 3, 9), f"reported {number(reported, unit)}")


def _line(places: Sequence[tuple[float, float]]) -> Iterator[svg.Element]:
    import svg

    for (x, y), (right, other) in itertools.pairwise(places):
        yield svg.Line(class_=["interval"], x1=x, y1=y, x2=right, y2=other)


def _mark(x: float, down: Scale, point: Point, unit: str | None) -> Iterator[svg.Element]:
    """A dot with its whiskers; a cross where the verdict was retracted."""
    import svg

    y = _y(down, point)
    if point.low is not None and point.high is not None:
        yield svg.Line(class_=["interval"], x1=x, x2=x, y1=_height(down, point.low), y2=_height(down, point.high))
    gone = f", retracted: {point.retracted}" if point.retracted is not None else ""
    said = f"{point.at[:10]}: {point.status} {number(point.measured, unit)}, {point.agent_version}{gone}"
    title = svg.Title(text=plots.escaped(said))
    if point.retracted is None:
        yield svg.G(elements=[title, svg.Circle(class_=["measured"], cx=x, cy=y, r=4)])
        return
    strokes: list[svg.Element] = [
        svg.Line(class_=["reported"], x1=x - 4, x2=x + 4, y1=y - 4, y2=y + 4),
        svg.Line(class_=["reported"], x1=x - 4, x2=x + 4, y1=y + 4, y2=y - 4),
    ]
    yield svg.G(elements=[title, *strokes])


def _versions(across: Scale, times: Sequence[float], points: Sequence[Point]) -> Iterator[svg.Element]:
    """A tick on the axis wherever the version of the tool changed, with the new one."""
    import svg

    before = ""
    for at, point in zip(times, points, strict=True):
        version = point.agent_version.partition("-")[0]
        if version != before:
            x = across.x(at)
            yield svg.Line(class_=["axis"], x1=x, x2=x, y1=BOTTOM, y2=BOTTOM + 8)
            yield plots.label(x, BOTTOM + 18, version, "tick")
        before = version
