"""Numbers as text for reports."""

from __future__ import annotations

_DIGITS = {"fraction": 4, "count": 0, "billion": 3}


def number(value: float | None, unit: str | None = None) -> str:
    """A number as text for a table; `–` for None."""
    if value is None:
        return "–"
    return f"{value:z,.{_DIGITS.get(unit or '', 2)}f}"  # z: never -0.00


def difference(value: float | None, unit: str | None = None) -> str:
    """A signed difference as text for a table; `–` for None."""
    return "–" if value is None else f"{value:+z,.{_DIGITS.get(unit or '', 2)}f}"
