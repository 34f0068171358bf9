"""Compares the claims of a session, and everything that affects their results, with the merge base."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pytest_claims.baseline import config
from pytest_claims.baseline.data import Data
from pytest_claims.baseline.match import Change, Located, differences, pair
from pytest_claims.errors import SpecError
from pytest_claims.files import CLAIM_SUFFIXES
from pytest_claims.spec import load, loads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pytest_claims.baseline.config import FileChange
    from pytest_claims.baseline.tree import Tree
    from pytest_claims.spec import Claim, MetricInfo, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a session was asked to run, and what pytest knows about it."""

    asked: tuple[tuple[Path, str | None], ...]
    """The paths on the command line, each with the claim id behind `::`, or None if there is none."""
    left_out: Callable[[Path, str], bool]
    """Returns whether the command line leaves a claim out, given its file and id."""
    running: frozenset[tuple[Path, str]]
    """The claims that this session runs, by file and id."""
    lost: Callable[[Path], str]
    """Returns why pytest does not collect an existing file; empty if it does, or if another compared file explains it."""
    is_claim_file: Callable[[Path], bool]
    """Returns whether a path names a claim file."""
    display: Callable[[Path], str]
    """Returns a path as the user would type it."""
    metrics: Mapping[str, MetricInfo]
    """The metrics that claims may name."""
    runs: Mapping[str, type[Run]]
    """The evaluators that claims may name, with the model of their section run."""
    data: tuple[Path, ...]
    """The `--claims-data` and the `--claims-papers` folders."""
    plugins: tuple[Path, ...]
    """The files of the loaded plugins, and of the code that supplies metrics and evaluators."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a current claim differs from the merge base."""

    kind: str
    """`new`, `unchanged` or `moved`."""
    changes: tuple[Change, ...] = ()
    origin: str = ""
    """The claim's file at the merge base, if it was another one; else empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """A claim of the merge base that this session does not run, although it was asked to run the claim's file."""

    claim: Claim
    why: str
    """Why it does not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The result of the comparison with the merge base."""

    claims: Mapping[tuple[Path, str], Standing] = field(default_factory=dict)
    """How each current claim differs, by file and id."""
    removed: tuple[Removed, ...] = ()
    files: tuple[FileChange, ...] = ()

    def of(self, claim: Claim) -> Standing:
        """How a claim differs from the merge base. A claim that was not compared counts as moved, not as new."""
        unknown = Change(key="claim", before="not known", after="was not compared")
        return self.claims.get((claim.file, claim.id), Standing(kind="moved", changes=(unknown,)))


def compare(tree: Tree, collected: Sequence[Claim], scope: Scope) -> Comparison:
    """Compare a session with the merge base.

    Args:
        tree: the repository at the merge base.
        collected: the collected claims, including the deselected ones.
        scope: what the session was asked to run.

    Raises:
        SettingsError: a claim file cannot be compared, or git cannot read the merge base.
    """
    before, broken = _at_base(tree, collected, scope)
    names = {claim.file: tree.own(claim.file) for claim in collected}
    now = [Located(claim=claim, name=names[claim.file]) for claim in collected]
    now += _not_collected(tree, {one.name for one in before}, now, scope)
    matched = pair(before, now)
    data = Data(tree, scope.data)
    claims = {(one.claim.file, one.claim.id): Standing(kind="new") for one in now}
    for place, other in matched.items():
        one, claim = before[place], now[other]
        changes = (*differences(one.claim, claim.claim), *_links(tree, one, claim), *data.changes(one, claim))
        claims[claim.claim.file, claim.claim.id] = Standing(
            kind="moved" if changes else "unchanged",
            changes=changes,
            origin=scope.display(one.claim.file) if one.name != claim.name else "",
        )
    for one in now:
        if one.name in broken:
            unknown = Change(key="file", before="not a valid claim file", after="valid")
            claims[one.claim.file, one.claim.id] = Standing(kind="moved", changes=(unknown,))
    gone = [
        Removed(claim=one.claim, why=why)
        for place, one in enumerate(before)
        if _in_scope(tree, one, scope) and (why := _gone(one, now[matched[place]] if place in matched else None, scope))
    ]
    paths = [*names.values(), *(one.name for one in before), *_asked(tree, scope)]
    folders = config.above([*paths, *(f"{name}/x" for name in _asked(tree, scope))])
    plugins = [name for path in scope.plugins if (name := tree.name(path))]
    unknown_to_git = tree.ignored(plugins)
    return Comparison(
        claims=claims,
        removed=tuple(gone),
        files=(
            *config.ini_changes(tree, folders, _search(tree, scope)),
            *config.code_changes(
                tree,
                (os.path.normpath(os.path.join(folder, "conftest.py")) for folder in folders),  # noqa: PTH118 - names
                (name for name in plugins if name not in unknown_to_git),
            ),
        ),
    )


def _at_base(tree: Tree, collected: Iterable[Claim], scope: Scope) -> tuple[list[Located], set[str]]:
    """The claims in all claim files of the merge base, and the names of the files that were not valid."""
    asked = {tree.name(path) for path, _ in scope.asked}
    own = {tree.name(claim.file) for claim in collected}
    found: list[Located] = []
    broken: set[str] = set()
    for name in tree.entries:
        path = tree.root / name
        if not name.endswith(CLAIM_SUFFIXES) or not (name in asked or name in own or scope.is_claim_file(path)):
            continue
        content = tree.read(name)
        if content is None:
            continue  # a symbolic link that was broken, or led out of the repository
        try:
            read = loads(content, path=path, display=scope.display(path), metrics=scope.metrics, runs=scope.runs)
        except SpecError:
            broken.add(name)
            continue
        found += [Located(claim=claim, name=name) for claim in read]
    return found, broken


def _not_collected(tree: Tree, names: set[str], now: Sequence[Located], scope: Scope) -> Iterator[Located]:
    """The claims that still exist in their file, but were not collected. They do not count as removed."""
    known = {(one.name, one.claim.id) for one in now}
    for name in sorted(names):
        path = tree.root / name
        try:
            claims = (
                load(path, display=scope.display(path), metrics=scope.metrics, runs=scope.runs)
                if path.is_file()
                else ()
            )
        except SpecError:
            continue  # if the file is collected, the collection reports the error
        yield from (Located(claim=claim, name=name) for claim in claims if (name, claim.id) not in known)


def _links(tree: Tree, before: Located, now: Located) -> Iterator[Change]:
    """The change if the path of a claim file contains other symbolic links than at the merge base."""
    old, new = tree.links_before(before.name), tree.links(now.name)
    if new and old != new:
        yield Change(key="file", before=", ".join(old) or "a plain file", after=f"a symbolic link: {', '.join(new)}")


def _search(tree: Tree, scope: Scope) -> list[str]:
    """The folders in which pytest looks for its configuration, in its order.

    These are the common parent of all given paths and the folders above it, then each given path and the folders above that.
    """
    starts = [path if path.is_dir() else path.parent for path, _ in scope.asked]
    common = [Path(os.path.commonpath([os.path.abspath(path) for path in starts]))] if starts else []  # noqa: PTH100 - no links
    names = [name for path in (*common, *starts) if (name := tree.name(path)) is not None]
    steps = [step for name in names for step in (PurePosixPath(name), *PurePosixPath(name).parents)]
    return list(dict.fromkeys("" if str(step) == "." else str(step) for step in steps))


def _asked(tree: Tree, scope: Scope) -> list[str]:
    return [name for path, _ in scope.asked if (name := tree.name(path)) is not None]


def _in_scope(tree: Tree, one: Located, scope: Scope) -> bool:
    """Whether the session would run a claim of the merge base, if the claim still existed."""

    def below(path: Path) -> bool:
        name = tree.name(path)
        return name is not None and (name in (".", one.name) or one.name.startswith(f"{name}/"))

    asked = any(below(path) and identifier in (None, one.claim.id) for path, identifier in scope.asked)
    return asked and not scope.left_out(tree.root / one.name, one.claim.id)


def _gone(before: Located, now: Located | None, scope: Scope) -> str:
    """Why a claim of the merge base does not run in this session; empty if it runs, or if the user left it out."""
    if now is None:
        return "it is gone"
    if (now.claim.file, now.claim.id) in scope.running:
        return ""
    if (now.name, now.claim.id) != (before.name, before.claim.id):
        return f"it is {now.claim.display}::{now.claim.id} now, which this session does not run"
    return scope.lost(now.claim.file)
