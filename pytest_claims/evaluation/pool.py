"""The queries and candidates of a retrieval run: the images of a split, and all their texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_claims import digests
from pytest_claims.errors import EvaluationError
from pytest_claims.protocol import RetrievalPlan
from pytest_claims.sources import data

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_claims.protocol import CheckpointPlan
    from pytest_claims.sources.data import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The images and texts of a split. Every query ranks all of the other kind, also if only a sample of the queries is asked.

    A sample that also drew the candidates would make retrieval easier: one of 100 images is found more often than one of 1,000.
    """

    split: Split
    by_image: bool
    """Whether the images are the queries."""
    images: tuple[str, ...]
    """The ids of the images, sorted."""
    texts: tuple[str, ...]
    """The texts, in the order of their images, and for each image in the order of the data set."""
    text_ids: tuple[str, ...]
    """The id of each text: that of its image, and its place among the image's texts: `1000092795.jpg#0`."""
    image_of: tuple[int, ...]
    """For each text, the number of its image."""
    numbers: Mapping[str, int]
    """The number of each query, by its id."""

    @property
    def queries(self) -> tuple[str, ...]:
        """The ids of all queries."""
        return self.images if self.by_image else self.text_ids

    @property
    def candidates(self) -> tuple[str, ...]:
        """The ids of all candidates."""
        return self.text_ids if self.by_image else self.images

    def draw(self, size: int | None, seed: int) -> Sequence[str]:
        """A sample of the queries, sorted; all of them if `size` is None. See `Split.draw`."""
        return data.draw(self.queries, size, seed)

    def right(self, query: str) -> tuple[str, ...]:
        """The ids of the right candidates: an image's own texts, or a text's image."""
        if self.by_image:
            return tuple(f"{query}#{place}" for place in range(len(self.split.references[query])))
        return (self.images[self.image_of[self.numbers[query]]],)

    def digest(self, query: str) -> str:
        """The digest of a query's content: of the image's bytes, or of the text.

        Raises:
            NotAttempted: the image file is missing.
            EvaluationError: the image cannot be read.
        """
        return self.split.digest(query) if self.by_image else digests.short(self.texts[self.numbers[query]])

    def extras(self, query: str, first: int) -> dict[str, str]:
        """What a reader wants to see beside ids: the text that is the query, or the text that was ranked first."""
        return {"first": self.texts[first]} if self.by_image else {"query": self.texts[self.numbers[query]]}


def digest_of(plan: CheckpointPlan, split: Split) -> Callable[[str], str]:
    """What gives the digest of what a plan asks about, by id: of an image's bytes, or in retrieval by text of the text."""
    return of_split(split, by_image=plan.by_image).digest if isinstance(plan, RetrievalPlan) else split.digest


def of_split(split: Split, *, by_image: bool) -> Pool:
    """The pool of a split.

    Raises:
        EvaluationError: there are fewer than two candidates.
    """
    images = tuple(split.ids)
    texts = [text for name in images for text in split.references[name]]
    text_ids = [f"{name}#{place}" for name in images for place in range(len(split.references[name]))]
    queries = images if by_image else text_ids
    if min(len(images), len(texts)) < 2:
        raise EvaluationError(
            f"The data set {split.facts['id']} has {len(images)} images and {len(texts)} texts: nothing can be ranked."
        )
    return Pool(
        split=split,
        by_image=by_image,
        images=images,
        texts=tuple(texts),
        text_ids=tuple(text_ids),
        image_of=tuple(number for number, name in enumerate(images) for _ in split.references[name]),
        numbers={name: number for number, name in enumerate(queries)},
    )
