"""Which image goes to which actor. Knows nothing of Ray, so that benchmarks/scale.py can simulate it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

A = TypeVar("A")

TRIES = 2
"""After how many lost actors an image is not tried again."""


class Work:
    """The images of one run, and who has them.

    An actor gets images as it finishes others, so that an actor with long captions holds up nobody. Towards the end, each
    holds fewer, so that all of them end at about the same time.

    The images that an actor had when it died are suspects: one of them may have killed it. A suspect runs alone. If its actor
    dies again, it is known which image did it.

    Args:
        ids: the ids of the images, in the order in which they are handed out.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids, self._next = ids, 0
        """All images, and the first of them that no actor had yet."""
        self._returned = deque[str]()
        """Images of lost actors, which come first."""
        self._suspects: deque[str] = deque()
        self._tries: dict[str, int] = {}
        self._held: dict[int, dict[str, None]] = {}
        """The images of each actor, in the order in which it got them."""
        self.redone = 0
        """How many images were handed out again."""

    @property
    def left(self) -> int:
        """How many images no actor has."""
        return self._waiting + len(self._suspects)

    @property
    def _waiting(self) -> int:
        return len(self._returned) + len(self._ids) - self._next

    @property
    def finished(self) -> bool:
        """Whether all images are captioned."""
        return not self.left and not any(self._held.values())

    def held(self, actor: int) -> tuple[str, ...]:
        """The images that an actor has and that are not captioned."""
        return tuple(self._held.get(actor, ()))

    def hand_out(self, actor: int, *, actors: int, at_once: int) -> tuple[str, ...]:
        """The next images for an actor; they count as held by it. Empty if it is to wait.

        Args:
            actor: the actor's number.
            actors: how many actors share the work.
            at_once: how many images the actor decodes at a time. It holds up to as many again, which it prepares meanwhile;
                towards the end, an equal part of what is left, and nothing to prepare that another actor could decode.
        """
        held = self._held.setdefault(actor, {})
        if self._suspects and not held:
            return self._give(held, [self._suspects.popleft()])
        if any(name in self._tries for name in held) or (self._suspects and not self._waiting):
            return ()  # a suspect runs alone; an actor that could take one empties first
        unfinished = self._waiting + sum(map(len, self._held.values()))
        decoded = min(at_once, -(-unfinished // max(1, actors)))
        # Ahead of that, half of an equal share: as in guided self-scheduling, so that what is left goes to who is ready first.
        # It is a share of what is left when every actor has what it decodes; otherwise the first to ask would take their part.
        # Less than a batch is not prepared: it goes to who has a free place.
        rest = self._waiting - decoded * actors + sum(min(len(names), decoded) for names in self._held.values())
        ahead = 0 if rest < at_once else min(at_once, rest // (2 * max(1, actors)))
        room = decoded + ahead - len(held)
        return self._give(held, [self._take() for _ in range(min(room, self._waiting))])

    def _take(self) -> str:
        if self._returned:
            return self._returned.popleft()
        self._next += 1
        return self._ids[self._next - 1]

    @staticmethod
    def _give(held: dict[str, None], names: Sequence[str]) -> tuple[str, ...]:
        held.update(dict.fromkeys(names))
        return tuple(names)

    def done(self, actor: int, name: str) -> bool:
        """Take note of a caption; False if the actor was not asked for it."""
        return self._held.get(actor, {}).pop(name, 0) is None

    def lost(self, actor: int, *, blame: bool) -> str | None:
        """Take the images back of an actor that is lost.

        Args:
            actor: the actor's number.
            blame: whether an image may be the reason. It is not if the whole node is lost.

        Returns:
            The image that was the only one of an actor that died, when it was tried before; None if there is no such image.
        """
        names = self._held.pop(actor, {})
        self.redone += len(names)
        tried = [name for name in names if name in self._tries]
        fresh = [name for name in names if name not in self._tries]
        if not blame:
            self._suspects.extendleft(reversed(tried))
            self._returned.extendleft(reversed(fresh))
            return None
        for name in names:
            self._tries[name] = self._tries.get(name, 0) + 1
        poison = next((name for name in names if self._tries[name] >= TRIES), None)
        self._suspects.extend(name for name in names if name != poison)
        return poison
