"""What will be run, what was run, and how either differs from what the paper did.

A claim names the paper's protocol. A `Plan` says what will be run. An `Observed` says what a run did. `read_axes` holds either
against the paper, axis by axis.
"""

from pytest_claims.protocol.axes import (
    PRECISIONS,
    Consequence,
    Facts,
    Match,
    Observed,
    Reading,
    decoding_facts,
    deviations,
    facts_of,
    match,
    read_axes,
    visible,
)
from pytest_claims.protocol.plans import (
    CaptioningPlan,
    ParametersPlan,
    Plan,
    PredictionsPlan,
    candidate,
    checkpoint_id,
    plan,
)

__all__ = [
    "PRECISIONS",
    "CaptioningPlan",
    "Consequence",
    "Facts",
    "Match",
    "Observed",
    "ParametersPlan",
    "Plan",
    "PredictionsPlan",
    "Reading",
    "candidate",
    "checkpoint_id",
    "decoding_facts",
    "deviations",
    "facts_of",
    "match",
    "plan",
    "read_axes",
    "visible",
]
