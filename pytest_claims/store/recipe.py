"""The recipe of outputs: everything that determines them. It gives `plan.json`, and the digest that names the folder."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_claims import digests, spool
from pytest_claims.nested import flat
from pytest_claims.protocol import facts_of
from pytest_claims.store.format import PLAN, SCHEMA, PlanFile, read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_claims.protocol import Observed
    from pytest_claims.spec import Noun


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that determines the outputs of a run, and nothing else. Runs with equal recipes give the same outputs."""

    asked: Mapping[str, Any]
    """`CheckpointPlan.asked`. A replay, which has neither model nor data, finds its evidence by it."""
    observed: Observed
    """The protocol of the run, which is compared with the paper's."""
    details: Mapping[str, Any]
    """What else affects outputs: image processing, end tokens, model, tokenizer, versions, kind of device, decoder."""
    references: Mapping[str, tuple[str, ...]]
    """The ids that were drawn, each with its reference captions."""
    population: int | None
    """The number of images in the split, if the ids are a sample of it; None if they are the whole split."""
    noun: Noun = "caption"
    """What an output is called. It is no part of `plan.json`: `asked` says what was run."""

    def content(self) -> dict[str, Any]:
        """The content of `plan.json`, in plain JSON values. Reports show its keys in this order."""
        values = {
            "schema": SCHEMA,
            "asked": self.asked,
            "observed": facts_of(replace(self.observed, scored=len(self.references))),
            "images": len(self.references),
            "population": self.population,
            "references": references_digest(self.references),
            **self.details,
        }
        plain: dict[str, Any] = json.loads(json.dumps(values, allow_nan=False))
        read(PlanFile, plain, PLAN)  # so that no plan is written that the reader would refuse
        return plain


def canonical(value: Any) -> str:
    """A value as canonical JSON: equal values give equal text. Digests and seals are taken over this text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def plan_digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of a plan's content. Its first digits name the folder."""
    return digests.of(canonical(content))


def references_digest(references: Mapping[str, tuple[str, ...]]) -> str:
    """SHA-256 over the ids and their references, in the order of the ids."""
    return digests.of_json_list(([name, list(texts)] for name, texts in spool.entries(references)), compact=True)


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The dotted keys on which two plans differ, with both values; None stands for a key that is not there."""
    one, other = dict(flat(first)), dict(flat(second))
    keys = [*one, *(key for key in other if key not in one)]
    return {key: (one.get(key), other.get(key)) for key in keys if not _equal(one.get(key), other.get(key))}


def _equal(one: Any, other: Any) -> bool:
    # In Python, 1 == True == 1.0, but they are different settings.
    return canonical(one) == canonical(other)
