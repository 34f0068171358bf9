"""Which commit of the claim file's repository a run was made from."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


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
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return None if changed is None else Head(commit=commit, dirty=bool(changed))


def _git(folder: Path, *command: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - no shell
            # A repository's own configuration could name a program to run as its file system monitor.
            ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *command],  # noqa: S607 - the user's git
            capture_output=True,
            check=False,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},  # looking must not write
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
