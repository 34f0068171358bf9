"""Finds output that must not be scored. A broken run gives a low number, which looks like a bad model.

This module holds every threshold for degenerate output, with its reason.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from pytest_claims.errors import EvaluationError
from pytest_claims.evidence import Basis, outputs_of, row_of
from pytest_claims.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_claims.evidence import Evidence, Output, OutputRow
    from pytest_claims.metrics import Score

MAX_EMPTY = 0.01
"""The share of outputs that may be empty. A working captioner says something about every image: LAVIS's BLIP-2 runs on COCO
and NoCaps hold no empty caption. One in a hundred leaves room for images that are entirely black."""

MAX_SAME = 0.5
"""The share of images that may have the same caption. The most frequent caption of a working captioner ("a man riding a wave on
a surfboard") covers about one image in a hundred. One caption for most images means that the images did not reach the language
model."""

MIN_SAME = 10
"""Fewer images than this can share an output by chance."""

MAX_SAME_CLOSED = 0.9
"""The same for answers, labels and the first of a ranking, of the rows whose references say something else: "yes" is right for
half of many yes-or-no questions, and a biased model says it to most of the others. A model that says it to nearly all of them
did not see its input."""

MARGIN = 0.1
"""How much more often an answer or a label must be given than it is right, before it is degenerate. Where "yes" is right for 95
rows of 100, a working model may say it 99 times: five rows are too few to tell it from one that did not see its input. So one
output for all rows is refused unless it is right for more than 90 % of them."""

MAX_CUT = 0.05
"""The share of captions that may be cut at the length limit. A caption has about ten tokens, and limits are 20 or 30. More cut
captions mean that the search does not recognise the end token, or that the limit is not the paper's."""

MAX_PROMPTED = 0.05
"""The share of captions that may begin with the prompt. One may do so by chance; if many do, the prompt was not cut off."""

PLACEHOLDERS = ("<image>", "</s>", "<s>", "<pad>", "<unk>", "<|image|>", "<|endoftext|>", "\ufffd")
"""Only a decoding mistake leaves these in a text. A tokenizer gives U+FFFD for bytes that are not UTF-8."""


def check(evidence: Evidence) -> tuple[str, ...]:
    """What is odd about the outputs of `evidence`, and what a constant output would be worth if they are nearly that.

    Released outputs are scored as they are, whatever they look like, since the number under test comes from them. What is odd
    about them comes back as notes.

    Raises:
        EvaluationError: outputs generated here are degenerate.
    """
    if not evidence.outputs:
        return ()
    problems = tuple(_problems(evidence))
    if problems and evidence.basis is Basis.REPRODUCED:
        raise EvaluationError("Degenerate output, not scored: " + " ".join(problems))
    return (*problems, *_constant(evidence))


def check_score(score: Score) -> None:
    """Raises `EvaluationError` if a score or its interval is not finite."""
    interval = score.interval
    values = [score.value, *((interval.low, interval.high) if interval else ())]
    if not all(math.isfinite(value) for value in values):
        raise EvaluationError(f"{score.metric} gave {score.value}, which is not a number that can be published.")


def _problems(evidence: Evidence) -> Iterator[str]:
    outputs, total, noun = evidence.outputs, len(evidence.outputs), evidence.noun
    if evidence.images is not None and total != evidence.images:
        yield f"{evidence.images:,} images gave {total:,} {noun}s."
    empty = _Found(outputs, lambda output: not output.shown.strip())
    if empty.count > MAX_EMPTY * total:
        yield f"{empty} {noun}s are empty (more than {MAX_EMPTY:.0%}), the first that of {empty.first.id}."
    yield from _same(evidence)
    cut = _Found(outputs, lambda output: output.truncated)
    if cut.count > MAX_CUT * total:
        yield f"{cut} {noun}s were cut at the length limit (more than {MAX_CUT:.0%}), the first that of {cut.first.id}."
    marked = _Found(outputs, lambda output: any(mark in output.text for mark in PLACEHOLDERS))
    if marked.count:
        first = marked.first
        yield f"{marked} {noun}s hold special tokens, the first that of {first.id}: {first.text[:80]!r}."
    told = evidence.observed.prompt or {}
    prompt = str(told.get("text", told.get("prompt")) or "").strip().lower()
    prompted = _Found(outputs, lambda output: bool(prompt) and output.text.lower().startswith(prompt))
    if prompted.count > MAX_PROMPTED * total:
        yield f"{prompted} {noun}s begin with the prompt, the first that of {prompted.first.id}."
    twice = _Found(outputs, lambda output: len(set(output.ranked)) < len(output.ranked))
    if twice.count:
        yield f"{twice} {noun}s rank something twice, the first that of {twice.first.id}."


def _same(evidence: Evidence) -> Iterator[str]:
    """The problem that most rows have the same output, although their references differ."""
    noun = evidence.noun
    if noun == "caption":
        rows, most, of = evidence.outputs, MAX_SAME, "images"
    else:
        commonest = _folded(Counter(map(_first, evidence.outputs)).most_common(1)[0][0])
        wrong: Spool[OutputRow] = Spool()
        for output in evidence.outputs:
            if commonest not in map(_folded, output.references):
                wrong.add(row_of(output))
        rows = outputs_of(wrong.rows())
        most, of = MAX_SAME_CLOSED, "rows whose references say something else"
    if len(rows) < MIN_SAME:
        return
    text, times = _majority(rows)
    if times > most * len(rows) and not (noun in CLOSED and _nearly_right(evidence.outputs)):
        subject = f"One {noun}" if noun != "ranking" else "One first candidate"
        yield f"{subject} stands for {times:,} of {len(rows):,} {of} (more than {most:.0%}): {text[:80]!r}."


CLOSED = ("answer", "label")
"""Outputs that are compared with how often they are right. Captions differ, and so do the ids of rankings."""


def _constant(evidence: Evidence) -> Iterator[str]:
    """The note that the outputs are nearly one, with how often that one is right.

    It is no error where the references are as biased. Then the score says little, and a reader should know.
    """
    total = len(evidence.outputs)
    if evidence.noun not in CLOSED or total < MIN_SAME:
        return
    text, given = _majority(evidence.outputs, _said)
    if given > MAX_SAME_CLOSED * total:
        right = _right(evidence.outputs, text)
        yield (
            f"One {evidence.noun} stands for {given:,} of {total:,} rows: {text[:80]!r}. To give it always is right in "
            f"{right:,} of them ({right / total:.1%}): a model that does not look gets as much."
        )


def _nearly_right(outputs: Sequence[Output]) -> bool:
    """Whether the commonest output is hardly given more often than it is right."""
    text, given = _majority(outputs, _said)
    return given <= _right(outputs, text) + MARGIN * len(outputs)


def _right(outputs: Sequence[Output], text: str) -> int:
    """For how many rows a text is right."""
    return sum(text in _agreed(output) for output in outputs)


def _agreed(output: Output) -> Iterator[str]:
    """The references of a row that most people gave: of ten answers, one may be anything."""
    own = Counter(map(_folded, output.references))
    most = max(own.values(), default=0)
    return (text for text, times in own.items() if times == most)


def _said(output: Output) -> str:
    return _folded(_first(output))


def _first(output: Output) -> str:
    return output.text or next(iter(output.ranked), "")


def _folded(text: str) -> str:
    return text.strip().lower()


def _majority(rows: Sequence[Output], of: Callable[[Output], str] = _first) -> tuple[str, int]:
    """What more than half of the rows say, if they do, and how many say it. It takes no memory (Boyer and Moore 1981)."""
    held, lead = "", 0
    for text in map(of, rows):
        if not lead:
            held = text
        lead += 1 if text == held else -1
    return held, sum(text == held for text in map(of, rows))


class _Found:
    """The outputs of which something holds: how many they are, and the first. Of many rows, the others are not held."""

    def __init__(self, outputs: Sequence[Output], holds: Callable[[Output], bool]) -> None:
        self.first, self.count, self._of = outputs[0], 0, len(outputs)
        for output in filter(holds, outputs):
            if not self.count:
                self.first = output
            self.count += 1

    def __str__(self) -> str:
        return f"{self.count:,} of {self._of:,}"
