"""The programs in Java that coco-caption brings: where they are, what is missing, and how one is run.

They come with pycocoevalcap (`pip install 'pytest-claims[java]'`), and run in a process of their own: no shell, bounded time
and memory, and no setting from the environment.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
import threading
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pytest_claims.errors import MetricError, NotAttempted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

PACKAGE = "pycocoevalcap"
INSTALL = "Run: pip install 'pytest-claims[java]'"
SHORT = 12
"""Hexadecimal digits of a digest in a signature."""

_INJECTS = frozenset(("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH"))
"""What Java takes options and code from, besides its command line."""

OPTIONS = ("-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-Duser.language=en", "-Duser.country=US")
"""So that a number does not depend on the user's language. Before Java 18, text is read in the encoding of the locale."""


def folder(name: str) -> Path | None:
    """A folder of pycocoevalcap; None where it is not installed. The package is not imported."""
    try:
        found = importlib.util.find_spec(PACKAGE)
    except (ImportError, ValueError):
        return None
    for place in (found and found.submodule_search_locations) or ():
        return Path(place) / name
    return None


def missing(metric: str, name: str, known: Mapping[str, str]) -> NotAttempted | None:
    """What keeps a program from running here; None if nothing does.

    Args:
        metric: who needs it, for the message.
        name: its folder in pycocoevalcap.
        known: the files that it consists of, each with its SHA-256; with "" where any will do.
    """
    if shutil.which("java") is None:
        return NotAttempted(
            f"{metric} is a program in Java, and no java is on the PATH.",
            "Install a Java runtime, version 8 or later (Debian: apt-get install default-jre-headless).",
        )
    place = folder(name)
    if place is None:
        return NotAttempted(f"{metric} runs the program of {PACKAGE}, which is not installed.", INSTALL)
    for file, digest in known.items():
        path = place / file
        if not path.is_file():
            return NotAttempted(f"{metric} needs {path}, which does not exist.", INSTALL)
        if digest and digest_of(path) != digest:
            return NotAttempted(
                f"{path} is not the file that {PACKAGE} 1.2 brings (SHA-256 {digest[:SHORT]}…): {metric} could differ.",
                f"Run: pip install --force-reinstall {PACKAGE}==1.2",
            )
    return None


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, computed once as long as it does not change."""
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest(path: Path, _size: int, _changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def command(jar: str, *arguments: str, memory: str) -> list[str]:
    """The command line of a program.

    Args:
        jar: its file, in the folder that it runs in.
        arguments: what it is given.
        memory: the most that it may use, such as `2G`.
    """
    return [shutil.which("java") or "java", *OPTIONS, f"-Xmx{memory}", "-jar", jar, *arguments]


def environment() -> dict[str, str]:
    """The environment of a program: ours, without what would change the program."""
    return {name: value for name, value in os.environ.items() if name not in _INJECTS}


def run(arguments: Sequence[str], *, cwd: Path, limit: float, name: str) -> None:
    """Run a program that reads and writes files.

    Raises:
        MetricError: it failed, or took longer than `limit` seconds.
    """
    try:
        done = subprocess.run(  # noqa: S603 - no shell; the caller's files
            arguments,
            cwd=cwd,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MetricError(f"{name} took longer than {limit:,.0f} s, and was stopped.") from None
    if done.returncode:
        raise MetricError(f"{name} failed with exit code {done.returncode}{_said(done.stderr)}")


class Conversation:
    """A running program that answers lines with lines."""

    def __init__(self, child: subprocess.Popen[bytes], errors: IO[bytes], name: str, expired: threading.Event) -> None:
        self._child, self._errors, self._name, self._expired = child, errors, name, expired

    def ask(self, lines: Iterable[str], answers: int) -> list[str]:
        """Send lines, and read as many answers as they have.

        Raises:
            MetricError: the program ended before it had answered, or the time is up.
        """
        # The program may not read on before somebody takes its answers, so the lines are sent from a thread of their own.
        sender = threading.Thread(target=self._send, args=(list(lines),), daemon=True)
        sender.start()
        assert self._child.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
        found = []
        for _ in range(answers):
            line = self._child.stdout.readline()
            if not line:
                raise MetricError(self._why())
            found.append(line.decode("utf-8", "replace").strip())
        sender.join()
        return found

    def _send(self, lines: Sequence[str]) -> None:
        assert self._child.stdin is not None  # noqa: S101 - as above
        with suppress(OSError):  # the program has ended; whoever reads its answers sees it
            for line in lines:
                self._child.stdin.write(f"{line}\n".encode())
            self._child.stdin.flush()

    def _why(self) -> str:
        if self._expired.is_set():
            return f"{self._name} took too long, and was stopped."
        self._errors.seek(0)
        return f"{self._name} ended before it had answered{_said(self._errors.read(20_000))}"


@contextmanager
def conversation(arguments: Sequence[str], *, cwd: Path, limit: float, name: str) -> Iterator[Conversation]:
    """Start a program that answers lines with lines. It is stopped afterwards, and after `limit` seconds."""
    expired = threading.Event()
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603 - no shell; the caller's files
            arguments, cwd=cwd, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        ) as child,
    ):

        def stop() -> None:
            expired.set()
            child.kill()

        timer = threading.Timer(limit, stop)
        timer.daemon = True
        timer.start()
        try:
            yield Conversation(child, errors, name, expired)
        finally:
            timer.cancel()
            child.kill()
            with suppress(OSError):  # what a thread has not sent yet cannot be sent any more
                assert child.stdin is not None  # noqa: S101 - as above
                child.stdin.close()


def _said(errors: bytes) -> str:
    """What a program wrote last, for a sentence."""
    lines = [
        line for line in errors.decode("utf-8", "replace").splitlines() if line.strip() and not line.startswith("\tat")
    ]
    return f": {lines[0].strip()[:200]!r}." if lines else "."
