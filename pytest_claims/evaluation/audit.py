"""Audits evidence: generates some of its outputs again, and compares them.

The sample of images depends on the user's secret key, so nobody else can predict it when writing evidence.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_claims import text
from pytest_claims.errors import EvaluationError
from pytest_claims.store import recipe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_claims.bench import Bench
    from pytest_claims.evaluation.executor import Prepared
    from pytest_claims.evidence import Evidence, Output
    from pytest_claims.store import Folder, Replayed


def replayed(setup: Prepared, bench: Bench, found: Replayed) -> Evidence:
    """The replayed evidence, with a note that the audit found no difference.

    Raises:
        EvaluationError: a difference was found. The message names the key, or the ids of the outputs.
    """
    ours, theirs = setup.recipe.content(), found.plan
    for part in ("observed", "references"):
        differing = recipe.differences({part: theirs[part]}, {part: ours[part]})
        for key, (evidence, here) in differing.items():
            raise EvaluationError(
                f"Audit: the evidence is not of this model and data: {key} is {evidence!r}, here {here!r}."
            )
    elsewhere = recipe.differences(theirs, ours)
    outputs = {output.id: output for output in found.evidence.outputs}
    drawn = bench.store.key.draw(found.evidence.digest, setup.recipe.observed.seed or 0, outputs, bench.audit or 0)
    for name in drawn:
        if setup.split.digest(name) != found.image_digests[name]:
            raise EvaluationError(f"Audit: the evidence has {text.a(setup.recipe.noun)} of another image for {name}.")
    why = "; ".join(f"{key}: {evidence!r}, here {here!r}" for key, (evidence, here) in elsewhere.items())
    note = _compare(setup, bench, outputs, drawn, f" The evidence was made otherwise: {why}." if why else "")
    return replace(found.evidence, notes=(*found.evidence.notes, note))


def reused(setup: Prepared, bench: Bench, evidence: Evidence, folder: Folder) -> Evidence:
    """The evidence of a run, with a note that the audit of its outputs from earlier runs found no difference.

    Raises:
        EvaluationError: an output differs. The message names the ids.
    """
    if not folder.reused:
        note = f"Audit: nothing to do, every {setup.recipe.noun} was generated in this run."
    else:
        outputs = {name: folder.output(name) for name in folder.reused}
        seed = evidence.observed.seed or 0
        drawn = bench.store.key.draw(evidence.digest, seed, outputs, bench.audit or 0)
        note = _compare(setup, bench, outputs, drawn, "")
    return replace(evidence, notes=(*evidence.notes, note))


def _compare(setup: Prepared, bench: Bench, outputs: Mapping[str, Output], drawn: Sequence[str], why: str) -> str:
    again: dict[str, Output] = {}
    noun = setup.recipe.noun
    with bench.progress(len(drawn), "audit") as bar:
        for output, _ in setup.caption(drawn):
            again[output.id] = output
            bar.update(1)
    wrong = [name for name in drawn if again[name] != outputs[name]]
    if wrong:
        names = ", ".join(wrong[:20]) + (f" and {len(wrong) - 20} more" if len(wrong) > 20 else "")
        first = wrong[0]
        raise EvaluationError(
            f"Audit: {len(wrong):,} of {len(drawn):,} {noun}s differ from the evidence: {names}. Of {first} the evidence says "
            f"{outputs[first].shown!r}, generated again it is {again[first].shown!r}.{why}"
        )
    return (
        f"Audit: {len(drawn):,} of {len(outputs):,} {noun}s were generated again, and none differs from the evidence."
    )
