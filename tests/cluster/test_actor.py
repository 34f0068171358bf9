"""What an actor does with the images that it is given, without Ray: in this process, with a decoder that the test controls."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pytest_claims.cluster import actor
from pytest_claims.evidence import Output

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 30
"""Seconds after which a test that waits for something fails."""


class Decoder:
    """Takes an image, sees that no other waits, and goes on when one does."""

    batch_size = 4

    def __init__(self) -> None:
        self.split: Any = SimpleNamespace(index={"a": 0, "b": 1, "c": 2})
        self.seen: list[list[str | None]] = []
        """What each call was given."""
        self.paused = threading.Event()
        self.run: Any = None

    def caption(self, ids: Iterator[str | None]) -> Iterator[tuple[Output, str]]:
        """As of a `Setup`: the first image is decoded until another waits, or until the run is stopped."""
        seen: list[str | None] = []
        self.seen.append(seen)
        for name in ids:
            seen.append(name)
            if name is not None:
                continue
            if len(seen) > 2:
                break
            self.paused.set()
            with self.run.changed:
                assert self.run.changed.wait_for(lambda: self.run.waiting or self.run.stopped, LIMIT)
        yield from ((Output(id=name, text=name, references=()), "0") for name in seen if name)
        seen += ids


def begun() -> tuple[Decoder, Any, threading.Thread, list[str]]:
    """A run that decodes the image `a` and has no other; the thread that waits for it, and what the thread got."""
    decoder = Decoder()
    run = decoder.run = actor._Run(decoder, None)  # type: ignore[arg-type] # what the run uses of a Setup
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.extend(exchange(run, "a")))
    thread.start()
    assert decoder.paused.wait(LIMIT)
    return decoder, run, thread, found


def exchange(run: Any, name: str) -> list[str]:
    """Give an image, and get the ids of what is ready."""
    return [caption.id for caption, _ in run.exchange([actor.Sent(id=name)]).captions]


def test_images_that_come_while_others_are_decoded() -> None:
    """They join what is decoded, in the same call, which ends when nothing is left."""
    decoder, run, thread, found = begun()
    found += exchange(run, "b")
    thread.join(LIMIT)
    run.stop()
    assert sorted(found) == ["a", "b"]
    assert decoder.seen == [["a", None, "b", None]]


def test_a_run_that_is_stopped_takes_no_more_images() -> None:
    """What is decoded is decoded to its end, and a run without images ends."""
    decoder, run, thread, found = begun()
    run.stop()
    thread.join(LIMIT)
    assert not run.thread.is_alive()
    assert decoder.seen == [["a", None]]
    assert found == ["a"]
