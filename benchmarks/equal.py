"""Whether our beam search gives the tokens of `generate`, on many random models and settings.

    python benchmarks/equal.py
    python benchmarks/equal.py --captions 3000 --seed 7

The grid is that of tests/beam/test_beam.py: beams 1 to 8, length and repetition penalties, length limits, three modes of early
stopping, and one, three or no end tokens; with 1, 2, 4 or 8 slots. Every third draw has a prompt for each image, of its own
length, and is compared with `generate` on the image alone. All is in float32.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks import rounds
from tests.beam import test_beam, test_prompts
from tests.tiny_models import PAD, random_blip2, random_images

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
DRAWS = 12
"""Settings for each model."""


def main() -> None:
    """Compare and print; end with 1 if a caption differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--captions", type=int, default=24_000, help="how many captions at least (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of models and draws (default: 0)")
    parser.add_argument("--write", action="store_true", help="also replace this section of docs/performance.md")
    options = parser.parse_args()
    rounds.pin(1)
    draw = random.Random(options.seed)  # noqa: S311 - a draw, not a secret
    shared = own = models = 0
    different: list[str] = []
    while shared + own < options.captions:
        model = random_blip2(seed=draw.randrange(1 << 30), layer_norm_before=draw.random() < 0.7)
        images = random_images(test_prompts.COUNT, seed=draw.randrange(1 << 30))
        models += 1
        for number, grid in enumerate(draw.sample(test_beam.GRID, DRAWS)):
            fields: dict[str, Any] = {**grid, "do_sample": False, "pad_token_id": PAD}
            slots = draw.choice((1, 2, 4, 8))
            if number % 3 == 2:
                prompts = test_prompts.questions(draw.randrange(1 << 30))
                made = test_prompts.ours(model, images, prompts, slots=slots, **fields)
                expected: dict[str, tuple[int, ...]] = {}
                for image in images:
                    alone = torch.tensor([prompts[image[0]]])
                    expected |= test_beam.stock(model, [image], prompt=alone, **fields)
                own += len(images)
            else:
                made = test_beam.ours(model, images, slots=slots, **fields)
                expected = test_beam.stock(model, images, **fields)
                shared += len(images)
            different += [f"{fields}, {slots} slots: {name}" for name in expected if made[name] != expected[name]]
    text = "\n".join(
        [
            (
                f"`python benchmarks/equal.py --captions {options.captions} --seed {options.seed}`, torch "
                f"{torch.__version__}, {torch.backends.cpu.get_cpu_capability()}: {len(different):,} of {shared + own:,} "
                f"captions of {models:,} random models differ from those of `generate`; {own:,} of them had a prompt of their "
                "own."
            ),
            *different[:20],
        ]
    )
    print(text)
    if options.write:
        rounds.rewrite(DOCUMENT, "equal", text)
    if different:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
