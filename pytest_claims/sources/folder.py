"""Checks the files in a checkpoint's folder, and computes their digest.

The files determine every caption of the model. So the digest covers each file that loading may open, at any depth below the
folder. No file may lead out of the folder or name code.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pytest_claims import nested
from pytest_claims.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_claims.progress import ProgressMaker

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"

KERNELS = ("eager", "sdpa")
"""The implementations of attention that need only torch. Any other name makes transformers load a library or a repository."""

_NAMING_CODE = (
    "attn_implementation", "_attn_implementation", "_attn_implementation_internal", "experts_implementation",
    "_experts_implementation", "_experts_implementation_internal", "kernel_config", "use_kernels", "custom_generate",
)  # fmt: skip

_SETTINGS = (
    "config.json", "generation_config.json", "processor_config.json", "preprocessor_config.json", "tokenizer_config.json",
)  # fmt: skip

MAX_SETTINGS = 10_000_000
"""The most bytes of a JSON file of settings. An index of shards has about 100 kB."""

BLOCK = 1 << 22
"""Bytes that are read at a time."""


def weights(folder: Path, label: str) -> tuple[str, ...]:
    """The names, relative to the folder, of the safetensors files that loading opens; empty if there are none.

    Raises:
        EvaluationError: an index names a file that must not be opened, or that does not exist.
    """
    named = read_json(folder / "config.json").get("transformers_weights")
    first = named or next((name for name in (SINGLE, INDEX) if (folder / name).is_file()), None)
    if first is None:
        return tuple(sorted(path.name for path in folder.glob("*.safetensors")))
    _inside(first, f"{label}: config.json: transformers_weights")
    if not str(first).endswith(".json"):
        return (str(first),)
    shards = read_json(folder / str(first)).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise EvaluationError(f"{label}: {first} maps no weights to files.")
    for name in shards.values():
        _inside(name, f"{label}: {first}")
        if not str(name).endswith(".safetensors"):
            raise EvaluationError(
                f"{label}: {first} names {name!r}; only *.safetensors are loaded, pickled weights never."
            )
    found = tuple(sorted(set(shards.values())))
    absent = [name for name in found if not (folder / name).is_file()]
    if absent:
        raise EvaluationError(f"{label}: {first} names {absent[0]!r}, which is not there.")
    return found


def _inside(name: object, where: str) -> None:
    path = PurePosixPath(str(name))
    if (
        not isinstance(name, str)
        or path.is_absolute()
        or "\\" in name
        or any(part.startswith(".") for part in path.parts)
    ):
        raise EvaluationError(f"{where} names {name!r}; expected a file below the checkpoint's folder.")


def check(folder: Path, label: str) -> None:
    """Refuse a checkpoint that has a link out of its folder, names code, or contains an adapter.

    Raises:
        EvaluationError: the checkpoint is refused.
    """
    for name, path in _files(folder):
        if not _stays(folder, path):
            raise EvaluationError(
                f"{label}: {name} is a symbolic link that leads out of the folder; put the file itself there."
            )
        if path.is_dir():
            # `digest` does not enter it, and the index could name weights behind it.
            raise EvaluationError(f"{label}: {name} is a symbolic link to a folder; put the folder itself there.")
    if (folder / "adapter_config.json").exists():
        raise EvaluationError(
            f"{label} holds an adapter (adapter_config.json): whether it is applied depends on what is installed. Merge "
            "it into the weights, or remove it."
        )
    for file in _SETTINGS:
        for place, section in nested.sections(read_json(folder / file)):
            for key in _NAMING_CODE:
                if not _harmless(section.get(key)):
                    raise EvaluationError(
                        f"{label}: {file}: {place}{key} is {section[key]!r}, which names code to fetch or to load; expected "
                        f"{' or '.join(KERNELS)}, or no such key."
                    )


def _harmless(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_harmless, value.values()))
    return value in (None, False, *KERNELS)


def _stays(folder: Path, path: Path) -> bool:
    """Whether a file lies in the folder, or is a link from a snapshot of the hub's cache to the blobs of the same cache."""
    real, home = path.resolve(), folder.resolve()
    if real.is_relative_to(home):
        return True
    return home.parent.name == "snapshots" and real.is_relative_to(home.parent.parent / "blobs")


def digest(
    folder: Path,
    label: str,
    progress: ProgressMaker,
    *,
    endings: tuple[str, ...] = ("",),
) -> str:
    """The first 16 digits of SHA-256 over the names and the bytes of all files, at any depth below the folder.

    Hidden files are left out. Nothing loads them, and `_inside` refuses an index that names one.

    Args:
        folder: the checkpoint's folder.
        label: the name of the checkpoint in messages.
        progress: makes a progress bar.
        endings: only files with one of these suffixes count. A snapshot in the hub's cache may also hold other files that were
            downloaded before, such as model cards and pickled weights; they must not change the digest.

    Raises:
        EvaluationError: a file cannot be read, or differs from its digest in the hub's cache.
    """
    opened = [(name, path) for name, path in _files(folder) if name.endswith(endings) and path.is_file()]
    total = hashlib.sha256()
    try:
        with progress(sum(path.stat().st_size for _, path in opened), f"{label} (digest)", unit="B") as bar:
            for name, path in opened:
                found = hashlib.sha256()
                with path.open("rb") as file:
                    while block := file.read(BLOCK):
                        found.update(block)
                        bar.update(len(block))
                _as_cached(path, found.hexdigest(), label)
                total.update(name.encode("utf-8", "surrogateescape") + b"\0" + found.digest())
    except OSError as error:
        raise EvaluationError(f"{label} cannot be read: {error.strerror}.") from None
    return total.hexdigest()[:16]


def _as_cached(path: Path, found: str, label: str) -> None:
    """Refuse a file of the hub's cache that was changed: the cache names large files by their SHA-256."""
    blob = path.resolve()
    if blob.parent.name == "blobs" and len(blob.name) == len(found) and blob.name != found:
        raise EvaluationError(
            f"{label}: {path.name} in this machine's cache is not what the hub gave: its SHA-256 is {found[:12]}…, and "
            f"{blob.name[:12]}… is expected. Remove {blob} and run the claim again."
        )


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """All files that are not hidden, each with its name relative to the folder, sorted by name.

    A linked folder is returned as one entry, and is not entered.
    """
    found: list[tuple[str, Path]] = []
    for place, folders, names in os.walk(folder, followlinks=False):
        for name in list(folders):
            path = Path(place, name)
            if name.startswith("."):
                folders.remove(name)
            elif path.is_symlink():
                found.append((path.relative_to(folder).as_posix(), path))
        found += [
            (Path(place, n).relative_to(folder).as_posix(), Path(place, n)) for n in names if not n.startswith(".")
        ]
    yield from sorted(found)


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file of settings; empty if there is no valid file, since loading reports a missing file."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_SETTINGS:
            return {}
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}  # loading reports what is wrong
    return content if isinstance(content, dict) else {}
