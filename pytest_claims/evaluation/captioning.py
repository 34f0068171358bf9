"""Caption a split with a vision-language model, and read off what the run really did."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from pytest_claims.errors import EvaluationError
from pytest_claims.evaluation import data
from pytest_claims.evaluation.machine import machine
from pytest_claims.evidence import Basis, Caption, Evidence
from pytest_claims.protocol import Observed, decoding_facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import torch
    from transformers import GenerationConfig

    from pytest_claims.evaluation import Bench
    from pytest_claims.evaluation.checkpoint import Loaded
    from pytest_claims.protocol import Plan
    from pytest_claims.spec.models import CaptioningRun

BATCH = 16
"""LAVIS evaluates with 16 images a batch; in float32 the batch size changes no caption."""

# Fields of a generation config that choose tokens beyond what a protocol can say, and the values that leave the choice
# alone. Whatever else a checkpoint's config turns on shows up as a deviation of the decoding axis.
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "do_sample": (None, False),
    "no_repeat_ngram_size": (None, 0),
    "encoder_no_repeat_ngram_size": (None, 0),
    "encoder_repetition_penalty": (None, 1.0),
    "bad_words_ids": (None,),
    "sequence_bias": (None,),
    "suppress_tokens": (None, []),
    "begin_suppress_tokens": (None, []),
    "forced_bos_token_id": (None,),
    "forced_eos_token_id": (None,),
    "exponential_decay_length_penalty": (None,),
    "guidance_scale": (None, 1.0),
    "num_return_sequences": (None, 1),
    "num_beam_groups": (None, 1),
    "diversity_penalty": (None, 0.0),
    "penalty_alpha": (None, 0.0),
    "stop_strings": (None,),
    "max_time": (None,),
}


def evaluate(plan: Plan, run: CaptioningRun, bench: Bench) -> Evidence:
    """Caption the images of a plan.

    Raises:
        NotAttempted: weights, data or device cannot be had here.
        EvaluationError: they are there and the run broke.
    """
    device = bench.device(plan)
    assert plan.settings.dataset is not None  # noqa: S101 - spec.load.NEEDS
    split = data.load(plan.settings.dataset, run.columns, plan.folders)
    ids = split.draw(plan.sample, plan.seed)
    loaded = bench.checkpoint(plan, device)
    prompt = plan.settings.prompt or ""
    config = generation_config(plan, loaded)
    fed = _check_prompt(loaded, prompt)
    started = time.perf_counter()
    captions: list[Caption] = []
    with bench.progress(len(ids), plan.claim.file.stem) as bar:
        for batch in _batches(ids, run.batch_size or BATCH):
            captions += _caption(loaded, split, batch, prompt, config)
            bar.update(len(batch))
    seconds = time.perf_counter() - started
    if len(captions) != len(ids):
        raise EvaluationError(f"{len(ids)} images gave {len(captions)} captions.")
    rows = int(split.facts["images"])
    return Evidence(
        basis=Basis.REPRODUCED,
        captions=tuple(sorted(captions, key=lambda caption: caption.id)),
        population=rows if len(ids) < rows else None,
        observed=Observed(
            checkpoint=loaded.facts,
            dataset=split.facts,
            split={"split": plan.settings.dataset.split},
            image=loaded.image_facts(),
            prompt={"prompt": fed},
            decoding=observed_decoding(config),
            precision={"precision": loaded.precision},
            metric={"family": plan.settings.metric},
            scored=len(captions),
            seed=plan.seed if len(ids) < rows else None,
            candidate=plan.candidate,
        ),
        provenance={
            **machine(device),
            "decoder": "transformers.generate",
            "batch_size": run.batch_size or BATCH,
            "seconds": round(seconds, 3),
            "images_per_second": round(len(ids) / seconds, 2),
        },
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def generation_config(plan: Plan, loaded: Loaded) -> GenerationConfig:
    """The generation config of a run: the checkpoint's, with every field that a protocol can state set from the plan.

    It is also made the model's own, since `generate` fills what it is not told from there, and for BLIP-2 from the language
    model's instead: a default of theirs must not slip in behind the protocol's back.
    """
    import copy

    decoding = plan.settings.decoding
    assert decoding is not None  # noqa: S101 - spec.load.NEEDS
    config: Any = copy.deepcopy(loaded.language_model.generation_config)
    beams = decoding.num_beams or 1
    config.update(
        do_sample=False,
        num_beams=beams,
        max_new_tokens=decoding.max_new_tokens,
        min_new_tokens=decoding.min_new_tokens or 0,
        repetition_penalty=decoding.repetition_penalty,
        # Only beam search has these, and `generate` warns about them otherwise.
        length_penalty=decoding.length_penalty if beams > 1 else None,
        early_stopping=decoding.early_stopping if beams > 1 else None,
        max_length=None,
        min_length=None,
    )
    loaded.model.generation_config = config
    loaded.language_model.generation_config = config
    return cast("GenerationConfig", config)


def observed_decoding(config: GenerationConfig) -> dict[str, Any]:
    """What a generation config makes `generate` do, as the decoding axis compares it."""
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
    for field, neutral in NEUTRAL.items():
        value = getattr(config, field, None)
        if value not in neutral:
            facts[field] = value
    return facts


def _check_prompt(loaded: Loaded, prompt: str) -> str:
    """Tokenise the prompt as a run will, make sure that the image goes with it, and give back the text that was fed.

    Raises:
        EvaluationError: the processor makes no room for the image (see design: "BLIP-2 facts").
    """
    import PIL.Image

    blank = PIL.Image.new("RGB", (32, 32))
    ids = loaded.processor(images=[blank], text=[prompt], return_tensors="pt")["input_ids"][0].tolist()
    config = loaded.model.config
    placeholder = getattr(config, "image_token_index", None) or getattr(config, "image_token_id", None)
    queries = getattr(config, "num_query_tokens", None)
    found = ids.count(placeholder)
    if queries is not None and found != queries:
        raise EvaluationError(
            f"The processor puts {found} image tokens before the prompt and the model expects {queries}: the image would "
            "be ignored. Set num_query_tokens in the checkpoint's processor_config.json."
        )
    text: str = loaded.processor.tokenizer.decode([t for t in ids if t != placeholder], skip_special_tokens=True)
    return text.strip()


def _batches(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _caption(
    loaded: Loaded, split: data.Split, ids: Sequence[str], prompt: str, config: GenerationConfig
) -> list[Caption]:
    import torch

    images = [split.image(name) for name in ids]
    inputs = loaded.processor(images=images, text=[prompt] * len(ids), return_tensors="pt").to(loaded.device)
    inputs["pixel_values"] = inputs["pixel_values"].to(loaded.model.dtype)
    with torch.inference_mode():
        output: torch.Tensor = loaded.model.generate(**inputs)  # (images, prompt + new) or (images, 1 + new)
    decoder_only = not loaded.language_model.config.is_encoder_decoder
    skip = inputs["input_ids"].shape[1] if decoder_only else 1  # an encoder-decoder starts with its start token
    ends = eos_ids(config)
    captions = []
    for name, row in zip(ids, output[:, skip:].tolist(), strict=True):
        stop = next((i for i, token in enumerate(row) if token in ends), None)
        tokens = row if stop is None else row[:stop]
        text: str = loaded.processor.tokenizer.decode(tokens, skip_special_tokens=True)
        captions.append(
            Caption(
                id=name,
                text=text.strip(),
                references=split.references[name],
                tokens=len(tokens),
                truncated=stop is None,
            )
        )
    return captions


def eos_ids(config: GenerationConfig) -> frozenset[int]:
    """The tokens that end a caption."""
    value = config.eos_token_id
    return frozenset(() if value is None else (value,) if isinstance(value, int) else value)
