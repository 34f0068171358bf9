"""Arrays with one row for each image: of few images in memory, of many in a temporary file that is mapped.

The system writes the pages of a mapped file out and takes them back when memory is short, so a process needs no more memory
for more images. As in `spool`, the file has no name, and is gone with the array.
"""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pytest_claims import spool
from pytest_claims.errors import MetricError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

ROWS = 1 << 16
"""How many rows `parts` gives at once."""

T = TypeVar("T", bound=np.generic)


def empty(rows: int, columns: int, dtype: type[T]) -> NDArray[T]:
    """An array of shape (rows, columns) whose values are not set.

    Raises:
        MetricError: the temporary file cannot be made.
    """
    if rows <= spool.KEEP:
        return np.empty((rows, columns), dtype=dtype)
    size = rows * columns * np.dtype(dtype).itemsize
    try:
        with tempfile.TemporaryFile() as file:
            _reserve(file, size)
            return np.memmap(file, dtype=dtype, mode="r+", shape=(rows, columns)).view(np.ndarray)
    except OSError as error:
        raise MetricError(
            f"A temporary file of {size:,} bytes cannot be made in {tempfile.gettempdir()}: {error.strerror}. Name another "
            "folder in the environment variable TMPDIR."
        ) from None


def _reserve(file: Any, size: int) -> None:
    """Give a file its room now. A page of a mapped file for which the disk has no room would end the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)


def parts(rows: NDArray[T]) -> Iterator[NDArray[T]]:
    """The rows, `ROWS` at a time, without a copy."""
    return (rows[start : start + ROWS] for start in range(0, len(rows), ROWS))
