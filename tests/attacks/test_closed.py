"""Shrink the closed list of answers until the right one wins, and have the run read as exact."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.attacks.repository import git
from tests.attacks.shop import attempt, deviates
from tests.builders import captioning, claim, write
from tests.shapes import SHAPES, rows, torch, warm, write_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["torch", "warm"]  # a fixture of this module; what an inner run must not be the first to import

COLUMNS = {"image": "image", "references": "answers", "id": "id", "question": "question"}
LISTED = ["red", "blue", "green", "yellow", "two", "circle"]
RANK = {"strategy": "rank", "answers": "answers.txt", "num_answers": 6, "length_penalty": 0.0}


def shop(folder: Path, **changes: Any) -> Path:
    """A claim about answers of a closed list beside it, and a copy of the model that ranks them; gives back claims/."""
    claims = folder / "claims"
    content = [
        {"id": str(number), "image": row["image"], "question": f"a {number % 3} shapes", "answers": ["red", "blue"]}
        for number, row in enumerate(rows(12))
    ]
    write_rows(claims / "rows.parquet", content)
    if not (claims / "model").exists():
        shutil.copytree(SHAPES / "model", claims / "model")
    put(claims, *LISTED)
    tolerance = {"pass": 5, "partial": "90%", "min_sample": 4}
    file = captioning(
        claim("closed", metric="exact_match", value="70.0", tolerance=tolerance),
        images=len(content),
        **{
            "protocol__prompt": "a photo of {question}",
            "protocol__dataset__columns": COLUMNS,
            "protocol__decoding": RANK,
            "protocol__metric": "exact-match",
            "run__evaluator": "answering",
            **changes,
        },
    )
    write(claims / "closed.yaml", file)
    return claims


def put(claims: Path, *answers: str) -> None:
    """Write the list."""
    (claims / "answers.txt").write_text("".join(f"{answer}\n" for answer in answers), encoding="utf-8")


def withheld(pytester: pytest.Pytester, *options: str, cache: bool = False) -> None:
    """Run, and see that the verdict is withheld for the axis decoding."""
    status, (record,) = attempt(pytester, *options, cache=cache)
    assert (status, record["verdict"]["status"], record["verdict"]["protocol_match"]) == (1, "pending", "drift")
    assert deviates(record, "decoding")


def test_an_honest_run_is_exact(pytester: pytest.Pytester) -> None:
    """The control: a run that ranks the paper's list has no deviation, and says in its version how many answers there are."""
    shop(pytester.path)
    _, (record,) = attempt(pytester)
    assert record["verdict"]["protocol_match"] == "exact", record["evidence"]["axes"]
    assert "-rank6-" in record["verdict"]["agent_version"]


def test_take_wrong_answers_out_of_the_list(pytester: pytest.Pytester) -> None:
    """A shorter list is not as long as the paper's: the verdict is withheld, also where a run with the whole list was kept."""
    claims = shop(pytester.path)
    attempt(pytester, cache=True)
    put(claims, "red", "blue")
    withheld(pytester, cache=True)


def test_put_other_answers_into_the_list(pytester: pytest.Pytester) -> None:
    """A list of the same length with other answers is not the one that the claim pins."""
    claims = shop(pytester.path)
    _, (honest,) = attempt(pytester)
    told = next(axis["run"] for axis in honest["evidence"]["axes"] if axis["axis"] == "decoding")
    pin = told.partition("answers_digest=")[2].split(",")[0]
    shop(pytester.path, protocol__decoding={**RANK, "answers_digest": pin})
    _, (record,) = attempt(pytester)
    assert record["verdict"]["protocol_match"] == "exact", record["evidence"]["axes"]
    put(claims, "red", "blue", "w", "x", "y", "z")
    withheld(pytester)


def by_run(pytester: pytest.Pytester) -> tuple[str, ...]:
    """The section run names a shorter list."""
    claims = shop(pytester.path, run__decoding={"answers": "short.txt"})
    (claims / "short.txt").write_text("red\nblue\n", encoding="utf-8")
    return ()


def by_candidates(pytester: pytest.Pytester) -> tuple[str, ...]:
    """The section run scores the likeliest first token only."""
    shop(pytester.path, run__decoding={"candidates": 1})
    return ()


def on_the_command_line(pytester: pytest.Pytester) -> tuple[str, ...]:
    """The command line names a shorter list."""
    claims = shop(pytester.path)
    (claims / "short.txt").write_text("red\nblue\n", encoding="utf-8")
    return ("--claims-set=decoding.answers=short.txt",)


@pytest.mark.parametrize("attack", [by_run, by_candidates, on_the_command_line])
def test_rank_another_list(pytester: pytest.Pytester, attack: Callable[[pytest.Pytester], tuple[str, ...]]) -> None:
    """Another list than the paper's, or another number of candidates, is a deviation on the axis decoding."""
    withheld(pytester, *attack(pytester))


def test_edit_the_list_in_a_pull_request(pytester: pytest.Pytester) -> None:
    """A list that a branch changed together with its size in the claim is a bar that moved, and so is the list alone."""
    claims = shop(pytester.path)
    (pytester.path / ".gitignore").write_text("v.json\n", encoding="utf-8")
    git(pytester.path, "init", "-q", "-b", "main")
    git(pytester.path, "add", "-A")
    git(pytester.path, "commit", "-qm", "claims")
    git(pytester.path, "checkout", "-qb", "change")
    put(claims, "red", "blue", "w", "x", "y", "z")
    status, (record,) = attempt(pytester, "--claims-base=main")
    assert status == 1
    assert [change["key"] for change in record["evidence"]["moved"]] == ["data answers.txt"]
    shop(pytester.path, protocol__decoding={**RANK, "num_answers": 2})
    put(claims, "red", "blue")
    _, (record,) = attempt(pytester, "--claims-base=main")
    keys = [change["key"] for change in record["evidence"]["moved"]]
    assert keys == ["protocol.decoding.num_answers", "data answers.txt"]
