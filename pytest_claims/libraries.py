"""How the large libraries are imported (torch, transformers, datasets), and what such a process does with memory."""

from __future__ import annotations

import ctypes
import functools
import gc
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD in glibc's malloc.h
_USERS = ("mmap_threshold", "trim_threshold", "mmap_max", "top_pad")
"""What users can set, as GLIBC_TUNABLES names it; the variables are MALLOC_MMAP_THRESHOLD_ and so on."""
_LARGEST = 64 * 2**20
_KEPT = 256 * 2**20


def keep_freed_memory() -> bool:
    """Let the process use freed memory again, instead of returning it to the system; whether the C library does so.

    A layer's activations are some MB, which glibc takes from the system and returns at once. Each time, the system clears
    the pages when they are first written: 7 % of the time of captioning on a CPU (docs/performance.md). Now blocks of up to
    64 MiB come from the heap, and the heap keeps up to 256 MiB of free memory at its end (mallopt(3)). Weights are mapped files
    or larger blocks, and are returned as before. What users set (MALLOC_MMAP_THRESHOLD_ and so on, GLIBC_TUNABLES) stays. It
    does not change what is computed. Other C libraries have other allocators, and are left alone.
    """
    set_by_user = os.environ.get("GLIBC_TUNABLES", "")
    if any(f"glibc.malloc.{name}=" in set_by_user or f"MALLOC_{name.upper()}_" in os.environ for name in _USERS):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST) and mallopt(_TRIM_THRESHOLD, _KEPT))


@functools.cache
def set_apart() -> None:
    """Let the garbage collector no longer look at what is there now. Only the first call of a process does something.

    This is to be called when the libraries are imported and no model is loaded yet. They have some 400,000 objects, which all
    stay. Each full collection takes 0.4 s to find that out: pytest makes two when it ends, and Python two more. Objects that
    come later are collected as before; those of now are freed when nothing refers to them, unless they are a cycle.
    """
    gc.freeze()


@contextmanager
def importing() -> Iterator[None]:
    """Import large libraries inside, and nothing else.

    Three things cost a run time that nobody sees (benchmarks/waiting.py, benchmarks/overhead.py):

    * The libraries make millions of objects when they are imported. All of them stay, but Python's garbage collector looks at
      them again and again, so it is paused. Nothing that holds weights belongs inside, since cycles are not collected.
    * The threads of PyTorch's operators wait for each other by spinning. Where another program uses one of the CPUs, each
      operator then waits for the end of a time slice. So they shall sleep, unless the user has set OMP_WAIT_POLICY. OpenMP
      reads it once, when torch is imported. It does not change what is computed.
    * The C library returns each large block to the system when it is freed (`keep_freed_memory`).
    """
    keep_freed_memory()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
