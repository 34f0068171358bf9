"""Our beam search returns the tokens of `generate`, whatever is in the batch, and refuses unknown settings."""

from __future__ import annotations

import io
import itertools
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers
from transformers import GenerationConfig, OPTConfig, OPTForCausalLM

from pytest_claims.beam import (
    BeamSearch,
    BeamSettings,
    SlotBudget,
    caption,
    choose_slots,
    most_slots,
    supports,
)
from pytest_claims.beam.hypotheses import Hypotheses, _ranked
from pytest_claims.errors import EvaluationError
from tests.beam import pauses
from tests.tiny_models import EOS, PAD, prompt_ids, random_blip2, random_flan_t5, random_images

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    Captions = dict[str, tuple[int, ...]]
    Images = list[tuple[str, Tensor]]

SHAPES = Path(__file__).resolve().parents[2] / "claims" / "shapes"
COMMON: dict[str, Any] = {"do_sample": False, "eos_token_id": EOS, "pad_token_id": PAD}
PAPER: dict[str, Any] = {**COMMON, "num_beams": 5, "min_new_tokens": 1, "max_new_tokens": 14}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Torch runs with one thread: for models this small a second thread costs more than it gains."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model() -> Any:
    return random_blip2(seed=2)


@pytest.fixture(scope="module")
def images() -> Images:
    return random_images(11, seed=2)


def generation_config(**fields: Any) -> GenerationConfig:
    make: Any = GenerationConfig
    config: GenerationConfig = make(**fields)
    return config


def settings(**fields: Any) -> BeamSettings:
    return BeamSettings.from_generation_config(generation_config(**fields))


def stock(model: Any, images: Images, *, prompt: Tensor | None = None, **fields: Any) -> Captions:
    """`generate` on all images in one batch, without the prompt and without what follows the first end."""
    prompt = prompt_ids(model) if prompt is None else prompt
    # `generate` fills what a config leaves open from the language model's own one; here None shall mean none.
    model.language_model.generation_config.eos_token_id = None
    rows = model.generate(
        pixel_values=torch.stack([pixels for _, pixels in images]),
        input_ids=prompt.repeat(len(images), 1),
        generation_config=generation_config(**fields),
    )
    eos = fields["eos_token_id"]
    ends = {eos} if isinstance(eos, int) else set(eos or ())
    captions = {}
    for (name, _), row in zip(images, rows[:, prompt.shape[1] :].tolist(), strict=True):
        stop = next((n + 1 for n, token in enumerate(row) if token in ends), len(row))
        captions[name] = tuple(row[:stop])
    return captions


def ours(model: Any, images: Images, *, slots: int = 3, **fields: Any) -> Captions:
    search = BeamSearch(model, settings(**fields), input_ids=prompt_ids(model), slots=slots)
    return dict(search.run(images))


# --- the same tokens as generate ------------------------------------------------------------------------------------

GRID: list[dict[str, Any]] = [
    dict(
        zip(
            (
                "num_beams",
                "length_penalty",
                "repetition_penalty",
                "min_new_tokens",
                "max_new_tokens",
                "early_stopping",
                "eos_token_id",
            ),
            (beams, length, repetition, *limits, early, eos),
            strict=True,
        )
    )
    for beams, length, repetition, limits, early, eos in itertools.product(
        range(1, 9),
        (-0.7, 0.0, 1.0, 2.0),
        (0.8, 1.0, 1.3),
        ((0, 12), (1, 14), (4, 9), (0, 1), (3, 3)),
        (True, False, "never"),
        (EOS, [EOS, 11, 12], None),
    )
    if beams > 1 or (length == 1.0 and early is False)
]


@pytest.mark.parametrize(("seed", "norm_before"), [(0, True), (1, False), (2, True)])
def test_same_tokens_as_generate(seed: int, norm_before: bool) -> None:
    """On a random draw of the grid of beams, penalties, limits and ends: every caption, token for token."""
    model = random_blip2(seed=seed, layer_norm_before=norm_before)
    images = random_images(6, seed=seed)
    lengths = set()
    for fields in random.Random(seed).sample(GRID, 70):  # noqa: S311 - a draw, not a secret
        fields = {**fields, "do_sample": False, "pad_token_id": PAD}  # noqa: PLW2901 - the grid plus what is common
        expected = stock(model, images, **fields)
        assert ours(model, images, **fields) == expected, fields
        lengths |= {len(tokens) for tokens in expected.values()}
    assert len(lengths) >= 8, "captions of many lengths, or the test says nothing"


@pytest.mark.skipif(not (SHAPES / "model").is_dir(), reason="claims/shapes/model is not in this checkout")
def test_same_tokens_on_a_trained_model() -> None:
    """On pictures of the shapes test split, with the trained weights and the claim's decoding."""
    import datasets
    from PIL import Image

    load: Any = transformers.Blip2Processor
    processor = load.from_pretrained(SHAPES / "model", backend="pil")
    load = transformers.Blip2ForConditionalGeneration
    model = load.from_pretrained(SHAPES / "model", dtype=torch.float32).eval()
    rows = datasets.load_dataset("parquet", data_files=str(SHAPES / "data" / "test.parquet"), split="train")
    rows = rows.cast_column("image", datasets.Image(decode=False)).select(range(48))
    images = []
    for row in rows:
        picture = Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
        inputs = processor(images=picture, text="a photo of", return_tensors="pt")
        images.append((row["filename"], inputs.pixel_values[0]))
    fields = {
        "do_sample": False,
        "num_beams": 5,
        "min_new_tokens": 1,
        "max_new_tokens": 30,
        "eos_token_id": model.generation_config.eos_token_id,
        "pad_token_id": model.generation_config.pad_token_id,
    }
    search = BeamSearch(model, settings(**fields), input_ids=inputs.input_ids, slots=16)
    assert dict(search.run(images)) == stock(model, images, prompt=inputs.input_ids, **fields)


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # PyTorch's, on reading the flag
def test_same_tokens_without_onednn(model: Any, images: Images) -> None:
    """Without oneDNN the plain layers give the same captions."""
    with torch.backends.mkldnn.flags(enabled=False):
        assert ours(model, images, **PAPER) == stock(model, images, **PAPER)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_same_tokens_with_cuda_graphs(images: Images) -> None:
    """In fp32 on a GPU, where decode steps are replayed graphs: the captions of `generate` on the CPU."""
    model = random_blip2(seed=2)
    expected = stock(model, images, **PAPER)
    on_gpu: Any = model
    assert ours(on_gpu.cuda(), images, slots=4, **PAPER) == expected


# --- what is decoded beside an image does not matter ------------------------------------------------------------------


def test_slots_order_and_refill_change_nothing(model: Any, images: Images) -> None:
    """One caption per image, the same for 1, 3, 8 and more slots than images, in any order of the images."""
    expected = ours(model, images, slots=1, **PAPER)
    assert sorted(expected) == sorted(name for name, _ in images)
    assert len({len(tokens) for tokens in expected.values()}) > 2, "images must finish at different times"
    for slots, seed in itertools.product((1, 3, 8, 20), range(3)):
        shuffled = list(images)
        random.Random(seed).shuffle(shuffled)  # noqa: S311 - a draw, not a secret
        search = BeamSearch(model, settings(**PAPER), input_ids=prompt_ids(model), slots=slots)
        results = list(search.run(shuffled))
        assert len(results) == len(images)
        assert dict(results) == expected


def test_a_search_can_run_again(model: Any, images: Images) -> None:
    """A run leaves nothing behind for the next one, even if the run was abandoned."""
    search = BeamSearch(model, settings(**PAPER), input_ids=prompt_ids(model), slots=3)
    first = dict(search.run(images))
    next(search.run(images[5:]))
    assert dict(search.run(images)) == first


def test_steps_over_unused_slots_change_nothing(model: Any, images: Images) -> None:
    """A CUDA graph always computes all slots at full width; what is in unused ones must not matter."""

    class AllSlots:
        def __init__(self, search: BeamSearch) -> None:
            self.search: Any = search

        def decode(self, step: Any, count: int, width: int) -> None:
            assert count <= self.search.slots
            assert width <= self.search._decoder.width
            step(self.search.slots, self.search._decoder.width)

    search: Any = BeamSearch(model, settings(**PAPER), input_ids=prompt_ids(model), slots=8)
    search._graphs = AllSlots(search)
    expected = ours(model, images, **PAPER)
    for _ in range(2):
        assert dict(search.run(images)) == expected


def test_images_are_pulled_only_when_there_is_room(model: Any, images: Images) -> None:
    """The search never holds more than `slots` images that it took from the stream and did not return."""
    taken: list[str] = []

    def stream() -> Iterator[tuple[str, Tensor]]:
        for number in range(40):
            name, pixels = images[number % len(images)]
            taken.append(name)
            yield f"{number} {name}", pixels

    search = BeamSearch(model, settings(**PAPER), input_ids=prompt_ids(model), slots=4)
    returned = 0
    for _ in search.run(stream()):
        assert len(taken) - returned <= 4
        returned += 1
    assert returned == 40


def test_images_that_come_while_others_are_decoded(model: Any, images: Images) -> None:
    """A stream that has no image now is asked again: what comes later joins what is decoded, and no token changes."""
    search = BeamSearch(model, settings(**PAPER), input_ids=prompt_ids(model), slots=4)
    expected = dict(search.run(images))
    found, together = pauses.run(search, images)
    assert found == expected
    assert together > len(images) // 2, "images must be decoded beside others"


def test_no_images(model: Any) -> None:
    """No images, no captions, no error."""
    assert ours(model, [], **PAPER) == {}


def test_gradients_and_inference_mode_do_not_leak(model: Any, images: Images) -> None:
    """Between two results the caller's code runs in the mode it had."""
    search = BeamSearch(model, settings(**PAPER), input_ids=prompt_ids(model), slots=2)
    for _ in search.run(images[:3]):
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()


def test_half_precision_runs(images: Images) -> None:
    """The model's dtype is what is computed in; bf16 captions may differ from fp32 ones but all are there."""
    half: Any = random_blip2(seed=2)
    captions = ours(half.to(torch.bfloat16), images, **PAPER)
    assert sorted(captions) == sorted(name for name, _ in images)


# --- ties -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vocabulary", [7, 64, 1000, 9000])
def test_ties_go_to_the_better_beam_then_to_the_lower_token(vocabulary: int) -> None:
    """Among equal scores the better-ranked beam wins, then the lower token id, for any size of vocabulary."""
    wanted = settings(**COMMON, num_beams=3, max_new_tokens=4)
    book = Hypotheses(wanted, prompt=torch.tensor([0, 1]), vocabulary=vocabulary, slots=5)
    generator = torch.Generator().manual_seed(vocabulary)
    for _ in range(20):
        # whole numbers from few: nearly every score is one of many equals
        scores = torch.randint(0, 3, (5, 3, vocabulary), generator=generator).float()
        flat = scores.flatten(1)
        order = flat.sort(dim=-1, descending=True, stable=True).indices[:, : wanted.candidates]
        top, index = book._best_candidates(scores)
        assert torch.equal(index, order)
        assert torch.equal(top, flat.gather(1, order))


@pytest.mark.parametrize("size", [20, 640])
def test_ranking_is_a_stable_sort(size: int) -> None:
    """For few and many values, with infinities, both zeros and both NaN: values and order are those of a stable sort."""
    generator = torch.Generator().manual_seed(size)
    values = torch.randint(-4, 4, (7, size), generator=generator) / 3
    values[1, ::3], values[2, ::5], values[3], values[3, ::2] = float("-inf"), float("inf"), 0.0, -0.0
    values[4, 1::2], values[5] = float("nan"), float("-inf")
    values[6, 3::4] = torch.tensor(float("inf")) - float("inf")  # on x86, a NaN with the sign bit set
    expected, order = values.sort(dim=-1, descending=True, stable=True)
    ranked, index = _ranked(values, 10)
    assert torch.equal(index, order[:, :10])
    torch.testing.assert_close(ranked, expected[:, :10], rtol=0, atol=0, equal_nan=True)


def test_ties_between_finished_captions_go_to_the_earlier() -> None:
    """With no length penalty and no cost of another token, the caption that ended first stays first."""
    wanted = settings(**COMMON, num_beams=2, max_new_tokens=3, length_penalty=0.0, early_stopping="never")
    book = Hypotheses(wanted, prompt=torch.tensor([0, 1]), vocabulary=10, slots=1)
    rows = slice(0, 1)
    book.reset(rows)
    logits = torch.full((1, 1, 10), float("-inf"))
    logits[0, 0, [EOS, 7]] = 0.0  # ends, or goes on, with log-probability log(1/2) each
    book.advance(rows, logits)
    logits = torch.full((1, 2, 10), float("-inf"))
    logits[:, :, EOS] = 0.0  # what went on ends now, at no cost
    book.advance(rows, logits)
    assert book.best_finished.all()
    assert book.best_scores[0, 0] == book.best_scores[0, 1]
    assert book.best_lengths[0].tolist() == [1, 2]


def test_greedy_ties_go_to_the_lower_token() -> None:
    """Greedy search takes the lowest token id among equal logits, as `torch.argmax` does."""
    book = Hypotheses(settings(**COMMON, max_new_tokens=2), prompt=torch.tensor([0]), vocabulary=9, slots=1)
    book.reset(slice(0, 1))
    logits = torch.zeros(1, 1, 9)
    logits[0, 0, [3, 6]] = 1.0
    book.advance(slice(0, 1), logits)
    assert book.tokens[0, 0, 0] == 3


# --- what is refused --------------------------------------------------------------------------------------------------


def test_every_unknown_field_is_named() -> None:
    """Fields that change the output and are not implemented are refused together, with their values."""
    with pytest.raises(EvaluationError) as caught:
        settings(
            **{**COMMON, "do_sample": True},
            max_new_tokens=5,
            no_repeat_ngram_size=3,
            num_return_sequences=2,
            suppress_tokens=[4],
        )
    assert str(caught.value) == (
        "The beam search does not implement do_sample=True, no_repeat_ngram_size=3, num_return_sequences=2, "
        "suppress_tokens=[4]. Remove the setting, or evaluate with the stock `generate`."
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bad_words_ids", [[4]]),
        ("sequence_bias", [[[4], 1.0]]),
        ("guidance_scale", 2.0),
        ("penalty_alpha", 0.6),
        ("diversity_penalty", 0.5),
        ("num_beam_groups", 2),
        ("forced_bos_token_id", 4),
        ("forced_eos_token_id", 4),
        ("begin_suppress_tokens", [4]),
        ("encoder_repetition_penalty", 1.2),
        ("encoder_no_repeat_ngram_size", 2),
        ("exponential_decay_length_penalty", [3, 1.1]),
        ("renormalize_logits", True),
        ("remove_invalid_values", True),
        ("token_healing", True),
        ("stop_strings", ["."]),
        ("max_time", 1.0),
        ("min_length", 8),
        ("dola_layers", "low"),
        ("prompt_lookup_num_tokens", 3),
        ("a_field_of_tomorrow", 1),
    ],
)
def test_unknown_field_is_refused(field: str, value: Any) -> None:
    """Each of these changes what `generate` returns, or might: refused, not ignored."""
    config = generation_config(**COMMON, max_new_tokens=5)
    setattr(config, field, value)
    with pytest.raises(EvaluationError) as caught:
        BeamSettings.from_generation_config(config)
    assert str(caught.value) == (
        f"The beam search does not implement {field}={value!r}. "
        "Remove the setting, or evaluate with the stock `generate`."
    )


def test_fields_without_effect_are_accepted() -> None:
    """Sampling parameters while sampling is off, cache and output fields, and neutral values change nothing."""
    config = generation_config(**PAPER)
    for field, value in {
        "top_k": 50,
        "temperature": 0.7,
        "top_p": 0.9,
        "use_cache": False,
        "max_length": 20,
        "min_length": 8,  # overruled by min_new_tokens
        "no_repeat_ngram_size": 0,
        "num_return_sequences": 1,
        "guidance_scale": 1,
        "bos_token_id": 2,
        "return_dict_in_generate": True,
    }.items():
        setattr(config, field, value)
    assert BeamSettings.from_generation_config(config) == settings(**PAPER)


def test_defaults_are_those_of_generate() -> None:
    """What the config leaves open is what `generate` would take."""
    assert settings(max_new_tokens=5, eos_token_id=[7, 8]) == BeamSettings(
        num_beams=1,
        max_new_tokens=5,
        min_new_tokens=0,
        length_penalty=1.0,
        repetition_penalty=1.0,
        early_stopping=False,
        eos_token_ids=(7, 8),
        pad_token_id=7,
    )


def test_max_new_tokens_is_required() -> None:
    """`max_length` counts the prompt; guessing would change lengths."""
    with pytest.raises(EvaluationError) as caught:
        settings(**COMMON, max_length=20)
    assert str(caught.value) == (
        "The generation config does not set max_new_tokens, and the beam search needs it: "
        "max_length would count the tokens of the prompt."
    )


def test_impossible_values_are_named() -> None:
    """Every setting is given at the same time."""
    with pytest.raises(EvaluationError) as caught:
        BeamSettings(
            num_beams=0,
            max_new_tokens=4,
            min_new_tokens=5,
            length_penalty=1.0,
            repetition_penalty=0.0,
            early_stopping="always",
            eos_token_ids=(-1,),
            pad_token_id=0,
        )
    assert str(caught.value) == (
        "num_beams is 0, expected at least 1. min_new_tokens is 5, expected 0 to max_new_tokens (4). "
        "repetition_penalty is 0.0, expected above 0. early_stopping is 'always', expected true, false or 'never'. "
        "eos_token_id is [-1], expected token ids."
    )


def test_flan_t5_is_not_supported() -> None:
    """An encoder-decoder takes the stock path, and so the reason says."""
    model = random_flan_t5()
    reason = "The language model is T5ForConditionalGeneration, an encoder-decoder, so it is decoded by the stock `generate`."
    assert supports(model) == reason
    with pytest.raises(EvaluationError) as caught:
        BeamSearch(model, settings(**PAPER), input_ids=torch.zeros(1, 3, dtype=torch.long), slots=1)
    assert str(caught.value) == reason


def test_other_models_are_not_supported(model: Any) -> None:
    """Unknown architectures and a model in training mode are named."""
    other = OPTForCausalLM(
        OPTConfig(vocab_size=9, hidden_size=8, ffn_dim=8, num_hidden_layers=1, num_attention_heads=1)
    )
    assert supports(model) is None
    assert supports(other) == (
        "OPTForCausalLM is not a BLIP-2 captioning model, so it is decoded by the stock `generate`."
    )
    model.train()
    try:
        assert supports(model) == "The model is in training mode, where dropout makes captions random: call `eval()`."
    finally:
        model.eval()


def test_prompt_without_image_is_refused(model: Any) -> None:
    """The prompt must hold one placeholder per image token: else the caption would not depend on the image."""
    with pytest.raises(EvaluationError) as caught:
        BeamSearch(model, settings(**PAPER), input_ids=torch.tensor([[2, 7, 8]]), slots=1)
    assert str(caught.value) == (
        "The tokenised prompt holds 0 image tokens (id 119) and the model needs 4: the image would be ignored. "
        "Set `num_query_tokens` on the processor."
    )


def test_too_long_captions_are_refused(model: Any) -> None:
    """The language model has learned positions only so far."""
    with pytest.raises(EvaluationError) as caught:
        ours(model, [], **COMMON, max_new_tokens=300)
    assert str(caught.value) == (
        "The prompt of 8 tokens and max_new_tokens=300 need 308 positions, and the language model has 256."
    )


def test_wrong_image_size_names_the_image(model: Any) -> None:
    """`generate` would silently cut the position embeddings of a smaller image."""
    with pytest.raises(EvaluationError) as caught:
        ours(model, [("cat.jpg", torch.zeros(3, 14, 14))], **PAPER)
    assert str(caught.value) == "Image cat.jpg has the shape (3, 14, 14), expected (3, 28, 28)."


@pytest.mark.parametrize("beams", [1, 5])
def test_overflow_is_an_error(images: Images, beams: int) -> None:
    """A caption whose score is NaN is an error: the model did not really say it."""
    model: Any = random_blip2(seed=2)
    with torch.no_grad():
        model.language_projection.bias.fill_(float("nan"))
    with pytest.raises(EvaluationError) as caught:
        ours(model, images[:1], **{**PAPER, "num_beams": beams})
    assert str(caught.value) == (
        "Image i0 has no caption of finite score (nan): the model's numbers overflow in this precision."
    )


# --- memory -----------------------------------------------------------------------------------------------------------


def failed_capture() -> RuntimeError:
    error = RuntimeError("CUDA error: operation failed due to a previous error during capture")
    error.__context__ = torch.OutOfMemoryError("CUDA out of memory.")
    return error


class Scarce(BeamSearch):
    """Runs out of memory in its ninth step unless it has at most `enough` slots."""

    enough = 2
    error: RuntimeError = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.")
    steps = 0

    def _step(self, count: int, furthest: int) -> list[int]:
        self.steps += 1
        if self.slots > self.enough and self.steps == 9:
            raise self.error
        return super()._step(count, furthest)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to"),
        failed_capture(),
    ],
)
def test_out_of_memory_halves_and_loses_nothing(
    model: Any, images: Images, monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    """Finished captions are yielded once, the others are decoded again, the size that worked is remembered."""
    monkeypatch.setattr(Scarce, "error", error)
    pulled: list[str] = []

    def stream() -> Iterator[tuple[str, Tensor]]:
        for name, pixels in images:
            pulled.append(name)
            yield name, pixels

    built: list[int] = []

    def build(slots: int) -> BeamSearch:
        built.append(slots)
        return Scarce(model, settings(**PAPER), input_ids=prompt_ids(model), slots=slots)

    budget = SlotBudget(8)
    results = list(caption(build, stream(), budget))
    assert built == [8, 4, 2]
    assert budget.slots == 2
    assert pulled == [name for name, _ in images], "every image is opened once"
    assert sorted(name for name, _ in results) == sorted(pulled)
    assert dict(results) == ours(model, images, **PAPER)


def test_out_of_memory_for_one_image_is_an_error(model: Any, images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the memory does not hold one image, the error says what to do."""
    monkeypatch.setattr(Scarce, "enough", 0)
    budget = SlotBudget(2)

    def build(slots: int) -> BeamSearch:
        return Scarce(model, settings(**PAPER), input_ids=prompt_ids(model), slots=slots)

    with pytest.raises(EvaluationError) as caught:
        list(caption(build, images, budget))
    assert str(caught.value) == (
        "Memory does not suffice to decode a single image. Free some, use fewer beams, a lower precision or another "
        "device. (CUDA out of memory. Tried to allocate 1 GiB.)"
    )


def test_errors_of_the_images_are_not_retried(model: Any, images: Images) -> None:
    """A stream that broke cannot be asked again; going on would lose the images it still had."""

    def stream() -> Iterator[tuple[str, Tensor]]:
        yield images[0]
        raise torch.OutOfMemoryError("while decoding a picture")

    def build(slots: int) -> BeamSearch:
        return BeamSearch(model, settings(**PAPER), input_ids=prompt_ids(model), slots=slots)

    with pytest.raises(torch.OutOfMemoryError, match="while decoding a picture"):
        list(caption(build, stream(), SlotBudget(4)))


def test_an_id_that_comes_twice_is_an_error(model: Any, images: Images) -> None:
    """Captions are told apart by id."""

    def build(slots: int) -> BeamSearch:
        return BeamSearch(model, settings(**PAPER), input_ids=prompt_ids(model), slots=slots)

    with pytest.raises(EvaluationError) as caught:
        list(caption(build, [images[0], images[0]], SlotBudget(4)))
    assert str(caught.value) == "Image i0 comes twice."


def test_slots_follow_memory(model: Any) -> None:
    """As many slots as fit are used: at least one, at most one for each image, and no more than make it faster."""

    def slots(free: int, images: int | None = None) -> int:
        return choose_slots(model, settings(**PAPER), prompt_tokens=8, images=images, free_bytes=free)

    assert slots(0) == 1
    assert slots(1 << 40) == most_slots(model) >= 64
    assert slots(1 << 40, images=10) == 10
    # 2 layers x 2 x (8 + 14 * 5) rows x 32 numbers, 5 x 120 scores in three copies, and a layer of a step, of 4 bytes each
    one = 4 * (2 * 2 * 78 * 32 + 5 * 120 * 3 + 5 * (2 * 32 + 2 * 64))
    # the images that are encoded at a time, 5 positions each, in the widest part of a layer
    encoding = 4 * (400_000 // (5 * 24)) * 5 * (2 * 24 + 5 * 24)
    assert slots(int((one * 3.5 + encoding) / 0.7)) == 3
    assert choose_slots(model, settings(**PAPER), prompt_tokens=8) >= 1
