"""Generated questions with ten answers each, for which the official script was run once.

`python -m tests.metrics.answer_sets FOLDER` writes them as the files that vqaEvalDemo.py of GT-Vision-Lab/VQA reads: questions,
annotations and results. tests/data/vqa_official.json holds what its vqaEval.py (commit a013f00, as it stands, on Python 2.7.18)
gave for them. The official code is not part of this project.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COUNT = 10_000
WORDS = (
    "yes", "no", "red", "blue", "light blue", "skateboard", "tennis court", "black/white", "t-shirt", "Main St.",
    "stop sign", "2:30", "none", "zero", "one", "two", "ten", "eleven", "3", "10,000", "1,234.5", "0.5", "5.", ".5",
    "3.14.15", "u.s.", "u.s.a", "$5", "50%", "dont know", "isn't", "it's", "its", "theyre", "they've", "shouldnt've",
    "im", "Im", "Ive", "lets", "let's", "somebody'd", "someoned've", "yall", "y'allll", "oclock", "ow's'at",
    "'ow'sat", "twas", "the", "a", "an", "The Who", "a dog", "an apple", "café", "naïve", "“quoted”", "it’s", "C++",
    "a+b=c", "[x]", "{y}", "(left)", "him & her", "@home", "back\\slash", "snake_case", "<br>", "`code`", "what?",
    "wow!", "semi;colon", "...", "a.b.c", "x" + "." * 40, "", " ",
)  # fmt: skip
"""What the answers are made of: ordinary ones, and those that the rules treat in some way of their own."""

BEFORE = ("", "", "", "", "the ", "a ", "An ", " ", "\t", "\n", "(", '"', "- ", "no, ", "2 ", "two ")
AFTER = (
    "",
    "",
    "",
    "",
    ".",
    "!",
    "?",
    " ",
    "\n",
    ",",
    ", ",
    " ;",
    ")",
    '"',
    "...",
    " the",
    "\tand",
    "'s",
    " 1,000",
    "-",
)


def answer_sets(count: int = COUNT) -> Iterator[tuple[str, list[str]]]:
    """An answer and ten references, `count` times, always the same. (`Random.random` is the one method that never changes.)"""
    rng = random.Random(20_260)  # noqa: S311 - reproducible answers

    def pick(choices: Sequence[str]) -> str:
        return choices[int(rng.random() * len(choices))]

    def written(text: str) -> str:
        text = pick(BEFORE) + text + pick(AFTER) if rng.random() < 0.5 else text
        return text.upper() if rng.random() < 0.05 else text.capitalize() if rng.random() < 0.1 else text

    for _ in range(count):
        known = [pick(WORDS) for _ in range(1 + int(rng.random() * 4))]
        if rng.random() < 0.15:  # all people agree
            text = written(known[0])
            references = [text + pick(("", "", " ", "\n")) for _ in range(10)]
        else:
            references = [written(pick(known)) for _ in range(10)]
        answer = written(pick(known)) if rng.random() < 0.8 else pick(references)
        yield answer, references


def write(folder: Path) -> None:
    """Write the files that the official script reads."""
    annotations, questions, results = [], [], []
    for number, (answer, references) in enumerate(answer_sets()):
        given = [{"answer": text, "answer_id": place} for place, text in enumerate(references, 1)]
        row = {
            "question_id": number,
            "image_id": number,
            "question_type": "what",
            "answer_type": "other",
            "answers": given,
        }
        annotations.append(row)
        questions.append({"question_id": number, "image_id": number, "question": "what?"})
        results.append({"question_id": number, "answer": answer})
    about = {"info": {}, "task_type": "Open-Ended", "data_type": "mscoco", "data_subtype": "generated", "license": {}}
    for name, content in (
        ("annotations", {**about, "annotations": annotations}),
        ("questions", {**about, "questions": questions}),
        ("results", results),
    ):
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
