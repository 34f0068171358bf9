"""How the large libraries are imported: torch, transformers, datasets."""

from __future__ import annotations

import gc
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def importing() -> Iterator[None]:
    """Import large libraries inside, and nothing else.

    Two things cost a run time that nobody sees (benchmarks/waiting.py, benchmarks/overhead.py):

    * The libraries make millions of objects when they are imported. All of them stay, but Python's garbage collector looks at
      them again and again, so it is paused. Nothing that holds weights belongs inside, since cycles are not collected.
    * The threads of PyTorch's operators wait for each other by spinning. Where another program uses one of the CPUs, each
      operator then waits for the end of a time slice. So they shall sleep, unless the user has set OMP_WAIT_POLICY. OpenMP
      reads it once, when torch is imported. It does not change what is computed.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
