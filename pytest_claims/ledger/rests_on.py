"""What a verdict rests on, as far as it is known without a run: when one of these changes, the verdict is stale."""

from __future__ import annotations

import importlib.metadata
import os
import re
from typing import TYPE_CHECKING, Any

from pytest_claims import digests
from pytest_claims.citation.library import Library
from pytest_claims.errors import ClaimsError
from pytest_claims.machine import RECORDED
from pytest_claims.spec import answer_lists
from pytest_claims.verdict import RULES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_claims.evidence import Supplied
    from pytest_claims.reports.format.findings import Supplied as Recorded
    from pytest_claims.spec import Claim

UNKNOWN = "not known"
"""Stands for what cannot be found out here. A verdict that rests on it is always stale."""

LIBRARIES = tuple(name for name in RECORDED if name != "pytest-claims")
"""The libraries whose minor versions count. Of pytest-claims itself, the verdict rules and the metrics' signature count."""

_COMMIT = re.compile(r"[0-9a-f]{40}")


def of(
    claim: Claim,
    folders: Sequence[Path],
    provenance: Mapping[str, Any],
    papers: Sequence[Path] = (),
    supplied: Sequence[Supplied | Recorded] = (),
) -> dict[str, str]:
    """What a verdict on a claim rests on.

    Args:
        claim: the claim.
        folders: the `--claims-data` folders.
        provenance: of the run, which names the versions of libraries; see `installed`.
        papers: the `--claims-papers` folders.
        supplied: the metrics and evaluators that hooks supply.
    """
    from pytest_claims.metrics.base import SIGNATURE_VERSION

    found = {"claim": claim.digest, "rules": RULES, "metric": f"{claim.reported.metric} {SIGNATURE_VERSION}"}
    found |= dict(_data(claim, folders))
    found |= dict(_sources(claim, papers))
    named = {"metric": claim.reported.metric, "evaluator": claim.run.evaluator}
    for one in supplied:
        if one.name == named[one.kind]:
            found[f"the plugin's {one.kind} {one.name}"] = one.digest or UNKNOWN
    for name, other in claim.operands.items():  # a derived claim rests on the claims that it is computed from
        found |= {f"{name}: {key}": value for key, value in of(other, folders, {}, papers, supplied).items()}
    return found | {name: str(provenance[name]) for name in LIBRARIES if name in provenance}


def installed(names: Mapping[str, Any]) -> dict[str, str]:
    """The installed versions of those libraries that `names` has; empty text for one that is not installed."""
    found = {}
    for name in LIBRARIES:
        if name in names:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                found[name] = ""
    return found


def differences(
    before: Mapping[str, str], now: Mapping[str, str], *, minor: bool = False
) -> list[tuple[str, str, str]]:
    """What differs: the key, and its value before and now; empty text where one side does not have it.

    Args:
        before: what an earlier verdict rests on.
        now: what a verdict would rest on now.
        minor: another patch release of a library is no difference.
    """
    found = []
    for key in sorted({*before, *now}):
        old, new = before.get(key, ""), now.get(key, "")
        of_library = minor and key in LIBRARIES
        same = _minor(old) == _minor(new) if of_library else old == new and old != UNKNOWN
        if not same:
            found.append((key, old, new))
    return found


def told(key: str, before: str, now: str) -> str:
    """One difference in words: `torch 2.12.0 → 2.13.0`, `the claim file changed`."""
    if key in LIBRARIES:
        return f"{key} {before or 'not recorded'} → {now or 'not installed'}"
    if UNKNOWN in (before, now):
        return f"{key} cannot be identified here"
    words = {"claim": "the claim changed", "rules": "the verdict rules of pytest-claims changed"}
    if key in words:
        return words[key]
    return f"{key} {before} → {now}" if key == "metric" else f"{key} changed"


def _minor(version: str) -> str:
    return ".".join(version.partition("+")[0].split(".")[:2])


def _data(claim: Claim, folders: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """The files that a claim names, by content, and the repositories of the hub, by commit."""
    for path in (*claim.run.paths, *answer_lists(claim)):
        yield f"file {path}", _content(path, claim, folders) or UNKNOWN
    if not claim.run.runs_checkpoint:
        return
    for kind, key in (("model", "checkpoint"), ("dataset", "dataset")):
        changed: Any = claim.overrides.get(key) or {}
        stated = getattr(claim.protocol, key)
        name = changed.get("id") or (stated.id if stated else None)
        if name is None:
            continue
        revision = changed.get("revision") or (stated.revision if stated else None)
        yield key, _content(name, claim, folders) or _commit(name, revision, kind)


def _sources(claim: Claim, papers: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """The source that the citation is checked against, by content; nothing if there is none."""
    try:
        found = Library(papers).sources(claim.paper, claim.file.parent)
    except ClaimsError:
        yield "source of the paper", UNKNOWN
        return
    for source in found[:1]:
        yield "source of the paper", _digest(source.path) or UNKNOWN


def _content(text: str, claim: Claim, folders: Sequence[Path]) -> str | None:
    """The digest of a file, or of a folder with the names in it; None if there is none."""
    for folder in (claim.file.parent, *folders):
        if (found := _digest(folder / text)) is not None:
            return found
    return None


def _digest(path: Path) -> str | None:
    if path.is_file():
        return digests.of_file(path)[: digests.SHORT]
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.is_file())
        return digests.short(
            "\n".join(f"{os.fspath(file.relative_to(path))} {digests.of_file(file)}" for file in inside)
        )
    return None


def _commit(name: str, revision: str | None, kind: Any) -> str:
    """The commit of a repository of the hub; `UNKNOWN` if neither the hub nor its cache tells."""
    if revision is not None and _COMMIT.fullmatch(revision):
        return revision
    from pytest_claims.sources import hub

    try:
        return hub.find(name, revision, kind).commit
    except ClaimsError:
        return UNKNOWN
