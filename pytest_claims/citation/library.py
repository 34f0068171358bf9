"""Finds the source of a claim's paper, and reads each source once.

Sources lie in the folders of `--claims-papers`, and in `papers/` beside the claim file. Nothing is ever downloaded.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_claims import files
from pytest_claims.citation import child
from pytest_claims.citation.bundle import ARCHIVES
from pytest_claims.citation.doubles import Cited
from pytest_claims.citation.latex_tokens import Unreadable
from pytest_claims.citation.reading import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pytest_claims.citation.models import Document
    from pytest_claims.spec import Paper

BESIDE = "papers"
"""The folder beside a claim file that is looked into too."""

NAMES = 10_000
"""The most names of a folder that are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file, or a folder of LaTeX files, with a paper."""

    path: Path
    version: int | None

    @property
    def shown(self) -> str:
        """As a person would type it."""
        return files.shown(self.path)


class Library:
    """The papers of a session.

    Args:
        folders: those of `--claims-papers`, the first one first.
        read: reads a source; raises `Unreadable`.
    """

    def __init__(self, folders: Sequence[Path] = (), read: Callable[[Path], Document] = child.read) -> None:
        self.folders = tuple(folders)
        self.cited = Cited()
        """What the claims of the session cite."""
        self._read = read
        self._known: dict[Path, Document | Unreadable] = {}
        self._names: dict[Path, list[tuple[str, bool]]] = {}

    def read(self, source: Source) -> Document:
        """The document of a source.

        Raises:
            Unreadable: it cannot be read.
        """
        if source.path not in self._known:
            try:
                self._known[source.path] = self._read(source.path)
            except Unreadable as error:
                self._known[source.path] = error
        found = self._known[source.path]
        if isinstance(found, Unreadable):
            raise found
        return replace(found, name=source.shown, version=source.version)

    def sources(self, paper: Paper, beside: Path) -> list[Source]:
        """The sources of a paper, the one that is looked into first.

        Args:
            paper: what the claim file says of it.
            beside: the claim file's folder.

        Raises:
            EvaluationError: `paper.source` leaves the folder that it starts in.
        """
        if paper.source is not None:
            path = files.find(paper.source, (*self.folders, beside))
            return [] if path is None else [Source(path=path, version=None)]
        if paper.arxiv_id is None:
            return []
        for folder in (*self.folders, beside / BESIDE):
            found = list(self._in_folder(folder, paper.arxiv_id))
            if found:
                # The version that the claim states, then a file that does not say its version, then the newest one.
                return sorted(
                    found, key=lambda source: (_distance(source.version, paper.latest_version), _kind(source.path))
                )
        return []

    def _in_folder(self, folder: Path, identifier: str) -> Iterator[Source]:
        for name, is_folder in self._listed(folder):
            path = folder / name
            match = named(name, identifier)
            if match is None or (is_folder and match["suffix"]):
                continue
            if path.resolve().is_relative_to(folder.resolve()):  # a link may lead out of the folder
                yield Source(path=path, version=int(match["version"]) if match["version"] else None)

    def _listed(self, folder: Path) -> list[tuple[str, bool]]:
        if folder not in self._names:
            names = []
            try:
                with os.scandir(folder) as entries:
                    for entry, _ in zip(entries, range(NAMES), strict=False):
                        names.append((entry.name, entry.is_dir()))
            except OSError:
                pass
            self._names[folder] = sorted(names)
        return self._names[folder]


def named(name: str, identifier: str) -> re.Match[str] | None:
    """The parts `version` and `suffix` of a file's or a folder's name, if it is that of a paper; else None."""
    suffixes = "|".join(map(re.escape, SUFFIXES))
    paper = re.escape(identifier).replace("/", "[-_]?")
    pattern = rf"(?:arxiv[-_. ]?)?{paper}(?:v(?P<version>[1-9][0-9]{{0,2}}))?(?P<suffix>{suffixes})?"
    return re.fullmatch(pattern, name, re.IGNORECASE)


def _distance(version: int | None, stated: int | None) -> tuple[int, int]:
    if version is not None and version == stated:
        return (0, 0)
    return (1, 0) if version is None else (2, -version)


def _kind(path: Path) -> int:
    """Where a source comes in the order of kinds; a folder is LaTeX, and a file without a suffix is arXiv's archive."""
    suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")
    return SUFFIXES.index(suffix or (".tex" if path.is_dir() else ARCHIVES[0]))
