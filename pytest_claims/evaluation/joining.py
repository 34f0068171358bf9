"""Joins released outputs with their references by id, in bounded memory: both are sorted by id, then read side by side."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from pytest_claims.errors import EvaluationError, nearest
from pytest_claims.evaluation import rows
from pytest_claims.spool import Sorter, Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pytest_claims.evidence import OutputRow

_Prediction = tuple[str, int, str, tuple[str, ...], "Mapping[str, str] | None"]
"""Id, number of the row in the file, text, ranking, extras."""

_Reference = tuple[str, int, tuple[str, ...], bool, "Mapping[str, str] | None"]
"""Id, number of the row in the file, texts, whether they are one of several rows of the id, extras."""


class Predictions:
    """The predictions of a file.

    Raises:
        EvaluationError: a row is not as the claim says.
    """

    def __init__(self, content: Any, file: rows.File) -> None:
        self.file = file
        self.sorted: Sorter[_Prediction] = Sorter()
        first: rows.Row | None = None
        for number, row in enumerate(rows.rows(content, file)):
            first = first or row
            if isinstance(row.value, list) != isinstance(first.value, list) and file.noun != "caption":
                one, other = ("a list", "none") if isinstance(row.value, list) else ("one value", "a list")
                raise EvaluationError(
                    f"{file.path}: {file.row} {row.id!r} has {one} as its prediction, {file.row} {first.id!r} has {other}; "
                    "expected the same of every row."
                )
            text, ranked = _prediction(row, file)
            self.sorted.add((row.id, number, text, ranked, row.extras or None), _size(row.id, text, *ranked))


def _prediction(row: rows.Row, file: rows.File) -> tuple[str, tuple[str, ...]]:
    """A text; or, except for captions, a list, the best first."""
    value = row.value
    if file.noun == "caption":
        # pycocoevalcap takes {id: [caption]}, and people write their results as they give them to it.
        one = value[0] if row.keyed and isinstance(value, list) and len(value) == 1 else value
        return file.text(one, row.id, row.hint), ()
    if file.noun == "ranking" and not isinstance(value, list):
        raise EvaluationError(
            f"{file.path}: {file.row} {row.id!r}: expected a list, the best first, got {rows.kind(value)}{row.hint or '.'}"
        )
    if not isinstance(value, list):
        return file.text(value, row.id, row.hint), ()
    ranked = tuple(file.texts(value, row.id, row.hint))
    if not ranked:
        raise EvaluationError(f"{file.path}: {file.row} {row.id!r}: expected a list, the best first, got an empty one.")
    if len(set(ranked)) < len(ranked):
        twice, _ = Counter(ranked).most_common(1)[0]
        raise EvaluationError(f"{file.path}: {file.row} {row.id!r}: {rows.short(twice)!r} is ranked twice.")
    return "" if file.noun == "ranking" else ranked[0], ranked


class References:
    """The references of a file.

    Raises:
        EvaluationError: a row is not as the claim says.
    """

    def __init__(self, content: Any, file: rows.File) -> None:
        self.file = file
        self.sorted: Sorter[_Reference] = Sorter()
        for number, row in enumerate(rows.rows(content, file)):
            # One row per reference, as in COCO: the texts of all rows of an image are collected.
            one = not row.keyed and (isinstance(row.value, str) or (file.numbers and isinstance(row.value, int)))
            hint = nearest(row.id, [rows.COCO]) if row.keyed else ""
            texts = (file.text(row.value, row.id),) if one else tuple(file.texts(row.value, row.id, hint))
            self.sorted.add((row.id, number, texts, one, row.extras or None), _size(row.id, *texts))
        if not len(self.sorted):
            raise EvaluationError(f"{file.path}: holds no {file.row}.")


def _size(*texts: str) -> int:
    return sum(map(len, texts))


def join(ours: Predictions, theirs: References) -> Sequence[OutputRow]:
    """The predictions with their references, sorted by id.

    Raises:
        EvaluationError: an id is in one of the files only, has two predictions or two lists of references, or no reference.
    """
    spool: Spool[OutputRow] = Spool()
    problems = _Problems(ours, theirs)
    for predictions, references in _side_by_side(_by_id(ours.sorted), _by_id(theirs.sorted)):
        problems.look(predictions, references)
        if not predictions or not references:
            continue
        (name, _, text, ranked, own), (_, _, first, _, extras) = predictions[0], references[0]
        texts = first if len(references) == 1 else tuple(text for row in references for text in row[2])
        row = (name, text, texts, ranked, {**(extras or {}), **(own or {})} or None, None, False)
        spool.add(row, _size(name, text, *texts, *ranked))
    problems.report()
    return spool.rows()


def _by_id(given: Sorter[Any]) -> Iterator[list[Any]]:
    """All rows of an id, in the order of the file, one id after the other."""
    return (list(group) for _, group in groupby(given.rows(), itemgetter(0)))


def _side_by_side(ours: Iterator[list[Any]], theirs: Iterator[list[Any]]) -> Iterator[tuple[list[Any], list[Any]]]:
    """The rows of each id on both sides; one of them may have none."""
    one, other = next(ours, []), next(theirs, [])
    while one or other:
        name = min(rows[0][0] for rows in (one, other) if rows)
        here = one if one and one[0][0] == name else []
        there = other if other and other[0][0] == name else []
        yield here, there
        one = next(ours, []) if here else one
        other = next(theirs, []) if there else other


class _Problems:
    """What is wrong with rows. Of all problems, the one that a reader of the two files meets first is reported."""

    def __init__(self, ours: Predictions, theirs: References) -> None:
        self.ours, self.theirs = ours, theirs
        self._first: tuple[int, int, Callable[[str], str], str] | None = None

    def _note(self, kind: int, row: int, say: Callable[[str], str], name: str) -> None:
        if self._first is None or (kind, row) < self._first[:2]:
            self._first = (kind, row, say, name)

    def look(self, predictions: Sequence[_Prediction], references: Sequence[_Reference]) -> None:
        """Note what is wrong with the rows of an id."""
        name, number, *_ = (predictions or references)[0]
        if len(predictions) > 1:
            self._note(0, predictions[1][1], self._two_predictions, name)
        for _, row, _, one, _ in references[1:]:
            if not one:
                self._note(1, row, self._two_lists, name)
        if references and not any(texts for _, _, texts, _, _ in references):
            self._note(2, references[0][1], self._no_reference, name)
        if not references:
            self._note(3, number, self._unknown, name)
        if not predictions:
            self._note(4, number, self._missing, name)

    def report(self) -> None:
        """Raise `EvaluationError` if something was wrong."""
        if self._first is not None:
            _, _, say, name = self._first
            raise EvaluationError(say(name))

    def _two_predictions(self, name: str) -> str:
        return f"{self.ours.file.path}: two predictions for {self.ours.file.row} {name!r}."

    def _two_lists(self, name: str) -> str:
        return f"{self.theirs.file.path}: two lists of references for {self.theirs.file.row} {name!r}."

    def _no_reference(self, name: str) -> str:
        return f"{self.theirs.file.path}: no reference for {self.theirs.file.row} {name!r}."

    def _unknown(self, name: str) -> str:
        known = map(itemgetter(0), self.theirs.sorted.rows())
        where = f"{self.ours.file.path}: a prediction for {self.ours.file.row} {name!r}"
        return f"{where}, which {self.theirs.file.path} does not know{nearest(name, known) or '.'}"

    def _missing(self, name: str) -> str:
        return f"{self.ours.file.path}: no prediction for {self.ours.file.row} {name!r} of {self.theirs.file.path}."
