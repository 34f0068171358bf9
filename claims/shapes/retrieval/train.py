"""Make the tiny retrieval model of this folder: a `Blip2ForImageTextRetrieval` for the scenes of claims/shapes.

    python claims/shapes/retrieval/train.py              # about two minutes on one core; measure.py gives the numbers
    python claims/shapes/retrieval/train.py --steps 20 --train-scenes 500 --out somewhere

It is the first stage of BLIP-2's training, in small: the vision model is that of the tiny captioner beside this folder and
stays frozen, and the Q-Former learns image-text contrast and image-text matching with hard negatives from the batch.
"""

# mypy: disable-error-code="no-untyped-call"
# (transformers annotates its methods, but many of its constructors only in part)

from __future__ import annotations

import argparse
import math
import os
import random
import re
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before the libraries read them: nothing here has any business on the network.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pyarrow.parquet
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch.nn.functional import cross_entropy, normalize

# By file: without torchvision the package's top level offers this class under another name, too,
# and warns about it.
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

HERE = Path(__file__).resolve().parent

if TYPE_CHECKING:  # as a script this folder is on the path, for a type checker it is not
    from claims.shapes import scenes
else:
    sys.path.insert(0, str(HERE.parent))
    import scenes

SEED = 20230130
THREADS = 1
POOL = 100
TRAIN_SCENES = 4_000
STEPS = 500
BATCH = 48
PEAK_RATE = 1e-3
WARM_UP = 50
SMOOTHING = 0.1
TEMPERATURE = 0.07
MATCHED = 32
# For so many steps matching learns alone, with any other text as a negative. Beside contrast, or with hard negatives, it learns
# nothing for many hundreds of steps.
ALONE = 250
HARDNESS = 0.2

IMAGE_SIZE = 64
QUERIES = 8
WIDTH = 96
MAX_TOKENS = 35

PAD, UNKNOWN, CLASS, SEPARATOR, DECODER, IMAGE = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[DEC]", "<image>"


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "model", help="folder to write to (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps (%(default)s)")
    parser.add_argument("--train-scenes", type=int, default=TRAIN_SCENES, help="scenes to train on (%(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)  # sums are split among threads: another number of them, other last digits
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SEED)
    transformers.utils.logging.disable_progress_bar()
    write_pool(arguments.out.parent / "pool.parquet")
    train(arguments.out, steps=arguments.steps, scene_count=arguments.train_scenes)


def write_pool(parquet: Path) -> None:
    """The first pictures of the captioner's test split, with their texts: few enough to rank them in seconds."""
    table = pyarrow.parquet.read_table(HERE.parent / "data" / "test.parquet").slice(0, POOL)
    parquet.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(table, parquet)
    print(f"{parquet}: {POOL} images, {parquet.stat().st_size:,} bytes")


def cleaned(caption: str) -> str:
    """A caption as LAVIS's `blip_caption` gives it to the model: lower case, without the marks that end or part it."""
    return " ".join(re.sub(r"[.!\"()*#:;~]", " ", caption.lower()).split())


def build_tokenizer(texts: list[str]) -> transformers.PreTrainedTokenizerFast:
    """Whole words between [CLS] and [SEP], as BERT has them; [DEC] and <image> are there as in the real checkpoints."""
    words = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]", text)})
    vocabulary = {word: index for index, word in enumerate((PAD, UNKNOWN, CLASS, SEPARATOR, *words))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single=f"{CLASS} $A {SEPARATOR}",
        special_tokens=[(CLASS, vocabulary[CLASS]), (SEPARATOR, vocabulary[SEPARATOR])],
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=DECODER,
        cls_token=CLASS,
        pad_token=PAD,
        sep_token=SEPARATOR,
        unk_token=UNKNOWN,
        padding_side="right",
        clean_up_tokenization_spaces=False,
        model_max_length=64,
    )
    tokenizer.add_tokens([AddedToken(IMAGE, normalized=False, special=True)], special_tokens=True)
    return tokenizer


def build_processor(tokenizer: transformers.PreTrainedTokenizerFast) -> transformers.Blip2Processor:
    """Images to 64 × 64 pixels, bicubic; texts behind image tokens, which `forward` cuts off again."""
    images = BlipImageProcessorPil(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE})
    return transformers.Blip2Processor(images, tokenizer, num_query_tokens=QUERIES)


def build_model(tokenizer: transformers.PreTrainedTokenizerFast) -> transformers.Blip2ForImageTextRetrieval:
    """The captioner's vision model, and a fresh Q-Former that reads text, too."""
    captioner = transformers.Blip2ForConditionalGeneration.from_pretrained(HERE.parent / "model", dtype=torch.float32)
    seeing: Any = captioner.config.vision_config
    (image,) = tokenizer(IMAGE, add_special_tokens=False).input_ids
    config = transformers.Blip2Config(
        vision_config=seeing.to_dict(),
        qformer_config=transformers.Blip2QFormerConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=64,
            hidden_size=WIDTH,
            intermediate_size=192,
            num_hidden_layers=2,
            num_attention_heads=4,
            cross_attention_frequency=1,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            use_qformer_text_input=True,
        ).to_dict(),
        # No part of the model: the class of configuration asks for one.
        text_config=transformers.OPTConfig(
            vocab_size=8, hidden_size=8, ffn_dim=8, num_hidden_layers=1, num_attention_heads=1
        ).to_dict(),
        num_query_tokens=QUERIES,
        image_token_index=int(image),
        image_text_hidden_size=32,
    )
    model = transformers.Blip2ForImageTextRetrieval(config)
    model.vision_model.load_state_dict(captioner.vision_model.state_dict())
    model.vision_model.requires_grad_(False)
    # transformers starts the queries at zero. Then all of them are equal, get equal gradients and stay equal.
    torch.nn.init.normal_(model.query_tokens, std=0.02)
    return model


# --- training -----------------------------------------------------------------------------------


@torch.no_grad()
def seen(model: transformers.Blip2ForImageTextRetrieval, pixels: torch.Tensor) -> torch.Tensor:
    """What the frozen vision model sees: (n, patches + 1, width)."""
    blocks = [model.vision_model(pixel_values=block).last_hidden_state for block in pixels.split(100)]
    return torch.cat(blocks)


def text_features(
    model: transformers.Blip2ForImageTextRetrieval, ids: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """The projected first token of each text, of length one: (n, d)."""
    states = model.qformer(
        query_embeds=model.embeddings(input_ids=ids), query_length=0, attention_mask=mask
    ).last_hidden_state
    return normalize(model.text_projection(states[:, 0]), dim=-1)


def image_features(model: transformers.Blip2ForImageTextRetrieval, patches: torch.Tensor) -> torch.Tensor:
    """The projected query outputs of each image, of length one: (n, queries, d)."""
    queries = model.query_tokens.expand(len(patches), -1, -1)
    states = model.qformer(query_embeds=queries, encoder_hidden_states=patches).last_hidden_state
    return normalize(model.vision_projection(states), dim=-1)


def matching(
    model: transformers.Blip2ForImageTextRetrieval, patches: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """The two logits of each pair of image and text, averaged over the queries: (n, 2)."""
    queries = model.query_tokens.expand(len(ids), -1, -1)
    embedded = model.embeddings(input_ids=ids, query_embeds=queries)
    everything = torch.cat([torch.ones(queries.shape[:2], dtype=mask.dtype), mask], dim=1)
    states = model.qformer(
        query_embeds=embedded, query_length=QUERIES, attention_mask=everything, encoder_hidden_states=patches
    ).last_hidden_state
    logits: torch.Tensor = model.itm_head(states[:, :QUERIES]).mean(dim=1)
    return logits


def losses(
    model: transformers.Blip2ForImageTextRetrieval,
    temperature: torch.Tensor,
    patches: torch.Tensor,
    ids: torch.Tensor,
    mask: torch.Tensor,
    hard: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Contrast and matching of one batch, in which image i and text i belong together.

    Args:
        model: what learns.
        temperature: of the contrast.
        patches: what the vision model sees of the images.
        ids: the tokens of the texts.
        mask: 1 for a token, 0 for padding.
        hard: from 0 to 1, how much more often a wrong partner is drawn that looks similar.
    """
    count = len(ids)
    images, texts = image_features(model, patches), text_features(model, ids, mask)
    similar = torch.einsum("iqd,td->itq", images, texts).amax(-1) / temperature  # (images, texts)
    truth = torch.arange(count)
    contrast = (
        cross_entropy(similar, truth, label_smoothing=SMOOTHING)
        + cross_entropy(similar.t(), truth, label_smoothing=SMOOTHING)
    ) / 2
    # Matching is learned on a part of the batch: its pairs cost most of a step.
    own = torch.arange(MATCHED)
    with torch.no_grad():
        # Not only the most similar ones: many of those are right, too.
        weights = similar * temperature * hard / HARDNESS
        weights.fill_diagonal_(-1e4)
        wrong_text = torch.multinomial(weights.softmax(dim=1), 1)[own, 0]
        wrong_image = torch.multinomial(weights.t().softmax(dim=1), 1)[own, 0]
    logits = matching(
        model,
        torch.cat([patches[own], patches[own], patches[wrong_image]]),
        torch.cat([ids[own], ids[wrong_text], ids[own]]),
        torch.cat([mask[own], mask[wrong_text], mask[own]]),
    )
    labels = torch.cat([torch.ones_like(own), torch.zeros_like(own), torch.zeros_like(own)])
    return contrast, cross_entropy(logits, labels)


def easy(
    model: transformers.Blip2ForImageTextRetrieval,
    patches: torch.Tensor,
    ids: torch.Tensor,
    mask: torch.Tensor,
    by: int,
) -> torch.Tensor:
    """Matching of one batch with the texts that stand `by` places further on."""
    other = torch.arange(len(ids)).roll(by)
    logits = matching(
        model, torch.cat([patches, patches]), torch.cat([ids, ids[other]]), torch.cat([mask, mask[other]])
    )
    labels = torch.cat([torch.ones(len(ids), dtype=torch.long), torch.zeros(len(ids), dtype=torch.long)])
    return cross_entropy(logits, labels)


def train(folder: Path, *, steps: int, scene_count: int) -> None:
    """Train the Q-Former and save model and processor in the hub's layout."""
    started = time.monotonic()
    examples = [scenes.example("train", index) for index in range(scene_count)]
    captions = [[cleaned(caption) for caption in example.captions] for example in examples]
    tokenizer = build_tokenizer([caption for own in captions for caption in own])
    processor = build_processor(tokenizer)
    model = build_model(tokenizer)
    pixels = processor.image_processor([example.image for example in examples], return_tensors="pt").pixel_values
    patches = seen(model, pixels)
    print(f"{scene_count} scenes, {len(tokenizer)} tokens, {time.monotonic() - started:.0f} s")
    print(f"{model.num_parameters():,} parameters, of which the vision model's are frozen")

    temperature = torch.nn.Parameter(torch.tensor(TEMPERATURE))
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW([*learned, temperature], lr=PEAK_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    batches = random.Random(SEED)
    model.train()
    for step in range(1, steps + 1):
        chosen = batches.sample(range(scene_count), k=BATCH)
        batch = tokenizer([batches.choice(captions[index]) for index in chosen], padding=True, return_tensors="pt")
        given = patches[chosen], batch.input_ids, batch.attention_mask
        if step <= ALONE:
            contrast, match = torch.zeros(()), easy(model, *given, by=batches.randrange(1, BATCH))
        else:
            contrast, match = losses(model, temperature, *given, hard=(step - ALONE) / (steps - ALONE))
        (contrast + match).backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps:
            told = f"contrast {contrast.item():.4f}  matching {match.item():.4f}  temperature {temperature.item():.3f}"
            print(f"step {step}/{steps}  {told}  {time.monotonic() - started:.0f} s", flush=True)
    _save(folder, model.eval(), processor)


def _rate(step: int, steps: int) -> float:
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    if step < ALONE:
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - ALONE) / max(1, steps - ALONE))))


def _save(folder: Path, model: Any, processor: transformers.Blip2Processor) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # written for the owner only
    print(f"{folder}: {sum(f.stat().st_size for f in folder.iterdir()):,} bytes")


if __name__ == "__main__":
    main()
