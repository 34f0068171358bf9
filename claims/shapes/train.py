"""Make the tiny BLIP-2 of this folder: data, weights and the numbers that are claimed of it.

    python claims/shapes/train.py                  # data, model, numbers: everything, from nothing
    python claims/shapes/train.py --report-only    # measure again, with the weights that are here
    python claims/shapes/train.py --steps 20 --train-scenes 500 --no-report --out somewhere

The numbers come from plain `generate` on one image at a time, scored by pycocoevalcap. That shares
no line with the plugin, and so the plugin's agreement with it says something.
"""

# mypy: disable-error-code="no-untyped-call"
# (transformers annotates its methods, but many of its constructors only in part)

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import math
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before the libraries read them: one thread makes the tokenizer's training order fixed, and nothing
# here has any business on the network.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import datasets
import pyarrow.parquet
import torch
import transformers
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

# By file: without torchvision the package's top level offers this class under another name, too,
# and warns about it.
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

if TYPE_CHECKING:  # as a script this folder is on the path, for a type checker it is not
    from claims.shapes import scenes
else:
    import scenes

HERE = Path(__file__).resolve().parent

SEED = 20230130
THREADS = 1
TEST_IMAGES = 1000
TRAIN_SCENES = 16_000
STEPS = 2500
BATCH = 48
PEAK_RATE = 1.5e-3
WARM_UP = 150

PROMPT = "a photo of"
IMAGE_SIZE = 64
PATCH_SIZE = 8
VISION_WIDTH = 96
IMAGE_TOKENS = 8
VOCABULARY = 512
DECODING: dict[str, Any] = {
    "do_sample": False,
    "num_beams": 5,
    "max_new_tokens": 30,
    "min_new_tokens": 1,
    "length_penalty": 1.0,
    "repetition_penalty": 1.0,
}
BLEU_ORDERS = 4

# The same first ids and the same end of a caption as OPT's tokenizer: </s> (2) opens a text and the
# newline ends a caption.
BOS, PAD, OPENING, UNKNOWN = "<s>", "<pad>", "</s>", "<unk>"
IMAGE_TOKEN = "<image>"
END_OF_CAPTION = "\n"


def main() -> None:
    """Do what the command line asks for."""
    arguments = _command_line().parse_args()
    report: bool = not arguments.no_report
    if report:
        _require_scorer()  # now, and not after the training
    _make_deterministic()
    out: Path = arguments.out
    model_folder, parquet = out / "model", out / "data" / "test.parquet"
    if not arguments.report_only:
        write_test_split(parquet, arguments.test_images)
        train(model_folder, steps=arguments.steps, scene_count=arguments.train_scenes)
    if report:
        numbers = measure(model_folder, parquet)
        (out / "reported.json").write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
        print(_table(numbers))


def _command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to (default: here)")
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps (%(default)s)")
    parser.add_argument("--train-scenes", type=int, default=TRAIN_SCENES, help="scenes to train on (%(default)s)")
    parser.add_argument("--test-images", type=int, default=TEST_IMAGES, help="size of the test split (%(default)s)")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--report-only", action="store_true", help="train nothing, measure the model in --out")
    only.add_argument("--no-report", action="store_true", help="measure nothing: needs neither Java nor a scorer")
    return parser


def _require_scorer() -> None:
    missing = []
    if shutil.which("java") is None:
        missing.append("Java (any `java` on the PATH, 8 or later)")
    if importlib.util.find_spec("pycocoevalcap") is None:
        missing.append("pycocoevalcap (pip install pycocoevalcap)")
    if missing:
        sys.exit(
            f"The reported numbers need {' and '.join(missing)}, missing here.\n"
            "Only this script needs it, the plugin does not. To train without: --no-report."
        )


def _make_deterministic() -> None:
    # Sums are split among threads: another number of them, other last digits. One is hardly slower
    # for matrices this small, and does not suffer when the machine has other work.
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SEED)
    transformers.utils.logging.disable_progress_bar()


# --- data ---------------------------------------------------------------------------------------


def write_test_split(parquet: Path, count: int) -> None:
    """The test split in the layout of Flickr30k on the hub: image, caption, filename, split."""
    columns: dict[str, list[Any]] = {"image": [], "caption": [], "filename": [], "split": []}
    for index in range(count):
        example = scenes.example("test", index)
        name = f"shapes-{index:04d}.png"
        columns["image"].append({"bytes": _png(example.image), "path": name})
        columns["caption"].append(list(example.captions))
        columns["filename"].append(name)
        columns["split"].append("test")
    text = datasets.Value("string")
    features = datasets.Features({"image": datasets.Image(), "caption": [text], "filename": text, "split": text})
    parquet.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_dict(columns, features=features).to_parquet(parquet)
    print(f"{parquet}: {count} images, {parquet.stat().st_size:,} bytes")


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def training_text(caption: str) -> str:
    """A caption as BLIP-2 is trained on it: lower case, without the marks that end or part it."""
    return " ".join(re.sub(r"[.!\"()*#:;~]", " ", caption.lower()).split())


# --- model --------------------------------------------------------------------------------------


def build_tokenizer(texts: list[str]) -> transformers.PreTrainedTokenizerFast:
    """A byte-level BPE like OPT's, trained on the captions."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY - 1,  # the image token comes on top
            special_tokens=[BOS, PAD, OPENING, UNKNOWN],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    opening = (OPENING, backend.token_to_id(OPENING))
    backend.post_processor = processors.TemplateProcessing(single=f"{OPENING} $A", special_tokens=[opening])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=OPENING,
        eos_token=OPENING,
        unk_token=UNKNOWN,
        pad_token=PAD,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=64,
    )
    # The processor would add it, too, but the model's configuration needs its id before.
    image_token = AddedToken(IMAGE_TOKEN, normalized=False, special=True)
    tokenizer.add_tokens([image_token], special_tokens=True)
    return tokenizer


def build_processor(tokenizer: transformers.PreTrainedTokenizerFast) -> transformers.Blip2Processor:
    """Images to 64 × 64 pixels, bicubic; texts behind eight image tokens."""
    images = BlipImageProcessorPil(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE})
    return transformers.Blip2Processor(images, tokenizer, num_query_tokens=IMAGE_TOKENS)


def build_model(
    tokenizer: transformers.PreTrainedTokenizerFast,
) -> transformers.Blip2ForConditionalGeneration:
    """ViT, Q-Former and OPT with fresh weights."""
    config = transformers.Blip2Config(
        vision_config=transformers.Blip2VisionConfig(
            hidden_size=VISION_WIDTH,
            intermediate_size=192,
            num_hidden_layers=3,
            num_attention_heads=4,
            image_size=IMAGE_SIZE,
            patch_size=PATCH_SIZE,
            initializer_range=0.02,
        ),
        qformer_config=transformers.Blip2QFormerConfig(
            vocab_size=1,  # it reads no text
            max_position_embeddings=IMAGE_TOKENS,
            hidden_size=96,
            intermediate_size=192,
            num_hidden_layers=2,
            num_attention_heads=4,
            cross_attention_frequency=1,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        ),
        text_config=transformers.OPTConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            word_embed_proj_dim=128,
            ffn_dim=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=64,
            dropout=0.0,
            pad_token_id=_token_id(tokenizer, PAD),
            bos_token_id=_token_id(tokenizer, OPENING),
            eos_token_id=_token_id(tokenizer, END_OF_CAPTION),
        ),
        num_query_tokens=IMAGE_TOKENS,
        image_token_index=_token_id(tokenizer, IMAGE_TOKEN),
        image_text_hidden_size=16,  # belongs to retrieval, which this model does not do
    )
    model = transformers.Blip2ForConditionalGeneration(config)
    # transformers starts the queries at zero. Then all of them are equal, get equal gradients and
    # stay equal: eight copies of one query.
    torch.nn.init.normal_(model.query_tokens, std=0.02)
    return model


def _token_id(tokenizer: transformers.PreTrainedTokenizerFast, text: str) -> int:
    """The id of a text that is exactly one token."""
    (token,) = tokenizer(text, add_special_tokens=False).input_ids
    return int(token)


# --- training -----------------------------------------------------------------------------------


# What is asked about a patch, each with its possible answers.
PATCH_QUESTIONS: tuple[tuple[str, ...], ...] = (
    tuple(scenes.SHAPES),
    tuple(scenes.COLOURS),
    tuple(scenes.SIZES),
)


def patch_contents(scene: scenes.Scene) -> torch.Tensor:
    """What lies under each patch of the picture: (patches, 3) indices of shape, colour and size.

    Index 0 says that nothing does.
    """
    across = IMAGE_SIZE // PATCH_SIZE
    contents = torch.zeros(across * across, len(PATCH_QUESTIONS), dtype=torch.long)
    for patch in range(across * across):
        row, column = divmod(patch, across)
        x, y = (column + 0.5) / across * scene.width, (row + 0.5) / across * scene.height
        for thing in scene.things:
            if math.dist((x, y), (thing.x, thing.y)) < thing.radius + PATCH_SIZE / 4:
                words = (thing.shape, thing.colour, thing.size)
                answers = zip(PATCH_QUESTIONS, words, strict=True)
                contents[patch] = torch.tensor([1 + names.index(word) for names, word in answers])
    return contents


class PatchTeacher(torch.nn.Module):
    """Asks the vision model what each patch shows; needed for training only, and then dropped.

    The real BLIP-2 starts from a vision model that can see. From captions alone this one would need
    many times the steps to tell a star from a square.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.answers = torch.nn.ModuleList(torch.nn.Linear(width, 1 + len(names)) for names in PATCH_QUESTIONS)

    def forward(self, states: torch.Tensor, contents: torch.Tensor) -> torch.Tensor:
        """The loss summed over the questions; the first state is the class token's."""
        patches = states[:, 1:]
        losses = [
            torch.nn.functional.cross_entropy(answer(patches).flatten(0, 1), truth.flatten())
            for answer, truth in zip(self.answers, contents.unbind(-1), strict=True)
        ]
        return torch.stack(losses).sum()


def train(folder: Path, *, steps: int, scene_count: int) -> None:
    """Train from nothing and save model and processor in the hub's layout."""
    started = time.monotonic()
    examples = [scenes.example("train", index) for index in range(scene_count)]
    tokenizer = build_tokenizer([f"{PROMPT} {training_text(c)}" for example in examples for c in example.captions])
    processor = build_processor(tokenizer)
    images = [example.image for example in examples]
    pixels = processor.image_processor(images, return_tensors="pt").pixel_values
    captions = [[_token_ids(tokenizer, c) for c in example.captions] for example in examples]
    contents = torch.stack([patch_contents(example.scene) for example in examples])
    print(f"{scene_count} scenes, {len(tokenizer)} tokens, {time.monotonic() - started:.0f} s")

    model = build_model(tokenizer)
    print(f"{model.num_parameters():,} parameters")
    teacher = PatchTeacher(VISION_WIDTH)
    parameters = [*model.parameters(), *teacher.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=PEAK_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    prompt_length = IMAGE_TOKENS + len(tokenizer(PROMPT).input_ids)
    batches = random.Random(SEED)
    model.train()
    for step in range(1, steps + 1):
        chosen = batches.choices(range(scene_count), k=BATCH)
        ids = _padded([batches.choice(captions[index]) for index in chosen], tokenizer)
        mask = (ids != tokenizer.pad_token_id).long()
        labels = ids.masked_fill(mask == 0, -100)
        labels[:, :prompt_length] = -100  # the prompt is given, not to be learned
        output = model(pixel_values=pixels[chosen], input_ids=ids, attention_mask=mask, labels=labels)
        seen = teacher(output.vision_outputs.last_hidden_state, contents[chosen])
        (output.loss + seen).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0 or step == steps:
            loss, seconds = output.loss.item(), time.monotonic() - started
            losses = f"captions {loss:.4f}  patches {seen.item():.4f}"
            print(f"step {step}/{steps}  {losses}  {seconds:.0f} s", flush=True)
    _save(folder, model.eval(), processor)


def _token_ids(tokenizer: transformers.PreTrainedTokenizerFast, caption: str) -> list[int]:
    text = f"{PROMPT} {training_text(caption)}{END_OF_CAPTION}"
    image = [_token_id(tokenizer, IMAGE_TOKEN)] * IMAGE_TOKENS
    return [*image, *tokenizer(text).input_ids]


def _padded(rows: list[list[int]], tokenizer: transformers.PreTrainedTokenizerFast) -> torch.LongTensor:
    # On the right: the tokenizer pads on the left, as generation needs it.
    width = max(map(len, rows))
    return torch.LongTensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in rows])


def _rate(step: int, steps: int) -> float:
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - WARM_UP) / max(1, steps - WARM_UP))))


def _save(
    folder: Path,
    model: transformers.Blip2ForConditionalGeneration,
    processor: transformers.Blip2Processor,
) -> None:
    # generate() runs on the language model, but people read the file of the whole.
    text: Any = model.config.text_config
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=text.bos_token_id,
        eos_token_id=text.eos_token_id,
        pad_token_id=text.pad_token_id,
    )
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # written for the owner only
    print(f"{folder}: {sum(f.stat().st_size for f in folder.iterdir()):,} bytes")


# --- measuring ----------------------------------------------------------------------------------


def measure(model_folder: Path, parquet: Path) -> dict[str, Any]:
    """BLEU-1 to 4 of the saved model on the saved split, and all that they depend on."""
    rows = pyarrow.parquet.read_table(parquet).to_pylist()
    started = time.monotonic()
    captions, ended = _caption_all(model_folder, [row["image"]["bytes"] for row in rows])
    seconds = time.monotonic() - started
    references = {row["filename"]: row["caption"] for row in rows}
    hypotheses = {row["filename"]: [c] for row, c in zip(rows, captions, strict=True)}
    return {
        "bleu": {f"bleu{order}": value for order, value in enumerate(_bleu(references, hypotheses), start=1)},
        "unit": "fraction",
        "images": len(rows),
        "protocol": {
            "prompt": PROMPT,
            "image": {"size": IMAGE_SIZE, "resize": "bicubic"},
            "decoding": DECODING,
            "precision": "float32",
            "batch_size": 1,
            "metric": "pycocoevalcap Bleu(4), closest reference length, after its PTBTokenizer",
        },
        "captions": {
            "ended_by_themselves": ended / len(rows),
            "distinct": len(set(captions)),
            "largest_share": Counter(captions).most_common(1)[0][1] / len(rows),
        },
        "seconds_to_caption": round(seconds, 1),
        "sha256": {
            "model.safetensors": _sha256(model_folder / "model.safetensors"),
            "test.parquet": _sha256(parquet),
        },
        "versions": _versions(),
    }


@torch.inference_mode()
def _caption_all(model_folder: Path, images: list[bytes]) -> tuple[list[str], int]:
    """The captions, and how many of them ended before the length limit."""
    processor = transformers.Blip2Processor.from_pretrained(model_folder, backend="pil")
    model = transformers.Blip2ForConditionalGeneration.from_pretrained(model_folder, dtype=torch.float32).eval()
    end = _token_id(processor.tokenizer, END_OF_CAPTION)
    captions, ended = [], 0
    for index, data in enumerate(images, start=1):
        image = Image.open(io.BytesIO(data))
        inputs = processor(images=image, text=PROMPT, return_tensors="pt")
        output = model.generate(**inputs, **DECODING)
        new = output[0, inputs["input_ids"].shape[1] :]  # generate returns the prompt, too
        ended += end in new.tolist()
        captions.append(processor.decode(new, skip_special_tokens=True).strip())
        if index % 100 == 0:
            print(f"{index}/{len(images)}  {captions[-1]}", flush=True)
    return captions, ended


def _bleu(references: dict[str, list[str]], hypotheses: dict[str, list[str]]) -> list[float]:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    def tokens(captions: dict[str, list[str]]) -> dict[str, list[str]]:
        spoken = {name: [{"caption": text} for text in texts] for name, texts in captions.items()}
        tokenized: dict[str, list[str]] = PTBTokenizer().tokenize(spoken)
        return tokenized

    values, _ = Bleu(BLEU_ORDERS).compute_score(tokens(references), tokens(hypotheses), verbose=0)
    return [float(value) for value in values]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _versions() -> dict[str, str]:
    java = subprocess.run(  # noqa: S603 (a fixed command, found on the PATH by us)
        [shutil.which("java") or "java", "-version"], capture_output=True, text=True, check=True
    )
    packages = ("torch", "transformers", "datasets", "pillow", "tokenizers", "pycocoevalcap")
    return {
        "python": platform.python_version(),
        "java": java.stderr.splitlines()[0],
        **{package: importlib.metadata.version(package) for package in packages},
    }


def _table(numbers: dict[str, Any]) -> str:
    """The row for README.md; the claims in shapes.yaml cite it, so change both together."""
    cells = " | ".join(f"{100 * value:.1f}" for value in numbers["bleu"].values())
    return f"| model | B@1 | B@2 | B@3 | B@4 |\n| --- | --- | --- | --- | --- |\n| BLIP-2 shapes | {cells} |"


if __name__ == "__main__":
    main()
