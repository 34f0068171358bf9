"""What ranking holds in memory at the size of COCO's test split: this project's way, and LAVIS's matrices.

    python -m benchmarks.retrieval                       # 5,000 images and 25,010 texts; some minutes on one core
    python -m benchmarks.retrieval --asked 2048          # a sample of the queries, against all candidates

Features and matching scores are random, so that no model is needed: what is measured is what the number of images and texts
decides. The seconds tell how long the program ran, and compare nothing. Each way runs in a process of its own, which reports
the peak of its resident memory above that at its start. LAVIS's way is that of `compute_sim_matrix` without its features of
patches, which take `images × 677 × 1,408 × 4` bytes more.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import torch
from torch.nn.functional import normalize

from pytest_claims.evaluation import ranking
from pytest_claims.evaluation.retrieval_work import AT_ONCE

QUERIES, WIDTH, TOKENS, RERANK = 32, 256, 35, 128
PATCHES = 677 * 1408 * 4
"""The bytes of the patches of one image of 364 × 364 pixels in ViT-g, in float32."""


def main() -> None:
    """Measure every way in every direction, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--texts", type=int, default=25_010)
    parser.add_argument("--asked", type=int, help="how many queries are asked (default: all)")
    parser.add_argument("--child", choices=("ours", "matrices"), help=argparse.SUPPRESS)
    parser.add_argument("--query", choices=("image", "text"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(arguments.child, arguments.query, arguments.images, arguments.texts, arguments.asked)))
        return
    print(f"{arguments.images:,} images, {arguments.texts:,} texts, {RERANK} re-ranked; MB above the start")
    for query in ("image", "text"):
        asked = min(arguments.asked or arguments.texts, arguments.images if query == "image" else arguments.texts)
        size = ["--images", str(arguments.images), "--texts", str(arguments.texts), "--asked", str(asked)]
        bound = ranking.held(
            images=arguments.images, texts=arguments.texts, queries=QUERIES, width=WIDTH, tokens=TOKENS,
            by_image=query == "image", rerank=RERANK, at_once=min(asked, AT_ONCE),
        )  # fmt: skip
        for way in ("ours", "matrices"):
            command = [sys.executable, "-m", "benchmarks.retrieval", *size, "--child", way, "--query", query]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found = json.loads(done.stdout)
            told = (
                f"bound {bound / 1e6:.0f} MB"
                if way == "ours"
                else f"and {arguments.images * PATCHES / 1e9:.1f} GB of patches"
            )
            print(
                f"{asked:6,} {query}s  {way:8}  {found['peak'] / 1e6:7.0f} MB  {found['seconds']:6.0f} s  ({told})",
                flush=True,
            )


def child(way: str, query: str, images: int, texts: int, asked: int) -> dict[str, float]:
    """Rank all candidates for some queries in one way; the peak of the memory in bytes, and the seconds."""
    torch.set_num_threads(1)
    torch.randn(64, 64) @ torch.randn(64, 64)  # what a first product allocates is not counted
    before, started = peak(), time.perf_counter()
    with torch.inference_mode():
        {"ours": ours, "matrices": matrices}[way](query, images, texts, asked)
    return {"peak": peak() - before, "seconds": time.perf_counter() - started}


def peak() -> int:
    """The peak of this process's resident memory, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def picture(number: int) -> torch.Tensor:
    """The projected query tokens of an image, as if it was encoded now."""
    return normalize(torch.randn(QUERIES, WIDTH, generator=torch.Generator().manual_seed(number)), dim=-1)


def encoded(texts: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The features of all texts, and their tokens and masks."""
    features = normalize(torch.randn(texts, WIDTH, generator=torch.Generator().manual_seed(1)), dim=-1)
    return features, torch.ones(texts, 2 * TOKENS, dtype=torch.int32)


def ours(query: str, images: int, texts: int, wanted: int) -> None:
    """One image after the other; or `AT_ONCE` texts, with the features of all images."""
    features, _tokens = encoded(texts)
    if query == "image":
        size = ranking.width(RERANK, texts)
        for number in range(wanted):
            scores, numbers = ranking.shortlist(ranking.of_image(picture(number), features)[None], size)
            ranking.order(scores[0], numbers[0], torch.randn(size), plus_contrast=True)
        return
    size = ranking.width(RERANK, images)
    candidates = torch.empty(images, QUERIES, WIDTH)
    for number in range(images):
        candidates[number] = picture(number)
    for start in range(0, wanted, AT_ONCE):
        asked = features[start : min(start + AT_ONCE, wanted)]
        scores, numbers = torch.empty(len(asked), size), torch.empty(len(asked), size, dtype=torch.long)
        for first in range(0, len(asked), ranking.BLOCK):
            block = slice(first, first + ranking.BLOCK)
            scores[block], numbers[block] = ranking.shortlist(ranking.of_texts(asked[block], candidates), size)
        match = torch.randn(numbers.shape)
        numbers.flatten().argsort(stable=True)  # the pairs, image by image
        for row in range(len(asked)):
            ranking.order(scores[row], numbers[row], match[row], plus_contrast=True)


def matrices(query: str, images: int, texts: int, wanted: int) -> None:
    """LAVIS: a matrix of contrastive scores, here random, and one in which all but the first of each row have -100."""
    _features, _tokens = encoded(texts)
    similar = torch.rand(images, texts)
    similar = similar if query == "image" else similar.t()
    scores = torch.full(similar.shape, -100.0)
    for row in range(wanted):
        values, numbers = similar[row].topk(k=RERANK)
        scores[row, numbers] = torch.randn(RERANK) + values
    for one in scores.numpy()[:wanted]:
        one.argsort()


if __name__ == "__main__":
    main()
