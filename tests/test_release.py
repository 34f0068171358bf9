"""A candidate beside the checkpoint that it would replace, from the command line to every report."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.attacks.shop import edit, model
from tests.attacks.test_checkpoint import damage
from tests.running import LEAN, run
from tests.shapes import MODEL, SHAPES, torch, warm, write_claim

if TYPE_CHECKING:
    import pytest

__all__ = ["torch", "warm"]  # what an inner run must not be the first to import; a fixture of this module


def again(command: str, folder: Path) -> dict[str, Any]:
    """Run a printed command as it stands, in a shell, and give back its one record."""
    report = folder / "again.json"
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    options = f"--claims-report={report} -p no:cacheprovider {' '.join(LEAN)}"
    environment = {**os.environ, "PATH": path, "PYTEST_ADDOPTS": options, "PYTHONPATH": str(SHAPES.parents[1])}
    subprocess.run(["sh", "-c", command], cwd=folder, env=environment, check=False, capture_output=True)
    (record,) = json.loads(report.read_text(encoding="utf-8"))["records"]
    found: dict[str, Any] = record
    return found


def test_side_by_side_in_every_report(pytester: pytest.Pytester) -> None:
    """Every report shows both checkpoints; the record's command, run as it stands, gives the same verdict."""
    write_claim(pytester.path, count=12, metrics=("bleu4", "cider"), protocol__checkpoint__id="model")
    shutil.copytree(MODEL, pytester.path / "my data" / "model")
    candidate = model(pytester.path, "my candidate")
    damage(candidate / "model.safetensors")
    edit(candidate / "processor_config.json", image_processor__do_normalize=False)
    done = run(
        pytester, "claims", "-p", "no:cacheprovider", "--claims-model=model=my candidate", "--claims-data=my data",
        "--claims-compare", "--claims-max-regression=0.5", "--claims-sample=10", "--claims-set=prompt=the photo of",
        "--claims-report=v.html",
    )  # fmt: skip
    record = done.records["bleu4"]
    verdicts, evidence = record["verdicts"], record["evidence"]
    assert (verdicts["pre"]["kind"], verdicts["post"]["kind"]) == ("PRE", "POST")
    assert verdicts["pre"] == record["verdict"]
    found = evidence["comparison"]
    assert found["made"] == "this session"
    assert found["reference"]["measured"] == round(100 * verdicts["post"]["score"], 9)
    assert found["candidate"]["measured"] == evidence["measured"]
    assert found["reference"]["digest"] != found["candidate"]["digest"]
    assert found["difference"] == round(found["candidate"]["measured"] - found["reference"]["measured"], 9)
    assert found["interval"]["low"] <= found["difference"] <= found["interval"]["high"]
    assert found["images"] == 10 >= found["changed"] > 0
    assert len(found["losses"]) == found["worse"]
    assert found["settings"] == [
        {"what": "processor", "key": "do_normalize", "reference": "True", "candidate": "False"}
    ]
    # The weights of a candidate are as observed as those of any checkpoint.
    axis = next(axis for axis in evidence["axes"] if axis["axis"] == "candidate")
    assert axis["run"] == f"my candidate, digest={found['candidate']['digest']}"
    assert evidence["provenance"]["torch"] == torch.__version__
    page = (pytester.path / "v.html").read_text(encoding="utf-8")
    assert page.count("Candidate against reference") == 2
    assert page.count('<li class="loss"><img src="data:image/') == sum(
        len(record["evidence"]["comparison"]["losses"]) for record in done.records.values()
    )
    for text in (done.markdown, done.xml):
        assert f"comparison: {found['decision']}: {found['reason']}" in text
        assert "captions: " in text
        assert "processor: do_normalize: True → False" in text
    assert "'--claims-model=model=my candidate'" in evidence["command"]
    repeated = again(evidence["command"], pytester.path)
    assert repeated["verdict"]["id"] == record["verdict"]["id"]
    assert repeated["verdict"]["score"] == record["verdict"]["score"]
    assert repeated["evidence"]["comparison"]["difference"] == found["difference"]
    assert repeated["evidence"]["test"] == evidence["test"]


def test_evidence_of_the_reference(pytester: pytest.Pytester) -> None:
    """Evidence of the user's earlier run is compared without being asked for; an equal copy loses nothing, and is green."""
    write_claim(pytester.path, count=10)
    model(pytester.path, "candidate")
    options = ("claims", f"--claims-data={SHAPES}", "--claims-evidence=evidence")
    run(pytester, *options)
    done = run(pytester, *options, "--claims-model=model=candidate", "--claims-max-regression=0", "--claims-gate=pass")
    found = done.records["bleu4"]["evidence"]["comparison"]
    assert found["made"].startswith("an earlier run of this user")
    assert (found["decision"], found["difference"], found["changed"]) == ("non-inferior", 0.0, 0)
    assert "The files of the candidate are those of the reference." in found["notes"]
    # On a machine without that evidence, the record's command makes it.
    assert "--claims-compare" in done.records["bleu4"]["evidence"]["command"]
    (said,) = done.lines("  non-inferior: bleu4: ")
    assert "0 of 10 captions changed" in said
    assert done.ret == 0


def test_a_dry_run_names_the_reference(pytester: pytest.Pytester) -> None:
    """A dry run says what the reference needs, if it would be run, and what happens otherwise."""
    write_claim(pytester.path, count=4)
    options = ("claims", f"--claims-data={SHAPES}", "--claims-dry-run", f"--claims-model=model={MODEL}")
    done = run(pytester, *options, "--claims-compare")
    needs = {need["what"]: need["found"] for need in done.records["bleu4"]["evidence"]["needs"]}
    assert needs["reference: checkpoint"].startswith("model (a folder): Blip2")
    done = run(pytester, *options)
    needs = {need["what"]: need["found"] for need in done.records["bleu4"]["evidence"]["needs"]}
    assert needs["reference"] == "is compared if an earlier run left its evidence; --claims-compare makes it"


def test_no_candidate_no_comparison(pytester: pytest.Pytester) -> None:
    """A margin in the ini file says nothing about claims without a candidate."""
    pytester.makeini("[pytest]\nclaims_max_regression = 0.5\n")
    write_claim(pytester.path, count=4)
    done = run(pytester, "claims", f"--claims-data={SHAPES}")
    record = done.records["bleu4"]
    assert record["evidence"]["comparison"] is None
    assert record["verdicts"]["pre"] is None
    assert "--claims-max-regression" not in record["evidence"]["command"]
