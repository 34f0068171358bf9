"""What the attacks share: a small claim that an honest run passes, a copy of its model to tamper with, and a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.running import LEAN
from tests.shapes import MODEL, SHAPES

if TYPE_CHECKING:
    import pytest

Record = dict[str, Any]


def attempt(pytester: pytest.Pytester, *options: str, cache: bool = False) -> tuple[int, list[Record]]:
    """Run pytest on claims/ and give back the exit status and the records.

    Args:
        pytester: pytest's fixture.
        options: more of the command line.
        cache: whether evidence of earlier runs may be used.
    """
    off = () if cache else ("-p", "no:cacheprovider")
    always = ("claims", "--claims-report=v.json", f"--claims-data={SHAPES}", *LEAN)
    result = pytester.runpytest_inprocess(*always, *off, *options)
    report = Path("v.json")
    records: list[Record] = json.loads(report.read_text(encoding="utf-8"))["records"] if report.exists() else []
    report.unlink(missing_ok=True)
    return int(result.ret), records


def model(folder: Path, name: str = "claims/model") -> Path:
    """A copy of the shipped model below `folder`; beside the claim file it hides the shipped one."""
    target = folder / name
    shutil.copytree(MODEL, target)
    return target


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file; `a__b` is the key `b` of the object `a`, and `...` takes a key out."""
    content = json.loads(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        *parents, last = key.split("__")
        place = content
        for parent in parents:
            place = place.setdefault(parent, {})
        if value is ...:
            place.pop(last, None)
        else:
            place[last] = value
    path.write_text(json.dumps(content), encoding="utf-8")


def deviates(record: Record, axis: str) -> bool:
    """Whether a record names a deviation on `axis`."""
    return axis in [found["axis"] for found in record["evidence"]["deviations"]]
