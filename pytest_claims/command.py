"""The command that gives a verdict again: the claim, and every option that decides the verdict or whether it is red."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_claims import files
from pytest_claims.nested import flat
from pytest_claims.settings import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_claims.settings import Settings
    from pytest_claims.spec import Claim


def of(claim: Claim, settings: Settings, *, compare: bool = False) -> str:
    """The command, quoted for a POSIX shell, to be run in the folder in which this session was started.

    Values of the ini file are written as options. Reports and the dry run decide nothing, and are left out.

    Args:
        claim: the claim.
        settings: the options of the session.
        compare: a candidate was compared with a reference. The command then makes the reference's evidence where it is missing.
    """
    chosen = replace(settings, compare=settings.compare or compare)
    return shlex.join(["pytest", f"{claim.display}::{claim.id}", *_options(chosen)])


def to_make(claim: Claim, settings: Settings) -> str:
    """The command that runs the claim elsewhere: without the options that use what lies on this machine."""
    return shlex.join(["pytest", f"{claim.display}::{claim.id}", *_runs(settings)])


def _runs(settings: Settings) -> Iterator[str]:
    """The options that decide what is evaluated."""
    if settings.sample is not None:
        yield f"--claims-sample={settings.sample}"
    for key, value in flat(settings.overrides):
        yield f"--claims-set={key}={_scalar(value)}"
    for name, path in settings.candidates.items():
        yield f"--claims-model={name}={path}"
    if settings.device != "auto":
        yield f"--claims-device={settings.device}"
    for folder in settings.data:
        yield f"--claims-data={files.shown(folder)}"
    for folder in settings.papers:
        yield f"--claims-papers={files.shown(folder)}"


def _options(settings: Settings) -> Iterator[str]:
    yield from _runs(settings)
    if settings.executor != "local":
        yield f"--claims-executor={settings.executor}"
    if settings.actor_cpus is not None and settings.executor != "local":
        yield f"--claims-actor-cpus={settings.actor_cpus}"
    if settings.streaming:
        yield "--claims-streaming"
    if settings.compare:
        yield "--claims-compare"
    if settings.max_regression is not None and settings.candidates:
        yield f"--claims-max-regression={settings.max_regression:f}"
    if settings.gate is not Gate.PARTIAL:
        yield f"--claims-gate={settings.gate.value}"
    elif settings.require_attempt:
        yield "--claims-require-attempt"
    if settings.base is not None:
        yield f"--claims-base={settings.base}"
    if settings.accept_moved:
        yield "--claims-accept-moved"
    if settings.evidence is not None:
        yield f"--claims-evidence={files.shown(settings.evidence)}"
    if settings.replay:
        yield "--claims-replay"
    if settings.accept_replay:
        yield "--claims-accept-replay"
    if settings.audit is not None:
        yield f"--claims-audit={settings.audit}"


def _scalar(value: Any) -> str:
    """A value as `--claims-set` reads it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
