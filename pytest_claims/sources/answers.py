"""Reads a closed list of answers: text with one answer a line, or a JSON list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_claims import digests, files, strict_json
from pytest_claims.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAX_BYTES = 8_000_000
"""The largest file. All 3,129 answers of VQAv2's usual list take 25 kB; every answer that somebody gave to VQAv2, 3 MB."""

MAX_LENGTH = 1000
"""The most characters of an answer."""

FEWEST = 2
"""A list of one answer would decide everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedList:
    """The answers that are ranked, in the order of their file."""

    path: str
    """As the claim names it."""
    texts: tuple[str, ...]
    places: tuple[str, ...]
    """Where each answer stands, for messages: `answers.txt:3`, or `answers.json, answer 3`."""

    @property
    def digest(self) -> str:
        """SHA-256 over the answers and their order. How the file writes them does not matter."""
        return digests.of_json(list(self.texts))[: digests.SHORT]

    def scored(self, candidates: int | None) -> int:
        """How many answers are scored in full for each question, if `candidates` may be."""
        return len(self.texts) if candidates is None else min(candidates, len(self.texts))

    def told(self, candidates: int | None) -> str:
        """The list in words: `answers.txt: 3,129 answers, the 128 likeliest scored in full, 0123456789abcdef`."""
        scored = self.scored(candidates)
        some = f", the {scored:,} likeliest scored in full" if scored < len(self.texts) else ""
        return f"{self.path}: {len(self.texts):,} answers{some}, {self.digest}"


def read(path: str, folders: Sequence[Path]) -> ClosedList:
    """The closed list of a claim.

    Args:
        path: the file, as the claim names it.
        folders: the folders that the claim's paths may lead into.

    Raises:
        NotAttempted: no folder holds the file.
        EvaluationError: the file cannot be read, or holds something that is no answer.
    """
    found = files.need(path, folders, "The list of answers")
    try:
        with found.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read: {files.reason(error)}.") from None
    if len(data) > MAX_BYTES:
        raise EvaluationError(f"{path} has more than {MAX_BYTES:,} bytes, expected a list of short answers.")
    texts, places = _of_json(data, path) if found.suffix == ".json" else _of_lines(data, path)
    _check(texts, places, path)
    return ClosedList(path=path, texts=texts, places=places)


def _of_lines(data: bytes, path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise EvaluationError(f"{path}:{line}: not UTF-8 (byte {error.start}).") from None
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    return tuple(lines), tuple(f"{path}:{number}" for number in range(1, len(lines) + 1))


def _of_json(data: bytes, path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    values = strict_json.parse(data, strict_json.Source(path))
    if not isinstance(values, list):
        raise EvaluationError(f"{path}: expected a list of texts.")
    places = tuple(f"{path}, answer {number}" for number in range(1, len(values) + 1))
    for value, place in zip(values, places, strict=True):
        if not isinstance(value, str):
            raise EvaluationError(f"{place}: expected a text, got {str(value)[:60]!r}.")
    return tuple(values), places


def _check(texts: Sequence[str], places: Sequence[str], path: str) -> None:
    seen: dict[str, str] = {}
    for text, place in zip(texts, places, strict=True):
        if not text.strip():
            raise EvaluationError(f"{place}: empty, expected an answer.")
        if text != text.strip():
            raise EvaluationError(f"{place}: white space around the answer {text.strip()[:60]!r}; take it away.")
        if not text.isprintable():
            raise EvaluationError(f"{place}: {text[:60]!r} holds a character that cannot be printed.")
        if len(text) > MAX_LENGTH:
            raise EvaluationError(f"{place}: more than {MAX_LENGTH:,} characters, expected a short answer.")
        if text in seen:
            raise EvaluationError(f"{place}: the answer {text[:60]!r} stands twice, first at {seen[text]}.")
        seen[text] = place
    if len(texts) < FEWEST:
        raise EvaluationError(f"{path}: one answer, expected at least {FEWEST}: there would be nothing to rank.")
