"""The models, images and decoding that the benchmarks of captioning use, and `generate` on them."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import torch
import transformers
from PIL import Image

from tests import tiny_models

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    Captions = dict[str, tuple[int, ...]]

ROOT = Path(__file__).resolve().parent.parent

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


def workload(preset: str, images: int, *, device: str = "cpu", dtype: str = "float32") -> Workload:
    """The model and the images of a preset: `shapes`, `mid` or `opt-2.7b`."""
    quiet: Any = transformers.logging.set_verbosity_error
    quiet()
    datasets.disable_progress_bars()
    kind: torch.dtype = getattr(torch, dtype)
    if preset == "shapes":
        return _shapes(images, device, kind)
    sizes = MID if preset == "mid" else OPT_2_7B
    model = tiny_models.random_blip2(**sizes, **REALISTIC, device=device, dtype=kind)
    return Workload(
        model=model,
        prompt_ids=tiny_models.prompt_ids(model),
        files=[(f"random-{n}", _photograph(n)) for n in range(images)],
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


def stock(workload: Workload, batch: int) -> Captions:
    """`generate` on all images, `batch` at a time."""
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
