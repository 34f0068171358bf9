"""Print a claim file with a claim for each result in a model card's `model-index`. Nothing is run, and no network is used.

A card states a number, and little of how it was obtained. What it does not state is left open, and stands in comments: the
verdicts are withheld until you state it. Redirect the output into a file below `claims/`, and complete it.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_claims.commands import card, warn
from pytest_claims.errors import ClaimsError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from huggingface_hub import EvalResult

    from pytest_claims.commands.card import Card
    from pytest_claims.spec import MetricInfo

HELP = "print a claim file made of a model card's model-index"

TASKS = ("image-to-text", "image-captioning", "image-text-to-text", "visual-captioning")
"""The tasks of the hub whose results are captions of images."""

LENGTH = 200
"""The most characters of a name in a card."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("card", metavar="README.md", help="the model card")
    parser.add_argument("--model", metavar="ID", help="the checkpoint: a hub id, or a folder beside the claim file")
    parser.add_argument("--images", type=int, metavar="N", help="how many images the split has, which no card states")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A result of a card that can be a claim."""

    model: str
    result: EvalResult
    metric: str
    value: str
    """As the card writes it."""
    unit: str


def run(arguments: argparse.Namespace) -> int:
    """Print the claim file; 1 if no result of the card can be a claim."""
    name = arguments.card
    if arguments.images is not None and arguments.images < 1:
        warn(f"--images={arguments.images}: expected a number of images of at least 1")
        return 2
    found = list(_found(card.load(name)))
    if not found:
        raise ClaimsError(f"{name}: no result in its model-index can be a claim.")
    text = "\n".join([*_head(found, arguments), *_claims(found, arguments.images), ""])
    _check(text, arguments.images)
    sys.stdout.write(text)
    if arguments.images is None:
        warn("The card does not state how many images the split has: complete dataset.images in each claim.")
    return 0


def _found(source: Card) -> Iterator[Found]:
    """The results that can be claims. Why another one cannot is told on stderr."""
    from huggingface_hub.repocard_data import model_index_to_eval_results

    name = source.name
    for model in source.models:
        try:
            title, results = model_index_to_eval_results([model])
        except KeyError as error:
            raise ClaimsError(f"{name}: model-index: a result lacks the key {error}.") from None
        except (TypeError, AttributeError, ValueError) as error:
            raise ClaimsError(f"{name}: model-index: not in the form that the hub defines ({error}).") from None
        for number, result in enumerate(results, 1):
            one = _one(str(title), result)
            if isinstance(one, str):
                warn(f"{name}: result {number} of {str(title)[:LENGTH]!r} is left out: {one}")
            else:
                yield one


def _one(model: str, result: EvalResult) -> Found | str:
    """A result that can be a claim, or why it cannot."""
    from pytest_claims.spec import METRICS, hints

    names: list[object] = [model, result.task_type, result.dataset_type, result.dataset_name, result.metric_type]
    names += [text for text in (result.dataset_split, result.dataset_revision) if text is not None]
    if not all(isinstance(text, str) and 0 < len(text.strip()) <= LENGTH for text in names):
        return f"its names must be text of 1 to {LENGTH} characters"
    if result.task_type not in TASKS:
        return f"the task {result.task_type!r} is none of {', '.join(TASKS)}"
    # The hub's `rouge` is three metrics, and does not say which.
    metric = None if result.metric_type.lower() == "rouge" else hints.alias(result.metric_type, METRICS)
    if metric is None or "coco-caption" not in METRICS[metric].families:  # the family of the claims that are written
        return f"no metric here is {result.metric_type!r}"
    written = str(getattr(result.metric_value, "text", result.metric_value)).strip()
    if isinstance(result.metric_value, bool) or not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", written):
        return f"its value {written[:40]!r} is no plain number"
    unit = _unit(float(written), METRICS[metric])
    if unit is None:
        return f"{written} is outside the range of {metric}"
    return Found(model=model, result=result, metric=metric, value=written, unit=unit)


def _unit(value: float, info: MetricInfo) -> str | None:
    """The unit that a value is in: a card does not say it. None if it can be in neither."""
    if value <= info.high:
        return "fraction"
    return "percent" if value <= 100 * info.high else None


def _quoted(text: str) -> str:
    """`text` as a YAML scalar in double quotes, of one line and without control characters."""
    from pytest_claims.text import clean

    return json.dumps(clean(" ".join(text.split())), ensure_ascii=False)


def _head(found: list[Found], arguments: argparse.Namespace) -> Iterator[str]:
    model = arguments.model or found[0].model
    source = next((one.result.source_url for one in found if isinstance(one.result.source_url, str)), None)
    yield "# Made of a model card by `pytest-claims from-card`. A card states numbers, and little of how they were obtained."
    yield "# What is null here is not stated there: state it if you know it, or the verdicts are withheld."
    yield "paper:"
    yield "  arxiv_id: null"
    yield f"  title: {_quoted(f'Model card of {found[0].model}')}"
    yield f"  source_url: {_quoted((source or arguments.card)[:2_000])}"
    yield "protocol:"
    yield f"  checkpoint: {{id: {_quoted(model)}}}   # a hub id, or a folder beside this file"
    for key in ("image", "prompt", "decoding", "precision"):
        yield f"  {key}: null   # not stated by the card"
    yield "  metric: null   # not stated by the card: metrics of one name differ by their tokens and references"
    yield "run:   # how it is evaluated here, since the card does not say how it was"
    yield "  evaluator: captioning"
    yield '  prompt: ""'
    yield "  decoding: {strategy: greedy}"
    yield "  metric: coco-caption"
    yield "claims:"


def _claims(found: list[Found], images: int | None) -> Iterator[str]:
    used: set[str] = set()
    for one in found:
        result = one.result
        short = (
            re.sub(r"[^A-Za-z0-9._-]+", "-", f"{result.dataset_name}-{one.metric}".lower()).strip("-._")[:100]
            or one.metric
        )
        name = next(text for text in (short, *(f"{short}-{number}" for number in range(2, 10_000))) if text not in used)
        used.add(name)
        column = f"{result.dataset_name} {result.metric_name or result.metric_type}"
        dataset = [f"id: {_quoted(result.dataset_type)}"]
        dataset += [f"split: {_quoted(result.dataset_split)}"] if result.dataset_split else []
        dataset += [f"revision: {_quoted(result.dataset_revision)}"] if result.dataset_revision else []
        dataset.append(f"images: {images or 'null'}")
        yield f"  - id: {name}"
        yield "    citation:"
        yield "      section: model-index"
        yield f"      row: {_quoted(one.model)}"
        yield f"      column: {_quoted(str(column)[: 2 * LENGTH])}"
        yield f"      quoted_text: {_quoted(f'{result.metric_type}: {one.value}')}"
        yield f"    reported: {{metric: {one.metric}, value: {one.value}, unit: {one.unit}}}   # the unit: by its size"
        yield "    tolerance: {pass: 1%, partial: 5%}   # choose yours"
        yield "    protocol:"
        yield f"      dataset: {{{', '.join(dataset)}}}" + ("" if images else "   # how many images the split has")


def _check(text: str, images: int | None) -> None:
    """Read the claim file as pytest does: what is printed must be one, apart from the number of images."""
    from pathlib import Path

    from pytest_claims import spec

    complete = text if images else text.replace("images: null}   # how", "images: 1000}   # how")
    spec.loads(complete.encode(), path=Path("card.yaml"), display="the claim file")
