"""What people expect of a published plugin: workflows, templates, metadata and the wheel say the same, and what is true."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import pytest_claims

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
YAML = [ROOT / ".pre-commit-config.yaml", GITHUB / "ISSUE_TEMPLATE" / "config.yml", *FORMS, *WORKFLOWS]
REPOSITORY = "https://github.com/pytest-claims/pytest-claims"


def read(path: Path) -> Any:
    """A YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def project() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def pins(lines: str) -> dict[str, str]:
    """`name==version`, one a line."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)$", lines, re.MULTILINE))


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every step of every job, and jobs that call a workflow, with the place where it stands."""
    for path in WORKFLOWS:
        for name, job in read(path)["jobs"].items():
            yield from ((f"{path.name}, {name}", step) for step in job.get("steps", [job]))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from this checkout without the network."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.mark.parametrize("path", YAML, ids=lambda path: path.name)
def test_yaml_is_a_mapping(path: Path) -> None:
    """Each file that GitHub or pre-commit reads is YAML, and a mapping."""
    assert isinstance(read(path), dict)


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_asks(path: Path) -> None:
    """An issue form has a name, a description and questions; each question has an id of its own and a label."""
    form = read(path)
    assert form["name"]
    assert form["description"]
    questions = [part for part in form["body"] if part["type"] != "markdown"]
    ids = [part["id"] for part in questions]
    assert ids
    assert len(ids) == len(set(ids))
    assert all(part["attributes"]["label"] for part in questions)


def test_forms_offer_the_statuses_that_exist() -> None:
    """The form for a wrong verdict offers each status that a verdict can have, and no other."""
    from pytest_claims.verdict import Status

    form = read(GITHUB / "ISSUE_TEMPLATE" / "wrong-verdict.yml")
    offered = [part["attributes"]["options"] for part in form["body"] if part["type"] == "dropdown"]
    assert len(offered) == 2
    assert all(sorted(options) == sorted(status.value for status in Status) for options in offered)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read(path: Path) -> None:
    """A workflow may only read the repository; one job more than that: the one that publishes may ask for an identity."""
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    more = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    assert more == ({"publish": {"id-token": "write"}} if path.name == "release.yml" else {})


def test_actions_are_pinned() -> None:
    """Each action has a version: no step runs whatever its main branch is today. A checkout keeps no credentials."""
    used = [(place, step) for place, step in steps() if "uses" in step]
    assert used
    for place, step in used:
        assert re.search(r"^\./|@(v\d+|release/v\d+|[0-9a-f]{40})$", step["uses"]), f"{place}: {step['uses']}"
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False, place


def test_jobs_end() -> None:
    """Each job has a time limit, so that one that hangs does not run for hours."""
    jobs = [(path.name, name, job) for path in WORKFLOWS for name, job in read(path)["jobs"].items()]
    assert [(path, name) for path, name, job in jobs if "uses" not in job and "timeout-minutes" not in job] == []


def test_nothing_is_published_untested() -> None:
    """Publishing waits for the tests, the checked files and the installed wheel."""
    jobs = read(GITHUB / "workflows" / "release.yml")["jobs"]
    assert set(jobs["publish"]["needs"]) == set(jobs) - {"publish"}
    assert jobs["publish"]["environment"]["name"] == "pypi"


def test_python_versions() -> None:
    """The Python versions in the classifiers are those that the workflow tests, and the first is the one that is required."""
    metadata = project()["project"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(metadata["classifiers"]))
    matrix = read(GITHUB / "workflows" / "tests.yml")["jobs"]["tests"]["strategy"]["matrix"]
    assert named == matrix["python"]
    assert metadata["requires-python"] == f">={named[0]}"
    assert {extra["python"] for extra in matrix["include"]} <= set(named)


def test_the_workflow_runs_every_environment_that_guards() -> None:
    """The workflow runs .ci/run and the oldest versions, and looks at the newest ones by the calendar."""
    workflow = read(GITHUB / "workflows" / "tests.yml")
    commands = {name: "\n".join(step.get("run", "") for step in job["steps"]) for name, job in workflow["jobs"].items()}
    assert ".ci/run" in commands["gate"]
    assert "tox -e oldest" in commands["oldest"]
    assert "-c constraints.txt" not in commands["newest"]
    assert workflow[True]["schedule"]  # YAML 1.1 reads the key `on` as true


def test_the_oldest_environment_is_the_lower_bounds() -> None:
    """The environment `oldest` installs the lower bound in pyproject.toml of each dependency; torch alone is newer."""
    metadata = project()["project"]
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    oldest = pins(tox["testenv:oldest"]["deps"])
    wanted = metadata["dependencies"] + metadata["optional-dependencies"]["test"]
    bounds = dict(re.findall(r"^([\w.-]+)>=([\d.]+)", "\n".join(wanted), re.MULTILINE))
    assert len(bounds) == len(wanted)
    for extra in ("report", "citations"):  # the tests write every report, and read every kind of source
        assert set(metadata["optional-dependencies"][extra]) <= set(wanted)
    assert set(oldest) == set(bounds)

    def release(version: str) -> tuple[int, ...]:
        """3.10 → (3, 10, 0)."""
        numbers = [int(part) for part in version.split(".")]
        return (*numbers, *[0] * (3 - len(numbers)))

    differ = [name for name, version in oldest.items() if release(version) != release(bounds[name])]
    assert differ == ["torch"]


def test_urls() -> None:
    """The page on the package index links to the code, the documentation, the changelog and the issues."""
    urls = project()["project"]["urls"]
    assert set(urls) == {"Homepage", "Repository", "Documentation", "Changelog", "Issues"}
    assert all(url.startswith(REPOSITORY) for url in urls.values())


def test_the_version_stands_in_one_place() -> None:
    """The version stands in `pytest_claims/__init__.py` as plain text; pyproject.toml reads it from there."""
    settings = project()
    assert "version" not in settings["project"]
    assert settings["project"]["dynamic"] == ["version"]
    path = ROOT / settings["tool"]["hatch"]["version"]["path"]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assigned = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert ast.literal_eval(assigned["__version__"]) == pytest_claims.__version__
    assert not re.search(r"^version\s*=", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_wheel(wheel: zipfile.ZipFile) -> None:
    """The wheel has the package with its types and its schema, the licence, the entry point, and nothing else."""
    info = f"pytest_claims-{pytest_claims.__version__}.dist-info"
    names = set(wheel.namelist())
    assert {"pytest_claims/py.typed", "pytest_claims/spec/claims.schema.json", f"{info}/licenses/LICENSE"} <= names
    assert {name.partition("/")[0] for name in names} == {"pytest_claims", info}
    assert not [name for name in names if "test" in name.removeprefix("pytest_claims").removeprefix("-")]
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "pytest_claims").rglob("*.py")}
    assert modules <= names
    entries = wheel.read(f"{info}/entry_points.txt").decode()
    assert "claims = pytest_claims.plugin" in entries
    assert "pytest-claims = pytest_claims.__main__:main" in entries
    example = "pytest_claims/commands/example"
    assert {f"{example}/example.yaml", f"{example}/example/predictions.json"} <= names  # what `init` writes


def test_the_wheel_says_what_pyproject_says(wheel: zipfile.ZipFile) -> None:
    """The wheel's metadata name the version of the package."""
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    assert f"\nVersion: {pytest_claims.__version__}\n" in wheel.read(name).decode()


def test_ruff_is_one_version() -> None:
    """pre-commit runs the ruff of constraints.txt: what it lets through, CI lets through."""
    pinned = pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))["ruff"]
    (rev,) = [repo["rev"] for repo in read(ROOT / ".pre-commit-config.yaml")["repos"] if "ruff" in repo["repo"]]
    assert rev == f"v{pinned}"


def test_the_changelog_is_kept() -> None:
    """CHANGELOG.md has the headings of Keep a Changelog: unreleased first, dates, known kinds, links."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert versions[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", version) for version in versions[1:])
    kinds = re.findall(r"^### (.+)$", text, re.MULTILINE)
    assert kinds
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    links = dict(re.findall(r"^\[(.+?)\]: (\S+)$", text, re.MULTILINE))
    names = [version.partition("]")[0].removeprefix("[") for version in versions]
    assert all(links[name].startswith(f"{REPOSITORY}/") for name in names)


def test_security_reports_have_one_way() -> None:
    """SECURITY.md and the issue chooser lead to the same private form, and to what docs/security.md holds."""
    policy = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    links = [link["url"] for link in read(GITHUB / "ISSUE_TEMPLATE" / "config.yml")["contact_links"]]
    private = f"{REPOSITORY}/security/advisories/new"
    assert private in policy
    assert private in links
    assert "(docs/security.md)" in policy
