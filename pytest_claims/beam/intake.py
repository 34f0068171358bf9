"""Takes images from an iterable that may have none at the moment.

An iterable of images gives None where it has no image now and may have one later, as that of an actor of a cluster does, which
gets images while it decodes others. It gives None only as long as a search decodes something that it gave before. So a search
goes on with a step, and asks again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

END: Final = object()


def take(source: Iterator[T | None], count: int) -> tuple[list[T], bool]:
    """Up to `count` images that are there now, and whether the iterable has ended.

    Args:
        source: the iterator of the images.
        count: how many are wanted.
    """
    taken: list[T] = []
    while len(taken) < count:
        image = next(source, END)
        if image is END:
            return taken, True
        if image is None:
            break
        taken.append(image)  # type: ignore[arg-type] # neither the end nor a pause
    return taken, False
