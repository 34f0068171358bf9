"""Counts parameters in a process of its own, without the network, in bounded time and memory.

A configuration comes from a stranger. The library that builds it may ask the hub for a backbone, a list with one entry per
layer may fill the memory, and a million layers may take an hour. So the building is done by a child process. There is one
per process that counts: it starts with the first configuration, is kept for those that follow, since importing torch takes
seconds, and is replaced after it was killed.

What holds where:

* On every system: a deadline for each configuration, the hub's offline mode, and sockets of Python that refuse to connect.
* On Linux and macOS: a limit on the child's CPU time, which ends a child whose parent is gone.
* On Linux: at most `MEMORY` bytes of data (macOS does not count what is mapped, Windows has no such limit), and the child is
  killed as soon as its parent ends. Elsewhere an idle child ends when its pipe closes.
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

from pytest_claims.counting.parameters import ParameterCounts, count_parameters
from pytest_claims.errors import EvaluationError, NotAttempted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

START = 300.0
"""Seconds for importing torch and transformers, on a cold and busy disk."""

DEADLINE = 30.0
"""Seconds for one configuration; those of BLIP-2 take less than one, after the imports of the first."""

MEMORY = 8 * 2**30
"""Bytes. A model on the meta device takes some 40 kB per layer."""

PRINTED = 10 * 2**20
"""Bytes that the child may write into a file, and so all that its libraries print."""

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "CUDA_VISIBLE_DEVICES": "",  # the meta device needs none, and a driver maps more than MEMORY
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}

# -P keeps the working folder, which may be a stranger's, out of the path until ours replaces it.
_COMMAND = (
    "-P", "-W", "ignore", "-c",
    (
        "import json, sys; given = json.loads(sys.argv[1]); sys.path[:] = given.pop('path'); "
        "from pytest_claims.counting.counter import serve; serve(**given)"
    ),
)  # fmt: skip


def count(path: Path, trainable: Sequence[str]) -> ParameterCounts:
    """Like `parameters.count_parameters`, in the child.

    Raises:
        NotAttempted: torch or transformers is not installed.
        EvaluationError: see `count_parameters`; or the configuration was not counted within the bounds.
    """
    return _COUNTER.count(path, trainable)


class Counter:
    """The child process, and how to ask it."""

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
            # After a Ctrl-C, too: an answer that comes late must not be taken for that of the next configuration.
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
    """One child process: a line of JSON goes in, a line of JSON comes out."""

    def __init__(self) -> None:
        given = {
            "path": [os.path.abspath(folder) for folder in sys.path],  # noqa: PTH100 - keeps links, and takes "" as well
            "parent": os.getpid(),
            "memory": MEMORY,
        }
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [sys.executable, *_COMMAND, json.dumps(given)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
            env={**os.environ, **OFFLINE},
            encoding="ascii",
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        # Not every system can wait for a pipe with a timeout: a thread reads, and a queue waits.
        reader = threading.Thread(target=_read, args=(self._process.stdout, self._lines), daemon=True)
        reader.start()
        # Called when the object goes, and at the latest when the interpreter ends.
        self.end = weakref.finalize(self, _end, self._process, reader, self._printed)
        self._ready = False

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.end.alive and self._process.poll() is None

    def ask(self, path: Path, trainable: Sequence[str]) -> dict[str, Any]:
        """The child's answer; raises `EvaluationError` where none comes in time."""
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
        with suppress(OSError):  # it died: the answer says so
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
        """The next line of the child, how it died, or None after `seconds`."""
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
        """The last line that the child printed."""
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
    with suppress(OSError):  # half of a request, which nobody reads any more
        process.stdin.close()


_COUNTER = Counter()


# --- in the child ----------------------------------------------------------------------------------------------------


def serve(*, parent: int, memory: int) -> None:
    """Answer requests until the pipe closes: what the child runs.

    Args:
        parent: the process that the child must not outlive.
        memory: bytes of data that the child may hold.
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
    except Exception as error:  # noqa: BLE001 - whatever a library raises is an answer: the next configuration waits
        return {"error": f"{path}: counting failed: {type(error).__name__}: {error}", "replace": True}
    values = {name: getattr(counts, name) for name in ParameterCounts.__dataclass_fields__}
    return {"counts": {**values, "groups": dict(counts.groups)}}


def _private_pipes() -> tuple[IO[str], IO[str]]:
    """The two pipes under numbers that no library knows: what is printed goes to stderr, and nothing can be read."""
    requests = os.fdopen(os.dup(0), encoding="ascii")
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def _bind(parent: int, memory: int) -> None:
    """Set the limits of the process, and tie it to its parent, as far as the system can."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on
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
    if os.getppid() != parent:  # it ended before it could be asked for the signal
        os._exit(1)


def _limit_cpu(seconds: float) -> None:
    """Let the system end this process some time after the parent should have: the parent may be gone."""
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
