"""The files of a checkpoint: which of them loading opens, what none of them may do, and one digest of them all.

A folder decides every caption that its model gives, so that the digest covers each file that loading could open, wherever
below the folder it lies. Nothing in it may lead out of it, or name code.
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
"""Ways to compute attention that are part of torch. Any other name is a library to load, or a repository to fetch."""

_NAMING_CODE = (
    "attn_implementation", "_attn_implementation", "_attn_implementation_internal", "experts_implementation",
    "_experts_implementation", "_experts_implementation_internal", "kernel_config", "use_kernels", "custom_generate",
)  # fmt: skip

_SETTINGS = (
    "config.json", "generation_config.json", "processor_config.json", "preprocessor_config.json", "tokenizer_config.json",
)  # fmt: skip

MAX_SETTINGS = 10_000_000
"""Bytes of a JSON file of settings; an index of shards has some 100 kB."""

BLOCK = 1 << 22


def weights(folder: Path, label: str) -> tuple[str, ...]:
    """The names, below the folder, of the safetensors files that loading opens; none where there are none.

    Raises:
        EvaluationError: an index names what must not be opened, or what is not there.
    """
    named = _json(folder / "config.json").get("transformers_weights")
    first = named or next((name for name in (SINGLE, INDEX) if (folder / name).is_file()), None)
    if first is None:
        return tuple(sorted(path.name for path in folder.glob("*.safetensors")))
    _inside(first, f"{label}: config.json: transformers_weights")
    if not str(first).endswith(".json"):
        return (str(first),)
    shards = _json(folder / str(first)).get("weight_map")
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
    """Refuse a checkpoint that leads out of its folder, names code, or is not all that is loaded.

    Raises:
        EvaluationError: it does.
    """
    for name, path in _files(folder):
        if not _stays(folder, path):
            raise EvaluationError(
                f"{label}: {name} is a symbolic link that leads out of the folder; put the file itself there."
            )
    if (folder / "adapter_config.json").exists():
        raise EvaluationError(
            f"{label} holds an adapter (adapter_config.json): whether it is applied depends on what is installed. Merge "
            "it into the weights, or remove it."
        )
    for file in _SETTINGS:
        for place, section in nested.sections(_json(folder / file)):
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
    """Whether a file is what it seems: it lies in the folder, or is a snapshot's link into the hub cache that holds both."""
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
    """The first 16 digits of SHA-256 over the names and the bytes of every file, wherever below the folder it lies.

    Hidden files are left out: nothing loads them, and `_inside` keeps an index from naming one.

    Args:
        folder: the checkpoint's.
        label: what messages call it.
        progress: makes a progress bar of a total, a label and a unit.
        endings: of the files that count. A snapshot of the hub's cache holds what somebody fetched of the repository, cards and
            pickled weights among it, and has to give one digest wherever it is.

    Raises:
        EvaluationError: a file cannot be read, or is not what the hub's cache says it is.
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
    """The hub's cache names large files by their SHA-256: one that is not its name was changed here."""
    blob = path.resolve()
    if blob.parent.name == "blobs" and len(blob.name) == len(found) and blob.name != found:
        raise EvaluationError(
            f"{label}: {path.name} in this machine's cache is not what the hub gave: its SHA-256 is {found[:12]}…, and "
            f"{blob.name[:12]}… is expected. Remove {blob} and run the claim again."
        )


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file that is not hidden, by its name below the folder, in the order of the names. Linked folders are followed."""
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


def _json(path: Path) -> dict[str, Any]:
    """A file of settings; empty where there is none, since what must be there is missed elsewhere."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_SETTINGS:
            return {}
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}  # loading says what is wrong with it
    return content if isinstance(content, dict) else {}
