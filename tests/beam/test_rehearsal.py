"""Our search on a GPU that does not exist: true widths of the paper's models, two layers, tensors without values.

The true numbers of layers take minutes: `tox -e rehearsal`.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks import kernels, phases, rehearsal
from benchmarks.rehearsal import RefusedError, Rehearsal
from pytest_claims.beam.turnover import LOOK

FP16, FP32 = torch.float16, torch.float32


@pytest.fixture(scope="module")
def found() -> Rehearsal:
    """OPT-2.7B's widths, on the second GPU."""
    return rehearsal.captioned("blip2-opt-2.7b", slots=8, layers=2, device="cuda:1")


def test_the_host_waits_once_for_eight_steps(found: Rehearsal) -> None:
    """In a whole search, the host reads once after every eight steps, and waits for nothing else; all is on one GPU."""
    assert {reason for _, reason in found.waits} == {"values are read"}
    assert len(found.waits) == -(-found.steps // LOOK)


def test_float16_where_the_paper_has_it(found: Rehearsal) -> None:
    """No two float dtypes meet. The Q-Former computes in float32, and so does the search; no softmax is left in float16."""
    assert found.mixed() == set()
    norms = {(k.phase, k.dtypes) for k in found.kernels if k.name == "native_layer_norm"}
    assert norms == {
        (phases.VISION, (FP16,)), (phases.QFORMER, (FP32,)), (phases.PREFIX, (FP16,)), (phases.STEPS, (FP16,)),
    }  # fmt: skip
    assert {k.dtypes for k in found.kernels if "softmax" in k.name} == {(FP32,)}
    products = {(k.phase, k.dtypes) for k in found.kernels if k.flops and "attention" not in k.name}
    # The last product of the Q-Former's phase is the projection to the language model.
    assert {phase for phase, dtypes in products if dtypes == (FP32,)} == {phases.QFORMER}


def test_no_attention_falls_back(found: Rehearsal) -> None:
    """Flash attention for vision model and prefix, the memory-efficient kernel for the rest; no mask is copied."""
    chosen = {(call.phase, call.kernel) for call in found.attention}
    assert chosen == {
        (phases.VISION, kernels.FLASH), (phases.PREFIX, kernels.FLASH),
        (phases.QFORMER, kernels.EFFICIENT), (phases.STEPS, kernels.EFFICIENT),
    }  # fmt: skip
    assert not any(call.copies_mask for call in found.attention)


def test_the_shapes_of_steps_are_few(found: Rehearsal) -> None:
    """All steps of a search have one of two shapes, which differ in how many rows of the store they read."""
    steps = {(call.query, call.keys) for call in found.attention if call.phase == phases.STEPS}
    assert steps == {((8, 32, 5, 80), 128), ((8, 32, 5, 80), 192)}


def test_a_step_allocates_little(found: Rehearsal) -> None:
    """For each hypothesis, a step's tensors have 100 kB a layer, 120 kB beside the layers, and 440 kB of the search."""
    hypotheses = 8 * 5
    bytes_of = dict.fromkeys((phases.STEPS, phases.SEARCH), 0.0)
    for kernel in found.kernels:
        if kernel.phase in bytes_of:
            bytes_of[kernel.phase] += kernel.allocated / found.steps / hypotheses
    assert 0 < bytes_of[phases.STEPS] <= 2 * 100_000 + 120_000
    assert 0 < bytes_of[phases.SEARCH] <= 440_000


def test_the_memory_budget_holds() -> None:
    """As many images as are chosen for a GPU's memory fit into it, with all that is computed on the way."""
    memory = 3 * 10**9
    found = rehearsal.captioned("blip2-opt-2.7b", layers=2, memory=memory, tokens=6)
    assert found.slots > 8, "the memory decides, or the test says nothing"
    assert found.peak < memory


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda kept, x: kept.append(x * 2), "1 tensors that a captured region has allocated outlive it"),
        (lambda _, x: x.nonzero(), "nonzero has a result whose size"),
        (lambda _, x: x[x > 0], "index has a result whose size"),
        (lambda _, x: x.sum().item(), "must not wait for the device: values are read|has a result whose size or value"),
        (lambda _, x: x.cpu(), "must not wait for the device: a copy from the device"),
        (lambda _, x: x + torch.ones(4).to(x.device), "touches the host's memory"),
    ],
)
def test_what_a_graph_cannot_replay_is_refused(broken: Any, message: str) -> None:
    """The check of captured regions meets each thing that it is for."""
    kept: list[Any] = []
    with rehearsal.rehearsal() as recorder:
        values = torch.empty(4, device="cuda:0")
        with recorder.captured():
            values.add_(1)
        with pytest.raises(RefusedError, match=message), recorder.captured():
            broken(kept, values)


def test_devices_do_not_mix() -> None:
    """An operator on two devices is refused: so a rehearsal that ends has had none."""
    with rehearsal.rehearsal(), pytest.raises(RuntimeError, match="device"):
        torch.empty(4, device="cuda:0") + torch.empty(4, device="cuda:1")


def test_flan_t5_runs_on_a_gpu() -> None:
    """`generate`, which decodes it, runs to its end; only in its first step, with one key, T5's attention falls back."""
    found = rehearsal.generated("blip2-flan-t5-xl", batch=2, layers=1, tokens=3)
    assert found.steps == 3
    softmax = {(k.name, k.dtypes) for k in found.kernels if "softmax" in k.name and k.dtypes == (FP16,)}
    assert softmax == set()
    assert {call.keys for call in found.attention if call.kernel == kernels.MATH} == {1}
    assert {call.dtype for call in found.attention if call.phase == phases.REST} == {FP16, FP32}
