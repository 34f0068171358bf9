"""Ranks candidates by scores: the contrastive score of every candidate, and the matching score of the first of them.

The rule is LAVIS's (`compute_sim_matrix` in lavis/models/blip2_models/blip2.py): the first `rerank` candidates by contrastive
score are put into the order of their matching score, alone or plus the contrastive score. The others follow in their
contrastive order; LAVIS gives them all -100, so that their order is not defined there. Candidates with equal scores keep the
order of their ids; numpy's `argsort`, which LAVIS uses, leaves that order open too.

No function here makes a matrix of all queries and all candidates: COCO's test split has 5,000 images and 25,010 texts, and
LAVIS holds three such matrices beside 19 GB of image features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_claims.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

BLOCK = 32
"""How many text queries are compared with all images at a time."""

KEPT = 10
"""How many candidates of each query are kept: recall@10 is the deepest that is reported."""

BYTES = 4
"""Scores and features are float32, whatever the precision of the model."""


def of_image(queries: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """The contrastive scores of one image with all texts, (texts,): the best of the image's query tokens counts.

    Args:
        queries: the image's projected query tokens, each of length one, (queries, d).
        texts: the projected texts, each of length one, (texts, d).
    """
    return (queries @ texts.t()).amax(dim=0)


def of_texts(texts: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """The contrastive scores of at most `BLOCK` texts with all images, (texts, images).

    Args:
        texts: projected texts, (b, d).
        images: projected query tokens of all images, (images, queries, d).
    """
    import torch

    count, queries, width = images.shape
    # Always a whole block: the last bits of a product depend on its shape, and a ranking must not depend on its neighbours.
    whole = torch.zeros(BLOCK, width, dtype=texts.dtype, device=texts.device)
    whole[: len(texts)] = texts
    similar = whole @ images.reshape(count * queries, width).t()  # (BLOCK, images × queries)
    return similar.view(BLOCK, count, queries).amax(dim=2)[: len(texts)]


def shortlist(scores: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first candidates of each query: their scores and their numbers, (b, size) each.

    Args:
        scores: a row for each query, (b, candidates).
        size: how many candidates are kept; all if there are fewer.
    """
    values, numbers = scores.sort(dim=1, descending=True, stable=True)
    return values[:, :size].clone(), numbers[:, :size].clone()


def width(rerank: int, candidates: int) -> int:
    """How many candidates of a query are on its shortlist."""
    return min(max(rerank, KEPT), candidates)


def order(
    contrast: torch.Tensor, numbers: torch.Tensor, match: torch.Tensor | None, *, plus_contrast: bool
) -> list[int]:
    """The candidates of a shortlist, by their numbers, best first.

    Args:
        contrast: the contrastive scores of the shortlist, best first, (w,).
        numbers: its candidates, (w,).
        match: the matching scores of its first candidates, (k,); None if nothing is re-ranked.
        plus_contrast: whether the contrastive score is added to the matching score.
    """
    found: list[int] = numbers.tolist()
    if match is None:
        return found
    scores = match + contrast[: len(match)] if plus_contrast else match
    # By number first, so that equal scores leave the candidates in the order of their ids.
    by_number = numbers[: len(match)].argsort()
    best = by_number[scores[by_number].sort(descending=True, stable=True).indices]
    first: list[int] = numbers[best].tolist()
    return first + found[len(first) :]


def check_finite(scores: torch.Tensor, what: str, names: Sequence[str]) -> None:
    """Check scores before they are sorted: a NaN sorts before every number, and would rank its candidate first.

    Args:
        scores: a row for each query, (b, n).
        what: the kind of score, for the message.
        names: the ids of the queries.

    Raises:
        EvaluationError: a score is not finite. The message names the query.
    """
    import torch

    wrong = ~torch.isfinite(scores).all(dim=1)
    if wrong.any():
        first = int(wrong.nonzero()[0, 0])
        found = scores[first][~torch.isfinite(scores[first])][0].item()
        raise EvaluationError(
            f"A {what} score of the query {names[first]} is {found}, which is not a number that can be ranked. In 16 bits, "
            "numbers may have overflowed: --claims-set=precision=float32 computes in 32."
        )


def held(
    *, images: int, texts: int, queries: int, width: int, tokens: int, by_image: bool, rerank: int, at_once: int
) -> int:
    """The bytes that a run holds beside the model and one batch of pairs: what the number of images and texts decides.

    Args:
        images: how many images there are.
        texts: how many texts there are.
        queries: query tokens of an image.
        width: numbers of a projected query token or text.
        tokens: the most tokens of a text.
        by_image: whether the images are the queries.
        rerank: how many candidates are re-ranked.
        at_once: how many text queries are ranked at a time.
    """
    # Features of the texts, their token ids and masks (int32 each), and for sorting a row: scores, sorted scores, numbers.
    features = texts * (width * BYTES + tokens * 8)
    if by_image:
        return features + texts * (queries * BYTES + 16)
    block = BLOCK * images * (queries * BYTES + 16)
    asked = (
        min(at_once, texts) * max(rerank, KEPT) * 28
    )  # of a pair: two scores, its number, and two orders of the pairs
    return features + images * queries * width * BYTES + block + asked
