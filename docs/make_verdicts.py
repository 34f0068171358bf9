"""Writes the tables in docs/verdicts.md. Run `python docs/make_verdicts.py`; a test checks that they are current."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims.evidence import Basis, Evidence, Output
from pytest_claims.metrics import Interval, Score
from pytest_claims.paired import Decision, Difference, PairedComparison, decide, images_to_decide
from pytest_claims.protocol import Consequence, Reading
from pytest_claims.settings import Gate
from pytest_claims.spec import Claim, loads
from pytest_claims.verdict import Kind, Verdict, judge, settle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

PAGE = Path(__file__).with_name("verdicts.md")
COMPARED = "<!-- comparisons: begin, written by docs/make_verdicts.py -->", "<!-- comparisons: end -->"
BEGIN, END = "<!-- examples: begin, written by docs/make_verdicts.py -->", "<!-- examples: end -->"

CLAIM = """
paper: {{arxiv_id: "2301.12597", title: BLIP-2}}
protocol:
  checkpoint: {{id: Salesforce/blip2-opt-2.7b}}
  dataset: {{id: nlphuji/flickr30k, images: {images}}}
  image: {{size: 224}}
  prompt: a photo of
  decoding: {{strategy: beam, num_beams: 5, max_new_tokens: 30}}
  precision: float16
  metric: coco-caption
run: {{evaluator: captioning}}
claims:
  - id: example
    citation: {{section: Table 3, row: BLIP-2, column: BLEU-4, quoted_text: "{reported}"}}
    reported: {{metric: bleu4, value: {reported}, unit: percent}}
    tolerance: {{pass: {pass_}, partial: {partial}}}
    direction: {direction}
    expect: {expect}
"""


def claim(
    *,
    reported: str = "43.7",
    pass_: str = "1.0",
    partial: str = "35%",
    direction: str = "two_sided",
    expect: str = "null",
    images: int = 1000,
) -> Claim:
    """A claim with these numbers."""
    text = CLAIM.format(
        reported=reported, pass_=pass_, partial=partial, direction=direction, expect=expect, images=images
    )
    return loads(text.encode(), path=Path("claims/example.yaml"), display="claims/example.yaml")[0]


def score(measured: float, half_width: float = 0.0, *, n: int = 1000, population: int | None = None) -> Score:
    """A BLEU-4 score of `measured` per cent, with replicates spread evenly over an interval of ± `half_width` points."""
    steps = 200
    replicates = tuple((measured + half_width * (2 * i / steps - 1)) / 100 for i in range(steps + 1))
    return Score(
        metric="bleu4",
        family="coco-caption",
        value=measured / 100,
        signature="bleu4|coco-caption|tok:ptb|case:lc|refs:5|len:closest|v0.2",
        n=n,
        counts={},
        interval=Interval(
            low=(measured - half_width) / 100,
            high=(measured + half_width) / 100,
            level=0.95,
            standard_error=half_width / 196,
            resamples=steps + 1,
            seed=0,
            population=population,
            replicates=replicates,
        ),
        per_image=(),
    )


def evidence(n: int, population: int | None, basis: Basis = Basis.REPRODUCED) -> Evidence:
    """Evidence of `n` captions; a sample of `population` images, unless that is None."""
    captions = tuple(Output(id=f"{i:04}", text="a dog runs", references=("a dog runs",)) for i in range(n))
    return Evidence(basis=basis, outputs=captions, population=population)


def readings(*axes: tuple[str, Consequence]) -> tuple[Reading, ...]:
    """Readings of axes with the given consequences."""
    return tuple(Reading(axis=axis, paper="…", run="…", consequence=found) for axis, found in axes)


def verdict(
    measured: float,
    half_width: float = 0.0,
    *,
    n: int = 1000,
    axes: Sequence[tuple[str, Consequence]] = (),
    **terms: Any,
) -> Verdict:
    """The verdict on a claim with `terms`, if `n` images gave `measured` per cent."""
    judged = claim(**terms)
    total = judged.protocol.dataset.images if judged.protocol.dataset else n
    sampled = total if n < total else None
    found = list(axes)
    if sampled and not any(axis == "sample" for axis, _ in axes):
        found.append(("sample", Consequence.PROXY if n >= judged.tolerance.min_sample else Consequence.DRIFT))
    return judge(judged, score(measured, half_width, n=n, population=sampled), evidence(n, sampled), readings(*found))


EXAMPLES: Sequence[tuple[str, dict[str, Any]]] = (
    ("the paper's own test set, within the pass band", {"measured": 43.1}),
    ("half of the last printed digit is added: \\|d\\| = 1.05", {"measured": 42.65}),
    ("between the bands", {"measured": 40.0}),
    ("outside the partial band", {"measured": 20.0}),
    ("much too good fails like much too bad", {"measured": 62.0}),
    ("… unless the claim says at_least", {"measured": 62.0, "direction": "at_least"}),
    ("43.70 is printed to two decimals: \\|d\\| = 1.02", {"measured": 42.68, "reported": "43.70"}),
    ("other precision: a proxy, whatever the number", {"measured": 43.6, "axes": [("precision", Consequence.PROXY)]}),
    ("the starting record: 100 of 1,000 images", {"measured": 30.39, "half_width": 5.0, "n": 100}),
    ("100 images, the whole interval far too low", {"measured": 20.0, "half_width": 5.0, "n": 100}),
    ("the retracted run: greedy, 20 images, no prompt",
     {"measured": 18.0, "half_width": 11.0, "n": 20,
      "axes": [("prompt", Consequence.DRIFT), ("decoding", Consequence.DRIFT), ("sample", Consequence.DRIFT)]}),
    ("the paper does not state the prompt", {"measured": 43.6, "axes": [("prompt", Consequence.UNKNOWN)]}),
    ("a known failure that fails again", {"measured": 20.0, "expect": "fail"}),
    ("a known failure that passes", {"measured": 43.6, "expect": "fail"}),
)  # fmt: skip


COMPARISONS: Sequence[tuple[str, str, str, str]] = (
    ("an equal copy", "0", "0", "0"),
    ("a loss well within the margin", "0.1", "0.3", "0.5"),
    ("the upper end is the margin", "0.1", "0.4", "0.5"),
    ("a small loss, and too few images", "0.2", "0.6", "0.5"),
    ("a loss beyond the margin, and too few images", "1.0", "0.9", "0.5"),
    ("a credible loss beyond the margin", "1.5", "0.9", "0.5"),
    ("a better candidate", "-0.8", "0.9", "0.5"),
    ("a better candidate, and no loss is accepted", "-0.8", "0.9", "0"),
)
"""Title, loss, half-width of its interval, margin; 1,000 images."""


def comparison(loss: str, half_width: str, margin: str) -> PairedComparison:
    """The comparison of a candidate that loses `loss` ± `half_width` points on 1,000 images."""
    found = Difference(
        value=-Decimal(loss),
        low=-Decimal(loss) - Decimal(half_width),
        high=-Decimal(loss) + Decimal(half_width),
        level=0.95,
        standard_error=Decimal(half_width) / 2,
        probability_worse=None,
        resamples=1000,
        lower_is_better=False,
    )
    decision = decide(found, Decimal(margin))
    needed = images_to_decide(found, Decimal(margin), 1000) if decision is Decision.INCONCLUSIVE else None
    return PairedComparison(
        difference=found, margin=Decimal(margin), decision=decision, images_to_decide=needed, images=1000, reason="…"
    )


def comparison_rows() -> Iterator[tuple[str, ...]]:
    """The cells of each row of the table of comparisons."""
    passing = replace(verdict(43.7), kind=Kind.PRE)
    for title, loss, half_width, margin in COMPARISONS:
        found = comparison(loss, half_width, margin)
        results = [
            settle(replace(passing, comparison=found), gate=gate, require_attempt=False)[0].value for gate in Gate
        ]
        low, high = Decimal(loss) - Decimal(half_width), Decimal(loss) + Decimal(half_width)
        yield (
            title,
            loss,
            f"{low} to {high}",
            margin,
            f"**{found.decision}**",
            f"{found.images_to_decide:,}" if found.images_to_decide else "–",
            *results,
        )


def rows() -> Iterator[tuple[str, ...]]:
    """The cells of each row of the table."""
    for title, terms in EXAMPLES:
        found = verdict(**terms)
        span = found.span
        images = f"{len(found.evidence.outputs) if found.evidence else 0:,}"
        results = [settle(found, gate=gate, require_attempt=False)[0].value for gate in Gate]
        yield (
            title,
            found.claim.reported.value.text,
            f"{found.measured:.2f}" if found.measured is not None else "",
            f"{span.low:.1f} – {span.high:.1f}" if span and found.evidence and found.evidence.population else "–",
            images,
            found.outcome or "",
            found.match or "",
            f"**{found.status}**",
            f"{found.confidence:.2f}",
            *results,
        )


def table(heads: Sequence[str], cells: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *cells]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def page() -> str:
    """The page with the current tables."""
    text = PAGE.read_text(encoding="utf-8")
    examples = ("example", "reported", "measured", "interval", "images", "outcome", "match", "status", "confidence",
                "gate `partial`", "gate `pass`")  # fmt: skip
    compared = ("example", "loss", "95 % interval", "margin", "decision", "images that would decide", "gate `partial`",
                "gate `pass`")  # fmt: skip
    for (begin, end), made in (
        (COMPARED, table(compared, comparison_rows())),
        ((BEGIN, END), table(examples, rows())),
    ):
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{made}\n\n{end}{rest.split(end)[1]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
