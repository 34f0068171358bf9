"""Be green through code that a hook supplies: an evaluator or a metric of a plugin, or of a conftest.py."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.attacks.repository import claims, compare, git
from tests.builders import claim, predictions, write
from tests.running import run

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["claims"]

RIGHT = {str(number): f"label {number}" for number in range(60)}

CODE = """
import json
from pytest_claims.evaluators import Basis, DataPath, Evaluator, Evidence, Observed, Output, Run
from pytest_claims.metrics import Mean

class LabelsRun(Run):
    observes = OBSERVES
    labels: DataPath

def evaluate(plan):
    made = json.loads(plan.path(plan.run.labels).read_text())
    rows = [Output(id=name, text=made[name], references=("label " + name,)) for name in list(made)[:ROWS]]
    return Evidence(
        basis=Basis.REPRODUCED, noun="label", images=len(rows), outputs=tuple(rows),
        observed=Observed(**{axis: FACTS[axis] for axis in OBSERVES}),
    )

FACTS = {"dataset": {"id": "sixty", "images": 60}, "split": {"split": "test"}, "checkpoint": {"id": "mine"}}
LABELS = Evaluator(name="labels", run=LabelsRun, evaluate=evaluate)
EQUAL = Mean(name="equal", family="lab", value=lambda output, references: float(output in references))
"""

HOOKS = """
def pytest_claims_evaluators(config):
    return [LABELS]

def pytest_claims_metrics(config):
    return [EQUAL]
"""


def code(observes: tuple[str, ...] = ("dataset", "split"), rows: str = "None") -> str:
    """The module of an evaluator and a metric."""
    return CODE.replace("OBSERVES", repr(observes)).replace("ROWS", rows)


def put(folder: Path, **protocol: Any) -> Path:
    """A claim file about sixty labels, all of them right."""
    folder.mkdir(exist_ok=True)
    (folder / "labels.json").write_text(json.dumps(RIGHT), encoding="utf-8")
    document = predictions(
        claim("one", metric="equal"),
        protocol={"dataset": {"id": "sixty", "split": "test", "images": 60}, "metric": "lab", **protocol},
        run={"evaluator": "labels", "labels": "labels.json"},
    )
    return write(folder / "claim.yaml", document)


def test_observe_nothing_of_what_the_paper_states(pytester: pytest.Pytester) -> None:
    """A run that does not observe the paper's checkpoint may have run another: the verdict is withheld."""
    pytester.makeconftest(code() + HOOKS)
    put(pytester.path / "claims", checkpoint={"id": "theirs"})
    found = run(pytester, "claims")
    assert (found.ret, found.statuses) == (1, {"one": "pending"})
    pytester.makeconftest(code(("checkpoint", "dataset", "split")) + HOOKS)
    assert run(pytester, "claims").statuses == {"one": "pending"}
    put(pytester.path / "claims", checkpoint={"id": "mine"})
    assert run(pytester, "claims").statuses == {"one": "pass"}


@pytest.mark.parametrize(("rows", "status"), [("20", "pending"), ("55", "partial")])
def test_leave_the_hard_rows_out(pytester: pytest.Pytester, rows: str, status: str) -> None:
    """Fewer rows than the paper's split are a sample, whatever the evaluator says: at most partial, and withheld if few."""
    pytester.makeconftest(code(rows=rows) + HOOKS)
    path = put(pytester.path / "claims")
    path.write_text(path.read_text().replace("partial: 20", "partial: 20, min_sample: 50"))
    assert run(pytester, "claims").statuses == {"one": status}


def test_read_a_file_that_no_report_names(pytester: pytest.Pytester) -> None:
    """`plan.path` opens the files that the run model declares, which are compared and named, and no other."""
    pytester.makeconftest(code().replace("plan.path(plan.run.labels)", "plan.path('other.json')") + HOOKS)
    put(pytester.path / "claims")
    (pytester.path / "claims" / "other.json").write_text(json.dumps(RIGHT))
    found = run(pytester, "claims")
    assert found.statuses == {"one": "error"}
    assert "'other.json' is no DataPath of LabelsRun" in found.out


def test_make_a_number_without_a_metric(pytester: pytest.Pytester) -> None:
    """Evidence that counts something under the metric's name would skip the metric, its interval and its signature."""
    pytester.makeconftest(code().replace("images=len(rows),", "images=len(rows), quantities={'equal': 1},") + HOOKS)
    put(pytester.path / "claims")
    found = run(pytester, "claims")
    assert found.statuses == {"one": "error"}
    assert "fills quantities, which only evaluators of pytest-claims may" in found.out


@pytest.mark.parametrize("name", ["predictions", "captioning"])
def test_take_the_place_of_an_evaluator_that_ships(pytester: pytest.Pytester, name: str) -> None:
    """A claim of ours is run by our evaluator: its name cannot be used again."""
    pytester.makeconftest(code().replace('name="labels"', f'name="{name}"') + HOOKS)
    put(pytester.path / "claims")
    found = run(pytester, "claims")
    assert found.statuses == {"claims/claim.yaml": "error"}
    assert f"the evaluator name '{name}' is taken" in found.out


@pytest.fixture
def hooked(pytester: pytest.Pytester, claims: Path) -> Path:
    """The module that supplies evaluator and metric, which conftest.py imports, committed on main; HEAD is a branch of it."""
    module = pytester.path / "supplied.py"
    module.write_text(code())
    (pytester.path / "conftest.py").write_text("from supplied import EQUAL, LABELS\n" + HOOKS)
    put(claims)
    git(pytester.path, "add", "-A")
    git(pytester.path, "commit", "-qm", "hooks")
    git(pytester.path, "branch", "-f", "main")
    pytester.syspathinsert()
    return module


@pytest.mark.parametrize(
    ("before", "after"),
    [("text=made[name]", "text='label ' + name"), ("float(output in references)", "1.0")],
    ids=["evaluator", "metric"],
)
def test_change_the_module_that_supplies_it(pytester: pytest.Pytester, hooked: Path, before: str, after: str) -> None:
    """A change of the evaluator, or of the metric, in a module that conftest.py only imports is a moved bar."""
    assert compare(pytester).moved == []
    hooked.write_text(hooked.read_text().replace(before, after))
    assert compare(pytester).moved == ["supplied.py: changed, and it runs with the claims"]


def test_change_the_file_that_it_reads(pytester: pytest.Pytester, hooked: Path, claims: Path) -> None:
    """A file that the run model names is compared as those of our own evaluators are."""
    assert hooked.exists()
    (claims / "labels.json").write_text(json.dumps({**RIGHT, "0": "label 0"}) + "\n \n")
    (moved,) = compare(pytester).moved
    assert "labels.json" in moved


def test_keep_a_verdict_of_another_evaluator(pytester: pytest.Pytester, hooked: Path) -> None:
    """A verdict in the ledger rests on the code that made it: when that changes, the claim runs again."""
    ask = ("claims", "--claims-ledger=ledger.jsonl", "--claims-stale")
    assert run(pytester, *ask).results == {"one": "passed"}
    assert run(pytester, *ask).results == {"one": "skipped"}
    hooked.write_text(hooked.read_text().replace("text=made[name]", "text='wrong ' + name"))
    found = run(pytester, *ask)
    assert (found.results, found.statuses) == ({"one": "failed"}, {"one": "fail"})
