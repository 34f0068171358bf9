"""Runs pytest in processes of their own that do not import torch again: they are forked from one that has.

A process needs ten seconds of a CPU before its first caption, most of them for imports. Whatever reads the environment when
it is imported (transformers, datasets, huggingface_hub), pytest and what is tested are imported in each process anew.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LIBRARIES = (
    "torch", "torch._dynamo", "torch._inductor.utils", "torch.distributed.fsdp", "torch.distributed.tensor", "numpy", "pandas",
    "pyarrow.parquet", "scipy.optimize", "scipy.stats", "sympy", "PIL.Image", "jinja2", "pydantic", "regex", "yaml",
)  # fmt: skip
"""Imported once. Of the environment, they read what is the same in every test."""

SECONDS = 300
"""After them, a run is killed."""


def pytest(
    *options: str | Path, folder: Path, environment: Mapping[str, str], torch: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run `python -m pytest` in `folder`, in a process of its own.

    Args:
        options: its command line.
        folder: the working folder.
        environment: the whole environment.
        torch: the run will import torch. Without, nothing is imported before the run.
    """
    command = [sys.executable, "-m", "pytest", *map(str, options)]
    if not torch or not sys.platform.startswith("linux"):
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS
        )
    with tempfile.TemporaryDirectory() as outputs:
        files = [Path(outputs, "stdout"), Path(outputs, "stderr")]
        request = {
            "options": command[3:],
            "folder": str(folder),
            "environment": dict(environment),
            "outputs": [str(file) for file in files],
        }
        forker = _forker()
        assert forker.stdin is not None
        assert forker.stdout is not None
        print(json.dumps(request), file=forker.stdin, flush=True)
        code = int(forker.stdout.readline())
        return subprocess.CompletedProcess(command, code, *(file.read_text(encoding="utf-8") for file in files))


@cache
def _forker() -> subprocess.Popen[str]:
    """The process that forks. It ends when this one does, which closes its input."""
    return subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _paths() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def _serve() -> None:
    """Fork for each request, and answer with the exit code, which is negative where a signal ended the process."""
    sys.path.pop(0)  # the folder of this file
    for library in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(library)
    gc.freeze()  # what was imported is no garbage, however often the runs look for some
    for line in sys.stdin:
        process = os.fork()
        if not process:
            _become(**json.loads(line))
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(options: list[str], folder: str, environment: dict[str, str], outputs: list[str]) -> None:
    """Be what `python -m pytest` is in that environment. It ends the process, as pytest does."""
    signal.alarm(SECONDS)
    for number, path in enumerate([os.devnull, *outputs]):
        opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(folder)
    others = sys.path[len(_paths()) :]
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = [folder, *_paths(), *others]
    sys.argv[1:] = options
    runpy.run_module("pytest", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _serve()
