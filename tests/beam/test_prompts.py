"""With a prompt for each image, the beam search returns the tokens of `generate`: alone, and in a batch padded on the left."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Any

import pytest
import torch
from transformers import GenerationConfig

from pytest_claims.beam import BeamSearch, BeamSettings
from pytest_claims.errors import EvaluationError
from tests.tiny_models import BOS, EOS, PAD, prompt_ids, random_blip2, random_images

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    Captions = dict[str, tuple[int, ...]]
    Images = list[tuple[str, Tensor]]
    Prompts = dict[str, tuple[int, ...]]

IMAGE = 119
QUERIES = 4
COUNT = 9
COMMON: dict[str, Any] = {"do_sample": False, "eos_token_id": EOS, "pad_token_id": PAD}
PAPER: dict[str, Any] = {**COMMON, "num_beams": 5, "min_new_tokens": 1, "max_new_tokens": 10, "length_penalty": -1.0}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Torch runs with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model() -> Any:
    return random_blip2(seed=4)


@pytest.fixture(scope="module")
def images() -> Images:
    return random_images(COUNT, seed=4)


def questions(seed: int, *, shortest: int = 1, longest: int = 9) -> Prompts:
    """A prompt for each image: placeholders, the begin token, and words of another number each time."""
    draw = random.Random(seed)  # noqa: S311 - a draw, not a secret
    return {
        f"i{n}": (*[IMAGE] * QUERIES, BOS, *(draw.randrange(6, 118) for _ in range(draw.randint(shortest, longest))))
        for n in range(COUNT)
    }


def config(**fields: Any) -> GenerationConfig:
    make: Any = GenerationConfig
    made: GenerationConfig = make(**fields)
    return made


def ours(model: Any, images: Images, prompts: Prompts, *, slots: int = 4, **fields: Any) -> Captions:
    settings = BeamSettings.from_generation_config(config(**fields))
    return dict(BeamSearch(model, settings, input_ids=prompts, slots=slots).run(images))


def stock(model: Any, images: Images, prompts: Prompts, **fields: Any) -> Captions:
    """`generate` on one batch. Shorter prompts are padded on the left of their words, as the processor does."""
    model.language_model.generation_config.eos_token_id = None
    width = max(len(prompts[name]) for name, _ in images)
    rows, masks = [], []
    for name, _ in images:
        missing = width - len(prompts[name])
        rows.append([*prompts[name][:QUERIES], *[PAD] * missing, *prompts[name][QUERIES:]])
        masks.append([*[1] * QUERIES, *[0] * missing, *[1] * (width - missing - QUERIES)])
    output = model.generate(
        pixel_values=torch.stack([pixels for _, pixels in images]),
        input_ids=torch.tensor(rows),
        attention_mask=torch.tensor(masks),
        generation_config=config(**fields),
    )
    captions = {}
    for (name, _), row in zip(images, output[:, width:].tolist(), strict=True):
        stop = row.index(EOS) + 1 if EOS in row else len(row)
        captions[name] = tuple(row[:stop])
    return captions


GRID = [
    {
        **COMMON,
        "num_beams": beams,
        "length_penalty": length,
        "repetition_penalty": repetition,
        "min_new_tokens": least,
        "max_new_tokens": most,
        "early_stopping": early,
    }
    for beams, length, repetition, (least, most), early in itertools.product(
        (1, 2, 3, 5), (-1.0, 0.0, 1.0), (1.0, 1.3), ((0, 10), (1, 10), (3, 6), (0, 1)), (True, False, "never")
    )
    if beams > 1 or (length == 1.0 and early is False)
]


@pytest.mark.parametrize(("seed", "norm_before"), [(0, True), (1, False), (4, True)])
def test_same_tokens_as_generate_alone(seed: int, norm_before: bool) -> None:
    """For a draw of settings, images and prompts of many lengths: each image's tokens are those of `generate` on it alone."""
    model = random_blip2(seed=seed, layer_norm_before=norm_before)
    images, prompts = random_images(COUNT, seed=seed), questions(seed)
    assert len({len(tokens) for tokens in prompts.values()}) > 3
    for fields in random.Random(seed).sample(GRID, 12):  # noqa: S311 - a draw, not a secret
        alone = {name: stock(model, [(name, pixels)], prompts, **fields)[name] for name, pixels in images}
        assert ours(model, images, prompts, **fields) == alone, fields


def test_length_penalty_below_zero(model: Any, images: Images) -> None:
    """The paper's penalty of -1, with each mode of early stopping, in a padded batch: the tokens of `generate`."""
    prompts = questions(7)
    found = {}
    for early in (True, False, "never"):
        fields = {**PAPER, "early_stopping": early}
        found[early] = ours(model, images, prompts, **fields)
        assert found[early] == stock(model, images, prompts, **fields), early
    longer = ours(model, images, prompts, **{**PAPER, "length_penalty": 2.0})
    assert sum(map(len, found[False].values())) < sum(map(len, longer.values())), (
        "a penalty below zero favours short answers"
    )


def test_slots_and_order_change_nothing(model: Any, images: Images) -> None:
    """The same tokens for 1, 3 and more slots than images, in any order, so whatever prompts are decoded beside."""
    prompts = questions(3)
    expected = ours(model, images, prompts, slots=1, **PAPER)
    for slots, seed in itertools.product((3, 20), range(3)):
        shuffled = list(images)
        random.Random(seed).shuffle(shuffled)  # noqa: S311 - a draw, not a secret
        assert ours(model, shuffled, prompts, slots=slots, **PAPER) == expected


def test_the_prompt_decides(model: Any, images: Images) -> None:
    """One image with several prompts gets several answers; a repetition penalty sees the image's own prompt only."""
    same = [(name, images[0][1]) for name, _ in images]
    fields = {**PAPER, "repetition_penalty": 1.5}
    found = ours(model, same, questions(5), **fields)
    assert len(set(found.values())) > 3
    prompts = questions(5)
    assert found == {name: stock(model, [(name, pixels)], prompts, **fields)[name] for name, pixels in same}


def test_equal_prompts_are_the_shared_prompt(model: Any, images: Images) -> None:
    """Giving every image the same prompt by its id is giving one prompt."""
    settings = BeamSettings.from_generation_config(config(**PAPER))
    shared = prompt_ids(model)
    each = {name: shared[0].tolist() for name, _ in images}
    expected = dict(BeamSearch(model, settings, input_ids=shared, slots=4).run(images))
    assert dict(BeamSearch(model, settings, input_ids=each, slots=4).run(images)) == expected


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        ({}, "There is no prompt, expected one for each image."),
        ({"i1": (*[IMAGE] * 4, BOS, 7)}, "Image i0 has no prompt."),
        (
            {"i0": (*[IMAGE] * 4, BOS, 7), "i1": (IMAGE, BOS, 7)},
            (
                "The tokenised prompt of i1 holds 1 image tokens (id 119) and the model needs 4: the image would be ignored. "
                "Set `num_query_tokens` on the processor."
            ),
        ),
        (
            {"i0": (*[IMAGE] * 4, BOS, 7), "i1": (BOS, *[IMAGE] * 4, 7)},
            "The image tokens of the prompt of i1 are not where those of the other prompts are.",
        ),
        (
            {"i0": (*[IMAGE] * 4, *[7] * 250)},
            "The prompt of 254 tokens and max_new_tokens=10 need 264 positions, and the language model has 256.",
        ),
    ],
)
def test_impossible_prompts_are_refused(model: Any, images: Images, prompts: Prompts, said: str) -> None:
    """The message names the image."""
    with pytest.raises(EvaluationError) as caught:
        ours(model, images, prompts, **PAPER)
    assert str(caught.value) == said
