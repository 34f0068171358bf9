"""Ask the model something else than the paper asked, and have the run read as exact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.attacks.shop import attempt, deviates
from tests.shapes import rows, warm, write_claim

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

__all__ = ["warm"]  # a fixture of this module

COLUMNS = {"image": "image", "references": "answers", "id": "id", "question": "question"}
TEMPLATE = "a photo of {question}"


def questions() -> list[dict[str, Any]]:
    """Rows with a question and a column that tells the answer."""
    return [
        {
            "id": str(number),
            "image": row["image"],
            "question": f"a {number % 3} shapes",
            "hint": f"a {number % 4} shapes, a circle",
            "answers": row["caption"],
        }
        for number, row in enumerate(rows(12))
    ]


def claim_of(folder: Path, content: list[dict[str, Any]], **changes: Any) -> Path:
    """A claim about answers whose protocol states its columns and its template."""
    return write_claim(
        folder,
        content=content,
        **{
            "protocol__prompt": TEMPLATE,
            "protocol__dataset__columns": COLUMNS,
            "run": {"evaluator": "answering"},
            **changes,
        },
    )


def test_an_honest_run_is_exact(pytester: pytest.Pytester) -> None:
    """The control: a run that asks what the paper asked has no deviation."""
    claim_of(pytester.path, questions())
    _, (record,) = attempt(pytester)
    assert record["verdict"]["protocol_match"] == "exact", record["evidence"]["axes"]


def test_ask_with_another_template(pytester: pytest.Pytester) -> None:
    """A template of the run's own is a deviation on the axis prompt: the verdict is withheld."""
    claim_of(pytester.path, questions(), run={"evaluator": "answering", "prompt": "a picture of {question}"})
    status, (record,) = attempt(pytester)
    assert status == 1
    assert record["verdict"]["status"] == "pending"
    assert deviates(record, "prompt")


def test_ask_with_a_template_on_the_command_line(pytester: pytest.Pytester) -> None:
    """So is one that the command line gives."""
    claim_of(pytester.path, questions())
    status, (record,) = attempt(pytester, "--claims-set=prompt=a picture of {question}")
    assert (status, record["verdict"]["status"]) == (1, "pending")
    assert deviates(record, "prompt")


def test_ask_a_column_that_tells_the_answer(pytester: pytest.Pytester) -> None:
    """Questions from another column than the protocol's are a deviation on the axis dataset."""
    claim_of(pytester.path, questions(), run={"evaluator": "answering", "columns": {"question": "hint"}})
    status, (record,) = attempt(pytester)
    assert (status, record["verdict"]["protocol_match"]) == (1, "drift")
    assert deviates(record, "dataset")


def test_put_the_answers_into_the_template(pytester: pytest.Pytester) -> None:
    """A template has the place of the question only: another place is an error of the claim file."""
    claim_of(pytester.path, questions(), protocol__prompt="{question} {answers}")
    result = pytester.runpytest_inprocess("claims", "-p", "no:cacheprovider")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*the template has the place {answers}; the only place is {question}*"])


def test_rewrite_the_questions(pytester: pytest.Pytester) -> None:
    """Questions that were rewritten in the data are another fingerprint than the one that the claim pins."""
    claim_of(pytester.path, questions())
    _, (honest,) = attempt(pytester)
    told = next(axis["run"] for axis in honest["evidence"]["axes"] if axis["axis"] == "dataset")
    fingerprint = told.partition("fingerprint=")[2].split(",")[0]
    content = questions()
    content[0]["question"] = content[0]["hint"]
    claim_of(pytester.path, content, protocol__dataset__fingerprint=fingerprint)
    status, (record,) = attempt(pytester)
    assert (status, record["verdict"]["protocol_match"]) == (1, "drift")
    assert deviates(record, "dataset")
