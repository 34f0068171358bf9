"""Claim files: YAML → `Claim`, strict, every error with file and line."""

from pytest_claims.spec.load import Claim, load, loads, merge
from pytest_claims.spec.models import (
    MIN_SAMPLE,
    CaptioningProtocol,
    CaptioningRun,
    Columns,
    ImageProtocol,
    Paper,
    ParametersRun,
    PredictionsProtocol,
    PredictionsRun,
    Protocol,
)
from pytest_claims.spec.units import METRICS, MetricInfo, to_unit
from pytest_claims.spec.values import Band, Printed

__all__ = [
    "METRICS",
    "MIN_SAMPLE",
    "Band",
    "CaptioningProtocol",
    "CaptioningRun",
    "Claim",
    "Columns",
    "ImageProtocol",
    "MetricInfo",
    "Paper",
    "ParametersRun",
    "PredictionsProtocol",
    "PredictionsRun",
    "Printed",
    "Protocol",
    "load",
    "loads",
    "merge",
    "to_unit",
]
