"""Counts parameters in a child process, without network and in bounded time and memory.

A configuration is untrusted input. The library that builds the model may ask the hub for a backbone, a list with one entry per
layer may fill the memory, and a million layers may take an hour. So a child process builds the model. Each process that counts
has one child. It is started for the first configuration and kept for the next ones, since importing torch takes seconds. If it
had to be killed, a new one replaces it.

The limits on each system:

* On every system: a deadline for each configuration, the hub's offline mode, and Python sockets that refuse to connect.
* On Linux and macOS: a limit on the child's CPU time, which ends a child whose parent is gone.
* On Linux: at most `MEMORY` bytes of data (macOS does not count mapped memory, and Windows has no such limit). The child is
  killed as soon as its parent ends; on the other systems an idle child ends when its pipe closes.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import weakref
from contextlib import suppress
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any

from pytest_claims import children
from pytest_claims.counting.parameters import ParameterCounts, count_parameters
from pytest_claims.errors import EvaluationError, NotAttempted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

START = 300.0
"""Seconds that the child may take to import torch and transformers. On a cold and busy disk this is slow."""

DEADLINE = 30.0
"""Seconds for one configuration. One of BLIP-2 takes less than a second, apart from imports for the first."""

MEMORY = 8 * 2**30
"""Bytes of data that the child may have. A model on the meta device takes about 40 kB per layer."""

PRINTED = 10 * 2**20
"""Bytes that the child may write to a file. This limits the output of its libraries."""

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "CUDA_VISIBLE_DEVICES": "",  # the meta device needs no GPU, and a driver maps more than MEMORY
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""Environment variables of the child."""


def count(path: Path, trainable: Sequence[str]) -> ParameterCounts:
    """Count parameters as `parameters.count_parameters` does, in the child process.

    Raises:
        NotAttempted: torch or transformers is not installed.
        EvaluationError: see `count_parameters`; or the limits were exceeded.
    """
    return _COUNTER.count(path, trainable)


class Counter:
    """Keeps a child process, and asks it to count."""

    def __init__(self) -> None:
        self._child: _Child | None = None

    def count(self, path: Path, trainable: Sequence[str]) -> ParameterCounts:
        """See `count`."""
        if self._child is None or not self._child.alive:
            self._child = None
            self._child = _Child()
        child = self._child
        kept = False
        try:
            answer = child.ask(path, trainable)
            kept = not answer.get("replace")
        finally:
            # Also after a Ctrl-C: a late answer must not be taken for the answer to the next request.
            if not kept:
                self._child = None
                child.end()
        if "missing" in answer:
            raise NotAttempted(
                f"Counting parameters needs {answer['missing']}, which is not installed here.",
                f"pip install {answer['missing']}",
            )
        if "error" in answer:
            raise EvaluationError(answer["error"])
        counts = answer["counts"]
        return ParameterCounts(
            **{**counts, "groups": MappingProxyType(counts["groups"]), "untied": tuple(counts["untied"])}
        )


class _Child:
    """A child process. A request is one line of JSON on its standard input, an answer one line on its standard output."""

    def __init__(self) -> None:
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter and this package
            children.command("pytest_claims.counting.counter.serve", parent=os.getpid(), memory=MEMORY),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
            env={**os.environ, **OFFLINE},
            encoding="ascii",
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        # Not every system can read from a pipe with a timeout. So a thread reads, and the queue has the timeout.
        reader = threading.Thread(target=_read, args=(self._process.stdout, self._lines), daemon=True)
        reader.start()
        # Called when this object is deleted, at the latest when the interpreter ends.
        self.end = weakref.finalize(self, _end, self._process, reader, self._printed)
        self._ready = False

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.end.alive and self._process.poll() is None

    def ask(self, path: Path, trainable: Sequence[str]) -> dict[str, Any]:
        """The child's answer.

        Raises:
            EvaluationError: the child does not answer in time.
        """
        if not self._ready:
            answer = self._answer(START)
            if answer is None:
                raise EvaluationError(
                    f"{path}: the program that counts parameters was not ready within {START:g} s: importing torch and "
                    "transformers took longer. Run the claim again when the machine is less busy."
                )
            if answer != {"ready": True}:
                return answer if "missing" in answer else {"error": f"{path}: {answer['died']}"}
            self._ready = True
        assert self._process.stdin is not None  # noqa: S101 - a pipe
        request = {"path": str(path), "trainable": list(trainable), "seconds": DEADLINE}
        with suppress(OSError):  # the child died: `_answer` reports it
            print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = self._answer(DEADLINE)
        if answer is None:
            raise EvaluationError(
                f"{path}: the configuration was not counted within {DEADLINE:g} s, and counting it was stopped. "
                "Expected a model of at most some thousand layers."
            )
        if "died" in answer:
            return {"error": f"{path}: {answer['died']}", "replace": True}
        if answer.get("memory"):
            answer["error"] = f"{answer['error'].rstrip('.')}. {_fits()}"
        return answer

    def _answer(self, seconds: float) -> dict[str, Any] | None:
        """The child's next answer; `{"died": …}` if the child ended; None after `seconds` without an answer."""
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            return None
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        status = self._process.wait()
        how = f"with exit status {status}" if status >= 0 else f"by signal {-status}"
        return {
            "died": f"the program that counts parameters ended {how} before it gave a number{self._last_words()}. {_fits()}"
        }

    def _last_words(self) -> str:
        """The last line that the child printed, in brackets; empty if it printed nothing."""
        self._printed.seek(max(0, self._printed.seek(0, os.SEEK_END) - 4_000))
        lines = self._printed.read().decode("utf-8", "replace").split("\n")
        return next((f" ({line.strip()[:200]})" for line in reversed(lines) if line.strip()), "")


def _fits() -> str:
    return f"Expected a model that can be built, without its weights, in {MEMORY / 2**30:g} GiB of memory."


def _read(pipe: IO[str], lines: queue.SimpleQueue[str]) -> None:
    for line in pipe:
        lines.put(line)
    lines.put("")


def _end(process: subprocess.Popen[str], reader: threading.Thread, printed: IO[bytes]) -> None:
    process.kill()
    process.wait()
    reader.join()
    printed.close()
    assert process.stdin is not None  # noqa: S101 - a pipe
    assert process.stdout is not None  # noqa: S101 - a pipe
    process.stdout.close()
    with suppress(OSError):  # closing flushes, which fails if part of a request was not read
        process.stdin.close()


_COUNTER = Counter()


# --- in the child ----------------------------------------------------------------------------------------------------


def serve(*, parent: int, memory: int) -> None:
    """Answer requests until the pipe closes. This is the program of the child.

    Args:
        parent: the process id of the parent, which the child must not outlive.
        memory: the bytes of data that the child may have.
    """
    requests, answers = _private_pipes()
    _bind(parent, memory)
    sys.addaudithook(_refuse_network)

    def say(**answer: object) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    try:
        import torch  # noqa: F401 - imported before the first deadline begins
        from transformers import AutoConfig, PreTrainedModel  # noqa: F401 - as above
    except ImportError as error:
        say(missing=error.name)
        return
    say(ready=True)
    for line in requests:
        request = json.loads(line)
        _limit_cpu(request["seconds"])
        answer = _answer(request["path"], request["trainable"])
        say(**answer)
        if answer.get("replace"):
            return


def _answer(path: str, trainable: list[str]) -> dict[str, Any]:
    from pathlib import Path

    try:
        counts = count_parameters(Path(path), trainable)
    except EvaluationError as error:
        # torch hands on what its C++ raised: "std::bad_alloc", in some versions as a RuntimeError.
        if isinstance(error.__cause__, MemoryError) or "bad_alloc" in str(error.__cause__):
            # What the failed attempt leaves behind would be missing for the next one.
            return {"error": str(error), "memory": True, "replace": True}
        return {"error": str(error)}
    except ImportError as error:
        return {"missing": error.name or str(error)}
    except Exception as error:  # noqa: BLE001 - any exception of a library becomes an answer: the parent waits for one
        return {"error": f"{path}: counting failed: {type(error).__name__}: {error}", "replace": True}
    values = {name: getattr(counts, name) for name in ParameterCounts.__dataclass_fields__}
    return {"counts": {**values, "groups": dict(counts.groups)}}


def _private_pipes() -> tuple[IO[str], IO[str]]:
    """The pipes for requests and answers, under new file descriptors.

    Afterwards, standard input is empty and standard output goes to standard error, so that libraries cannot disturb the pipes.
    """
    requests = os.fdopen(os.dup(0), encoding="ascii")
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def _bind(parent: int, memory: int) -> None:
    """Set the limits of the child, and let it be killed when its parent ends, as far as the system supports this."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    try:
        import resource
    except ImportError:  # Windows
        return
    for limit, wanted in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, PRINTED), (resource.RLIMIT_DATA, memory)):
        _, hard = resource.getrlimit(limit)
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(limit, (value, value))
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before prctl was called
        os._exit(1)


def _limit_cpu(seconds: float) -> None:
    """Limit the CPU time, so that the system ends this process if the parent is gone and cannot enforce the deadline."""
    try:
        import resource
    except ImportError:  # Windows
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(used.ru_utime + used.ru_stime + 2 * seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


_NETWORK = {f"socket.{name}" for name in ("connect", "bind", "sendto", "sendmsg", "getaddrinfo", "gethostbyname")}


def _refuse_network(event: str, _arguments: object) -> None:
    if event in _NETWORK:
        raise ConnectionError("parameters are counted without the network")
