"""The memory that a run and its replay take does not depend on the number of rows."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from itertools import islice
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from pytest_claims import spool
from pytest_claims.store import Store, replay
from tests.store.test_store import picture, recipe, say, state

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from pytest_claims.protocol import CaptioningPlan

__all__ = ["state"]  # a fixture of this module


def peak(rows: int, root: Path) -> int:
    """The most bytes of Python's memory that half a run, the rest of it, and its replay take at once."""
    wide = replace(
        recipe(),
        references=spool.by_name((f"{n:06}", (f"a picture of {n}", f"the {n}")) for n in range(rows)),
        observed=replace(recipe().observed, dataset={**(recipe().observed.dataset or {}), "images": rows}),
    )
    kept = Store(lambda: root)
    tracemalloc.start()
    for part in (2, 1):
        with kept.open(wide, picture, batch=rows) as folder:
            say(folder, *islice(folder.missing, rows // part - len(folder)))
            if part == 1:
                made = folder.finish({})
    again = replay(root, cast("CaptioningPlan", SimpleNamespace(asked=wide.asked, command="", noun="caption"))).evidence
    assert len(made.outputs) == len(again.outputs) == rows
    assert made.digest == again.digest
    _, found = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return found


def test_memory_does_not_grow_with_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond what memory holds, another row takes an eighth of the 1,000 bytes that its objects take."""
    monkeypatch.setattr(spool, "KEEP", 200)
    monkeypatch.setattr(spool, "BLOCK", 5)  # when runs are merged, a block of each is in memory
    peak(250, tmp_path / "first")  # what is imported and compiled once
    few, many = (peak(rows, tmp_path / str(rows)) for rows in (500, 1_500))
    assert many - few < 1_000 * 120
