"""The search of a checkpoint is built once for the runs that can share it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from transformers import GenerationConfig

from pytest_claims import beam
from pytest_claims.evaluation import decoding
from pytest_claims.evaluation.prompt import Fed
from pytest_claims.sources.checkpoint import Loaded
from tests.tiny_models import EOS, PAD, prompt_ids, random_blip2, random_images

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The slots of each search that is built."""
    slots: list[int] = []
    build: Callable[..., None] = beam.BeamSearch.__init__

    def counted(self: beam.BeamSearch, *arguments: Any, **named: Any) -> None:
        slots.append(named["slots"])
        build(self, *arguments, **named)

    monkeypatch.setattr(beam.BeamSearch, "__init__", counted)
    return slots


def test_a_search_is_kept_for_the_next_run(built: list[int]) -> None:
    """Runs with the same decoding share one search; another decoding, more images, or a named batch size build another."""
    model = random_blip2(seed=2)
    architecture: Any = SimpleNamespace(one_prompt=True)
    loaded = Loaded(
        model=model, processor=None, device=torch.device("cpu"), folder=Path(), facts={}, architecture=architecture
    )
    images = random_images(6, seed=2)

    def run(count: int, *, beams: int = 3, batch: int | None = None) -> dict[str, tuple[int, ...]]:
        make: Any = GenerationConfig
        config = make(num_beams=beams, max_new_tokens=9, do_sample=False, eos_token_id=EOS, pad_token_id=PAD)
        fed = Fed(text="a photo of", shared=tuple(prompt_ids(model)[0].tolist()))
        decoder = decoding.choose(loaded, config, fed, images=count, batch_size=batch)
        return {name: tuple(tokens) for name, tokens in decoder.decode(images[:count])}

    expected = run(6)
    assert run(6) == expected
    assert run(2) == {name: expected[name] for name in ("i0", "i1")}
    assert built == [6]
    run(6, beams=2)
    assert len(loaded.searches) == 1, "two searches would take the memory of two"
    assert run(6) == expected
    assert built == [6, 6, 6]
    run(3, batch=2)
    assert run(6) == expected, "a search for few images is no reason to decode many of them slowly"
    assert built == [6, 6, 6, 2, 6]


def test_a_batch_does_not_wait_for_images_that_come_later() -> None:
    """Where no image is there now (None), those that wait are a batch, prompts of each length apart."""
    lengths = {"a": 3, "b": 3, "c": 4, "d": 3, "e": 3, "f": 4}
    fed = Fed(text="", each={name: ("", (1,) * length) for name, length in lengths.items()})
    images = [("a", 0), None, ("b", 0), ("c", 0), None, None, ("d", 0), ("e", 0), ("f", 0)]
    batches = [[name for name, _ in batch] for batch in decoding.alike(images, 2, fed)]
    assert batches == [["a"], ["b"], ["c"], ["d", "e"], ["f"]]
