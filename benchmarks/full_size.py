"""The shipped Flickr30k claim on a BLIP-2 of the true size: what loading and captioning cost.

    python benchmarks/full_size.py --images 100
    python benchmarks/full_size.py --scale tiny --images 4 --json

Writes a checkpoint with the configuration of Salesforce/blip2-opt-2.7b and random weights, in float16 and in shards, one shard
in memory at a time (7.5 GB on disk), and a parquet file of synthetic photographs; then runs the claim on both in a process of
its own. What such a model says never ends, so that every caption has the 30 tokens of the limit, about three times what a real
one has, and the verdict is the error that it must be: degenerate output. The time and the memory are the figures.

Memory while loading is given twice. `anonymous` is what the process asked for. `resident` also counts pages of the files that
the system keeps mapped while there is room, and gives up when there is not.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

BLIP2 = ROOT / "claims" / "blip2"
SHARD = 1 << 30
STD = 0.02
LIMIT = 1.3
"""Memory for loading over the size of the checkpoint; more means that weights are held twice."""

TINY = {
    "vision_config": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4},
    "qformer_config": {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "encoder_hidden_size": 64,
    },
    "text_config": {
        "hidden_size": 64, "word_embed_proj_dim": 64, "ffn_dim": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    },
}  # fmt: skip
WORDS = ("a", "photo", "of")


def configuration(scale: str) -> dict[str, Any]:
    """The configuration that ships with the claims, or the same with narrow layers."""
    config: dict[str, Any] = json.loads((BLIP2 / "configs" / "blip2-opt-2.7b.json").read_text(encoding="utf-8"))
    if scale == "tiny":
        for section, changes in TINY.items():
            config[section] |= changes
    return config


def write_model(folder: Path, config: dict[str, Any], shard: int = SHARD) -> int:
    """A checkpoint of random weights in float16, written shard by shard.

    Args:
        folder: is made.
        config: of the model.
        shard: bytes that a file may have, and the memory that writing takes.

    Returns:
        Bytes of all weights.
    """
    import safetensors.torch
    import torch
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with torch.device("meta"):
        model = transformers.Blip2ForConditionalGeneration(transformers.Blip2Config.from_dict(config))
    # A tied output layer is the same parameter as the embeddings, and comes once.
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    shards: list[list[str]] = [[]]
    used = 0
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        if used and used + size > shard:
            shards.append([])
            used = 0
        shards[-1].append(name)
        used += size
    generator = torch.Generator().manual_seed(0)
    places: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        tensors = {name: _weights(name, shapes[name], generator) for name in names}
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        safetensors.torch.save_file(tensors, folder / file, metadata={"format": "pt"})
        places |= dict.fromkeys(names, file)
    total = sum(2 * math.prod(shape) for shape in shapes.values())
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    _write_processor(folder, config)
    return total


def _weights(name: str, shape: tuple[int, ...], generator: Any) -> Any:
    import torch

    if len(shape) == 1:
        return (torch.ones if name.endswith("weight") else torch.zeros)(shape, dtype=torch.float16)
    return torch.empty(shape, dtype=torch.float16).normal_(std=STD, generator=generator)


def _write_processor(folder: Path, config: dict[str, Any]) -> None:
    """Processor and tokenizer: as many words as the model has ids, the special ones where the configuration has them."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    text, image = config["text_config"], config["image_token_index"]
    vocabulary = {f"w{number}": number for number in range(text["vocab_size"])}
    special = {"<pad>": 1, "</s>": 2, "<unk>": 3, "<image>": image}
    for word, number in {**special, **dict(zip(WORDS, (4, 5, 6), strict=True))}.items():
        del vocabulary[f"w{number}"]
        vocabulary[word] = number
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 2)])
    names: dict[str, Any] = {"pad_token": "<pad>", "bos_token": "</s>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokens = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner,
        additional_special_tokens=["<image>"],
        model_input_names=["input_ids", "attention_mask"],
        **names,
    )
    tokens.save_pretrained(folder)
    side = config["vision_config"]["image_size"]
    processor = json.loads((ROOT / "claims/shapes/model/processor_config.json").read_text(encoding="utf-8"))
    processor["image_processor"]["size"] = {"height": side, "width": side}
    processor["num_query_tokens"] = config["num_query_tokens"]
    (folder / "processor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    ends = {"bos_token_id": 2, "pad_token_id": 1, "eos_token_id": text["eos_token_id"]}
    (folder / "generation_config.json").write_text(json.dumps(ends), encoding="utf-8")


def write_claim(folder: Path, images: int) -> Path:
    """A copy of the shipped claim that names the checkpoint and the images beside it."""
    import numpy as np
    import PIL.Image
    import pyarrow
    import pyarrow.parquet

    generator = np.random.default_rng(0)
    rows = []
    for number in range(images):
        coarse = PIL.Image.fromarray(generator.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize((500, 375), PIL.Image.Resampling.BICUBIC).save(buffer, "JPEG")
        name = f"{number:06}.jpg"
        rows.append({
            "image": {"bytes": buffer.getvalue(), "path": name}, "caption": [f"w{number} w{n}" for n in range(5)],
            "filename": name, "split": "test",
        })  # fmt: skip
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "rows.parquet")
    text = (BLIP2 / "flickr30k.yaml").read_text(encoding="utf-8")
    for before, after in (
        ("Salesforce/blip2-opt-2.7b", "model"),
        ("nlphuji/flickr30k", "rows.parquet"),
        ("revision: refs/convert/parquet", "revision: null"),
        ("images: 1000", f"images: {images}"),
        ("sample: {size: 100, seed: 0}", f"sample: {{size: {images}, seed: 0}}"),
    ):
        if text.count(before) != 1:
            raise SystemExit(f"{BLIP2 / 'flickr30k.yaml'}: expected {before!r} once")
        text = text.replace(before, after)
    path = folder / "claim.yaml"
    path.write_text(text, encoding="utf-8")
    return path


class Memory:
    """The largest of what this process holds, sampled while the block runs."""

    def __init__(self) -> None:
        self.anonymous = self.resident = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:  # noqa: PYI034 - nobody derives from it
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            status = dict(
                line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines()
            )
            self.anonymous = max(self.anonymous, int(status["RssAnon"].split()[0]) * 1024)
            self.resident = max(self.resident, int(status["VmRSS"].split()[0]) * 1024)
            if self._done.wait(0.01):
                return


def measure(claim_file: Path, device: str) -> dict[str, Any]:
    """Run the claim in this process, and what it took."""
    import torch
    import transformers

    from pytest_claims.bench import Bench
    from pytest_claims.run import Session
    from pytest_claims.settings import Settings
    from pytest_claims.sources import checkpoint
    from pytest_claims.spec import load

    found: dict[str, Any] = {"torch": torch.__version__, "transformers": transformers.__version__}
    whole = checkpoint.load

    def timed(*given: Any) -> checkpoint.Loaded:
        with Memory() as before:
            pass
        started = time.perf_counter()
        with Memory() as during:
            loaded = whole(*given)
        found["load_seconds"] = time.perf_counter() - started
        found["load_anonymous"] = during.anonymous - before.anonymous
        found["load_resident"] = during.resident - before.resident
        return loaded

    checkpoint.load = timed  # type: ignore[assignment] # takes what it takes
    bench = Bench()
    (claim,) = load(claim_file)
    with Memory() as memory:
        verdict = Session(Settings(device=device), bench, {}).verify(claim)
    found |= {"host_peak": memory.resident, "status": verdict.status.value, "reason": verdict.reason}
    for evidence in bench._evidence.values():
        lengths = [caption.tokens or 0 for caption in evidence.outputs]
        found |= {key: evidence.provenance[key] for key in ("device", "images_per_second", "seconds", "batch_size")}
        found |= {"images": len(lengths), "tokens_per_caption": sum(lengths) / len(lengths)}
    if torch.cuda.is_available():
        found["gpu_peak"] = torch.cuda.max_memory_allocated()
    return found


def table(found: dict[str, Any]) -> str:
    """The figures as a table in Markdown."""
    gigabytes = {"checkpoint", "load_anonymous", "load_resident", "host_peak", "gpu_peak"}
    lines = ["| figure | value |", "| --- | --- |"]
    for key, value in found.items():
        shown = (
            f"{value / 1e9:.3f} GB" if key in gigabytes else f"{value:.2f}" if isinstance(value, float) else str(value)
        )
        lines.append(f"| {key.replace('_', ' ')} | {shown} |")
    return "\n".join(lines)


def main() -> int:
    """Write the checkpoint and the data, run the claim in a process of its own, print what it took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", choices=("full", "tiny"), default="full")
    parser.add_argument("--images", type=int, default=100, help="how many to caption (default: 100)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--folder", type=Path, help="where the checkpoint is written and kept; default: a temporary one"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure, given.device)))
        return 0
    # The claim asks for a CUDA device; a benchmark takes what there is.
    if given.device == "auto":
        import torch

        given.device = "cuda" if torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        size = write_model(folder / "model", configuration(given.scale))
        wrote = time.perf_counter() - started
        claim = write_claim(folder, given.images)
        command = [sys.executable, __file__, "--measure", str(claim), "--device", given.device]
        process = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
        if process.returncode:
            return process.returncode
        found = json.loads(process.stdout.splitlines()[-1])
    ratio = found["load_anonymous"] / size if "load_anonymous" in found else None
    found = {"scale": given.scale, "checkpoint": size, "write_seconds": wrote, **found, "load_over_checkpoint": ratio}
    print(json.dumps(found, indent=2) if given.json else table(found))
    if given.scale == "full" and (ratio is None or ratio > LIMIT):
        print(f"Loading took more than {LIMIT} times the checkpoint's size, or nothing was loaded.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
