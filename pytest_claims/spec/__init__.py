"""Claim files: YAML → `Claim`, strict, every error with file and line."""

from pytest_claims.spec.answering import PLACE, QUESTION, AnsweringRun, answer_lists, answers_beside, filled
from pytest_claims.spec.decoding import RANK
from pytest_claims.spec.derived import DerivedRun
from pytest_claims.spec.hooked import HookedRun
from pytest_claims.spec.load import RUNS, Claim, Run, load, loads, merge
from pytest_claims.spec.models import (
    MIN_SAMPLE,
    CaptioningProtocol,
    CaptioningRun,
    Columns,
    GeneratingRun,
    ImageProtocol,
    Paper,
    ParametersRun,
    PredictionsProtocol,
    Protocol,
)
from pytest_claims.spec.released import PredictionsRun
from pytest_claims.spec.retrieval import RetrievalProtocol, RetrievalRun
from pytest_claims.spec.units import METRICS, PER_NATURAL, MetricInfo, to_unit
from pytest_claims.spec.values import NOUNS, Band, Noun, Printed

__all__ = [
    "METRICS",
    "MIN_SAMPLE",
    "NOUNS",
    "PER_NATURAL",
    "PLACE",
    "QUESTION",
    "RANK",
    "RUNS",
    "AnsweringRun",
    "Band",
    "CaptioningProtocol",
    "CaptioningRun",
    "Claim",
    "Columns",
    "DerivedRun",
    "GeneratingRun",
    "HookedRun",
    "ImageProtocol",
    "MetricInfo",
    "Noun",
    "Paper",
    "ParametersRun",
    "PredictionsProtocol",
    "PredictionsRun",
    "Printed",
    "Protocol",
    "RetrievalProtocol",
    "RetrievalRun",
    "Run",
    "answer_lists",
    "answers_beside",
    "filled",
    "load",
    "loads",
    "merge",
    "to_unit",
]
