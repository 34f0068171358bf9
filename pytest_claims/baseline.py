"""Did the bar move? A claim against itself at the merge base.

A change that makes a model worse can be hidden by a change that makes its claim easier. Where `--claims-base=REV` is given, a
claim whose value, tolerance, protocol or expectation changed since the merge base of REV and HEAD says so in every report, and
is red unless the change is accepted with `--claims-accept-moved`.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims.errors import SettingsError, SpecError
from pytest_claims.spec import loads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_claims.spec import Claim, MetricInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing of a claim that is not what it was."""

    key: str
    before: str
    after: str


class Baseline:
    """The claims of a git repository as they were at a merge base.

    Args:
        revision: what the user named.
        folder: anywhere inside the work tree.
        metrics: the metrics a claim may name.

    Raises:
        SettingsError: there is no git repository, or no such revision.
    """

    def __init__(self, revision: str, folder: Path, metrics: Mapping[str, MetricInfo]) -> None:
        self.metrics = metrics
        self.root = Path(_git(folder, revision, "rev-parse", "--show-toplevel"))
        # --end-of-options: a revision is never taken for an option.
        commit = _git(
            folder, revision, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
        )
        self.commit = _git(folder, revision, "merge-base", commit, "HEAD")
        self._files: dict[Path, dict[str, Claim] | None] = {}

    def changes(self, claim: Claim) -> tuple[Change, ...]:
        """What moved since the merge base; nothing for a claim, or a file, that is new."""
        file = claim.file.resolve()
        if file not in self._files:
            self._files[file] = self._at_base(file)
        claims = self._files[file]
        if claims is None:
            return (Change(key="file", before="not a valid claim file", after="valid"),)
        before = claims.get(claim.id)
        return tuple(_differences(_bar(before), _bar(claim))) if before else ()

    def _at_base(self, file: Path) -> dict[str, Claim] | None:
        if not file.is_relative_to(self.root):
            return {}
        name = file.relative_to(self.root).as_posix()
        shown = subprocess.run(  # noqa: S603 - no shell, and the name comes after a colon
            ["git", "-C", str(self.root), "show", f"{self.commit}:{name}"],  # noqa: S607 - the user's git
            capture_output=True,
            check=False,
        )
        if shown.returncode != 0:
            return {}
        try:
            claims = loads(shown.stdout, path=file, display=f"{self.commit[:12]}:{name}", metrics=self.metrics)
        except SpecError:
            return None
        return {claim.id: claim for claim in claims}


def _bar(claim: Claim) -> dict[str, Any]:
    """What decides whether a claim is green, flat: `{"tolerance.pass": "1.0", …}`."""
    return dict(
        _flat(
            {
                "value": claim.reported.value.text,
                "unit": claim.reported.unit,
                "metric": claim.reported.metric,
                "tolerance": {
                    "pass": claim.tolerance.pass_.text,
                    "partial": claim.tolerance.partial.text,
                    "min_sample": claim.tolerance.min_sample,
                },
                "direction": claim.direction,
                "expect": claim.expect,
                "protocol": claim.protocol.model_dump(),
                "run": {**claim.run.model_dump(exclude={"batch_size"}), **claim.overrides},
            },
            "",
        )
    )


def _flat(value: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, dict):
            yield from _flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for key in [*before, *(key for key in after if key not in before)]:
        old, new = before.get(key), after.get(key)
        if old != new:
            yield Change(key=key, before=_show(old), after=_show(new))


def _show(value: Any) -> str:
    return "not given" if value is None else repr(value) if value == "" else str(value)


def _git(folder: Path, revision: str, *command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - no shell
            ["git", "-C", str(folder), *command],  # noqa: S607 - the user's git
            capture_output=True,
            check=False,
            text=True,
        )
    except FileNotFoundError:
        raise SettingsError(f"--claims-base={revision}: git is not installed") from None
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()
        why = reason[0].removeprefix("fatal: ") if reason else "there is no such commit, or none in common with HEAD"
        raise SettingsError(f"--claims-base={revision}: {why}")
    return done.stdout.strip()
