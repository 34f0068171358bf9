"""The store of evidence: one folder per recipe. Only one process at a time writes to a folder."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pytest_claims.errors import EvaluationError
from pytest_claims.files import shown
from pytest_claims.store import disk, seal
from pytest_claims.store.disk_folder import DiskFolder
from pytest_claims.store.folder import Folder, MemoryFolder
from pytest_claims.store.format import NAME
from pytest_claims.store.recipe import plan_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_claims.store.recipe import Recipe


class Store:
    """The store of evidence.

    Args:
        root: returns the folder that holds all evidence folders, or None to keep nothing. It is called when a run needs it.
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
        """The folder that holds all evidence folders. It is made if it does not exist. None if no evidence is kept.

        Raises:
            EvaluationError: the folder cannot be made.
        """
        try:
            root = self._root()
            if root is not None:
                root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            # If pytest's cache folder cannot be made, `root` is not known, and only `filename` says which path failed.
            where = f" {error.filename}" if error.filename else ""
            raise EvaluationError(
                f"The evidence folder{where} cannot be made: {disk.reason(error)}. Name another with --claims-evidence=DIR."
            ) from None
        return root

    @contextmanager
    def open(
        self,
        recipe: Recipe,
        image_digest: Callable[[str], str],
        *,
        batch: int = 1,
        say: Callable[[str], object] | None = None,
    ) -> Iterator[Folder]:
        """The folder of a recipe, locked for this process. If another process has the lock, wait for it.

        Args:
            recipe: the recipe of the outputs.
            image_digest: returns the digest of an image's current bytes, given its id.
            batch: after how many lines the file is synced to the disk.
            say: prints a message for the user if another run must be waited for.

        Raises:
            EvaluationError: the folder cannot be written.
        """
        root = self.root()
        content = recipe.content()
        digest = plan_digest(content)
        if root is None:
            yield MemoryFolder(recipe, digest)
            return
        path = root / digest[:NAME]
        with _locked(path, say):
            folder = DiskFolder(recipe, digest, path=path, key=self.key, batch=batch)
            folder.resume(content, image_digest)
            try:
                yield folder
            finally:
                folder.close()


@contextmanager
def _locked(path: Path, say: Callable[[str], object] | None) -> Iterator[None]:
    """Hold a lock of the operating system. The system releases it when the process ends, however it ends."""
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if say is not None:
                say(f"Waiting for another run of the same plan, which has {shown(path)}.")
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        why = disk.reason(error) if isinstance(error, OSError) else str(error)
        raise EvaluationError(f"The evidence folder {shown(path)} cannot be locked: {why}.") from None
    try:
        yield
    finally:
        with suppress(OSError):
            lock.release()
