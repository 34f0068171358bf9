"""The evidence folder of one recipe while a run writes it: what is there already, one line per image, and the end of the run.

A kill at any instant leaves whole, sealed lines and at most one torn one. What does not carry this user's seal is set aside.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pytest_claims.errors import EvaluationError
from pytest_claims.evidence import Basis, Caption, Evidence
from pytest_claims.files import shown
from pytest_claims.store import disk, seal
from pytest_claims.store.recipe import NAME, SCHEMA, Recipe, plan_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pytest_claims.git import Head
    from pytest_claims.protocol import Observed

PLAN, REFERENCES, CAPTIONS, RUN = "plan.json", "references.jsonl", "captions.jsonl", "run.json"


class Store:
    """Where evidence is kept.

    Args:
        root: gives the folder of all evidence folders, called when the first run needs it; None where nothing is kept.
    """

    def __init__(self, root: Callable[[], Path | None] = lambda: None) -> None:
        self._root = root
        self._key: seal.Key | None = None

    @property
    def key(self) -> seal.Key:
        """The user's key."""
        if self._key is None:
            self._key = seal.load()
        return self._key

    def root(self) -> Path | None:
        """The folder of all evidence folders, made if need be; None where nothing is kept.

        Raises:
            EvaluationError: it cannot be made.
        """
        try:
            root = self._root()
            if root is not None:
                root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            # `filename` is where it really failed; the cache folder's own path is not known if it cannot be made.
            where = f" {error.filename}" if error.filename else ""
            raise EvaluationError(
                f"The evidence folder{where} cannot be made: {disk.reason(error)}. Name another with --claims-evidence=DIR."
            ) from None
        return root

    @contextmanager
    def open(
        self,
        recipe: Recipe,
        picture: Callable[[str], str],
        *,
        batch: int = 1,
        say: Callable[[str], object] = len,
    ) -> Iterator[Folder]:
        """The folder of a recipe, for this process alone; waits while another one has it.

        Args:
            recipe: what decides the captions.
            picture: an id → the digest of the image's bytes as they are now.
            batch: after how many lines the system is asked to put them on the disk.
            say: tells the user that another run is waited for.

        Raises:
            EvaluationError: the folder cannot be written.
        """
        root = self.root()
        content = recipe.content()
        digest = plan_digest(content)
        if root is None:
            yield Folder(recipe, digest, path=None, key=None, batch=batch)
            return
        path = root / digest[:NAME]
        with _locked(path, say):
            folder = Folder(recipe, digest, path=path, key=self.key, batch=batch)
            with folder.writing():
                folder.resume(content, picture)
            try:
                yield folder
            finally:
                folder.close()


@contextmanager
def _locked(path: Path, say: Callable[[str], object]) -> Iterator[None]:
    """A lock of the operating system: it goes with the process that holds it, however that ends."""
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            say(f"Another run of the same plan has {shown(path)}; waiting for it.")
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        why = disk.reason(error) if isinstance(error, OSError) else str(error)
        raise EvaluationError(f"The evidence folder {shown(path)} cannot be locked: {why}.") from None
    try:
        yield
    finally:
        with suppress(OSError):
            lock.release()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One caption as it stands in the file."""

    caption: Caption
    data: bytes


class Folder:
    """Captions of one recipe, those that were there and those that come.

    Args:
        recipe: what decides the captions.
        digest: of the plan.
        path: the folder; None: nothing is written.
        key: seals what is written.
        batch: after how many lines the system is asked to put them on the disk.
    """

    def __init__(self, recipe: Recipe, digest: str, *, path: Path | None, key: seal.Key | None, batch: int) -> None:
        self.recipe = recipe
        self.digest = digest
        self.path = path
        self.reused: tuple[str, ...] = ()
        """The ids whose captions were there before this run."""
        self.notes: list[str] = []
        self._key = key
        self._batch = batch
        self._lines: dict[str, _Line] = {}  # in the order of the file
        self._run: Mapping[str, Any] | None = None  # of an earlier run, if it is this user's
        self._started = self._when = _now()
        self._handle: int | None = None
        self._size = 0
        self._unsynced = 0

    @property
    def missing(self) -> tuple[str, ...]:
        """The ids that have no caption yet, sorted."""
        return tuple(name for name in sorted(self.recipe.references) if name not in self._lines)

    def caption(self, name: str) -> Caption:
        """The caption of an image that is not missing."""
        return self._lines[name].caption

    # --- what is there ---

    def resume(self, content: Mapping[str, Any], picture: Callable[[str], str]) -> None:
        """Read what earlier runs left and make the folder ready for this one."""
        assert self.path is not None  # noqa: S101 - `Store.open`
        assert self._key is not None  # noqa: S101 - `Store.open`
        if self.path.is_symlink():
            raise EvaluationError(f"{shown(self.path)}: is a symbolic link, expected a folder.")
        self.path.mkdir(exist_ok=True)
        self._settle(PLAN, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        references = self.recipe.references
        lines = ({"id": name, "references": list(references[name])} for name in sorted(references))
        self._settle(REFERENCES, "".join(_text(line) for line in lines))
        self._read_lines(picture)
        self._run = self._read_run()
        self.reused = tuple(sorted(self._lines))
        if self._run is not None:
            self._started = str(self._run["started_at"])
            self._when = str(self._run["created_at"] or self._started)
        if self._run is None or self.missing:
            # From now until `finish` the folder says that it is not complete.
            self._run = None
            self._write_run(None, {}, None)
        if self._key.note:
            self.notes.append(self._key.note)

    def _settle(self, name: str, text: str) -> None:
        """The recipe says what stands in these files: whatever else does is replaced."""
        assert self.path is not None  # noqa: S101 - see `resume`
        data = text.encode()
        try:
            found = disk.read(self.path / name, len(data))
        except EvaluationError:
            found = None
        if found != data:
            disk.replace(self.path / name, data)

    def _read_lines(self, picture: Callable[[str], str]) -> None:
        assert self.path is not None  # noqa: S101 - see `resume`
        path = self.path / CAPTIONS
        foreign = changed = torn = 0
        try:
            data = disk.read(path, disk.MAX_LINES) or b""
        except EvaluationError:
            data, foreign = b"", 1  # no plain file, or one that no run of ours leaves
        *whole, last = data.split(b"\n")
        torn = int(bool(last))
        for line in whole:
            values = self._ours(line)
            if values is None or values["id"] in self._lines:
                foreign += 1
            elif values["image"] != picture(values["id"]):
                changed += 1
            else:
                self._lines[values["id"]] = _Line(caption=self._caption(values), data=line + b"\n")
        if foreign:
            aside = self._set_aside(path)
            self.notes.append(
                f"Evidence that no run of this user wrote is not used ({foreign:,} lines of {CAPTIONS}); it was set aside as "
                f"{aside}."
            )
        if torn:
            self.notes.append("A torn last line was dropped from the evidence: a run was killed while it wrote it.")
        if changed:
            self.notes.append(f"{changed:,} images changed since they were captioned, and are captioned again.")
        if foreign or torn or changed:
            disk.replace(path, b"".join(line.data for line in self._lines.values()))

    def _ours(self, line: bytes) -> dict[str, Any] | None:
        """The values of a line that this user's runs wrote under this plan."""
        assert self._key is not None  # noqa: S101 - see `resume`
        try:
            values = disk.parse(line, CAPTIONS)
        except EvaluationError:
            return None
        if not self._key.holds(self.digest, values) or values.get("id") not in self.recipe.references:
            return None
        return values

    def _caption(self, values: Mapping[str, Any]) -> Caption:
        return Caption(
            id=values["id"],
            text=values["caption"],
            references=self.recipe.references[values["id"]],
            tokens=values["tokens"],
            truncated=values["truncated"],
        )

    def _set_aside(self, path: Path) -> str:
        number = 1
        while os.path.lexists(aside := path.with_name(f"captions.foreign-{number}.jsonl")):
            number += 1
        path.rename(aside)
        return aside.name

    def _read_run(self) -> Mapping[str, Any] | None:
        assert self.path is not None  # noqa: S101 - see `resume`
        assert self._key is not None  # noqa: S101 - see `resume`
        try:
            values = disk.parse(disk.read(self.path / RUN, disk.MAX_FACTS) or b"", RUN)
        except EvaluationError:
            return None
        return values if self._key.holds(self.digest, values) else None

    # --- what comes ---

    def append(self, caption: Caption, picture: str) -> None:
        """Write one caption; it is on its way to the disk when this returns, and on it after each batch.

        Args:
            caption: of an image that is missing.
            picture: the digest of the bytes that were captioned.

        Raises:
            EvaluationError: it cannot be written.
        """
        if self.path is None or self._key is None:
            self._lines[caption.id] = _Line(caption=caption, data=b"")
            return
        values = {
            "id": caption.id,
            "caption": caption.text,
            "tokens": caption.tokens,
            "truncated": caption.truncated,
            "image": picture,
        }
        data = _text({**values, "seal": self._key.seal(self.digest, values)}).encode()
        with self.writing():
            self._write(data)
            self._lines[caption.id] = _Line(caption=caption, data=data)
            self._unsynced += 1
            if self._unsynced >= self._batch:
                self._sync()

    def _write(self, data: bytes) -> None:
        assert self.path is not None  # noqa: S101 - see `append`
        if self._handle is None:
            self._handle = disk.open_plain(self.path / CAPTIONS, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            self._size = os.fstat(self._handle).st_size
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._handle, rest) :]
        except OSError:
            with suppress(OSError):  # a full disk still lets a file shrink: no torn line stays behind
                os.ftruncate(self._handle, self._size)
            raise
        self._size += len(data)

    def _sync(self) -> None:
        """Ask the system to put the lines on the disk, and look whether they are still where the next run will look."""
        assert self.path is not None  # noqa: S101 - see `append`
        if self._handle is None:
            return
        os.fsync(self._handle)
        self._unsynced = 0
        if not os.path.samestat((self.path / CAPTIONS).lstat(), os.fstat(self._handle)):
            raise OSError(0, "it was replaced while the claim ran")

    # --- the end of the run ---

    def finish(self, provenance: Mapping[str, str | int | float | None], head: Head | None = None) -> Evidence:
        """The evidence of the run, all images captioned.

        A run that had nothing to do keeps the time and the provenance of the run that did it.

        Args:
            provenance: hardware, versions and timings of this run.
            head: the commit of the claim file's repository.

        Raises:
            EvaluationError: it cannot be written.
        """
        created = _now()
        facts = dict(provenance)
        if head is not None:
            facts["git"] = str(head)
        if self._run is not None and self._run["created_at"]:
            created, facts = str(self._run["created_at"]), dict(self._run["provenance"])
        elif self.path is not None:
            with self.writing():
                self._sync()
                if list(self._lines) != sorted(self._lines):
                    # Which image was ready first says nothing; in this order two runs can be compared line by line.
                    disk.replace(self.path / CAPTIONS, b"".join(self._lines[name].data for name in sorted(self._lines)))
                    self.close()  # it is the old file's
                self._write_run(created, facts, head)
        if self.reused:
            facts["captions"] = f"{len(self.reused)} of {len(self._lines)} from evidence of {self._when}"
        return Evidence(
            basis=Basis.REPRODUCED,
            captions=tuple(self._lines[name].caption for name in sorted(self._lines)),
            images=len(self.recipe.references),
            population=self.recipe.population,
            observed=_scored(self.recipe, len(self._lines)),
            provenance=facts,
            notes=tuple(self.notes),
            created_at=created,
        )

    def _write_run(
        self, created: str | None, provenance: Mapping[str, str | int | float | None], head: Head | None
    ) -> None:
        assert self.path is not None  # noqa: S101 - see `resume`
        assert self._key is not None  # noqa: S101 - see `resume`
        values: dict[str, Any] = {
            "schema": SCHEMA,
            "started_at": self._started,
            "created_at": created,
            "git": None if head is None else {"commit": head.commit, "dirty": head.dirty},
            "provenance": dict(provenance),
        }
        values["seal"] = self._key.seal(self.digest, values)
        disk.replace(self.path / RUN, (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode())

    def close(self) -> None:
        """Put what was written on the disk, as far as that goes; what comes after is no business of this run."""
        if self._handle is not None:
            with suppress(OSError):
                os.fsync(self._handle)
            os.close(self._handle)
            self._handle = None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turn what the file system says into one line for the person who must act."""
        try:
            yield
        except OSError as error:
            assert self.path is not None  # noqa: S101 - only what has a path is written
            why, kept = disk.reason(error), ""
            if self._lines and (self.path / CAPTIONS).is_file():
                total = len(self.recipe.references)
                kept = f" {len(self._lines):,} of {total:,} captions are kept; the next run goes on from them."
            elif self._lines:
                why = "it vanished while the claim ran"
            raise EvaluationError(f"The evidence folder {shown(self.path)} cannot be written: {why}.{kept}") from None


def _scored(recipe: Recipe, count: int) -> Observed:
    return replace(recipe.observed, scored=count)


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
