"""Reads a claim's data set with `datasets`: images and references by id."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims import digests, libraries, spool
from pytest_claims.errors import EvaluationError, NotAttempted, first_line, nearest
from pytest_claims.evidence import per_image
from pytest_claims.progress import silent
from pytest_claims.sources import coco, hub, pictures, repository, vqa
from pytest_claims.sources.quiet import datasets_quiet
from pytest_claims.spool import Sorter, Table, by_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from PIL.Image import Image

    from pytest_claims.progress import ProgressMaker
    from pytest_claims.spec.models import Columns, Dataset

LOADERS: Mapping[str, str] = {
    ".parquet": "parquet",
    ".json": "json",
    ".jsonl": "json",
    ".csv": "csv",
    ".arrow": "arrow",
}


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
        return pictures.decode(value, name, self.folders)

    def digest(self, name: str) -> str:
        """The first 16 hexadecimal digits of SHA-256 over the image's stored bytes.

        Raises:
            NotAttempted: the image file is missing.
            EvaluationError: the image cannot be read. The message names the id.
        """
        return pictures.digest(self.rows[self.index[name]][self.columns.image], name, self.folders)


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
) -> Split:
    """Read the split of a data set.

    Args:
        dataset: the claim's data set.
        columns: the names of the columns for images, references and ids.
        folders: the folders that a local data set may lie in.
        progress: makes a progress bar for a download.
        extras: further columns of texts, by the names that they have in `Split.extras`.

    Raises:
        NotAttempted: the data are not available on this machine.
        EvaluationError: the data are not as the claim says.
    """
    rows, home, commit = _rows(dataset, folders, progress)
    check_columns(dataset, columns, rows.column_names, extras=extras or {})
    for column, wanted in (dataset.where or {}).items():
        rows = rows.select([position for position, value in enumerate(rows[column]) if value == wanted])
    if not len(rows):
        raise EvaluationError(f"The data set {dataset.id} has no rows left in split {dataset.split!r} after filtering.")
    split = _split(dataset, columns, rows, (home, *folders) if home else tuple(folders), extras or {})
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


def _values(rows: Any, column: str) -> Iterator[Any]:
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
        try:
            picture = pictures.digest(images[split.index[name]][column], name, split.folders)
        except (EvaluationError, NotAttempted):
            picture = ABSENT  # if the image is drawn, captioning reports what is wrong
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


def _rows(dataset: Dataset, folders: Sequence[Path], progress: ProgressMaker) -> tuple[Any, Path | None, str | None]:
    """The rows, the folder that relative paths in them start from, and the commit (None if not from the hub)."""
    with libraries.importing():
        import datasets

    path = hub.locate(dataset.id, folders, "dataset")
    repo = hub.find(dataset.id, dataset.revision, "dataset") if path is None else None
    fetched = hub.fetch(repo, repository.data_files(repo), progress) if repo else None
    try:
        with datasets_quiet():
            plain = None
            if path is not None and path.suffix == ".json":
                plain = coco.rows(path, dataset.split) or vqa.rows(path)
            if plain is not None:
                rows = datasets.Dataset.from_list(plain)
            elif path is not None and not path.is_dir():
                loader = LOADERS.get(path.suffix.lower())
                if loader is None:
                    raise EvaluationError(
                        f"The data set {dataset.id}: expected a folder or a file that ends in {', '.join(LOADERS)}."
                    )
                files_by_split = {dataset.split: str(path)}
                cache = _cache([path], progress)
                rows = datasets.load_dataset(loader, data_files=files_by_split, split=dataset.split, cache_dir=cache)
            elif path is not None:
                rows = datasets.load_dataset(
                    "imagefolder", data_dir=str(path), split=dataset.split, cache_dir=_cache(_all(path), progress)
                )
            else:
                # With the snapshot's folder instead of the id, `datasets` reads the same files online and offline, and does
                # not ask the hub again.
                cache = _cache(_all(Path(str(fetched))), progress)
                rows = datasets.load_dataset(str(fetched), split=dataset.split, cache_dir=cache)
    except (ValueError, OSError, RecursionError, datasets.exceptions.DatasetsError) as error:
        raise EvaluationError(f"The data set {dataset.id} cannot be read: {first_line(error)}.") from None
    image = [name for name, feature in rows.features.items() if isinstance(feature, datasets.Image)]
    for name in image:
        # `datasets` would rotate images by their EXIF orientation, which LAVIS does not. So images are decoded later.
        rows = rows.cast_column(name, datasets.Image(decode=False))
    home = (path if path.is_dir() else path.parent) if path else None
    return rows, home or fetched, repo.commit if repo else None


def _all(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _cache(paths: Sequence[Path], progress: ProgressMaker) -> str:
    """The cache folder of `datasets` for these files, named by a digest of their content.

    By default, `datasets` takes a file for unchanged if its name, size and time stamp are unchanged, and then returns the rows
    of the old content.
    """
    import datasets

    total = hashlib.sha256()
    with progress(sum(path.stat().st_size for path in paths), "data (digest)", unit="B") as bar:
        for path in sorted(paths):
            total.update(str(path.resolve()).encode("utf-8", "surrogateescape") + b"\0")
            if path.suffix.lower() not in pictures.SUFFIXES:
                total.update(bytes.fromhex(digests.of_file(path)))
            bar.update(path.stat().st_size)
    return str(Path(datasets.config.HF_DATASETS_CACHE) / "pytest-claims" / total.hexdigest()[:32])
