"""Measure the tiny retrieval model: recall@1, 5 and 10 in both directions, by a route that shares no line with the plugin.

    python claims/shapes/retrieval/measure.py           # about half a minute on one core; writes reported.json

All scores come from the model's own `forward`, which is given images and texts together: contrastive scores of blocks of
images with all texts, and then matching scores query by query, one query's candidates in a batch. Ranks are counted as LAVIS
counts them (lavis/tasks/retrieval.py): positions in a whole row of scores, in which what was not re-ranked has -100.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import io
import json
import os
import platform
import re
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pyarrow.parquet
import torch
import transformers
from PIL import Image

HERE = Path(__file__).resolve().parent
SPLIT = HERE / "pool.parquet"
BLOCK = 100
RERANK = 16
RECALL_AT = (1, 5, 10)
MAX_TOKENS = 35
MAX_WORDS = 50
NOT_RANKED = -100.0


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, default=HERE / "model", help="what is measured (default: %(default)s)")
    parser.add_argument("--images", type=int, help="measure with the first images only, and write nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    numbers = measure(arguments.model, arguments.images)
    if arguments.images is None:
        (HERE / "reported.json").write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(numbers, indent=2))


def blip_caption(text: str) -> str:
    """What LAVIS's text processor of this name makes of a caption."""
    text = re.sub(r"\s{2,}", " ", re.sub(r"([.!\"()*#:;~])", " ", text.lower()))
    return " ".join(text.rstrip("\n").strip(" ").split(" ")[:MAX_WORDS])


class Pool:
    """The pool as the model gets it: every image, and every caption."""

    def __init__(self, folder: Path, count: int | None) -> None:
        rows = pyarrow.parquet.read_table(SPLIT).to_pylist()[:count]
        self.processor = transformers.Blip2Processor.from_pretrained(folder, backend="pil")
        self.model = transformers.Blip2ForImageTextRetrieval.from_pretrained(folder, dtype=torch.float32).eval()
        pictures = [Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB") for row in rows]
        texts = [blip_caption(caption) for row in rows for caption in row["caption"]]
        self.image_of = np.array([index for index, row in enumerate(rows) for _ in row["caption"]])
        inputs = self.processor(images=pictures, text=texts, padding=True, return_tensors="pt")
        longest = int(inputs["attention_mask"].sum(dim=1).max()) - self.processor.num_query_tokens
        if longest > MAX_TOKENS:
            raise SystemExit(f"A caption has {longest} tokens; LAVIS cuts at {MAX_TOKENS}, and this script does not.")
        self.pixels, self.ids, self.mask = inputs["pixel_values"], inputs["input_ids"], inputs["attention_mask"]

    @torch.inference_mode()
    def contrast(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The contrastive score of each image with each text: (images, texts)."""
        blocks = [
            self.model(
                pixel_values=self.pixels[start : start + BLOCK], input_ids=self.ids, attention_mask=self.mask
            ).logits_per_image.numpy()
            for start in range(0, len(self.pixels), BLOCK)
        ]
        return np.concatenate(blocks)

    @torch.inference_mode()
    def match(self, images: list[int], texts: list[int]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The logit for "belongs together" of each pair."""
        found = self.model(
            pixel_values=self.pixels[images],
            input_ids=self.ids[texts],
            attention_mask=self.mask[texts],
            use_image_text_matching_head=True,
        )
        logits: np.ndarray[Any, np.dtype[np.float32]] = found.logits_per_image[:, 1].numpy()
        return logits


def reranked(
    pool: Pool, contrast: np.ndarray[Any, Any], *, by_image: bool, matching: list[Any]
) -> np.ndarray[Any, Any]:
    """A row of scores for each query: matching plus contrast for the first, -100 for the others.

    Args:
        pool: gives the matching scores.
        contrast: contrastive scores, a row for each query.
        by_image: whether the queries are the images.
        matching: receives the candidates of each query and their matching scores.
    """
    scores = np.full_like(contrast, NOT_RANKED)
    for query, row in enumerate(contrast):
        first = np.argsort(-row, kind="stable")[:RERANK].tolist()
        own = [query] * len(first)
        match = pool.match(own, first) if by_image else pool.match(first, own)
        scores[query, first] = match + row[first]
        matching.append((first, match))
        if query % 100 == 0:
            print(f"{'images' if by_image else 'texts'}: {query}/{len(contrast)}", flush=True)
    return scores


def recalls(scores: np.ndarray[Any, Any], right: list[set[int]]) -> dict[str, float]:
    """The share of queries with a right candidate among the first 1, 5 and 10."""
    ranks = []
    for row, own in zip(scores, right, strict=True):
        order = np.argsort(-row, kind="stable").tolist()
        ranks.append(next(rank for rank, candidate in enumerate(order) if candidate in own))
    return {f"recall_at_{k}": sum(rank < k for rank in ranks) / len(ranks) for k in RECALL_AT}


def measure(folder: Path, count: int | None) -> dict[str, Any]:
    """The recalls of the saved model on the saved pool, and all that they depend on."""
    started = time.monotonic()
    pool = Pool(folder, count)
    by_image = [set(np.flatnonzero(pool.image_of == image).tolist()) for image in range(len(pool.pixels))]
    by_text = [{int(image)} for image in pool.image_of]
    contrast = pool.contrast()
    found: dict[str, dict[str, dict[str, float]]] = {}
    for query, scores, right in (("image", contrast, by_image), ("text", contrast.T.copy(), by_text)):
        matching: list[Any] = []
        both = reranked(pool, scores, by_image=query == "image", matching=matching)
        alone = np.full_like(scores, NOT_RANKED)
        for row, (first, match) in zip(alone, matching, strict=True):
            row[first] = match
        found[query] = {
            "matching+contrastive": recalls(both, right),
            "matching": recalls(alone, right),
            "contrastive": recalls(scores, right),
        }
    return {
        "recall": found,
        "unit": "fraction",
        "images": len(by_image),
        "texts": len(by_text),
        "protocol": {"rerank": RERANK, "text": "blip_caption", "image": 64, "precision": "float32"},
        "seconds": round(time.monotonic() - started, 1),
        "sha256": {
            "model.safetensors": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
            "pool.parquet": hashlib.sha256(SPLIT.read_bytes()).hexdigest(),
        },
        "versions": {
            "python": platform.python_version(),
            **{
                name: importlib.metadata.version(name)
                for name in ("torch", "transformers", "pillow", "tokenizers", "numpy")
            },
        },
    }


if __name__ == "__main__":
    main()
