"""Compares the files that a claim names with the merge base: captions, configurations, data sets and models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims import citation
from pytest_claims.baseline.match import Change, Located
from pytest_claims.spec import answer_lists, answers_beside

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_claims.baseline.tree import Tree
    from pytest_claims.spec import Claim

SHOWN = 3
"""How many files are named if many differ."""


class Data:
    """Compares files, and remembers each comparison.

    Args:
        tree: the repository at the merge base.
        folders: the `--claims-data` and the `--claims-papers` folders.
    """

    def __init__(self, tree: Tree, folders: Sequence[Path]) -> None:
        self.tree = tree
        self.folders = tuple(folders)
        self._known: dict[tuple[str | None, str | None], str] = {}
        self._places: dict[tuple[str, str], str | None] = {}

    def changes(self, before: Located, now: Located) -> Iterator[Change]:
        """The changes in files that both claims name. If only one names a path, the claim itself changed."""
        yield from self._papers(before, now)
        for text in named(now.claim):
            if text not in named(before.claim) and text not in _behind(now.claim):
                continue
            if (module := self._module(before.name, text)) is not None:
                yield from self._pinned(module, text)
                continue
            old, new = self._before(before.name, text), self._now(now.claim, text)
            if (old, new) not in self._known:
                self._known[old, new] = self._difference(old, new)
            if said := self._known[old, new]:
                yield Change(key=f"data {text}", before=old or "not in the repository", after=said)

    def _papers(self, before: Located, now: Located) -> Iterator[Change]:
        """The changes in sources of the paper beside the claim file, which a wrong citation would be found in.

        A source that is added where none was can only find more.
        """
        identifier = now.claim.paper.arxiv_id
        if identifier is None or before.claim.paper.arxiv_id != identifier:
            return
        folder = os.path.normpath(os.path.join(os.path.dirname(before.name), citation.BESIDE))  # noqa: PTH118, PTH120 - names
        old = {name.removeprefix(f"{folder}/").partition("/")[0] for name in self.tree.below(folder)}
        old = {name for name in old if citation.named(name, identifier)}
        beside = now.claim.file.parent / citation.BESIDE
        new = (
            {path.name for path in beside.iterdir() if citation.named(path.name, identifier)}
            if beside.is_dir()
            else set()
        )
        for name in sorted(old | new if old else old):
            known = f"{folder}/{name}" if name in old else None
            found = self._now(now.claim, f"{citation.BESIDE}/{name}") if name in new else None
            if said := self._difference(known, found):
                yield Change(key=f"paper {name}", before=known or "not in the repository", after=said)

    def _module(self, name: str, text: str) -> str | None:
        """The submodule that contained the data next to the claim at the merge base; None if it is none, or no longer one."""
        beside = os.path.normpath(os.path.join(os.path.dirname(name), text))  # noqa: PTH118, PTH120 - names, as below
        module = self.tree.module(beside)
        return module if module is not None and self.tree.inner(module) == module else None

    def _pinned(self, module: str, text: str) -> Iterator[Change]:
        """The change if a submodule with data is checked out at another commit than the merge base pins."""
        before, now = self.tree.entries[module].blob, self.tree.checked_out(module)
        if before != now:
            yield Change(key=f"data {text}", before=f"{module} at {before[:12]}", after=f"{module} at {now[:12]}")

    def _before(self, name: str, text: str) -> str | None:
        """The name of the file or folder that a path led to at the merge base; None if it was not in the repository."""
        beside = os.path.dirname(name)  # noqa: PTH120 - names, not paths of this machine
        if (beside, text) not in self._places:
            places = [beside, *(inside for folder in self.folders if (inside := self.tree.name(folder)))]
            found = [self.tree.resolved(os.path.normpath(os.path.join(place, text))) for place in places]  # noqa: PTH118 - as above
            self._places[beside, text] = next((place for place in found if self.tree.below(place)), None)
        return self._places[beside, text]

    def _now(self, claim: Claim, text: str) -> str | None:
        """The name of the file or folder that a path leads to now; None if it is not in the repository, or ignored by git."""
        for folder in (claim.file.parent, *self.folders):
            path = folder / text
            if os.path.lexists(path):
                name = self.tree.name(path.resolve())
                # git does not track the files of another repository inside this one.
                foreign = name is None or self.tree.inner(name) is not None or self.tree.ignored([name])
                return None if foreign else name
        return None

    def _difference(self, old: str | None, new: str | None) -> str:
        """How the current files at `new` differ from those at `old` at the merge base; empty if they do not differ."""
        if old is None or new is None:
            return "" if old == new else new or "not in the repository"
        root = Path(self.tree.root)
        before = {name.removeprefix(old).lstrip("/"): entry for name, entry in self.tree.below(old).items()}
        now = dict(self.tree.files(root / new))
        added = [name for name in now if name not in before]
        unknown = self.tree.ignored([f"{new}/{name}" for name in added])
        differing = sorted(
            {name for name in before if name not in now or not self.tree.same(before[name], now[name])}
            | {name for name in added if f"{new}/{name}" not in unknown}
        )
        if not differing:
            return ""
        if differing == [""]:
            return "edited"
        more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        return f"edited: {', '.join(differing[:SHOWN])}{more}"


def named(claim: Claim) -> tuple[str, ...]:
    """The paths that a claim names; an id of the hub among them leads nowhere in a repository."""
    ids = (_id(claim, "checkpoint"), _id(claim, "dataset")) if claim.run.runs_checkpoint else ()
    beside = answers_beside(ids[1]) if ids and ids[1] else None  # VQA keeps answers in a file of their own
    own = (*claim.run.paths, *answer_lists(claim), *(text for text in (*ids, beside, claim.paper.source) if text))
    return tuple(dict.fromkeys((*own, *_behind(claim))))


def _behind(claim: Claim) -> tuple[str, ...]:
    """The paths that the claims behind a derived one name. They lie in the same folder, so the paths lead to the same places.

    At the merge base, claims of other files are not read: their files of now are compared.
    """
    return tuple(text for target in claim.operands.values() for text in named(target))


def _id(claim: Claim, key: str) -> str | None:
    changed: Any = claim.overrides.get(key) or {}
    stated = getattr(claim.protocol, key)
    found: str | None = changed.get("id") or (stated.id if stated else None)
    return found
