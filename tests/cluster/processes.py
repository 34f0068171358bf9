"""The processes of Ray clusters on this machine, from /proc."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

MARK = "PYTEST_CLAIMS_MARK"
"""The environment variable by which a test knows the processes that it started, and those that these started."""


def running() -> dict[int, int]:
    """All processes that are no zombies, each with its parent."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                state, parent, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
                if state != "Z":
                    found[int(entry.name)] = int(parent)
    return found


def marked(mark: str) -> list[int]:
    """The processes that have a mark."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for process in running():
        with suppress(OSError):
            if wanted in Path(f"/proc/{process}/environ").read_bytes().split(b"\0"):
                found.append(process)
    return found


def command(process: int) -> str:
    """The command line of a process; Ray's workers change it to the name of their actor."""
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def captioners(mark: str) -> list[int]:
    """The actors, in a fixed order."""
    return sorted(process for process in marked(mark) if command(process).startswith("ray::Captioner"))


def raylets(mark: str) -> list[int]:
    """The raylets, one for each node."""
    return sorted(process for process in marked(mark) if "raylet/raylet" in command(process).partition(" ")[0])


def below(process: int) -> list[int]:
    """The processes that a process started, and those that they started."""
    parents = running()
    found, look = [], [process]
    while look:
        parent = look.pop()
        children = [child for child, its in parents.items() if its == parent]
        found += children
        look += children
    return found
