"""What a step of a GitHub workflow shows: the Markdown report in the job's summary, and annotations at the claims."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_claims import git, text
from pytest_claims.errors import ClaimsError
from pytest_claims.reports import facts, markdown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_claims.reports.format import Record, RunInfo

ROOM = 1024 * 1024
"""Bytes of the summary of one step; GitHub shows nothing of a longer one."""

SHOWN = 10
"""Annotations of one level that GitHub shows of one step; it drops the others without a word."""

TITLE = 200
"""Characters of a title; GitHub takes 255."""

WHY = 10
"""Lines of a reason in an annotation."""

LINE = 500
"""Characters of one of them."""


def append(path: Path, run: RunInfo, records: Sequence[Record]) -> tuple[Path, ...]:
    """Append the Markdown report to a step's summary, shorter where what other commands of the step wrote leaves less room.

    Returns:
        The summary.

    Raises:
        ClaimsError: it cannot be written, or there is no room; what was there before is still there.
    """
    try:
        taken = path.stat().st_size if path.exists() else 0
        room = min(markdown.LIMIT, ROOM - taken - 2)
        if room < markdown.LEAST:
            raise ClaimsError(
                f"The job summary {path} cannot be written: it holds {taken:,} bytes, and GitHub shows at most {ROOM:,} of a "
                f"step. Run pytest in a step of its own."
            )
        report = markdown.render(run, records, limit=room)
        with path.open("ab") as file:
            file.write((("\n\n" if taken else "") + report).encode())
    except OSError as error:
        raise ClaimsError(f"The job summary {path} cannot be written: {error.strerror}.") from None
    return (path,)


def annotate(records: Sequence[Record], folder: Path) -> Iterator[str]:
    """The annotations of a session, at most `SHOWN` of each level, worst first; of more, the last says how many.

    Args:
        records: all of them.
        folder: where the session was started.
    """
    levels: dict[str, list[Record]] = {level: [] for level in text.LEVELS}
    for record in facts.worst_first(records):
        if level := _level(record):
            levels[level].append(record)
    root = _root(folder)
    for level, found in levels.items():
        fitting = found if len(found) <= SHOWN else found[: SHOWN - 1]
        yield from (_annotation(level, record, root, folder) for record in fitting)
        if more := len(found) - len(fitting):
            what = f"{more:,} more claims with an annotation of the level {level}"
            yield text.annotation(level, what, f"GitHub shows {SHOWN} of a level. The job summary lists the others.")


def _level(record: Record) -> str | None:
    """What is red is an error, what is green and yet no plain pass a warning, what says nothing about the change a notice."""
    result = record.evidence.test.result
    if result == "failed":
        return "error"
    if facts.moved(record) or (result == "passed" and (_doubtful(record) or record.verdict.status != "pass")):
        return "warning"
    return "notice" if result in ("skipped", "expected") else None


def _doubtful(record: Record) -> bool:
    """Whether the images cannot tell if a candidate is worse than its reference."""
    found = record.evidence.comparison
    return found is not None and found.decision == "inconclusive"


def _annotation(level: str, record: Record, root: Path, folder: Path) -> str:
    evidence, claim = record.evidence, record.evidence.claim
    reason = evidence.comparison.reason if evidence.comparison and _doubtful(record) else evidence.reason
    why = (evidence.test.message or reason).splitlines()
    more = [f"… and {len(why) - WHY:,} more lines"] if len(why) > WHY else []
    message = "\n".join(
        text.cut(part, LINE) for part in [*why[:WHY], *more, evidence.next_step, evidence.command] if part
    )
    place = _place(claim.file, root, folder)
    # A file that cannot be read stands for all of its claims; its first problem says where to look.
    first = re.match(rf"{re.escape(claim.file)}:(\d+):", evidence.reason)
    number = claim.line or (int(first[1]) if first else None)
    title = text.cut(facts.headline(record), TITLE)
    return text.annotation(level, title, message, file=place, line_number=number if place else None)


def _root(folder: Path) -> Path:
    """The root of the repository: paths of annotations start there."""
    try:
        return Path(git.line(folder, "rev-parse", "--show-toplevel")).resolve()
    except git.GitError:
        return Path(os.environ.get("GITHUB_WORKSPACE") or folder).resolve()


def _place(shown: str, root: Path, folder: Path) -> str | None:
    """The path of a file from the root of the repository; None where it lies outside."""
    path = Path(os.path.normpath(folder.resolve() / shown))
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else None
