"""Reads a claim's data set: images and references by id."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from pytest_claims import spool
from pytest_claims.errors import EvaluationError, NotAttempted, nearest
from pytest_claims.evidence import per_image
from pytest_claims.progress import silent
from pytest_claims.sources import parquet, pictures, tables
from pytest_claims.spool import Sorter, Spool, Table, by_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from PIL.Image import Image

    from pytest_claims.progress import ProgressMaker
    from pytest_claims.spec.models import Columns, Dataset


@dataclass(frozen=True, slots=True)
class Split:
    """The rows of the paper's split, after filtering."""

    rows: Any
    """The rows as a `datasets.Dataset`, with images not decoded."""
    columns: Columns
    index: Mapping[str, int]
    """The number of the row of each id. This and the other mappings are dicts, or, of many rows, read from a temporary file."""
    references: Mapping[str, tuple[str, ...]]
    facts: Mapping[str, Any]
    """The facts of the dataset axis: id, revision, where, images, fingerprint and more."""
    folders: tuple[Path, ...]
    """The folders that image paths in the rows may lead into."""
    questions: Mapping[str, str] = field(default_factory=dict)
    """The question about each image, by the row's id; empty if the claim names no column of questions."""
    extras: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Further texts of each row, such as its question, by the row's id and then by name."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """The digest of each image's bytes (or `ABSENT`), where rows are streamed; else empty, and read when it is asked for."""

    @property
    def ids(self) -> Sequence[str]:
        """All ids, sorted."""
        return spool.names(self.index)

    def draw(self, size: int | None, seed: int) -> Sequence[str]:
        """A sample of `size` ids; see the function `draw`."""
        ids = self.ids
        return ids if size is None or size >= len(ids) else draw(ids, size, seed)

    def references_of(self, ids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """The references of ids that were drawn, by id."""
        if isinstance(self.references, Table) and len(ids) == len(self.references):
            return self.references
        return by_name(((name, self.references[name]) for name in ids), _length)

    def absent(self, ids: Sequence[str]) -> tuple[str, ...]:
        """The ids whose row names an image file that does not exist. Images that exist but are broken do not count."""
        column = self.rows.features[self.columns.image]
        if getattr(column, "dtype", None) not in ("string", "large_string"):
            return ()
        names = self.rows.select_columns([self.columns.image])
        return tuple(
            name for name in ids if not pictures.there(names[self.index[name]][self.columns.image], self.folders)
        )

    def image(self, name: str) -> Image:
        """The image as RGB, decoded as LAVIS does: `Image.open(path).convert("RGB")`, which ignores the EXIF orientation.

        Raises:
            NotAttempted: the image file is missing.
            EvaluationError: the image cannot be decoded. The message names the id.
        """
        value = self.rows[self.index[name]][self.columns.image]
        if self.digests and self._read_digest(value, name) != self.digest(name):
            raise EvaluationError(f"Image {name} has changed since the data set was read.")
        return pictures.decode(value, name, self.folders)

    def digest(self, name: str) -> str:
        """The first 16 hexadecimal digits of SHA-256 over the image's stored bytes.

        Raises:
            NotAttempted: the image file is missing.
            EvaluationError: the image cannot be read. The message names the id.
        """
        if self.digests and (known := self.digests[name]) != ABSENT:
            return known
        return self._read_digest(self.rows[self.index[name]][self.columns.image], name)

    def _read_digest(self, value: Any, name: str) -> str:
        return pictures.digest(value, name, self.folders)

    def in_order(self, ids: Sequence[str]) -> Sequence[str]:
        """Ids in the order in which their rows are read fastest: that of the file if rows are streamed, else as they are."""
        if not self.digests:
            return ids
        placed: Sorter[tuple[int, str]] = Sorter()
        for name in ids:
            placed.add((self.index[name], name))
        found: Spool[str] = Spool()
        for _, name in placed.rows():
            found.add(name)
        return found.rows()


def draw(ids: Sequence[str], size: int | None, seed: int) -> Sequence[str]:
    """A sample of `size` ids, sorted; all ids if `size` is None or at least their number.

    The sample consists of the ids with the smallest SHA-256 of seed and id. So it is drawn without replacement, does not depend
    on a library version or on the order of the rows, and a smaller sample is a subset of a larger one.
    """
    if size is None or size >= len(ids):
        return tuple(sorted(ids))
    ranked: Sorter[tuple[bytes, str]] = Sorter()
    for name in ids:
        ranked.add((hashlib.sha256(f"{seed}:{name}".encode()).digest(), name))
    return spool.names(by_name((name, None) for _, name in islice(ranked.rows(), size)))


def load(
    dataset: Dataset,
    columns: Columns,
    folders: Sequence[Path],
    progress: ProgressMaker = silent,
    *,
    extras: Mapping[str, str] | None = None,
    streaming: bool = False,
    keep: bool = False,
) -> Split:
    """Read the split of a data set.

    Args:
        dataset: the claim's data set.
        columns: the names of the columns for images, references and ids.
        folders: the folders that a local data set may lie in.
        progress: makes a progress bar for a download.
        extras: further columns of texts, by the names that they have in `Split.extras`.
        streaming: read the rows of Parquet files where they lie, and unpack nothing.
        keep: see `tables.rows`.

    Raises:
        NotAttempted: the data are not available on this machine.
        EvaluationError: the data are not as the claim says.
    """
    rows, home, commit = tables.rows(dataset, folders, progress, streaming=streaming, keep=keep)
    check_columns(dataset, columns, rows.column_names, extras=extras or {})
    for column, wanted in (dataset.where or {}).items():
        rows = rows.select([position for position, value in enumerate(_values(rows, column)) if value == wanted])
    if not len(rows):
        raise EvaluationError(f"The data set {dataset.id} has no rows left in split {dataset.split!r} after filtering.")
    split = _split(dataset, columns, rows, (home, *folders) if home else tuple(folders), extras or {})
    if isinstance(rows, parquet.Rows):
        ids = Ids(rows, columns.id, dataset.id)
        split = replace(split, digests=by_name(_digests(split, ids)))
    fingerprint, duplicates = _fingerprint(split)
    return replace(
        split,
        facts={
            "id": dataset.id,
            "revision": dataset.revision,
            **({"commit": commit} if commit else {}),
            "where": dataset.where,
            "columns": columns.model_dump(),
            "images": len(split.index),
            "references": per_image(split.references.values()),
            **({"duplicates": duplicates} if duplicates else {}),
            "fingerprint": fingerprint,
        },
    )


def _split(
    dataset: Dataset, columns: Columns, rows: Any, folders: tuple[Path, ...], extras: Mapping[str, str]
) -> Split:
    """The split with these rows, without its facts."""
    ids = Ids(rows, columns.id, dataset.id)
    index = by_name((name, position) for position, name in enumerate(ids))
    if len(index) < len(rows):
        _, double = spool.first_twice(ids) or (0, "")
        raise EvaluationError(
            f"The data set {dataset.id} has the id {double!r} more than once in column {columns.id!r}."
        )
    found = zip(ids, _values(rows, columns.references), strict=True)
    further = zip(*(_texts(rows, column, ids) for column in extras.values()), strict=True)
    return Split(
        rows=rows,
        columns=columns,
        index=index,
        references=by_name(((name, _references(value, name)) for name, value in found), _length),
        folders=folders,
        facts={},
        questions=by_name(zip(ids, _texts(rows, columns.question, ids), strict=True)) if columns.question else {},
        extras=by_name((name, dict(zip(extras, texts, strict=True))) for name, texts in zip(ids, further, strict=True))
        if extras
        else {},
    )


AT_ONCE = 1000
"""How many values of a column are read at once."""


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids of rows in their order, read each time that they are asked for."""

    rows: Any
    column: str
    shown: str

    def __iter__(self) -> Iterator[str]:
        for position, value in enumerate(_values(self.rows, self.column)):
            yield _id(value, position, self.column, self.shown)


def _digests(split: Split, ids: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The digest of each image, in the order of the rows."""
    known = split.rows.digests(split.columns.image)
    if known is not None:
        yield from ((name, found or ABSENT) for name, found in zip(ids, known, strict=True))
        return
    for name, value in zip(ids, _values(split.rows, split.columns.image), strict=True):
        yield name, _digest_of(value, name, split)


def _digest_of(value: Any, name: str, split: Split) -> str:
    try:
        return pictures.digest(value, name, split.folders)
    except (EvaluationError, NotAttempted):
        return ABSENT  # if the image is drawn, captioning reports what is wrong


def _values(rows: Any, column: str) -> Iterator[Any]:
    if isinstance(rows, parquet.Rows):
        yield from rows.values(column)
        return
    only = rows.select_columns([column])
    for start in range(0, len(only), AT_ONCE):
        yield from only[start : start + AT_ONCE][column]


def check_columns(
    dataset: Dataset, columns: Columns, known: Sequence[str], *, extras: Mapping[str, str] | None = None
) -> None:
    """Check that a data set has the columns that a claim names.

    Raises:
        EvaluationError: a column is missing.
    """
    where = (("where", column) for column in dataset.where or {})
    wanted = [*columns.model_dump().items(), *where, *(("extras", column) for column in (extras or {}).values())]
    for role, column in wanted:
        if column not in known:
            raise EvaluationError(
                f"The data set {dataset.id} has no column {column!r} ({role}){nearest(column, known)}; "
                f"its columns: {', '.join(known)}."
            )


ABSENT = "absent"
"""Replaces the digest of a missing image in the fingerprint. If a sample is drawn, the other images may be missing."""


def _fingerprint(split: Split) -> tuple[str, str]:
    """The fingerprint of a data set, and its duplicate rows.

    Returns:
        The first 16 digits of SHA-256 over each id, its references, its image's bytes and its question if it has one, in the
        order of the ids. Then a text about the rows that are equal to another row in all but the id ("" if there are none).
    """
    total = hashlib.sha256()
    alike: Sorter[tuple[bytes, int, str]] = Sorter()
    column = split.columns.image
    images = split.rows.select_columns([column])  # so that the other columns are not read with each image
    for number, name in enumerate(split.ids):
        picture = split.digests.get(name) or _digest_of(images[split.index[name]][column], name, split)
        question = [split.questions[name]] if split.questions else []
        content = json.dumps([list(split.references[name]), picture, *question])
        total.update(json.dumps([name, content]).encode())
        if picture != ABSENT:
            alike.add((hashlib.sha256(content.encode()).digest(), number, name))
    return total.hexdigest()[:16], _twice(alike)


def _twice(alike: Sorter[tuple[bytes, int, str]]) -> str:
    """How many rows are equal to an earlier one, and the first of them; "" if none. Equal rows have equal first fields."""
    count, first = 0, (0, "", "")
    for _, group in groupby(alike.rows(), itemgetter(0)):
        (_, _, original), *others = group
        for _, number, name in others:
            first = min(first, (number, original, name)) if count else (number, original, name)
            count += 1
    return f"{count:,} rows are there twice, such as {first[1]} and {first[2]}" if count else ""


def _id(value: Any, position: int, column: str, shown: str) -> str:
    """The id of a row as text, since ids are compared as text. An empty id is refused."""
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise EvaluationError(
            f"The data set {shown}: row {position}: expected text or a whole number as id in column {column!r}, "
            f"got {_short(value)}."
        )
    return str(value)


def _length(texts: Sequence[str]) -> int:
    return sum(map(len, texts))


def _texts(rows: Any, column: str, ids: Iterable[str]) -> Iterator[str]:
    for name, value in zip(ids, _values(rows, column), strict=True):
        if not isinstance(value, str):
            raise EvaluationError(f"Row {name}: expected text in column {column!r}, got {_short(value)}.")
        yield value


def _references(value: Any, name: str) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else ()
    if not texts or not all(isinstance(text, str) for text in texts):
        raise EvaluationError(f"Image {name}: expected one or more reference captions as text, got {_short(value)}.")
    return texts


def _short(value: object, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
