"""Progress of a long step: the interface of a progress bar, and a bar that shows nothing."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


class Progress(Protocol):
    """A progress bar, as a long step uses it. A tqdm bar is one."""

    def update(self, n: int) -> object:
        """Report that `n` more units are done."""


class ProgressMaker(Protocol):
    """Makes a progress bar that is shown while its context is open."""

    def __call__(
        self,
        total: int,
        label: str,
        /,
        *,
        unit: str = " images",
        done: int = 0,
        note: Callable[[float], str] | None = None,
    ) -> AbstractContextManager[Progress]:
        """The bar of a step.

        Args:
            total: how many units the step has; 0 if that is not known, and only the label is shown.
            label: the name of the step.
            unit: what is counted, with the blank before it; `B` for bytes.
            done: how many units were done before; they do not count for the rate.
            note: gives a text that is shown as well, from the seconds since the bar was made. It is called only when the bar
                is shown.
        """


class _Silent:
    def update(self, n: int) -> None:
        """Do nothing."""


@contextmanager
def silent(
    _total: int,
    _label: str,
    /,
    *,
    unit: str = " images",  # noqa: ARG001 - the arguments of a `ProgressMaker`
    done: int = 0,  # noqa: ARG001
    note: Callable[[float], str] | None = None,  # noqa: ARG001
) -> Iterator[Progress]:
    """A progress bar that shows nothing."""
    yield _Silent()
