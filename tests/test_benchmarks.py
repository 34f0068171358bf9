"""The benchmarks of captioning: what they count as work, when they refuse to give a ratio, and what they write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import phases, rehearsal, roofline, rounds
from benchmarks.rounds import Took
from pytest_claims.beam import BeamSearch, BeamSettings
from tests.tiny_models import EOS, PAD, prompt_ids, random_blip2, random_images

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def took(*seconds: float) -> list[Took]:
    """Runs whose two clocks differ by a factor of two."""
    return [Took(wall=2 * one, cpu=one) for one in seconds]


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    """Each round is compared with itself, so a machine that slows down in the middle changes no ratio."""
    ours = took(1, 1, 1, 1, 5, 5, 5, 5, 5)
    other = took(2, 2.02, 1.98, 2, 10, 10, 10, 10, 10.1)
    found = rounds.ratios(other, ours, "cpu")
    assert found.median == 2
    assert found.ratio() == "2.00 × ± 0.0 %"
    assert found == rounds.ratios(other, ours, "wall")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([2.0, 2.08, 2.0, 2.08, 2.0, 2.08, 2.0, 2.08, 2.0], "2.00 × ± 2.0 %"),
        ([2.0, 2.2, 2.0, 2.2, 2.0, 2.2, 2.0, 2.2, 2.0], "too noisy (spread 10%)"),
        ([2.0, 2.2], "too noisy (spread 10%)"),
        ([float("nan")] * 9, "too noisy (spread nan%)"),
    ],
)
def test_a_ratio_that_scatters_is_not_given(values: list[float], text: str) -> None:
    """Above a spread of 5 % the text is "too noisy", and no number; so it is for values that are no numbers."""
    assert rounds.middle(values).ratio() == text


def test_ways_take_turns() -> None:
    """All ways run once per round, the order rotates, and the first round is not counted."""
    order: list[str] = []
    between: list[int] = []

    def way(name: str) -> Callable[[], str]:
        def run() -> str:
            order.append(name)
            return name

        return run

    seconds, returned = rounds.in_turns({name: way(name) for name in "abc"}, rounds=3, between=between.append)
    assert "".join(order) == "abcbcacababc"
    assert {name: len(runs) for name, runs in seconds.items()} == {"a": 3, "b": 3, "c": 3}
    assert returned == {"a": "a", "b": "b", "c": "c"}
    assert between == [0, 1, 2]


def test_the_document_is_rewritten_between_its_markers(tmp_path: Path) -> None:
    """Only the named section changes, twice the same text is the same file, and a document without it is an error."""
    document = tmp_path / "speed.md"
    document.write_text("before\n<!-- measured: x -->\nold\n<!-- end: x -->\nafter\n", encoding="utf-8")
    for _ in range(2):
        rounds.rewrite(document, "x", "new\n")
        assert document.read_text(encoding="utf-8") == "before\n<!-- measured: x -->\nnew\n<!-- end: x -->\nafter\n"
    with pytest.raises(SystemExit, match="has no section between <!-- measured: y --> and <!-- end: y -->"):
        rounds.rewrite(document, "y", "new")


@pytest.fixture(scope="module")
def model() -> Any:
    return random_blip2(seed=2)


def test_the_floor_counts_what_the_model_computes(model: Any) -> None:
    """The operations of vision model and Q-Former are those that PyTorch's own counter finds in the stock model."""
    work = phases.work(model, prompt=8, slots=4, beams=5, tokens=6.0)

    def counted(run: Callable[[], Any]) -> int:
        """The operations of all products apart from attention, which PyTorch's counter does not see on every CPU."""
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            run()
        found = counter.get_flop_counts()["Global"]
        return sum(n for op, n in found.items() if "attention" not in str(op) and "bmm" not in str(op))

    seen = torch.zeros(1, 5, 24)
    queries = model.query_tokens.expand(1, -1, -1)

    def read() -> None:
        model.language_projection(model.qformer(query_embeds=queries, encoder_hidden_states=seen).last_hidden_state)

    vision = work[phases.VISION]
    assert vision.operations - vision.attention == counted(lambda: model.vision_model(torch.zeros(1, 3, 28, 28)))
    assert work[phases.QFORMER].operations == counted(read)


def test_every_second_is_counted_once(model: Any) -> None:
    """All phases of a run are found, and their sum is the time of the run: none is counted inside another."""
    ticks = iter(range(1_000_000))
    watch = phases.Stopwatch("cpu", lambda: None)
    watch._now = lambda: float(next(ticks))
    settings = BeamSettings(
        num_beams=3, max_new_tokens=8, min_new_tokens=1, length_penalty=1.0, repetition_penalty=1.0,
        early_stopping=False, eos_token_ids=(EOS,), pad_token_id=PAD,
    )  # fmt: skip
    search = BeamSearch(model, settings, input_ids=prompt_ids(model), slots=2)
    with watch.watching(), watch.phase(phases.REST):
        found = dict(search.run(watch.images(random_images(5))))
    assert len(found) == 5
    names = {phases.IMAGES, phases.VISION, phases.QFORMER, phases.PREFIX, phases.STEPS, phases.SEARCH, phases.REST}
    assert set(watch.seconds) == names
    assert sum(watch.seconds.values()) == next(ticks) - 1


def kernel(phase: str, name: str, *, flops: int = 0, moved: int = 0, dtype: torch.dtype = torch.float16) -> Any:
    """A kernel of a rehearsal."""
    return rehearsal.Kernel(
        phase=phase, name=name, flops=flops, read=moved, written=0, allocated=0, dtypes=(dtype,), shapes=()
    )  # fmt: skip


def test_a_kernel_takes_the_longest_of_its_times() -> None:
    """Arithmetic at the rate of its dtype, bytes at the bandwidth, and never less than a launch, which a graph shortens."""
    gpu = roofline.Gpu(
        name="g", half=1e12, single=1e11, bandwidth=1e9, memory=1e9, product_share=0.5, bandwidth_share=1.0,
        launch=5e-6, node=1e-6,
    )  # fmt: skip
    assert gpu.seconds(kernel("p", "mm", flops=10**12), graph=True) == (2.0, "arithmetic")
    assert gpu.seconds(kernel("p", "mm", flops=10**12, dtype=torch.float32), graph=True) == (20.0, "arithmetic")
    assert gpu.seconds(kernel("p", "add", moved=10**9), graph=False) == (1.0, "memory")
    assert gpu.seconds(kernel("p", "add"), graph=False) == (5e-6, "launches")
    assert gpu.seconds(kernel("p", "add"), graph=True) == (1e-6, "launches")


def test_a_prediction_counts_steps_by_the_length_of_captions() -> None:
    """What is done once per image counts once; steps count as often as a caption of the stated length has them."""
    gpu = roofline.Gpu(name="g", half=1e12, single=1e12, bandwidth=1e9, memory=1e9, bandwidth_share=1.0)
    steps = [kernel(phases.STEPS, "add", moved=10**9) for _ in range(10)]
    found = rehearsal.Rehearsal(
        slots=2, prompt=4, weights=0, peak=0, steps=10, waits=(), attention=(),
        kernels=(kernel(phases.SEARCH, "add", moved=10**9), *steps),
    )  # fmt: skip
    guess = roofline.predict(found, gpu, tokens=6, idle=0)
    assert guess.phases == {phases.PREFIX: pytest.approx(0.5), phases.STEPS: pytest.approx(2.5)}
