"""The test of non-inferiority: which loss is acceptable, and whether the images can tell. Pure; docs/verdicts.md states it.

A candidate is non-inferior if its loss is credibly at most the margin (ICH E9, "Statistical Principles for Clinical Trials",
3.3.2). The two-sided 95 % interval decides, so each of the two errors has a probability of at most about 2.5 %.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pytest_claims.paired.models import Decision

if TYPE_CHECKING:
    from decimal import Decimal

    from pytest_claims.paired.models import Difference

MOST = 10_000_000
"""More images than this decide nothing in practice: there is no such data set of captions."""


def decide(difference: Difference, margin: Decimal) -> Decision:
    """The decision: the interval of the loss lies wholly above the margin, nowhere above it, or on both sides.

    Without an interval, nothing is credible.
    """
    span = difference.loss_span
    if span is None:
        return Decision.INCONCLUSIVE
    low, high = span
    if low > margin:
        return Decision.INFERIOR
    return Decision.NON_INFERIOR if high <= margin else Decision.INCONCLUSIVE


def images_to_decide(difference: Difference, margin: Decimal, images: int) -> int | None:
    """How many images would decide, if the loss stays as it is: the interval narrows with the root of their number.

    None if no number would (the loss is the margin), if it is more than `MOST`, or if there is no interval.
    """
    span, loss = difference.loss_span, difference.loss
    if span is None or loss == margin:
        return None
    # The end of the interval on the side of the margin must come no farther than the margin.
    reach = span[1] - loss if loss < margin else loss - span[0]
    needed = images * (reach / (loss - margin)) ** 2
    return math.ceil(needed) if needed <= MOST else None
