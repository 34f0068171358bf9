"""A metric that its evaluator cannot give is an error of the claim file, and not of a run that took hours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import pytest

from pytest_claims.errors import SpecError
from pytest_claims.metrics import BUILTIN, needs
from pytest_claims.spec import METRICS, loads
from pytest_claims.spec.given import GIVEN_BY, NEEDS
from pytest_claims.spec.hooked import HookedRun
from pytest_claims.spec.load import RUNS
from tests.builders import captioning, changed, claim, parameters, predictions, yaml_of

if TYPE_CHECKING:
    from pytest_claims.spec import Claim
    from tests.builders import Document


class Ranker(HookedRun):
    """An evaluator of a plugin, which gives rankings alone."""

    gives: ClassVar[tuple[str, ...]] = ("ranked",)
    evaluator: Literal["ranker"]


def read(document: Document) -> tuple[Claim, ...]:
    """The claims of a file."""
    content = yaml_of(document).encode()
    return loads(content, path=Path("claims/x.yaml"), display="x.yaml", runs={**RUNS, "ranker": Ranker})


def found(document: Document) -> str:
    """The errors of a file."""
    with pytest.raises(SpecError) as error:
        read(document)
    return str(error.value)


def counted(metric: str) -> Document:
    """A claim that counts parameters, and is about `metric`."""
    return parameters(claim("one", metric=metric, value="43.7"))


def ranked(metric: str) -> Document:
    """A claim of the evaluator of a plugin."""
    document = predictions(claim("one", metric=metric, value="43.7"))
    document["run"] = {"evaluator": "ranker"}
    document["protocol"]["metric"] = METRICS[metric].families[0]
    return document


def captioned(metric: str) -> Document:
    """A claim about captions."""
    document = captioning(claim("one", metric=metric, value="43.7"))
    document["protocol"]["metric"] = METRICS[metric].families[0]
    return document


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (
            captioned("recall_at_5"),
            "the evaluator captioning gives no recall_at_5, which needs a ranking for each row; expected accuracy, ",
        ),
        (
            captioned("recall_at_5"),
            "or an evaluator that gives it: retrieval, answering with a closed list, predictions of lists",
        ),
        (
            captioned("accuracy_top5"),
            "gives no accuracy_top5, which needs a ranking for each row, did you mean 'accuracy'?",
        ),
        (
            counted("bleu4"),
            "gives no bleu4, which needs a text for each row; expected total_parameters, trainable_parameters, or an",
        ),
        (
            ranked("accuracy"),
            "needs a text for each row, did you mean 'accuracy_top5'?; expected accuracy_top5, recall_at_1, recall_at_10, ",
        ),
    ],
)
def test_a_metric_of_another_evaluator(document: Document, text: str) -> None:
    """The error names what is missing, the nearest metric, all that the evaluator gives, and who gives this one."""
    assert text in found(document)


def test_a_metric_of_the_evaluator() -> None:
    """A ranking has recall, also where a plugin gives it."""
    assert read(ranked("recall_at_5"))[0].reported.metric == "recall_at_5"


def test_a_closed_list_is_ranked() -> None:
    """Answers of a closed list have a ranking, answers that are generated have none."""
    document = changed(
        captioned("accuracy_top5"),
        run__evaluator="answering",
        protocol__prompt="Question: {question} Answer:",
        protocol__decoding={"strategy": "rank", "answers": "a.txt", "num_answers": 9, "length_penalty": 0.0},
    )
    assert read(document)[0].reported.metric == "accuracy_top5"
    document["protocol"]["decoding"] = {"strategy": "beam", "num_beams": 5, "max_new_tokens": 10}
    assert "the evaluator answering gives no accuracy_top5, which needs a ranking for each row" in found(document)


def test_the_needs_are_those_of_the_metrics() -> None:
    """Each metric that ships says the same here and where it is computed; each need has an evaluator that ships."""
    assert {name: METRICS[name].needs for name in BUILTIN} == {name: needs.needs_of(m) for name, m in BUILTIN.items()}
    assert set(GIVEN_BY) == set(NEEDS) >= set(needs.NEEDS)
    assert {name.split()[0] for names in GIVEN_BY.values() for name in names} == set(RUNS)
