"""The errors that a user can act on.

Every error that a user can cause derives from `ClaimsError`. Its message is one or more complete sentences: where the problem
is, what was found, what was expected, the nearest valid name, the next step. These errors are shown without a traceback.
"""

from __future__ import annotations

import difflib
import heapq
from itertools import islice
from typing import TYPE_CHECKING

from pytest_claims.text import line

if TYPE_CHECKING:
    from collections.abc import Iterable


class ClaimsError(Exception):
    """Base of all errors that a user can act on; `str()` of it is the whole message."""


class SpecError(ClaimsError):
    """A claim file is not valid. The message has one line per problem, each with `file:line`."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(map(line, problems))  # a key of the file, quoted in a problem, may hold line breaks
        super().__init__("\n".join(self.problems))


class SettingsError(ClaimsError):
    """A command-line option or an ini value is not valid."""


class NotAttempted(ClaimsError):  # noqa: N818 - named after the status it leads to
    """The claim cannot be attempted on this machine: weights, data or an accelerator are missing.

    Args:
        reason: one sentence that says what is missing.
        next_step: the command or the action that would make the attempt possible.
    """

    def __init__(self, reason: str, next_step: str) -> None:
        self.reason = reason
        self.next_step = next_step
        super().__init__(f"{reason} {next_step}".strip())


class EvaluationError(ClaimsError):
    """The run failed, or it produced output that must not be scored."""


class MetricError(ClaimsError, ValueError):
    """The input of a metric is not valid. The message names the id of the first image at fault."""


def first_line(said: BaseException | str) -> str:
    """The first line of a message, without its full stop; the name of the exception's class if the message is empty."""
    lines = str(said).strip().splitlines()
    if lines:
        return lines[0].strip().rstrip(".")
    return type(said).__name__ if isinstance(said, BaseException) else ""


CLOSE = 0.6
"""The similarity from which two names may be misspellings of each other; 1 means equal."""

LONG = 80
"""How many characters of a name are compared. Of a longer name, these are its two ends, where similar names usually differ."""

CONSIDERED = 10_000
"""How many known names are considered at all. A file from somebody else may hold millions."""

COMPARED = 200
"""How many known names are compared in full. A full comparison takes time in the square of the length."""


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name`, or None if none is close.

    The result is that of `difflib.get_close_matches`, in bounded time. `SequenceMatcher.quick_ratio` is an upper bound of the
    similarity and cheap to compute. The names are compared in the order of this bound, until no later name can be closer.
    """
    matcher = difflib.SequenceMatcher()
    matcher.set_seq2(_ends(name))
    likely = []
    for candidate in islice(known, CONSIDERED):
        matcher.set_seq1(_ends(candidate))
        if matcher.real_quick_ratio() >= CLOSE and (bound := matcher.quick_ratio()) >= CLOSE:
            likely.append((bound, candidate))
    best = (CLOSE, "")
    found = None
    for bound, candidate in heapq.nlargest(COMPARED, likely):
        if bound < best[0]:
            break
        matcher.set_seq1(_ends(candidate))
        likeness = (matcher.ratio(), candidate)
        if likeness >= best:
            best, found = likeness, candidate
    return found


def _ends(name: str) -> str:
    return name if len(name) <= LONG else name[: LONG // 2] + name[-LONG // 2 :]


def nearest(name: str, known: Iterable[str]) -> str:
    """`", did you mean 'tolerance'?"` if something close to `name` is known, else `""`."""
    match = nearest_name(name, known)
    return f", did you mean {match!r}?" if match else ""
