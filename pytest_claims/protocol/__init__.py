"""The protocol that will be run, the protocol that was run, and how each differs from the paper's.

A claim states the paper's protocol. A `Plan` states what will be run. An `Observed` states what a run did. `read_axes` compares
either with the paper's protocol, axis by axis.
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
    held_to,
    match,
    ranking_facts,
    read_axes,
    visible,
)
from pytest_claims.protocol.planning import candidate, checkpoint_id, plan
from pytest_claims.protocol.plans import (
    AnsweringPlan,
    CaptioningPlan,
    CheckpointPlan,
    DerivedPlan,
    HookedPlan,
    Measured,
    ParametersPlan,
    Plan,
    PredictionsPlan,
)
from pytest_claims.protocol.retrieval import RetrievalPlan

__all__ = [
    "PRECISIONS",
    "AnsweringPlan",
    "CaptioningPlan",
    "CheckpointPlan",
    "Consequence",
    "DerivedPlan",
    "Facts",
    "HookedPlan",
    "Match",
    "Measured",
    "Observed",
    "ParametersPlan",
    "Plan",
    "PredictionsPlan",
    "Reading",
    "RetrievalPlan",
    "candidate",
    "checkpoint_id",
    "decoding_facts",
    "deviations",
    "facts_of",
    "held_to",
    "match",
    "plan",
    "ranking_facts",
    "read_axes",
    "visible",
]
