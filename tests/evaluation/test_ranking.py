"""The order of candidates, against LAVIS's formula on whole matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_claims.errors import EvaluationError
from pytest_claims.evaluation import matching, ranking

Matrix = np.ndarray[Any, Any]


def features(seed: int, images: int, texts: int, queries: int = 4, width: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Random features of length one: of images, (images, queries, width), and of texts, (texts, width)."""
    generator = torch.Generator().manual_seed(seed)
    pictures = normalize(torch.randn(images, queries, width, generator=generator), dim=-1)
    return pictures, normalize(torch.randn(texts, width, generator=generator), dim=-1)


def lavis(contrast: Matrix, match: Matrix, k: int, *, plus: bool) -> Matrix:
    """LAVIS's matrix of scores: the first k of each row are matched, and all others have -100."""
    scores = np.full_like(contrast, -100.0)
    for row in range(len(contrast)):
        first = np.argsort(-contrast[row], kind="stable")[:k]
        scores[row, first] = match[row, first] + (contrast[row, first] if plus else 0)
    return scores


@pytest.mark.parametrize("plus", [True, False])
@pytest.mark.parametrize("k", [1, 3, 10, 50])
def test_the_order_is_that_of_whole_matrices(k: int, plus: bool) -> None:
    """The first candidates of every query are those that LAVIS's matrix has first, in its order; ties go by number."""
    generator = np.random.default_rng(k)
    # One decimal: many scores are equal.
    contrast = generator.uniform(-1, 1, (60, 40)).round(1).astype(np.float32)
    match = generator.uniform(-4, 4, (60, 40)).round(1).astype(np.float32)
    whole = lavis(contrast, match, k, plus=plus)
    values, numbers = ranking.shortlist(torch.from_numpy(contrast), ranking.width(k, 40))
    for row in range(60):
        own = torch.from_numpy(match[row])[numbers[row, :k]]
        order = ranking.order(values[row], numbers[row], own, plus_contrast=plus)
        expected = np.argsort(-whole[row], kind="stable")[: min(k, 40)]
        assert order[: len(expected)] == expected.tolist()
        # Behind the re-ranked ones the contrastive order goes on, which LAVIS does not define.
        rest = [n for n in np.argsort(-contrast[row], kind="stable").tolist() if n not in expected]
        assert order[len(expected) :] == rest[: len(order) - len(expected)]


def test_contrast_is_the_best_query_token() -> None:
    """In both directions, the score of an image and a text is the largest product with one of the image's query tokens."""
    pictures, texts = features(0, images=9, texts=70)
    expected = torch.einsum("iqd,td->itq", pictures, texts).amax(-1)
    by_image = torch.stack([ranking.of_image(own, texts) for own in pictures])
    by_text = torch.cat([ranking.of_texts(block, pictures) for block in texts.split(ranking.BLOCK)])
    torch.testing.assert_close(by_image, expected)
    torch.testing.assert_close(by_text.t(), expected)


def test_a_text_has_the_same_scores_whoever_is_asked_beside_it() -> None:
    """To the last bit: a run that is resumed or audited asks fewer texts than the first one did."""
    pictures, texts = features(1, images=50, texts=32)
    together = ranking.of_texts(texts, pictures)
    for number in (0, 7, 31):
        alone = ranking.of_texts(texts[number : number + 1], pictures)
        assert torch.equal(alone[0], together[number])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_no_number_is_refused(value: float) -> None:
    """A NaN sorts before all numbers, so it is refused before the order is made; the message names kind, query and value."""
    scores = torch.zeros(3, 5)
    scores[1, 4] = value
    with pytest.raises(EvaluationError, match=f"matching score of the query b is {value}"):
        ranking.check_finite(scores, "matching", ["a", "b", "c"])


class Largest(TorchDispatchMode):
    """Notes the most elements that a tensor had which an operation made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation, and look at what it gives."""
        found = func(*args, **(kwargs or {}))
        for one in found if isinstance(found, tuple | list) else (found,):
            if isinstance(one, torch.Tensor):
                self.elements = max(self.elements, one.numel())
        return found


def test_no_tensor_holds_all_queries_and_all_candidates() -> None:
    """Ranking in either direction makes no tensor that grows with images times texts."""
    pictures, texts = features(2, images=200, texts=1000, queries=2, width=4)
    with Largest() as seen:
        for block in texts.split(ranking.BLOCK):
            ranking.shortlist(ranking.of_texts(block, pictures), 16)
        for own in pictures:
            ranking.shortlist(ranking.of_image(own, texts)[None], 16)
    assert seen.elements <= ranking.BLOCK * 200 * 2 < 200 * 1000


def test_the_bound_of_what_a_run_holds() -> None:
    """COCO's test split needs less than 0.5 GB beside the model in either direction, as docs/retrieval.md says."""
    size = {"images": 5000, "texts": 25_010, "queries": 32, "width": 256, "tokens": 35, "rerank": 128, "at_once": 8192}
    assert ranking.held(**size, by_image=True) < 50e6
    assert 180e6 < ranking.held(**size, by_image=False) < 500e6


CLEANED = {
    "A dog.": "a dog",
    "  Two\tmen   (one tall) ": "two\tmen one tall",
    'He said "Stop!": now;': "he said stop now",
    "no-mark, at all": "no-mark, at all",
    "line\n": "line",
    " ".join(["word"] * 60): " ".join(["word"] * 50),
    "...": "",
}


@pytest.mark.parametrize("text", CLEANED)
def test_blip_caption(text: str) -> None:
    """Texts are cleaned as LAVIS's processor cleans them; without it they stay as they are."""
    assert matching.cleaned(text, "blip_caption") == CLEANED[text]
    assert matching.cleaned(text, "as_is") == text
