"""What `from-card` and `to-card` share: the metadata of a model card, read as what it is: a file from somebody else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims import text
from pytest_claims.commands import given
from pytest_claims.errors import ClaimsError

if TYPE_CHECKING:
    from pytest_claims.spec.nodes import Document

MAX_BYTES = 1_000_000
"""The most bytes of a model card. The longest cards on the hub have a few 100 kB."""

KEY = "model-index"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A model card."""

    name: str
    """Its path in messages."""
    head: str
    """What stands above the metadata, with the line `---`; empty if there are none."""
    block: str
    """The metadata as text."""
    rest: str
    """What stands below, from the line break before `---`."""
    data: dict[str, Any]
    """The metadata: lists are tuples, numbers keep their digits."""

    @property
    def models(self) -> tuple[dict[str, Any], ...]:
        """The models of `model-index`; empty if the card has none.

        Raises:
            ClaimsError: it is no list of models, each with a list of results.
        """
        found = self.data.get(KEY) or ()
        if not isinstance(found, tuple) or not all(isinstance(model, dict) for model in found):
            raise ClaimsError(f"{self.name}: {KEY}: expected a list of models, each with a name and results.")
        for model in found:
            results = model.get("results") or ()
            if not isinstance(results, tuple) or not all(isinstance(result, dict) for result in results):
                raise ClaimsError(f"{self.name}: {KEY}: expected results as a list of mappings.")
        return found

    def with_models(self, models: list[dict[str, Any]]) -> str:
        """The card's text with another `model-index`. All other lines stay as they are.

        Raises:
            ClaimsError: the metadata are written in a way that this cannot be done in.
        """
        from huggingface_hub.utils import yaml_dump  # type: ignore[attr-defined] # public, and not in `__all__`

        end = "\r\n" if "\r\n" in (self.head or self.rest) else "\n"
        new = yaml_dump({KEY: models}, sort_keys=False, line_break=end).rstrip() if models else ""
        lines = self.block.splitlines()
        first, last = _place(_parse(self.block, self.name, above=0), lines)
        lines[first:last] = new.splitlines()
        block = end.join(lines)
        others = {key: value for key, value in self.data.items() if key != KEY}
        if _parse(block, self.name, above=0).value != others | _read(new, self.name):
            raise ClaimsError(f"{self.name}: expected metadata with one key a line; they were left as they are.")
        return f"{self.head or f'---{end}'}{block}{self.rest if self.head else f'{end}---{end}{self.rest}'}"


def load(name: str) -> Card:
    """Read a model card.

    The reader of claim files reads its metadata: no tag is followed, sizes and aliases are limited, numbers keep their digits.

    Args:
        name: the path of the card, as the user gives it.

    Raises:
        ClaimsError: the file cannot be read, or its metadata are no such YAML.
    """
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    display = text.name(name)
    data = given.content(Path(name), MAX_BYTES, "a model card")
    try:
        content = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ClaimsError(f"{display}: not UTF-8 (byte {error.start}).") from None
    found = REGEX_YAML_BLOCK.search(content)
    if found is None:
        return Card(name=display, head="", block="", rest=content, data={})
    above = content.count("\n", 0, found.start(2))
    return Card(
        name=display,
        head=content[: found.end(1)],
        block=found[2],
        rest=content[found.end(2) :],
        data=_read(found[2], display, above=above),
    )


def _parse(block: str, name: str, *, above: int) -> Document:
    from pytest_claims.spec import nodes

    # A card may have no metadata yet. The line breaks make problems name the lines of the file.
    return nodes.parse(("\n" * above + (block if block.strip() else "{}")).encode(), name)


def _read(block: str, name: str, *, above: int = 0) -> dict[str, Any]:
    value = _parse(block, name, above=above).value
    if not isinstance(value, dict):
        raise ClaimsError(f"{name}:{above + 1}: expected a mapping between the lines ---.")
    return value


def _place(document: Document, lines: list[str]) -> tuple[int, int]:
    """The lines of `model-index`, from the first up to the one after the last; the end of the metadata if there is none."""
    first = document.lines.get((KEY,))
    if first is None:
        return len(lines), len(lines)
    after = [line for path, line in document.lines.items() if len(path) == 1 and line > first]
    last = min(after, default=len(lines) + 1) - 1
    while last > first and (not lines[last - 1].strip() or lines[last - 1].startswith("#")):
        last -= 1  # comments above the next key are that key's
    return first - 1, last
