"""The mistakes of a first hour with claim files: each gets the hint that helps, with either of PyYAML's parsers."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pytest_claims.errors import SpecError
from pytest_claims.spec import loads

TEXT = """\
paper:
  arxiv_id: "2301.12597"
  title: A paper
protocol:
  dataset: {id: data, images: 1000}
  prompt: a photo of
  decoding: {strategy: beam, num_beams: 5}
  precision: float16
  metric: coco-caption
run:
  evaluator: predictions
  predictions: {path: p.json}
  references: {path: r.json}
claims:
  - id: one
    citation: {section: Table 3, row: ours, column: B@4, quoted_text: ours 43.7}
    reported:
      metric: bleu4
      value: 43.7
      unit: percent
    tolerance: {pass: 1.0, partial: 35%}
"""

MISTAKES = {
    # as written: (what stands there, what somebody writes, the hint)
    "a comma as the decimal point": ("value: 43.7", "value: 43,7", "did you mean 43.7? A point separates the decimals"),
    "thousands": ("value: 43.7", "value: 107,130,880", "did you mean 107130880? Write it without commas"),
    "a number with its unit": ("value: 43.7", "value: 43.7 %", "did you mean 43.7? The unit stands under unit"),
    "a number in quotes": ("images: 1000", 'images: "1000"', "did you mean 1000, without quotes?"),
    "a comma between braces": ("pass: 1.0", "pass: 1,0", "did you mean pass: 1.0? Between braces a comma separates keys"),
    "text with a comma between braces": (
        "quoted_text: ours 43.7",
        "quoted_text: ours, 43.7",
        'so text with a comma needs quotes: quoted_text: "ours, 43.7"',
    ),
    "a percentage in words": ("35%", "35 percent", "did you mean 35%?"),
    "a sign as the unit": ("unit: percent", 'unit: "%"', "did you mean 'percent'?"),
    "a sign without quotes": ("unit: percent", "unit: %", "begins with '%' needs quotes; the unit is written percent"),
    "an abbreviated unit": ("unit: percent", "unit: M", "did you mean 'million'?"),
    "BLEU-4": ("metric: bleu4", "metric: BLEU-4", "unknown metric 'BLEU-4', did you mean 'bleu4'?"),
    "B@4": ("metric: bleu4", "metric: B@4", "did you mean 'bleu4'?"),
    "CIDEr-D": ("metric: bleu4", "metric: CIDEr-D", "did you mean 'cider'?"),
    "ROUGE-L": ("metric: bleu4", "metric: ROUGE-L", "did you mean 'rouge_l'?"),
    "fp16": ("float16", "fp16", "did you mean 'float16'?"),
    "beam search": ("strategy: beam", "strategy: beam search", "did you mean 'beam'?"),
    "an id without quotes": ('"2301.12597"', "2301.12597", 'expected text, got 2301.12597; in quotes it is text: "2301.12597"'),
    "a quotation without quotes": ("quoted_text: ours 43.7", "quoted_text: 43.7", 'in quotes it is text: "43.7"'),
    "a word that YAML reads": ("row: ours", "row: true", 'in quotes it is text: "true"'),
    "a colon": ("title: A paper", "title: BLIP-2: A paper", "needs quotes: title: \"BLIP-2: A paper\""),
    "a colon between braces": ("row: ours", "row: ours: large", "between braces, too, a value that has ': ' in it"),
    "a backtick": ("title: A paper", "title: `A` paper", "a value that begins with '`' needs quotes"),
    "a star": ("title: A paper", "title: *A* paper", "a value that begins with '*' or '&' needs quotes"),
}  # fmt: skip


@pytest.fixture(params=["libyaml", "pure Python"])
def _parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either of PyYAML's parsers."""
    if request.param == "pure Python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)


@pytest.mark.usefixtures("_parser")
@pytest.mark.parametrize(("before", "after", "hint"), MISTAKES.values(), ids=MISTAKES)
def test_hints(before: str, after: str, hint: str) -> None:
    """One problem, in the line of the mistake, with what was probably meant."""
    assert before in TEXT
    text = TEXT.replace(before, after, 1)
    with pytest.raises(SpecError) as caught:
        loads(text.encode(), path=Path("x.yaml"), display="x.yaml")
    line = text[: text.index(after)].count("\n") + 1
    (problem,) = [found for found in caught.value.problems if "quoted_text does not contain" not in found]
    assert problem.startswith(f"x.yaml:{line}: ")
    assert hint in problem


def test_the_text_itself_is_good() -> None:
    """Without a mistake nothing is said."""
    assert loads(TEXT.encode(), path=Path("x.yaml"), display="x.yaml")
