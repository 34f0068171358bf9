"""Decode steps as CUDA graphs: one launch instead of about a thousand. This module has not run on a GPU yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch  # noqa: TID253 - this room is imported only when a model is evaluated

from pytest_claims import devices

if TYPE_CHECKING:
    from collections.abc import Callable

_QUARTER = 4
WIDTH = 128
"""Rows read from the store are rounded up to a multiple of this, so that a search has few graphs."""


def row_buckets(slots: int) -> tuple[int, ...]:
    """The numbers of rows that have a graph: all slots, and a quarter of them for the end of a run.

    While images wait, at least three quarters of the slots are in use. Every graph costs a capture, which waits for the
    device and frees the allocator's cache.
    """
    return tuple(sorted({-(-slots // _QUARTER), slots}))


class Graphs:
    """One graph per number of rows and width; a step uses the smallest graph that is large enough.

    The unused rows of a graph are computed, too. This is harmless: all indices are clamped, and slots do not see each
    other. The first step of each kind runs without a graph, because libraries must be warm before capture (pytorch.org,
    "CUDA semantics", "CUDA Graphs").

    If memory runs out in a capture, this kind of step runs without a graph from then on. PyTorch then raises the error of the
    invalidated capture.

    Args:
        slots: how many images are decoded at a time.
        device: the device of the search.
    """

    def __init__(self, slots: int, device: devices.Cuda) -> None:
        self._rows = row_buckets(slots)
        self._device = device
        self._graphs: dict[tuple[int, int], Any] = {}  # a graph; None: not captured
        self._eager: set[tuple[int, int]] = set()
        self._pool: Any = None  # a handle whose type torch does not export

    def decode(self, step: Callable[[int, int], None], count: int, width: int) -> None:
        """Decode one step for the first `count` slots.

        Args:
            step: decodes the first rows of the store, at a width; always the same function. It is not kept, so that a search
                and its graphs are freed as soon as nobody holds the search.
            count: the slots in use.
            width: the rows of the store that are read.
        """
        rows = next(rows for rows in self._rows if rows >= count)
        key = rows, width
        if key not in self._graphs:
            self._graphs[key] = None
            step(rows, width)
            return
        graph = self._graphs[key]
        if graph is None and key not in self._eager:
            graph = self._graphs[key] = self._capture(step, rows, width)
            if graph is None:
                self._eager.add(key)
        if graph is None:
            # A failed capture has executed nothing, so the step is still to be done.
            step(rows, width)
        else:
            graph.replay()

    def _capture(self, step: Callable[[int, int], None], rows: int, width: int) -> Any:
        """The graph of a step; None if memory does not suffice for it."""
        graph = None
        try:
            graph = self._device.capture(lambda: step(rows, width), self._pool)
        except RuntimeError as error:
            if not (is_out_of_memory(error) or _is_broken_capture(error)):
                raise
        # This must stand outside the except clause: there, the traceback keeps the capture's tensors alive.
        if graph is None:
            devices.release()
            return None
        self._pool = graph.pool()
        return graph


_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cublas_status_alloc_failed", "cudnn_status_alloc_failed")


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one of those behind it, says that memory ran out.

    PyTorch has an exception class for this on a GPU, but only a message on a CPU, and libraries have a message of their
    own. A failed graph capture raises its own error after it.
    """
    waiting, seen = [error], set()
    while waiting:
        error = waiting.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return True
        text = str(error).lower()
        if any(words in text for words in _OUT_OF_MEMORY):
            return True
        waiting += [error.__cause__, error.__context__]
    return False


def _is_broken_capture(error: BaseException) -> bool:
    """Whether a capture was invalidated. The reason may be a library's failed allocation, which the error does not name.

    If it was another one, the step that runs without a graph meets it again, and raises it.
    """
    text = str(error).lower()
    return "captur" in text and any(words in text for words in ("invalidated", "previous error", "not permitted"))
