"""What the hub, or this machine's copy of it, has under a name: the commit, the files, the bytes still to fetch.

Everything goes through huggingface_hub, which alone reads tokens. One session sees one commit of a repository. Nothing here
waits on the network under HF_HUB_OFFLINE, and where the hub does not answer, a complete copy in the cache stands in.

`snapshot_download(dry_run=True)` gives sizes and commit, too, but fails offline even where the cache is complete, asks the hub
once per missing file and knows no SHA-256. With `local_files_only` it refuses a copy of the files that are needed if others
are missing, and follows a revision such as `../x` out of the cache. So `missing` and `_cached` look into the cache themselves.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_claims.errors import EvaluationError, NotAttempted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from pytest_claims.evaluation import Progress

Kind = Literal["model", "dataset"]

NOUN: dict[Kind, str] = {"model": "checkpoint", "dataset": "data set"}

LOGIN = "log in with `hf auth login` (or set HF_TOKEN)"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of a repository at one commit."""

    name: str
    size: int
    sha256: str | None = None
    """Where the hub states it: weights and data, not small text files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repo:
    """A repository at one commit."""

    id: str
    kind: Kind
    revision: str
    commit: str
    files: tuple[File, ...]
    online: bool
    """Whether the hub said so; False: this is what the cache holds."""
    parameters: int | None = None
    """As the hub counted them in the safetensors files."""

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"The {NOUN[self.kind]} {self.id}"

    @property
    def folder(self) -> Path:
        """Where the cache keeps, or will keep, the files of this commit."""
        return _home(self.id, self.kind) / "snapshots" / self.commit

    def missing(self, wanted: Iterable[File]) -> tuple[File, ...]:
        """Those of `wanted` that the cache does not hold."""
        return tuple(file for file in wanted if not (self.folder / file.name).exists())


def find(identifier: str, revision: str | None, kind: Kind) -> Repo:
    """What the hub has under `identifier` at `revision`, or what the cache holds of it.

    Raises:
        NotAttempted: it cannot be had here: gated, private, offline and not in the cache.
        EvaluationError: there is no such revision, or the id is none.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        repo = _cached(identifier, revision, kind)
        if repo is None:
            raise NotAttempted(
                f"{_label(identifier, kind)} is not in this machine's cache at {_at(revision)}, and HF_HUB_OFFLINE is set.",
                f"Unset HF_HUB_OFFLINE and run the claim again, or fetch it first: {command(identifier, revision, kind)}",
            )
        return repo
    return _asked(identifier, revision, kind)


@lru_cache(maxsize=64)
def _asked(identifier: str, revision: str | None, kind: Kind) -> Repo:
    import huggingface_hub
    from huggingface_hub import constants, errors

    label = _label(identifier, kind)
    timeout = constants.HF_HUB_ETAG_TIMEOUT  # as long as huggingface_hub waits to be told about a file
    api = huggingface_hub.HfApi()
    try:
        info: Any = api.repo_info(identifier, revision=revision, repo_type=kind, files_metadata=True, timeout=timeout)
        if getattr(info, "gated", False):
            api.auth_check(identifier, repo_type=kind)
    except errors.RevisionNotFoundError:
        held = (
            ", or set HF_HUB_OFFLINE=1 to use this machine's copy of it" if _cached(identifier, revision, kind) else ""
        )
        raise EvaluationError(
            f"{label} has no revision {revision!r} on the hub (any more): name one that is there{held}."
        ) from None
    except errors.GatedRepoError:
        raise _gated(identifier, kind) from None
    except errors.RepositoryNotFoundError:
        raise NotAttempted(
            f"{label} is not on the hub, or is private.", f"Check the name; to see a private one, {LOGIN}."
        ) from None
    except errors.HFValidationError as error:
        raise EvaluationError(f"{label}: {line(error)}.") from None
    except trouble() as error:
        repo = _cached(identifier, revision, kind)
        if repo is None:
            raise _unreachable(label, error) from None
        return repo
    safetensors = getattr(info, "safetensors", None)
    return Repo(
        id=identifier,
        kind=kind,
        revision=revision or "main",
        commit=info.sha,
        files=tuple(
            File(name=found.rfilename, size=found.size or 0, sha256=found.lfs.sha256 if found.lfs else None)
            for found in sorted(info.siblings or (), key=lambda found: str(found.rfilename))
        ),
        online=True,
        parameters=safetensors.total if safetensors else None,
    )


def _cached(identifier: str, revision: str | None, kind: Kind) -> Repo | None:
    """What the cache holds, in the hub's own layout: refs/<revision> names the commit, snapshots/<commit> has the files."""
    home, name = _home(identifier, kind), revision or "main"
    if ".." in Path(name).parts or Path(name).is_absolute():
        return None
    reference = home / "refs" / name
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else name
    folder = home / "snapshots" / commit
    if "/" in commit or not folder.is_dir():
        return None
    files = tuple(
        File(name=path.relative_to(folder).as_posix(), size=path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )
    return Repo(id=identifier, kind=kind, revision=name, commit=commit, files=files, online=False)


def fetch(repo: Repo, wanted: Sequence[File], progress: Callable[..., AbstractContextManager[Progress]]) -> Path:
    """The folder that holds `wanted`, after what the cache lacks of it was downloaded and checked.

    Args:
        repo: where the files are.
        wanted: which of them.
        progress: makes a progress bar of a total, a label and a unit.

    Raises:
        NotAttempted: the download could not be finished, or the hub asks for a login.
        EvaluationError: what arrived is not what the hub says it has.
    """
    missing = repo.missing(wanted)
    if not missing:
        return repo.folder
    with progress(sum(file.size for file in missing), repo.id, unit="B") as bar:
        for file in missing:
            _download(repo, file, bar)
    return repo.folder


def _download(repo: Repo, file: File, bar: Progress) -> None:
    import huggingface_hub
    from huggingface_hub import errors

    try:
        path = huggingface_hub.hf_hub_download(
            repo.id, file.name, repo_type=repo.kind, revision=repo.commit, tqdm_class=_forward(bar)
        )
    except errors.GatedRepoError:
        raise _gated(repo.id, repo.kind) from None
    except (errors.EntryNotFoundError, errors.RevisionNotFoundError) as error:
        if isinstance(error, errors.LocalEntryNotFoundError):
            raise _stopped(repo, file, error.__cause__ or error) from None
        raise EvaluationError(
            f"{repo.label} has lost {file.name} at {repo.commit[:12]} while it was fetched."
        ) from None
    except trouble() as error:
        raise _stopped(repo, file, error) from None
    if file.sha256 is not None and (found := _sha256(Path(path))) != file.sha256:
        # The name and what it links to: a wrong file must not look like a cached one next time.
        Path(path).resolve().unlink(missing_ok=True)
        Path(path).unlink(missing_ok=True)
        raise EvaluationError(
            f"{repo.label}: {file.name} arrived with SHA-256 {found[:12]}… and the hub states {file.sha256[:12]}…; it was "
            "removed, so run the claim again, and ask who serves the files if it happens twice."
        )


def _forward(bar: Progress) -> Any:
    """A class that huggingface_hub takes for tqdm, and that tells our bar."""
    from tqdm import tqdm

    class Forward(tqdm):  # type: ignore[type-arg] # tqdm is generic in its stubs only
        def __init__(self, *_: Any, **options: Any) -> None:
            super().__init__(disable=True)
            bar.update(int(options.get("initial") or 0))

        def update(self, n: float | None = 1) -> bool | None:
            bar.update(int(n or 0))
            return None

    return Forward


def line(error: BaseException) -> str:
    """The first line of what an exception says, without a full stop; the class where it says nothing."""
    text = str(error).strip().splitlines()
    return text[0].strip().rstrip(".") if text else type(error).__name__


def trouble() -> tuple[type[BaseException], ...]:
    """What a request that got no good answer raises: the HTTP client's base class, and the system's."""
    from huggingface_hub.errors import HfHubHTTPError

    return (HfHubHTTPError, *HfHubHTTPError.__bases__, OSError)


def _why(error: BaseException) -> str:
    """A request's failure in a few words; addresses are left out, since they may be signed."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return f"it answered {status}"
    name = type(error).__name__
    if "Timeout" in name:
        return "it did not answer in time"
    return "it cannot be reached" if "Connect" in name else re.sub(r"https?://\S+", "the hub", line(error))


def _unreachable(label: str, error: BaseException) -> NotAttempted:
    if getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
        return NotAttempted(f"The hub refuses {label[0].lower() + label[1:]}.", f"To be let in, {LOGIN}.")
    return NotAttempted(
        f"{label} is not in this machine's cache, and the hub is no help: {_why(error)}.",
        "Run the claim again when the hub can be reached.",
    )


def _stopped(repo: Repo, file: File, error: BaseException) -> NotAttempted:
    return NotAttempted(
        f"The download of {repo.id} stopped at {file.name}: {_why(error)}.",
        "Run the claim again: the files that have arrived are kept.",
    )


def _gated(identifier: str, kind: Kind) -> NotAttempted:
    page = f"https://huggingface.co/{'datasets/' if kind == 'dataset' else ''}{identifier}"
    return NotAttempted(
        f"{_label(identifier, kind)} is gated: the hub gives it to those who accepted its terms.",
        f"Accept them at {page}, {LOGIN}, and run the claim again.",
    )


def _label(identifier: str, kind: Kind) -> str:
    return f"The {NOUN[kind]} {identifier}"


def _at(revision: str | None) -> str:
    return f"revision {revision}" if revision else "its main revision"


def command(identifier: str, revision: str | None, kind: Kind) -> str:
    """How the user fetches it."""
    options = ["--repo-type dataset"] * (kind == "dataset") + [f"--revision {revision}"] * bool(revision)
    return " ".join(["hf download", identifier, *options])


def _home(identifier: str, kind: Kind) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"{kind}s--{identifier.replace('/', '--')}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
