"""How fast questions are answered, and how that compares with `generate`.

    python benchmarks/answering.py
    python benchmarks/answering.py --questions 256 --write

Two ways to answer the same questions of claims/shapes/answering with the same model and the paper's decoding (5 beams, length
penalty -1), each from encoded files and from the questions as text:

a. `generate` in batches of 16, where the processor pads shorter prompts on the left;
b. pytest-claims' beam search, 16 questions at a time, with a prompt for each.

The ways take turns (benchmarks/rounds.py). The tokens of both are compared with those of `generate` on one question at a time.
`--write` puts the result into docs/performance.md.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import torch
import transformers
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import rounds  # noqa: E402 - the checkout is measured, installed or not
from pytest_claims import libraries  # noqa: E402 - as above
from pytest_claims.beam import BeamSearch, BeamSettings  # noqa: E402 - as above

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    Answers = dict[str, tuple[int, ...]]

DOCUMENT = ROOT / "docs" / "performance.md"
FOLDER = ROOT / "claims" / "shapes" / "answering"
TEMPLATE = "Question: {question} Short answer:"
BATCH = 16
DECODING: dict[str, Any] = {
    "do_sample": False,
    "num_beams": 5,
    "max_new_tokens": 10,
    "min_new_tokens": 1,
    "length_penalty": -1.0,
    "repetition_penalty": 1.0,
}


class Work:
    """The model, the questions, and the ways to answer them.

    Args:
        count: how many questions.
    """

    def __init__(self, count: int) -> None:
        datasets.disable_progress_bars()
        quiet: Any = transformers.logging.set_verbosity_error
        quiet()
        load: Any = transformers.Blip2Processor
        self.processor = load.from_pretrained(FOLDER / "answerer", backend="pil")
        load = transformers.Blip2ForConditionalGeneration
        self.model = load.from_pretrained(FOLDER / "answerer", dtype=torch.float32).eval()
        rows = datasets.load_dataset("parquet", data_files=str(FOLDER / "data" / "test.parquet"), split="train")
        rows = rows.cast_column("image", datasets.Image(decode=False)).select(range(min(count, len(rows))))
        self.rows: list[Any] = list(rows)
        make: Any = transformers.GenerationConfig
        stored = self.model.generation_config
        self.config = make(**DECODING, eos_token_id=stored.eos_token_id, pad_token_id=stored.pad_token_id)
        self.processor.tokenizer.padding_side = "left"
        self._search: BeamSearch | None = None

    def stock(self, batch: int) -> Answers:
        """`generate`, `batch` questions at a time."""
        found: Answers = {}
        for start in range(0, len(self.rows), batch):
            rows = self.rows[start : start + batch]
            inputs = self.processor(
                images=[_picture(row) for row in rows],
                text=[TEMPLATE.format(question=row["question"]) for row in rows],
                padding=True,
                return_tensors="pt",
            )
            output = self.model.generate(**inputs, generation_config=self.config)
            for row, tokens in zip(rows, output[:, inputs["input_ids"].shape[1] :].tolist(), strict=True):
                ends = [n + 1 for n, token in enumerate(tokens) if token == self.config.eos_token_id]
                found[row["question_id"]] = tuple(tokens[: min(ends, default=len(tokens))])
        return found

    def ours(self) -> Answers:
        """The beam search. It is built anew each time, as in a run, since its prompts are tokenised then."""
        texts = [TEMPLATE.format(question=row["question"]) for row in self.rows]
        ids = self.processor(images=[Image.new("RGB", (32, 32))], text=texts)["input_ids"]
        prompts = {row["question_id"]: tuple(tokens) for row, tokens in zip(self.rows, ids, strict=True)}
        settings = BeamSettings.from_generation_config(self.config)
        search = BeamSearch(self.model, settings, input_ids=prompts, slots=BATCH)
        return dict(search.run(self._pixels()))

    def _pixels(self) -> Iterator[tuple[str, Tensor]]:
        for row in self.rows:
            values = self.processor.image_processor(images=[_picture(row)], return_tensors="pt")["pixel_values"]
            yield row["question_id"], values[0]


def _picture(row: Any) -> Image.Image:
    return Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Answering, two ways side by side.")
    parser.add_argument("--questions", type=int, default=128, help="how many questions (default: 128)")
    parser.add_argument("--rounds", type=int, default=rounds.FEWEST, help="how often (default: 9; plus one to warm up)")
    parser.add_argument("--write", action="store_true", help="also replace the section of docs/performance.md")
    options = parser.parse_args()
    if options.write and options.rounds < rounds.FEWEST:
        parser.error(f"--write needs --rounds {rounds.FEWEST} or more")
    rounds.pin(1)
    libraries.keep_freed_memory()
    where = rounds.machine()
    work = Work(options.questions)
    alone = work.stock(1)
    took, found = rounds.in_turns({"a": lambda: work.stock(BATCH), "b": work.ours}, rounds=options.rounds)
    told = {
        "a": f"(a) `generate` in batches of {BATCH}, padded on the left",
        "b": f"(b) ours, {BATCH} questions at a time",
    }
    lengths = [len(tokens) for tokens in found["b"].values()]
    same = {name: sum(tokens == alone[row] for row, tokens in answers.items()) for name, answers in found.items()}
    arguments = " ".join(argument for argument in sys.argv[1:] if argument != "--write")
    versions = f"torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__}"
    command = f"python benchmarks/answering.py {arguments}".strip()
    lines = [
        f"`{command}`: {len(lengths)} questions, {options.rounds} rounds.",
        f"Machine: {where}. One thread, processor time. {versions}.",
        f"Answers: {statistics.mean(lengths):.2f} tokens. Of (a), {same['a']} are those of `generate` on the question alone,",
        f"of (b), {same['b']}.",
        "",
        "| way | processor time | time over ours |",
        "| --- | --- | --- |",
    ]
    for name, text in told.items():
        ratio = "" if name == "b" else rounds.ratios(took[name], took["b"], "cpu").ratio()
        lines.append(f"| {text} | {rounds.middle([one.cpu for one in took[name]]).seconds()} | {ratio} |")
    least = min(above.cpu / below.cpu for above, below in zip(took["a"], took["b"], strict=True))
    lines += ["", f"The smallest ratio of a round is {least:.2f}."]
    text = "\n".join(filter(None, ["\n".join(lines), rounds.warn_of_few(options.rounds)]))
    print(text)
    if options.write:
        rounds.rewrite(DOCUMENT, "answering", text)


if __name__ == "__main__":
    main()
