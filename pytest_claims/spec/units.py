"""Units of reported values, and what each metric may be reported in."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PER_NATURAL: Mapping[str, Decimal] = {
    "percent": Decimal(100),
    "fraction": Decimal(1),
    "count": Decimal(1),
    "million": Decimal("1e-6"),
    "billion": Decimal("1e-9"),
    "times": Decimal(1),
}
"""Reported value = natural value × this."""

SHARES = ("percent", "fraction")
COUNTS = ("count", "million", "billion")

DERIVED = ("difference", "ratio", "relative_change")
"""What a derived claim may report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricInfo:
    """What a claim file needs to know of a metric: its units and its natural range."""

    units: tuple[str, ...]
    low: float
    high: float
    families: tuple[str, ...] = ()
    """The families that define it, such as `coco-caption`; empty if there is none."""
    trivial: float | None = 0
    """The value of a system that does nothing right, in the natural range; None if there is no such value."""
    needs: tuple[str, ...] = ("text",)
    """What an evaluator must give for it, of the keys of `given.NEEDS`; empty where this is not known."""


METRICS: Mapping[str, MetricInfo] = {
    **{f"bleu{n}": MetricInfo(units=SHARES, low=0, high=1, families=("coco-caption",)) for n in (1, 2, 3, 4)},
    "rouge_l": MetricInfo(units=SHARES, low=0, high=1, families=("coco-caption",)),
    # coco-caption multiplies the mean cosine by 10 (Vedantam et al. 2015, CIDEr-D): a perfect caption scores 10.
    "cider": MetricInfo(units=SHARES, low=0, high=10, families=("coco-caption",)),
    "meteor": MetricInfo(units=SHARES, low=0, high=1, families=("coco-caption",)),
    "spice": MetricInfo(units=SHARES, low=0, high=1, families=("coco-caption",)),
    "vqa_accuracy": MetricInfo(units=SHARES, low=0, high=1, families=("vqa",)),
    **{
        name: MetricInfo(units=SHARES, low=0, high=1, families=("exact-match",)) for name in ("exact_match", "accuracy")
    },
    "accuracy_top5": MetricInfo(units=SHARES, low=0, high=1, families=("exact-match",), needs=("ranked",)),
    **{
        f"recall_at_{k}": MetricInfo(units=SHARES, low=0, high=1, families=("retrieval",), needs=("ranked",))
        for k in (1, 5, 10)
    },
    "trainable_parameters": MetricInfo(units=COUNTS, low=0, high=float("inf"), needs=("counts",)),
    "total_parameters": MetricInfo(units=COUNTS, low=0, high=float("inf"), needs=("counts",)),
    # Derived claims. Trivial is what equal numbers give.
    "difference": MetricInfo(units=(*SHARES, *COUNTS), low=float("-inf"), high=float("inf"), needs=("derived",)),
    "ratio": MetricInfo(units=("times", *SHARES), low=0, high=float("inf"), trivial=1, needs=("derived",)),
    "relative_change": MetricInfo(units=SHARES, low=float("-inf"), high=float("inf"), needs=("derived",)),
}
"""The metrics that ship; a plugin adds its own through the hook `pytest_claims_metrics`."""


def to_unit(natural: float, unit: str) -> Decimal:
    """`natural` in `unit`, rounded to 1e-9 so that floating-point noise cannot move it across the edge of a band."""
    return (Decimal(repr(float(natural))) * PER_NATURAL[unit]).quantize(Decimal("1e-9"))
