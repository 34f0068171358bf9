"""A stream of images that has none at times, as that of an actor of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor


def run(search: Any, images: Sequence[tuple[str, Tensor]]) -> tuple[dict[str, tuple[int, ...]], int]:
    """The tokens of images that come with pauses, and how many of them were ready while others were decoded."""
    given: list[str] = []
    found: dict[str, tuple[int, ...]] = {}

    def stream() -> Iterator[tuple[str, Tensor] | None]:
        for number, image in enumerate(images):
            # A pause, or several, as long as something is decoded; none before the first image.
            for _ in range(number % 4):
                if len(given) > len(found):
                    yield None
            given.append(image[0])
            yield image

    together = 0
    for name, tokens in search.run(stream()):
        together += len(given) > len(found) + 1
        found[name] = tokens
    return found, together
