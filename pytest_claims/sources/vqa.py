"""Reads questions and answers from the files of VQA (also of OK-VQA, which has its format) and of GQA."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_claims.errors import EvaluationError, NotAttempted
from pytest_claims.files import shown
from pytest_claims.spec import answers_beside

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def rows(path: Path) -> list[dict[str, Any]] | None:
    """The rows of VQA's or GQA's file of questions; None if the file is another kind of JSON.

    A row has the keys question_id, image (the name of its file), question, answers (texts), question_type and answer_type.

    Raises:
        NotAttempted: the file of answers is not beside VQA's file of questions.
        EvaluationError: the files belong to VQA or GQA, but something is missing in them.
    """
    content = _read(path)
    if not isinstance(content, dict) or not content:
        return None
    try:
        if isinstance(content.get("questions"), list) and "data_subtype" in content:
            return _vqa(content, path)
        if all(isinstance(one, dict) and {"imageId", "question"} <= one.keys() for one in content.values()):
            return [_gqa(name, one) for name, one in content.items()]
    except (KeyError, TypeError) as error:
        raise EvaluationError(f"{path.name} looks like a file of VQA or GQA and is not whole: {error!r}.") from None
    return None


def _read(path: Path) -> Any:
    with path.open("rb") as file:
        if not file.read(64).lstrip().startswith(b"{"):
            return None
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        return None  # perhaps JSON with one object per line: `datasets` reads it, or reports what is wrong


def _vqa(content: Mapping[str, Any], path: Path) -> list[dict[str, Any]]:
    name = answers_beside(path.name)
    if name is None:
        raise EvaluationError(
            f"{path.name} holds questions of VQA; expected a name such as v2_OpenEnded_mscoco_val2014_questions.json, which "
            "says where their answers are."
        )
    beside = path.with_name(name)
    if not beside.exists():
        raise NotAttempted(
            f"The answers to {path.name} are not beside it: {shown(beside)} does not exist.",
            "Put the file of annotations there. VQA publishes none for its test splits, which only its server scores.",
        )
    known = {one["question_id"]: one for one in json.loads(beside.read_bytes())["annotations"]}
    found = []
    for asked in content["questions"]:
        answered = known[asked["question_id"]]
        found.append(
            {
                "question_id": str(asked["question_id"]),
                "image": f"COCO_{content['data_subtype']}_{asked['image_id']:012}.jpg",
                "question": asked["question"],
                "answers": [one["answer"] for one in answered["answers"]],
                "question_type": answered["question_type"],
                "answer_type": answered["answer_type"],
            }
        )
    return found


def _gqa(name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    types = asked.get("types") or {}
    return {
        "question_id": name,
        "image": f"{asked['imageId']}.jpg",
        "question": asked["question"],
        "answers": [asked["answer"]],
        "question_type": str(types.get("semantic", "")),
        "answer_type": str(types.get("structural", "")),
    }
