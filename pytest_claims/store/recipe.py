"""What decides a caption: the content of `plan.json`, and the digest that names an evidence folder."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_claims import digests
from pytest_claims.nested import flat
from pytest_claims.protocol import facts_of
from pytest_claims.store.format import PLAN, SCHEMA, PlanFile, read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_claims.protocol import Observed


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Two runs with one recipe give the same captions; whatever cannot change a caption is left out."""

    asked: Mapping[str, Any]
    """`Plan.asked`: by this evidence is found where neither model nor data are at hand."""
    observed: Observed
    """What the run does, as it is compared with the paper."""
    details: Mapping[str, Any]
    """What else decides: image processing, token ids of the prompt, tokenizer, versions, kind of device, decoder."""
    references: Mapping[str, tuple[str, ...]]
    """The ids that were drawn, each with its reference captions."""
    population: int | None
    """Images of the split that the ids are a sample of; None: they are all of it."""

    def content(self) -> dict[str, Any]:
        """The content of `plan.json`, as it reads when it comes back from the file: reports show keys in this order."""
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
        read(PlanFile, plain, PLAN)  # what no reader would take must not be written
        return plain


def canonical(value: Any) -> str:
    """JSON with one way to write each value: what digests and seals are taken over."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def plan_digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of a plan's content; its first digits name the folder."""
    return digests.of(canonical(content))


def references_digest(references: Mapping[str, tuple[str, ...]]) -> str:
    """SHA-256 over ids and references, in the order of the ids."""
    return digests.of(canonical([[name, list(references[name])] for name in sorted(references)]))


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The dotted keys on which two plans differ, with both values; None stands for a key that is not there."""
    one, other = dict(flat(first)), dict(flat(second))
    keys = [*one, *(key for key in other if key not in one)]
    return {key: (one.get(key), other.get(key)) for key in keys if not _equal(one.get(key), other.get(key))}


def _equal(one: Any, other: Any) -> bool:
    # 1 and True and 1.0 are equal to Python, and not the same setting.
    return canonical(one) == canonical(other)
