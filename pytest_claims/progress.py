"""How far a long step is: what it tells, and a bar that shows nothing."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager


class Progress(Protocol):
    """What a long step tells; a bar of tqdm is one."""

    def update(self, n: int) -> object:
        """`n` more units are done."""


class ProgressMaker(Protocol):
    """Makes a progress bar, which is shown as long as the context lasts."""

    def __call__(self, total: int, label: str, /, *, unit: str = " images") -> AbstractContextManager[Progress]:
        """A bar for `total` units of the step that `label` names."""


class _Silent:
    def update(self, n: int) -> None:
        """Nobody watches."""


@contextmanager
def silent(_total: int, _label: str, *, unit: str = " images") -> Iterator[Progress]:  # noqa: ARG001 - what a bar takes
    """A progress that shows nothing."""
    yield _Silent()
