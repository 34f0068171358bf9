"""Released outputs that are no captions: answers, labels and rankings, from the claim file to the report."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import SpecError, Status, verify
from pytest_claims.metrics import Mean, Score
from pytest_claims.metrics.base import mean_score
from tests.builders import claim, predictions, write
from tests.running import run

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_claims.metrics import Corpus
    from pytest_claims.verdict import Verdict

ANSWERS = [
    {"question_id": 1, "answer": "red", "question": "what colour is it?"},
    {"question_id": 2, "answer": "two", "question": "how many are there?"},
]
ASKED = {
    "annotations": [
        {
            "question_id": 1,
            "question_type": "what",
            "answers": [{"answer": "red"}, {"answer": "pink"}],
            "choices": ["a", 2],
        },
        {"question_id": 2, "question_type": "how", "answers": [{"answer": "three"}], "choices": None},
    ]
}
VQA: dict[str, Any] = {
    "run__predictions": {"path": "p.json", "id": "question_id", "output": "answer", "extras": ["question"]},
    "run__references": {
        "path": "r.json", "id": "question_id", "references": "answers.answer", "extras": ["question_type", "choices"],
    },
}  # fmt: skip


class Top(Mean):
    """The share of rows whose first two hold a reference."""

    needs = ("ranked",)

    def score(self, corpus: Corpus, *, population: int | None = None, resamples: int = 1000, seed: int = 0) -> Score:
        """See `Metric.score`."""
        assert corpus.ranked is not None
        pairs = zip(corpus.ranked, corpus.references, strict=True)
        values = tuple(float(bool(set(ranked[:2]) & set(own))) for ranked, own in pairs)
        return mean_score(self, corpus, values, population=population, resamples=resamples, seed=seed)


EQUAL = Mean(name="equal", family="lab", value=lambda output, references: float(output in references))
TOP = Top(name="top2", family="lab", value=lambda _output, _references: 0.0)


def found(folder: Path, ours: object, theirs: object, *, metric: str = "equal", **changes: Any) -> Verdict:
    """The verdict on a claim of 50 % about these files."""
    (folder / "p.json").write_text(json.dumps(ours), encoding="utf-8")
    (folder / "r.json").write_text(json.dumps(theirs), encoding="utf-8")
    changes = {"run__predictions__path": "p.json", "run__references__path": "r.json", **changes}
    file = predictions(claim(metric=metric, value="50.0"), images=2, protocol__metric="lab", **changes)
    (verdict,) = verify(write(folder / "claims.yaml", file), metrics=[EQUAL, TOP])
    return verdict


def test_answers_with_their_questions(tmp_path: Path) -> None:
    """Answers are paired with all of VQA's human answers, and carry what the claim names of their rows."""
    verdict = found(tmp_path, ANSWERS, ASKED, **VQA)
    assert (verdict.status, verdict.measured) == (Status.PASS, Decimal(50))
    assert verdict.evidence is not None
    assert verdict.evidence.noun == "answer"
    one, two = verdict.evidence.outputs
    assert (one.text, one.references, one.ranked) == ("red", ("red", "pink"), ())
    assert one.extras == {"question_type": "what", "choices": "a, 2", "question": "what colour is it?"}
    assert two.extras == {"question_type": "how", "question": "how many are there?"}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"1": 7, "2": 4}, {"1": 7, "2": 5}),
        ([{"image_id": 1, "label": "7"}, {"image_id": 2, "label": 4}], {"1": ["7"], "2": 5}),
        ({"1": {"label": 7}, "2": {"label": 4}}, [{"image_id": 1, "label": 7}, {"image_id": 2, "label": [5]}]),
    ],
)
def test_labels_by_their_number(tmp_path: Path, ours: object, theirs: object) -> None:
    """A class may be given by its index, in any of the file's forms: 7 and "7" are one label."""
    verdict = found(tmp_path, ours, theirs, run__predictions={"path": "p.json", "output": "label"})
    assert (verdict.status, verdict.measured) == (Status.PASS, Decimal(50))


def test_labels_the_best_first(tmp_path: Path) -> None:
    """A list of labels gives its first to a metric of texts, and all of it to a metric of rankings."""
    ours, theirs = {"1": ["cat", "dog", "cow"], "2": ["cat", "cow", "dog"]}, {"1": "dog", "2": "dog"}
    labels: dict[str, Any] = {"run__predictions": {"path": "p.json", "output": "label"}}
    assert found(tmp_path, ours, theirs, metric="top2", **labels).measured == 50
    verdict = found(tmp_path, ours, theirs, **labels)
    assert verdict.measured == 0
    assert verdict.evidence is not None
    assert verdict.evidence.outputs[0].ranked == ("cat", "dog", "cow")


def test_rankings(tmp_path: Path) -> None:
    """A ranking is a list of ids; the references are the right ones."""
    ours = [{"image_id": "q1", "found": [3, 1]}, {"image_id": "q2", "found": [1, 2]}]
    names = {"run__predictions": {"path": "p.json", "output": "ranking", "prediction": "found"}}
    verdict = found(tmp_path, ours, {"q1": [1, 9], "q2": 3}, metric="top2", **names)
    assert (verdict.status, verdict.measured) == (Status.PASS, Decimal(50))


def test_a_metric_that_needs_something_else(tmp_path: Path) -> None:
    """A metric is refused whose needs the outputs do not meet; the message says what is missing, and who gives it."""
    names: dict[str, Any] = {"run__predictions": {"path": "p.json", "output": "label"}}
    verdict = found(tmp_path, {"1": "a", "2": "b"}, {"1": "a", "2": "a"}, metric="top2", **names)
    assert (verdict.status, verdict.measured) == (Status.ERROR, None)
    assert verdict.reason.endswith(
        "top2 needs a ranking for each row, and the labels of the evaluator predictions have none; expected an evaluator "
        "that gives it: retrieval, answering with a closed list, predictions of lists."
    )
    names["run__predictions"]["output"] = "ranking"
    with pytest.raises(SpecError, match="the evaluator predictions gives no equal, which needs a text for each row"):
        found(tmp_path, {"1": ["a"], "2": ["b"]}, {"1": "a", "2": "a"}, **names)


@pytest.mark.parametrize(
    ("output", "ours", "text"),
    [
        (
            "answer",
            {"1": 3, "2": "a"},
            "p.json: row '1': expected an answer as text, got 3; expected {id: answer}, a list",
        ),
        ("label", {"1": True, "2": "a"}, "p.json: row '1': expected a label as text, got True"),
        (
            "label",
            {"1": ["a"], "2": "a"},
            "p.json: row '2' has one value as its prediction, row '1' has a list; expected",
        ),
        ("label", {"1": [], "2": ["a"]}, "p.json: row '1': expected a list, the best first, got an empty one."),
        ("label", {"1": ["a", "b", "a"], "2": ["a"]}, "p.json: row '1': 'a' is ranked twice."),
        ("ranking", {"1": "a", "2": "b"}, "p.json: row '1': expected a list, the best first, got 'a'"),
        ("label", {"1": "a"}, "p.json: no prediction for row '2' of r.json."),
        (
            "label",
            {"1": {"lable": "a"}, "2": "b"},
            "p.json: row '1' has no 'label', did you mean 'lable'?; its keys: lable.",
        ),
        ("answer", {"1": "a", "2": "half \ud800"}, "p.json: row '2': an answer holds a lone surrogate, which is not a"),
        ("caption", {"1": ["a", "b"], "2": ["c"]}, "p.json: image '1': expected a caption as text, got a list"),
    ],
)
def test_bad_outputs(tmp_path: Path, output: str, ours: object, text: str) -> None:
    """What is no output of its kind is an error that calls it by its name, and says which row."""
    metric = "top2" if output == "ranking" else "equal"
    named = {"path": "p.json", "output": output}
    verdict = found(tmp_path, ours, {"1": "a", "2": "a"}, metric=metric, run__predictions=named)
    assert (verdict.status, verdict.measured) == (Status.ERROR, None)
    assert verdict.reason.startswith(text)


def test_an_output_is_not_its_own_reference(tmp_path: Path) -> None:
    """One file for both, and one key: that would score every output against itself."""
    rows = {"1": {"label": "a", "right": "b"}, "2": {"label": "a", "right": "a"}}
    same: dict[str, Any] = {"run__predictions": {"path": "r.json", "output": "label"}}
    assert found(tmp_path, rows, rows, **same, run__references={"path": "r.json", "references": "right"}).measured == 50
    verdict = found(tmp_path, rows, rows, **same)
    assert verdict.reason == (
        "r.json: 'label' is named as the prediction and as the references: it would be scored against itself."
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"run__predictions": {"path": "p", "output": "answer", "caption": "answer"}},
            "run.predictions.caption: the outputs are answers; expected the key prediction in place of caption",
        ),
        (
            {"run__predictions": {"path": "p", "caption": "x", "prediction": "x"}},
            "run.predictions.prediction: caption and prediction name the same key; expected one of them",
        ),
        (
            {
                "run__predictions": {"path": "p", "output": "label"},
                "run__references": {"path": "r", "captions": "x"},
            },
            "run.references.captions: the outputs are labels; expected the key references in place of captions",
        ),
        (
            {
                "run__predictions": {"path": "p", "extras": ["question"]},
                "run__references": {"path": "r", "extras": ["question"]},
            },
            "run.references.extras: 'question' is an extra of the predictions too; expected it once",
        ),
        ({"run__predictions": {"path": "p", "output": "anwser"}}, "run.predictions.output: expected "),
    ],
)
def test_names_that_contradict(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    """Two names for one thing, or a name that does not fit the outputs, is a problem of the claim file with its line."""
    with pytest.raises(SpecError, match=r"claims\.yaml:\d+: ") as caught:
        verify(write(tmp_path / "claims.yaml", predictions(**changes)))
    assert text in str(caught.value)


def test_a_report_calls_them_by_their_name(pytester: pytest.Pytester) -> None:
    """The record says what an output is called; the HTML report shows the row's named texts beside it, as inert text."""
    pytester.makeconftest(
        "from pytest_claims.metrics import Mean\n"
        "def pytest_claims_metrics(config):\n"
        "    return [Mean(name='equal', family='lab', value=lambda output, references: float(output in references))]\n"
    )
    hostile = "</script><script>alert(1)</script>"
    (pytester.path / "claims").mkdir()
    for name, content in (("p.json", [{**ANSWERS[0], "question": hostile}, ANSWERS[1]]), ("r.json", ASKED)):
        (pytester.path / "claims" / name).write_text(json.dumps(content), encoding="utf-8")
    file = predictions(claim(metric="equal", value="50.0"), images=2, protocol__metric="lab", **VQA)
    write(pytester.path / "claims" / "paper.yaml", file)
    outcome = run(pytester, "claims", "--claims-report=verdicts.html")
    assert outcome.statuses == {"one": "pass"}
    assert outcome.records["one"]["evidence"]["noun"] == "answer"
    page = (pytester.path / "verdicts.html").read_text(encoding="utf-8")
    assert "2 rows with answers, references and scores" in page
    assert '["question","\\u003c/script\\u003e\\u003cscript\\u003ealert(1)' in page
    assert hostile not in page
