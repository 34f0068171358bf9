"""Look up a model or a data set on the Hugging Face hub or in its cache, and download the files that are missing.

All requests go through huggingface_hub, and only that library reads tokens. A session asks for a repository once, so it sees
one commit of it. Nothing is requested under HF_HUB_OFFLINE. If the hub does not answer, the copy in the cache is used.

`missing` and `held` read the cache themselves, because `snapshot_download` does not fit. With `dry_run=True` it fails
offline even if the cache is complete, sends one request per missing file, and returns no SHA-256. With
`local_files_only=True` it refuses a partial copy, and a revision such as `../x` leads it out of the cache.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_claims import digests, files
from pytest_claims.errors import EvaluationError, NotAttempted, first_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_claims.progress import Progress, ProgressMaker

Kind = Literal["model", "dataset"]

NOUN: dict[Kind, str] = {"model": "checkpoint", "dataset": "data set"}

LOGIN = "log in with `hf auth login` (or set HF_TOKEN)"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of a repository at one commit."""

    name: str
    size: int
    sha256: str | None = None
    """The hub states it for weights and data, not for small text files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repo:
    """A repository at one commit."""

    id: str
    kind: Kind
    revision: str
    commit: str
    files: tuple[File, ...]
    online: bool
    """True if the hub answered, False if this was read from the cache."""
    parameters: int | None = None
    """How many the hub counted in the safetensors files."""

    @property
    def label(self) -> str:
        """The name of the repository in messages."""
        return f"The {NOUN[self.kind]} {self.id}"

    @property
    def folder(self) -> Path:
        """The folder of this commit in the cache; it may not exist yet."""
        return _home(self.id, self.kind) / "snapshots" / self.commit

    def missing(self, wanted: Iterable[File]) -> tuple[File, ...]:
        """The files of `wanted` that are not in the cache."""
        return tuple(file for file in wanted if not (self.folder / file.name).exists())


def locate(identifier: str, folders: Sequence[Path], kind: Kind) -> Path | None:
    """The folder or file that an id of a claim file names; None if it is an id of the hub. The hub is not asked.

    Raises:
        NotAttempted: it can only be a path, and no folder holds it.
        EvaluationError: the path leaves its folder, or no repository of the hub can have this id.
    """
    from huggingface_hub import errors, utils

    try:
        path = files.find(identifier, folders)
        if path is not None:
            return path
        if files.is_local(identifier):
            return files.need(identifier, folders, f"The {NOUN[kind]}")
    except EvaluationError as error:
        more = f" {elsewhere(identifier, folders[0] / identifier)}" if kind == "model" else ""
        raise EvaluationError(f"{error}{more}") from None
    except NotAttempted as gap:
        more = f" {elsewhere(identifier, Path(identifier))}" if kind == "model" else ""
        raise NotAttempted(gap.reason, f"{gap.next_step}{more}") from None
    try:
        utils.validate_repo_id(identifier)  # type: ignore[attr-defined] # public, and not in `__all__`
    except errors.HFValidationError as error:
        raise EvaluationError(f"{_label(identifier, kind)}: {first_line(error)}.") from None
    return None


def elsewhere(identifier: str, place: Path) -> str:
    """How to evaluate weights that lie in a folder that a claim may not read: the user names it on the command line.

    Args:
        identifier: the checkpoint's id in the claim file.
        place: where the folder may lie.
    """
    there = os.path.isdir(place)  # noqa: PTH112 - Path.is_dir raises where the name is too long
    path = files.shown(Path(os.path.abspath(place))) if there else "PATH"  # noqa: PTH100 - `..` is taken away, links are not followed
    path = path if path.startswith(("/", ".", "PATH")) else f"./{path}"
    return f"To evaluate weights that lie elsewhere, name them on the command line: --claims-model={identifier}={path}"


def find(identifier: str, revision: str | None, kind: Kind) -> Repo:
    """Look up a repository on the hub, or in the cache if the hub cannot be asked.

    Raises:
        NotAttempted: the repository is gated, private or unknown, or the hub cannot be asked and the cache has no copy.
        EvaluationError: the revision does not exist, or the id is not valid.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        repo = held(identifier, revision, kind)
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
    timeout = constants.HF_HUB_ETAG_TIMEOUT  # huggingface_hub's own limit for such a request
    api = huggingface_hub.HfApi()
    try:
        info: Any = api.repo_info(identifier, revision=revision, repo_type=kind, files_metadata=True, timeout=timeout)
        if getattr(info, "gated", False):
            api.auth_check(identifier, repo_type=kind)
    except errors.RevisionNotFoundError:
        copy = ", or set HF_HUB_OFFLINE=1 to use this machine's copy of it" if held(identifier, revision, kind) else ""
        raise EvaluationError(
            f"{label} has no revision {revision!r} on the hub (any more): name one that is there{copy}."
        ) from None
    except errors.GatedRepoError:
        raise _gated(identifier, kind) from None
    except errors.RepositoryNotFoundError:
        raise NotAttempted(
            f"{label} is not on the hub, or is private.", f"Check the name; to see a private one, {LOGIN}."
        ) from None
    except errors.HFValidationError as error:
        raise EvaluationError(f"{label}: {first_line(error)}.") from None
    except trouble() as error:
        repo = held(identifier, revision, kind)
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


def held(identifier: str, revision: str | None, kind: Kind) -> Repo | None:
    """Read a repository from the cache: refs/<revision> contains the commit, snapshots/<commit> the files."""
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


def fetch(repo: Repo, wanted: Sequence[File], progress: ProgressMaker) -> Path:
    """Download and check the files that are not in the cache yet; return the folder of all files.

    Args:
        repo: the repository.
        wanted: the files that are needed.
        progress: makes a progress bar of a total, a label and a unit.

    Raises:
        NotAttempted: the download could not be finished, or the hub asks for a login.
        EvaluationError: a file's SHA-256 is not the one that the hub states, or the hub no longer has the file.
    """
    missing = repo.missing(wanted)
    if not missing:
        return repo.folder
    with progress(sum(file.size for file in missing), repo.id, unit="B") as bar:
        for file in missing:
            _download(repo, file, bar)
    return repo.folder


def fetch_to(repo: Repo, file: File, folder: Path, bar: Progress) -> Path:
    """Download and check one file, into a folder instead of the cache; return its path. For exceptions see `fetch`."""
    return _download(repo, file, bar, folder)


def room() -> int:
    """How many bytes are free on the disk of the hub's cache."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    return shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free


def _download(repo: Repo, file: File, bar: Progress, folder: Path | None = None) -> Path:
    import huggingface_hub
    from huggingface_hub import errors

    try:
        path = huggingface_hub.hf_hub_download(
            repo.id,
            file.name,
            repo_type=repo.kind,
            revision=repo.commit,
            tqdm_class=_forward(bar),
            local_dir=folder,
        )
    except errors.GatedRepoError:
        raise _gated(repo.id, repo.kind) from None
    except (errors.EntryNotFoundError, errors.RevisionNotFoundError) as error:
        if isinstance(error, errors.LocalEntryNotFoundError):
            raise _stopped(repo, file, error.__cause__ or error, folder) from None
        raise EvaluationError(
            f"{repo.label} has lost {file.name} at {repo.commit[:12]} while it was fetched."
        ) from None
    except trouble() as error:
        raise _stopped(repo, file, error, folder) from None
    if file.sha256 is not None and (found := digests.of_file(Path(path))) != file.sha256:
        # Delete the link and its target. Otherwise the next run would use the wrong file from the cache.
        Path(path).resolve().unlink(missing_ok=True)
        Path(path).unlink(missing_ok=True)
        raise EvaluationError(
            f"{repo.label}: {file.name} arrived with SHA-256 {found[:12]}… and the hub states {file.sha256[:12]}…; it was "
            "removed, so run the claim again, and ask who serves the files if it happens twice."
        )
    return Path(path)


def _forward(bar: Progress) -> Any:
    """A tqdm class for huggingface_hub that shows nothing and updates `bar`."""
    from tqdm import tqdm

    class Forward(tqdm):  # type: ignore[type-arg] # tqdm is generic in its stubs only
        def __init__(self, *_: Any, **options: Any) -> None:
            super().__init__(disable=True)
            bar.update(int(options.get("initial") or 0))

        def update(self, n: float | None = 1) -> bool | None:
            bar.update(int(n or 0))
            return None

    return Forward


def trouble() -> tuple[type[BaseException], ...]:
    """The exceptions of a failed request: from huggingface_hub, its HTTP client, and the operating system."""
    from huggingface_hub.errors import HfHubHTTPError

    return (HfHubHTTPError, *HfHubHTTPError.__bases__, OSError)


def _why(error: BaseException) -> str:
    """Why a request failed, in a few words. URLs are left out, because they may contain a signature."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return f"it answered {status}"
    name = type(error).__name__
    if "Timeout" in name:
        return "it did not answer in time"
    return "it cannot be reached" if "Connect" in name else re.sub(r"https?://\S+", "the hub", first_line(error))


def _unreachable(label: str, error: BaseException) -> NotAttempted:
    if getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
        return NotAttempted(f"The hub refuses {label[0].lower() + label[1:]}.", f"To be let in, {LOGIN}.")
    return NotAttempted(
        f"{label} is not in this machine's cache, and the hub is no help: {_why(error)}.",
        "Run the claim again when the hub can be reached.",
    )


def _stopped(repo: Repo, file: File, error: BaseException, folder: Path | None) -> NotAttempted:
    kept = "the files that have arrived" if folder is None else "captions that were ready"
    return NotAttempted(
        f"The download of {repo.id} stopped at {file.name}: {_why(error)}.",
        f"Run the claim again: {kept} are kept.",
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
    """The command that downloads a repository."""
    options = ["--repo-type dataset"] * (kind == "dataset") + [f"--revision {revision}"] * bool(revision)
    return " ".join(["hf download", identifier, *options])


def _home(identifier: str, kind: Kind) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"{kind}s--{identifier.replace('/', '--')}"
