"""The score of a run that is not complete, for whoever watches it. No verdict uses it."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from pytest_claims.errors import MetricError
from pytest_claims.metrics.running import ROWS, RunningBleu, RunningMean

if TYPE_CHECKING:
    from pytest_claims.evidence import Output

SHARE = 0.008
"""The part of the elapsed time that the running score may cost. If that is not enough, it covers fewer images, and says so."""
CHUNK = 8
"""How many outputs are scored before the time is looked at."""
WAITING = 10_000
"""How many outputs are held that wait to be scored: where nobody watches, none ever is."""


class RunningScore:
    """The score of the outputs so far. Outputs are scored when the score is shown, and only as far as `SHARE` allows.

    Args:
        metric: the metric that is shown, a name of `metrics.running.ROWS`; None: BLEU-4. With any other name, nothing is shown.
    """

    def __init__(self, metric: str | None = None) -> None:
        self._waiting: deque[Output] = deque()
        self._score: RunningBleu | RunningMean | None = None
        if metric is None:
            self._score = RunningBleu()
        elif metric in ROWS:
            self._score = RunningMean(metric)
        self._left_out = False
        """Whether an output came while too many waited. It is never scored."""
        self._spent = 0.0

    def add(self, output: Output) -> None:
        """Take an output into account the next time the score is shown."""
        if self._score is None:
            return
        if len(self._waiting) < WAITING:
            self._waiting.append(output)
        else:
            self._left_out = True

    def told(self, elapsed: float) -> str:
        """The score as text, such as `BLEU-4 30.39 ± 4.71`; empty before any output was scored.

        Args:
            elapsed: the seconds since the run began.
        """
        if self._score is None:
            return ""
        if isinstance(self._score, RunningBleu) and not self._score.n:
            # The first hyphen or number imports nltk and compiles the tokenizer's pattern. Nearly every data set has one, and
            # its time would use up the share of many images.
            RunningBleu().add(["a dog runs ."], [["it is a dog, running."]])
        while self._waiting and self._spent < SHARE * elapsed:
            started = time.perf_counter()
            chunk = [self._waiting.popleft() for _ in range(min(CHUNK, len(self._waiting)))]
            try:
                self._score.add([output.text for output in chunk], [output.references for output in chunk])
            except MetricError:  # the final score says what is wrong
                self._score = None
                self._waiting.clear()
                return ""
            self._spent += time.perf_counter() - started
        if not self._score.n:
            return ""
        return f"{self._score} of {self._score.n:,}" if self._waiting or self._left_out else str(self._score)
