"""Rows of Parquet files, read where they lie: a few at a time, and nothing is unpacked (`--claims-streaming`).

`datasets` would copy all rows into its cache before the first is read. `Rows` has what a `Split` uses of a `datasets.Dataset`,
and the same values. It reads forward: rows in their order are read once, and a step back reads a row group again from its
start.

The files may be elsewhere (`shards.py`). Then what is asked of every row (texts, and the digest of each image) is beside them.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims.errors import EvaluationError, first_line
from pytest_claims.files import shown
from pytest_claims.spool import Lazy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

BATCH = 32
"""How many rows are read at once. 32 photographs have some 5 MB."""

HELD = 8
"""How many batches are held: threads that read images ask for neighbours in another order."""

DIGEST = "pytest-claims: digest of "
"""Before the name of a column of bytes: the column of their digests in `Layout.beside`. No data set has such a name."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each row lies.

    Args:
        paths: the files.
        ends: the number of rows up to the end of each row group, of all files.
        groups: the file of each row group, and its number there.
        features: the columns, as `datasets` reads them.
        open: gives a file by its number, where it is not at its path.
        beside: the same rows without columns of bytes, and with their digests, in a file on this machine.
    """

    paths: tuple[str, ...]
    ends: array[int]
    groups: tuple[tuple[int, int], ...]
    features: Any
    open: Callable[[int], Any] | None = None
    beside: Layout | None = None

    def source(self, number: int) -> Any:
        """A file, for pyarrow."""
        return self.open(number) if self.open is not None else self.paths[number]


def files_of(builder: Any, split: str) -> list[Path]:
    """The files of a split, by a builder of `datasets` for Parquet files.

    Raises:
        ValueError: there is no such split, or the card chooses columns or rows.
    """
    files: Any = builder.config.data_files
    if split not in files:
        raise ValueError(f'Unknown split "{split}". Should be one of {list(files)}.')
    if any(getattr(builder.config, what, None) is not None for what in ("columns", "filters")):
        raise ValueError("its card chooses columns or rows, which is not done with --claims-streaming")
    return [Path(file) for file in files[split]]


def layout(paths: Sequence[Path], features: Any = None, *, open_: Callable[[int], Any] | None = None) -> Layout:
    """Where each row of these files lies. Only the footers are read.

    Args:
        paths: the files, in the order in which `datasets` reads them.
        features: the columns that the data set's card states; None: those of the first file.
        open_: see `Layout.open`.

    Raises:
        ValueError, OSError: a file is no Parquet file (pyarrow's errors are of these types).
    """
    import datasets
    import pyarrow.parquet

    ends, groups = array("Q"), []
    for number, path in enumerate(paths):
        with pyarrow.parquet.ParquetFile(path if open_ is None else open_(number)) as file:
            features = features or datasets.Features.from_arrow_schema(file.schema_arrow)
            for group in range(file.metadata.num_row_groups):
                groups.append((number, group))
                ends.append((ends[-1] if ends else 0) + file.metadata.row_group(group).num_rows)
    return Layout(tuple(map(str, paths)), ends, tuple(groups), features, open=open_)


@dataclass(slots=True)
class _Cursor:
    """What was read last, and where reading goes on."""

    group: int = -1
    next: int = 0
    """The row that the next batch begins with."""
    batches: Iterator[Any] | None = None
    file: Any = None
    schema: Any = None
    held: deque[tuple[int, int, Any]] = field(default_factory=lambda: deque(maxlen=HELD))
    """First row, row after the last, and the rows as a table."""


class Rows(Lazy[dict[str, Any]]):
    """Rows of Parquet files. They can be sent to a process that sees the same files.

    Args:
        where: where each row lies.
        columns: the names of the columns that are read; None: all.
        chosen: the numbers of the rows that are meant; None: all.
    """

    __slots__ = ("_chosen", "_columns", "_cursor", "_lock", "_where")

    def __init__(self, where: Layout, columns: Sequence[str] | None = None, chosen: array[int] | None = None) -> None:
        self._where, self._chosen = where, chosen
        self._columns = list(where.features) if columns is None else list(columns)
        self._lock, self._cursor = threading.Lock(), _Cursor()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._where.open is not None:
            return _not_here, ()
        return Rows, (self._where, self._columns, self._chosen)

    @property
    def column_names(self) -> list[str]:
        """As of a `datasets.Dataset`."""
        return list(self._columns)

    @property
    def features(self) -> Any:
        """As of a `datasets.Dataset`."""
        return self._where.features

    def select_columns(self, names: Sequence[str]) -> Rows:
        """The same rows with these columns only."""
        return Rows(self._where, names, self._chosen)

    def select(self, positions: Iterable[int]) -> Rows:
        """These rows only."""
        rows = array("Q", positions)
        return Rows(self._where, self._columns, rows if self._chosen is None else array("Q", map(self._number, rows)))

    def __len__(self) -> int:
        if self._chosen is not None:
            return len(self._chosen)
        return self._where.ends[-1] if self._where.ends else 0

    def _number(self, position: int) -> int:
        """The number of a row in all files."""
        return position if self._chosen is None else self._chosen[position]

    def _at(self, position: int) -> dict[str, Any]:
        number = self._number(position)
        with self._lock:
            first, rows = self._batch(number)
        row: dict[str, Any] = rows.slice(number - first, 1).to_pylist()[0]
        return row

    def values(self, column: str) -> Iterator[Any]:
        """A column's values in the order of the rows."""
        beside = self._where.beside
        where = beside if beside is not None and column in beside.features else self._where
        for rows in Rows(where, [column], self._chosen).tables():
            yield from rows[column].to_pylist()

    def digests(self, column: str) -> Iterator[str | None] | None:
        """The digests of a column of bytes (None where a row has no bytes), if they are beside the rows; else None."""
        beside = self._where.beside
        if beside is None or (name := DIGEST + column) not in beside.features:
            return None
        return self.values(name)

    def tables(self) -> Iterator[Any]:
        """All rows in their order, as tables of pyarrow."""
        done = 0
        while done < len(self):
            number = self._number(done)
            first, rows = self._batch(number)
            found = rows.slice(number - first) if self._chosen is None else rows.slice(number - first, 1)
            done += len(found)
            yield found

    def _batch(self, number: int) -> tuple[int, Any]:
        """The batch that holds a row, with the number of its first row. The lock is held, or nobody else reads.

        Raises:
            EvaluationError: the file has changed or is damaged.
        """
        import pyarrow

        group, cursor = bisect_right(self._where.ends, number), self._cursor
        try:
            while True:
                for first, end, rows in cursor.held:
                    if first <= number < end:
                        return first, rows
                if cursor.group != group or cursor.next > number:
                    self._begin(group)
                self._advance()
        except (OSError, StopIteration, ValueError, pyarrow.ArrowException) as error:
            path = shown(Path(self._where.paths[self._where.groups[group][0]]))
            raise EvaluationError(
                f"{path}: row {number} cannot be read: {first_line(error) or 'the file ends'}."
            ) from None

    def _begin(self, group: int) -> None:
        """Go to the start of a row group."""
        import pyarrow.parquet

        cursor, (file, inside) = self._cursor, self._where.groups[group]
        if cursor.file is not None:
            cursor.file.close()
        # Without buffers in advance, memory holds the pages of a batch, however large the row group is.
        cursor.file = pyarrow.parquet.ParquetFile(self._where.source(file), pre_buffer=False, buffer_size=1 << 20)
        cursor.batches = cursor.file.iter_batches(BATCH, row_groups=[inside], columns=self._columns, use_threads=False)
        cursor.group, cursor.next = group, self._where.ends[group - 1] if group else 0
        cursor.held.clear()
        kept = {name: self._where.features[name] for name in self._columns}
        cursor.schema = type(self._where.features)(kept).arrow_schema

    def _advance(self) -> None:
        import datasets.table
        import pyarrow

        cursor = self._cursor
        assert cursor.batches is not None  # noqa: S101 - `_begin` has set it
        table = pyarrow.Table.from_batches([next(cursor.batches)]).select(self._columns)
        if table.schema != cursor.schema:
            table = datasets.table.table_cast(table, cursor.schema)
        cursor.held.append((cursor.next, cursor.next + len(table), table))
        cursor.next += len(table)


def _not_here() -> None:
    """In place of rows whose files only their own process has, when another process asks for them."""
    raise ValueError("only the process that fetched these rows has them")
