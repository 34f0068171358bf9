"""How fast images are prepared for the vision model: opened, resized and normalised by transformers' PIL processor.

    python benchmarks/feed.py

A run prepares images in threads (`pytest_claims.evaluation.setup.WORKERS`), because PIL releases the interpreter's lock
while it decodes and resizes. This compares the number of threads, and processes, which have a lock each but must send every
picture back. The ways take turns (benchmarks/rounds.py). It also measures the processor time of JPEG's draft mode, which
decodes at a fraction of the size. A run does not use it: it gives other pixels than the protocol's resize of the whole image.
"""

from __future__ import annotations

import argparse
import io
import sys
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import rounds, workloads
from pytest_claims.evaluation.setup import WORKERS

if TYPE_CHECKING:
    from collections.abc import Callable

SIDE = 224
make: Any = transformers.BlipImageProcessorPil
PROCESSOR: Any = make(size={"height": SIDE, "width": SIDE})


def whole(data: bytes) -> Image.Image:
    """The image as a run opens it."""
    return Image.open(io.BytesIO(data)).convert("RGB")


def draft(data: bytes) -> Image.Image:
    """The image at the smallest of JPEG's sizes that is not below the vision model's."""
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (SIDE, SIDE))
    return image.convert("RGB")


def prepare(data: bytes) -> np.ndarray[Any, Any]:
    """The pixel values of one image."""
    found: np.ndarray[Any, Any] = PROCESSOR(images=[whole(data)], return_tensors="np")["pixel_values"][0]
    return found


def start() -> None:
    """One thread for PyTorch in each process."""
    torch.set_num_threads(1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The preparation of images: threads, processes, draft mode.")
    parser.add_argument("--images", type=int, default=64, help="how many pictures of 640 x 480 (default: 64)")
    parser.add_argument("--rounds", type=int, default=rounds.FEWEST, help="how often (default: 9; plus one to warm up)")
    options = parser.parse_args()
    rounds.pin(1)
    print(f"Machine: {rounds.machine()}. {options.images} JPEG of 640 x 480, {options.rounds} rounds.")
    files = [workloads._photograph(n) for n in range(options.images)]
    spawn = get_context("spawn")
    pools: dict[str, Executor] = {
        "2 threads": ThreadPoolExecutor(2),
        f"{WORKERS} threads": ThreadPoolExecutor(WORKERS),
        "2 processes": ProcessPoolExecutor(2, mp_context=spawn, initializer=start),
    }

    def through(pool: Executor) -> Callable[[], int]:
        return lambda: sum(1 for _ in pool.map(prepare, files, chunksize=4))

    ways: dict[str, Callable[[], int]] = {"one after the other": lambda: sum(1 for _ in map(prepare, files))}
    ways |= {name: through(pool) for name, pool in pools.items()}
    took, _ = rounds.in_turns(ways, rounds=options.rounds)
    for name, runs in took.items():
        wall = rounds.middle([run.wall for run in runs])
        ratio = rounds.ratios(runs, took["2 threads"], "wall").ratio()
        print(f"{name:22}{len(files) / wall.median:8.0f} images/s, wall time over that of 2 threads: {ratio}")
    for pool in pools.values():
        pool.shutdown()
    opened = {"whole": lambda: [whole(data) for data in files], "draft": lambda: [draft(data) for data in files]}
    took, _ = rounds.in_turns({**opened, "prepare": lambda: [prepare(data) for data in files]}, rounds=options.rounds)
    for name, runs in took.items():
        cpu = rounds.middle([run.cpu for run in runs])
        print(f"{name:22}{cpu.median / len(files) * 1e3:8.2f} ms of processor time an image (spread {cpu.spread:.0%})")
    pixels = [
        np.asarray(opening(files[0]).resize((SIDE, SIDE), Image.Resampling.BICUBIC), int) for opening in (whole, draft)
    ]
    changed = np.abs(pixels[0] - pixels[1])
    print(f"draft mode changes {(changed > 0).mean():.0%} of the values, by up to {changed.max()} of 255")


if __name__ == "__main__":
    main()
