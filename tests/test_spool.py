"""Rows of any number: what a spool gives equals what a list gives, whether it has gone to a file or not."""

from __future__ import annotations

import os
import pickle
import random
import tempfile
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from pytest_claims import spool
from pytest_claims.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture(params=[0, 10, 10_000], ids=["file", "both", "memory"])
def keep(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many rows stay in memory; blocks are small."""
    monkeypatch.setattr(spool, "KEEP", request.param)
    monkeypatch.setattr(spool, "BLOCK", 7)
    return int(request.param)


def collected(rows: Sequence[tuple[str, int]]) -> Sequence[tuple[str, int]]:
    """The rows after a spool."""
    made: spool.Spool[tuple[str, int]] = spool.Spool()
    for row in rows:
        made.add(row)
    return made.rows()


@pytest.mark.parametrize("count", [0, 1, 6, 7, 8, 100])
def test_a_spool_is_a_sequence(keep: int, count: int) -> None:
    """Length, items from both ends, slices, iteration, search and equality are those of a tuple."""
    rows = tuple((f"é{n}", n) for n in range(count))
    found = collected(rows)
    assert (len(found), tuple(found)) == (count, rows)
    assert found == rows
    assert rows == found
    assert found != (*rows, ("more", 0))
    assert [found[n] for n in range(-count, count)] == [rows[n] for n in range(-count, count)]
    assert list(found[2:50:3]) == list(rows[2:50:3])
    assert isinstance(found, tuple) == (count <= keep)
    for wrong in (count, -count - 1):
        with pytest.raises(IndexError):
            found[wrong]


def test_two_readers(keep: int) -> None:
    """Two readers of one file do not disturb each other, also where they are at different places."""
    del keep
    found = collected([(str(n), n) for n in range(60)])
    column = spool.Column(found, lambda row: row[1])
    assert [(one[1], other) for one, other in zip(found[30:], column, strict=False)] == [(n + 30, n) for n in range(30)]
    assert list(zip(found, column, strict=True)) == [((str(n), n), n) for n in range(60)]


def test_sorting(keep: int) -> None:
    """Rows come sorted by id as text and then by number, as `sorted` gives them, each time that they are asked for."""
    del keep
    generator = random.Random(0)  # noqa: S311 - seeded on purpose
    rows = [(generator.choice(["a", "B", "é", "\U0001f600", "\uffff", "10", "9"]), n, n % 3) for n in range(90)]
    sorter: spool.Sorter[tuple[str, int, int]] = spool.Sorter()
    for row in generator.sample(rows, len(rows)):
        sorter.add(row)
    assert len(sorter) == 90
    assert list(sorter.rows()) == list(sorter.rows()) == sorted(rows)


def test_large_rows_go_to_the_file_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows of many bytes are not kept in memory either."""
    monkeypatch.setattr(spool, "KEEP_BYTES", 100)
    made: spool.Spool[str] = spool.Spool()
    for text in ("x" * 60, "y" * 60):
        made.add(text, 60)
    assert not isinstance(made.rows(), tuple)
    assert list(made.rows()) == ["x" * 60, "y" * 60]


def test_floats(keep: int) -> None:
    """Values are a tuple while they are few, and then an array; none is lost."""
    found = spool.floats(n / 3 for n in range(11))
    assert list(found) == [n / 3 for n in range(11)]
    assert isinstance(found, tuple) == (keep >= 11)


def test_the_file_has_no_name(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """Nobody else can open the file of a spool, and nothing is left in the folder."""
    monkeypatch.setattr(spool, "KEEP", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = collected([("a", 1), ("b", 2)])
    assert os.listdir(str(tmp_path)) == []  # noqa: PTH208 - what the system says
    assert list(found) == [("a", 1), ("b", 2)]


def test_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder for temporary files without room is an error that says what to do."""

    class Full:
        def write(self, _data: bytes) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool, "KEEP", 0)
    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    with pytest.raises(EvaluationError, match=r"No space left on device.*TMPDIR"):
        collected([("a", 1)])


def test_memory_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times the rows of a spool take no more memory than a few bytes a row, to write, to sort and to read."""
    monkeypatch.setattr(spool, "KEEP", 1_000)
    monkeypatch.setattr(spool, "BLOCK", 10)  # of each sorted run, one block is in memory

    def peak(count: int) -> int:
        tracemalloc.start()
        sorter: spool.Sorter[tuple[str, int, str]] = spool.Sorter()
        for n in range(count):
            sorter.add((str(n), n, f"a text of some fifty characters or so, number {n}"))
        made: spool.Spool[tuple[str, int, str]] = spool.Spool()
        for row in sorter.rows():
            made.add(row)
        assert sum(1 for _ in made.rows()) == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2_000)
    few, many = peak(5_000), peak(20_000)
    assert (many - few) / 15_000 < 20, "a row takes about 250 bytes"


def test_a_mapping_by_name(keep: int) -> None:
    """Names, entries, values and computed values of a mapping are those of a dict, sorted; also in another process."""
    given = {f"{n * 7 % 40:03}": n for n in range(40)}
    entries = [("000", -1), *given.items()]
    made = spool.by_name(entries)
    assert isinstance(made, dict) == (keep >= 40)
    double = spool.mapped(made, lambda value: 2 * value)
    for found in (made, pickle.loads(pickle.dumps(made)), spool.by_name(entries, lambda _: 1)):  # noqa: S301 - our own
        assert dict(found) == given
        assert list(spool.names(found)) == sorted(given)
        assert list(spool.entries(found)) == sorted(given.items())
        assert spool.values(found, str) == tuple(str(given[name]) for name in sorted(given))
    assert (dict(double), len(double), "nobody" in double) == ({name: 2 * n for name, n in given.items()}, 40, False)


def test_large_values_go_to_the_file_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few values of many bytes are not kept in memory either."""
    monkeypatch.setattr(spool, "KEEP_BYTES", 100)
    made = spool.by_name([("b", "x" * 60), ("a", "y" * 60)], len)
    assert not isinstance(made, dict)
    assert list(made.items()) == [("a", "y" * 60), ("b", "x" * 60)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [("", None), ("abc", None), ("abcb", (3, "b")), ("zaza", (2, "z")), ("abcdefghaab", (8, "a"))],
)
def test_the_first_that_is_there_twice(keep: int, names: str, expected: tuple[int, str] | None) -> None:
    """The first name that stands in an earlier place too is found, with its place."""
    del keep
    assert spool.first_twice(names) == expected
