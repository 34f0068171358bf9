"""Replay: reads an evidence folder of unknown origin as `Evidence`, without model and data.

Invalid content is refused with file and line. Valid content is still not trusted: the verdict says that it was replayed, and it
is withheld unless the person who runs the replay accepts it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from pytest_claims import spool, text
from pytest_claims.errors import EvaluationError, NotAttempted
from pytest_claims.evidence import Basis, Evidence, outputs_of, row_of, size_of
from pytest_claims.files import shown
from pytest_claims.protocol import Observed
from pytest_claims.store import disk
from pytest_claims.store.format import (
    CAPTIONS,
    NAME,
    PLAN,
    REFERENCES,
    RUN,
    SCHEMA,
    OutputLine,
    PlanFile,
    ReferencesLine,
    RunFile,
    read,
    shortened,
)
from pytest_claims.store.recipe import differences, plan_digest, references_digest
from pytest_claims.strict_json import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_claims.evidence import OutputRow
    from pytest_claims.protocol import CheckpointPlan
    from pytest_claims.spec import Noun
    from pytest_claims.store.seal import Key

    Found = Sequence[tuple[Path, dict[str, Any]]]
    """Evidence folders, each with the content of its `plan.json`."""

MAX_FOLDERS = 10_000
"""The most evidence folders that are read."""

_FOLDER = re.compile(f"[0-9a-f]{{{NAME}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The content of an evidence folder."""

    evidence: Evidence
    plan: Mapping[str, Any]
    """The content of `plan.json`."""
    image_digests: Mapping[str, str]
    """The digest of each image's bytes, by image id."""
    sealed: bool = False
    """Whether this user's runs wrote every line. Only known if a key was given."""


def replay(root: Path | None, plan: CheckpointPlan) -> Replayed:
    """The evidence for a plan.

    Args:
        root: the folder that holds all evidence folders; None if no evidence is kept.
        plan: the plan of the claim.

    Raises:
        NotAttempted: there is no evidence for the claim's checkpoint and data set.
        EvaluationError: there is, but it belongs to another plan, is not complete, or is not valid.
    """
    if root is None:
        raise NotAttempted(
            "There is no evidence to replay: pytest's cache is switched off.",
            "Name its folder with --claims-evidence=DIR.",
        )
    found, broken = _plans(root)
    if matching := _matching(found, plan):
        return _newest(matching, None, plan.noun)
    if broken:
        raise broken[0]
    raise _refusal(root, found, plan.asked, plan)


def left(root: Path | None, plan: CheckpointPlan, key: Key) -> Replayed | None:
    """The evidence that an earlier run left for a plan, whoever wrote it; None if there is none.

    Args:
        root: the folder that holds all evidence folders; None if no evidence is kept.
        plan: the plan of the claim.
        key: the user's key. Evidence whose lines all carry its seals comes first, and is not marked as replayed.

    Raises:
        EvaluationError: the evidence is not complete or not valid.
    """
    matching = _matching(_plans(root)[0], plan) if root is not None else []
    return _newest(matching, key, plan.noun) if matching else None


def _plans(root: Path) -> tuple[Found, list[EvaluationError]]:
    """All evidence folders that can be read, and what is wrong with the others."""
    found: list[tuple[Path, dict[str, Any]]] = []
    broken: list[EvaluationError] = []
    for path in _folders(root):
        try:
            found.append((path, _plan(path)))
        except EvaluationError as error:
            broken.append(error)
    return found, broken


def _matching(found: Found, plan: CheckpointPlan) -> Found:
    asked = plan.asked
    return [(path, content) for path, content in found if not differences(content["asked"], asked)]


def _refusal(
    root: Path, found: Sequence[tuple[Path, dict[str, Any]]], asked: Mapping[str, Any], plan: CheckpointPlan
) -> EvaluationError | NotAttempted:
    """The exception if no evidence matches: an error if some is for the same checkpoint and data set, else `NotAttempted`."""
    if not found:
        return NotAttempted(
            f"There is no evidence below {shown(root)}.",
            f"Make it where the model is ({plan.command}), and copy the folder here.",
        )
    path, keys = min(
        ((path, differences(content["asked"], asked)) for path, content in found), key=lambda pair: len(pair[1])
    )
    shortly = "; ".join(
        f"{key}: the evidence has {shortened(theirs)}, the claim asks for {shortened(ours)}"
        for key, (theirs, ours) in islice(keys.items(), 8)
    )
    more = f"; and {len(keys) - 8} more" if len(keys) > 8 else ""
    if any(_subject(content["asked"]) == _subject(asked) for _, content in found):
        return EvaluationError(f"The evidence {shown(path)} is for another plan: {shortly}{more}.")
    return NotAttempted(
        f"There is no evidence for this checkpoint and data set below {shown(root)}; the nearest, {path.name}, differs: "
        f"{shortly}{more}.",
        f"Make it where the model is ({plan.command}), and copy the folder here.",
    )


def _subject(asked: Mapping[str, Any]) -> tuple[Any, Any]:
    checkpoint, dataset = asked.get("checkpoint"), asked.get("dataset")
    return (
        checkpoint.get("id") if isinstance(checkpoint, dict) else None,
        dataset.get("id") if isinstance(dataset, dict) else None,
    )


def _folders(root: Path) -> Iterator[Path]:
    try:
        with os.scandir(root) as entries:
            names = sorted(
                entry.name
                for entry in islice(entries, 2 * MAX_FOLDERS)
                if _FOLDER.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            )
    except FileNotFoundError:
        return
    except OSError as error:
        raise EvaluationError(f"The evidence folder {shown(root)} cannot be read: {disk.reason(error)}.") from None
    yield from (root / name for name in names[:MAX_FOLDERS])


def _plan(path: Path) -> dict[str, Any]:
    where = f"{shown(path / PLAN)}:1"
    content = _object(path / PLAN)
    if content.get("schema") != SCHEMA:
        raise EvaluationError(f"{where}: expected the schema {SCHEMA!r}, got {shortened(content.get('schema'))}.")
    if plan_digest(content)[:NAME] != path.name:
        raise EvaluationError(f"{where}: the plan is not the one that the folder is named after.")
    read(PlanFile, content, where)
    return content


def _newest(matching: Sequence[tuple[Path, dict[str, Any]]], key: Key | None, noun: Noun) -> Replayed:
    runs = [(path, content, read(RunFile, _object(path / RUN), f"{shown(path / RUN)}:1")) for path, content in matching]

    def rank(found: tuple[Path, dict[str, Any], RunFile]) -> tuple[bool, str, str]:
        path, content, run = found
        # Somebody else's evidence does not hide the user's own by a later time.
        own = key is not None and key.holds(plan_digest(content), _object(path / RUN))
        return own, run.created_at or "", path.name

    path, content, run = max(runs, key=rank)
    others = f" The newest of {len(runs)} that match." if len(runs) > 1 else ""
    return _load(path, content, run, others, key, noun)


def _load(path: Path, content: Mapping[str, Any], run: RunFile, others: str, key: Key | None, noun: Noun) -> Replayed:
    digest = plan_digest(content)
    sealed = key is not None and key.holds(digest, _object(path / RUN))
    references = _references(path, content)
    count = 0

    def lines() -> Iterator[tuple[str, tuple[OutputRow, str]]]:
        nonlocal count, sealed
        for values, where in _lines(path / CAPTIONS):
            line = read(OutputLine, values, where)
            sealed = sealed and key is not None and key.holds(digest, values)
            if line.id not in references:
                raise EvaluationError(f"{where}: {text.row(noun)} {line.id!r} is not one of the plan's.")
            count += 1
            yield line.id, (row_of(line.output(references[line.id])), line.image)

    found = spool.by_name(lines(), lambda own: size_of(own[0]))
    if len(found) < count:
        name, where = _twice(path / CAPTIONS)
        raise EvaluationError(f"{where}: {text.row(noun)} {name!r} has {text.a(noun)} already.")
    outputs = outputs_of(spool.values(found, itemgetter(0)))
    if len(outputs) < len(references) or run.created_at is None:
        raise EvaluationError(
            f"{shown(path / CAPTIONS)}:{len(outputs)}: {len(outputs):,} of {len(references):,} {noun}s: the run was not "
            "finished. Run the claim without --claims-replay: it goes on where it stopped."
        )
    where = "" if sealed else ": nothing was generated here"
    evidence = Evidence(
        basis=Basis.REPRODUCED,
        outputs=outputs,
        noun=noun,
        images=content["images"],
        population=content["population"],
        # The values instead of their model, since reports show the keys in the order of the file.
        observed=Observed(**content["observed"]),
        provenance={**run.provenance, "replayed": digest},
        notes=(f"Replayed from evidence {digest[:NAME]} of {run.created_at}{where}.{others}",),
        created_at=run.created_at,
        replayed=not sealed,
    )
    image_digests = spool.mapped(found, itemgetter(1))
    return Replayed(evidence=evidence, plan=content, image_digests=image_digests, sealed=sealed)


def _references(path: Path, content: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
    count = 0

    def lines() -> Iterator[tuple[str, tuple[str, ...]]]:
        nonlocal count
        for values, where in _lines(path / REFERENCES):
            line = read(ReferencesLine, values, where)
            count += 1
            yield line.id, tuple(line.references)

    references = spool.by_name(lines(), lambda texts: sum(map(len, texts)))
    if len(references) < count:
        name, where = _twice(path / REFERENCES)
        raise EvaluationError(f"{where}: image {name!r} has references already.")
    if references_digest(references) != content["references"] or len(references) != content["images"]:
        raise EvaluationError(f"{shown(path / REFERENCES)}:1: the references are not those that the plan names.")
    return references


def _twice(path: Path) -> tuple[str, str]:
    """The first id of a file that stands in an earlier line too, with the file and the line."""
    position, name = spool.first_twice(str(values["id"]) for values, _ in _lines(path)) or (0, "")
    return name, Source(shown(path), position + 1).where


def _lines(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """The values of each line, with the file and the line number."""
    name = shown(path)
    for number, line in enumerate(disk.lines(path), 1):
        where = Source(name, number)
        if not line.endswith(b"\n") and len(line) <= disk.MAX_LINE:
            raise EvaluationError(f"{where.where}: the last line is torn: a run was killed while it wrote it.")
        yield disk.parse(line.removesuffix(b"\n"), where), where.where


def _object(path: Path) -> dict[str, Any]:
    data = disk.read(path, disk.MAX_FACTS)
    if data is None:
        raise EvaluationError(f"{shown(path)}: is missing.")
    return disk.parse(data, Source(shown(path), 1))
