"""The files of VQA and of GQA, read as they are published."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims.errors import EvaluationError, NotAttempted
from pytest_claims.sources import data
from pytest_claims.spec.models import Columns, Dataset
from tests.sources.test_coco import picture

if TYPE_CHECKING:
    from pathlib import Path

QUESTIONS = "v2_OpenEnded_mscoco_val2014_questions.json"
ANSWERS = "v2_mscoco_val2014_annotations.json"
COLUMNS = Columns(image="image", references="answers", id="question_id", question="question")


def write(folder: Path, *, answers: bool = True, **changes: Any) -> None:
    """Two questions about one picture, in VQA's two files, and the picture in COCO's folder."""
    asked = [{"image_id": 42, "question": f"Is it {number}?", "question_id": 420 + number} for number in (0, 1)]
    answered = [
        {
            "question_id": one["question_id"],
            "image_id": 42,
            "question_type": "is it",
            "answer_type": "yes/no",
            "multiple_choice_answer": "yes",
            "answers": [{"answer": "yes", "answer_confidence": "yes", "answer_id": n} for n in range(10)],
        }
        for one in asked
    ]
    content = {"info": {}, "data_type": "mscoco", "data_subtype": "val2014", "questions": asked, **changes}
    (folder / QUESTIONS).write_text(json.dumps(content), encoding="utf-8")
    if answers:
        (folder / ANSWERS).write_text(
            json.dumps({"annotations": answered, "data_subtype": "val2014"}), encoding="utf-8"
        )
    picture(folder / "val2014", "COCO_val2014_000000000042.jpg")


def load(folder: Path, name: str = QUESTIONS) -> data.Split:
    """The rows of the file."""
    extras = {"type": "question_type", "kind": "answer_type"}
    return data.load(Dataset(id=name, split="val", images=2), COLUMNS, [folder], extras=extras)


def test_vqa(tmp_path: Path) -> None:
    """Questions and their ten answers come from two files, images by COCO's names; OK-VQA has the same format."""
    write(tmp_path)
    split = load(tmp_path)
    assert split.questions == {"420": "Is it 0?", "421": "Is it 1?"}
    assert split.references["420"] == ("yes",) * 10
    assert split.image("420").size == split.image("421").size
    assert split.extras["421"] == {"type": "is it", "kind": "yes/no"}
    for name in (QUESTIONS, ANSWERS):
        (tmp_path / name).rename(tmp_path / name.removeprefix("v2_"))
    assert load(tmp_path, QUESTIONS.removeprefix("v2_")).questions == split.questions


def test_gqa(tmp_path: Path) -> None:
    """GQA's file maps an id to a question with one answer; its images are named by their own ids."""
    content = {"201": {"imageId": "n42", "question": "Who?", "answer": "boy", "types": {"semantic": "rel"}}}
    (tmp_path / "testdev_balanced_questions.json").write_text(json.dumps(content), encoding="utf-8")
    picture(tmp_path / "images", "n42.jpg")
    split = load(tmp_path, "testdev_balanced_questions.json")
    assert (split.questions, split.references) == ({"201": "Who?"}, {"201": ("boy",)})
    assert split.extras["201"] == {"type": "rel", "kind": ""}
    assert split.absent(["201"]) == ()


def test_answers_that_are_not_here(tmp_path: Path) -> None:
    """The answers of a test split are not public: the claim is not attempted, and the message names the file."""
    write(tmp_path, answers=False)
    with pytest.raises(NotAttempted) as caught:
        load(tmp_path)
    assert f"The answers to {QUESTIONS} are not beside it" in str(caught.value)
    assert f"{ANSWERS} does not exist" in str(caught.value)


def test_a_file_of_questions_under_another_name(tmp_path: Path) -> None:
    """Without the official name, it is not known where the answers are."""
    write(tmp_path)
    (tmp_path / QUESTIONS).rename(tmp_path / "mine.json")
    with pytest.raises(EvaluationError, match="expected a name such as v2_OpenEnded_mscoco_val2014_questions"):
        load(tmp_path, "mine.json")


def test_a_question_without_answers(tmp_path: Path) -> None:
    """A question that the file of answers does not have is an error, and no row less."""
    write(tmp_path, questions=[{"image_id": 42, "question": "Is it 2?", "question_id": 422}])
    with pytest.raises(EvaluationError, match="looks like a file of VQA or GQA and is not whole: KeyError"):
        load(tmp_path)


def test_the_questions_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    """Another question is another data set."""
    write(tmp_path)
    before = load(tmp_path).facts["fingerprint"]
    text = (tmp_path / QUESTIONS).read_text(encoding="utf-8")
    (tmp_path / QUESTIONS).write_text(text.replace("Is it 1?", "Is it one?"), encoding="utf-8")
    assert load(tmp_path).facts["fingerprint"] != before
