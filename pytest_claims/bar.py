"""Whether the bar moved, as far as pytest knows: which paths were given, what is a claim file, which code is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_claims import collect, text
from pytest_claims.baseline import Comparison, Scope, Tree, compare
from pytest_claims.errors import SettingsError
from pytest_claims.reports import record
from pytest_claims.verdict import removed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_claims.reports.record import Record
    from pytest_claims.spec import Claim

PACKAGE = Path(__file__).parent


def places(config: pytest.Config) -> tuple[tuple[Path, str | None], ...]:
    """The paths that pytest was given, each with the claim id that was named behind `::`."""
    found = []
    for argument in config.args:
        path, _, name = argument.partition("::")
        found.append((config.invocation_params.dir / path, name or None))
    return tuple(found)


TREE: pytest.StashKey[Tree] = pytest.StashKey()


def tree_of(config: pytest.Config) -> Tree:
    """The repository of the given paths at the merge base; raises `pytest.UsageError` where git cannot say what it holds."""
    if TREE not in config.stash:
        revision = str(collect.settings_of(config).base)
        try:
            config.stash[TREE] = Tree(revision, [path for path, _ in places(config)] or [config.invocation_params.dir])
        except SettingsError as error:
            raise pytest.UsageError(text.line(str(error))) from None
    return config.stash[TREE]


def hold(config: pytest.Config, claims: Sequence[Claim]) -> Comparison:
    """Hold the collected claims, and what decides about them, against the base; raises like `baseline.compare`."""
    globs: list[str] = config.getini("claims_files")

    def is_claim_file(path: Path) -> bool:
        return collect.matches(path, config.rootpath, globs) if globs else collect.below_claims(path, config.inipath)

    left_out = config.getoption("ignore") or ()
    return compare(
        tree_of(config),
        claims,
        Scope(
            asked=places(config),
            left_out=tuple(config.invocation_params.dir / path for path in left_out),
            is_claim_file=is_claim_file,
            display=lambda path: collect.display(path, config),
            metrics=collect.metric_infos(config),
            data=collect.settings_of(config).data,
            plugins=tuple(_plugins(config)),
        ),
    )


def _plugins(config: pytest.Config) -> Iterator[Path]:
    for plugin in config.pluginmanager.get_plugins():
        file = getattr(plugin, "__file__", None)
        if isinstance(file, str) and file.endswith(".py") and not Path(file).is_relative_to(PACKAGE):
            yield Path(file)


def records(config: pytest.Config, comparison: Comparison) -> Iterator[tuple[str, Record]]:
    """Claims that are gone, and files that changed, as records of their own by node id."""
    settings = collect.settings_of(config)
    for claim in comparison.removed:
        nodeid = f"{_nodeid(config, claim.file)}::{claim.id}"
        verdict, result, message = removed(claim, revision=settings.base or "", accepted=settings.accept_moved)
        yield nodeid, record.of_verdict(verdict, nodeid=nodeid, result=result, message=message, seconds=0.0)
    root = tree_of(config).root
    changed: dict[str, list[str]] = {}
    for change in comparison.files:
        changed.setdefault(change.name, []).append(change.said)
    for name, said in changed.items():
        shown = collect.display(root / name, config)
        nodeid = _nodeid(config, root / name)
        yield (
            nodeid,
            record.of_change(shown, nodeid, [f"{shown}: {text}" for text in said], accepted=settings.accept_moved),
        )


def _nodeid(config: pytest.Config, path: Path) -> str:
    inside = path.is_relative_to(config.rootpath)
    return text.name(path.relative_to(config.rootpath).as_posix() if inside else path.as_posix())
