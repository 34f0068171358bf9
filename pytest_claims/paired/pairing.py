"""Whether two runs may be compared image by image. What may differ is the checkpoint; nothing else may."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_claims.evidence import Evidence

AXES = ("dataset", "split", "prompt", "decoding", "ranking", "precision")
"""The axes that must be the same. The image processor may differ: it is part of what is released, and it is reported."""

RECORDED = ("torch", "transformers", "tokenizers", "pillow", "device", "decoder")
"""Facts of the machine that may move a caption. A difference is noted."""


def problems(candidate: Evidence, reference: Evidence) -> Iterator[str]:
    """What differs between two runs so that their images cannot be paired, one text each; nothing if they can be."""
    for axis in AXES:
        yield from _differing(axis, getattr(candidate.observed, axis), getattr(reference.observed, axis))
    ours = {"images": candidate.observed.scored, "of": candidate.population, "seed": candidate.observed.seed}
    theirs = {"images": reference.observed.scored, "of": reference.population, "seed": reference.observed.seed}
    yield from _differing("sample", ours, theirs)
    own, other = ({output.id: output.references for output in evidence.outputs} for evidence in (candidate, reference))
    if own.keys() != other.keys():
        yield f"images: {len(own.keys() ^ other.keys()):,} ids are in one of the two runs only"
    elif own != other:
        first = next(name for name, references in own.items() if references != other[name])
        yield f"references: those of {first} differ"


def notes(candidate: Evidence, reference: Evidence) -> Iterator[str]:
    """What a reader should know about two runs that were compared."""
    for name in RECORDED:
        ours, theirs = candidate.provenance.get(name), reference.provenance.get(name)
        if ours != theirs and None not in (ours, theirs):
            yield f"The reference ran with {name} {theirs}, the candidate with {ours}; this alone can change {candidate.noun}s."
    digests = {(evidence.observed.checkpoint or {}).get("digest") for evidence in (candidate, reference)}
    if len(digests) == 1 and None not in digests:
        yield "The files of the candidate are those of the reference."


def _differing(axis: str, ours: Mapping[str, Any] | None, theirs: Mapping[str, Any] | None) -> Iterator[str]:
    one, other = ours or {}, theirs or {}
    for key in sorted({*one, *other} - {"changed"}):  # `changed` compares a candidate with its reference in words
        if _text(one.get(key)) != _text(other.get(key)):
            yield f"{axis}: {key} is {_short(other.get(key))} for the reference and {_short(one.get(key))} for the candidate"


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _short(value: object, limit: int = 60) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
