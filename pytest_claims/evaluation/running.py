"""The score of a run that is not complete, for whoever watches it. No verdict uses it."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from pytest_claims.metrics.running import RunningBleu

if TYPE_CHECKING:
    from pytest_claims.evidence import Output

SHARE = 0.008
"""The part of the elapsed time that the running score may cost. If that is not enough, it covers fewer images, and says so."""
CHUNK = 8
"""How many captions are scored before the time is looked at."""


class RunningScore:
    """BLEU-4 of the captions so far. Captions are scored when the score is shown, and only as far as `SHARE` allows.

    Args:
        shown: whether there is a score. BLEU says nothing of answers of one word.
    """

    def __init__(self, *, shown: bool = True) -> None:
        self._shown = shown
        self._waiting: deque[Output] = deque()
        self._bleu = RunningBleu()
        self._spent = 0.0

    def add(self, caption: Output) -> None:
        """Take a caption into account the next time the score is shown."""
        if self._shown:
            self._waiting.append(caption)

    def told(self, elapsed: float) -> str:
        """The score as text, such as `BLEU-4 30.39 ± 4.71`; empty before any caption was scored.

        Args:
            elapsed: the seconds since the run began.
        """
        if not self._shown:
            return ""
        if not self._bleu.n:
            # The first caption with punctuation compiles the tokenizer's patterns, which the final score needs anyway.
            RunningBleu().add(["a dog runs ."], [["it is a dog, running."]])
        while self._waiting and self._spent < SHARE * elapsed:
            started = time.perf_counter()
            chunk = [self._waiting.popleft() for _ in range(min(CHUNK, len(self._waiting)))]
            self._bleu.add([caption.text for caption in chunk], [caption.references for caption in chunk])
            self._spent += time.perf_counter() - started
        if not self._bleu.n:
            return ""
        return f"{self._bleu} of {self._bleu.n:,}" if self._waiting else str(self._bleu)
