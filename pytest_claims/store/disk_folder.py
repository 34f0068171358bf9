"""The evidence folder of one recipe on the disk, while a run writes it.

A run that is killed at any moment leaves complete, sealed lines and at most one torn line. A file with lines that do not carry
this user's seal is set aside.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from pytest_claims import files, spool
from pytest_claims.errors import EvaluationError
from pytest_claims.evidence import row_of, size_of
from pytest_claims.files import shown
from pytest_claims.store import disk
from pytest_claims.store.folder import Folder, Provenance, now, with_head
from pytest_claims.store.format import (
    CAPTIONS,
    PLAN,
    REFERENCES,
    RUN,
    SCHEMA,
    GitHead,
    OutputLine,
    ReferencesLine,
    RunFile,
    read,
)
from pytest_claims.strict_json import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from pytest_claims.evidence import Evidence, Output, OutputRow
    from pytest_claims.git import Head
    from pytest_claims.spool import Sorter
    from pytest_claims.store.recipe import Recipe
    from pytest_claims.store.seal import Key


_DONE = {"caption": "captioned", "answer": "answered", "label": "labelled", "ranking": "ranked"}
"""What a run did to an image, by what its output is called."""


@dataclass(slots=True)
class _Left:
    """What earlier runs left in the file of outputs."""

    lines: Sorter[tuple[str, int, OutputRow, str, bytes]]
    """Id, number, row, digest of the image, and the line itself."""
    foreign: int = 0
    """How many lines no run of this user wrote, or are there twice."""
    changed: int = 0
    torn: bool = False


class DiskFolder(Folder):
    """The outputs of a run, in a folder on the disk that later runs use again.

    Args:
        recipe: the recipe of the outputs.
        digest: the digest of the plan.
        path: the folder.
        key: the key that seals the lines.
        batch: after how many lines the file is synced to the disk.
    """

    def __init__(self, recipe: Recipe, digest: str, *, path: Path, key: Key, batch: int) -> None:
        super().__init__(recipe, digest)
        self.path = path
        self._key = key
        self._batch = batch
        self._ordered, self._last = True, ""
        """Whether the lines of the file are in the order of their ids; the id of the last line."""
        self._run: RunFile | None = None
        """The `run.json` of an earlier run, if it is sealed by this user and complete."""
        self._started = self._when = now()
        self._handle: int | None = None
        self._size = 0
        self._unsynced = 0

    # --- reading what earlier runs left ---

    def resume(self, content: Mapping[str, Any], image_digest: Callable[[str], str]) -> None:
        """Read what earlier runs left, and prepare the folder for this run.

        Args:
            content: the content of `plan.json`.
            image_digest: returns the digest of an image's current bytes, given its id.

        Raises:
            EvaluationError: the folder cannot be written.
        """
        if self.path.is_symlink():
            raise EvaluationError(f"{shown(self.path)}: is a symbolic link, expected a folder.")
        with self._writing():
            self.path.mkdir(exist_ok=True)
            for left in self.path.glob(f".*{files.UNFINISHED}"):
                left.unlink()  # a killed run left it; no running process needs it, since this one has the lock
            self._settle(PLAN, lambda: (_whole(content),))
            self._settle(REFERENCES, self._references)
            self._read_lines(image_digest)
            run = self._read_run()
            if run is not None:
                self._started = str(run.started_at)
                self._when = run.created_at or self._started
            if run is None or len(self) < len(self.recipe.references):
                # Until `finish`, `run.json` says that the run is not complete.
                self._write_run(None, {}, None)
            elif run.created_at is not None:
                self._run = run
        if self._key.note:
            self.notes.append(self._key.note)

    def _settle(self, name: str, pieces: Callable[[], Iterable[bytes]]) -> None:
        """Replace a file, unless it has exactly the content that the recipe determines."""
        if not disk.holds(self.path / name, pieces()):
            files.write_whole(self.path / name, pieces())

    def _references(self) -> Iterator[bytes]:
        for name, texts in spool.entries(self.recipe.references):
            yield _line(ReferencesLine(id=name, references=list(texts)).model_dump())

    def _read_lines(self, image_digest: Callable[[str], str]) -> None:
        path = self.path / CAPTIONS
        left = _Left(spool.Sorter())
        try:
            for number, text in enumerate(disk.lines(path) if os.path.lexists(path) else ()):
                left.torn = not text.endswith(b"\n")
                if not left.torn:
                    self._sort(left, number, text)
        except EvaluationError:
            left.foreign += 1  # not a plain file, or larger than any run makes it
        self._old = spool.by_name(
            self._current(left, image_digest), lambda kept: size_of(kept[0]) + len(kept[1])
        )  # fmt: skip
        if left.foreign:
            aside = self._set_aside(path)
            self.notes.append(
                f"Evidence that no run of this user wrote is not used ({left.foreign:,} lines of {CAPTIONS}); it was set aside "
                f"as {aside}."
            )
        if left.torn:
            self.notes.append("A torn last line was dropped from the evidence: a run was killed while it wrote it.")
        if left.changed:
            done = _DONE[self.recipe.noun]
            self.notes.append(f"{left.changed:,} images changed since they were {done}, and are {done} again.")
        if left.foreign or left.torn or left.changed:
            files.write_whole(path, (line for _, line in self._entries()))
            self._ordered, self._last = True, max(spool.names(self._old)[-1:], default="")

    def _sort(self, left: _Left, number: int, text: bytes) -> None:
        """Sort a whole line of the file in, if it is ours."""
        line = self._ours(text[:-1])
        if line is None:
            left.foreign += 1
            return
        row = row_of(line.output(self.recipe.references[line.id]))
        left.lines.add((line.id, number, row, line.image, text), size_of(row) + len(text))
        self._ordered, self._last = self._ordered and self._last < line.id, line.id

    @staticmethod
    def _current(left: _Left, image_digest: Callable[[str], str]) -> Iterator[tuple[str, tuple[OutputRow, bytes]]]:
        """The first line of each id whose image has not changed, in the order of the ids."""
        for name, group in groupby(left.lines.rows(), itemgetter(0)):
            (_, _, row, image, text), *others = group
            left.foreign += len(others)
            if image == image_digest(name):
                yield name, (row, text)
            else:
                left.changed += 1

    def _ours(self, text: bytes) -> OutputLine | None:
        """The values of a line, if this user's runs wrote it under this plan; else None."""
        try:
            values = disk.parse(text, Source(CAPTIONS, 1))
            line = read(OutputLine, values, CAPTIONS)
        except EvaluationError:
            return None
        return line if self._key.holds(self.digest, values) and line.id in self.recipe.references else None

    def _set_aside(self, path: Path) -> str:
        number = 1
        while os.path.lexists(aside := path.with_name(f"captions.foreign-{number}.jsonl")):
            number += 1
        path.rename(aside)
        return aside.name

    def _read_run(self) -> RunFile | None:
        try:
            values = disk.parse(disk.read(self.path / RUN, disk.MAX_FACTS) or b"", Source(RUN, 1))
            run = read(RunFile, values, RUN)
        except EvaluationError:
            return None
        return run if self._key.holds(self.digest, values) else None

    # --- writing new outputs ---

    def append(self, output: Output, image_digest: str) -> None:
        """See `Folder.append`. The line is written when this returns, and synced to the disk after each batch."""
        data = _line(self._sealed(OutputLine.of(output, image_digest).values()))
        with self._writing():
            self._write(data)
            self._keep(output, data)
            self._ordered, self._last = self._ordered and self._last < output.id, output.id
            self._unsynced += 1
            if self._unsynced >= self._batch:
                self._sync()

    def _sealed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {**values, "seal": self._key.seal(self.digest, values)}

    def _write(self, data: bytes) -> None:
        if self._handle is None:
            self._handle = disk.open_plain(self.path / CAPTIONS, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            self._size = os.fstat(self._handle).st_size
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._handle, rest) :]
        except OSError:
            with suppress(OSError):  # remove the torn line; a file can be shortened even if the disk is full
                os.ftruncate(self._handle, self._size)
            raise
        self._size += len(data)

    def _sync(self) -> None:
        """Sync the lines to the disk, and check that the file was not replaced, so that the next run will find them."""
        if self._handle is None:
            return
        os.fsync(self._handle)
        self._unsynced = 0
        if not os.path.samestat((self.path / CAPTIONS).lstat(), os.fstat(self._handle)):
            raise OSError(0, "it was replaced while the claim ran")

    # --- the end of the run ---

    def finish(self, provenance: Mapping[str, str | int | float | None], head: Head | None = None) -> Evidence:
        """See `Folder.finish`."""
        if self._run is not None:
            created, facts = str(self._run.created_at), dict(self._run.provenance)
        else:
            created, facts = now(), with_head(provenance, head)
            with self._writing():
                self._sync()
                if not self._ordered:
                    # The order in which images were ready has no meaning. Sorted, two runs can be compared line by line.
                    files.write_whole(self.path / CAPTIONS, (line for _, line in self._entries()))
                    self.close()  # the open descriptor belongs to the replaced file
                self._write_run(created, facts, head)
        if self._old:
            facts[f"{self.recipe.noun}s"] = f"{len(self._old)} of {len(self)} from evidence of {self._when}"
        return self._evidence(created, facts)

    def _write_run(self, created: str | None, provenance: Provenance, head: Head | None) -> None:
        run = RunFile(
            schema=SCHEMA,
            started_at=self._started,
            created_at=created,
            git=None if head is None else GitHead(commit=head.commit, dirty=head.dirty),
            provenance=provenance,
        )
        values = run.model_dump(by_alias=True, exclude={"seal"})
        files.write_whole(self.path / RUN, _whole(self._sealed(values)))

    def close(self) -> None:
        """Sync and close the file. Errors are ignored, since `finish` has already synced a completed run."""
        if self._handle is not None:
            with suppress(OSError):
                os.fsync(self._handle)
            os.close(self._handle)
            self._handle = None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn an `OSError` into an `EvaluationError` of one line, which says what is kept."""
        try:
            yield
        except OSError as error:
            why, kept = disk.reason(error), ""
            if len(self) and (self.path / CAPTIONS).is_file():
                total = len(self.recipe.references)
                kept = f" {len(self):,} of {total:,} {self.recipe.noun}s are kept; the next run goes on from them."
            elif len(self):
                why = "it vanished while the claim ran"
            raise EvaluationError(f"The evidence folder {shown(self.path)} cannot be written: {why}.{kept}") from None


def _line(values: Mapping[str, Any]) -> bytes:
    """Values as one line of JSON, in bytes."""
    return (json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _whole(values: Mapping[str, Any]) -> bytes:
    """Values as an indented JSON file, in bytes."""
    return (json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
