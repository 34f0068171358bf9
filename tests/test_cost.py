"""A project that only has the plugin installed pays nothing: no heavy package is imported before a claim needs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.builders import put

HEAVY = (
    "torch",
    "transformers",
    "datasets",
    "nltk",
    "numpy",
    "pydantic",
    "yaml",
    "PIL",
    "tqdm",
    "jinja2",
    "svg",
    "lxml",
    "pypdfium2",
    "ray",
)

CHILD = """
import json, sys
before = set(sys.modules)
import pytest
status = pytest.main(sys.argv[1:])
loaded = sorted({name.split(".")[0] for name in set(sys.modules) - before})
own = sorted(name for name in sys.modules if name.split(".")[0] == "pytest_claims")
print("\\n" + json.dumps({"status": int(status), "loaded": loaded, "own": own}))
"""


def child(folder: Path, *args: str) -> dict[str, Any]:
    """Run pytest in a process of its own, and say what it imported."""
    # hypothesis's pytest plugin, and anyio's, import what they like.
    lean = ("-q", "-p", "no:hypothesispytest", "-p", "no:anyio", "-p", "no:cacheprovider")
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *lean, *args], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def heavy(result: dict[str, Any]) -> set[str]:
    """The heavy packages that a run imported."""
    return set(result["loaded"]) & set(HEAVY)


def test_a_project_without_claims(tmp_path: Path) -> None:
    """A project without claims pays for the plugin module and its hooks, and for nothing else of ours."""
    (tmp_path / "test_x.py").write_text("def test(): pass")
    (tmp_path / "compose.json").write_text("{}")
    result = child(tmp_path)
    assert result["status"] == 0
    assert heavy(result) == set()
    assert result["own"] == ["pytest_claims", "pytest_claims.hookspecs", "pytest_claims.plugin"]


@pytest.mark.parametrize("ini", ["", "claims_files = papers/**/*.yaml"])
def test_a_project_with_other_yaml(tmp_path: Path, ini: str) -> None:
    """YAML that is no claim file is looked at by its path alone: neither pydantic nor a YAML parser is imported for it."""
    (tmp_path / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
    (tmp_path / "test_x.py").write_text("def test(): pass")
    (tmp_path / "compose.yaml").write_text("a: [")
    result = child(tmp_path)
    assert result["status"] == 0
    assert heavy(result) == set()


def test_options_alone(tmp_path: Path) -> None:
    """A report of a session without claims imports nothing heavy either."""
    (tmp_path / "test_x.py").write_text("def test(): pass")
    result = child(tmp_path, "--claims-report=verdicts.xml", "--claims-gate=pass")
    assert result["status"] == 0
    assert heavy(result) <= {"pydantic"}
    assert (tmp_path / "verdicts.xml").exists()


@pytest.mark.parametrize(
    ("args", "status"),
    [(["--co"], 0), (["-k", "nothing"], pytest.ExitCode.NO_TESTS_COLLECTED)],
    ids=["collect only", "all deselected"],
)
def test_collecting_claims(tmp_path: Path, args: list[str], status: int) -> None:
    """Collecting a claim file, of whichever evaluator, reads YAML and validates it, and imports no model library."""
    put(tmp_path)
    shipped = Path(__file__).parent.parent / "claims"
    result = child(tmp_path, "claims", str(shipped), *args)
    assert result["status"] == status
    assert heavy(result) <= {"yaml", "pydantic"}


def test_scoring_predictions(tmp_path: Path) -> None:
    """Scoring released captions needs numpy, and no model library."""
    put(tmp_path)
    result = child(tmp_path, "claims")
    assert result["status"] == 0
    assert heavy(result) <= {"yaml", "pydantic", "numpy"}
    rooms = {name.split(".")[1] for name in result["own"] if "." in name}
    assert not rooms & {"sources", "beam", "counting", "store", "architectures", "preflight"}


def test_verifying_without_pytest(tmp_path: Path) -> None:
    """`import pytest_claims` costs nothing, and `verify` imports what its claims need: no pytest, no model library."""
    path = put(tmp_path)
    code = (
        "import sys, pytest_claims\n"
        "print(*sorted(name for name in sys.modules if name.startswith('pytest_claims')))\n"
        f"(verdict,) = pytest_claims.verify({str(path)!r})\n"
        "print(verdict.status, *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "pytest_claims"
    status, *loaded = second.split()
    assert status == "pass"
    assert set(loaded) & {*HEAVY, "pytest"} <= {"yaml", "pydantic", "numpy"}
