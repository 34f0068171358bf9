"""recall@k and top-k accuracy: the numbers of their references, and every refusal."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from pytest_claims.errors import MetricError
from pytest_claims.metrics import BUILTIN, Corpus, Pair, score

KS = (1, 5, 10)


def scores(images: int, texts: int, seed: int) -> np.ndarray:
    """Similarities of images and texts, (images, texts), in few steps, so that many are equal."""
    return np.random.default_rng(seed).integers(0, 12, size=(images, texts)).astype(np.float64)


def lavis(similarity: np.ndarray, right: list[list[int]], k: int) -> float:
    """What lavis/tasks/retrieval.py reports: the rank of the best right candidate after a reversed argsort, and who is below k.

    The formula in our words. Where scores are equal, numpy's order decides.
    """
    best = [
        min(np.flatnonzero(np.argsort(row)[::-1] == one)[0] for one in own)
        for row, own in zip(similarity, right, strict=True)
    ]
    return 100.0 * float(np.count_nonzero(np.array(best) < k)) / len(best)


def ranked(similarity: np.ndarray) -> list[list[str]]:
    """The ids of all candidates of each row, the best first."""
    return [[str(column) for column in np.argsort(row)[::-1]] for row in similarity]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("k", KS)
def test_recall_is_that_of_lavis(k: int, seed: int) -> None:
    """Both ways, on random scores with ties, where an image has several right texts: no difference to LAVIS."""
    images = 40 + seed
    counts = np.random.default_rng(1000 + seed).integers(1, 6, size=images)
    owner = np.repeat(np.arange(images), counts)  # the image of each text
    similarity = scores(images, len(owner), seed) + 4 * (owner == np.arange(images)[:, None])
    texts = [np.flatnonzero(owner == image).tolist() for image in range(images)]
    for matrix, right in ((similarity, texts), (similarity.T, [[image] for image in owner.tolist()])):
        found = score(
            f"recall_at_{k}",
            [""] * len(matrix),
            [[str(one) for one in own] for own in right],
            ranked=ranked(matrix),
            resamples=0,
        )
        assert 100 * found.value == pytest.approx(lavis(matrix, right, k), abs=1e-12)
        assert 0 < found.value < 1


def test_top_5() -> None:
    """A row is right if one of its labels is among the first five; accuracy of the first alone is what `accuracy` gives."""
    labels = [f"class {n}" for n in range(30)]
    similarity = scores(200, 30, seed=7)
    right = np.random.default_rng(8).integers(0, 30, size=200)
    rankings = [[labels[int(column)] for column in row] for row in ranked(similarity)]
    references = [[labels[label]] for label in right]
    found = score("accuracy_top5", [row[0] for row in rankings], references, ranked=rankings, resamples=0)
    expected = [label in np.argsort(row)[::-1][:5] for row, label in zip(similarity, right, strict=True)]
    assert found.per_image == tuple(map(float, expected))
    first = score("accuracy", [row[0] for row in rankings], references, resamples=0)
    assert first.value < found.value


def test_more_is_more() -> None:
    """recall@k does not fall as k grows, and is 1 where k is the number of candidates."""
    similarity = scores(50, 10, seed=3)
    references = [[str(n % 10)] for n in range(50)]
    values = [score(f"recall_at_{k}", [""] * 50, references, ranked=ranked(similarity), resamples=0).value for k in KS]
    assert all(low <= high for low, high in pairwise(values))
    assert values[-1] == 1


@pytest.mark.parametrize("name", ["recall_at_10", "accuracy_top5"])
def test_a_ranking_that_was_cut(name: str) -> None:
    """A short ranking without the right candidate does not say whether it would have come: no number is made of it."""
    with pytest.raises(MetricError) as caught:
        score(name, ["", ""], [["a"], ["x"]], ids=["q1", "q2"], ranked=[["a", "b"], ["a", "b"]])
    k = name[-2:].strip("p_")
    assert str(caught.value) == (
        f"'q2' ranks 2 candidates, none of them right; {name} expects the first {k}, or a ranking of all candidates."
    )
    assert score(name, ["", ""], [["a"], ["b"]], ranked=[["a", "b"], ["a", "b"]]).value == 1  # of two candidates, all


def test_without_a_ranking() -> None:
    """Outputs that were not ranked have no recall."""
    with pytest.raises(MetricError, match="recall_at_1 needs a ranking for each row, and these outputs have none"):
        score("recall_at_1", ["a"], [["a"]])


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("recall_at_1", "recall_at_1|retrieval|first:1|hit:any|refs:1|v0.2"),
        ("recall_at_10", "recall_at_10|retrieval|first:10|hit:any|refs:1|v0.2"),
        ("accuracy_top5", "accuracy_top5|exact-match|first:5|norm:none|refs:1|v0.2"),
    ],
)
def test_signature(name: str, signature: str) -> None:
    """The signature names k, and that one right candidate is enough."""
    corpus = Corpus([""], [["a"]], ranked=[["a"]])
    assert BUILTIN[name].signature(corpus) == BUILTIN[name].score(corpus).signature == signature
    assert BUILTIN[name].needs == ("ranked",)  # type: ignore[attr-defined]


def test_paired() -> None:
    """Two rankings of the same queries are compared query by query."""
    similarity, references = scores(300, 40, seed=1), [[str(n % 40)] for n in range(300)]
    better = similarity + 8 * (np.arange(40) == np.arange(300)[:, None] % 40)
    ours, theirs = (Corpus([""] * 300, references, ranked=ranked(matrix)) for matrix in (better, similarity))
    metric = BUILTIN["recall_at_5"]
    found = Pair(ours, theirs).difference(metric, metric.score(ours), metric.score(theirs))
    assert found
    assert found.low > 0
    assert found.higher == 1
