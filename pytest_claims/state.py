"""What one pytest session keeps in `config.stash`, each with one accessor that knows its type."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from pytest_claims import console, settings, text
from pytest_claims.errors import ClaimsError, SettingsError
from pytest_claims.naming import places

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_claims.baseline import Comparison, Tree
    from pytest_claims.metrics import Metric
    from pytest_claims.run import Session
    from pytest_claims.spec import MetricInfo

_SETTINGS: pytest.StashKey[settings.Settings] = pytest.StashKey()
_FILES: pytest.StashKey[set[Path]] = pytest.StashKey()
_TREE: pytest.StashKey[Tree] = pytest.StashKey()
_COMPARISON: pytest.StashKey[Comparison | SettingsError] = pytest.StashKey()
_SESSION: pytest.StashKey[Session] = pytest.StashKey()


def files_of(config: pytest.Config) -> set[Path]:
    """The claim files that pytest collects, whether or not they can be read; the set itself, to add to."""
    return config.stash.setdefault(_FILES, set())


def settings_of(config: pytest.Config) -> settings.Settings:
    """The session's options, validated; raises `pytest.UsageError`."""
    if _SETTINGS not in config.stash:
        try:
            config.stash[_SETTINGS] = settings.read(config.getoption, config.getini, config.invocation_params.dir)
        except ClaimsError as error:
            raise pytest.UsageError(text.line(str(error))) from None
    return config.stash[_SETTINGS]


def tree_of(config: pytest.Config) -> Tree:
    """The repository of the given paths at the merge base; raises `pytest.UsageError` where git cannot say what it holds."""
    from pytest_claims.baseline import Tree

    if _TREE not in config.stash:
        revision = str(settings_of(config).base)
        try:
            config.stash[_TREE] = Tree(revision, [path for path, _ in places(config)] or [config.invocation_params.dir])
        except SettingsError as error:
            raise pytest.UsageError(text.line(str(error))) from None
    return config.stash[_TREE]


def comparison_of(config: pytest.Config) -> Comparison | SettingsError | None:
    """What moved since the merge base, or why nobody can say; None where no base is named, or before the collection ended."""
    return config.stash.get(_COMPARISON, None)


def keep_comparison(config: pytest.Config, found: Comparison | SettingsError) -> None:
    """Keep what `comparison_of` gives."""
    config.stash[_COMPARISON] = found


def session_of(config: pytest.Config) -> Session:
    """What the claims of this pytest session share, made when the first one runs."""
    if _SESSION not in config.stash:
        from pytest_claims.bench import Bench
        from pytest_claims.run import Session

        chosen = settings_of(config)
        bench = Bench(
            console.progress(config),
            evidence=partial(_evidence_root, config),
            replay=chosen.replay,
            audit=chosen.audit,
            say=console.say(config),
        )
        config.stash[_SESSION] = Session(
            chosen,
            bench,
            extra_metrics(config),
            comparison_of(config),
            through=(pytest.exit.Exception,),
        )
    return config.stash[_SESSION]


def _evidence_root(config: pytest.Config) -> Path | None:
    """Where evidence is kept; None with `-p no:cacheprovider`."""
    chosen = settings_of(config).evidence
    cache = getattr(config, "cache", None)
    return chosen if chosen is not None or cache is None else cache.mkdir("claims-evidence")


def extra_metrics(config: pytest.Config) -> Mapping[str, Metric]:
    """The metrics that other plugins add, by name; raises `SettingsError` where a name is taken."""
    from pytest_claims import spec

    found: dict[str, Metric] = {}
    for metrics in config.hook.pytest_claims_metrics(config=config):
        for metric in metrics:
            if metric.name in found or metric.name in spec.METRICS:
                raise SettingsError(f"pytest_claims_metrics: the metric name {metric.name!r} is taken")
            found[metric.name] = metric
    return found


def metric_infos(config: pytest.Config) -> Mapping[str, MetricInfo]:
    """What claim files may name: the metrics that ship, and those of other plugins."""
    from pytest_claims import spec

    extra = {
        name: spec.MetricInfo(
            units=("percent", "fraction"),
            low=metric.low,
            high=metric.high,
            families=(metric.family,),
            # What a system gets that does nothing right; a metric that is better when it is lower says so.
            trivial=getattr(metric, "trivial", metric.low),
        )
        for name, metric in extra_metrics(config).items()
    }
    return {**spec.METRICS, **extra}
