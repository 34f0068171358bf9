"""The section run of the evaluator `answering`, and the template that makes a prompt of each row's question."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from pytest_claims.errors import nearest
from pytest_claims.spec.decoding import RANK
from pytest_claims.spec.models import Columns, GeneratingRun
from pytest_claims.spec.values import Text  # noqa: TC001 - pydantic reads it

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_claims.spec.load import Claim
    from pytest_claims.spec.models import Protocol

QUESTION = "question"
"""The place of the question in a template, and the column of questions where neither the paper nor the run names one."""

PLACE = f"{{{QUESTION}}}"

_PLACES = re.compile(r"{([^{}]*)}")


class AnsweringRun(GeneratingRun):
    """Ask the model about each image what the image's row asks, and score the answers."""

    evaluator: Literal["answering"]
    columns: Columns = Field(
        default=Columns(question=QUESTION), description="the columns of the data set as it is here"
    )
    extras: tuple[Text, ...] | None = Field(
        default=None, description="columns of text that reports show beside the answer, such as question_type"
    )

    @field_validator("columns")
    @classmethod
    def _with_question(cls, columns: Columns) -> Columns:
        return columns if columns.question else columns.model_copy(update={"question": QUESTION})


def filled(template: str, question: str) -> str:
    """The prompt of a row: the template with the row's question. Braces in the question stay as they are."""
    return template.replace(PLACE, question)


def given_by(run: AnsweringRun, settings: Protocol) -> tuple[str, ...]:
    """What a metric can read of the answers: a closed list is ranked as a whole.

    Args:
        run: the section run.
        settings: what is run here: the protocol with the overrides of the section run.
    """
    closed = settings.decoding is not None and settings.decoding.strategy == RANK
    return (*run.gives, "ranked") if closed else run.gives


def of_run(run: AnsweringRun) -> Iterator[tuple[tuple[str, ...], str]]:
    """Contradictions in the section run: the path below it, and a sentence."""
    columns = run.columns
    for role in ("references", "id", "image"):
        if getattr(columns, role) == columns.question:
            yield (
                ("columns", "question"),
                f"the column {columns.question!r} cannot hold both the questions and the {role}",
            )


def of_prompt(prompt: str | None) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with a template: the path below the section, and a sentence."""
    if prompt is None:
        return
    places = _PLACES.findall(prompt)
    for place in places:
        if place != QUESTION:
            hint = nearest(place, [QUESTION])
            yield ("prompt",), f"the template has the place {{{place}}}{hint}; the only place is {PLACE}"
    if not places:
        yield ("prompt",), f"the template has no place for the question; expected {PLACE} where it belongs"


def answer_lists(claim: Claim) -> tuple[str, ...]:
    """The files of the closed lists that a claim names: that which is run, then the paper's if it is another one."""
    stated = claim.protocol.decoding
    run: str | None = (claim.overrides.get("decoding") or {}).get("answers")
    return tuple(dict.fromkeys(text for text in (run, stated.answers if stated else None) if text))


def answers_beside(name: str) -> str | None:
    """The name of the file of answers that belongs to VQA's file of questions; None if that is no such name.

    Examples:
        >>> answers_beside("v2_OpenEnded_mscoco_val2014_questions.json")
        'v2_mscoco_val2014_annotations.json'
    """
    found = re.fullmatch(r"(.*/)?([^/]*)OpenEnded_([^/]*)_questions\.json", name)
    return f"{found[1] or ''}{found[2]}{found[3]}_annotations.json" if found else None
