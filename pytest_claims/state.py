"""The state of a pytest session in `config.stash`, with one typed accessor for each entry."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from pytest_claims import console, naming, settings, text
from pytest_claims.errors import ClaimsError, SettingsError, SpecError
from pytest_claims.naming import places

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_claims.baseline import Comparison, Tree
    from pytest_claims.extensions import Extensions
    from pytest_claims.run import Session
    from pytest_claims.spec import Claim

_SETTINGS: pytest.StashKey[settings.Settings] = pytest.StashKey()
_FILES: pytest.StashKey[set[Path]] = pytest.StashKey()
_CLAIMS: pytest.StashKey[list[Claim]] = pytest.StashKey()
_TREE: pytest.StashKey[Tree] = pytest.StashKey()
_COMPARISON: pytest.StashKey[Comparison | SettingsError] = pytest.StashKey()
_SESSION: pytest.StashKey[Session] = pytest.StashKey()


def files_of(config: pytest.Config) -> set[Path]:
    """The claim files that pytest collects, readable or not. Callers may add to the set."""
    return config.stash.setdefault(_FILES, set())


def claims_of(config: pytest.Config) -> list[Claim]:
    """The claims of the files that pytest collects, selected or not. Callers may add to the list."""
    return config.stash.setdefault(_CLAIMS, [])


def settings_of(config: pytest.Config) -> settings.Settings:
    """The validated options of the session.

    Raises:
        pytest.UsageError: an option is not valid.
    """
    if _SETTINGS not in config.stash:
        try:
            config.stash[_SETTINGS] = settings.read(config.getoption, config.getini, config.invocation_params.dir)
        except ClaimsError as error:
            raise pytest.UsageError(text.line(str(error))) from None
    return config.stash[_SETTINGS]


def tree_of(config: pytest.Config) -> Tree:
    """The git repository of the given paths at the merge base.

    Raises:
        pytest.UsageError: git cannot read the repository at the merge base.
    """
    from pytest_claims.baseline import Tree

    if _TREE not in config.stash:
        revision = str(settings_of(config).base)
        try:
            config.stash[_TREE] = Tree(revision, [path for path, _ in places(config)] or [config.invocation_params.dir])
        except SettingsError as error:
            raise pytest.UsageError(text.line(str(error))) from None
    return config.stash[_TREE]


def comparison_of(config: pytest.Config) -> Comparison | SettingsError | None:
    """The comparison with the merge base, or the error if it failed; None without `--claims-base`, and during collection."""
    return config.stash.get(_COMPARISON, None)


def keep_comparison(config: pytest.Config, found: Comparison | SettingsError) -> None:
    """Keep the comparison, or its error, for `comparison_of`."""
    config.stash[_COMPARISON] = found


def session_of(config: pytest.Config) -> Session:
    """The `run.Session` of this pytest session. It is made when the first claim runs."""
    if _SESSION not in config.stash:
        from pytest_claims import cluster
        from pytest_claims.bench import Bench
        from pytest_claims.run import Session

        chosen, extensions = settings_of(config), extensions_of(config)
        bench = Bench(
            console.progress(config),
            evidence=partial(_evidence_root, config),
            replay=chosen.replay,
            audit=chosen.audit,
            say=console.say(config),
            executor=cluster.executor(chosen),
            evaluators=extensions.evaluators,
            streaming=chosen.streaming,
        )
        config.add_cleanup(bench.close)
        session = Session(
            chosen,
            bench,
            extensions.metrics,
            comparison_of(config),
            through=(pytest.exit.Exception,),
            supplied=extensions.supplied,
        )
        session.papers.cited.add(claims_of(config))
        config.stash[_SESSION] = session
    return config.stash[_SESSION]


def _evidence_root(config: pytest.Config) -> Path | None:
    """The folder for evidence; None if none is given and pytest has no cache (`-p no:cacheprovider`)."""
    chosen = settings_of(config).evidence
    cache = getattr(config, "cache", None)
    return chosen if chosen is not None or cache is None else cache.mkdir("claims-evidence")


def extensions_of(config: pytest.Config) -> Extensions:
    """The metrics and evaluators that other plugins add.

    Raises:
        SettingsError: one of them is not what it should be, or has a name that is taken.
    """
    from pytest_claims import extensions

    hook = config.hook
    return extensions.gather(
        (one for given in hook.pytest_claims_metrics(config=config) for one in given),
        (one for given in hook.pytest_claims_evaluators(config=config) for one in given),
        sources=("pytest_claims_metrics", "pytest_claims_evaluators"),
    )


def claim_of(config: pytest.Config, nodeid: str) -> Claim | None:
    """The claim of a node id, read from its file; None if the file cannot be read, or belongs to another plugin."""
    from pytest_claims import spec

    path, _, name = nodeid.partition("::")
    file = naming.file_of(path, config.rootpath)
    try:
        known = extensions_of(config)
        claims = spec.load(file, display=naming.display(file, config), metrics=known.metric_infos, runs=known.runs)
    except SpecError:
        return None
    return next((claim for claim in claims if claim.id == name), None)
