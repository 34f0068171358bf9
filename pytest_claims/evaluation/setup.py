"""Prepares a run of captioning or answering: loads all that it needs, and observes the protocol on the loaded objects."""

from __future__ import annotations

import copy
import json
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pytest_claims import digests, machine, spool
from pytest_claims.architectures import token_ids
from pytest_claims.evaluation import closed, decoding, images, prompt, reference
from pytest_claims.evidence import Output
from pytest_claims.protocol import AnsweringPlan, Observed, decoding_facts
from pytest_claims.sources import processor
from pytest_claims.spec import RANK
from pytest_claims.store import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    import torch
    from transformers import GenerationConfig

    from pytest_claims.bench import Bench
    from pytest_claims.evaluation.decoding import Decoder
    from pytest_claims.evaluation.prompt import Fed
    from pytest_claims.evaluation.reference import Changes
    from pytest_claims.protocol import CaptioningPlan
    from pytest_claims.sources.checkpoint import Loaded
    from pytest_claims.sources.data import Split

WORKERS = 4
"""The number of threads that decode and resize images. LAVIS's data loader uses 4 processes. On 2 cores, processes were not
faster (benchmarks/feed.py). JPEG's draft mode, which is, gives other pixels than the resize that a protocol states."""

AHEAD = 64
"""How many images are prepared in advance. 64 images of 364 × 364 pixels take 100 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Everything that a captioning run needs."""

    loaded: Loaded
    split: Split
    config: GenerationConfig
    decoder: Decoder
    recipe: Recipe
    changes: Changes
    answers: tuple[str, ...] = ()
    """The closed list whose best answers the decoder gives; empty where it gives tokens."""

    @property
    def batch_size(self) -> int:
        """See `Prepared.batch_size`."""
        return self.decoder.batch_size

    def facts(self) -> dict[str, str | int | float | None]:
        """See `Prepared.facts`."""
        return {
            **machine.facts(self.loaded.device),
            "decoder": self.decoder.name,
            "batch_size": self.decoder.batch_size,
        }

    def caption(self, ids: Iterable[str | None]) -> Iterator[tuple[Output, str]]:
        """Caption images, or answer the questions about them.

        The outputs come in the order in which they are ready, each with the digest of its image's bytes. None among the ids:
        there is none now, and there may be one later (see `beam.intake`).
        """
        image_digests: dict[str, str] = {}
        ends = token_ids(self.config.eos_token_id)
        if isinstance(ids, Sequence):  # an actor's come one after the other, in the order that the driver chose
            ids = self.split.in_order(ids)
        for name, tokens in self.decoder.decode(arriving(self.loaded, self.split, ids, image_digests)):
            yield self._output(name, tokens, ends), image_digests.pop(name)

    def _output(self, name: str, tokens: Sequence[int], ends: frozenset[int]) -> Output:
        if self.answers:
            ranked = tuple(self.answers[number] for number in tokens)
            return Output(
                id=name,
                text=ranked[0],
                references=self.split.references[name],
                ranked=ranked,
                extras=self.split.extras.get(name, {}),
            )
        stop = next((i for i, token in enumerate(tokens) if token in ends), None)
        text: str = self.loaded.processor.tokenizer.decode(list(tokens[:stop]), skip_special_tokens=True)
        return Output(
            id=name,
            text=text.strip(),
            references=self.split.references[name],
            tokens=len(tokens) if stop is None else stop,
            truncated=stop is None,
            extras=self.split.extras.get(name, {}),
        )


def prepare(plan: CaptioningPlan, bench: Bench) -> Setup:
    """Load everything that a run needs, and observe the protocol that the run will follow.

    Raises:
        NotAttempted: weights, data or the device are missing on this machine.
        EvaluationError: the weights or the data cannot be used.
    """
    device = bench.device(plan)
    split = bench.split(plan)
    ids = split.draw(plan.sample, plan.seed)
    loaded = bench.checkpoint(plan, device)
    config = generation_config(plan, loaded)
    asks = isinstance(plan, AnsweringPlan)
    questions = spool.by_name(((name, split.questions[name]) for name in ids), len) if asks else None
    fed, prompt_facts = prompt.observe(loaded, plan.protocol.prompt, plan.claim.protocol.prompt, questions)
    decoder, chosen, listed = _decoder(plan, loaded, config, fed, bench.share(len(ids)))
    rows = int(split.facts["images"])
    changes = reference.changes(plan, loaded, bench.progress)
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
            prompt={**prompt_facts, **changes.axes.get("prompt", {})},
            decoding={
                **chosen,
                **loaded.architecture.foreign_ends(config),
                **changes.axes.get("decoding", {}),
            },
            precision={"precision": loaded.precision},
            seed=plan.seed if len(ids) < rows else None,
            candidate=plan.candidate,
        ),
        details={
            "image_processing": json.loads(loaded.processor.image_processor.to_json_string()),
            "end_ids": sorted(token_ids(config.eos_token_id)),
            "model": model_digest(loaded),
            "tokenizer": processor.tokenizer_digest(loaded.processor),
            "device": device.type,
            "decoder": decoder.name,
            "versions": machine.versions(),
        },
        references=split.references_of(ids),
        population=rows if len(ids) < rows else None,
        noun=plan.noun,
    )
    return Setup(
        loaded=loaded, split=split, config=config, decoder=decoder, recipe=recipe, changes=changes, answers=listed
    )


def _decoder(
    plan: CaptioningPlan, loaded: Loaded, config: GenerationConfig, fed: Fed, images: int
) -> tuple[Decoder, dict[str, Any], tuple[str, ...]]:
    """What decodes, the facts of the decoding axis, and the closed list that is ranked, empty if there is none."""
    if plan.protocol.decoding.strategy == RANK:
        ranked = closed.prepare(plan, loaded, config, fed)
        return ranked, ranked.facts, ranked.listed.texts
    decoder = decoding.choose(loaded, config, fed, images=images, batch_size=plan.run.batch_size)
    return decoder, observed_decoding(config), ()


def model_digest(loaded: Loaded) -> str:
    """SHA-256 over the model's configuration, without the keys that differ between machines."""
    values = json.loads(loaded.model.config.to_json_string(use_diff=False))
    values.pop("_name_or_path", None)
    return digests.of_json(values)[: digests.SHORT]


def pixels(
    loaded: Loaded, split: Split, ids: Iterable[str], image_digests: dict[str, str]
) -> Iterator[tuple[str, torch.Tensor]]:
    """As `arriving`, of images that are all there."""
    return (image for image in arriving(loaded, split, ids, image_digests) if image is not None)


def arriving(
    loaded: Loaded, split: Split, ids: Iterable[str | None], image_digests: dict[str, str]
) -> Iterator[tuple[str, torch.Tensor] | None]:
    """The pixel values of images for the vision encoder, (3, H, W) each, in the order of `ids`; None where that has None.

    Threads decode and resize the images in advance, since PIL releases the interpreter lock while it works.

    Args:
        loaded: the checkpoint.
        split: the data set.
        ids: the ids of the images.
        image_digests: a dictionary to which the digest of each image's bytes is added.
    """

    def read(name: str) -> torch.Tensor:
        image_digests[name] = split.digest(name)
        if not loaded.architecture.one_prompt:
            # A processor that takes images and text together needs the PIL image.
            return cast("torch.Tensor", split.image(name))
        values: torch.Tensor = loaded.processor.image_processor(images=[split.image(name)], return_tensors="pt")[
            "pixel_values"
        ][0]
        return values.to(loaded.pixel_dtype)

    with ThreadPoolExecutor(WORKERS, thread_name_prefix="images") as pool:
        ahead: deque[tuple[str, Future[torch.Tensor]]] = deque()
        try:
            for name in ids:
                if name is not None:
                    ahead.append((name, pool.submit(read, name)))
                while len(ahead) > (AHEAD if name is not None else 0):
                    done, future = ahead.popleft()
                    yield done, future.result()
                if name is None:
                    yield None
            while ahead:
                done, future = ahead.popleft()
                yield done, future.result()
        finally:
            for _, future in ahead:
                future.cancel()


def generation_config(plan: CaptioningPlan, loaded: Loaded) -> GenerationConfig:
    """The generation config of a run: the checkpoint's, with all fields that a protocol can state set from the plan.

    It also replaces the generation config of the model and of the language model. `generate` takes defaults from the former,
    and for BLIP-2 from the latter. Otherwise a default could change the run without being observed.
    """
    stated = plan.protocol.decoding
    config: Any = copy.deepcopy(loaded.language_model.generation_config)
    beams = stated.num_beams or 1
    config.update(
        do_sample=False,
        num_beams=beams,
        max_new_tokens=stated.max_new_tokens,
        min_new_tokens=stated.min_new_tokens or 0,
        repetition_penalty=stated.repetition_penalty,
        # Only beam search uses these; `generate` warns about them in greedy search.
        length_penalty=stated.length_penalty if beams > 1 else None,
        early_stopping=stated.early_stopping if beams > 1 else None,
        max_length=None,
        min_length=None,
    )
    loaded.model.generation_config = config
    loaded.language_model.generation_config = config
    return cast("GenerationConfig", config)


def observed_decoding(config: GenerationConfig) -> dict[str, Any]:
    """The facts of the decoding axis: what a generation config makes `generate` do."""
    from pytest_claims.beam.settings import turned_on

    beams = config.num_beams or 1
    facts = decoding_facts(
        {
            "num_beams": beams,
            "max_new_tokens": config.max_new_tokens,
            "min_new_tokens": config.min_new_tokens or 0,
            "length_penalty": 1.0 if config.length_penalty is None else config.length_penalty,
            "repetition_penalty": 1.0 if config.repetition_penalty is None else config.repetition_penalty,
            "early_stopping": False if config.early_stopping is None else config.early_stopping,
        }
    )
    # Any other setting that the config turns on is a deviation on the decoding axis.
    facts |= turned_on(config)
    return facts
