"""The one place that runs git: nothing of a repository's own configuration is acted on, and looking writes nothing."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class GitError(Exception):
    """Git could not say; `str()` of it is why, in a line."""


def run(folder: Path, *command: str, given: bytes | None = None) -> bytes:
    """What a git command prints.

    Args:
        folder: where it runs.
        command: what follows `git`.
        given: its standard input.

    Raises:
        GitError: git is not installed, or the command failed.
    """
    try:
        done = subprocess.run(  # noqa: S603 - no shell
            # A repository's own configuration could name a program to run as its file system monitor.
            ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *command],  # noqa: S607 - the user's git
            capture_output=True,
            check=False,
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            env=_environment(),
        )
    except OSError:
        raise GitError("git is not installed") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise GitError(said[0].removeprefix("fatal: ") if said else "")
    return done.stdout


_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")
"""Set inside a git hook, they lead to the hook's repository, whatever folder is named."""


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    # Looking must not write, must not wait for a password, and must see what was committed, not a replacement of it.
    return {**kept, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_REPLACE_OBJECTS": "1"}


def line(folder: Path, *command: str) -> str:
    """The one line that a git command prints; raises like `run`."""
    return run(folder, *command).decode("utf-8", "surrogateescape").rstrip("\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The commit of a work tree."""

    commit: str
    dirty: bool
    """Whether a tracked file differs from it."""

    def __str__(self) -> str:
        return self.commit + (" with uncommitted changes" if self.dirty else "")


def head(folder: Path) -> Head | None:
    """The commit that is checked out around `folder`; None without git, a repository or a commit."""
    try:
        commit = line(folder, "rev-parse", "--verify", "--quiet", "HEAD")
        return Head(commit=commit, dirty=bool(run(folder, "status", "--porcelain", "--untracked-files=no")))
    except GitError:
        return None
