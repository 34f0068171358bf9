"""What a new user meets in the first hour with pytest. (Mistakes in a file: tests/spec/test_hints.py.)"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from pytest_claims import SpecError, __main__, verify
from tests.builders import captioning, changed, claim, of_status, put, write
from tests.running import run
from tests.shapes import MODEL

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("ini", "place", "said"),
    [
        (
            "",
            "papers",
            "a claim file lies below a folder named claims, or is named on the command line: pytest papers/x.yaml",
        ),
        ("claims_files = other/*.yaml", "papers", "a claim file matches claims_files = other/*.yaml, or is named on"),
    ],
)
def test_a_claim_file_outside_claims(pytester: pytest.Pytester, ini: str, place: str, said: str) -> None:
    """If pytest finds no test, it says why the claim file was not read; the file itself is not opened."""
    pytester.makeini(f"[pytest]\n{ini}")
    path = pytester.mkdir(place) / "x.yaml"
    path.write_text("no: [valid: yaml", encoding="utf-8")
    found = run(pytester, place)
    assert found.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert f"papers/x.yaml was not read for claims: {said}" in found.out


def test_nothing_is_said_where_tests_ran(pytester: pytest.Pytester) -> None:
    """Where a session has tests, or deselects them all, other YAML files are nobody's business."""
    pytester.makepyfile("def test(): pass")
    pytester.path.joinpath("compose.yaml").write_text("a: 1", encoding="utf-8")
    assert "not read" not in run(pytester).out
    found = run(pytester, "-k", "zzz")
    assert found.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "not read" not in found.out


def test_a_folder_claims_above_the_project(pytester: pytest.Pytester) -> None:
    """A folder `claims` above the configuration file does not count, and that is said."""
    project = pytester.path / "claims" / "project"
    project.mkdir(parents=True)
    (project / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    put(project, of_status("pass"), name="papers/x.yaml")
    found = run(pytester, "-c", "claims/project/pytest.ini", "claims/project/papers", "--rootdir=claims/project")
    assert "a claim file lies below a folder named claims, which is not above" in found.out


@pytest.mark.parametrize(
    ("identifier", "place", "status", "said"),
    [
        ("../model", "model", "error", "--claims-model=../model=./model"),
        ("model", "model", "not_attempted", "--claims-model=model=./model"),
        ("model", "elsewhere", "not_attempted", "--claims-model=model=PATH"),
        ("models/new", "models/new", "not_attempted", "--claims-model=models/new=./models/new"),
    ],
)
def test_a_model_outside_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, identifier: str, place: str, status: str, said: str
) -> None:
    """A model that lies where a claim may not read is told the option that names it, with the folder if it is there."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "claims" / "m.yaml", captioning(claim(), protocol__checkpoint__id=identifier))
    tmp_path.joinpath(place).mkdir(parents=True)
    (verdict,) = verify(path)
    assert verdict.status == status
    text = f"{verdict.reason} {verdict.next_step}"
    assert f"To evaluate weights that lie elsewhere, name them on the command line: {said}" in text


def unstated(folder: Path, **run_section: object) -> Path:
    """A claim about the shipped tiny model whose protocol names weights and data alone."""
    shutil.copytree(MODEL, folder / "claims" / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    own = {"num_beams": 3, "max_new_tokens": 25, "eos_token_id": 202}
    (folder / "claims" / "model" / "generation_config.json").write_text(json.dumps(own), encoding="utf-8")
    keys = ("image", "prompt", "decoding", "precision", "metric")
    document = changed(captioning(claim()), **{f"protocol__{key}": ... for key in keys})
    return write(folder / "claims" / "m.yaml", changed(document, run={"evaluator": "captioning", **run_section}))


def test_all_that_is_not_stated_at_once(tmp_path: Path) -> None:
    """A file that leaves out what the run needs is told every axis in one go, with what the checkpoint's own files say."""
    with pytest.raises(SpecError) as caught:
        verify(unstated(tmp_path))
    said = [problem.partition("claims[0]: ")[2] for problem in caught.value.problems]
    assert [text.partition(";")[0] for text in said] == [
        "the evaluator captioning needs decoding",
        "the evaluator captioning needs metric",
        "the evaluator captioning needs prompt",
        "the paper's image is not stated either: look it up too",
        "the paper's precision is not stated either: look it up too",
    ]
    assert said[0].endswith("; the checkpoint's generation_config.json says num_beams=3, max_new_tokens=25")
    assert (
        "; the checkpoint's processor_config.json says size={'height': 64, 'width': 64}, resample=bicubic, " in said[3]
    )
    assert said[4].endswith("; the checkpoint's config.json says dtype=float32")


def test_a_plan_lists_what_is_not_stated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where `run` gives what the paper does not state, the plan lists each such axis, before anything is run."""
    decoding = {"strategy": "beam", "num_beams": 5}
    path = unstated(tmp_path, prompt="a photo of", metric="coco-caption", decoding=decoding)
    assert __main__.main(["explain", str(path)]) in (0, 1)  # the weights are not there
    out = capsys.readouterr().out
    listed = [line.strip() for line in out.splitlines() if line.strip().startswith("needs the paper's ")]
    assert [line.split(":")[0] for line in listed] == [
        f"needs the paper's {axis}" for axis in ("image", "prompt", "decoding", "precision", "metric")
    ]
    assert listed[2] == (
        "needs the paper's decoding: not stated; the checkpoint's generation_config.json says num_beams=3, max_new_tokens=25"
    )


def test_a_checkpoints_own_files_may_say_anything(tmp_path: Path) -> None:
    """Files of a checkpoint come from others: what is no setting is left out, and what is long is cut."""
    path = unstated(tmp_path)
    folder = path.parent / "model"
    (folder / "generation_config.json").write_text('{"num_beams": "' + "9" * 100_000 + '"}', encoding="utf-8")
    (folder / "processor_config.json").write_text('["image_processor"]', encoding="utf-8")
    (folder / "config.json").write_text('{"dtype": "x\\u001b[31m\\n::error::"}', encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        verify(path)
    assert all(len(problem) < 400 for problem in caught.value.problems)
    assert not any("\n" in problem or "\x1b" in problem for problem in caught.value.problems)
