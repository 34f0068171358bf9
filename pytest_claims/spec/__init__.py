"""Claim files: YAML → `Claim`, strict, every error with file and line."""

from pytest_claims.spec.load import Claim, load, loads, merge
from pytest_claims.spec.models import Band, CaptioningRun, ParametersRun, PredictionsRun, Printed, Protocol
from pytest_claims.spec.units import METRICS, MetricInfo, to_unit

__all__ = [
    "METRICS",
    "Band",
    "CaptioningRun",
    "Claim",
    "MetricInfo",
    "ParametersRun",
    "PredictionsRun",
    "Printed",
    "Protocol",
    "load",
    "loads",
    "merge",
    "to_unit",
]
