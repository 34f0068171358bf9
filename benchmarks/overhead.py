"""What `pytest claims/shapes` costs beyond the model's own time.

    python benchmarks/overhead.py [--rounds 3]

Both sides run in fresh processes, in turns, on the same 1,000 images: `pytest`, which also checks the protocol, keeps
evidence, scores four metrics with intervals and writes a report; and the bare work, a script that imports the same
libraries, reads the same files and runs the same search, image decoding included. Prints medians and what pytest adds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHAPES = Path(__file__).parents[1] / "claims" / "shapes"

BARE = """
import io, sys
import datasets, torch, transformers
from PIL import Image
from pytest_claims.beam import BeamSearch, BeamSettings
folder = sys.argv[1]
processor = transformers.AutoProcessor.from_pretrained(f"{folder}/model", backend="pil")
model = transformers.AutoModelForImageTextToText.from_pretrained(f"{folder}/model").eval()
config = model.language_model.generation_config
config.update(num_beams=5, max_new_tokens=30, min_new_tokens=1, length_penalty=1.0, repetition_penalty=1.0)
rows = datasets.load_dataset("parquet", data_files={"test": f"{folder}/data/test.parquet"}, split="test")
rows = rows.cast_column("image", datasets.Image(decode=False))
ids = processor(images=[Image.new("RGB", (9, 9))], text=["a photo of"], return_tensors="pt")["input_ids"]
def images():
    for row in rows:
        image = Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
        yield row["filename"], processor.image_processor(images=[image], return_tensors="pt")["pixel_values"][0]
search = BeamSearch(model, BeamSettings.from_generation_config(config), input_ids=ids, slots=16)
captions = {name: processor.tokenizer.decode(tokens) for name, tokens in search.run(images())}
assert len(captions) == 1000
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    rounds = parser.parse_args()
    bare, through = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds.rounds):
            evidence = f"--claims-evidence={folder}/{number}"  # each round captions anew
            bare.append(_seconds([sys.executable, "-c", BARE, str(SHAPES)]))
            through.append(
                _seconds(
                    [sys.executable, "-m", "pytest", str(SHAPES), "-q", f"--claims-report={folder}/v.json", evidence]
                )
            )
    medians = {"bare": statistics.median(bare), "pytest": statistics.median(through)}
    added = medians["pytest"] / medians["bare"] - 1
    if rounds.json:
        print(json.dumps({**medians, "added": added}))
        return
    print(
        f"{medians['bare']:8.1f} s  the bare work\n{medians['pytest']:8.1f} s  pytest\n{added:8.1%}    added by pytest"
    )


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
