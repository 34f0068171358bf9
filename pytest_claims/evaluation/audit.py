"""Audits evidence: generates some of its outputs again, and compares them.

The sample of images depends on the user's secret key, so nobody else can predict it when writing evidence.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_claims import text
from pytest_claims.errors import EvaluationError
from pytest_claims.evidence import column
from pytest_claims.store import recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    made = found.evidence.outputs
    seed = setup.recipe.observed.seed or 0
    drawn = bench.store.key.draw(found.evidence.digest, seed, column(made, "id"), bench.audit or 0)
    chosen = frozenset(drawn)
    outputs = {output.id: output for output in made if output.id in chosen}
    for name in drawn:
        if setup.split.digest(name) != found.image_digests[name]:
            raise EvaluationError(f"Audit: the evidence has {text.a(setup.recipe.noun)} of another image for {name}.")
    why = "; ".join(f"{key}: {evidence!r}, here {here!r}" for key, (evidence, here) in elsewhere.items())
    note = _compare(setup, bench, outputs, len(made), f" The evidence was made otherwise: {why}." if why else "")
    return replace(found.evidence, notes=(*found.evidence.notes, note))


def reused(setup: Prepared, bench: Bench, evidence: Evidence, folder: Folder) -> Evidence:
    """The evidence of a run, with a note that the audit of its outputs from earlier runs found no difference.

    Raises:
        EvaluationError: an output differs. The message names the ids.
    """
    reused = folder.reused
    if not reused:
        note = f"Audit: nothing to do, every {setup.recipe.noun} was generated in this run."
    else:
        drawn = bench.store.key.draw(evidence.digest, evidence.observed.seed or 0, reused, bench.audit or 0)
        note = _compare(setup, bench, {name: reused[name] for name in drawn}, len(reused), "")
    return replace(evidence, notes=(*evidence.notes, note))


def _compare(setup: Prepared, bench: Bench, outputs: Mapping[str, Output], total: int, why: str) -> str:
    """A sentence about outputs of the evidence, after they were generated again.

    Args:
        setup: generates them.
        bench: shows the progress.
        outputs: the outputs that were drawn, by id.
        total: of how many.
        why: what may explain a difference.
    """
    again: dict[str, Output] = {}
    noun, drawn = setup.recipe.noun, sorted(outputs)
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
    return f"Audit: {len(drawn):,} of {total:,} {noun}s were generated again, and none differs from the evidence."
