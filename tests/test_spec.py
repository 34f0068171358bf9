"""Claim files: what is read from them, and what is said about those that are not right."""

from __future__ import annotations

import json
import os
import re
from dataclasses import FrozenInstanceError
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_claims.errors import SpecError
from pytest_claims.spec import METRICS, Claim, MetricInfo, PredictionsRun, load, loads, nodes, schema, to_unit, units
from tests.builders import claim_file, parameters

SHIPPED = sorted((Path(__file__).parents[1] / "claims").rglob("*.yaml"))

# Two claims that share protocol and run, so that a mistake in a shared section would show up twice. Tests count on the lines.
TEXT = """\
paper:
  arxiv_id: "2301.12597"
  title: A paper
protocol:
  checkpoint: {id: org/model, revision: null}
  dataset:
    id: org/data
    where: {split: test}
    images: 1000
  image: {size: 224, resize: bicubic}
  prompt: a photo of
  decoding:
    strategy: beam
    num_beams: 5
    max_new_tokens: 30
    min_new_tokens: 1
    length_penalty: 1.0
    early_stopping: false
  precision: float16
  metric: coco-caption
run:
  evaluator: captioning
  columns: {image: image, references: caption, id: filename}
  sample: {size: 100, seed: 0}
  requires: {device: cuda}
claims:
  - id: first
    citation: {section: Table 3, row: ours, column: B@4, quoted_text: ours 43.7}
    reported: {metric: bleu4, value: 43.7, unit: percent}
    tolerance: {pass: 1.0, partial: 35%}
  - id: second
    citation: {section: Table 3, row: ours, column: CIDEr, quoted_text: ours 145.8}
    reported: {metric: cider, value: 145.8, unit: percent}
    tolerance: {pass: 1.0, partial: 35%}
    protocol:
      image: {size: 364}
    run:
      sample: {seed: 7}
"""

SECOND = TEXT[TEXT.index("  - id: second") :]
CLAIMS = TEXT[TEXT.index("  - id: first") :]
PAPER = TEXT[: TEXT.index("protocol:")]

Change = tuple[str, str]


def changed(*changes: Change) -> str:
    """`TEXT` with each first text, which must be in it, written as the second."""
    text = TEXT
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    return text


def read(content: str | bytes) -> tuple[Claim, ...]:
    """The claims of a file with this content."""
    data = content if isinstance(content, bytes) else content.encode()
    return loads(data, path=Path("claims/x.yaml"), display="claims/x.yaml")


def problems(content: str | bytes) -> str:
    """The whole message about a file with this content."""
    with pytest.raises(SpecError) as caught:
        read(content)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return str(caught.value)


def first(*changes: Change) -> Claim:
    """The first claim of the changed file."""
    return read(changed(*changes))[0]


@pytest.fixture(params=["libyaml", "pure Python"])
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Either of PyYAML's parsers: which one is there depends on how it was built."""
    if request.param == "libyaml":
        pytest.importorskip("yaml._yaml")
    else:
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    return str(request.param)


# --- what is read


def test_claims_share_sections_and_override_single_keys() -> None:
    """A claim has the file's protocol and run, with those single keys changed that it gives itself."""
    one, two = read(TEXT)
    assert (one.id, one.where, two.id, two.where) == ("first", "claims/x.yaml:27", "second", "claims/x.yaml:31")
    assert one.protocol.image is not None
    assert two.protocol.image is not None
    assert (one.protocol.image.size, two.protocol.image.size) == (224, 364)
    assert two.protocol.image.resize == "bicubic"
    assert two.protocol.model_dump(exclude={"image"}) == one.protocol.model_dump(exclude={"image"})
    assert (one.run.model_dump()["sample"], two.run.model_dump()["sample"]) == (
        {"size": 100, "seed": 0},
        {"size": 100, "seed": 7},
    )
    assert (one.overrides, two.overrides) == ({}, {})


def test_a_run_overrides_the_protocol() -> None:
    """Keys of the protocol that stand in run are what is done differently here; the paper's protocol stays as it is."""
    claim = first(("  requires:", "  prompt: ''\n  decoding: {num_beams: 3}\n  requires:"))
    assert claim.overrides == {"prompt": "", "decoding": {"num_beams": 3}}
    assert claim.protocol.prompt == "a photo of"
    assert claim.protocol.decoding is not None
    assert claim.protocol.decoding.num_beams == 5


def test_claims_are_immutable() -> None:
    """A claim cannot be changed after it was read."""
    claim = first()
    with pytest.raises(FrozenInstanceError):
        claim.__setattr__("id", "other")
    with pytest.raises(ValueError, match="frozen"):
        claim.reported.unit = "fraction"


@pytest.mark.parametrize(
    ("written", "half"),
    [
        ("43.7", "0.05"),
        ("43.70", "0.005"),
        ("43.", "0.5"),
        ("43", "0.5"),
        ("+43.7", "0.05"),
        (".5", "0.05"),
        ("1e-2", "0.005"),
        ("4.37e1", "0.05"),
        ("0", "0.5"),
    ],
)
def test_numbers_keep_their_printed_digits(written: str, half: str) -> None:
    """A reported number is kept as it was printed: text, exact value, and half of its last digit."""
    claim = first(("43.7,", f"{written},"), ("ours 43.7", f"ours {written}"), ("pass: 1.0", "pass: 0"))
    assert claim.reported.value.text == written
    assert claim.reported.value.value == Decimal(written)
    assert claim.reported.value.half_digit == Decimal(half)


@pytest.mark.parametrize(
    ("written", "around"), [("1.0", "1.0"), ("35%", "15.295"), ("35 %", "15.295"), ("2.5%", "1.0925"), ("10", "10")]
)
def test_a_band_is_an_amount_or_a_percentage(written: str, around: str) -> None:
    """A tolerance is in the reported unit, or a percentage of the reported value."""
    claim = first(("pass: 1.0, partial: 35%", f"pass: 0, partial: {written}"))
    assert claim.tolerance.partial.around(claim.reported.value.value) == Decimal(around)


@pytest.mark.parametrize(
    "written",
    ["no", "yes", "on", "off", "y", "N", "12:30", "2023-01-30", "0x10", "1_000", ".inf", ".nan", "0o7", "=", "1e999"],
)
def test_what_yaml_1_1_turns_into_something_else_stays_text(written: str) -> None:
    """Words, times, dates and numbers in other notations are text, as they are written."""
    assert first(("prompt: a photo of", f"prompt: {written}")).protocol.prompt == written


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("null", None), ("~", None), ("", None), ("true", True), ("False", False), ("12", 12), ("-3", -3), ("007", 7),
        ("1e-2", 0.01), ("1.50", 1.5), ("'12'", "12"), ('"true"', "true"), ("|\n  x", "x\n"), ("nullx", "nullx"),
    ],
)  # fmt: skip
def test_plain_values(loader: str, written: str, value: object) -> None:
    """Null, true, false and decimal numbers are values where they are not quoted; everything else is text."""
    parsed = nodes.parse(f"key: {written}\n".encode(), "x.yaml").value["key"]
    assert (parsed, type(parsed) is nodes.Digits or type(parsed)) == (
        value,
        isinstance(value, float) or type(value),
    ), loader


def test_numbers_are_not_accepted_as_text_nor_text_as_numbers() -> None:
    """The reader converts no value: an unquoted arXiv id is a number, a quoted value is text, 5.0 is no whole number."""
    content = changed(
        ('"2301.12597"', "2301.12590"), ("43.7,", '"43.7",'), ("num_beams: 5", "num_beams: 5.0"),
        ("images: 1000", "images: true"),
    )  # fmt: skip
    assert problems(content) == (
        'claims/x.yaml:2: paper.arxiv_id: expected text, got 2301.12590; in quotes it is text: "2301.12590"\n'
        "claims/x.yaml:9: protocol.dataset.images: expected a whole number, got true\n"
        "claims/x.yaml:14: protocol.decoding.num_beams: expected a whole number, got 5.0\n"
        "claims/x.yaml:29: claims[0].reported.value: expected a number as the paper prints it, such as 43.7, got '43.7', "
        "did you mean 43.7, without quotes?"
    )


@pytest.mark.parametrize("written", [".inf", ".nan", "-.inf", "0x10", "1_000", "12:30", "1e999", "'43.7'", "no"])
def test_what_is_no_printed_number(written: str) -> None:
    """Infinity, NaN, other notations and quoted numbers are no reported value."""
    shown = written.strip("'")
    assert problems(changed(("value: 43.7", f"value: {written}"))) == (
        "claims/x.yaml:29: claims[0].reported.value: expected a number as the paper prints it, such as 43.7, "
        f"got '{shown}'{', did you mean 43.7, without quotes?' if shown == '43.7' else ''}"
    )


# --- the digest


def test_formatting_does_not_change_the_digest() -> None:
    """Comments, the order of keys, quotes, flow or block style, line ends and notes leave a claim's digest as it is."""
    digests = [claim.digest for claim in read(TEXT)]
    value = nodes.parse(TEXT.encode(), "x").value
    backwards = {key: value[key] for key in reversed(value)}
    assert [claim.digest for claim in read(json.dumps(backwards).replace("NaN", ""))] == digests
    assert [claim.digest for claim in read(TEXT.replace("\n", "   # a comment\n"))] == digests
    assert [claim.digest for claim in read(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())] == digests
    assert [claim.digest for claim in read(TEXT.replace("quoted_text", "notes: new, quoted_text"))] == digests
    assert [claim.digest for claim in read(TEXT.replace("length_penalty: 1.0", "length_penalty: 1"))] == digests
    run = "run:\n  decoding: {length_penalty: 0.0}\n"
    assert first(("run:\n", run)).digest == first(("run:\n", run.replace("0.0", "0"))).digest != digests[0]


@pytest.mark.parametrize(
    "changes",
    [
        [("value: 43.7", "value: 43.70"), ("ours 43.7", "ours 43.70")],
        [("value: 43.7", "value: 43.8"), ("ours 43.7", "ours 43.8")],
        [
            ("unit: percent", "unit: fraction"),
            ("value: 43.7", "value: 0.7"),
            ("ours 43.7", "ours 0.7"),
            ("1.0, p", "0, p"),
        ],
        [("metric: bleu4", "metric: bleu3"), ("column: B@4", "column: B@3")],
        [("pass: 1.0", "pass: 1.1")],
        [("partial: 35%", "partial: 36%")],
        [("partial: 35%", "partial: 35%, min_sample: 5")],
        [("    tolerance:", "    expect: fail\n    tolerance:")],
        [("    tolerance:", "    direction: at_least\n    tolerance:")],
        [("num_beams: 5", "num_beams: 4")],
        [("prompt: a photo of", "prompt: a picture of")],
        [("split: test", "split: val")],
        [("size: 100", "size: 200")],
        [("evaluator: captioning", "evaluator: captioning\n  prompt: a photo")],
        [("Table 3", "Table 4")],
        [("2301.12597", "2301.12598")],
        [("id: first", "id: third")],
    ],
    ids=lambda changes: changes[0][1].strip(),
)
def test_what_decides_the_verdict_changes_the_digest(changes: list[Change]) -> None:
    """Value, printed digits, unit, metric, tolerance, expectation, protocol, run, cell, paper and id are in the digest."""
    assert first(*changes).digest != first().digest


def test_printed_digits_are_in_the_digest() -> None:
    """43.70 is another claim than 43.7, whatever the quotation says."""
    both = ("ours 43.7", "ours 43.7 (43.70)")
    assert first(both, ("value: 43.7", "value: 43.70")).digest != first(both).digest


# --- single mistakes, each named once, where it stands


KNOWN = ", ".join(sorted(METRICS))

MISTAKES: dict[str, tuple[list[Change], str]] = {
    "misspelt key of a claim": (
        [("    tolerance:", "    tolerence:")],
        "30: unknown key 'tolerence' in claims[0], did you mean 'tolerance'?",
    ),
    "misspelt key of a shared section": (
        [("num_beams: 5", "num_beam: 5")],
        "14: unknown key 'num_beam' in protocol.decoding, did you mean 'num_beams'?",
    ),
    "misspelt key of a shared run": (
        [("size: 100", "size: 100, sed: 1")],
        "24: unknown key 'sed' in run.sample, did you mean 'seed'?",
    ),
    "misspelt key of the protocol in a run": (
        [("  requires:", "  promt: x\n  requires:")],
        "25: unknown key 'promt' in run, did you mean 'prompt'?",
    ),
    "misspelt key of a claim's own run": (
        [("sample: {seed: 7}", "sample: {sede: 7}")],
        "38: unknown key 'sede' in claims[1].run.sample, did you mean 'seed'?",
    ),
    "misspelt key of a claim's own protocol": (
        [("image: {size: 364}", "image: {siz: 364}")],
        "36: unknown key 'siz' in claims[1].protocol.image, did you mean 'size'?",
    ),
    "misspelt shared section": (
        [("protocol:\n", "protocl:\n")],
        "4: unknown key 'protocl' in the file, did you mean 'protocol'?",
    ),
    "misspelt run": ([("run:\n", "runs:\n")], "21: unknown key 'runs' in the file, did you mean 'run'?"),
    "misspelt claims": ([("claims:\n", "claim:\n")], "26: unknown key 'claim' in the file, did you mean 'claims'?"),
    "misspelt evaluator key": (
        [("evaluator:", "evaluater:")],
        "22: unknown key 'evaluater' in run, did you mean 'evaluator'?",
    ),
    "foreign key": (
        [("paper:\n", "paper:\n  quux: 1\n")],
        ("2: unknown key 'quux' in paper; known: arxiv_id, title, abstract, primary_category, venue, published_at, "
        "latest_version, withdrawn, source_url, source, rendered_html_url, rendering_engine"),
    ),
    "foreign key of the file": (
        [("paper:\n", "quux: 1\npaper:\n")],
        "1: unknown key 'quux' in the file; known: paper, protocol, run, claims",
    ),
    "duplicate key": (
        [("num_beams: 5", "num_beams: 5\n    num_beams: 4")],
        "15: duplicate key 'num_beams' in protocol.decoding, first given in line 14",
    ),
    "duplicate section": (
        [("run:\n", "paper: {}\nrun:\n")],
        "21: duplicate key 'paper' in the file, first given in line 1",
    ),
    "duplicate claim": ([("id: second", "id: first")], "31: duplicate claim id 'first', first given in line 27"),
    "no claims": ([(CLAIMS, "  []\n")],
        "26: claims: expected a list of at least one claim, got an empty list",
    ),
    "claims null": ([(CLAIMS, "")],
        "26: claims: expected a list of at least one claim, got nothing",
    ),
    "claims a mapping": ([(CLAIMS, "  id: x\n")],
        "26: claims: expected a list of at least one claim, got a mapping",
    ),
    "claim a word": ([(SECOND, "  - third\n")], "31: claims[1]: expected a mapping, got 'third'"),
    "section a list": ([("    run:\n      sample: {seed: 7}", "    run: [sample]")],
        "37: claims[1].run: expected a mapping, got a list"),
    "paper null": ([(PAPER, "paper:\n")], "1: paper: expected a mapping, got nothing"),
    "no paper": (
        [(PAPER, "")],
        "1: the file lacks the required key 'paper'",
    ),
    "no title": ([("  title: A paper\n", "")], "1: paper lacks the required key 'title'"),
    "empty title": ([("A paper", "''")], "3: paper.title: expected text that is not empty, got ''"),
    "long title": (
        [("A paper", "x" * 20_001)],
        f"3: paper.title: expected at most 20,000 characters, got '{'x' * 59}…'",
    ),
    "no place of the numbers": (
        [('  arxiv_id: "2301.12597"\n', "")],
        "1: paper: without an arxiv_id it needs a source_url, where the numbers stand",
    ),
    "arxiv id with a version": (
        [("2301.12597", "2301.12597v3")],
        "2: paper.arxiv_id: expected an arXiv id without its version, such as '2301.12597', got '2301.12597v3'",
    ),
    "arxiv id in other digits": (
        [("2301.12597", "२३०१.१२५९७")],
        "2: paper.arxiv_id: expected an arXiv id without its version, such as '2301.12597', got '२३०१.१२५९७'",
    ),
    "claim id": (
        [("id: first", "id: the first")],
        ("27: claims[0].id: expected at most 120 letters, digits, '.', '_' and '-', the first a letter or a digit, "
        "got 'the first'"),
    ),
    "yes for true": (
        [("  title:", "  withdrawn: yes\n  title:")],
        "3: paper.withdrawn: expected true or false, got 'yes'",
    ),
    "page zero": ([("43.7}", "43.7, pdf_page: 0}")], "28: claims[0].citation.pdf_page: expected a number above 0, got 0"),
    "negative tokens": (
        [("min_new_tokens: 1", "min_new_tokens: -1")],
        "16: protocol.decoding.min_new_tokens: expected a number of at least 0, got -1",
    ),
    "penalty zero": (
        [("length_penalty: 1.0", "repetition_penalty: 0.0")],
        "17: protocol.decoding.repetition_penalty: expected a number above 0, got 0.0",
    ),
    "misspelt strategy": (
        [("strategy: beam", "strategy: bean")],
        "13: protocol.decoding.strategy: expected 'greedy', 'beam' or 'rank', got 'bean', did you mean 'beam'?",
    ),
    "one message per union": (
        [("early_stopping: false", "early_stopping: sometimes")],
        "18: protocol.decoding.early_stopping: expected true or false or 'never', got 'sometimes'",
    ),
    "list as a filter": (
        [("where: {split: test}", "where: {my split: [test]}")],
        "8: protocol.dataset.where.my split: expected text or a whole number or a number or true or false, got a list",
    ),
    "required key below a shared section": (
        [("    images: 1000\n", "")],
        "6: protocol.dataset lacks the required key 'images'",
    ),
    "no evaluator": ([("  evaluator: captioning\n", "")], ("21: run lacks the required key 'evaluator'\n"
                     "claims/x.yaml:36: claims[1].run lacks the required key 'evaluator'")),
    "misspelt evaluator": (
        [("evaluator: captioning", "evaluator: captoning")],
        ("22: run.evaluator: unknown evaluator 'captoning', did you mean 'captioning'?; "
        "known: answering, captioning, derived, parameters, predictions, retrieval"),
    ),
    "evaluator a list": (
        [("evaluator: captioning", "evaluator: [captioning]")],
        ("22: run.evaluator: unknown evaluator a list; "
        "known: answering, captioning, derived, parameters, predictions, retrieval"),
    ),
    "unstated prompt": (
        [("prompt: a photo of", "prompt: null"), (SECOND, "")],
        ("27: claims[0]: the evaluator captioning needs prompt; give it in protocol, or in run where the paper does not "
        'state it, "" for no prompt'),
    ),
    "unstated beams": (
        [("num_beams: 5", "num_beams: null")],
        ("14: protocol.decoding.num_beams: beam search needs a number of beams; give it in run where the paper does not "
        "state it"),
    ),
    "sample above the split": (
        [("size: 100", "size: 1001")],
        "24: run.sample.size: a sample of 1001 cannot be drawn from dataset.images, 1000",
    ),
    "sample above the split that is run": (
        [("  requires:", "  dataset: {images: 50}\n  requires:")],
        "24: run.sample.size: a sample of 100 cannot be drawn from dataset.images, 50",
    ),
    "own sample above the split": (
        [("sample: {seed: 7}", "sample: {size: 2000}")],
        "38: claims[1].run.sample.size: a sample of 2000 cannot be drawn from dataset.images, 1000",
    ),
    "beam search with one beam": (
        [("num_beams: 5", "num_beams: 1")],
        ("14: protocol.decoding.num_beams: beam search with one beam is greedy search; expected num_beams of 2 or more, "
        "or the strategy greedy"),
    ),
    "beam search with the default beam": (
        [("    num_beams: 5\n", "")],
        ("12: protocol.decoding: beam search with one beam is greedy search; expected num_beams of 2 or more, or the "
        "strategy greedy"),
    ),
    "beam search run with one beam": (
        [("  requires:", "  decoding: {num_beams: 1}\n  requires:")],
        ("25: run.decoding.num_beams: beam search with one beam is greedy search; expected num_beams of 2 or more, or "
        "the strategy greedy"),
    ),
    "greedy search with beams": (
        [("sample: {seed: 7}", "decoding: {strategy: greedy}")],
        "38: claims[1].run.decoding: greedy search has one beam, got num_beams 5",
    ),
    "lengths": (
        [("min_new_tokens: 1", "min_new_tokens: 31")],
        "16: protocol.decoding.min_new_tokens: min_new_tokens (31) is above max_new_tokens (30)",
    ),
    "family": (
        [("metric: coco-caption", "metric: coco-captions"), (SECOND, "")],
        ("20: protocol.metric: bleu4 is not computed as 'coco-captions', did you mean 'coco-caption'?; "
        "known: coco-caption"),
    ),
    "bands": (
        [("pass: 1.0, partial: 35%", "pass: 5, partial: 10%")],
        "30: the partial band (10%) is narrower than the pass band (5)",
    ),
    "negative band": (
        [("pass: 1.0", "pass: -1.0")],
        ("30: claims[0].tolerance.pass: expected a number in the reported unit, such as 1.0, or a percentage of the "
        "reported value, such as 35%; a band cannot be negative, got -1.0"),
    ),
    "band in words": (
        [("partial: 35%", "partial: 35 percent")],
        ("30: claims[0].tolerance.partial: expected a number in the reported unit, such as 1.0, or a percentage of the "
        "reported value, such as 35%, got '35 percent', did you mean 35%?"),
    ),
    "unit of another metric": (
        [("unit: percent", "unit: million")],
        "29: the unit 'million' does not fit the metric bleu4; expected percent or fraction",
    ),
    "misspelt unit": (
        [("unit: percent", "unit: percents")],
        (
            "29: claims[0].reported.unit: expected 'percent', 'fraction', 'million', 'billion', 'count' or 'times', "
            "got 'percents', did you mean 'percent'?"
        ),
    ),
    "misspelt metric": (
        [("metric: bleu4", "metric: bleu_4")],
        f"29: unknown metric 'bleu_4', did you mean 'bleu4'?; known: {KNOWN}",
    ),
    "above the metric's range": (
        [("value: 43.7", "value: 143.7"), ("ours 43.7", "ours 143.7")],
        "29: 143.7 percent lies outside the range of bleu4, 0 to 100",
    ),
    "above the metric's range in fractions": (
        [("unit: percent", "unit: fraction")],
        "29: 43.7 fraction lies outside the range of bleu4, 0 to 1",
    ),
    "below the metric's range": (
        [("value: 43.7", "value: -0.1"), ("ours 43.7", "ours -0.1"), ("pass: 1.0", "pass: 0")],
        "29: -0.1 percent lies outside the range of bleu4, 0 to 100",
    ),
    "quotation without the number": (
        [("quoted_text: ours 43.7", "quoted_text: ours 143.7 and 43.75")],
        "28: quoted_text does not contain the reported value 43.7: 'ours 143.7 and 43.75'",
    ),
    "quotation with other digits": (
        [("value: 43.7", "value: 43.70")],
        "28: quoted_text does not contain the reported value 43.70: 'ours 43.7'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "text"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_named_once_where_it_stands(changes: list[Change], text: str) -> None:
    """One mistake is one line: file, line, what it is, what was expected, the nearest valid name."""
    assert problems(changed(*changes)) == f"claims/x.yaml:{text}"


@pytest.mark.parametrize(
    ("quotation", "value", "metric", "unit"),
    [
        ("ours 43.7.", "43.7", "bleu4", "percent"),
        ("43.7, 145.8", "43.7", "bleu4", "percent"),
        ("(43.7%)", "43.7", "bleu4", "percent"),
        ("143.7 but ours 43.7", "43.7", "bleu4", "percent"),
        ("107,130,880 parameters", "107130880", "trainable_parameters", "count"),
        ("107M", "107", "trainable_parameters", "million"),
    ],
)
def test_quotations_that_hold_the_number(tmp_path: Path, quotation: str, value: str, metric: str, unit: str) -> None:
    """A number stands in a quotation with whatever punctuation, unit or thousands separators the paper prints."""
    counted = {"run": parameters()["run"]} if metric.endswith("parameters") else {}
    path = claim_file(
        tmp_path,
        **counted,
        citation__quoted_text=quotation,
        citation__column="the number",
        reported__value=Decimal(value),
        reported__metric=metric,
        reported__unit=unit,
    )
    assert load(path)[0].reported.value.text == value


@pytest.mark.parametrize("quotation", ["1,243.7", "3.43.7", "43.71", "43.7.1", "543.7"])
def test_quotations_that_hold_another_number(tmp_path: Path, quotation: str) -> None:
    """Digits inside a longer number are another number."""
    path = claim_file(tmp_path, citation__quoted_text=quotation)
    with pytest.raises(SpecError) as caught:
        load(path, display="claim.yaml")
    assert str(caught.value) == (f"claim.yaml:26: quoted_text does not contain the reported value 43.7: '{quotation}'")


def test_all_mistakes_at_once() -> None:
    """Every mistake of a file is reported in one go, in the order of the lines."""
    content = changed(
        ("title: A paper", "titel: A paper"), ("num_beams: 5", "num_beams: five"), ("size: 100", "size: 0"),
        ("    tolerance:", "    tolerence:"), ("metric: cider", "metric: wups"), ("unit: percent", "unit: points"),
    )  # fmt: skip
    assert problems(content) == (
        "claims/x.yaml:3: unknown key 'titel' in paper, did you mean 'title'?\n"
        "claims/x.yaml:14: protocol.decoding.num_beams: expected a whole number, got 'five'\n"
        "claims/x.yaml:24: run.sample.size: expected a number above 0, got 0\n"
        "claims/x.yaml:29: claims[0].reported.unit: expected 'percent', 'fraction', 'million', 'billion', 'count' or 'times', "
        "got 'points', did you mean 'percent'?\n"
        "claims/x.yaml:30: unknown key 'tolerence' in claims[0], did you mean 'tolerance'?\n"
        f"claims/x.yaml:33: unknown metric 'wups'; known: {KNOWN}"
    )


def test_a_file_that_is_something_else() -> None:
    """A file full of mistakes gives the first hundred and the number of the others."""
    content = TEXT + "".join(f"key{number}: 1\n" for number in range(1234))
    lines = problems(content).splitlines()
    assert len(lines) == 101
    assert lines[0] == "claims/x.yaml:39: unknown key 'key0' in the file; known: paper, protocol, run, claims"
    assert lines[-1] == "claims/x.yaml:1: and 1,134 more problems"


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../x.json", "a/../../x.json", "~/x.json", "~root", "https://host/x.json", "file:///x", "\\x"],
)
def test_paths_that_leave_the_folder(tmp_path: Path, path: str) -> None:
    """A path of a data file that is absolute, climbs, is a URL or a home folder is an error of the claim file."""
    with pytest.raises(SpecError) as caught:
        load(claim_file(tmp_path, run__predictions__path=path), display="claim.yaml")
    assert str(caught.value) == (
        "claim.yaml:13: run.predictions.path: expected a path below the claim file's folder or a --claims-data folder, "
        f"without '..', got {path!r}"
    )


def test_the_keys_of_another_evaluator() -> None:
    """A run section has the keys of its evaluator and of the protocol, no others."""
    keys = (
        "evaluator, predictions, references, checkpoint, dataset, image, prompt, decoding, ranking, precision, metric"
    )
    content = changed(
        ("evaluator: captioning", "evaluator: predictions"), (SECOND, "")
    )  # fmt: skip
    assert problems(content) == (
        "claims/x.yaml:21: run lacks the required key 'predictions'\n"
        "claims/x.yaml:21: run lacks the required key 'references'\n"
        f"claims/x.yaml:23: unknown key 'columns' in run; known: {keys}\n"
        f"claims/x.yaml:24: unknown key 'sample' in run; known: {keys}\n"
        f"claims/x.yaml:25: unknown key 'requires' in run; known: {keys}"
    )


def test_metrics_of_plugins() -> None:
    """A metric that a plugin brings is known, with its units and its range."""
    wups = MetricInfo(units=("fraction",), low=-1, high=1)
    content = changed(
        ("metric: bleu4", "metric: wups"), ("43.7,", "-0.5,"), ("ours 43.7", "ours -0.5"),
        ("pass: 1.0", "pass: 0"), ("unit: percent", "unit: fraction"),
    )  # fmt: skip
    found = loads(content.encode(), path=Path("x"), display="x", metrics={**METRICS, "wups": wups})
    assert found[0].reported.metric == "wups"


@pytest.mark.parametrize(
    ("natural", "unit", "shown"),
    [(0.3039409735591193, "percent", "30.394097356"), (1.458, "percent", "145.8"), (107_130_880, "million", "107.13088"),
     (3_744_761_856, "billion", "3.744761856"), (0.5, "fraction", "0.5"), (7, "count", "7")],
)  # fmt: skip
def test_units(natural: float, unit: str, shown: str) -> None:
    """A score in the paper's unit: BLEU × 100, parameters in millions or billions."""
    assert to_unit(natural, unit) == Decimal(shown)
    assert unit in units.PER_NATURAL


# --- files that are hardly claim files


BOMB = "\n".join(
    ["a: &a [x, x, x, x, x, x, x, x, x]"]
    + [f"{name}: &{name} [{', '.join([f'*{below}'] * 9)}]" for below, name in zip("abcdefgh", "bcdefghi", strict=True)]
)
EXPAND = "the aliases of this file expand to more than a claim file may hold"

BROKEN: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "1: the file is empty, expected the keys paper, protocol, run and claims"),
    "comments only": ("# a\n\n# b\n", "1: the file is empty, expected the keys paper, protocol, run and claims"),
    "blank": ("\n\n  \n", "1: the file is empty, expected the keys paper, protocol, run and claims"),
    "null": ("~\n", "1: expected a mapping with the keys paper, protocol, run and claims, got nothing"),
    "a word": ("hello\n", "1: expected a mapping with the keys paper, protocol, run and claims, got 'hello'"),
    "a list": ("- a\n- b\n", "1: expected a mapping with the keys paper, protocol, run and claims, got a list"),
    "two documents": (
        TEXT + "---\npaper: {}\n",
        "39: not YAML: expected a single document in the stream but found another document",
    ),
    "Latin-1": (TEXT.replace("A paper", "Un été").encode("latin-1"), "3: not UTF-8 (byte 44: 0xe9)"),
    "UTF-16": (TEXT.encode("utf-16-le"), "1: not YAML: the control character U+0000 is not allowed"),
    "surrogate bytes": (b"a: \xed\xa0\x80", "1: not UTF-8 (byte 3: 0xed)"),
    "NUL": ("é: é\nb: \0\n", "2: not YAML: the control character U+0000 is not allowed"),
    "escape character": ("a: \x1b[2J\n", "1: not YAML: the control character U+001B is not allowed"),
    "tab": ("paper:\n\ttitle: x\n", "2: not YAML: a tab cannot indent, use spaces"),
    "tag": (
        "a: 1\nb: !!python/object/apply:os.system [ls]\n",
        "2: the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed, a claim file holds plain values",
    ),
    "own tag": ("a: !foo x", "1: the tag '!foo' is not allowed, a claim file holds plain values"),
    "harmless tag": ("a: !!str 3", "1: the tag 'tag:yaml.org,2002:str' is not allowed, a claim file holds plain values"),
    "empty tag": ("a: ! 3", "1: the tag '!' is not allowed, a claim file holds plain values"),
    "tag of a mapping": ("!!map {a: 1}", "1: the tag 'tag:yaml.org,2002:map' is not allowed, a claim file holds plain values"),
    "merge key": (
        "a: &a {x: 1}\nb:\n  <<: *a\n",
        "3: merge keys (<<) are not supported; claims share the sections protocol and run",
    ),
    "list as key": ("? [a]\n: 1\n", "1: a key must be a word, not a list or a mapping"),
    "deep flow": ("a: 1\nb: " + "[" * 100_000, "2: more than 20 levels of nesting"),
    "deep mappings": ("{a: " * 100_000, "1: more than 20 levels of nesting"),
    "deep block": ("".join(" " * depth + "a:\n" for depth in range(200)), "21: more than 20 levels of nesting"),
    "alias bomb": (BOMB, f"1: {EXPAND}"),
    "recursive alias": ("a: &a [*a]", f"1: {EXPAND}"),
    "recursive mapping": ("a: &a\n  b: *a\n", f"1: {EXPAND}"),
    "recursive key": ("&a {*a : 1}", "1: a key must be a word, not a list or a mapping"),
    "many aliases": ("a: &a 1\nb: [" + "*a, " * 101 + "]", "2: more than 100 aliases"),
    "many values": ("- 1\n" * 100_001, "100000: more than 100,000 values"),
    "too large": (TEXT + "#" * 1_000_000, "1: the file has 1,000,001 bytes, a claim file may have 1,000,000"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "text"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file(loader: str, content: str | bytes, text: str) -> None:
    """A file with any content is a claim file or a `SpecError` with a line. Both parsers of PyYAML give the same."""
    if "1,000,001" in text:
        content = str(content)[:1_000_001]
    assert problems(content) == f"claims/x.yaml:{text}", loader


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("a: b: c\n", 1), ("a: [1,\n2\n", 3), ('a: "x\n', 2), ("a: *x\n", 1), ("%YAML 2.0\n---\na: 1\n", 1), ("a: @x\n", 1),
        ("a: 1\n b: 2\n", 2), ("...\n", 1), ('a: "\\ud800"\n', 1), ('a: "\\U00110000"\n', 1), ('a: "\\q"\n', 1),
        ("%YAML 1." + "9" * 5000 + "\n---\na: 1\n", 1), ("a: 1\nb\nc: 2\n", 3),
    ],
)  # fmt: skip
def test_syntax_errors(loader: str, content: str, line: int) -> None:
    """Text that is not YAML is a `SpecError` with the line; the words are those of PyYAML's parser."""
    assert re.fullmatch(rf"claims/x\.yaml:{line}: not YAML: [^\n]+", problems(content)), loader


def test_byte_order_mark_and_line_ends(loader: str) -> None:
    """A byte order mark, Windows' line ends and a missing last line end change neither the claims nor their lines."""
    windows = b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").rstrip().encode()
    assert [claim.where for claim in read(windows)] == ["claims/x.yaml:27", "claims/x.yaml:31"], loader
    broken = TEXT.replace("unit: percent", "unit: points").replace("\n", "\r\n")
    assert problems(broken).splitlines()[0].startswith("claims/x.yaml:29: claims[0].reported.unit: ")


def test_aliases_share_values_like_sections() -> None:
    """An alias stands for the value that its anchor names; a mistake in it is reported where the alias is used."""
    content = changed(("tolerance: {pass", "tolerance: &t {pass"))
    content = content[: content.rindex("    tolerance:")] + "    tolerance: *t\n"
    assert read(content)[1].tolerance == read(content)[0].tolerance
    expected = (
        "tolerance.pass: expected a number in the reported unit, such as 1.0, or a percentage of the reported value, "
        "such as 35%, got 'x'"
    )
    assert problems(content.replace("pass: 1.0", "pass: x")) == (
        f"claims/x.yaml:30: claims[0].{expected}\nclaims/x.yaml:30: claims[1].{expected}"
    )


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, a folder and a name that is too long are a `SpecError`, as every problem of a claim file."""
    for path, reason in [
        (tmp_path / "missing.yaml", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (tmp_path / ("x" * 300), "File name too long"),
    ]:
        with pytest.raises(SpecError) as caught:
            load(path, display="claims/x.yaml")
        assert str(caught.value) == f"claims/x.yaml:1: cannot be read: {reason}"
        with pytest.raises(SpecError) as caught:
            load(path)
        assert str(caught.value) == f"{path}:1: cannot be read: {reason}"


def test_a_huge_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    """A file of a terabyte is refused as quickly as one that is a byte too large."""
    path = tmp_path / "x.yaml"
    with path.open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(SpecError) as caught:
        load(path, display="x.yaml")
    assert str(caught.value) == "x.yaml:1: the file has 1,000,001 bytes, a claim file may have 1,000,000"


# --- never another exception

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "43.7", "35%", "test", "beam", "bleu4", "percent", "captioning", "predictions", "parameters", "../x"]),
    st.text(st.characters(codec="utf-8"), max_size=8),
)  # fmt: skip
KEYS = st.sampled_from(
    [
        "paper",
        "protocol",
        "run",
        "claims",
        "decoding",
        "dataset",
        "evaluator",
        "sample",
        "where",
        "images",
        "pass",
        "id",
        "é",
    ]
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value below `value`."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([path] if path else []), *(found for key, inner in pairs for found in places(inner, (*path, key)))]


@st.composite
def mutated_structures(draw: st.DrawFn) -> str:
    """A valid claim file with up to four values replaced, removed, wrapped or renamed, written as JSON, which is YAML."""
    value = json.loads(json.dumps(nodes.parse(TEXT.encode(), "x").value))
    for _ in range(draw(st.integers(1, 4))):
        found = places(value)
        if not found:
            break
        *parents, last = draw(st.sampled_from(found))
        place = value
        for parent in parents:
            place = place[parent]
        match draw(st.sampled_from(["replace", "remove", "wrap", "rename"])):
            case "replace":
                place[last] = draw(VALUES)
            case "remove":
                del place[last]
            case "wrap":
                place[last] = draw(st.sampled_from([[place[last]], {"id": place[last]}]))
            case "rename" if isinstance(place, dict):
                place[draw(KEYS)] = place.pop(last)
    return json.dumps(value)


@st.composite
def mutated_texts(draw: st.DrawFn) -> bytes:
    """A valid claim file with up to six pieces overwritten by what means something in YAML."""
    data = TEXT.encode()
    pieces = [
        b"", b"\n", b"\t", b" ", b":", b"- ", b"[", b"]", b"{", b"}", b"&a ", b"*a", b"!", b"!!str ", b"'", b'"', b"|\n", b"#",
        b"%", b"?", b"<<: ", b"---\n", b"\\", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xc2\x85", b"1e5", b"43.7", b"\r", b"@",
    ]  # fmt: skip
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from([0, 0, 1, 2, 20]))
        data = data[:start] + draw(st.sampled_from(pieces)) + data[start + length :]
    return data


LINE = re.compile(r"claims/x\.yaml:[1-9][0-9]*: [^\n]+")


def check_robust(content: str | bytes) -> None:
    """The file gives claims, or a `SpecError` of which each problem is a line with its place."""
    try:
        claims = read(content)
    except SpecError as error:
        found = error.problems
    else:
        found = tuple(f"claims/x.yaml:1: {claim.digest}" for claim in claims)
    assert found
    assert all(LINE.fullmatch(text) for text in found), found


EXAMPLES = int(os.environ.get("PYTEST_CLAIMS_FUZZ", "250"))
"""Generated files per test; `tox -e fuzz` asks for 10,000."""

FUZZ = settings(derandomize=True, database=None, deadline=None, max_examples=EXAMPLES)


@FUZZ
@given(mutated_structures())
def test_any_structure(content: str) -> None:
    """A claim file with arbitrary values in arbitrary places is read or refused, nothing else."""
    check_robust(content)


@FUZZ
@given(mutated_texts())
def test_any_text(content: bytes) -> None:
    """A claim file with arbitrary damage is read or refused, nothing else."""
    check_robust(content)


@settings(FUZZ, max_examples=100)
@given(mutated_texts())
def test_any_text_with_the_parser_in_python(content: bytes) -> None:
    """The test above holds for a PyYAML that was built without libyaml."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(yaml, "CSafeLoader", raising=False)
        check_robust(content)


# --- the schema for editors


def violations(value: Any, rule: dict[str, Any], root: dict[str, Any], where: str = "$") -> list[str]:
    """What of `value` breaks the JSON Schema `rule`; a keyword that this checker does not know is an error of the test."""
    rule = {
        key: inner for key, inner in rule.items() if key not in ("title", "description", "default", "$schema", "$defs")
    }
    found: list[str] = []
    types: dict[str, Any] = {
        "object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool,
        "null": type(None),
    }  # fmt: skip
    for keyword, wanted in rule.items():
        match keyword:
            case "$ref":
                found += violations(value, root["$defs"][wanted.removeprefix("#/$defs/")], root, where)
            case "anyOf":
                tried = [violations(value, choice, root, where) for choice in wanted if choice != {"type": "null"}]
                nothing = value is None and {"type": "null"} in wanted
                ok = nothing or not all(tried) or len(tried) == 1
                found += tried[0] if len(tried) == 1 and not nothing else []
            case "type":
                ok = isinstance(value, types[wanted]) and (wanted == "boolean" or not isinstance(value, bool))
            case "enum":
                ok = value in wanted
            case "const":
                ok = value == wanted
            case "required":
                ok = not isinstance(value, dict) or set(wanted) <= value.keys()
            case "properties":
                if isinstance(value, dict):
                    for key in value.keys() & wanted.keys():
                        found += violations(value[key], wanted[key], root, f"{where}.{key}")
            case "patternProperties":
                for key, pattern in ((k, p) for k in (value if isinstance(value, dict) else ()) for p in wanted):
                    found += (
                        violations(value[key], wanted[pattern], root, f"{where}.{key}")
                        if re.search(pattern, key)
                        else []
                    )
            case "additionalProperties":
                patterns = rule.get("patternProperties", {})
                extra = value.keys() - rule.get("properties", {}).keys() if isinstance(value, dict) else ()
                extra = {key for key in extra if not any(re.search(pattern, key) for pattern in patterns)}
                ok = wanted is True or not (wanted is False and extra)
                for key in extra if isinstance(wanted, dict) else ():
                    found += violations(value[key], wanted, root, f"{where}.{key}")
            case "items":
                for index, inner in enumerate(value if isinstance(value, list) else ()):
                    found += violations(inner, wanted, root, f"{where}[{index}]")
            case "minItems":
                ok = not isinstance(value, list) or len(value) >= wanted
            case "minLength" | "maxLength":
                ok = not isinstance(value, str) or (
                    len(value) >= wanted if keyword == "minLength" else len(value) <= wanted
                )
            case "minimum":
                ok = not isinstance(value, int | float) or value >= wanted
            case "exclusiveMinimum":
                ok = not isinstance(value, int | float) or value > wanted
            case "pattern":
                ok = not isinstance(value, str) or re.search(wanted, value) is not None
            case _:
                pytest.fail(f"the schema uses {keyword!r}, which this checker does not know")
        if keyword not in ("$ref", "properties", "patternProperties", "items") and not ok:
            found.append(f"{where}: {keyword}")
    return found


def as_editors_see(content: str) -> Any:
    """A YAML file as plain JSON values."""
    return json.loads(json.dumps(nodes.parse(content.encode(), "x").value))


def test_the_shipped_schema_is_current() -> None:
    """The schema that ships is the one that the models give; `python -m pytest_claims.spec.schema` writes it."""
    assert schema.SHIPPED.read_text(encoding="utf-8") == schema.generate()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_claims_are_valid(path: Path) -> None:
    """Every claim file that ships is read without a problem, and an editor that follows the schema marks nothing in it."""
    assert load(path)
    rules = json.loads(schema.generate())
    assert violations(as_editors_see(path.read_text(encoding="utf-8")), rules, rules) == []


@pytest.mark.parametrize(
    ("change", "marked"),
    [
        (("title:", "titel:"), ["$.paper: additionalProperties", "$.paper: required"]),
        (("num_beams: 5", "num_beam: 5"), ["$.protocol.decoding: additionalProperties"]),
        (("num_beams: 5", "num_beams: five"), ["$.protocol.decoding.num_beams: type"]),
        (("num_beams: 5", "num_beams: 0"), ["$.protocol.decoding.num_beams: exclusiveMinimum"]),
        (("value: 43.7", "value: x"), ["$.claims[0].reported.value: type"]),
        (("partial: 35%", "partial: lots"), ["$.claims[0].tolerance.partial: anyOf"]),
        (("unit: percent", "unit: points"), ["$.claims[0].reported.unit: enum"]),
        (("seed: 7", "seeds: 7"), ["$.claims[1].run.sample: additionalProperties"]),
        (("evaluator: captioning", "evaluator: x"), ["$.run.evaluator: enum"]),
        (("id: first", "id: the first"), ["$.claims[0].id: pattern"]),
        (("2301.12597", "x"), ["$.paper.arxiv_id: pattern"]),
        (("    images: 1000\n", ""), []),  # a claim may give it
    ],
)  # fmt: skip
def test_the_schema_marks_mistakes(change: Change, marked: list[str]) -> None:
    """An editor marks unknown keys, wrong types and values out of range; what a claim may still complete it leaves alone."""
    rules = json.loads(schema.generate())
    assert sorted(violations(as_editors_see(changed(change)), rules, rules)) == marked


def test_the_schema_and_the_loader_agree(tmp_path: Path) -> None:
    """The example with released captions is valid for both, and read as what it is."""
    path = claim_file(tmp_path)
    rules = json.loads(schema.generate())
    assert violations(as_editors_see(path.read_text(encoding="utf-8")), rules, rules) == []
    assert isinstance(load(path)[0].run, PredictionsRun)
