"""The search's loop for a GPU, on a CPU with true numbers: a device that says it is far away, and does nothing else."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
import torch

from pytest_claims import devices
from pytest_claims.beam import BeamSearch
from pytest_claims.beam.turnover import LOOK, Turnover, waiting_room
from pytest_claims.errors import EvaluationError
from tests.beam import pauses
from tests.beam.test_beam import GRID, PAPER, settings, stock
from tests.tiny_models import PAD, prompt_ids, random_blip2, random_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    Images = list[tuple[str, Tensor]]


class Graph:
    """A captured step: nothing runs before it is replayed."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.replay = work

    def pool(self) -> None:
        """No handle."""


class Far(devices.Cuda):
    """A CPU in the place of a GPU. It counts the reads of the host."""

    reads = 0

    def free_memory(self) -> int:
        """None, so that no weights are packed."""
        return 0

    def read(self, values: Tensor) -> list[Any]:
        """Count."""
        Far.reads += 1
        found: list[Any] = values.tolist()
        return found

    def write(self, values: Sequence[int] | Sequence[Sequence[int]]) -> Tensor:
        """As on a CPU."""
        return torch.tensor(values)

    def locked(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Any memory."""
        return torch.empty(shape, dtype=dtype)

    def mark(self) -> devices.Mark:
        """No mark."""
        return self

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def capture(self, work: Callable[[], None], pool: Any) -> Graph:
        """Keep the step."""
        del pool
        return Graph(work)


@pytest.fixture(autouse=True)
def _far(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(devices.KINDS, "cpu", Far)
    monkeypatch.setattr(Far, "reads", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model() -> Any:
    return random_blip2(seed=2)


def search_of(model: Any, slots: int, **fields: Any) -> BeamSearch:
    return BeamSearch(model, settings(**fields), input_ids=prompt_ids(model), slots=slots)


@pytest.mark.parametrize("seed", [0, 1])
def test_same_tokens_as_generate(seed: int) -> None:
    """On a random draw of beams, penalties, limits, ends and slots, with images that wait and without: token for token."""
    model = random_blip2(seed=seed, layer_norm_before=not seed)
    images = random_images(17, seed=seed)
    draw = random.Random(seed)  # noqa: S311 - a draw, not a secret
    for fields in draw.sample(GRID, 25):
        fields = {**fields, "do_sample": False, "pad_token_id": PAD}  # noqa: PLW2901 - the grid plus what is common
        slots = draw.choice([1, 2, 3, 8, 9, 17, 40])
        count = draw.choice([1, 5, 17])
        expected = stock(model, images[:count], **fields)
        assert dict(search_of(model, slots, **fields).run(images[:count])) == expected, (slots, count, fields)


def test_the_host_looks_rarely(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One read for eight steps while images wait, and no other read; no slot waits for a look to get its next image."""
    steps = 0
    replace = Turnover.replace

    def counted(self: Turnover, count: int) -> None:
        nonlocal steps
        steps += 1
        replace(self, count)

    monkeypatch.setattr(Turnover, "replace", counted)
    images = random_images(160)
    captions = dict(search_of(model, 16, **PAPER).run(images))
    assert len(captions) == 160
    assert Far.reads <= -(-steps // LOOK) + 1
    # Each image needs a step for each of its tokens but the first, and slots are empty only at the end.
    needed = sum(len(tokens) for tokens in captions.values()) / 16
    assert steps < 1.35 * needed


def test_no_more_images_are_taken_than_have_a_place(model: Any) -> None:
    """Slots and waiting room decide how many images are held at a time; a finished one is not held any more."""
    taken = 0

    def source() -> Iterator[tuple[str, Tensor]]:
        nonlocal taken
        for image in random_images(60):
            taken += 1
            yield image

    found = 0
    for _ in search_of(model, 4, **PAPER).run(source()):
        found += 1
        assert taken - found < 4 + waiting_room(4)
    assert found == taken == 60


def test_images_that_come_while_others_are_decoded(model: Any) -> None:
    """A stream that has no image now is asked again: what comes later joins what is decoded, and no token changes."""
    images = random_images(30)
    search = search_of(model, 4, **PAPER)
    expected = dict(search.run(images))
    found, together = pauses.run(search, images)
    assert found == expected
    assert together > len(images) // 2, "images must be decoded beside others"


def test_a_search_runs_again_after_an_unfinished_run(model: Any) -> None:
    """What an abandoned run has left in slots, waiting room and table is not seen by the next one."""
    images = random_images(30)
    search = search_of(model, 4, **PAPER)
    whole = dict(search.run(images))
    next(search.run(images[10:]))
    assert dict(search.run(images)) == whole
    assert list(search.run([])) == []


def test_numbers_that_overflow_are_an_error(model: Any) -> None:
    """A caption whose score is no number is refused, with the image's name."""
    images = [*random_images(3), ("broken", torch.full((3, 28, 28), float("nan")))]
    with pytest.raises(EvaluationError, match="Image broken has no caption of finite score"):
        list(search_of(model, 2, **PAPER).run(images))


def test_each_image_keeps_its_own_prompt(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts of other words and lengths go with their images through waiting room and slots: the tokens are a CPU's."""
    images = random_images(20)
    common = prompt_ids(model)[0].tolist()
    prompts = {name: [*common, *range(20, 20 + number % 4)] for number, (name, _) in enumerate(images)}
    fields = {**PAPER, "repetition_penalty": 1.3}
    far = BeamSearch(model, settings(**fields), input_ids=prompts, slots=3)
    monkeypatch.setitem(devices.KINDS, "cpu", devices.Device)
    near = BeamSearch(model, settings(**fields), input_ids=prompts, slots=3)
    assert dict(far.run(images)) == dict(near.run(images))
