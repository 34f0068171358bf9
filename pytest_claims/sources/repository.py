"""Which files of a repository a model or a data set needs, and what is read before they are downloaded."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims.errors import EvaluationError, NotAttempted
from pytest_claims.progress import silent
from pytest_claims.sources import hub

if TYPE_CHECKING:
    from pytest_claims.sources.hub import File, Repo

TAIL = 1 << 16
"""How many bytes at the end of a parquet file are read for its footer. Flickr30k's footers have about 10 kB."""

_SHARD = re.compile(r"model-\d+-of-(\d+)\.safetensors")
_SMALL = (".json", ".txt", ".model", ".jinja")
LOADED = (*_SMALL, ".safetensors")
"""The file name endings that `from_pretrained` reads."""
_DATA = (".parquet", ".arrow", ".jsonl", ".json", ".csv", ".zip", ".tar", ".gz", ".jpg", ".jpeg", ".png", ".webp")


def weights(repo: Repo) -> tuple[File, ...]:
    """The safetensors files of the model.

    Raises:
        NotAttempted: only a part of them is in the cache.
        EvaluationError: the repository has none. Pickled weights are never loaded.
    """
    top = {file.name: file for file in repo.files if "/" not in file.name}
    if "model.safetensors" in top:
        return (top["model.safetensors"],)
    shards = [file for name, file in top.items() if _SHARD.fullmatch(name)]
    if not shards:
        if not repo.online and not any(name.endswith((".bin", ".pt", ".ckpt")) for name in top):
            raise _incomplete(repo, "its weights")
        raise EvaluationError(
            f"{repo.label} holds no *.safetensors file; pickled weights (*.bin, *.pt) are never loaded."
        )
    match = _SHARD.fullmatch(shards[0].name)
    total = int(match[1]) if match else 0
    if len(shards) < total:
        raise _incomplete(repo, f"{total - len(shards)} of {total} files of weights")
    return tuple(shards)


def _incomplete(repo: Repo, what: str) -> NotAttempted:
    return NotAttempted(
        f"{repo.label} lacks {what} in this machine's cache.",
        f"Connect to the hub and run the claim again, or fetch it first: {hub.command(repo.id, repo.revision, repo.kind)}",
    )


def small_files(repo: Repo) -> tuple[File, ...]:
    """The configuration, tokenizer and templates: what `from_pretrained` reads in addition to the weights."""
    return tuple(
        file
        for file in repo.files
        if file.name.endswith(_SMALL) and ("/" not in file.name or file.name.startswith("additional_chat_templates/"))
    )


def data_files(repo: Repo) -> tuple[File, ...]:
    """The files that `datasets` reads: the parquet files if there are any, else all tables, pictures and archives."""
    card = tuple(file for file in repo.files if file.name == "README.md")
    parquet = tuple(file for file in repo.files if file.name.endswith(".parquet"))
    found = parquet or tuple(file for file in repo.files if file.name.lower().endswith(_DATA))
    if not found and not repo.online:
        raise _incomplete(repo, "its data")
    if not found:
        raise EvaluationError(f"{repo.label} holds no data file at {repo.revision}; scripts (*.py) are never run.")
    return (*card, *found)


def check_files(identifier: str, builder: Any, home: Path) -> None:
    """Check that what `datasets` would read of a data set lies in its own folder. A card can name any file, and other servers.

    Args:
        identifier: the data set's id.
        builder: what `datasets` makes of it.
        home: the folder, with links resolved.

    Raises:
        EvaluationError: a file lies elsewhere.
    """
    for file in (file for files in (builder.config.data_files or {}).values() for file in files):
        if "://" in str(file) or not Path(file).resolve().is_relative_to(home):
            raise EvaluationError(
                f"The data set {identifier}: the file {str(file)!r} is refused: it is not one of its own."
            )


def read_json(repo: Repo, name: str) -> Any:
    """The content of a small JSON file, downloaded if needed; None if the repository does not have the file."""
    file = next((file for file in repo.files if file.name == name), None)
    if file is None:
        return None
    folder = hub.fetch(repo, (file,), silent)
    return json.loads((folder / name).read_text(encoding="utf-8"))


def footer(repo: Repo, file: File) -> tuple[int, tuple[str, ...]] | None:
    """The number of rows and the columns of a parquet file; None if they cannot be read.

    If the file is not in the cache, only its last bytes are downloaded.

    Raises:
        NotAttempted: the hub asks for a login.
    """
    import pyarrow
    import pyarrow.parquet

    path = repo.folder / file.name
    try:
        if path.exists():
            source: Any = path
        elif repo.online:
            source = pyarrow.BufferReader(_tail(repo, file))
        else:
            return None
        with pyarrow.parquet.ParquetFile(source) as table:
            return table.metadata.num_rows, tuple(table.schema_arrow.names)
    except (*hub.trouble(), pyarrow.ArrowException):
        return None


def _tail(repo: Repo, file: File) -> bytes:
    import huggingface_hub
    import huggingface_hub.utils
    from huggingface_hub import constants

    utils: Any = huggingface_hub.utils  # it loads its names lazily, which mypy does not understand

    url = huggingface_hub.hf_hub_url(repo.id, file.name, repo_type=repo.kind, revision=repo.commit)
    start = max(0, file.size - TAIL)
    headers = {**utils.build_hf_headers(), "Range": f"bytes={start}-{file.size - 1}"}
    answer = utils.get_session().get(url, headers=headers, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    answer.raise_for_status()
    content: bytes = answer.content
    return content
