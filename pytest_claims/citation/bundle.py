r"""The files of a paper's LaTeX source, in a folder or in the archive that arXiv gives: the main file, and what it includes.

An archive is read in memory. Nothing of it is written, its links are not followed, and a name that leads out of it is no name.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import posixpath
import re
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from pytest_claims.citation.latex_tokens import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pytest_claims.citation.latex import Include

BYTES = 20 * 2**20
"""The most bytes of a text file, and of all LaTeX files of a source together. A page of arXiv's HTML has up to about 5 MB."""

FILES = 500
"""The most LaTeX files of a source."""

LATEX = (".tex", ".ltx")
INCLUDED = (*LATEX, ".sty", ".cls", ".def")
"""What `\\input` reads."""

ARCHIVES = (".tar.gz", ".tgz", ".tar", ".gz")

ARCHIVE = 200 * 2**20
"""The most bytes of an archive. arXiv takes at most 50 MB from an author without asking."""

UNPACKED = 300 * 2**20
"""The most bytes that an archive unpacks to. Figures are passed over, and count."""

MEMBERS = 10_000
"""The most files of an archive."""

_README = ("00README.json", "00README.XXX")
_MAIN = re.compile(rb"(?m)^[^%\n]*\\document(?:class|style)\s*(?:\[[^\]]{0,500}\]\s*)?\{([^}]{0,60})\}")
_INCLUDES = re.compile(rb"(?m)^[^%\n]{0,2000}?\\(?:input|include|subfile)\s*\{?\s*([^}\s%]{1,200})")
_ASIDE = re.compile(
    r"supp|append|rebuttal|response|review|cover|template|example|egpaper|figure|poster|slides", re.IGNORECASE
)
"""In the name of a main file: it is not the paper."""

_PARTS = (b"standalone", b"subfiles", b"subfile")
"""Classes of files that are parts of another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The files of a source by their names below its top, such as `sections/results.tex`."""

    names: tuple[str, ...]
    """Of the LaTeX files."""
    load: Callable[[str], bytes | None]
    """The content of a file that may be included, by its name; None if there is none."""
    stems: frozenset[str] = frozenset()
    """The names without suffix of the `.bbl` files: each lies beside a main file."""
    stated: str = ""
    """The main file that arXiv's own `00README` states; empty if it states none."""

    def read(self) -> tuple[str, Include, Callable[[], str], list[str]]:
        """The source of the main file, what gives the files that it includes, the digest of all that was read, and notes.

        Without a main file all LaTeX files are read, one behind the other.

        Raises:
            Unreadable: there is no LaTeX file, or there are too many bytes.
        """
        if not self.names:
            raise Unreadable("it holds no .tex file")
        sources = {name: self.load(name) or b"" for name in self.names}
        if sum(map(len, sources.values())) > BYTES:
            raise Unreadable(f"its LaTeX files have more than {BYTES // 2**20} MB")
        mains = self._mains(sources)
        chosen = mains[:1] or list(self.names)
        used = {name: sources[name] for name in chosen}
        notes = []
        others = [name for name in mains[1:] if name.count("/") == mains[0].count("/")]
        if others:
            notes.append(f"{', '.join(others[:3])} (a main file too; {mains[0]} was read)")
        base = posixpath.dirname(chosen[0]) if mains else ""
        text = "\n\n".join(decoded(sources[name]) for name in chosen)
        return text, including(self.load, base, used), lambda: _digest(used), notes

    def _mains(self, sources: Mapping[str, bytes]) -> list[str]:
        """The files with a class of their own, the likeliest main file first."""
        found = {}
        for name, data in sources.items():
            match = _MAIN.search(data)
            if match is not None and match[1].strip() not in _PARTS:
                found[name] = data
        if self.stated in sources:
            return [self.stated]
        if len(found) < 2:
            return list(found)
        included = {name: _includes(data) for name, data in sources.items()}
        return sorted(
            found,
            key=lambda name: (
                name.count("/"),
                rb"\begin{document}" not in found[name],
                _stem(name) not in self.stems,
                _ASIDE.search(name) is not None,
                -_reached(name, included, sources),
                name,
            ),
        )


def _includes(data: bytes) -> list[str]:
    r"""The names behind `\input`, one of each line."""
    return [decoded(match[1]).strip() for match in _INCLUDES.finditer(data)]


def _reached(main: str, included: Mapping[str, Sequence[str]], sources: Mapping[str, bytes]) -> int:
    """How many bytes the LaTeX files have that a main file includes, its own among them."""
    base = posixpath.dirname(main)
    waiting, known = [main], {main}
    while waiting:
        for text in included[waiting.pop()]:
            name = posixpath.normpath(posixpath.join(base, text))
            for one in (name, f"{name}.tex"):
                if one in sources and one not in known:
                    known.add(one)
                    waiting.append(one)
    return sum(len(sources[name]) for name in known)


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _digest(used: Mapping[str, bytes]) -> str:
    names = sorted(used, key=lambda name: name.split("/"))
    return hashlib.sha256(b"".join(hashlib.sha256(used[name]).digest() for name in names)).hexdigest()


def decoded(data: bytes) -> str:
    """A text file as text."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def including(load: Callable[[str], bytes | None], base: str = "", used: dict[str, bytes] | None = None) -> Include:
    r"""What `\input` reads: files of the same source, together at most `BYTES`.

    Args:
        load: the content of a file by its name; None if there is none.
        base: the main file's folder, which names start from.
        used: gets what was read.
    """
    left = [BYTES]

    def include(name: str) -> str | None:
        if not name or "\0" in name or len(name) > 200:
            return None
        for one in (name, f"{name}.tex"):
            path = posixpath.normpath(posixpath.join(base, one))
            if posixpath.isabs(path) or path.split("/")[0] == ".." or not path.lower().endswith(INCLUDED):
                continue
            data = load(path)
            if data is not None:
                left[0] -= len(data)
                if left[0] < 0:
                    raise Unreadable(f"the files that it includes have more than {BYTES // 2**20} MB")
                if used is not None:
                    used[path] = data
                return decoded(data)
        return None

    return include


def of_bytes(path: Path, most: int) -> bytes:
    """The content of a file.

    Raises:
        Unreadable: it has more than `most` bytes.
    """
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise Unreadable(f"it has more than {most // 2**20} MB")
    return data


def loader(folder: Path) -> Callable[[str], bytes | None]:
    """Gives the files below a folder; a link that leads out of it leads nowhere."""
    root = folder.resolve()

    def load(name: str) -> bytes | None:
        resolved = (folder / name).resolve()
        inside = resolved.is_relative_to(root) and resolved.suffix.lower() in INCLUDED and resolved.is_file()
        return of_bytes(resolved, BYTES) if inside else None

    return load


def of_folder(folder: Path) -> Bundle:
    """The source in an unpacked folder.

    Raises:
        Unreadable: it has too many LaTeX files.
    """
    load = loader(folder)
    names, stems = [], set()
    for name in _below(folder):
        if name.lower().endswith(LATEX) and (folder / name).resolve().is_relative_to(folder.resolve()):
            names.append(name)
            _bounded(names)
        elif name.endswith(".bbl"):
            stems.add(_stem(name))
    stated = ""
    for name in _README:
        path = folder / name
        if path.is_file() and not path.is_symlink():
            stated = _stated(name, of_bytes(path, BYTES)) or stated
    return Bundle(names=tuple(names), load=load, stems=frozenset(stems), stated=stated)


def _below(folder: Path) -> Iterator[str]:
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))[:50]
        for name in sorted(names):
            yield (Path(top) / name).relative_to(folder).as_posix()


def _bounded(names: Sequence[str]) -> None:
    if len(names) > FILES:
        raise Unreadable(f"it holds more than {FILES} .tex files")


def _stated(name: str, data: bytes) -> str:
    """The main file that arXiv's `00README` states; empty if it states none."""
    text = decoded(data[:100_000])
    if not name.endswith(".json"):
        match = re.search(r"(?m)^\s*(\S{1,200})\s+toplevelfile\s*$", text)
        return match[1] if match else ""
    try:
        sources = json.loads(text)["sources"]
        return next((str(one["filename"]) for one in sources if one.get("usage") == "toplevel"), "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""


class _Counted(io.RawIOBase):
    """A stream that ends with an error behind `UNPACKED` bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = UNPACKED

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise Unreadable(f"it unpacks to more than {UNPACKED // 2**20} MB")
        return data


def of_archive(path: Path) -> Bundle:
    """The source in arXiv's download: a tar file, compressed or not, or one compressed LaTeX file.

    Raises:
        Unreadable: it is neither, or goes beyond the bounds.
    """
    if path.stat().st_size > ARCHIVE:
        raise Unreadable(f"it has more than {ARCHIVE // 2**20} MB")
    try:
        with _opened(path) as stream:
            head = stream.read(tarfile.BLOCKSIZE)
        with _opened(path) as stream:
            return _unpacked(stream) if is_tar(head) else _single(stream)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, OverflowError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable("it is no archive that can be read") from None


def is_tar(head: bytes) -> bool:
    """Whether these bytes begin a tar file."""
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast("IO[bytes]", gzip.open(path, "rb") if packed else path.open("rb"))


def _single(stream: IO[bytes]) -> Bundle:
    """One compressed file: what arXiv gives of a paper that is one file."""
    data = _Counted(stream).read(BYTES + 1)
    if len(data) > BYTES:
        raise Unreadable(f"it has more than {BYTES // 2**20} MB")
    if data.startswith(b"%PDF-"):
        raise Unreadable("it is a compressed PDF: unpack it, and name it .pdf")
    if b"\\" not in data:
        raise Unreadable("it is neither a tar file nor LaTeX")
    return Bundle(names=("main.tex",), load={"main.tex": data}.get)


def _unpacked(stream: IO[bytes]) -> Bundle:
    kept: dict[str, bytes] = {}
    stems, stated, room = set(), "", BYTES
    with tarfile.open(fileobj=_Counted(stream), mode="r|") as archive:
        for count, member in enumerate(archive):
            if count >= MEMBERS:
                raise Unreadable(f"it holds more than {MEMBERS:,} files")
            name = posixpath.normpath(member.name)
            if not member.isreg() or posixpath.isabs(name) or name.split("/")[0] == "..":
                continue
            if name.endswith(".bbl"):
                stems.add(_stem(name))
            if not name.lower().endswith(INCLUDED) and name not in _README:
                continue
            room -= member.size
            if room < 0 or member.size < 0:
                raise Unreadable(f"its LaTeX files have more than {BYTES // 2**20} MB")
            file = archive.extractfile(member)
            data = file.read() if file is not None else b""
            if name in _README:
                stated = _stated(name, data) or stated
            else:
                kept[name] = data
                _bounded([one for one in kept if one.lower().endswith(LATEX)])
    names = tuple(sorted(name for name in kept if name.lower().endswith(LATEX)))
    return Bundle(names=names, load=kept.get, stems=frozenset(stems), stated=stated)
