"""What the attacks on the bar share: a git repository with claims that pass, and a branch to tamper with them on."""

from __future__ import annotations

import json
import shutil
import subprocess
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders import Document, claim, predictions, released, write
from tests.running import LEAN

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = {"1": "a dog runs on the beach", "2": "two men play chess", "3": "a red bus at the corner"}


def entry(
    name: str = "bleu1",
    *,
    order: int = 1,
    value: str = "100.0",
    pass_: str = "1.0",
    partial: str = "5%",
    **changes: Any,
) -> Document:
    """A claim of a perfect score."""
    tolerance = {"pass": Decimal(pass_), "partial": partial}
    return claim(name, metric=f"bleu{order}", value=value, tolerance=tolerance, **changes)


def git(folder: Path, *command: str) -> str:
    """Run git with an identity of its own."""
    done = subprocess.run(
        ["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false", *command],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


@pytest.fixture
def claims(pytester: pytest.Pytester) -> Path:
    """The folder claims/ of a repository: claim.yaml with BLEU-1 and BLEU-2, committed on main; HEAD is a branch of it."""
    folder = pytester.mkdir("claims")
    released(folder, TEXTS)
    write(folder / "claim.yaml", predictions(entry("bleu1"), entry("bleu2", order=2)))
    pytester.makefile(".ini", pytest="[pytest]\naddopts = -p no:cacheprovider\n")
    (pytester.path / "conftest.py").write_text('"""Nothing."""\n')
    git(pytester.path, "init", "-q", "-b", "main")
    git(pytester.path, "add", "-A")
    git(pytester.path, "commit", "-qm", "claims")
    git(pytester.path, "checkout", "-qb", "change")
    return folder


class Found:
    """What a run with `--claims-base=main` gave."""

    def __init__(self, result: pytest.RunResult, records: list[Any]) -> None:
        self.status = int(result.ret)
        self.out = result.stdout.str() + result.stderr.str()
        self.records = records

    @property
    def moved(self) -> list[str]:
        """Everything that is said to have moved: `tolerance.pass: 1.0 → 9`, and what files of their own say."""
        found = [f"{c['key']}: {c['before']} → {c['after']}" for r in self.records for c in r["evidence"]["moved"]]
        return found + [
            r["evidence"]["reason"]
            for r in self.records
            if r["evidence"]["test"]["type"] == "claim.moved" and not r["evidence"]["moved"]
        ]

    @property
    def standing(self) -> dict[str, str]:
        """How each claim stands to the base."""
        named = [(r["evidence"]["claim"]["id"], r["evidence"]["baseline"]) for r in self.records]
        return {name: standing for name, standing in named if name}


def compare(
    pytester: pytest.Pytester, *options: str, args: tuple[str, ...] = ("claims",), accept: bool = True
) -> Found:
    """Run pytest against main; and once more with everything accepted, where nothing may be red for having moved.

    Args:
        pytester: pytest's fixture.
        options: more of the command line.
        args: the paths.
        accept: False where a claim is red by its number, too.
    """
    report = pytester.path.parent / f"{pytester.path.name}-v.json"
    report.unlink(missing_ok=True)
    result = pytester.runpytest_inprocess(*args, "--claims-base=main", f"--claims-report={report}", *LEAN, *options)
    records = json.loads(report.read_text())["records"] if report.exists() else []
    found = Found(result, records)
    if found.moved:
        assert found.status == 1, found.out
    if found.moved and accept:
        again = pytester.runpytest_inprocess(
            *args, "--claims-base=main", "--claims-accept-moved", f"--claims-report={report}", *LEAN, *options
        )
        accepted = json.loads(report.read_text())["records"]
        assert not [r for r in accepted if r["evidence"]["test"]["result"] == "failed"], again.stdout.str()
        assert Found(again, accepted).moved == found.moved, "accepting hides nothing"
    return found


def move(source: Path, target: Path) -> None:
    """Move a file or a folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(source, target)
