"""Progress of a long step: the interface of a progress bar, and a bar that shows nothing."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager


class Progress(Protocol):
    """A progress bar, as a long step uses it. A tqdm bar is one."""

    def update(self, n: int) -> object:
        """Report that `n` more units are done."""


class ProgressMaker(Protocol):
    """Makes a progress bar that is shown while its context is open."""

    def __call__(self, total: int, label: str, /, *, unit: str = " images") -> AbstractContextManager[Progress]:
        """The bar of a step with `total` units; `label` names the step."""


class _Silent:
    def update(self, n: int) -> None:
        """Do nothing."""


@contextmanager
def silent(_total: int, _label: str, *, unit: str = " images") -> Iterator[Progress]:  # noqa: ARG001 - the arguments of a `ProgressMaker`
    """A progress bar that shows nothing."""
    yield _Silent()
