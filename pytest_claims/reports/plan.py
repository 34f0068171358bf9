"""The plan of a claim as lines of text: each axis against the paper, and what the run needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_claims.reports.format import Record


def lines(record: Record) -> Iterator[tuple[int, str]]:
    """The lines, each with its depth: 0 for the heading, 1 for an axis, 2 for what the paper says where the two differ."""
    axes, needs = record.evidence.axes, record.evidence.needs
    if not axes and not needs:
        return
    yield 0, f"plan of {record.name}:"
    for axis in axes:
        yield 1, f"{axis.axis}: {axis.run}"
        if axis.consequence not in ("none", "not observed"):
            yield 2, f"paper: {axis.paper} → {axis.consequence}"
    for need in needs:
        yield 1, f"needs {need.what}: {need.found}"
