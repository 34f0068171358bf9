"""Rows of any number in bounded memory: few are kept as they are, more go to a temporary file, in blocks.

A few rows stay objects of Python, as fast as a tuple. Beyond `KEEP` rows or `KEEP_BYTES`, memory holds one block and a place of
16 bytes for each 256 rows. The file has no name, is in the folder for temporary files (`TMPDIR`), and is gone with the process.
"""

from __future__ import annotations

import heapq
import pickle
import tempfile
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import chain, groupby, islice
from operator import eq, itemgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from pytest_claims.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import IO

T = TypeVar("T")
S = TypeVar("S")

KEEP = 50_000
"""How many rows stay in memory. The test sets of COCO, NoCaps and Flickr30k have at most 5,000, that of GQA 12,578."""

KEEP_BYTES = 64_000_000
"""How many bytes of rows stay in memory, as far as `Spool.add` is told their size."""

BLOCK = 256
"""How many rows are written and read at once."""

BLOCK_BYTES = 1_000_000
"""From how many bytes on a block has fewer rows."""


class Lazy(Sequence[T]):
    """A sequence that computes its items when they are asked for, and equals any sequence with equal items.

    It never changes. So whoever needs an immutable sequence takes it as it is, and need not copy it into a tuple.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Sequence) and not isinstance(other, str) and len(self) == len(other)
            and all(map(eq, self, other))
        )  # fmt: skip

    __hash__ = None  # type: ignore[assignment] # as a list: it would take a pass over all rows

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return [self._at(position) for position in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(index)
        return self._at(position)

    def _at(self, position: int) -> T:
        raise NotImplementedError


class Column(Lazy[T]):
    """`compute` of each item of a sequence. It is computed anew for each that is asked for."""

    __slots__ = ("_compute", "_rows")

    def __init__(self, rows: Sequence[Any], compute: Callable[[Any], T]) -> None:
        self._rows, self._compute = rows, compute

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[T]:
        return map(self._compute, self._rows)

    def _at(self, position: int) -> T:
        return self._compute(self._rows[position])


class _File:
    """The file of a spool: what was written, by its number."""

    __slots__ = ("_file", "_last", "_lock", "_starts")

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the last sequence that reads it
        self._starts = array("Q", [0])
        self._lock = threading.Lock()
        self._last: tuple[int, Any] = (-1, None)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def write(self, rows: Sequence[Any]) -> None:
        """Add a block at the end."""
        data = pickle.dumps(rows, pickle.HIGHEST_PROTOCOL)
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise EvaluationError(
                f"A temporary file cannot be written in {tempfile.gettempdir()}: {error.strerror}. It takes about as much "
                "space as the data; name another folder in the environment variable TMPDIR."
            ) from None
        self._starts.append(self._starts[-1] + len(data))

    def __reduce__(self) -> tuple[Any, ...]:
        """What pickle keeps, so that rows can be sent to another process: the content of the file."""
        with self._lock:
            self._file.seek(0)
            return _restored, (self._file.read(), self._starts)

    def read(self, number: int) -> Sequence[Any]:
        """A block. The last one is kept: sequences over the same rows, read side by side, read it once."""
        last, block = self._last
        if last == number:
            return block  # type: ignore[no-any-return]
        start = self._starts[number]
        with self._lock:
            self._file.seek(start)
            data = self._file.read(self._starts[number + 1] - start)
        block = pickle.loads(data)  # noqa: S301 - the file has no name: only this process can have written it
        self._last = (number, block)
        return block  # type: ignore[no-any-return]


def _restored(content: bytes, starts: array[int]) -> _File:
    file = _File()
    file._file.write(content)
    file._file.flush()
    file._starts = starts
    return file


class _Spooled(Lazy[T]):
    """The rows in a file."""

    __slots__ = ("_ends", "_file")

    def __init__(self, file: _File, ends: array[int]) -> None:
        self._file, self._ends = file, ends

    def __len__(self) -> int:
        return self._ends[-1]

    def __iter__(self) -> Iterator[T]:
        return chain.from_iterable(map(self._file.read, range(len(self._ends))))

    def _at(self, position: int) -> T:
        number = bisect_right(self._ends, position)
        block: Sequence[T] = self._file.read(number)
        return block[position - self._ends[number]]


class Spool(Generic[T]):
    """Collects rows of any number. Rows must be values that `pickle` keeps as they are: texts, numbers, tuples, mappings."""

    def __init__(self) -> None:
        self._held: list[T] = []
        self._size = 0
        self._file: _File | None = None
        self._ends = array("Q")
        """The number of rows up to the end of each block."""

    def add(self, row: T, size: int = 0) -> None:
        """Add a row at the end.

        Args:
            row: the row.
            size: about how many bytes it takes. A spool of large rows goes to the file sooner.

        Raises:
            EvaluationError: the file cannot be written.
        """
        self._held.append(row)
        self._size += size
        most, bytes_ = (KEEP, KEEP_BYTES) if self._file is None else (BLOCK, BLOCK_BYTES)
        if len(self._held) > most or self._size > bytes_:
            self._write()

    def _write(self) -> None:
        self._file = self._file or _File()
        for start in range(0, len(self._held), BLOCK):
            block = tuple(self._held[start : start + BLOCK])
            self._file.write(block)
            self._ends.append(len(block) + (self._ends[-1] if self._ends else 0))
        self._held, self._size = [], 0

    def rows(self) -> Sequence[T]:
        """All rows: a tuple, or, if they are in a file, a sequence that reads them from there. Nothing can be added later."""
        if self._file is None:
            return tuple(self._held)
        if self._held:
            self._write()
        return _Spooled(self._file, self._ends)


_KEY: Callable[[Any], Any] = itemgetter(0, 1)


class Sorter(Generic[T]):
    """Sorts rows of any number by their first two fields. Those that are in memory at once are sorted there, then merged."""

    def __init__(self) -> None:
        self._held: list[T] = []
        self._size = 0
        self._file: _File | None = None
        self._runs: list[range] = []
        """The blocks of each sorted run."""
        self._count = 0

    def __len__(self) -> int:
        return self._count + len(self._held)

    def add(self, row: T, size: int = 0) -> None:
        """Add a row; see `Spool.add`."""
        self._held.append(row)
        self._size += size
        if len(self._held) > KEEP or self._size > KEEP_BYTES:
            self._held.sort(key=_KEY)
            self._file = self._file or _File()
            first = len(self._file)
            for start in range(0, len(self._held), BLOCK):
                self._file.write(tuple(self._held[start : start + BLOCK]))
            self._runs.append(range(first, len(self._file)))
            self._count += len(self._held)
            self._held, self._size = [], 0

    def rows(self) -> Iterator[T]:
        """The rows in the order of their keys. It may be called again."""
        self._held.sort(key=_KEY)
        if self._file is None:
            return iter(self._held)
        runs = (chain.from_iterable(map(self._file.read, run)) for run in self._runs)
        return heapq.merge(*runs, iter(self._held), key=_KEY)


class Table(Mapping[str, T]):
    """Values by name, from a file, in the order of the names. Of each block, memory holds the first name.

    Args:
        rows: name, number and value of each entry, sorted; of entries with one name, the last counts.
    """

    def __init__(self, rows: Iterable[tuple[str, int, T]]) -> None:
        self._file, self._ends = _File(), array("Q")
        self._firsts: list[str] = []
        block: list[tuple[str, T]] = []
        for name, _, value in rows:
            if block and block[-1][0] == name:
                block.pop()
            elif len(block) >= BLOCK:
                self._write(block)
                block = []
            block.append((name, value))
        self._write(block)
        self.entries: Lazy[tuple[str, T]] = _Spooled(self._file, self._ends)
        """All names with their values, sorted by name."""
        self.names: Lazy[str] = Column(self.entries, itemgetter(0))
        """All names, sorted."""

    def _write(self, block: list[tuple[str, T]]) -> None:
        self._file.write(tuple(block))
        self._firsts.append(block[0][0])
        self._ends.append(len(block) + (self._ends[-1] if self._ends else 0))

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __getitem__(self, name: str) -> T:
        number = bisect_right(self._firsts, name) - 1
        if number >= 0:
            block: Sequence[tuple[str, T]] = self._file.read(number)
            place = bisect_left(block, name, key=itemgetter(0))
            if place < len(block) and block[place][0] == name:
                return block[place][1]
        raise KeyError(name)


class _Mapped(Mapping[str, T]):
    """`compute` of each value of a mapping. It is computed anew for each that is asked for."""

    __slots__ = ("_compute", "_values")

    def __init__(self, values: Mapping[str, Any], compute: Callable[[Any], T]) -> None:
        self._values, self._compute = values, compute

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __getitem__(self, name: str) -> T:
        return self._compute(self._values[name])


def by_name(entries: Iterable[tuple[str, T]], size: Callable[[T], int] = lambda _: 0) -> Mapping[str, T]:
    """A mapping of any number of entries: a `dict` while they are few, else a `Table`. The last of equal names counts.

    Args:
        entries: names with values.
        size: about how many bytes a value takes; see `Spool.add`.
    """
    few: dict[str, T] | None = {}
    sorter: Sorter[tuple[str, int, T]] = Sorter()
    held = 0
    for number, (name, value) in enumerate(entries):
        if few is None:
            sorter.add((name, number, value), size(value))
            continue
        few[name] = value
        held += size(value)
        if len(few) > KEEP or held > KEEP_BYTES:
            for place, (key, own) in enumerate(few.items(), number + 1 - len(few)):
                sorter.add((key, place, own), size(own))
            few = None
    return Table(sorter.rows()) if few is None else few


def names(values: Mapping[str, Any]) -> Sequence[str]:
    """The names of a mapping that `by_name` gave, sorted."""
    return values.names if isinstance(values, Table) else tuple(sorted(values))


def entries(values: Mapping[str, T]) -> Iterable[tuple[str, T]]:
    """The names of a mapping that `by_name` gave, each with its value, sorted by name."""
    return values.entries if isinstance(values, Table) else ((name, values[name]) for name in sorted(values))


def values(given: Mapping[str, Any], compute: Callable[[Any], T]) -> Sequence[T]:
    """`compute` of each value of a mapping that `by_name` gave, in the order of the names: a tuple while they are few."""
    if isinstance(given, Table):
        return Column(given.entries, lambda entry: compute(entry[1]))
    return tuple(compute(given[name]) for name in sorted(given))


def mapped(given: Mapping[str, Any], compute: Callable[[Any], T]) -> Mapping[str, T]:
    """`compute` of each value of a mapping that `by_name` gave, by name: a `dict` while they are few."""
    return (
        _Mapped(given, compute) if isinstance(given, Table) else {name: compute(value) for name, value in given.items()}
    )


def first_twice(given: Iterable[str]) -> tuple[int, str] | None:
    """The first item that occurred before, and its position; None if there is none."""
    sorter: Sorter[tuple[str, int]] = Sorter()
    for position, name in enumerate(given):
        sorter.add((name, position))
    seconds = (group[1] for _, rows in groupby(sorter.rows(), itemgetter(0)) if len(group := list(islice(rows, 2))) > 1)
    found = min(seconds, key=itemgetter(1), default=None)
    return None if found is None else (found[1], found[0])


def kept(given: Iterable[T]) -> Sequence[T]:
    """A sequence that never changes, with the items of `given`: itself if it is `Lazy`, else a tuple."""
    return given if isinstance(given, Lazy) else tuple(given)


def floats(values: Iterable[float]) -> Sequence[float]:
    """The values as a tuple if they are few, else in a temporary file."""
    spool: Spool[float] = Spool()
    for value in values:
        spool.add(value)
    return spool.rows()
