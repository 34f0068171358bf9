"""Evaluators of plugins: the example in docs/, what is refused when one is registered, and what when it has run."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import SettingsError, SpecError, Status, digests, extensions, verify
from pytest_claims.evaluators import (
    Basis,
    DataPath,
    EvaluationError,
    Evaluator,
    Evidence,
    HookedPlan,
    NotAttempted,
    Observed,
    Output,
    Run,
)
from pytest_claims.metrics import Mean
from pytest_claims.protocol import Match
from tests.builders import claim, predictions, write
from tests.running import run

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_claims.verdict import Verdict

DOCUMENT = Path(__file__).parents[1] / "docs" / "extending.md"

RIGHT = {"1": "cat", "2": "dog", "3": "cow", "4": "cat"}


class LabelsRun(Run):
    """Labels that stand in a file."""

    labels: DataPath
    more: tuple[DataPath, ...] = ()
    note: str | None = None


def label(plan: HookedPlan) -> Evidence:
    """The labels of a file, as a run of a model that gave them."""
    made = json.loads(plan.path(plan.run.labels).read_text())
    return Evidence(
        basis=Basis.REPRODUCED,
        noun="label",
        images=len(made),
        outputs=tuple(Output(id=name, text=made[name], references=(RIGHT[name],)) for name in reversed(made)),
        observed=Observed(dataset={"id": "four", "images": len(made)}),
    )


LABELS = Evaluator(name="labels", run=LabelsRun, evaluate=label)
EQUAL = Mean(name="equal", family="lab", value=lambda output, references: float(output in references))


def file(folder: Path, made: dict[str, str] | None = None, **changes: Any) -> Path:
    """A claim file about the labels of four rows, of which three are right."""
    (folder / "labels.json").write_text(json.dumps(made or {**RIGHT, "3": "cat"}), encoding="utf-8")
    section = {"evaluator": "labels", "labels": "labels.json", **changes.pop("run", {})}
    protocol = {"dataset": {"id": "four", "images": 4}, "metric": "lab", **changes.pop("protocol", {})}
    document = predictions(claim(metric="equal", value="75.0"), run=section, protocol=protocol, **changes)
    document["protocol"]["dataset"].setdefault("split", "test")
    return write(folder / "paper.yaml", document)


class SplitRun(LabelsRun):
    """The same, with the split observed too."""

    observes = ("dataset", "split")


def with_split(plan: HookedPlan) -> Evidence:
    """What `label` gives, with the split."""
    found = label(plan)
    return replace(found, observed=replace(found.observed, split={"split": "test"}))


WHOLE = Evaluator(name="labels", run=SplitRun, evaluate=with_split)


def found(folder: Path, evaluator: Evaluator = WHOLE, **changes: Any) -> Verdict:
    """The verdict on the claim of `file`."""
    (verdict,) = verify(file(folder, **changes), evaluators=[evaluator], metrics=[EQUAL])
    return verdict


def changed(evaluate: Callable[[HookedPlan], Evidence], **changes: Any) -> Evaluator:
    """An evaluator whose evidence has these changes."""
    return Evaluator(name="labels", run=SplitRun, evaluate=lambda plan: replace(evaluate(plan), **changes))


# --- what works ---


def test_the_example_of_the_document(pytester: pytest.Pytester) -> None:
    """The files in docs/extending.md, as they stand there, give a verdict; every report names the code that made it."""
    text = DOCUMENT.read_text(encoding="utf-8")
    files = dict(re.findall(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", text, re.DOTALL))
    assert set(files) == {"conftest.py", "claims/digits.yaml"}
    assert sum(bool(line.strip()) for line in files["conftest.py"].splitlines()) <= 40
    for name, content in files.items():
        (pytester.path / name).parent.mkdir(exist_ok=True)
        (pytester.path / name).write_text(content, encoding="utf-8")
    right = train(pytester.path / "claims")
    outcome = run(pytester, "claims", "--claims-report=verdicts.html", child=True)
    assert (outcome.ret, outcome.statuses) == (0, {"top1": "pass"})
    record = outcome.records["top1"]
    assert record["evidence"]["measured"] == pytest.approx(100 * right, abs=1e-9)
    assert record["verdict"]["protocol_match"] == "exact"
    assert record["evidence"]["noun"] == "label"
    known = {one["name"]: one for one in record["evidence"]["supplied"]}
    assert {name: (one["kind"], one["module"], one["used"]) for name, one in known.items()} == {
        "linear": ("evaluator", "conftest", True),
        "top1": ("metric", "conftest", True),
    }
    shown = f"linear, from conftest, digest {known['linear']['digest']}"
    assert shown in outcome.markdown
    assert shown in outcome.xml
    assert shown in (pytester.path / "verdicts.html").read_text(encoding="utf-8")


def train(folder: Path) -> float:
    """A linear classifier of noisy points around ten centres, and 200 rows that it has not seen; the share that is right.

    Fitted and applied without scikit-learn, which pytester would forget after the test, and which cannot be imported twice.
    """
    import numpy as np

    rng = np.random.Generator(np.random.PCG64(0))
    centres = rng.normal(size=(10, 8))
    labels = rng.integers(0, 10, size=1200)
    features = (centres[labels] + 0.3 * rng.normal(size=(1200, 8))).round(4)
    design = np.hstack([features, np.ones((1200, 1))])
    weights = np.linalg.lstsq(design[:1000], np.eye(10)[labels[:1000]], rcond=None)[0]
    held = {"classes": list(range(10)), "coefficients": weights[:-1].T.tolist(), "intercepts": weights[-1].tolist()}
    rows = [
        {"id": str(index), "features": features[index].tolist(), "label": str(labels[index])}
        for index in range(1000, 1200)
    ]
    (folder / "digits.json").write_text(json.dumps(held), encoding="utf-8")
    (folder / "rows.json").write_text(json.dumps({"split": "test", "rows": rows}), encoding="utf-8")
    return float(((design[1000:] @ weights).argmax(axis=1) == labels[1000:]).mean())


def test_a_verdict_of_a_program(tmp_path: Path) -> None:
    """`verify` takes evaluators; outputs are sorted by id, and the verdict names where the code comes from."""
    verdict = found(tmp_path)
    assert (verdict.status, verdict.measured, verdict.match) == (Status.PASS, Decimal(75), Match.EXACT)
    assert verdict.evidence is not None
    assert [output.id for output in verdict.evidence.outputs] == ["1", "2", "3", "4"]
    assert {(one.kind, one.name, one.module) for one in verdict.supplied} == {
        ("evaluator", "labels", __name__),
        ("metric", "equal", __name__),
    }
    (digest,) = {one.digest for one in verdict.supplied}
    assert digest == digests.of_files([Path(__file__)])[: digests.SHORT]


def test_a_dry_run_looks_for_the_files(tmp_path: Path) -> None:
    """The files of a run model are those that a dry run looks for; a missing one is not attempted."""
    path = file(tmp_path)
    (tmp_path / "labels.json").unlink()
    (verdict,) = verify(path, evaluators=[WHOLE], metrics=[EQUAL])
    assert verdict.status is Status.NOT_ATTEMPTED
    assert "labels.json" in verdict.reason


def test_the_files_of_a_run_model() -> None:
    """Every value of the type `DataPath` counts as a file, also in a list; a text that looks like one does not."""
    section = LabelsRun(evaluator="labels", labels="a.json", more=("b.json", "c/d.json"), note="e.json")
    assert section.paths == ("a.json", "b.json", "c/d.json")


# --- what the claim file says ---


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ({"labells": "x"}, "unknown key 'labells' in run, did you mean 'labels'?"),
        ({"labels": "../up.json"}, "run.labels: expected a path below the claim file's folder"),
        ({"labels": 3}, "run.labels: expected text"),
        ({"evaluator": "lables"}, "run.evaluator: unknown evaluator 'lables', did you mean 'labels'?"),
    ],
)
def test_a_claim_file_is_checked_against_the_run_model(tmp_path: Path, section: dict[str, Any], text: str) -> None:
    """A section run is checked as strictly as our own, with file and line."""
    with pytest.raises(SpecError, match=r"paper\.yaml:\d+: ") as caught:
        found(tmp_path, run=section)
    assert text in str(caught.value)


def test_without_the_plugin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without its plugin the evaluator is unknown; `check --evaluator` accepts it without running its code."""
    from pytest_claims import __main__

    path = file(tmp_path)
    with pytest.raises(SpecError, match="unknown evaluator 'labels'"):
        verify(path, metrics=[EQUAL])
    assert __main__.main(["check", str(path), "--metric=equal"]) == 1
    assert __main__.main(["check", str(path), "--metric=equal", "--evaluator=labels"]) == 0
    assert "unknown evaluator 'labels'" in capsys.readouterr().err


def test_a_release_candidate(tmp_path: Path) -> None:
    """A candidate cannot take the place of what a plugin's evaluator runs: red, and not evaluated."""
    (tmp_path / "candidate").mkdir()
    with pytest.raises(SettingsError):
        verify(file(tmp_path), evaluators=[WHOLE], metrics=[EQUAL], candidates={"one": tmp_path / "candidate"})


# --- what is refused when it is registered ---


def bad(**changes: Any) -> Any:
    """An object with the parts of an evaluator, and these changes, which no check of ours has seen."""

    class Bare:
        name, run, evaluate = "labels", LabelsRun, staticmethod(label)

    for name, value in changes.items():
        if value is ...:
            delattr(Bare, name)
        else:
            setattr(Bare, name, staticmethod(value) if callable(value) and not isinstance(value, type) else value)
    return Bare()


def model(**changes: Any) -> Any:
    """A run model with these attributes."""
    return type("OtherRun", (LabelsRun,), {"__module__": __name__, **changes})


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (bad(run=...), "the evaluator 'labels' (a Bare) has no 'run'"),
        (bad(evaluate=...), "has no 'evaluate'"),
        (bad(name="two words"), "needs another name: expected at most 64 letters"),
        (bad(name="captioning"), "the evaluator name 'captioning' is taken"),
        (bad(name="derived"), "the evaluator name 'derived' is taken"),
        (
            bad(evaluate="label"),
            "has an 'evaluate' that cannot be called; expected a function from a plan to its evidence",
        ),
        (bad(evaluate=lambda: None), "has an 'evaluate' with the parameters (); expected one: the plan"),
        (bad(run=dict), "has run = <class 'dict'>; expected a subclass of pytest_claims.evaluators.Run"),
        (bad(run=model(noun="picture")), "has noun = 'picture'; expected one of caption, answer, label, ranking"),
        (bad(run=model(gives=("texts",))), "gives 'texts', did you mean 'text'?; known: text, ranked"),
        (bad(run=model(gives="text")), "has gives = 'text'; expected a tuple of text, ranked"),
        (bad(run=model(observes=("dataset", "metric"))), "observes 'metric'"),
        (bad(run=model(observes=())), "has observes = (); expected a tuple of checkpoint, dataset, split,"),
        (bad(run=model(runs_checkpoint=True)), "has runs_checkpoint; a release candidate cannot take the place"),
        (bad(run=model(protocol=dict)), "has protocol = <class 'dict'>; expected a subclass"),
        (
            bad(run=model(__annotations__={"dataset": str})),
            "has a run model with the key 'dataset', which is a key of the protocol; expected another name",
        ),
        (bad(run=model(model_config={"extra": "allow"})), "has a run model that takes unknown keys or converts values"),
        (Evaluator, "the class Evaluator is a class; expected an object of it: Evaluator(…)"),
        (label, "a function has no 'name'"),
    ],
)
def test_what_is_no_evaluator(wrong: Any, text: str) -> None:
    """An evaluator is checked when it is registered; the message says what is wrong, and where an example is."""
    with pytest.raises(SettingsError) as caught:
        extensions.gather((), [wrong], sources=("pytest_claims_metrics", "pytest_claims_evaluators"))
    assert str(caught.value).startswith("pytest_claims_evaluators: ")
    assert text in str(caught.value)


def test_two_of_one_name() -> None:
    """A name stands for one evaluator."""
    with pytest.raises(SettingsError, match="the evaluator name 'labels' is taken"):
        extensions.gather((), [LABELS, WHOLE])


def test_a_bad_evaluator_is_a_problem_of_the_claim_files(pytester: pytest.Pytester) -> None:
    """In a session, what is no evaluator makes the claim files red, in one line and before anything runs."""
    pytester.makeconftest("def pytest_claims_evaluators(config): return [len]")
    (pytester.path / "claims").mkdir()
    file(pytester.path / "claims")
    outcome = run(pytester, "claims")
    assert (outcome.ret, outcome.statuses) == (1, {"claims/paper.yaml": "error"})
    assert "pytest_claims_evaluators: a builtin_function_or_method has no 'name'" in outcome.out
    assert "Traceback" not in outcome.out


# --- what is refused when it has run ---


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"basis": Basis.COUNTED}, "gave evidence of the basis counted; expected reproduced (a model ran) or rescored"),
        ({"quantities": {"equal": 1}}, "fills quantities, which only evaluators of pytest-claims may"),
        ({"replayed": True}, "fills replayed, which only evaluators of pytest-claims may"),
        ({"noun": "answer"}, "calls its outputs answers, and SplitRun says labels"),
        ({"images": None}, "does not say how many rows there were (images)"),
        ({"outputs": ()}, "gave () (tuple) as its outputs, expected a tuple of Output, at least one"),
        (
            {"outputs": (Output(id="1", text="a", references=("a",)), Output(id="1", text="a", references=("a",)))},
            "gave the id '1' twice, or it is no text",
        ),
        ({"outputs": (Output(id="1", text="a", references=()),)}, "gave () (tuple) as the references of '1'"),
        ({"observed": Observed(dataset={"id": "four"})}, "declares that it observes the axis split, and gave None"),
        (
            {"observed": Observed(dataset={"id": "four"}, split={"split": "test"}, precision={"precision": "float32"})},
            "observed the axis precision, which its run model does not declare (observes)",
        ),
        (
            {"observed": Observed(dataset={"id": {1}}, split={"split": "test"})},
            "expected a dict of plain values",
        ),
        (
            {"observed": Observed(dataset={"id": "four"}, split={"split": "test"}, metric={"family": "lab"})},
            "observed metric, which pytest-claims fills",
        ),
        ({"provenance": {"rows": [1]}}, "has a provenance with a value that is neither text nor a number"),
    ],
)
def test_what_is_no_evidence(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    """What an evaluator gives is checked before anything is scored: an error of the claim, and no number."""
    verdict = found(tmp_path, changed(with_split, **changes))
    assert (verdict.status, verdict.measured) == (Status.ERROR, None)
    assert verdict.reason.startswith("The evaluator labels ")
    assert text in verdict.reason


def missing(_plan: HookedPlan) -> Evidence:
    """An evaluator that lacks something."""
    raise NotAttempted("There is no such device here.", "Use another machine.")


def wrong(_plan: HookedPlan) -> Evidence:
    """An evaluator whose data are not as the claim says."""
    raise EvaluationError("The weights are of another model.")


def broken(_plan: HookedPlan) -> Evidence:
    """An evaluator with a bug."""
    raise ZeroDivisionError("division by zero")


@pytest.mark.parametrize(
    ("evaluate", "status", "text"),
    [
        (missing, Status.NOT_ATTEMPTED, "There is no such device here."),
        (wrong, Status.ERROR, "The weights are of another model."),
        (broken, Status.ERROR, "ZeroDivisionError: division by zero (at "),
        (
            lambda _plan: None,
            Status.ERROR,
            "The evaluator labels gave None (NoneType), expected a pytest_claims.evaluators",
        ),
    ],
)
def test_what_an_evaluator_raises(tmp_path: Path, evaluate: Any, status: Status, text: str) -> None:
    """What an evaluator raises is a verdict, in one line."""
    verdict = found(tmp_path, Evaluator(name="labels", run=SplitRun, evaluate=evaluate))
    assert verdict.status is status
    assert verdict.reason.startswith(text)


def test_a_metric_that_needs_a_ranking(tmp_path: Path) -> None:
    """A metric that needs what the run model does not give is refused before anything runs."""
    ran: list[int] = []

    class Ranked(Mean):
        needs = ("ranked",)

    def evaluate(plan: HookedPlan) -> Evidence:
        ran.append(1)
        return with_split(plan)

    other = Ranked(name="equal", family="lab", value=lambda _output, _references: 1.0)
    with pytest.raises(SpecError, match="the evaluator labels gives no equal, which needs a ranking for each row"):
        verify(file(tmp_path), evaluators=[Evaluator(name="labels", run=SplitRun, evaluate=evaluate)], metrics=[other])
    assert ran == []


def test_a_partial_function_has_a_file_too() -> None:
    """The code of a wrapped function is found."""
    one = Evaluator(name="labels", run=LabelsRun, evaluate=partial(lambda _more, plan: label(plan), 1))
    (supplied,) = extensions.gather((), [one]).supplied
    assert (supplied.module, len(supplied.digest or "")) == (__name__, 16)
