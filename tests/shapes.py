"""A small claim on the shipped tiny BLIP-2: the real model, a handful of its images."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
import transformers

from tests.builders import captioning, changed, claim, write

__all__ = ["MODEL", "SHAPES", "datasets", "rows", "torch", "transformers", "warm", "write_claim", "write_rows"]

SHAPES = Path(__file__).parents[1] / "claims" / "shapes"
MODEL = SHAPES / "model"


def rows(count: int) -> list[dict[str, Any]]:
    """The first rows of the shipped test split: filename, split, caption (five), image ({bytes, path})."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(SHAPES / "data" / "test.parquet")
    found: list[dict[str, Any]] = table.slice(0, count).to_pylist()
    return found


def write_rows(path: Path, content: list[dict[str, Any]]) -> None:
    """Rows as a parquet file that `datasets` reads."""
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(content), path)


def write_claim(
    folder: Path,
    *,
    count: int = 16,
    images: int | None = None,
    metrics: tuple[str, ...] = ("bleu4",),
    value: str = "70.0",
    min_sample: int = 4,
    content: list[dict[str, Any]] | None = None,
    **changes: Any,
) -> Path:
    """A claim file with its data below `folder`/claims; the model is found with `--claims-data=SHAPES`.

    Args:
        folder: where `claims/` is made.
        count: how many of the shipped images it holds.
        images: how many the protocol says; `count` if None.
        metrics: one claim each.
        value: what is reported.
        min_sample: of the tolerance.
        content: rows instead of the first `count` shipped ones.
        changes: of the claim file, as `tests.builders` has them.
    """
    content = rows(count) if content is None else content
    write_rows(folder / "claims" / "rows.parquet", content)
    tolerance = {"pass": 5, "partial": "90%", "min_sample": min_sample}
    claims = [claim(metric, metric=metric, value=value, tolerance=tolerance) for metric in metrics]
    columns = {"image": "image", "references": "caption", "id": "filename"}
    document = captioning(*claims, images=len(content) if images is None else images, run__columns=columns)
    return write(folder / "claims" / "small.yaml", changed(document, **changes))


@pytest.fixture(scope="session", autouse=True)
def warm() -> None:
    """One evaluation before the first pytester run.

    pytester forgets the modules that were first imported during a run, and torch and transformers cannot be imported twice: so
    everything that an evaluation imports must be there before.
    """
    _evaluate_once()


@cache
def _evaluate_once() -> None:
    """For pytest, `warm` is another fixture in each module that imports it."""
    from pytest_claims.bench import Bench
    from pytest_claims.run import Session
    from pytest_claims.settings import Settings
    from pytest_claims.spec import load
    from pytest_claims.verdict import Status

    with tempfile.TemporaryDirectory() as folder:
        (claim,) = load(write_claim(Path(folder), count=2))
        verdict = Session(Settings(data=(SHAPES,)), Bench(), {}).verify(claim)
    assert verdict.status is not Status.ERROR, verdict.reason
