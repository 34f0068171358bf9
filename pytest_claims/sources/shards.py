"""Data sets of the hub that do not fit on the disk: Parquet files (shards) that are fetched, read and removed.

This is a part of `--claims-streaming`. Every file is fetched whole, because the hub states the SHA-256 of whole files. When a
data set is read, the texts of its rows and the digest of each image are kept, and a file is removed before the next but one
arrives. When the images are captioned, the files are fetched again, in the order of the rows, and each image is compared with
its digest.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from array import array
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pytest_claims import digests, libraries
from pytest_claims.progress import silent
from pytest_claims.sources import hub, parquet, pictures, repository
from pytest_claims.sources.quiet import datasets_quiet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_claims.progress import Progress, ProgressMaker
    from pytest_claims.sources.hub import File, Repo

KEPT = 2
"""How many files are on the disk at a time: threads that read images ask for neighbours in another order."""

SHARE = 0.5
"""Files that take more than this share of the free disk are not kept. The other half is for weights and evidence."""

TOLD = "take more than half of the free disk: each file is fetched twice (for the rows, and for the images), and none is kept"
"""What a plan says of such files."""

BLOCK = 10_000
"""How many rows of texts are written at once."""


def of_split(repo: Repo, split: str) -> tuple[tuple[File, ...], Any] | None:
    """The Parquet files of a split, in the order of its rows, and the columns that the card states (None if it does not).

    Only the card is fetched. By it, and by the names of the files, `datasets` says which belong to the split.

    Returns:
        None if the repository's data set does not consist of Parquet files.

    Raises:
        NotAttempted: the card cannot be fetched.
        EvaluationError, ValueError, OSError: the card is refused, or has no such split (the errors of `datasets`).
    """
    with libraries.importing():
        import datasets
    from datasets.packaged_modules.parquet.parquet import Parquet

    wanted = repository.data_files(repo)
    tables = {file.name: file for file in wanted if file.name.endswith(".parquet")}
    cards = [file for file in wanted if file.name == "README.md"]
    if len(tables) + len(cards) < len(wanted):
        return None
    fetched = hub.fetch(repo, cards, silent)
    with tempfile.TemporaryDirectory(prefix="pytest-claims-") as temporary:
        outline = Path(temporary).resolve()
        for name in tables:
            (outline / name).parent.mkdir(parents=True, exist_ok=True)
            (outline / name).touch()
        for card in cards:
            shutil.copyfile(fetched / card.name, outline / card.name)
        with datasets_quiet():
            builder: Any = datasets.load_dataset_builder(str(outline))
        repository.check_files(repo.id, builder, outline)
        if not isinstance(builder, Parquet):
            return None
        listed = parquet.files_of(builder, split)
        return tuple(tables[path.relative_to(outline).as_posix()] for path in listed), builder.info.features


def leave(repo: Repo, files: Sequence[File]) -> bool:
    """Whether these files are not kept, because those that are missing take more than `SHARE` of the free disk."""
    return repo.online and sum(file.size for file in repo.missing(files)) > SHARE * hub.room()


def at_once(repo: Repo, files: Sequence[File]) -> int:
    """The most bytes that `Shards` has on the disk."""
    return sum(sorted(file.size for file in repo.missing(files))[-KEPT:])


class Shards:
    """Files of a repository, of which the last few are on the disk.

    Args:
        repo: the repository.
        files: the files. One that is in the hub's cache is read there, and stays.
    """

    def __init__(self, repo: Repo, files: Sequence[File]) -> None:
        self._repo, self._files = repo, tuple(files)
        self._lock = threading.Lock()
        self._held: dict[int, Any] = {}

    def open(self, number: int) -> Any:
        """A file, as pyarrow reads it. Fetches and checks it if it is not here.

        Raises:
            NotAttempted: the download could not be finished.
            EvaluationError: the file's SHA-256 is not the one that the hub states, or the hub no longer has the file.
        """
        with silent(0, "") as bar:
            return self.fetch(number, bar)

    def fetch(self, number: int, bar: Progress) -> Any:
        """As `open`, and shows the progress of a download."""
        import pyarrow

        with self._lock:
            if number not in self._held:
                while len(self._held) >= KEPT:
                    self._held.pop(next(iter(self._held)))  # its room is free when its last reader has left it
                file = self._files[number]
                if not self._repo.missing([file]):
                    self._held[number] = pyarrow.OSFile(str(self._repo.folder / file.name))
                    return self._held[number]
                # The file loses its name as soon as it is open, so that nothing is left of it however this process ends.
                with tempfile.TemporaryDirectory(prefix="shard-", dir=_place(), ignore_cleanup_errors=True) as folder:
                    self._held[number] = pyarrow.OSFile(str(hub.fetch_to(self._repo, file, Path(folder), bar)))
            return self._held[number]


def _place() -> Path:
    """The folder for files that are not kept: in the cache of `datasets`, as a folder for temporary files may be in memory."""
    import datasets

    folder = Path(datasets.config.HF_DATASETS_CACHE) / "pytest-claims"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def rows(repo: Repo, files: Sequence[File], features: Any, progress: ProgressMaker) -> parquet.Rows:
    """The rows of files that are not kept. Fetches and reads each of them once.

    Args:
        repo: the repository.
        files: the files, in the order of their rows.
        features: the columns that the data set's card states; None: those of the first file.
        progress: makes a progress bar.

    Raises:
        NotAttempted, EvaluationError: see `Shards.open`.
        ValueError, OSError: a file is no Parquet file (pyarrow's errors are of these types).
    """
    import pyarrow

    shards, beside = Shards(repo, files), None
    ends, groups = array("Q"), list[tuple[int, int]]()
    total = sum(file.size for file in repo.missing(files))
    with tempfile.TemporaryDirectory(prefix="pytest-claims-") as temporary, ExitStack() as stack:
        path = Path(temporary) / "texts.parquet"
        bar = stack.enter_context(progress(total, f"{repo.id} (read, not kept)", unit="B"))
        for number, file in enumerate(files):
            source = shards.fetch(number, bar)
            one = parquet.layout([Path(file.name)], features, open_=[source].__getitem__)
            features, before = one.features, ends[-1] if ends else 0
            ends.extend(before + end for end in one.ends)
            groups.extend((number, group) for _, group in one.groups)
            beside = beside or stack.enter_context(_Beside(path, features.arrow_schema))
            for table in parquet.Rows(one).tables():
                beside.add(table)
        stack.close()
        # Opened before the folder is removed: this process reads it, and no other can write to it.
        texts = parquet.layout([path], open_=[pyarrow.OSFile(str(path))].__getitem__)
    names = tuple(f"{repo.id}/{file.name}" for file in files)
    return parquet.Rows(parquet.Layout(names, ends, tuple(groups), features, shards.open, texts))


class _Beside:
    """Writes rows without their columns of bytes, and with the digests of these bytes.

    Args:
        path: the Parquet file.
        schema: the columns of the rows.
    """

    def __init__(self, path: Path, schema: Any) -> None:
        import pyarrow.parquet

        heavy = [field.name for field in schema if _bytes(field.type)]
        self._kept = [
            field.name for field in schema if field.name not in heavy and not field.name.startswith(parquet.DIGEST)
        ]
        self._heavy = heavy
        added = [pyarrow.field(parquet.DIGEST + name, pyarrow.string()) for name in heavy]
        self._schema = pyarrow.schema([*map(schema.field, self._kept), *added])
        self._writer = pyarrow.parquet.ParquetWriter(path, self._schema)
        self._held: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()
        self._writer.close()

    def add(self, table: Any) -> None:
        """Add rows."""
        import pyarrow

        columns = [table[name] for name in self._kept]
        columns += [pyarrow.array(map(_digest, table[name].to_pylist()), pyarrow.string()) for name in self._heavy]
        self._held.append(pyarrow.Table.from_arrays(columns, schema=self._schema))
        if sum(map(len, self._held)) >= BLOCK:
            self._write()

    def _write(self) -> None:
        import pyarrow

        if self._held:
            self._writer.write_table(pyarrow.concat_tables(self._held))
            self._held.clear()


def _digest(value: Any) -> str | None:
    data = pictures.embedded(value)
    return None if data is None else digests.short(data)


def _bytes(kind: Any) -> bool:
    """Whether a type of pyarrow holds bytes, at any depth."""
    import pyarrow

    types = pyarrow.types
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return True
    return any(_bytes(kind.field(number).type) for number in range(kind.num_fields))
