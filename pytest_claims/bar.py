"""The pytest side of `--claims-base`.

`baseline.compare` compares the claims with the merge base. This module tells it what only pytest knows: the given paths, which
files are claim files, which claims are left out, and which plugins are loaded.
"""

from __future__ import annotations

import fnmatch
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_claims import globs, naming, state
from pytest_claims.baseline import Comparison, Scope, compare
from pytest_claims.reports import record
from pytest_claims.verdict import removed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pytest

    from pytest_claims.reports.format import Record
    from pytest_claims.spec import Claim

PACKAGE = Path(__file__).parent
"""The folder of pytest-claims, whose own modules are not compared."""


def hold(session: pytest.Session, claims: Sequence[Claim], running: Iterable[Claim], *, complete: bool) -> Comparison:
    """Compare the collected claims, and the files that affect their results, with the merge base.

    Args:
        session: the pytest session.
        claims: the collected claims.
        running: the collected claims that were not deselected.
        complete: whether the collection was completed. If not, a file that was not collected may just not have been reached.

    Raises:
        SettingsError: see `baseline.compare`.
    """
    config = session.config
    known = state.extensions_of(config)

    def is_claim_file(path: Path) -> bool:
        return globs.is_claim_file(path, config)

    return compare(
        state.tree_of(config),
        claims,
        Scope(
            asked=naming.places(config),
            left_out=lambda path, name: _left_out(config, path, name),
            running=frozenset((claim.file, claim.id) for claim in running),
            lost=lambda path: _lost(session, path, is_claim_file) if complete else "",
            is_claim_file=is_claim_file,
            display=lambda path: naming.display(path, config),
            metrics=known.metric_infos,
            runs=known.runs,
            data=(*state.settings_of(config).data, *state.settings_of(config).papers),
            plugins=(*_plugins(config), *known.files),
        ),
    )


def _left_out(config: pytest.Config, path: Path, name: str) -> bool:
    """Whether `--ignore`, `--ignore-glob` or `--deselect` leaves a claim out."""
    steps, start = (path, *path.parents), config.invocation_params.dir
    ignored = {_absolute(start / given) for given in config.getoption("ignore") or ()}
    globs = [str(_absolute(start / given)) for given in config.getoption("ignore_glob") or ()]
    if ignored.intersection(steps) or any(fnmatch.fnmatch(str(step), glob) for step in steps for glob in globs):
        return True
    prefixes = tuple(config.getoption("deselect") or ())
    return bool(prefixes) and f"{naming.nodeid(path, config)}::{name}".startswith(prefixes)


VENV = ("pyvenv.cfg", "conda-meta/history")
"""Files that mark a virtual environment. pytest does not collect from a folder that contains one of them."""


def _lost(session: pytest.Session, path: Path, is_claim_file: Callable[[Path], bool]) -> str:
    """Why pytest does not collect an existing claim file; empty if it does, or if another compared file explains it."""
    config = session.config
    if path in state.files_of(config) or not is_claim_file(path):
        return ""
    given = [_absolute(start) for start, _ in naming.places(config)]
    start = max(
        (one for one in given if one == path or one in path.parents), key=lambda one: len(one.parts), default=None
    )
    if start is None:
        return ""
    tree = state.tree_of(config)
    for step in (one for one in (*reversed(path.parents), path) if one == start or start in one.parents):
        marked = [marker for marker in VENV if (step / marker).is_file()]
        name = tree.name(step) or "."
        if marked and not any(os.path.normpath(f"{name}/{marker}") in tree.entries for marker in VENV):
            return f"pytest takes {name} for a virtual environment, because of {marked[0]}, and passes it by"
        if session.gethookproxy(step.parent).pytest_ignore_collect(collection_path=step, config=config):
            return ""  # an ini file, a conftest.py or the command line leaves it out
    return "pytest passes its file by"


def _absolute(path: Path) -> Path:
    """The absolute path, without following symbolic links, as pytest computes it."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def _plugins(config: pytest.Config) -> Iterator[Path]:
    for plugin in config.pluginmanager.get_plugins():
        file = getattr(plugin, "__file__", None)
        if isinstance(file, str) and file.endswith(".py") and not Path(file).is_relative_to(PACKAGE):
            yield Path(file)


def records(config: pytest.Config, comparison: Comparison) -> Iterator[tuple[str, Record]]:
    """One record for each removed claim and for each changed file, with its node id."""
    settings = state.settings_of(config)
    for gone in comparison.removed:
        nodeid = f"{naming.nodeid(gone.claim.file, config)}::{gone.claim.id}"
        verdict, result, message = removed(
            gone.claim, revision=settings.base or "", why=gone.why, accepted=settings.accept_moved
        )
        # Another claim may have the same node id now.
        key = f"{nodeid} (removed)"
        yield (
            key,
            record.of_verdict(verdict, nodeid=nodeid, result=result, message=message, seconds=0.0, settings=settings),
        )
    root = state.tree_of(config).root
    changed: dict[str, list[str]] = {}
    for change in comparison.files:
        changed.setdefault(change.name, []).append(change.said)
    for name, said in changed.items():
        shown = naming.display(root / name, config)
        nodeid = naming.nodeid(root / name, config)
        yield (
            nodeid,
            record.of_change(shown, nodeid, [f"{shown}: {text}" for text in said], accepted=settings.accept_moved),
        )
