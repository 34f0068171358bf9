"""Teach the tiny BLIP-2 of this folder to answer questions: data, weights and the numbers that are claimed of it.

    python claims/shapes/train_answering.py                  # data, model, numbers
    python claims/shapes/train_answering.py --report-only    # measure again, with the weights that are here
    python claims/shapes/train_answering.py --report-ranked  # measure only the ranking of the closed list, and keep the rest
    python claims/shapes/train_answering.py --steps 20 --train-scenes 200 --no-report --out somewhere

It starts from the captioner of this folder (train.py), as BLIP-2 starts from models that can see and write. The numbers come
from plain `generate` on one question at a time, and for the closed list from plain `forward` on one answer at a time. The few
lines at the end of this file score them. That shares no line with the plugin, and so the plugin's agreement with it says
something.
"""

# mypy: disable-error-code="no-untyped-call"
# (transformers annotates its methods, but many of its constructors only in part)

from __future__ import annotations

import argparse
import io
import json
import random
import re
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # as a script this folder is on the path, for a type checker it is not
    from claims.shapes import questions, scenes
    from claims.shapes import train as captioner
else:
    import questions
    import scenes
    import train as captioner  # sets the environment, too, before the libraries read it

import datasets
import pyarrow.parquet
import torch
import transformers
from PIL import Image

HERE = Path(__file__).resolve().parent

SEED = 20230131
TEST_SCENES = 500
TEST_QUESTIONS = 1000
TRAIN_SCENES = 5000
LIST_SCENES = 500
LIST_ANSWERS = 12
STEPS = 800
BATCH = 32
PEAK_RATE = 1e-3

TEMPLATE = "Question: {question} Short answer:"
DECODING: dict[str, Any] = {
    "do_sample": False,
    "num_beams": 5,
    "max_new_tokens": 10,
    "min_new_tokens": 1,
    "length_penalty": -1.0,
    "repetition_penalty": 1.0,
}

RANKING: dict[str, Any] = {"strategy": "rank", "length_penalty": -1.0}


def main() -> None:
    """Do what the command line asks for."""
    arguments = _command_line().parse_args()
    captioner._make_deterministic()
    out: Path = arguments.out
    model_folder, parquet = out / "answerer", out / "data" / "test.parquet"
    listed, reported = out / "answers.txt", out / "reported.json"
    if not (arguments.report_only or arguments.report_ranked):
        write_test_split(parquet)
        write_answers(listed)
        train(model_folder, steps=arguments.steps, scene_count=arguments.train_scenes)
    if not arguments.no_report:
        known = arguments.report_ranked
        numbers = json.loads(reported.read_text(encoding="utf-8")) if known else measure(model_folder, parquet)
        numbers["ranked"] = measure_ranked(model_folder, parquet, listed)
        reported.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
        print(_table(numbers))


def _command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "answering", help="folder to write to (default: answering)")
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps (%(default)s)")
    parser.add_argument("--train-scenes", type=int, default=TRAIN_SCENES, help="scenes to train on (%(default)s)")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--report-only", action="store_true", help="train nothing, measure the model in --out")
    only.add_argument("--report-ranked", action="store_true", help="measure only the ranking of the closed list")
    only.add_argument("--no-report", action="store_true", help="measure nothing")
    return parser


# --- data ---------------------------------------------------------------------------------------


def write_test_split(parquet: Path) -> None:
    """The test split: two questions about each picture, with ten answers each, as VQAv2 has them."""
    columns: dict[str, list[Any]] = {
        name: [] for name in ("question_id", "image", "question", "question_type", "answers", "split")
    }
    for index in range(TEST_SCENES):
        example = scenes.example("test", index)
        picture = {"bytes": captioner._png(example.image), "path": f"shapes-{index:04d}.png"}
        for number, question in enumerate(questions.ask(example.scene, "test", index)[: TEST_QUESTIONS // TEST_SCENES]):
            columns["question_id"].append(f"{index:04d}{number}")
            columns["image"].append(picture)
            columns["question"].append(question.text)
            columns["question_type"].append(question.kind)
            columns["answers"].append(list(question.answers))
            columns["split"].append("test")
    text = datasets.Value("string")
    kinds = {"image": datasets.Image(), "answers": [text]}
    features = datasets.Features({name: kinds.get(name, text) for name in columns})
    parquet.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_dict(columns, features=features).to_parquet(parquet)
    print(f"{parquet}: {len(columns['question'])} questions, {parquet.stat().st_size:,} bytes")


def write_answers(path: Path) -> None:
    """The closed list: the most frequent right answers to questions about training scenes, as VQA's lists are made."""
    asked = [questions.ask(scenes.example("train", index).scene, "train", index) for index in range(LIST_SCENES)]
    counted = Counter(question.answer for about in asked for question in about)
    answers = sorted(counted, key=lambda answer: (-counted[answer], answer))[:LIST_ANSWERS]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{answer}\n" for answer in answers), encoding="utf-8")
    print(f"{path}: {len(answers)} of {len(counted)} answers")


# --- training -----------------------------------------------------------------------------------


def train(folder: Path, *, steps: int, scene_count: int) -> None:
    """Train the captioner on questions, and save model and processor in the hub's layout."""
    started = time.monotonic()
    processor = transformers.Blip2Processor.from_pretrained(HERE / "model", backend="pil")
    tokenizer = processor.tokenizer
    load: Any = transformers.Blip2ForConditionalGeneration
    model = load.from_pretrained(HERE / "model", dtype=torch.float32)
    examples = [scenes.example("train", index) for index in range(scene_count)]
    pixels = processor.image_processor([example.image for example in examples], return_tensors="pt").pixel_values
    asked = [questions.ask(example.scene, "train", index) for index, example in enumerate(examples)]
    print(f"{scene_count} scenes, {sum(map(len, asked))} questions, {time.monotonic() - started:.0f} s")
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: captioner._rate(step, steps))
    batches = random.Random(SEED)
    model.train()
    for step in range(1, steps + 1):
        chosen = batches.choices(range(scene_count), k=BATCH)
        pairs = [_token_ids(tokenizer, batches.choice(asked[index])) for index in chosen]
        ids = captioner._padded([prompt + answer for prompt, answer in pairs], tokenizer)
        mask = (ids != tokenizer.pad_token_id).long()
        labels = ids.masked_fill(mask == 0, -100)
        for row, (prompt, _) in enumerate(pairs):
            labels[row, : len(prompt)] = -100  # the question is given, not to be learned
        output = model(pixel_values=pixels[chosen], input_ids=ids, attention_mask=mask, labels=labels)
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0 or step == steps:
            print(
                f"step {step}/{steps}  answers {output.loss.item():.4f}  {time.monotonic() - started:.0f} s", flush=True
            )
    captioner._save(folder, model.eval(), processor)


def _token_ids(tokenizer: Any, question: questions.Question) -> tuple[list[int], list[int]]:
    """The prompt, with the image's placeholders, and the answer with its end."""
    image = [captioner._token_id(tokenizer, captioner.IMAGE_TOKEN)] * captioner.IMAGE_TOKENS
    prompt = TEMPLATE.format(question=question.text)
    answer = f" {question.answer}{captioner.END_OF_CAPTION}"
    return [*image, *tokenizer(prompt).input_ids], tokenizer(answer, add_special_tokens=False).input_ids


# --- measuring ----------------------------------------------------------------------------------


def measure(model_folder: Path, parquet: Path) -> dict[str, Any]:
    """What the claims say of the saved model on the saved split, and all that it depends on."""
    rows = pyarrow.parquet.read_table(parquet).to_pylist()
    started = time.monotonic()
    answers = _answer_all(model_folder, rows)
    seconds = time.monotonic() - started
    return {
        **_scores(rows, answers),
        "unit": "fraction",
        "questions": len(rows),
        "protocol": {
            "prompt": TEMPLATE,
            "image": {"size": captioner.IMAGE_SIZE, "resize": "bicubic"},
            "decoding": DECODING,
            "precision": "float32",
            "batch_size": 1,
        },
        "distinct_answers": len(set(answers)),
        "seconds_to_answer": round(seconds, 1),
        "sha256": {
            "model.safetensors": captioner._sha256(model_folder / "model.safetensors"),
            "test.parquet": captioner._sha256(parquet),
        },
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


@torch.inference_mode()
def _answer_all(model_folder: Path, rows: list[dict[str, Any]]) -> list[str]:
    """The answers, in the order of the rows."""
    processor = transformers.Blip2Processor.from_pretrained(model_folder, backend="pil")
    load: Any = transformers.Blip2ForConditionalGeneration
    model = load.from_pretrained(model_folder, dtype=torch.float32).eval()
    answers: list[str] = []
    for index, row in enumerate(rows, start=1):
        image = Image.open(io.BytesIO(row["image"]["bytes"]))
        prompt = TEMPLATE.format(question=row["question"])
        inputs = processor(images=image, text=prompt, return_tensors="pt")
        output = model.generate(**inputs, **DECODING)
        new = output[0, inputs["input_ids"].shape[1] :]  # generate returns the prompt, too
        answers.append(processor.decode(new, skip_special_tokens=True).strip())
        if index % 100 == 0:
            print(f"{index}/{len(rows)}  {row['question']} {answers[-1]}", flush=True)
    return answers


def measure_ranked(model_folder: Path, parquet: Path, listed: Path) -> dict[str, Any]:
    """What the claims say of the ranking of the closed list, and the list that it depends on."""
    rows = pyarrow.parquet.read_table(parquet).to_pylist()
    answers = listed.read_text(encoding="utf-8").splitlines()
    started = time.monotonic()
    chosen = _rank_all(model_folder, rows, answers)
    seconds = time.monotonic() - started
    found = _scores(rows, chosen)
    return {
        "vqa_accuracy": found["vqa_accuracy"],
        "exact_match": found["exact_match"],
        "decoding": RANKING,
        "answers": len(answers),
        "distinct_answers": len(set(chosen)),
        "seconds_to_answer": round(seconds, 1),
        "sha256": captioner._sha256(listed),
    }


@torch.inference_mode()
def _rank_all(model_folder: Path, rows: list[dict[str, Any]], answers: list[str]) -> list[str]:
    """The best answer of the list to each question: every answer is given to the model alone, behind image and question."""
    processor = transformers.Blip2Processor.from_pretrained(model_folder, backend="pil")
    load: Any = transformers.Blip2ForConditionalGeneration
    model = load.from_pretrained(model_folder, dtype=torch.float32).eval()
    best: list[str] = []
    for index, row in enumerate(rows, start=1):
        image = Image.open(io.BytesIO(row["image"]["bytes"]))
        prompt = TEMPLATE.format(question=row["question"])
        given = processor(images=image, text=prompt, return_tensors="pt")
        start = given["input_ids"].shape[1]
        scores: list[float] = []
        for answer in answers:
            said = f" {answer}{captioner.END_OF_CAPTION}"
            tokens = processor.tokenizer(said, add_special_tokens=False, return_tensors="pt").input_ids
            ids = torch.cat((given["input_ids"], tokens), 1)
            output = model(pixel_values=given["pixel_values"], input_ids=ids, attention_mask=torch.ones_like(ids))
            steps = output.logits[0, start - 1 : -1].log_softmax(-1)
            total = steps.gather(1, tokens[0, :, None]).sum().item()
            scores.append(total / tokens.shape[1] ** RANKING["length_penalty"])
        best.append(answers[scores.index(max(scores))])
        if index % 100 == 0:
            print(f"{index}/{len(rows)}  {row['question']} {best[-1]}", flush=True)
    return best


def _scores(rows: list[dict[str, Any]], given: list[str]) -> dict[str, float]:
    """VQA accuracy by its rule, and the share of answers that somebody gave word by word; of all, and of each type."""
    kinds = ["all", *sorted({row["question_type"] for row in rows})]
    found: dict[str, float] = {}
    for kind in kinds:
        pairs = [
            (row["answers"], answer)
            for row, answer in zip(rows, given, strict=True)
            if kind in ("all", row["question_type"])
        ]
        vqa = sum(_vqa(answers, answer) for answers, answer in pairs) / len(pairs)
        found["vqa_accuracy" if kind == "all" else f"vqa_accuracy {kind}"] = vqa
        if kind == "all":
            found["exact_match"] = sum(_plain(a) in map(_plain, answers) for answers, a in pairs) / len(pairs)
    return found


def _vqa(answers: list[str], answer: str) -> float:
    """The rule of Antol et al. (2015): leave one of the ten people out, and ask whether three of the others agree."""
    people = [_plain(text) for text in answers]
    return sum(min(1.0, sum(p == _plain(answer) for p in [*people[:i], *people[i + 1 :]]) / 3) for i in range(10)) / 10


def _plain(text: str) -> str:
    """An answer of this data set: lower case, no full stop, no article, digits for numbers. There is nothing else in it."""
    words = re.sub(r"[.]", "", text.lower()).split()
    digits = {word: str(number) for number, word in enumerate(questions.NUMBERS)}
    return " ".join(digits.get(word, word) for word in words if word not in ("a", "an", "the"))


def _table(numbers: dict[str, Any]) -> str:
    """The rows for README.md; the claims beside it cite them, so change both together."""
    lines = ["| model | VQA acc. | exact match |", "| --- | --- | --- |"]
    for label, found in (("BLIP-2 shapes", numbers), ("BLIP-2 shapes, closed list", numbers["ranked"])):
        cells = " | ".join(f"{100 * found[name]:.1f}" for name in ("vqa_accuracy", "exact_match"))
        lines.append(f"| {label} | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
