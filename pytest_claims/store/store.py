"""Where evidence is kept: one folder per recipe, which one process at a time writes."""

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
        image_digest: Callable[[str], str],
        *,
        batch: int = 1,
        say: Callable[[str], object] | None = None,
    ) -> Iterator[Folder]:
        """The folder of a recipe, for this process alone; waits while another one has it.

        Args:
            recipe: what decides the captions.
            image_digest: an id → the digest of the image's bytes as they are now.
            batch: after how many lines the system is asked to put them on the disk.
            say: tells the user that another run is waited for.

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
    """A lock of the operating system: it goes with the process that holds it, however that ends."""
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if say is not None:
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
