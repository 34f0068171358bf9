"""action.yml, and the CI files of docs/release-gate.md: their shell steps run as they stand, on a repository made here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.builders import CAPTIONS, claim, of_status, predictions, released, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
GATE = (ROOT / "docs" / "release-gate.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the action's steps are bash")


# --- a small runner ---------------------------------------------------------------------------------------------------


class Job:
    """Runs the shell steps of action.yml in a repository, and skips the steps that use other actions.

    Args:
        repository: the working directory.
        event: the name of the event.
        base: the base branch, in a pull request.
        inputs: those of the action that are not the defaults.
    """

    def __init__(self, repository: Path, event: str = "push", base: str = "", **inputs: str) -> None:
        given = {name: values["default"] for name, values in ACTION["inputs"].items()}
        given |= {"package": "", **{name.replace("_", "-"): value for name, value in inputs.items()}}
        self.known = {**{f"inputs.{name}": value for name, value in given.items()}, "github.event_name": event}
        runner = repository.parent / "runner"
        shutil.rmtree(runner, ignore_errors=True)
        runner.mkdir()
        self.summary = runner / "summary.md"
        self.log = ""
        self.status = 0
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "CI"))},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "GITHUB_ACTIONS": "true",
            "GITHUB_BASE_REF": base,
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "RUNNER_TEMP": str(runner),
            "XDG_STATE_HOME": str(runner / "state"),
        }
        for number, step in enumerate(ACTION["runs"]["steps"]):
            if "run" in step and not self.status:
                self._run(step, repository, runner / f"output-{number}")

    def _run(self, step: Mapping[str, Any], repository: Path, output: Path) -> None:
        output.touch()
        done = subprocess.run(
            # As GitHub runs `shell: bash` (docs, "Workflow syntax", jobs.<job_id>.steps[*].shell).
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=repository,
            env={
                **self.environment,
                "GITHUB_OUTPUT": str(output),
                **{name: self._value(value) for name, value in step.get("env", {}).items()},
            },
            capture_output=True,
            text=True,
            check=False,
        )
        self.log += done.stdout + done.stderr
        self.status = done.returncode
        for line in output.read_text().splitlines():
            name, _, value = line.partition("=")
            self.known[f"steps.{step.get('id')}.outputs.{name}"] = value

    def _value(self, expression: str) -> str:
        found = re.fullmatch(r"\$\{\{ ([\w.-]+) \}\}", expression)
        assert found, f"{expression}: the runner of this test knows names only"
        return str(self.known.get(found[1], ""))

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs of the action."""
        return {name: self._value(output["value"]) for name, output in ACTION["outputs"].items()}

    @property
    def statuses(self) -> dict[str, str]:
        """The status of each claim in the JSON report."""
        out = Path(self.known["steps.folders.outputs.out"])
        records = json.loads((out / "verdicts.json").read_text())["records"]
        return {record["evidence"]["claim"]["id"]: record["verdict"]["status"] for record in records}


def git(folder: Path, *arguments: str) -> None:
    """Run git."""
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a claim that passes, and its base branch `origin/main`."""
    folder = tmp_path / "repository"
    (folder / "claims").mkdir(parents=True)
    released(folder / "claims", CAPTIONS)
    write(folder / "claims" / "paper.yaml", predictions(claim("passes")))
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider -p no:hypothesispytest -p no:anyio\n")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "base")
    git(folder, "update-ref", "refs/remotes/origin/main", "HEAD")
    git(folder, "checkout", "-qb", "change")
    return folder


def commit(repository: Path, *claims: Any) -> None:
    """Commit a claim file with these claims."""
    write(repository / "claims" / "paper.yaml", predictions(*claims))
    git(repository, "commit", "-qam", "change")


# --- what a pull request gets -----------------------------------------------------------------------------------------


def test_a_green_pull_request(repository: Path) -> None:
    """A green pull request: exit 0, verdict pass, the report and the evidence lie in the folder that is kept."""
    commit(repository, claim("passes"), claim("passes-too", metric="bleu2"))
    job = Job(repository, "pull_request", "main")
    assert (job.status, job.outputs["verdict"]) == (0, "pass"), job.log
    assert job.statuses == {"passes": "pass", "passes-too": "pass"}
    report = Path(job.outputs["report"])
    assert report.name == "verdicts.html"
    assert {path.name for path in report.parent.iterdir()} >= {
        "evidence",
        "verdicts.html",
        "verdicts.json",
        "verdicts.md",
        "verdicts.xml",
    }
    assert "passes-too" in job.summary.read_text()
    assert "::error" not in job.log


def test_a_red_pull_request(repository: Path) -> None:
    """A red claim: exit 1, verdict fail, an annotation at the claim, and the reports all the same."""
    commit(repository, claim("passes"), of_status("fail", "fails", metric="bleu2"))
    job = Job(repository, "pull_request", "main")
    assert (job.status, job.outputs["verdict"]) == (1, "fail"), job.log
    assert job.statuses["fails"] == "fail"
    assert re.search(r"^::error file=claims/paper.yaml,line=\d+,title=fails", job.log, re.MULTILINE)
    assert Path(job.outputs["report"]).exists()


def test_a_moved_bar(repository: Path) -> None:
    """In a pull request the base branch is compared without being asked for: a wider tolerance is red."""
    commit(repository, claim("passes", tolerance={"pass": 5.0, "partial": 20.0}))
    job = Job(repository, "pull_request", "main")
    assert (job.status, job.outputs["verdict"]) == (1, "fail"), job.log
    assert "the bar moved in 1" in job.log


def test_a_missing_candidate(repository: Path) -> None:
    """A candidate that does not lie there is no verdict: the exit status of a usage error, and the reason in the log."""
    job = Job(repository, "pull_request", "main", options="--claims-model=org/name=./candidate")
    assert (job.status, job.outputs) == (4, {"verdict": "error", "report": ""}), job.log
    assert "./candidate" in job.log


def test_nothing_to_run(repository: Path) -> None:
    """No claim, or a base that the checkout lacks, is no verdict either."""
    job = Job(repository, options="-k\nnothing")
    assert (job.status, job.outputs["verdict"]) == (5, "error"), job.log
    job = Job(repository, "pull_request", "gone")
    assert (job.status, job.outputs["verdict"]) == (4, "error"), job.log
    assert "origin/gone" in job.log


@pytest.mark.parametrize("event", ["pull_request_target", "workflow_run"])
def test_events_with_rights(repository: Path, event: str) -> None:
    """On an event whose token can write, no code of a pull request runs."""
    job = Job(repository, event)
    assert job.status == 1
    assert job.outputs["verdict"] == ""
    assert "docs/release-gate.md" in job.log
    assert "test session starts" not in job.log


def test_inputs_are_no_code(repository: Path, tmp_path: Path) -> None:
    """An input is data, whatever it holds: a quote, a command, a variable."""
    bad = f"-k\n'; touch {tmp_path}/hacked; $(touch {tmp_path}/hacked) `touch {tmp_path}/hacked`"
    job = Job(repository, options=bad, gate='pass"; touch hacked; "', base="$(touch hacked)")
    assert job.outputs["verdict"] == "error"
    assert not (tmp_path / "hacked").exists()
    assert not (repository / "hacked").exists()


def test_no_expression_in_a_script() -> None:
    """No step puts an expression into its script: GitHub would paste the value as code."""
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
        assert ("run" in step) == (step.get("shell") == "bash")


def test_evidence_is_not_restored_in_a_pull_request() -> None:
    """The cache of evidence, and the key that seals it, are for runs that are not of a pull request."""
    (step,) = (step for step in ACTION["runs"]["steps"] if "evidence" in str(step.get("with", {}).get("path", "")))
    assert "github.event_name != 'pull_request'" in step["if"]


def test_the_version() -> None:
    """The action installs the version that it is part of."""
    from pytest_claims import __version__

    assert ACTION["inputs"]["package"]["default"] == f"pytest-claims[report]=={__version__}"


# --- docs/release-gate.md ---------------------------------------------------------------------------------------------


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """The code blocks of docs/release-gate.md: the name in the first line's comment, and the text."""
    for found in re.finditer(rf"^```{language}\n(?:#|//) (\S+)[^\n]*\n(.*?)^```$", GATE, re.MULTILINE | re.DOTALL):
        yield found[1], found[2]


def loaded(content: str) -> Any:
    """A workflow; its key `on` stays a text, which YAML 1.1 reads as true."""
    return yaml.load(content, yaml.BaseLoader)  # noqa: S506 - this loader makes texts, lists and mappings alone


def valid(schema: str, path: Path) -> None:
    """Hold a file against a schema that check-jsonschema brings."""
    checker = shutil.which("check-jsonschema", path=str(Path(sys.executable).parent)) or shutil.which(
        "check-jsonschema"
    )
    if checker is None:
        pytest.skip("check-jsonschema is not installed: pip install -e '.[lint]'")
    done = subprocess.run(
        [checker, "--builtin-schema", f"vendor.{schema}", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_files_are_valid(tmp_path: Path) -> None:
    """action.yml, our workflows, and the workflows and GitLab file of the docs are valid under their published schemas."""
    valid("github-actions", ROOT / "action.yml")
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        valid("github-workflows", path)
    shown = dict(blocks("yaml"))
    assert set(shown) == {".github/workflows/claims.yml", ".github/workflows/claims-comment.yml", ".gitlab-ci.yml"}
    for name, content in shown.items():
        path = tmp_path / Path(name).name
        path.write_text(content)
        valid("gitlab-ci" if "gitlab" in name else "github-workflows", path)


def test_the_workflow_for_forks_has_no_rights() -> None:
    """The job that runs code of a fork can only read and has no secret; the job that comments runs no code of a fork."""
    shown = {name: loaded(content) for name, content in blocks("yaml")}
    runs, comments = shown[".github/workflows/claims.yml"], shown[".github/workflows/claims-comment.yml"]
    assert set(runs["on"]) == {"pull_request", "push"}
    assert runs["permissions"] == {"contents": "read"}
    assert "secrets." not in str(runs)
    assert set(comments["on"]) == {"workflow_run"}
    used = [step.get("uses", "") for job in comments["jobs"].values() for step in job["steps"]]
    assert not any("checkout" in name or name.startswith("./") for name in used)


def test_the_comment_is_made_of_the_json(repository: Path, tmp_path: Path) -> None:
    """The job that comments renders the JSON itself, finds the pull request by its commit, and comments there."""
    job = Job(repository)
    assert job.status == 0, job.log
    report = tmp_path / "artifact" / "claims"
    report.mkdir(parents=True)
    shutil.copy(Path(job.outputs["report"]).with_suffix(".json"), report / "verdicts.json")
    (report / "verdicts.md").write_text("@everyone a forged report")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "gh").write_text(
        '#!/bin/sh\nif [ "$2" = list ]; then echo 7; else echo "$@" > called; cat "$5" > posted; fi\n'
    )
    (tools / "gh").chmod(0o755)
    content = dict(blocks("yaml"))[".github/workflows/claims-comment.yml"]
    steps = loaded(content)["jobs"]["comment"]["steps"]
    scripts = [step["run"] for step in steps if "run" in step and "pip install" not in step["run"]]
    assert scripts
    path = f"{tools}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "SHA": "0" * 40,
        "RUN_URL": "https://example.org/run",
    }
    for script in scripts:
        subprocess.run(
            ["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path / "artifact", env=environment, check=True
        )
    posted = (tmp_path / "artifact" / "posted").read_text()
    assert "`passes`" in posted
    assert "forged" not in posted
    assert (tmp_path / "artifact" / "called").read_text().startswith("pr comment 7 ")
