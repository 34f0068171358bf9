"""A small claim on a tiny retrieval model: the shipped captioner's vision model, and a Q-Former with random weights.

The weights are drawn wide (see tests/tiny_models.py), so that scores depend on the image and on the text, and rankings differ.
"""

from __future__ import annotations

import atexit
import io
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
import transformers

from tests.builders import changed, claim, write
from tests.shapes import rows, write_rows

CUT = 35


@cache
def data() -> Path:
    """A folder for `--claims-data`, with the model in `retrieval/model`. It is made once in a session."""
    from claims.shapes.retrieval import train

    folder = Path(tempfile.mkdtemp(prefix="claims-retrieval-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    torch.manual_seed(0)
    tokenizer = train.build_tokenizer([train.cleaned(text) for row in rows(60) for text in row["caption"]])
    model: Any = train.build_model(tokenizer).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("vision_model.") and parameter.dim() > 1:
                parameter.normal_(std=1.4 * parameter[0].numel() ** -0.5)
            elif not name.startswith("vision_model.") and name.endswith("bias"):
                parameter.normal_(std=0.1)
        model.query_tokens.normal_(std=1.0)
        model.embeddings.word_embeddings.weight.normal_(std=1.0)
        model.embeddings.position_embeddings.weight.normal_(std=0.3)
    model.save_pretrained(folder / "retrieval" / "model")
    train.build_processor(tokenizer).save_pretrained(folder / "retrieval" / "model")
    return folder


def retriever() -> Path:
    """The folder of the model."""
    return data() / "retrieval" / "model"


def write_retrieval(
    folder: Path,
    *,
    count: int = 12,
    query: str = "image",
    rerank: int = 4,
    metrics: tuple[str, ...] = ("recall_at_1",),
    value: str = "50.0",
    column: str = "score",
    content: list[dict[str, Any]] | None = None,
    **changes: Any,
) -> Path:
    """A claim file with its data below `folder`/claims; the model is found with `--claims-data`: `data`.

    Args:
        folder: where `claims/` is made.
        count: how many of the shipped images it holds.
        query: `image` or `text`.
        rerank: how many candidates are re-ranked.
        metrics: one claim each.
        value: what is reported.
        column: the column that is cited.
        content: rows instead of the first `count` shipped ones.
        changes: of the claim file, as `tests.builders` has them.
    """
    content = rows(count) if content is None else content
    write_rows(folder / "claims" / "rows.parquet", content)
    tolerance = {"pass": 5, "partial": "90%", "min_sample": 50}
    document = {
        "paper": {"arxiv_id": None, "source_url": "README.md", "title": "shapes"},
        "protocol": {
            "checkpoint": {"id": "retrieval/model"},
            "dataset": {"id": "rows.parquet", "split": "test", "images": count},
            "image": {"size": 64, "resize": "bicubic"},
            "ranking": {
                "score": "matching+contrastive",
                "rerank": rerank,
                "texts": 5 * count,
                "text": "blip_caption",
                "max_tokens": CUT,
            },
            "precision": "float32",
            "metric": "retrieval",
        },
        "run": {"evaluator": "retrieval", "query": query},
        "claims": [
            claim(name.replace("_", "-"), metric=name, value=value, tolerance=tolerance, citation__column=column)
            for name in metrics
        ],
    }
    return write(folder / "claims" / "small.yaml", changed(document, **changes))


def stock(count: int, query: str, rerank: int, *, plus: bool = True) -> dict[str, list[str]]:
    """The whole ranking of each query in LAVIS's matrix of scores: the model's own `forward` over all pairs, then the first."""
    processor = transformers.Blip2Processor.from_pretrained(retriever(), backend="pil")
    model = transformers.Blip2ForImageTextRetrieval.from_pretrained(retriever()).eval()
    content = sorted(rows(count), key=lambda row: row["filename"])
    pictures = [PIL.Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB") for row in content]
    texts = [text.lower().replace(".", " ").strip() for row in content for text in row["caption"]]
    images, own = [row["filename"] for row in content], []
    for row in content:
        own += [f"{row['filename']}#{place}" for place in range(len(row["caption"]))]
    inputs = processor(images=pictures, text=texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        contrast = model(**inputs).logits_per_image.numpy()
    if query == "text":
        contrast, images, own = contrast.T, own, images
    found = {}
    for number, name in enumerate(images):
        by_contrast = np.argsort(-contrast[number], kind="stable")
        first = by_contrast[:rerank]
        scores = np.full(len(own), -100.0)
        scores[first] = contrast[number, first] if plus else 0
        if rerank:
            these = torch.tensor([number]).expand(len(first))
            those = torch.from_numpy(first.copy())
            picture, text = (these, those) if query == "image" else (those, these)
            with torch.inference_mode():
                scores[first] += (
                    model(
                        pixel_values=inputs["pixel_values"][picture],
                        input_ids=inputs["input_ids"][text],
                        attention_mask=inputs["attention_mask"][text],
                        use_image_text_matching_head=True,
                    )
                    .logits_per_image[:, 1]
                    .numpy()
                )
        best = np.argsort(-scores, kind="stable")[: len(first)].tolist()
        found[name] = [own[place] for place in (*best, *by_contrast[len(first) :].tolist())]
    return found


def recall(ranked: dict[str, list[str]], k: int) -> float:
    """The share of queries with a right candidate among the first k: an image and its texts share the name of the image."""
    hits = [any(found.split("#")[0] == name.split("#")[0] for found in own[:k]) for name, own in ranked.items()]
    return sum(hits) / len(hits)


@pytest.fixture(scope="session", autouse=True)
def ranked_once() -> None:
    """One evaluation before the first pytester run, as `tests.shapes.warm` makes one."""
    _rank_once()


@cache
def _rank_once() -> None:
    from pytest_claims.bench import Bench
    from pytest_claims.run import Session
    from pytest_claims.settings import Settings
    from pytest_claims.spec import load
    from pytest_claims.verdict import Status

    with tempfile.TemporaryDirectory() as folder:
        (claim,) = load(write_retrieval(Path(folder), count=3))
        verdict = Session(Settings(data=(data(),)), Bench(), {}).verify(claim)
    assert verdict.status is not Status.ERROR, verdict.reason
