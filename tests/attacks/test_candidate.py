"""Have a release candidate's gate green without the candidate having been evaluated."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.shop import attempt, deviates, edit, model
from tests.builders import claim, parameters, put, write
from tests.running import LEAN
from tests.shapes import MODEL, warm, write_claim

__all__ = ["warm"]  # a fixture of this module

USAGE = 4


@pytest.mark.parametrize(
    "path",
    [
        "./candidate",
        "candidate",
        "claims/modle",
        "../candidate",
        "/nowhere/candidate",
        "claims/small.yaml",
        "~/candidate",
        "acme/candidate@",
        "./candidate@main",
    ],
)
def test_name_a_candidate_that_is_not_there(pytester: pytest.Pytester, path: str) -> None:
    """A folder that is not there is a usage error before anything runs."""
    write_claim(pytester.path, count=4)
    result = pytester.runpytest_inprocess(
        "claims", f"--claims-model=model={path}", f"--claims-data={MODEL.parent}", *LEAN
    )
    assert result.ret == USAGE
    result.stderr.fnmatch_lines([f"ERROR: --claims-model=model={path}: *"])


def test_the_nearest_folder_is_named(pytester: pytest.Pytester) -> None:
    """A mistyped folder gets the name of the one that is there."""
    write_claim(pytester.path, count=4)
    model(pytester.path, "candidate")
    result = pytester.runpytest_inprocess(
        "claims", "--claims-model=model=./candidat", f"--claims-data={MODEL.parent}", *LEAN
    )
    assert result.ret == USAGE
    result.stderr.fnmatch_lines(["*there is no folder *candidat, did you mean 'candidate'?*"])


@pytest.mark.parametrize("holds", [(), ("README.md",), ("model.safetensors",), ("sub/config.json",)])
def test_name_a_folder_that_holds_no_checkpoint(pytester: pytest.Pytester, holds: tuple[str, ...]) -> None:
    """An empty folder, or one without a config, is a usage error before anything runs."""
    write_claim(pytester.path, count=4)
    folder = pytester.mkdir("candidate")
    for name in holds:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    result = pytester.runpytest_inprocess(
        "claims", f"--claims-model=model={folder}", f"--claims-data={MODEL.parent}", *LEAN
    )
    assert result.ret == USAGE
    result.stderr.fnmatch_lines(["*holds no config.json*"])


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("modle", ()),
        ("Model", ("-n", "2")),
        ("bleu", ("--claims-dry-run",)),
        ("org/model", ("-k", "nothing-of-this-name or test_other")),
    ],
)
def test_name_a_claim_that_is_not_selected(pytester: pytest.Pytester, name: str, more: tuple[str, ...]) -> None:
    """A name that no selected claim has, or that was deselected, is a usage error with the nearest one."""
    write_claim(pytester.path, count=4)
    pytester.makepyfile("def test_other(): pass")
    result = pytester.runpytest_inprocess(
        ".", f"--claims-model={name}={MODEL}", f"--claims-data={MODEL.parent}", *more, *LEAN
    )
    assert result.ret == USAGE
    said = result.stderr.str() + result.stdout.str()
    assert f"no selected claim has the id or the checkpoint '{name}'" in said


def test_deselect_what_would_run_the_candidate(pytester: pytest.Pytester) -> None:
    """The right name does not help where the claim is not selected."""
    write_claim(pytester.path, count=4)
    pytester.makepyfile("def test_other(): pass")
    result = pytester.runpytest_inprocess(".", "-k", "test_other", f"--claims-model=model={MODEL}", *LEAN)
    assert result.ret == USAGE


@pytest.mark.parametrize("name", ["one", "org/model"])
def test_let_released_captions_pass_for_the_candidate(pytester: pytest.Pytester, name: str) -> None:
    """A claim that re-scores captions runs no candidate: no record of kind PRE, and never green."""
    put(pytester.path, protocol__checkpoint__id="org/model")
    result = pytester.runpytest_inprocess("claims", f"--claims-model={name}={MODEL}", "--claims-report=v.json", *LEAN)
    assert result.ret == USAGE
    result.stderr.fnmatch_lines(["*the claim one runs no checkpoint (evaluator predictions)*"])
    records = json.loads((pytester.path / "v.json").read_text())["records"]
    assert [record["verdict"]["kind"] for record in records] == ["POST"]


def test_let_a_counted_configuration_pass_for_the_candidate(pytester: pytest.Pytester) -> None:
    """A claim that counts the parameters of a configuration runs no checkpoint either: a usage error."""
    folder = pytester.mkdir("claims")
    (folder / "config.json").write_text((MODEL / "config.json").read_text())
    size = claim("size", metric="total_parameters", value="821696", unit="count", tolerance__partial=10)
    write(folder / "c.yaml", parameters(size))
    result = pytester.runpytest_inprocess("claims", f"--claims-model=size={MODEL}", *LEAN)
    assert result.ret == USAGE


def test_mix_a_claim_that_runs_it_with_one_that_does_not(pytester: pytest.Pytester) -> None:
    """One claim runs the candidate. Another claim that names the checkpoint and does not run it is an error of kind POST."""
    write_claim(pytester.path, count=6)
    put(pytester.path, name="claims/released.yaml", protocol__checkpoint__id="model")
    status, records = attempt(pytester, f"--claims-model=model={MODEL}")
    found = {record["evidence"]["claim"]["id"]: record for record in records}
    assert status == 1
    assert (found["one"]["verdict"]["status"], found["one"]["verdict"]["kind"]) == ("error", "POST")
    assert "the candidate was not evaluated" in found["one"]["evidence"]["reason"]
    assert found["bleu4"]["verdict"]["kind"] == "PRE"


@pytest.mark.parametrize("way", ["offline", "needs cuda", "no data"])
def test_have_the_candidate_skipped(pytester: pytest.Pytester, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that could not be attempted is red where a candidate was named, under every gate."""
    device = "cuda" if way == "needs cuda" else "cpu"
    path = write_claim(pytester.path, count=4, run__requires={"device": device})
    if way == "no data":
        (path.parent / "rows.parquet").unlink()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    candidate = "someone/candidate" if way == "offline" else str(MODEL)
    status, (record,) = attempt(pytester, f"--claims-model=model={candidate}")
    assert status == 1
    assert record["verdict"]["status"] == "not_attempted"
    assert record["evidence"]["test"]["result"] == "failed"


def test_replay_the_candidate(pytester: pytest.Pytester) -> None:
    """Evidence names a candidate by its path, and says nothing of what lies there now."""
    write_claim(pytester.path, count=4)
    result = pytester.runpytest_inprocess(
        "claims", f"--claims-model=model={MODEL}", "--claims-replay", "--claims-accept-replay", *LEAN
    )
    assert result.ret == USAGE
    result.stderr.fnmatch_lines(["*a candidate has to be run, and --claims-replay runs nothing*"])


def test_name_two_candidates(pytester: pytest.Pytester) -> None:
    """The last of two does not win silently."""
    write_claim(pytester.path, count=4)
    other = model(pytester.path, "other")
    result = pytester.runpytest_inprocess(
        "claims", f"--claims-model=model={MODEL}", f"--claims-model=model={other}", *LEAN
    )
    assert result.ret == USAGE


def test_expect_that_the_candidate_breaks(pytester: pytest.Pytester) -> None:
    """`expect: error` records the published checkpoint's result; a candidate that breaks is red."""
    path = write_claim(pytester.path, count=4)
    path.write_text(path.read_text().replace("min_sample: 4}", "min_sample: 4}\n    expect: error"))
    broken = model(pytester.path, "candidate")
    (broken / "model.safetensors").write_bytes(b"no weights")
    status, (record,) = attempt(pytester, f"--claims-model=model={broken}")
    assert status == 1
    assert record["evidence"]["test"]["result"] == "failed"


def no_normalisation(folder: Path) -> None:
    """The candidate's processor does not normalise."""
    edit(folder / "processor_config.json", image_processor__do_normalize=False)


def another_end(folder: Path) -> None:
    """The candidate's generation config ends captions elsewhere."""
    edit(folder / "generation_config.json", eos_token_id=[202, 271])


def another_tokenizer(folder: Path) -> None:
    """The candidate's tokenizer strips accents."""
    edit(folder / "tokenizer.json", normalizer={"type": "StripAccents"})


def another_template(folder: Path) -> None:
    """The candidate brings a chat template."""
    (folder / "chat_template.jinja").write_text("{{ messages }}")


@pytest.mark.parametrize(
    ("change", "axis", "what"),
    [
        (no_normalisation, "image", "do_normalize: True → False"),
        (another_end, "decoding", "eos_token_id: 202 → [202, 271]"),
        (another_tokenizer, "prompt", "tokenizer: "),
        (another_template, "prompt", "chat_template: not given → {{ messages }}"),
    ],
)
def test_change_the_protocol_with_the_candidate(pytester: pytest.Pytester, change: Any, axis: str, what: str) -> None:
    """What differs from the reference in processor, tokenizer or generation config stands on its axis, and drifts."""
    write_claim(pytester.path, count=6)
    candidate = model(pytester.path, "candidate")
    change(candidate)
    status, (record,) = attempt(pytester, f"--claims-model=model={candidate}")
    assert status == 1
    assert record["verdict"]["kind"] == "PRE"
    assert deviates(record, axis)
    assert what in next(found["run"] for found in record["evidence"]["axes"] if found["axis"] == axis)


def test_an_honest_candidate_is_exact(pytester: pytest.Pytester) -> None:
    """Other weights alone are the thing under test."""
    write_claim(pytester.path, count=6)
    candidate = model(pytester.path, "candidate")
    from tests.attacks.test_checkpoint import damage

    damage(candidate / "model.safetensors")
    _, (record,) = attempt(pytester, f"--claims-model=model={candidate}")
    assert (record["verdict"]["kind"], record["verdict"]["protocol_match"]) == ("PRE", "exact")


def test_the_reference_is_not_at_hand(pytester: pytest.Pytester) -> None:
    """If the reference checkpoint is not there, a note says that nothing was compared."""
    write_claim(pytester.path, count=4, protocol__checkpoint__id="./elsewhere")
    candidate = model(pytester.path, "candidate")
    _, (record,) = attempt(pytester, f"--claims-model=./elsewhere={candidate}")
    (note,) = record["evidence"]["notes"]
    assert note.startswith(
        "The candidate's processor, tokenizer and generation config were not compared with those of ./elsewhere"
    )


ROOT = Path(__file__).parents[2]


def readme_gate() -> list[str]:
    """The lines of README's gate example."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("<!-- gate -->\n")[2]
    copy, command = (line.strip() for line in text.splitlines()[:2])
    assert copy.startswith("cp -r claims/shapes/model ")
    assert command.startswith("pytest claims/shapes/shapes.yaml ")
    return [copy, command.replace("pytest", f"{sys.executable} -m pytest -p no:cacheprovider", 1)]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of this repository, as far as the example needs it."""
    shutil.copytree(ROOT / "claims" / "shapes", tmp_path / "checkout" / "claims" / "shapes")
    (tmp_path / "checkout" / "pytest.ini").write_text("[pytest]\n")
    return tmp_path / "checkout"


def test_the_gate_of_the_readme(checkout: Path) -> None:
    """README's two lines are green in this repository, and both runs are in the report."""
    for line in readme_gate():
        done = subprocess.run(line, shell=True, cwd=checkout, capture_output=True, text=True, check=False)  # noqa: S602 - as a user runs it
        assert done.returncode == 0, done.stdout + done.stderr
    assert "4 claims: 4 pass" in done.stdout
    assert "non-inferior" in done.stdout
    assert (checkout / "verdicts.html").exists()


def test_the_gate_of_the_readme_without_a_candidate(checkout: Path) -> None:
    """Without its first line, README's example is a usage error."""
    done = subprocess.run(readme_gate()[1], shell=True, cwd=checkout, capture_output=True, text=True, check=False)  # noqa: S602 - as above
    assert done.returncode == USAGE
    assert "there is no folder" in done.stderr


def gate(*args: str) -> subprocess.CompletedProcess[str]:
    """Run the gate in this repository, on a machine that has no GPU to show."""
    command = [sys.executable, "-m", "pytest", "claims/blip2/flickr30k.yaml", "-p", "no:cacheprovider", *args]
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, cwd=ROOT, env=hidden, capture_output=True, text=True, check=False)


def test_run_the_gate_without_a_gpu(tmp_path: Path) -> None:
    """With a candidate and without a GPU the gate is red: nothing was attempted."""
    candidate = model(tmp_path, "candidate")
    done = gate("--claims-gate=pass", f"--claims-model=Salesforce/blip2-opt-2.7b={candidate}")
    assert done.returncode == 1
    assert "1 failed" in done.stdout
    assert "the candidate was not evaluated" in done.stdout
