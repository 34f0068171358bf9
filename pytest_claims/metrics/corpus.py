"""What is scored: hypotheses and references, checked once, with their tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from pytest_claims.errors import MetricError
from pytest_claims.metrics import arrays
from pytest_claims.metrics.checks import check_ids, check_ranking, check_sequence, check_text, shown
from pytest_claims.metrics.tokens import split_units, units
from pytest_claims.spool import Column, Lazy, Spool, kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

T = TypeVar("T")
T_Number = TypeVar("T_Number", bound=np.generic)

CHUNK = 256
"""How many images are tokenised before progress is reported."""


class Corpus:
    """Hypotheses and references, checked once; tokens and counts are computed when first asked for, and kept.

    A caption that is empty or only punctuation is valid: it has no tokens, and coco-caption scores it (BLEU counts it with
    length 0; ROUGE-L sees one empty token, which equals another empty one; CIDEr gives it 0).

    Args:
        hypotheses: one caption per image.
        references: one or more captions per image; the number may differ between images.
        ids: unique, one per image; default "0", "1", ... . Scores do not depend on the order of the images, because
            resampling goes by id.
        ranked: labels or ids for each image, the best first, for metrics that look at more than the first; a list may be empty.

    Raises:
        MetricError: no image; lengths differ; no reference; not a string; a lone surrogate; an id twice, or one in a ranking.
    """

    def __init__(
        self,
        hypotheses: Sequence[str],
        references: Sequence[Sequence[str]],
        ids: Sequence[str] | None = None,
        ranked: Sequence[Sequence[str]] | None = None,
    ) -> None:
        for role, given in (("hypotheses", hypotheses), ("references", references), ("ids", ids), ("ranked", ranked)):
            check_sequence(role, given)
        if ids is None:
            ids = tuple(map(str, range(len(hypotheses))))
        if not len(hypotheses) == len(references) == len(ids):
            raise MetricError(
                f"Every image needs one hypothesis, its references and one id: got {len(hypotheses)} hypotheses, "
                f"{len(references)} lists of references and {len(ids)} ids."
            )
        if ranked is not None and len(ranked) != len(ids):
            raise MetricError(f"Every image needs one ranking: got {len(ranked)} rankings and {len(ids)} ids.")
        if not len(ids):
            raise MetricError("There is no image to score: hypotheses and references are empty.")
        self.ids: Sequence[str] = kept(ids)
        self.sorted: bool = check_ids(self.ids)
        """Whether the images are in the order of their ids."""
        for id_, hypothesis, own in zip(self.ids, hypotheses, references, strict=True):
            check_text(id_, "hypothesis", hypothesis)
            if isinstance(own, str | bytes | Mapping) or not isinstance(own, Sequence):
                raise MetricError(f"Image {id_!r}: references are {shown(own)}, expected a list of strings.")
            if not own:
                raise MetricError(f"Image {id_!r} has no reference, expected at least one.")
            for index, reference in enumerate(own):
                check_text(id_, f"reference {index}", reference)
        self.hypotheses: Sequence[str] = kept(hypotheses)
        self.references: Sequence[tuple[str, ...]] = (
            references if isinstance(references, Lazy) else tuple(tuple(own) for own in references)
        )
        self.ranked: Sequence[tuple[str, ...]] | None = None
        """Per image, labels or ids, the best first; None if nothing was ranked."""
        if ranked is not None:
            checked = (check_ranking(id_, own) for id_, own in zip(self.ids, ranked, strict=True))
            self.ranked = ranked if isinstance(ranked, Lazy) and all(map(_is_tuple, checked)) else tuple(checked)
        self._derived: dict[Callable[[Corpus], Any], Any] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"<Corpus of {len(self)} images, {self.reference_count} references each>"

    @property
    def hypothesis_units(self) -> Sequence[tuple[str, ...]]:
        """Per image, the tokens as the Java tokenizer prints them: a few hold a no-break space (`5 1/2`)."""
        return self._tokens[0]

    @property
    def reference_units(self) -> Sequence[tuple[tuple[str, ...], ...]]:
        """Per image and reference, the same."""
        return self._tokens[1]

    @cached_property
    def hypothesis_words(self) -> Sequence[tuple[str, ...]]:
        """Per image, the words that n-grams are made of: units, cut at every white space."""
        return _each(split_units, self.hypothesis_units)

    @cached_property
    def reference_words(self) -> Sequence[tuple[tuple[str, ...], ...]]:
        """Per image and reference, the same."""
        return _each(_split_all, self.reference_units)

    @cached_property
    def _tokens(self) -> tuple[Sequence[tuple[str, ...]], Sequence[tuple[tuple[str, ...], ...]]]:
        self.tokenise(lambda _: None)
        return self._tokens

    @property
    def tokenised(self) -> bool:
        """Whether the tokens were computed."""
        return "_tokens" in self.__dict__

    def tokenise(self, done: Callable[[int], object]) -> None:
        """Compute the tokens now, which otherwise happens when they are first asked for.

        Args:
            done: called with the number of images that were tokenised since the last call.
        """
        spool: Spool[tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]] = Spool()
        told = 0
        for number, (text, own) in enumerate(zip(self.hypotheses, self.references, strict=True), 1):
            spool.add((units(text), tuple(map(units, own))), len(text) + sum(map(len, own)))
            if number % CHUNK == 0 or number == len(self):
                done(number - told)
                told = number
        rows = spool.rows()
        # It is where the cached property looks for it.
        self.__dict__["_tokens"] = (_each(itemgetter(0), rows), _each(itemgetter(1), rows))

    @cached_property
    def reference_count(self) -> str:
        """References per image as a signature says it: `5`, or `5-7` where it varies."""
        sizes = {len(own) for own in self.references}
        return str(min(sizes)) if len(sizes) == 1 else f"{min(sizes)}-{max(sizes)}"

    @cached_property
    def by_id(self) -> NDArray[np.intp]:
        """The positions of the images in the order of their ids, shape (n,)."""
        if self.sorted:
            return np.arange(len(self), dtype=np.intp)
        return np.array(sorted(range(len(self)), key=self.ids.__getitem__), dtype=np.intp)

    def in_order(self, rows: NDArray[T_Number]) -> NDArray[T_Number]:
        """Rows in the order of the corpus, (n, k), in the order of the ids."""
        if self.sorted:
            return rows
        ordered = arrays.empty(len(rows), rows.shape[1], rows.dtype.type)
        np.take(rows, self.by_id, axis=0, out=ordered, mode="clip")  # another mode would make a copy in memory
        return ordered

    def derived(self, compute: Callable[[Corpus], T]) -> T:
        """`compute(self)`, computed once and kept: so BLEU-1 to 4 share one pass over the n-grams."""
        if compute not in self._derived:
            self._derived[compute] = compute(self)
        return cast("T", self._derived[compute])


def _each(compute: Callable[[Any], T], rows: Sequence[Any]) -> Sequence[T]:
    """`compute` of each row: now if the rows are in memory, else whenever one is asked for."""
    return tuple(map(compute, rows)) if isinstance(rows, tuple) else Column(rows, compute)


def _split_all(own: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(map(split_units, own))


def _is_tuple(own: object) -> bool:
    return isinstance(own, tuple)
