"""What can go wrong, for the person who must act on it.

Every error that a user can cause derives from `ClaimsError` and reads as one or more complete sentences: where, what was
found, what was expected, the nearest valid name, the next step. None of them is ever shown with a traceback.
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
    """A claim file is not what it must be: one line per problem, each with `file:line`."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(map(line, problems))  # one line each, whatever a key of the file holds
        super().__init__("\n".join(self.problems))


class SettingsError(ClaimsError):
    """A command-line option or an ini value is not valid."""


class NotAttempted(ClaimsError):  # noqa: N818 - named after the status it leads to
    """The claim cannot be tried here: no weights, no data, no accelerator.

    Args:
        reason: one sentence, what is missing.
        next_step: the command or the action that would make the attempt possible.
    """

    def __init__(self, reason: str, next_step: str) -> None:
        self.reason = reason
        self.next_step = next_step
        super().__init__(f"{reason} {next_step}".strip())


class EvaluationError(ClaimsError):
    """The run broke, or produced something that must not be scored."""


class MetricError(ClaimsError, ValueError):
    """The input of a metric is not valid; names the id of the first offending image."""


def first_line(said: BaseException | str) -> str:
    """The first line of what an exception says, without its full stop; the exception's class where it says nothing."""
    lines = str(said).strip().splitlines()
    if lines:
        return lines[0].strip().rstrip(".")
    return type(said).__name__ if isinstance(said, BaseException) else ""


CLOSE = 0.6
"""Names less alike than this are no misspelling of each other; 1 is equal."""

LONG = 80
"""Characters of a name that are compared: of a longer one the two ends, where names of a kind differ."""

CONSIDERED = 10_000
"""Known names that are looked at; a stranger's file may hold millions."""

COMPARED = 200
"""Known names that are compared in full, which takes the square of their length."""


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name`, or None if none is close.

    The answer is that of `difflib.get_close_matches`, in bounded time: a bound on the likeness, from the characters alone,
    sorts the known names, and the comparison ends where no later one can be closer.
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
