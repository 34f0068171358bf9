"""METEOR 1.5 (Denkowski and Lavie 2014) through coco-caption's own program, which needs Java.

The program aligns each caption with its references and gives 23 numbers for the best one. The value follows from their sums
over images, as the paper's section 2 says; so METEOR has an interval and a paired comparison like BLEU, and is no mean over
images. Value and per-image values are those that the program prints. They are held against the formula, so that a program that
computes something else cannot pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_claims.errors import MetricError, NotAttempted
from pytest_claims.metrics import java
from pytest_claims.metrics.base import Score, interval, signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pytest_claims.metrics.corpus import Corpus

NAME = "METEOR"
FOLDER = "meteor"
JAR = "meteor-1.5.jar"
PARAPHRASES = "data/paraphrase-en.gz"
KNOWN = {
    JAR: "1e57b4c72c0830ebe68558f1c799a624e96cbc1b6045c9f6330e26dcff6eafc2",
    PARAPHRASES: "c147ac7d2c91f2fbb3ad31e4b352235061eb83145e0434daf217ee9ca5975f48",
}
"""The program and its table of paraphrases, with their SHA-256, as pycocoevalcap 1.2 brings them."""

START, EACH = 600.0, 0.05
"""Seconds that the program may take to start, and for each reference: a hundred times what it takes where nothing else runs."""

# The parameters for English, task "rank" (Denkowski and Lavie 2014, table 1 and section 3).
ALPHA, BETA, GAMMA, DELTA = 0.85, 0.20, 0.60, 0.75
"""Weight of precision against recall; exponent and weight of the fragmentation penalty; weight of content words."""

WEIGHTS = (1.0, 0.6, 0.8, 0.6)
"""Of a match by the same word, the same stem, a synonym, a paraphrase."""

LENGTHS = 4
"""The first columns of the statistics: words of the caption and of the reference, then how many of each are function words."""

CHUNKS, OWN, THEIRS = 20, 21, 22
"""The last columns: chunks, and the words of the caption and of the reference that are matched. Between them, for each way to
match, stand the matched content words of caption and reference, then the matched function words."""

COLUMNS = 23


def _vectors() -> tuple[NDArray[np.float64], ...]:
    """What the sums are multiplied with: matched and all words, of the caption (precision) and of the reference (recall)."""
    matched, words = np.zeros((2, COLUMNS)), np.zeros((2, COLUMNS))
    for side in (0, 1):
        words[side, side], words[side, 2 + side] = DELTA, 1 - 2 * DELTA  # content words are all but the function words
        for module, weight in enumerate(WEIGHTS):
            first = LENGTHS + 4 * module + side
            matched[side, first], matched[side, first + 2] = weight * DELTA, weight * (1 - DELTA)
    return matched[0], words[0], matched[1], words[1]


OWN_MATCHED, OWN_WORDS, THEIR_MATCHED, THEIR_WORDS = _vectors()


@dataclass(frozen=True, slots=True, kw_only=True)
class Meteor:
    """METEOR over the sums of all images; natural range 0 to 1."""

    name: str = "meteor"
    family: str = "coco-caption"
    low: float = 0.0
    high: float = 1.0
    needs: tuple[str, ...] = ("text",)

    def missing(self) -> NotAttempted | None:
        """What keeps METEOR from running here; None if nothing does."""
        return java.missing(NAME, FOLDER, KNOWN)

    def signature(self, corpus: Corpus) -> str:
        """E.g. `meteor|coco-caption|tok:ptb|case:lc|refs:5|jar:1.5-1e57b4c72c08|norm|v0.2`."""
        return signature(self.name, corpus, f"jar:1.5-{KNOWN[JAR][: java.SHORT]}", "norm")

    def score(self, corpus: Corpus, *, population: int | None = None, resamples: int = 1000, seed: int = 0) -> Score:
        """See `Metric.score`. `counts` holds the sums of the statistics.

        Raises:
            NotAttempted: Java or the program is missing.
            MetricError: the program failed, or gave another number than the formula.
        """
        aligned = corpus.derived(align)
        total = aligned.statistics.sum(axis=0)
        return Score(
            metric=self.name,
            family=self.family,
            value=aligned.value,
            signature=self.signature(corpus),
            n=len(corpus),
            counts={"statistics": tuple(total.tolist())},
            interval=interval(
                corpus,
                aligned.statistics,
                self.value,
                self.gradient,
                population=population,
                resamples=resamples,
                seed=seed,
            ),
            per_image=aligned.per_image,
        )

    def statistics(self, corpus: Corpus) -> NDArray[np.float64]:
        """The statistics of each image, (n, 23)."""
        return corpus.derived(align).statistics

    def value(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """METEOR of each row of sums, shape (r, 23) to (r,)."""
        precision, recall = (
            np.divide(sums @ matched, sums @ words, out=np.zeros(len(sums)), where=sums @ words > 0)
            for matched, words in ((OWN_MATCHED, OWN_WORDS), (THEIR_MATCHED, THEIR_WORDS))
        )
        below = ALPHA * precision + (1 - ALPHA) * recall
        mean = np.divide(precision * recall, below, out=np.zeros(len(sums)), where=below > 0)
        words = (sums[:, OWN] + sums[:, THEIRS]) / 2
        fragments = np.divide(sums[:, CHUNKS], words, out=np.zeros(len(sums)), where=words > 0)
        result: NDArray[np.float64] = mean * (1 - GAMMA * fragments**BETA)
        return result

    def gradient(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derivative of the value by each sum, (23,) to (23,); all zero if nothing matches."""
        own, theirs = float(sums @ OWN_MATCHED), float(sums @ THEIR_MATCHED)
        if not own or not theirs:
            return np.zeros_like(sums)
        own_words, their_words = float(sums @ OWN_WORDS), float(sums @ THEIR_WORDS)
        precision, recall = own / own_words, theirs / their_words
        below = ALPHA * precision + (1 - ALPHA) * recall
        by_precision = (OWN_MATCHED - precision * OWN_WORDS) / own_words  # (23,)
        by_recall = (THEIR_MATCHED - recall * THEIR_WORDS) / their_words
        by_mean = ((1 - ALPHA) * recall**2 * by_precision + ALPHA * precision**2 * by_recall) / below**2
        words = float(sums[OWN] + sums[THEIRS]) / 2
        fragments = float(sums[CHUNKS]) / words
        result: NDArray[np.float64] = (1 - GAMMA * fragments**BETA) * by_mean
        if fragments:
            by_fragments = np.zeros_like(sums)
            by_fragments[CHUNKS] = 1 / words
            by_fragments[[OWN, THEIRS]] = -fragments / (2 * words)
            result -= precision * recall / below * GAMMA * BETA * fragments ** (BETA - 1) * by_fragments
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Aligned:
    """What the program gave for a corpus."""

    statistics: NDArray[np.float64]
    """(n, 23). A caption that is matched as a whole by one chunk counts as no chunk: it is not fragmented."""
    per_image: tuple[float, ...]
    value: float


def align(corpus: Corpus) -> Aligned:
    """Run the program over a corpus.

    Raises:
        NotAttempted: Java or the program is missing.
        MetricError: the program failed, or gave another number than the formula.
    """
    gap, place = java.missing(NAME, FOLDER, KNOWN), java.folder(FOLDER)
    if gap is not None or place is None:
        raise gap or NotAttempted(f"{NAME} cannot run here.", java.INSTALL)
    requests = list(map(_request, corpus.hypothesis_units, corpus.reference_units))
    limit = START + EACH * sum(map(len, corpus.references))
    command = java.command(JAR, "-", "-", "-stdio", "-l", "en", "-norm", memory="2G")
    with java.conversation(command, cwd=place, limit=limit, name=NAME) as program:
        told = program.ask(requests, len(requests))
        rows = np.array([_row(name, line) for name, line in zip(corpus.ids, told, strict=True)])
        values = [_number(line) for line in program.ask([" ||| ".join(("EVAL", *told))], len(told) + 1)]
    whole = (rows[:, CHUNKS] == 1) & (rows[:, OWN] == rows[:, 0]) & (rows[:, THEIRS] == rows[:, 1])
    rows[whole, CHUNKS] = 0
    expected = [*Meteor().value(rows).tolist(), float(Meteor().value(rows.sum(axis=0)[None, :])[0])]
    for name, value, own in zip((*corpus.ids, "all images"), values, expected, strict=True):
        if not abs(value - own) <= 1e-9:
            raise MetricError(f"{name!r}: the program gives {value}, and the formula of METEOR 1.5 gives {own}.")
    return Aligned(statistics=rows, per_image=tuple(values[:-1]), value=values[-1])


def _request(words: Sequence[str], references: Sequence[Sequence[str]]) -> str:
    return " ||| ".join(("SCORE", *map(_text, references), _text(words)))


def _text(words: Sequence[str]) -> str:
    """Tokens as one text. They hold no line break; `|||`, which separates the texts of a request, is taken out.

    pycocoevalcap takes it out of captions only: a reference with `|||` in it becomes two references there.
    """
    return " ".join(filter(None, (word.replace("|||", "") for word in words)))


def _row(name: str, line: str) -> list[float]:
    try:
        row = [float(part) for part in line.split()]
    except ValueError:
        row = []
    if len(row) != COLUMNS:
        raise MetricError(f"Image {name!r}: {NAME} gave {line[:100]!r}, expected {COLUMNS} numbers.")
    return row


def _number(line: str) -> float:
    try:
        return float(line)
    except ValueError:
        raise MetricError(f"{NAME} gave {line[:100]!r}, expected a number.") from None
