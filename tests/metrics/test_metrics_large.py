"""Many images: what metrics hold of each is in mapped temporary files, and the numbers are those of arrays in memory."""

from __future__ import annotations

import random
import tempfile
from typing import Any

import numpy as np
import pytest

from pytest_claims import spool
from pytest_claims.errors import MetricError
from pytest_claims.metrics import BUILTIN, Corpus, arrays, base
from pytest_claims.metrics.base import Interval, Score
from pytest_claims.metrics.bleu import statistics
from tests.metrics.test_metrics import synthetic


def corpus(*, mixed: bool) -> Corpus:
    """Sixty images, in the order of their ids or not."""
    ids = [f"{number:03}" for number in range(60)]
    if mixed:
        random.Random(0).shuffle(ids)  # noqa: S311 - any order
    return Corpus(*synthetic(60), ids=ids)


def scores(images: Corpus) -> dict[str, Score]:
    """The scores of a corpus. Those of BLEU are sums of whole numbers, and the others means."""
    return {
        name: BUILTIN[name].score(images, population=100, resamples=50)
        for name in ("bleu4", "bleu1", "rouge_l", "cider")
    }


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many is more than ten; sums are made of few rows, and few resamples are drawn at once."""
    monkeypatch.setattr(spool, "KEEP", 10)
    monkeypatch.setattr(arrays, "ROWS", 16)
    monkeypatch.setattr(base, "BLOCK", 150)


@pytest.mark.parametrize("mixed", [False, True])
def test_the_same_scores(monkeypatch: pytest.MonkeyPatch, mixed: bool) -> None:
    """Values, scores of images and replicates do not depend on where the arrays are; errors differ in the last bits at most."""
    expected = scores(corpus(mixed=mixed))
    small(monkeypatch)
    for name, found in scores(corpus(mixed=mixed)).items():
        known = expected[name]
        assert (found.value, found.counts, list(found.per_image)) == (known.value, known.counts, list(known.per_image))
        assert isinstance(found.interval, Interval)
        assert isinstance(known.interval, Interval)
        assert found.interval.standard_error == pytest.approx(known.interval.standard_error, rel=1e-12)
        same: Any = list if name.startswith("bleu") else pytest.approx
        assert list(found.interval.replicates) == same(known.interval.replicates)


def test_many_rows_are_in_a_mapped_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts of few images are in memory; those of many are in a file, as are sorted rows, factors and single scores."""
    assert mapped(statistics(corpus(mixed=False))) is None
    small(monkeypatch)
    made: list[int] = []
    original = arrays.empty

    def watched(rows: int, columns: int, dtype: Any) -> Any:
        made.append(columns)
        found = original(rows, columns, dtype)
        assert mapped(found) is not None
        return found

    monkeypatch.setattr(arrays, "empty", watched)
    images = corpus(mixed=True)
    assert mapped(statistics(images)) is not None
    scores(images)
    # Counts; once more for the metrics; then, for each order of BLEU, sorted and as factors; and the two means, sorted too.
    assert made == [10, 10, *[10, 10] * 2, *[1, 1] * 2]


def mapped(array: Any) -> np.memmap[Any, Any] | None:
    """The mapped file that an array lies in."""
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array


def test_no_room_for_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is said with the folder and the way out."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    small(monkeypatch)
    monkeypatch.setattr(arrays, "_reserve", full)
    with pytest.raises(MetricError) as caught:
        scores(corpus(mixed=False))
    assert str(caught.value) == (
        f"A temporary file of 4,800 bytes cannot be made in {tempfile.gettempdir()}: No space left on device. Name another "
        "folder in the environment variable TMPDIR."
    )
