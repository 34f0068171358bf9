"""The process that counts parameters: kept, replaced, and what is said where it does not answer."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.counting.test_parameters import OPT_TOTAL, small_opt

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import subprocess, sys
from pathlib import Path
from pytest_claims.errors import ClaimsError
from pytest_claims.counting import counter

class Popen(subprocess.Popen):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        print("started")

subprocess.Popen = Popen
for path in sys.argv[1:]:
    try:
        print(counter.count(Path(path), ()).total)
    except ClaimsError as error:
        print(type(error).__name__, error)
"""


def counted(folder: Path, *names: str, startup: str = "") -> list[str]:
    """The lines of a program that counts configurations, one after another, and says when it starts a process.

    Args:
        folder: holds the configurations.
        names: their names.
        startup: code that every Python process of this test runs first.
    """
    (folder / "sitecustomize.py").write_text(startup)
    paths = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *(str(folder / name) for name in names)],
        capture_output=True, text=True, check=False, timeout=300, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout.splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a configuration that can be counted, and one that cannot."""
    (tmp_path / "good.json").write_text(json.dumps(small_opt()))
    (tmp_path / "bad.json").write_text(json.dumps(small_opt(model_type="blip2")))
    return tmp_path


def test_one_process_for_all(folder: Path) -> None:
    """The process starts once, and goes on after a configuration that is refused; errors keep their words."""
    first, total, error, again = counted(folder, "good.json", "bad.json", "good.json")
    assert (first, total, again) == ("started", str(OPT_TOTAL), str(OPT_TOTAL))
    assert error.startswith(f"EvaluationError {folder}/bad.json: transformers ")
    assert error.endswith(" knows no model_type 'blip2', did you mean 'blip-2'?")


def test_a_process_that_dies(folder: Path) -> None:
    """A process that ends in the middle of a count is an error that says how, and what it printed last; the next one counts.

    It dies when it opens a model's code for the first time, which only the process that counts does.
    """
    startup = f"""
import os, pathlib, signal, sys
def hook(event, arguments):
    if event == "open" and "modeling_opt" in str(arguments[0]):
        mark = pathlib.Path({str(folder / "mark")!r})
        if not mark.exists():
            mark.touch()
            print("terminate called", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
"""
    first, error, second, total = counted(folder, "good.json", "good.json", startup=startup)
    assert (first, second, total) == ("started", "started", str(OPT_TOTAL))
    assert error == (
        f"EvaluationError {folder}/good.json: the program that counts parameters ended by signal 9 before it gave a number "
        "(terminate called). Expected a model that can be built, without its weights, in 8 GiB of memory."
    )


def test_without_torch(folder: Path) -> None:
    """Without torch the claim is not attempted, and the message says what to install."""
    startup = "import sys; sys.modules['torch'] = None"
    assert counted(folder, "good.json", startup=startup) == [
        "started",
        "NotAttempted Counting parameters needs torch, which is not installed here. pip install torch",
    ]


def test_sockets_refuse(folder: Path) -> None:
    """No library can open a connection, whether or not it respects the offline mode of the hub."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        startup = f"""
import pathlib, socket, sys
def hook(event, arguments):
    if event == "open" and "modeling_opt" in str(arguments[0]):
        try:
            socket.create_connection({server.getsockname()!r})
        except OSError as error:
            pathlib.Path({str(folder / "refused")!r}).write_text(str(error))
sys.addaudithook(hook)
"""
        assert counted(folder, "good.json", startup=startup) == ["started", str(OPT_TOTAL)]
        assert (folder / "refused").read_text() == "parameters are counted without the network"
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
