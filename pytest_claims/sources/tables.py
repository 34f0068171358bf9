"""Opens a claim's data set as rows: with `datasets`, or as Parquet files that are read where they lie."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims import digests, libraries
from pytest_claims.errors import EvaluationError, first_line
from pytest_claims.sources import coco, hub, parquet, pictures, repository, shards, vqa
from pytest_claims.sources.quiet import datasets_quiet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_claims.progress import ProgressMaker
    from pytest_claims.spec.models import Dataset

LOADERS: Mapping[str, str] = {
    ".parquet": "parquet",
    ".json": "json",
    ".jsonl": "json",
    ".csv": "csv",
    ".arrow": "arrow",
}


def rows(
    dataset: Dataset, folders: Sequence[Path], progress: ProgressMaker, *, streaming: bool = False, keep: bool = False
) -> tuple[Any, Path | None, str | None]:
    """The rows, the folder that relative paths in them start from, and the commit (None if not from the hub).

    Args:
        dataset: the claim's data set.
        folders: the folders that a local data set may lie in.
        progress: makes a progress bar for a download.
        streaming: give the rows of Parquet files as `parquet.Rows`, which reads them where they lie.
        keep: keep the files that are fetched, however large they are: the images are not read in the order of the rows.

    Raises:
        NotAttempted: the data are not available on this machine.
        EvaluationError: the data are not as the claim says.
    """
    with libraries.importing():
        import datasets  # noqa: F401 - its first import, which takes longest

    path = hub.locate(dataset.id, folders, "dataset")
    repo = hub.find(dataset.id, dataset.revision, "dataset") if path is None else None
    fetched = repo.folder if repo else None
    try:
        found = _streamed(dataset, path, repo, progress, keep=keep) if streaming else None
        if found is None:
            fetched = hub.fetch(repo, repository.data_files(repo), progress) if repo else None
            with datasets_quiet():
                _builder(dataset.id, path, fetched)  # refuses files of others
                found = _unpacked(dataset, path, fetched, progress)
    except _errors() as error:
        raise _unreadable(dataset, error) from None
    home = (path if path.is_dir() else path.parent) if path else None
    return found, home or fetched, repo.commit if repo else None


def files_of(dataset: Dataset, repo: hub.Repo, *, streaming: bool) -> tuple[hub.File, ...]:
    """The files of a repository that are read: all that hold data, or, streamed, those of the split.

    Raises:
        NotAttempted, EvaluationError: as of `rows`.
    """
    try:
        found = shards.of_split(repo, dataset.split) if streaming else None
    except _errors() as error:
        raise _unreadable(dataset, error) from None
    return repository.data_files(repo) if found is None else found[0]


def _errors() -> tuple[type[Exception], ...]:
    """What is raised where data cannot be read."""
    import datasets

    return ValueError, OSError, RecursionError, datasets.exceptions.DatasetsError


def _unreadable(dataset: Dataset, error: BaseException) -> EvaluationError:
    return EvaluationError(f"The data set {dataset.id} cannot be read: {first_line(error)}.")


def _streamed(
    dataset: Dataset, path: Path | None, repo: hub.Repo | None, progress: ProgressMaker, *, keep: bool
) -> parquet.Rows | None:
    """The rows of a Parquet file, or of a folder or repository of them; None if it is neither.

    `datasets` says which files of a folder or repository are the split.
    """
    if repo is not None:
        found = shards.of_split(repo, dataset.split)
        if found is None:
            return None
        files, features = found
        if not keep and shards.leave(repo, files):
            return shards.rows(repo, files, features, progress)
        folder = hub.fetch(repo, files, progress)
        return parquet.Rows(parquet.layout([folder / file.name for file in files], features))
    if path is not None and path.is_dir():
        with datasets_quiet():
            builder = _builder(dataset.id, path, None)
        return builder and parquet.Rows(parquet.layout(parquet.files_of(builder, dataset.split)))
    return parquet.Rows(parquet.layout([path])) if path and path.suffix.lower() == ".parquet" else None


def _builder(identifier: str, path: Path | None, fetched: Path | None) -> Any:
    """What `datasets` makes of a folder of Parquet files or of a repository; None if the data set is neither.

    Of a folder beside a claim the card is not read, since it may come from a fork. That of a repository says which files are
    which split. `datasets` would follow it, and links, to any file of this machine and to other servers.

    Raises:
        EvaluationError: a file lies elsewhere.
    """
    import datasets

    if path is not None and not (path.is_dir() and _of_parquet(path)):
        return None
    if path is not None:
        builder: Any = datasets.load_dataset_builder("parquet", data_dir=str(path))
        home = path.resolve()
    else:
        builder = datasets.load_dataset_builder(str(fetched))
        home = Path(str(fetched)).parents[1].resolve()  # in the hub's cache, a snapshot has links to files beside it
    repository.check_files(identifier, builder, home)
    return builder


def _of_parquet(folder: Path) -> bool:
    """Whether a folder is a data set of Parquet files; a folder of pictures may hold one with what is known of them."""
    return any(file.name != "metadata.parquet" for file in folder.rglob("*.parquet"))


def _unpacked(dataset: Dataset, path: Path | None, fetched: Path | None, progress: ProgressMaker) -> Any:
    """The rows, after `datasets` has copied them into its cache."""
    import datasets

    plain = None
    if path is not None and path.suffix == ".json":
        plain = coco.rows(path, dataset.split) or vqa.rows(path)
    if plain is not None:
        found = datasets.Dataset.from_list(plain)
    elif path is not None and not path.is_dir():
        loader = LOADERS.get(path.suffix.lower())
        if loader is None:
            raise EvaluationError(
                f"The data set {dataset.id}: expected a folder or a file that ends in {', '.join(LOADERS)}."
            )
        files_by_split = {dataset.split: str(path)}
        cache = _cache([path], progress)
        found = datasets.load_dataset(loader, data_files=files_by_split, split=dataset.split, cache_dir=cache)
    elif path is not None:
        loader, cache = "parquet" if _of_parquet(path) else "imagefolder", _cache(_all(path), progress)
        found = datasets.load_dataset(loader, data_dir=str(path), split=dataset.split, cache_dir=cache)
    else:
        # With the snapshot's folder instead of the id, `datasets` reads the same files online and offline, and does not ask
        # the hub again.
        cache = _cache(_all(Path(str(fetched))), progress)
        found = datasets.load_dataset(str(fetched), split=dataset.split, cache_dir=cache)
    for name in [name for name, feature in found.features.items() if isinstance(feature, datasets.Image)]:
        # `datasets` would rotate images by their EXIF orientation, which LAVIS does not. So images are decoded later.
        found = found.cast_column(name, datasets.Image(decode=False))
    return found


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
