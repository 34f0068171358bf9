"""Predicted speed on one H100 and one H200: an analytical model, and no measurement.

    python benchmarks/roofline.py
    python benchmarks/roofline.py --image-size 364 --write

A rehearsal (benchmarks/rehearsal.py) tells which kernels a run launches, the operations of each, and the bytes that it reads
and writes. The model gives each kernel the longest of three times: its operations at the rate of its dtype, its bytes at the
memory's bandwidth, and the time that a launch takes at least, which for a step is that of a node of a CUDA graph. Peak rates
are never reached, so a share of each is assumed. All of these numbers are parameters:

* peak rates and bandwidth: NVIDIA's data sheets, "H100 Tensor Core GPU" and "H200 Tensor Core GPU" (SXM);
* the shares and the launch times are guesses, and what a measurement has to replace.

What the host does is not part of the model: opening and resizing images, and looking at the results.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import phases, rehearsal, rounds  # noqa: E402 - the checkout is used, installed or not
from pytest_claims.beam.turnover import LOOK  # noqa: E402 - as above

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.rehearsal import Kernel, Rehearsal

DOCUMENT = ROOT / "docs" / "performance.md"
BATCHES = (16, 64, 256)
TOKENS = 10.4
"""Of a caption, with its end: COCO's have 10.5 words on average (benchmarks/workloads.py)."""
PER_CAPTIONS = 5000
"""Images of COCO's Karpathy test split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """Peak rates from a data sheet, and which share of them is assumed to be reached."""

    name: str
    half: float
    """Operations per second in float16 with float32 sums."""
    single: float
    """Operations per second in float32, without TF32, which PyTorch leaves off."""
    bandwidth: float
    """Bytes per second."""
    memory: float
    """Bytes."""
    product_share: float = 0.6
    attention_share: float = 0.35
    bandwidth_share: float = 0.8
    launch: float = 5e-6
    """Seconds that a kernel takes at least when the host launches it."""
    node: float = 1.5e-6
    """The same in a CUDA graph."""

    def seconds(self, kernel: Kernel, *, graph: bool) -> tuple[float, str]:
        """The time of a kernel, and what limits it."""
        peak = self.half if torch.float16 in kernel.dtypes or torch.bfloat16 in kernel.dtypes else self.single
        share = self.attention_share if "attention" in kernel.name else self.product_share
        limits = {
            "arithmetic": kernel.flops / (peak * share),
            "memory": (kernel.read + kernel.written) / (self.bandwidth * self.bandwidth_share),
            "launches": self.node if graph else self.launch,
        }
        limit = max(limits, key=lambda name: limits[name])
        return limits[limit], limit


GPUS = (
    Gpu(name="H100 SXM", half=989e12, single=67e12, bandwidth=3.35e12, memory=80e9),
    Gpu(name="H200 SXM", half=989e12, single=67e12, bandwidth=4.8e12, memory=141e9),
)
"""NVIDIA's data sheets: float16 tensor core 1,979 TFLOPS with sparsity, which is 989 without; float32 67 TFLOPS; HBM3 with
3.35 TB/s, and HBM3e with 4.8 TB/s."""

STEP = (phases.STEPS, phases.SEARCH, phases.REST)
ONCE = (phases.VISION, phases.QFORMER, phases.PREFIX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Seconds per image of each phase, and of each limit."""

    images: int
    phases: Mapping[str, float]
    limits: Mapping[tuple[str, str], float]
    bytes: float
    """At most in use."""

    @property
    def seconds(self) -> float:
        """Per image."""
        return sum(self.phases.values())

    @property
    def rate(self) -> float:
        """Images per second."""
        return 1 / self.seconds


def predict(found: Rehearsal, gpu: Gpu, *, tokens: float, idle: float = 0.5) -> Prediction:
    """The time of an image where every slot is in use.

    Args:
        found: a rehearsal.
        gpu: its rates.
        tokens: of a caption, on average.
        idle: steps for which a decided image keeps its slot, on average, where more are decided than a step replaces.
    """
    spent: dict[str, float] = defaultdict(float)
    limits: dict[tuple[str, str], float] = defaultdict(float)
    in_steps = False
    steps = tokens - 1 + idle
    for kernel in found.kernels:
        # The search's kernels before the first step belong to the prefix.
        in_steps = in_steps or kernel.phase == phases.STEPS
        graph = in_steps and kernel.phase in STEP
        seconds, limit = gpu.seconds(kernel, graph=graph)
        times = steps / found.steps if graph else 1.0
        phase = kernel.phase if graph or kernel.phase in ONCE else phases.PREFIX
        spent[phase] += seconds * times / found.slots
        limits[phase, limit] += seconds * times / found.slots
    return Prediction(images=found.slots, phases=spent, limits=limits, bytes=found.peak)


def main() -> None:
    """Predict and print."""
    parser = argparse.ArgumentParser(description="Predicted images per second on one H100 and one H200.")
    parser.add_argument("--model", default="blip2-opt-2.7b")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--layers", type=int, help="of each part, instead of the true number: only to try the program")
    parser.add_argument("--tokens", type=float, default=TOKENS, help=f"of a caption, on average (default: {TOKENS})")
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES), help="images decoded at a time")
    parser.add_argument("--write", action="store_true", help="also replace the section of docs/performance.md")
    given = parser.parse_args()
    found = {
        batch: rehearsal.captioned(
            given.model, slots=batch, layers=given.layers, image_size=given.image_size, tokens=30, memory=10**12
        )
        for batch in given.batches
    }
    text = told(found, given.tokens, f"{given.model}, float16, {given.image_size} px")
    print(text)
    if given.write:
        command = " ".join(["python benchmarks/roofline.py", *(each for each in sys.argv[1:] if each != "--write")])
        rounds.rewrite(DOCUMENT, f"roofline {given.image_size}", f"`{command}`: {text}")


def told(found: Mapping[int, Rehearsal], tokens: float, what: str) -> str:
    """The predictions in Markdown."""
    lines = [
        f"**Predicted**, not measured: {what}, beam 5, {tokens} tokens a caption.",
        "",
        "| GPU | images at a time | GB | ms an image | images/s | GPU hours per 5,000 images | "
        + " | ".join((*ONCE, phases.STEPS, phases.SEARCH, "exchange"))
        + " |",
        f"| {' | '.join(['---'] * 12)} |",
    ]
    for gpu in GPUS:
        for batch in found:
            guess = predict(found[batch], gpu, tokens=tokens)
            if guess.bytes > gpu.memory:
                lines.append(f"| {gpu.name} | {batch} | {guess.bytes / 1e9:.1f}: too large | | | | | | | | | |")
                continue
            shares = [guess.phases.get(phase, 0.0) / guess.seconds for phase in (*ONCE, *STEP)]
            lines.append(
                f"| {gpu.name} | {batch} | {guess.bytes / 1e9:.1f} | {guess.seconds * 1e3:.2f} | {guess.rate:.0f} "
                f"| {PER_CAPTIONS * guess.seconds / 3600:.4f} | {' | '.join(f'{share:.0%}' for share in shares)} |"
            )
    largest = max(found)
    lines += ["", *next_steps(found[largest], GPUS[0], tokens)]
    return "\n".join(lines)


def next_steps(found: Rehearsal, gpu: Gpu, tokens: float) -> Sequence[str]:
    """What changes would buy, one at a time."""
    now = predict(found, gpu, tokens=tokens)
    looks = LOOK  # a slot of a decided image would be free only at the next look
    late = -(-(tokens - 1) // looks) * looks - (tokens - 1)
    single = _without(now, phases.QFORMER, gpu, found)
    lists = {
        "if a decided image kept its slot until the host's look, every eight steps": predict(
            found, gpu, tokens=tokens, idle=late
        ).seconds,
        "if the host looked after every step and the GPU waited 0.2 ms for it": now.seconds
        + 2e-4 * tokens / found.slots,
        "if the Q-Former's products ran on tensor cores (TF32), which changes its numbers": single,
        "if the attention of the steps cost nothing": now.seconds - _attention(found, gpu, tokens),
    }
    where = f"On one {gpu.name} with {found.slots} images at a time ({now.seconds * 1e3:.2f} ms an image)"
    lines = [f"{where}, by the same model:", ""]
    for change, seconds in lists.items():
        lines.append(f"* {change}: {seconds * 1e3:.2f} ms ({now.seconds / seconds - 1:+.1%} images/s)")
    return lines


def _without(now: Prediction, phase: str, gpu: Gpu, found: Rehearsal) -> float:
    """Seconds per image if a phase's products in float32 had the rate of TF32, half of float16's."""
    saved = 0.0
    for kernel in found.kernels:
        if kernel.phase == phase and kernel.flops and torch.float16 not in kernel.dtypes:
            before, _ = gpu.seconds(kernel, graph=False)
            memory = (kernel.read + kernel.written) / (gpu.bandwidth * gpu.bandwidth_share)
            after = max(kernel.flops / (gpu.half / 2 * gpu.product_share), memory, gpu.launch)
            saved += before - min(before, after)
    return now.seconds - saved / found.slots


def _attention(found: Rehearsal, gpu: Gpu, tokens: float) -> float:
    """Seconds per image of the steps' attention, which reads the store."""
    attention = [k for k in found.kernels if k.phase == phases.STEPS and "attention" in k.name]
    return sum(gpu.seconds(kernel, graph=True)[0] for kernel in attention) * (tokens - 1) / found.steps / found.slots


if __name__ == "__main__":
    main()
