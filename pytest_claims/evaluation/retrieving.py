"""Prepares a retrieval run, ranks the candidates of its queries, and observes the protocol on the loaded objects."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_claims import machine
from pytest_claims.evaluation import images, matching, pool, ranking, reference
from pytest_claims.evaluation.matching import Matcher
from pytest_claims.evaluation.retrieval_work import AT_ONCE
from pytest_claims.evaluation.setup import model_digest, pixels
from pytest_claims.evidence import Output
from pytest_claims.protocol import Observed, ranking_facts
from pytest_claims.sources import processor
from pytest_claims.store import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import torch

    from pytest_claims.bench import Bench
    from pytest_claims.evaluation.matching import Texts
    from pytest_claims.evaluation.pool import Pool
    from pytest_claims.evaluation.reference import Changes
    from pytest_claims.protocol import RetrievalPlan
    from pytest_claims.sources.checkpoint import Loaded


@dataclass(slots=True)
class Stage:
    """What a run is at, for who watches it: texts are ranked many at a time, and the bar stands still meanwhile."""

    name: str = ""
    done: int = 0
    of: int = 0

    def begin(self, name: str, of: int) -> None:
        """Begin a stage of `of` images."""
        self.name, self.done, self.of = name, 0, of

    def add(self, output: Output) -> None:
        """See `kept.Watch`: the stage alone is shown."""

    def told(self, _elapsed: float) -> str:
        """The stage as text, such as `matching: 200 of 1,000 images`."""
        return f"{self.name}: {self.done:,} of {self.of:,} images" if self.name else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Everything that a retrieval run needs."""

    loaded: Loaded
    pool: Pool
    matcher: Matcher
    rerank: int
    plus_contrast: bool
    """Whether the contrastive score is added to the matching score."""
    cleaning: str
    recipe: Recipe
    changes: Changes
    stage: Stage = field(default_factory=Stage)

    @property
    def split(self) -> Pool:
        """See `Prepared.split`: what is asked about are the queries."""
        return self.pool

    @property
    def batch_size(self) -> int:
        """See `Prepared.batch_size`."""
        return self.matcher.batch_size

    def facts(self) -> dict[str, str | int | float | None]:
        """See `Prepared.facts`."""
        return {**machine.facts(self.loaded.device), "batch_size": self.matcher.batch_size}

    def caption(self, ids: Iterable[str]) -> Iterator[tuple[Output, str]]:
        """See `Prepared.caption`: rank the candidates of queries, each with the digest of its query's content.

        Raises:
            NotAttempted: an image file is missing.
            EvaluationError: an image cannot be decoded, or a score is not a number.
        """
        names = tuple(ids)
        texts = self.matcher.texts([matching.cleaned(text, self.cleaning) for text in self.pool.texts])
        yield from self._by_image(names, texts) if self.pool.by_image else self._by_text(names, texts)

    def _by_image(self, ids: Sequence[str], texts: Texts) -> Iterator[tuple[Output, str]]:
        """One image after the other: all scores of an image come from its own features."""
        size = ranking.width(self.rerank, len(self.pool.candidates))
        image_digests: dict[str, str] = {}
        for name, values in pixels(self.loaded, self.pool.split, ids, image_digests):
            picture = self.matcher.picture(values)
            contrast = ranking.of_image(picture.features, texts.features)[None]
            ranking.check_finite(contrast, "contrastive", [name])
            scores, numbers = ranking.shortlist(contrast, size)
            match = None
            if self.rerank:
                match = self.matcher.match(picture, texts, numbers[0, : self.rerank])
                ranking.check_finite(match[None], "matching", [name])
            yield self._output(name, scores[0], numbers[0], match), image_digests.pop(name)

    def _by_text(self, ids: Sequence[str], texts: Texts) -> Iterator[tuple[Output, str]]:
        """Many texts at a time. Each image is encoded once for the contrastive scores, and again for the pairs of each part."""
        import torch

        candidates = self._features()
        size = ranking.width(self.rerank, len(candidates))
        for start in range(0, len(ids), AT_ONCE):
            names = ids[start : start + AT_ONCE]
            asked = torch.tensor([self.pool.numbers[name] for name in names], device=self.loaded.device)
            scores = torch.empty(len(names), size, device=self.loaded.device)
            numbers = torch.empty(len(names), size, dtype=torch.long, device=self.loaded.device)
            for first in range(0, len(names), ranking.BLOCK):
                block = slice(first, first + ranking.BLOCK)
                contrast = ranking.of_texts(texts.features[asked[block]], candidates)
                ranking.check_finite(contrast, "contrastive", names[block])
                scores[block], numbers[block] = ranking.shortlist(contrast, size)
            match = self._matched(texts, asked, numbers[:, : self.rerank], names) if self.rerank else None
            for row, name in enumerate(names):
                own = None if match is None else match[row]
                yield self._output(name, scores[row], numbers[row], own), self.pool.digest(name)

    def _features(self) -> torch.Tensor:
        """The projected query tokens of all images, (images, queries, d)."""
        import torch

        config = self.loaded.model.config
        shape = (len(self.pool.images), config.num_query_tokens, config.image_text_hidden_size)
        features = torch.empty(shape, device=self.loaded.device)
        self.stage.begin("contrast", len(self.pool.images))
        for number, (_, values) in enumerate(pixels(self.loaded, self.pool.split, self.pool.images, {})):
            features[number] = self.matcher.picture(values).features
            self.stage.done += 1
        return features

    def _matched(self, texts: Texts, asked: torch.Tensor, numbers: torch.Tensor, names: Sequence[str]) -> torch.Tensor:
        """The matching scores of texts with the images on their shortlists, image by image, (texts, k).

        Args:
            texts: all texts.
            asked: the numbers of the texts, (texts,).
            numbers: the numbers of the images on their shortlists, (texts, k).
            names: the ids of the texts.
        """
        import torch

        match = torch.empty(numbers.shape, device=numbers.device)
        flat, deep = numbers.flatten(), numbers.shape[1]
        pairs = flat.argsort(stable=True)
        own, counts = torch.unique_consecutive(flat[pairs], return_counts=True)
        needed = [self.pool.images[number] for number in own.tolist()]
        self.stage.begin("matching", len(needed))
        groups = pairs.split(counts.tolist())
        for (_, values), group in zip(pixels(self.loaded, self.pool.split, needed, {}), groups, strict=True):
            picture = self.matcher.picture(values)
            match.view(-1)[group] = self.matcher.match(picture, texts, asked[group // deep])
            self.stage.done += 1
        ranking.check_finite(match, "matching", names)
        return match

    def _output(self, name: str, contrast: torch.Tensor, numbers: torch.Tensor, match: torch.Tensor | None) -> Output:
        found = ranking.order(contrast, numbers, match, plus_contrast=self.plus_contrast)[: ranking.KEPT]
        return Output(
            id=name,
            text="",
            references=self.pool.right(name),
            ranked=tuple(self.pool.candidates[number] for number in found),
            extras=self.pool.extras(name, found[0]),
        )


def prepare(plan: RetrievalPlan, bench: Bench) -> Setup:
    """Load everything that a run needs, and observe the protocol that the run will follow.

    Raises:
        NotAttempted: weights, data or the device are missing on this machine.
        EvaluationError: the weights or the data cannot be used.
    """
    device = bench.device(plan)
    split = bench.split(plan)
    pooled = pool.of_split(split, by_image=plan.by_image)
    ids = pooled.draw(plan.sample, plan.seed)
    loaded = bench.checkpoint(plan, device)
    stated = plan.protocol.ranking
    matcher = Matcher(
        loaded=loaded,
        max_tokens=matching.longest(loaded, stated.max_tokens),
        batch_size=plan.run.batch_size or matching.PAIRS,
    )
    changes = reference.changes(plan, loaded, bench.progress)
    total = len(pooled.queries)
    facts = observed_ranking(plan, pooled, matcher, changes)
    recipe = Recipe(
        asked=plan.asked,
        observed=Observed(
            checkpoint=loaded.facts,
            dataset=split.facts,
            split={"split": plan.protocol.dataset.split},
            image={
                **images.observe(loaded.processor.image_processor, loaded.model.config.model_type),
                **changes.axes.get("image", {}),
            },
            ranking=facts,
            precision={"precision": loaded.precision},
            seed=plan.seed if len(ids) < total else None,
            candidate=plan.candidate,
        ),
        details={
            "image_processing": json.loads(loaded.processor.image_processor.to_json_string()),
            "model": model_digest(loaded),
            "tokenizer": processor.tokenizer_digest(loaded.processor),
            "device": device.type,
            # Unlike that of captions: where two scores are nearly equal, the last bits of a product decide the order.
            "batch_size": matcher.batch_size,
            "versions": machine.versions(),
        },
        references={name: pooled.right(name) for name in ids},
        population=total if len(ids) < total else None,
        noun=plan.noun,
    )
    return Setup(
        loaded=loaded,
        pool=pooled,
        matcher=matcher,
        rerank=int(facts["rerank"]),
        plus_contrast=stated.score == "matching+contrastive",
        cleaning=str(facts["text"]),
        recipe=recipe,
        changes=changes,
    )


def observed_ranking(plan: RetrievalPlan, pooled: Pool, matcher: Matcher, changes: Changes) -> dict[str, Any]:
    """The facts of the ranking axis: what the run does, as `protocol.Observed.ranking` lists it."""
    stated = plan.protocol.ranking
    facts = ranking_facts(
        {
            "score": stated.score,
            "rerank": stated.rerank or 0,
            "texts": len(pooled.texts),
            "text": stated.text or "as_is",
            "max_tokens": matcher.max_tokens,
        }
    )
    facts["query"] = plan.run.query
    if odd := matching.special_tokens(matcher.loaded):
        facts["special_tokens"] = odd
    return {**facts, **changes.axes.get("prompt", {})}
