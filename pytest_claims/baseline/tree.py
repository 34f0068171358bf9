"""A git repository at a merge base, and comparisons of its content with the work tree.

File contents are compared, not time stamps or git's index, since the index can be told to ignore changes. If git cannot read
the merge base, that is an error: otherwise every claim would count as new.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pytest_claims import git
from pytest_claims.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_LFS = b"version https://git-lfs.github.com/spec/v1\n"
_LINK, _SUBMODULE = "120000", "160000"
_HOPS = 10
"""The most symbolic links that are followed in a row at the merge base. Linux follows 40."""

BLOCK = 1 << 22
"""Bytes that are read at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file at the merge base: its mode and its blob, as `git ls-tree` prints them."""

    mode: str
    blob: str


class Tree:
    """The files of a repository at the merge base of a revision and HEAD.

    Args:
        revision: the revision that the user named.
        places: the paths on pytest's command line, which determine the repository.

    Raises:
        SettingsError: there is no repository, no such revision, or git cannot read it.
    """

    def __init__(self, revision: str, places: Sequence[Path]) -> None:
        self.revision = revision
        roots = {Path(self._line(_folder(place), "rev-parse", "--show-toplevel")) for place in places}
        if len(roots) > 1:
            shown = ", ".join(sorted(map(str, roots)))
            raise self._error(f"the given paths lie in different repositories: {shown}; name those of one")
        self.root = Path(os.path.realpath(roots.pop()))
        # With --end-of-options, git never takes the revision for an option.
        named = self._line(self.root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        self.commit = self._line(self.root, "merge-base", named, "HEAD")
        self.hash = self._line(self.root, "rev-parse", "--show-object-format")
        self.entries: dict[str, Entry] = {}
        for row in self._run("ls-tree", "-r", "-z", "--full-tree", self.commit).split(b"\0"):
            facts, _, name = row.decode("utf-8", "surrogateescape").partition("\t")
            if name:
                mode, _, blob = facts.split(" ")
                self.entries[name] = Entry(mode=mode, blob=blob)

    def _error(self, why: str) -> SettingsError:
        return SettingsError(f"--claims-base={self.revision}: {why}")

    def _line(self, folder: Path, *command: str) -> str:
        try:
            return git.line(folder, *command)
        except git.GitError as error:
            raise self._error(str(error) or "there is no such commit, or none in common with HEAD") from None

    def _run(self, *command: str, given: bytes | None = None) -> bytes:
        try:
            return git.run(self.root, *command, given=given)
        except git.GitError as error:
            raise self._error(f"git {command[0]}: {error}") from None

    # --- names ---

    def name(self, path: Path) -> str | None:
        """The name of a path, relative to the repository, with links inside it not resolved; None for a path outside."""
        whole = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow the links
        for parent in (*reversed(whole.parents), whole):  # outermost first: a link inside may lead back to the top
            if os.path.realpath(parent) == str(self.root):
                return whole.relative_to(parent).as_posix()
        return None

    def own(self, path: Path) -> str:
        """The name of a path that must lie in the repository itself.

        Raises:
            SettingsError: the path lies in another repository, in a submodule, or in none.
        """
        name = self.name(path)
        if name is None:
            raise self._error(f"{path} lies outside the repository {self.root}, and cannot be compared")
        for parent in (PurePosixPath(name), *PurePosixPath(name).parents):
            entry = self.entries.get(str(parent))
            if (entry and entry.mode == _SUBMODULE) or (str(parent) != "." and (self.root / parent / ".git").exists()):
                raise self._error(f"{path} lies in another repository inside {self.root}, and cannot be compared")
        return name

    def links(self, name: str) -> tuple[str, ...]:
        """The symbolic links in the path of a name in the work tree, each as `link → target`."""
        parts = PurePosixPath(name).parts
        prefixes = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        return tuple(f"{p} → {(self.root / p).readlink()}" for p in prefixes if (self.root / p).is_symlink())

    def links_before(self, name: str) -> tuple[str, ...]:
        """The symbolic links in the path of a name at the merge base, each as `link → target`."""
        parts = PurePosixPath(name).parts
        prefixes = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        linked = [p for p in prefixes if (entry := self.entries.get(p)) and entry.mode == _LINK]
        return tuple(f"{p} → {self.blob(self.entries[p].blob).decode('utf-8', 'surrogateescape')}" for p in linked)

    def module(self, name: str) -> str | None:
        """The submodule at the merge base that contains a name, or has this name; None if there is none."""
        parts = PurePosixPath(name).parts
        prefixes = ("/".join(parts[: n + 1]) for n in range(len(parts)))
        return next((p for p in prefixes if (entry := self.entries.get(p)) and entry.mode == _SUBMODULE), None)

    def inner(self, name: str) -> str | None:
        """The innermost nested repository of the work tree that contains a name, or has this name; None if there is none."""
        parents = (PurePosixPath(name), *PurePosixPath(name).parents)
        found = (str(parent) for parent in parents if str(parent) != ".")
        return next((parent for parent in found if (self.root / parent / ".git").exists()), None)

    def checked_out(self, module: str) -> str:
        """The commit of a submodule that is checked out in the work tree."""
        return self._line(self.root / module, "rev-parse", "--verify", "HEAD")

    # --- content ---

    def resolved(self, name: str) -> str:
        """The name of the file or folder that `name` led to at the merge base, after following links inside the repository."""
        for _ in range(_HOPS):
            parts = PurePosixPath(name).parts
            linked = ("/".join(parts[: n + 1]) for n in range(len(parts)))
            link = next((p for p in linked if (entry := self.entries.get(p)) and entry.mode == _LINK), None)
            if link is None:
                break
            target = self.blob(self.entries[link].blob).decode("utf-8", "surrogateescape")
            rest = PurePosixPath(name).relative_to(link)
            name = os.path.normpath(PurePosixPath(link).parent / target / rest)
        return name

    def read(self, name: str) -> bytes | None:
        """The bytes of a file at the merge base, after following links; None if there was no such file."""
        entry = self.entries.get(self.resolved(name))
        return self.blob(entry.blob) if entry and entry.mode not in (_LINK, _SUBMODULE) else None

    def blob(self, digest: str) -> bytes:
        """The content of a blob.

        Raises:
            SettingsError: git does not have the blob, as in a partial clone without network.
        """
        return self._run("cat-file", "blob", digest)

    def below(self, name: str) -> dict[str, Entry]:
        """The files at the merge base that have the name `name` or lie below it."""
        if name in self.entries:
            return {name: self.entries[name]}
        prefix = "" if name in ("", ".") else f"{name}/"
        return {found: entry for found, entry in self.entries.items() if found.startswith(prefix)}

    def same(self, entry: Entry, path: Path) -> bool:
        """Whether a file of the work tree has the content of an entry, apart from line ends and through git-lfs pointers."""
        if entry.mode == _LINK:
            return path.is_symlink() and os.fsencode(path.readlink()) == self.blob(entry.blob)
        try:
            if self._blob_of(path) == entry.blob:
                return True
            before = self.blob(entry.blob)
            if before.startswith(_LFS):
                with path.open("rb") as file:
                    return hashlib.file_digest(file, "sha256").hexdigest().encode() in before
            now = path.read_bytes() if path.stat().st_size <= 2 * len(before) + 1 else b""
        except OSError:
            return False
        return b"\0" not in before and now.replace(b"\r\n", b"\n") == before.replace(b"\r\n", b"\n")

    def _blob_of(self, path: Path) -> str:
        found = hashlib.new(self.hash)
        with path.open("rb") as file:
            found.update(f"blob {os.fstat(file.fileno()).st_size}\0".encode())
            while block := file.read(BLOCK):
                found.update(block)
        return found.hexdigest()

    def ignored(self, names: Iterable[str]) -> set[str]:
        """Those of `names` that git ignores, so that no commit contains them."""
        listed = b"\0".join(os.fsencode(name) for name in names)
        if not listed:
            return set()
        try:
            said = git.run(self.root, "check-ignore", "-z", "--stdin", given=listed)
        except git.GitError as error:
            if str(error):
                raise self._error(f"git check-ignore: {error}") from None
            return set()  # git check-ignore fails without a message if no name is ignored
        return {os.fsdecode(name) for name in said.split(b"\0") if name}

    def files(self, path: Path) -> Iterator[tuple[str, Path]]:
        """The file `path`, or all files below the folder `path`, each with its name relative to `path` ("" for `path`)."""
        if not path.is_dir():
            yield "", path
            return
        for place, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if name != ".git")
            for name in sorted(names):
                found = Path(place, name)
                yield found.relative_to(path).as_posix(), found


def _folder(place: Path) -> Path:
    """The nearest existing folder: `place` or one above it, since a claim file may have been removed."""
    return next(folder for folder in (place, *place.parents) if folder.is_dir())
