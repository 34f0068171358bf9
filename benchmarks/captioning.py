"""How fast captions are made, side by side in one run.

    python benchmarks/captioning.py --preset mid
    python benchmarks/captioning.py --preset shapes --json
    python benchmarks/captioning.py --preset opt-2.7b --dtype float16 --device cuda

Four ways to caption the same images with the same model and the same decoding, each from encoded files, so that
opening, resizing and normalising a picture is part of all of them:

a. `batch1`: `generate` on one image at a time, the loop people write;
b. `batch16`: `generate` in batches of 16, LAVIS's evaluation batch (its caption configurations' `batch_size_eval`);
c. `stock`: `generate` at the number of images that pytest-claims decodes at a time;
d. `ours`: pytest-claims' beam search.

The four take turns, once per round, in an order that rotates; figures are medians over the rounds, and a ratio is the
median of the rounds' ratios. So a machine that others use, too, disturbs all four alike.

Presets: `shapes` is the trained model of claims/shapes; `mid` has random weights, about 50 M parameters in BLIP-2's
proportions (26 % vision, 3 % Q-Former, 71 % language model) and captions of realistic length; `opt-2.7b` is the
architecture of Salesforce/blip2-opt-2.7b with random weights, created on the device.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import resource
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import torch
import transformers
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PROC = Path("/proc/self")
sys.path.insert(0, str(ROOT))

from pytest_claims.beam import (  # noqa: E402 - the checkout is measured, installed or not
    BeamSearch,
    BeamSettings,
    SlotBudget,
    caption,
    choose_slots,
)
from tests import tiny_models  # noqa: E402 - as above

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    Captions = dict[str, tuple[int, ...]]

MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)

# The proportions of BLIP-2 ViT-g OPT-2.7B: 0.99, 0.11 and 2.65 of 3.74 billion parameters
MID: dict[str, Any] = {
    "vocabulary": 3400,
    "hidden": 512,
    "ffn": 2048,
    "layers": 11,
    "heads": 8,
    "vision": (384, 7, 6, 1536),
    "qformer": (192, 4, 4, 768),
}
OPT_2_7B: dict[str, Any] = {
    "vocabulary": 50304,
    "hidden": 2560,
    "ffn": 10240,
    "layers": 32,
    "heads": 32,
    "vision": (1408, 39, 16, 6144),
    "qformer": (768, 12, 12, 3072),
    "positions": 2048,
}
# COCO captions have 10.5 words on average and scatter more than these, by about 2: the less lengths differ, the less a
# batch waits for its longest caption, so this is the kinder case for `generate`.
REALISTIC: dict[str, Any] = {
    "image_size": 224,
    "patch_size": 14,
    "queries": 32,
    "typical_length": 10,
    "eos_slope": 1.0,
    "sharpness": 3.0,
}
# The paper's caption decoding, as LAVIS evaluates it
DECODING: dict[str, Any] = {
    "do_sample": False,
    "num_beams": 5,
    "max_new_tokens": 30,
    "min_new_tokens": 1,
    "length_penalty": 1.0,
    "repetition_penalty": 1.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A model and the encoded pictures it captions."""

    model: Any
    prompt_ids: Tensor
    files: list[tuple[str, bytes]]
    size: int
    config: transformers.GenerationConfig

    def images(self) -> Iterator[tuple[str, Tensor]]:
        """Open one picture after the other: LAVIS's bicubic squash and normalisation."""
        for name, data in self.files:
            picture = Image.open(io.BytesIO(data)).convert("RGB")
            picture = picture.resize((self.size, self.size), Image.Resampling.BICUBIC)
            pixels = (np.asarray(picture, dtype=np.float32) / 255 - MEAN) / STD
            yield name, torch.from_numpy(pixels).permute(2, 0, 1)


def main() -> None:
    """Measure and print."""
    options = _command_line()
    quiet: Any = transformers.logging.set_verbosity_error
    quiet()
    datasets.disable_progress_bars()
    if options.threads:
        torch.set_num_threads(options.threads)
    workload = _workload(options)
    settings = BeamSettings.from_generation_config(workload.config)
    slots = options.slots or choose_slots(
        workload.model, settings, prompt_tokens=workload.prompt_ids.shape[1], images=len(workload.files)
    )
    budget = SlotBudget(slots)

    def ours() -> Captions:
        def build(number: int) -> BeamSearch:
            return BeamSearch(workload.model, settings, input_ids=workload.prompt_ids, slots=number)

        return dict(caption(build, workload.images(), budget))

    ways: dict[str, Callable[[], Captions]] = {
        "batch1": lambda: _stock(workload, 1),
        "batch16": lambda: _stock(workload, 16),
        "stock": lambda: _stock(workload, slots),
        "ours": ours,
    }
    report = _measure(ways, rounds=options.rounds, device=workload.model.device, clock=options.clock)
    report |= _describe(workload, slots=budget.slots, options=options, report=report)
    captions: dict[str, Captions] = report.pop("captions")
    reference = captions["batch1"]
    same = sum(captions["ours"][name] == tokens for name, tokens in reference.items())
    report["identical"] = all(other == reference for other in captions.values())
    report["identical_to_batch1"] = same / len(reference)
    lengths = [len(tokens) for tokens in reference.values()]
    report["caption_tokens"] = {
        "mean": round(statistics.mean(lengths), 2),
        "sd": round(statistics.pstdev(lengths), 2),
        "longest": max(lengths),
        "different_captions": len(set(reference.values())),
    }
    print(json.dumps(report, indent=2) if options.json else _table(report))


def _command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Captioning, four ways side by side.")
    parser.add_argument("--preset", choices=("shapes", "mid", "opt-2.7b"), default="mid")
    parser.add_argument("--images", type=int, default=64, help="how many pictures (default: 64)")
    parser.add_argument("--rounds", type=int, default=3, help="how often (default: 3; plus one to warm up)")
    parser.add_argument("--slots", type=int, help="images decoded at a time in (c) and (d) (default: chosen)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: PyTorch's choice)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: processor time, for a machine that others use at the same time (with --threads 1)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args()


def _workload(options: argparse.Namespace) -> Workload:
    dtype: torch.dtype = getattr(torch, options.dtype)
    if options.preset == "shapes":
        return _shapes(options.images, options.device, dtype)
    sizes = MID if options.preset == "mid" else OPT_2_7B
    model = tiny_models.random_blip2(**sizes, **REALISTIC, device=options.device, dtype=dtype)
    return Workload(
        model=model,
        prompt_ids=tiny_models.prompt_ids(model),
        files=[(f"random-{n}", _photograph(n)) for n in range(options.images)],
        size=224,
        config=_generation_config(**DECODING, eos_token_id=tiny_models.EOS, pad_token_id=tiny_models.PAD),
    )


def _generation_config(**fields: Any) -> transformers.GenerationConfig:
    make: Any = transformers.GenerationConfig
    config: transformers.GenerationConfig = make(**fields)
    return config


def _photograph(seed: int) -> bytes:
    """A JPEG of the size and smoothness of a photograph in COCO."""
    generator = np.random.default_rng(seed)
    small = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(small).resize((640, 480), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def _shapes(count: int, device: str, dtype: torch.dtype) -> Workload:
    folder = ROOT / "claims" / "shapes"
    if not (folder / "model").is_dir():
        sys.exit(f"{folder / 'model'} does not exist. Make it with: python claims/shapes/train.py")
    rows = datasets.load_dataset("parquet", data_files=str(folder / "data" / "test.parquet"), split="train")
    rows = rows.cast_column("image", datasets.Image(decode=False)).select(range(min(count, len(rows))))
    load: Any = transformers.Blip2Processor
    processor = load.from_pretrained(folder / "model", backend="pil")
    model: Any = transformers.Blip2ForConditionalGeneration.from_pretrained(folder / "model", dtype=dtype)
    model.eval().to(device)
    blank = Image.new("RGB", (64, 64))
    prompt = processor(images=blank, text="a photo of", return_tensors="pt").input_ids.to(device)
    stored = model.generation_config
    return Workload(
        model=model,
        prompt_ids=prompt,
        files=[(row["filename"], row["image"]["bytes"]) for row in rows],
        size=model.config.vision_config.image_size,
        config=_generation_config(**DECODING, eos_token_id=stored.eos_token_id, pad_token_id=stored.pad_token_id),
    )


def _stock(workload: Workload, batch: int) -> Captions:
    captions: Captions = {}
    model, prompt = workload.model, workload.prompt_ids
    waiting: list[tuple[str, Tensor]] = []

    def flush() -> None:
        pixels = torch.stack([image for _, image in waiting]).to(model.device, model.dtype)
        rows = model.generate(
            pixel_values=pixels,
            input_ids=prompt.repeat(len(waiting), 1),
            generation_config=workload.config,
        )
        for (name, _), row in zip(waiting, rows[:, prompt.shape[1] :].tolist(), strict=True):
            ends = [n + 1 for n, token in enumerate(row) if token == workload.config.eos_token_id]
            captions[name] = tuple(row[: min(ends, default=len(row))])
        waiting.clear()

    for image in workload.images():
        waiting.append(image)
        if len(waiting) == batch:
            flush()
    if waiting:
        flush()
    return captions


def _measure(
    ways: dict[str, Callable[[], Captions]], *, rounds: int, device: torch.device, clock: str
) -> dict[str, Any]:
    names = list(ways)
    now = time.process_time if clock == "cpu" else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in names}
    memory: dict[str, float] = {}
    captions: dict[str, Captions] = {}
    for number in range(rounds + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            _reset_peak(device)
            start = now()
            captions[name] = ways[name]()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            took = now() - start
            memory[name] = max(memory.get(name, 0.0), _peak(device))
            if number:  # the first round warms up
                seconds[name].append(took)
    count = len(captions["ours"])
    return {
        "images_per_second": {name: round(count / statistics.median(seconds[name]), 3) for name in names},
        "ratio_of_ours": {
            name: round(statistics.median(a / b for a, b in zip(seconds[name], seconds["ours"], strict=True)), 2)
            for name in names[:-1]
        },
        "peak_memory_mib": {name: round(memory[name]) for name in names},
        "captions": captions,
    }


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    elif PROC.exists():
        (PROC / "clear_refs").write_text("5")  # proc(5): resets the peak resident set size


def _peak(device: torch.device) -> float:
    """MiB: of the device where it has its own memory, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if PROC.exists():
        return int((PROC / "status").read_text().split("VmHWM:")[1].split()[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS; never goes down


def _describe(workload: Workload, *, slots: int, options: argparse.Namespace, report: dict[str, Any]) -> dict[str, Any]:
    model = workload.model
    rate = _matmul_rate(model)
    captions: Captions = report["captions"]["ours"]
    tokens = statistics.mean(len(caption) for caption in captions.values())
    work = _operations(workload, tokens)
    return {
        "matmul_tflops": round(rate / 1e12, 3),
        "share_of_matmul_rate": {
            name: round(speed * work / rate, 3) for name, speed in report["images_per_second"].items()
        },
        "gflop_per_image": round(work / 1e9, 2),
        "preset": options.preset,
        "images": len(workload.files),
        "rounds": options.rounds,
        "slots": slots,
        "parameters_million": round(sum(p.numel() for p in model.parameters()) / 1e6, 1),
        "dtype": options.dtype,
        "device": torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else platform.machine(),
        "clock": options.clock,
        "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def _matmul_rate(model: Any) -> float:
    """Operations per second of a product of the language model's own size; the best of ten."""
    config = model.language_model.config
    rows = 8192 if model.device.type == "cuda" else 2048
    left = torch.randn(rows, config.hidden_size, device=model.device).to(model.dtype)
    right = torch.randn(config.ffn_dim, config.hidden_size, device=model.device).to(model.dtype)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        for _ in range(5):
            torch.nn.functional.linear(left, right)
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)
        times.append((time.perf_counter() - start) / 5)
    return float(2 * rows * config.hidden_size * config.ffn_dim / min(times))


def _operations(workload: Workload, tokens: float) -> float:
    """What one image needs at least: its prefix once, then its beams until the caption's end.

    Two operations per weight and position, and the products of attention. Padding, repeated prefixes and what a search
    does after its caption was found are waste and do not count.
    """
    model = workload.model
    vision, text = model.config.vision_config, model.config.text_config
    patches = (vision.image_size // vision.patch_size) ** 2 + 1
    seen = 2 * patches * _weights(model.vision_model) + 4 * vision.num_hidden_layers * patches**2 * vision.hidden_size
    # Keys and values of the Q-Former's cross-attention are computed for every patch, all else for every query.
    cross = sum(
        _weights(layer.crossattention.attention.key) + _weights(layer.crossattention.attention.value)
        for layer in model.qformer.encoder.layer
        if layer.has_cross_attention
    )
    queries = model.config.num_query_tokens
    read = 2 * queries * (_weights(model.qformer) - cross) + 2 * patches * cross
    prefix = workload.prompt_ids.shape[1]
    positions = prefix + workload.config.num_beams * (tokens - 1)
    layers = _weights(model.language_model.model.decoder.layers)
    attended = (prefix**2 / 2 + workload.config.num_beams * (tokens - 1) * (prefix + tokens / 2)) * text.hidden_size
    head = 2 * (1 + workload.config.num_beams * (tokens - 1)) * text.hidden_size * text.vocab_size
    return float(seen + read + 2 * positions * layers + 4 * text.num_hidden_layers * attended + head)


def _weights(module: Any) -> int:
    return sum(p.numel() for p in module.parameters() if p.dim() > 1)


def _table(report: dict[str, Any]) -> str:
    what = f"{report['parameters_million']} M parameters, {report['images']} images, {report['slots']} at a time"
    where = f"{report['dtype']} on {report['device']}, {report['threads']} threads, {report['clock']} clock"
    lines = [
        f"preset {report['preset']}: {what}, {where}",
        f"captions: {report['caption_tokens']}; identical: {report['identical']}",
        f"matrix products: {report['matmul_tflops']} TFLOP/s; an image needs {report['gflop_per_image']} GFLOP",
        f"{'':10}{'images/s':>10}{'ours is':>10}{'peak MiB':>10}{'of rate':>10}",
    ]
    for name, speed in report["images_per_second"].items():
        ratio = report["ratio_of_ours"].get(name)
        times = f"{ratio} x" if ratio is not None else ""
        share = f"{report['share_of_matmul_rate'][name]:.1%}"
        lines.append(f"{name:10}{speed:>10}{times:>10}{report['peak_memory_mib'][name]:>10}{share:>10}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
