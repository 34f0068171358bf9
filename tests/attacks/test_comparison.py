"""Have a worse release candidate look as good as the checkpoint that it would replace."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.attacks.repository import git
from tests.attacks.shop import attempt, model
from tests.attacks.test_checkpoint import damage
from tests.running import LEAN
from tests.shapes import SHAPES, torch, warm, write_claim

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["torch", "warm"]  # what an inner run must not be the first to import; a fixture of this module

USAGE = 4


@pytest.fixture
def candidate(pytester: pytest.Pytester) -> Path:
    """A damaged candidate, beside a claim whose reference has evidence of this user in ./evidence."""
    write_claim(pytester.path, count=10)
    model(pytester.path)
    status, _ = attempt(pytester, "--claims-evidence=evidence")
    assert status == 0
    damaged = model(pytester.path, "candidate")
    damage(damaged / "model.safetensors")
    return damaged


def gate(pytester: pytest.Pytester, *options: str) -> tuple[int, dict[str, Any]]:
    """Run the gate on the candidate, with the evidence in ./evidence; the exit status and the evidence of the record."""
    status, (record,) = attempt(
        pytester,
        "--claims-model=model=candidate",
        "--claims-evidence=evidence",
        "--claims-max-regression=0.5",
        *options,
    )
    found: dict[str, Any] = record["evidence"]
    return status, found


def caption_file() -> Path:
    """The captions of the reference."""
    (found,) = Path("evidence").glob("*/captions.jsonl")
    return found


def forge_captions() -> None:
    """Write worse captions into the reference's evidence: each image gets that of the one before."""
    lines = [json.loads(line) for line in caption_file().read_text(encoding="utf-8").splitlines()]
    text = "".join(json.dumps({**line, "caption": lines[i - 1]["caption"]}) + "\n" for i, line in enumerate(lines))
    caption_file().write_text(text, encoding="utf-8")


def drop_the_seals() -> None:
    """Bring evidence from another user: the same captions, sealed by nobody."""
    lines = [json.loads(line) for line in caption_file().read_text(encoding="utf-8").splitlines()]
    text = "".join(json.dumps({**line, "seal": None}) + "\n" for line in lines)
    caption_file().write_text(text, encoding="utf-8")


def other_key() -> None:
    """The run is said to be complete by somebody else."""
    run = caption_file().with_name("run.json")
    run.write_text(json.dumps({**json.loads(run.read_text(encoding="utf-8")), "seal": "0" * 32}), encoding="utf-8")


@pytest.mark.usefixtures("candidate")
@pytest.mark.parametrize("forge", [forge_captions, drop_the_seals, other_key])
def test_bring_a_reference_that_was_not_made_here(pytester: pytest.Pytester, forge: Callable[[], None]) -> None:
    """Evidence without this user's seals is shown, and decides nothing: red, unless somebody vouches for it."""
    forge()
    status, evidence = gate(pytester)
    found = evidence["comparison"]
    assert status == 1
    assert evidence["test"]["type"] == "claim.not_compared"
    assert (found["decision"], found["made"][:26]) == ("not compared", "evidence that was not made")
    _, vouched = gate(pytester, "--claims-accept-replay")
    assert vouched["comparison"]["decision"] in ("non-inferior", "inferior", "inconclusive")


def remove_it() -> None:
    """No evidence, and nobody asked to make it."""
    shutil.rmtree("evidence")


def cut_it() -> None:
    """Half of the evidence."""
    lines = caption_file().read_text(encoding="utf-8").splitlines(keepends=True)
    caption_file().write_text("".join(lines[:4]), encoding="utf-8")


def damage_the_reference() -> None:
    """A reference that is as bad as the candidate, with the evidence of the good one."""
    shutil.copy("candidate/model.safetensors", "claims/model/model.safetensors")


def other_images() -> None:
    """Other pixels behind the ids."""
    rows = write_claim(Path.cwd(), count=10).parent / "rows.parquet"
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(rows).to_pylist()
    table[0]["image"] = table[1]["image"]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table), rows)


@pytest.mark.usefixtures("candidate")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (remove_it, "There is no evidence of the reference model here."),
        (cut_it, "4 of 10 captions: the run was not finished"),
        (damage_the_reference, "The reference model is not the one of its evidence: its digest is "),
        (other_images, "The two runs may not be compared. dataset: fingerprint is "),
    ],
)
def test_have_nothing_to_compare_with(pytester: pytest.Pytester, change: Callable[[], None], said: str) -> None:
    """A margin was named, and no comparison could be made: red under both gates, with the reason and the next step."""
    change()
    status, evidence = gate(pytester)
    found = evidence["comparison"]
    assert status == 1
    assert evidence["test"]["result"] == "failed"
    assert found["decision"] == "not compared"
    assert said in found["reason"]
    assert "--claims-compare" in found["next_step"]


def test_make_the_reference_worse_in_the_same_change(pytester: pytest.Pytester) -> None:
    """A pinned reference that was replaced is not the claim's checkpoint, also if it is evaluated anew."""
    from pytest_claims.progress import silent
    from pytest_claims.sources import folder

    place = model(pytester.path)
    pin = folder.digest(place, "model", silent)
    write_claim(pytester.path, count=6, protocol__checkpoint={"id": "model", "digest": pin})
    damage(place / "model.safetensors")
    shutil.copytree(place, pytester.path / "candidate")
    status, evidence = gate(pytester, "--claims-compare")
    assert status == 1
    assert evidence["comparison"]["reason"].startswith("The reference is not the checkpoint of the claim")


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e9", "", "0,5", "half", " 1", "+1", "٣"])
@pytest.mark.parametrize("where", ["option", "ini"])
def test_name_a_margin_that_is_no_number(pytester: pytest.Pytester, value: str, where: str) -> None:
    """A margin is a number of at least 0; anything else is a usage error, on the command line and in the ini file."""
    if where == "ini":
        if not value.strip():
            pytest.skip("an empty ini value is none")
        pytester.makeini(f"[pytest]\nclaims_max_regression = {value.strip()}x\n")
        result = pytester.runpytest_inprocess(*LEAN)
    else:
        result = pytester.runpytest_inprocess(
            f"--claims-max-regression={value}", f"--claims-model=x={SHAPES / 'model'}", *LEAN
        )
    assert result.ret == USAGE
    result.stderr.fnmatch_lines(
        ["*expected a loss in the reported unit that is accepted, such as 0.5, and at least 0*"]
    )


@pytest.mark.parametrize("option", ["--claims-compare", "--claims-max-regression=0.5"])
def test_forget_the_candidate(pytester: pytest.Pytester, option: str) -> None:
    """A gate that names a margin or a comparison, and no candidate, is a usage error."""
    write_claim(pytester.path, count=4)
    result = pytester.runpytest_inprocess("claims", option, *LEAN)
    assert result.ret == USAGE
    result.stderr.fnmatch_lines(["*there is no candidate to compare; name one with --claims-model=*"])


@pytest.mark.usefixtures("candidate")
def test_name_a_margin_that_no_candidate_exceeds(pytester: pytest.Pytester) -> None:
    """A margin of all that the reference has is an error of the claim."""
    status, (record,) = attempt(
        pytester, "--claims-model=model=candidate", "--claims-evidence=evidence", "--claims-max-regression=100"
    )
    assert status == 1
    assert record["verdict"]["status"] == "error"
    assert "no candidate of this claim can lose more than" in record["evidence"]["reason"]


def test_raise_the_margin_in_the_change(pytester: pytest.Pytester) -> None:
    """The margin of the ini file is part of the bar: a change of it is named, and red."""
    from tests.builders import put

    put(pytester.path)
    ini = "[pytest]\naddopts = -p no:cacheprovider\nclaims_max_regression = {}\n"
    pytester.makefile(".ini", pytest=ini.format("0.5"))
    git(pytester.path, "init", "-q", "-b", "main")
    git(pytester.path, "add", "-A")
    git(pytester.path, "commit", "-qm", "claims")
    pytester.makefile(".ini", pytest=ini.format("5"))
    result = pytester.runpytest_inprocess("claims", "--claims-base=main", "--claims-report=v.json", *LEAN)
    records = json.loads((pytester.path / "v.json").read_text(encoding="utf-8"))["records"]
    assert result.ret == 1
    assert any("pytest.ini: claims_max_regression: 0.5 → 5" in record["evidence"]["reason"] for record in records)
