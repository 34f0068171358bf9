"""How the large libraries are imported, and what a process that runs a model does with memory."""

from __future__ import annotations

import contextlib
import gc
import os
import platform
import subprocess
import sys

import pytest

from pytest_claims import libraries


def test_the_collector_is_as_it_was() -> None:
    """No cycles are collected inside; afterwards the collector is as it was, also after an exception."""
    assert gc.isenabled()
    during = []
    with contextlib.suppress(ImportError), libraries.importing():
        during.append(gc.isenabled())
        raise ImportError
    assert during == [False]
    assert gc.isenabled()
    gc.disable()
    try:
        with libraries.importing():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_sleep_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, given: str | None, expected: str
) -> None:
    """OpenMP's policy is set before torch is imported, and a user's own setting stays."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    with libraries.importing():
        assert os.environ["OMP_WAIT_POLICY"] == expected


FAULTS = """
import resource
from pytest_claims import libraries
print(libraries.keep_freed_memory())
def write():
    b"x" * 8_000_000
write()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    write()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize() / 20 / 8_000_000)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
@pytest.mark.parametrize(
    "given", [{}, {"MALLOC_MMAP_THRESHOLD_": "65536"}, {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=65536"}]
)
def test_freed_memory_is_used_again_unless_the_user_says_otherwise(given: dict[str, str]) -> None:
    """Blocks of 8 MB that follow each other are on the same pages of the process; with a user's setting, on new ones."""
    names = ("MALLOC_", "GLIBC_TUNABLES")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    told = subprocess.run(
        [sys.executable, "-c", FAULTS], env=environment | given, capture_output=True, text=True, check=True
    ).stdout.split()
    assert told[0] == str(not given)
    assert float(told[1]) < 0.1 if not given else float(told[1]) > 0.9


APART = """
import gc, weakref
from pytest_claims import libraries
class Cycle:
    def __init__(self): self.me = self
libraries.set_apart()
libraries_only = gc.get_freeze_count()
later = weakref.ref(Cycle())
libraries.set_apart()
print(libraries_only > 0, gc.get_freeze_count() <= libraries_only)
gc.collect()
print(later() is None)
"""


def test_only_what_is_there_before_the_first_model_is_set_apart() -> None:
    """A later call sets nothing more apart, so that a model in a cycle is collected between two claims."""
    told = subprocess.run([sys.executable, "-c", APART], capture_output=True, text=True, check=True).stdout.split()
    assert told == ["True", "True", "True"]
