"""Runs git. No other module does.

The commands write nothing to the repository, and do not start the file system monitor that its configuration may name.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class GitError(Exception):
    """Git is not installed, or a git command failed; `str()` of the error is the reason in one line."""


def run(folder: Path, *command: str, given: bytes | None = None) -> bytes:
    """The standard output of a git command.

    Args:
        folder: the folder in which the command runs.
        command: the arguments of `git`.
        given: the command's standard input.

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
"""Variables that git sets for its hooks. They make git use the hook's repository instead of the given folder."""


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    # A command must not write (optional locks), must not wait for a password, and must not see replacement objects.
    return {**kept, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_REPLACE_OBJECTS": "1"}


def line(folder: Path, *command: str) -> str:
    """The single line that a git command prints.

    Raises:
        GitError: see `run`.
    """
    return run(folder, *command).decode("utf-8", "surrogateescape").rstrip("\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The commit that is checked out in a work tree."""

    commit: str
    dirty: bool
    """Whether a tracked file differs from the commit."""

    def __str__(self) -> str:
        return self.commit + (" with uncommitted changes" if self.dirty else "")


def head(folder: Path) -> Head | None:
    """The commit that is checked out in the repository of `folder`; None without git, a repository or a commit."""
    try:
        commit = line(folder, "rev-parse", "--verify", "--quiet", "HEAD")
        return Head(commit=commit, dirty=bool(run(folder, "status", "--porcelain", "--untracked-files=no")))
    except GitError:
        return None
