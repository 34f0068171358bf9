"""A claim file's values → models. What is wrong with one is noted as a sentence with its line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from pytest_claims.errors import nearest, nearest_name
from pytest_claims.spec import explain, hints, nodes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

M = TypeVar("M", bound=BaseModel)


class File:
    """A claim file, and every problem that was found in it.

    Args:
        document: its values and lines.
        display: its name in messages.
    """

    def __init__(self, document: nodes.Document, display: str) -> None:
        self.document = document
        self.display = display
        self.problems: list[tuple[int, str]] = []
        """Line and sentence, in the order in which they were found."""
        self.misspelt: set[str] = set()
        """Sections whose key is misspelt. That is reported; that claims then lack the section is not reported too."""

    def problem(self, at: nodes.Path, text: str) -> None:
        """Note what is wrong at a path."""
        line = self.document.line(at)
        self.problems.append((line, f"{self.display}:{line}: {text}"))

    def section(self, parent: Mapping[str, Any], at: nodes.Path) -> dict[str, Any]:
        """The mapping under the last key of `at`; an empty one if it is left out or no mapping."""
        value = parent.get(str(at[-1]), {})
        if isinstance(value, dict):
            return value
        self.problem(at, f"{nodes.show(at)}: expected a mapping, got {explain.describe(value)}")
        return {}

    def validate(
        self,
        model: type[M],
        value: Any,
        at: nodes.Path,
        *,
        fallback: nodes.Path | None = None,
        more: Sequence[str] = (),
    ) -> M | None:
        """`value` as `model`, or None after noting every problem.

        Args:
            model: the model.
            value: the plain value.
            at: its path in the claim.
            fallback: the path of the shared section that it may come from.
            more: further valid keys; a misspelt key may be meant for one of them.
        """
        if not isinstance(value, dict):
            self.problem(at, f"{nodes.show(at)}: expected a mapping, got {explain.describe(value)}")
            return None
        try:
            return model.model_validate(value)
        except ValidationError as error:
            details = error.errors(include_url=False)
            misspelt = {
                (*detail["loc"][:-1], match)
                for detail in details
                if detail["type"] == "extra_forbidden"
                for match in [nearest_name(str(detail["loc"][-1]), [*explain.keys(model, detail["loc"][:-1]), *more])]
            }
            unions: dict[tuple[nodes.Path, str], list[str]] = {}
            for detail in details:
                # A misspelt key is one mistake, so the key that it stands for is not reported as missing.
                if detail["type"] in ("extra_forbidden", "missing"):
                    if detail["loc"] not in misspelt or detail["type"] != "missing":
                        self.explain_key(model, detail, at, fallback, more, before=_before(value, detail["loc"]))
                    continue
                place = self.place((*at, *explain.steps(value, detail["loc"])), fallback)
                expected, got = explain.explained(detail)
                # pydantic gives one error per member of a union. That is one mistake, so it becomes one sentence.
                unions.setdefault((place, got), []).append(expected)
            for (place, got), members in unions.items():
                self.problem(place, f"{nodes.show(place)}: {explain.either(members)}, got {got}")
            return None

    def explain_key(
        self,
        model: type[BaseModel],
        detail: Any,
        at: nodes.Path,
        fallback: nodes.Path | None,
        more: Sequence[str],
        *,
        before: tuple[str, str] | None,
    ) -> None:
        """Note an unknown key or a missing one. `before`: the key before it, and its value."""
        *parents, key = detail["loc"]
        if detail["type"] == "missing":
            place = self.place((*at, *parents), fallback)
            self.problem(place, f"{nodes.show(place)} lacks the required key {key!r}")
            return
        place = self.place((*at, *parents, key), fallback)
        known = [*explain.keys(model, tuple(parents)), *more]
        hint = hints.comma(str(key), before) or nearest(str(key), known) or f"; known: {', '.join(known)}"
        self.problem(place, f"unknown key {explain.short(str(key))!r} in {nodes.show(place[:-1])}{hint}")

    def check_keys(
        self, at: nodes.Path, value: Mapping[str, Any], known: Sequence[str], required: Sequence[str]
    ) -> None:
        """Note the keys of `value` that are not known, and the required ones that it lacks."""
        for key in value:
            if key not in known:
                hint = nearest(key, known) or f"; known: {', '.join(known)}"
                self.problem((*at, key), f"unknown key {explain.short(key)!r} in {nodes.show(at)}{hint}")
                self.misspelt.add(nearest_name(key, known) or "")
        for key in required:
            if key not in value and key not in self.misspelt:
                self.problem(at, f"{nodes.show(at)} lacks the required key {key!r}")

    def place(self, path: nodes.Path, fallback: nodes.Path | None) -> nodes.Path:
        """Where a merged value stands in the file: in the claim's own section, or in the shared one.

        If neither holds the value, because it was left out, this is its nearest parent that one of them holds.
        """
        if path in self.document.lines or fallback is None:
            return path
        claim_parts = 2  # ("claims", 0)
        below = path[claim_parts:]
        for length in range(len(below), 0, -1):
            for place in ((*path[:claim_parts], *below[:length]), below[:length]):
                if place in self.document.lines:
                    return place
        return path[:claim_parts]


def _before(value: Any, loc: Sequence[str | int]) -> tuple[str, str] | None:
    """The key that stands before an unknown key in its mapping, and that key's value as its file writes it."""
    for part in loc[:-1]:
        value = value.get(str(part)) if isinstance(value, dict) else None
    names = list(value) if isinstance(value, dict) else []
    position = names.index(loc[-1]) if loc[-1] in names else 0
    return (names[position - 1], explain.quote(value[names[position - 1]])) if position else None


def quietly(model: type[M], value: object) -> M | None:
    """`value` as `model`, or None if it is not valid. Its problems are noted elsewhere, where the whole claim is validated."""
    try:
        return model.model_validate(value)
    except ValidationError:
        return None
