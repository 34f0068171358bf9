"""What is read of a repository of the hub: which files a model or a data set needs, its JSON, the ends of its tables."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pytest_claims.errors import EvaluationError, NotAttempted
from pytest_claims.evaluation import hub

if TYPE_CHECKING:
    from pytest_claims.evaluation.hub import File, Repo

TAIL = 1 << 16
"""Bytes from the end of a parquet file that hold its footer: the nine files of Flickr30k have footers of some 10 kB."""

_SHARD = re.compile(r"model-\d+-of-(\d+)\.safetensors")
_SMALL = (".json", ".txt", ".model", ".jinja")
LOADED = (*_SMALL, ".safetensors")
"""How the files end that `from_pretrained` opens."""
_DATA = (".parquet", ".arrow", ".jsonl", ".json", ".csv", ".zip", ".tar", ".gz", ".jpg", ".jpeg", ".png", ".webp")


def weights(repo: Repo) -> tuple[File, ...]:
    """The safetensors files that make up the model.

    Raises:
        NotAttempted: the cache holds only some of them.
        EvaluationError: there are none: pickled weights are never loaded.
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
    """Configuration, tokenizer and templates: all that `from_pretrained` reads beside the weights."""
    return tuple(
        file
        for file in repo.files
        if file.name.endswith(_SMALL) and ("/" not in file.name or file.name.startswith("additional_chat_templates/"))
    )


def data_files(repo: Repo) -> tuple[File, ...]:
    """What `datasets` reads: the parquet files where there are any, else every table, picture and archive."""
    card = tuple(file for file in repo.files if file.name == "README.md")
    parquet = tuple(file for file in repo.files if file.name.endswith(".parquet"))
    found = parquet or tuple(file for file in repo.files if file.name.lower().endswith(_DATA))
    if not found and not repo.online:
        raise _incomplete(repo, "its data")
    if not found:
        raise EvaluationError(f"{repo.label} holds no data file at {repo.revision}; scripts (*.py) are never run.")
    return (*card, *found)


def read_json(repo: Repo, name: str) -> Any:
    """A small JSON file of the repository, fetched if need be; None if there is none."""
    from pytest_claims.evaluation import silent

    file = next((file for file in repo.files if file.name == name), None)
    if file is None:
        return None
    folder = hub.fetch(repo, (file,), lambda total, label, **_: silent(total, label))
    return json.loads((folder / name).read_text(encoding="utf-8"))


def footer(repo: Repo, file: File) -> tuple[int, tuple[str, ...]] | None:
    """Rows and columns of a parquet file, from the cache or from its last bytes on the hub; None if they do not say.

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

    utils: Any = huggingface_hub.utils  # whose names are there on demand, which mypy does not see

    url = huggingface_hub.hf_hub_url(repo.id, file.name, repo_type=repo.kind, revision=repo.commit)
    start = max(0, file.size - TAIL)
    headers = {**utils.build_hf_headers(), "Range": f"bytes={start}-{file.size - 1}"}
    answer = utils.get_session().get(url, headers=headers, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    answer.raise_for_status()
    content: bytes = answer.content
    return content
