"""What `pytest claims/shapes/shapes.yaml` costs beyond the model's own time.

    python benchmarks/overhead.py

Both sides run in fresh processes, in turns, on the same 1,000 images: `pytest`, which also checks the protocol, keeps
evidence, scores four metrics with intervals and writes a report; and the bare work, a script that imports the same
libraries, reads the same files and runs the same search with as many images at a time, image decoding included. Both
have one thread for PyTorch's operators, the same setting of the C library's allocator and byte code that the first round
has cached, and pytest loads no other plugin that happens to be installed. What pytest adds is the median of the rounds'
ratios, in the processor time of the whole process, since that depends least on other programs. `--write` puts it into
docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import rounds
from benchmarks.rounds import Took

SHAPES = Path(__file__).parents[1] / "claims" / "shapes"

BARE = """
import io, sys
import datasets, torch, transformers
from PIL import Image
from pytest_claims import libraries
from pytest_claims.beam import BeamSearch, BeamSettings, choose_slots
libraries.keep_freed_memory()
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
settings = BeamSettings.from_generation_config(config)
slots = choose_slots(model, settings, prompt_tokens=ids.shape[1], images=len(rows))
search = BeamSearch(model, settings, input_ids=ids, slots=slots)
captions = {name: processor.tokenizer.decode(tokens) for name, tokens in search.run(images())}
assert len(captions) == 1000
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds.FEWEST, help="how often (default: 9; plus one to warm up)")
    parser.add_argument("--write", action="store_true", help="also replace this section of docs/performance.md")
    options = parser.parse_args()
    if options.write and options.rounds < rounds.FEWEST:
        parser.error(f"--write needs --rounds {rounds.FEWEST} or more")
    where = rounds.machine()
    took: dict[str, list[Took]] = {"bare": [], "pytest": []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds + 1):
            pytest = [sys.executable, "-m", "pytest", "-p", "pytest_claims.plugin", str(SHAPES / "shapes.yaml"), "-q"]
            pytest.append(f"--claims-report={folder}/v.json")
            sides = {
                "bare": [sys.executable, "-c", BARE, str(SHAPES)],
                "pytest": [*pytest, f"--claims-evidence={folder}/{number}"],  # each round captions anew
            }
            for side in sorted(sides, reverse=bool(number % 2)):
                one = _run(sides[side], folder)
                if number:
                    took[side].append(one)
    text = _text(took, options.rounds, where)
    print(text)
    if options.write:
        rounds.rewrite(SHAPES.parents[1] / "docs" / "performance.md", "overhead", text)


def _text(took: dict[str, list[Took]], count: int, where: str) -> str:
    added = rounds.ratios(took["pytest"], took["bare"], "cpu")
    share = added.ratio() if added.noisy else f"{added.median - 1:+.1%} (spread {added.spread:.1%})"
    lines = [
        f"`python benchmarks/overhead.py`, {count} rounds, one thread, processor time of whole processes. Machine: {where}.",
        "",
        "| side | processor time | wall time |",
        "| --- | --- | --- |",
    ]
    for side, name in (("bare", "the bare search"), ("pytest", "`pytest claims/shapes/shapes.yaml`")):
        cpu, wall = (rounds.middle([one.by(clock) for one in took[side]]) for clock in ("cpu", "wall"))
        lines.append(f"| {name} | {cpu.seconds()} | {wall.seconds()} |")
    lines += ["", f"Added by pytest: **{share}**."]
    return "\n".join([*lines, rounds.warn_of_few(count)]).strip()


def _run(command: list[str], folder: str) -> Took:
    unset = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {
        **unset,
        "OMP_NUM_THREADS": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPYCACHEPREFIX": f"{folder}/cache",
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Took(wall=wall, cpu=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


if __name__ == "__main__":
    main()
