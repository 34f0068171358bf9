"""YAML text → plain values that know the line they came from.

PyYAML's constructors lose what a claim depends on: `43.70` becomes 43.7, `no` becomes False, `12:30` becomes 750, and the
last of two equal keys wins. So this module takes YAML nodes and builds the values itself, by the rules of YAML 1.2's core
schema. It never constructs anything from a tag, so a claim file cannot run code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from pytest_claims.errors import SpecError
from pytest_claims.spec import hints

if TYPE_CHECKING:
    from collections.abc import Mapping

    import yaml

Path: TypeAlias = tuple[str | int, ...]
"""Where a value stands in its file: `("claims", 0, "reported", "value")`."""

# A person writes a claim file by hand; the largest shipped one has 12 claims and 8 kB. The limits allow about 100 times as
# much. They stop the "billion laughs" attack: a short file whose aliases stand for lists of aliases, so that it expands to
# billions of values.
MAX_BYTES = 1_000_000
MAX_NODES = 100_000
MAX_DEPTH = 20
MAX_ALIASES = 100
MAX_PROBLEMS = 100
"""How many problems of one file are reported. A file of another kind would otherwise give megabytes."""

_NULL = {"", "~", "null", "Null", "NULL"}
_TRUE = {"true", "True", "TRUE"}
_FALSE = {"false", "False", "FALSE"}
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What YAML 1.2 does not allow in a file (section 5.1). libyaml finds them too, but gives a byte; we need the line."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]{1,40}(?:\.[0-9]{0,40})?)(?:[eE][-+]?[0-9]{1,3})?")


class Digits(float):
    """A number that keeps the digits it was written with: `43.70` is not `43.7`."""

    text: str

    def __new__(cls, text: str) -> Self:
        """The number that `text` writes."""
        number = super().__new__(cls, text)
        number.text = text
        return number


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The values of a YAML file, with the line of every key and item."""

    value: Any
    lines: Mapping[Path, int] = field(repr=False)

    def line(self, path: Path) -> int:
        """The 1-based line of `path`, or of its nearest parent that the file holds."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def scalar(text: str) -> str | int | float | bool | None:
    """The value of a plain (unquoted) scalar under YAML 1.2's core schema, numbers in decimal notation only."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        number = Digits(text)
        return number if abs(number) != float("inf") else text
    return text


def parse(data: bytes, display: str) -> Document:
    """Parse one YAML document.

    Args:
        data: the file's bytes.
        display: the file's name in messages.

    Raises:
        SpecError: the bytes are not UTF-8 or not YAML, hold a tag or a duplicate key, or exceed a limit above.
    """
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    if len(data) > MAX_BYTES:
        raise SpecError([f"{display}:1: the file has {len(data):,} bytes, a claim file may have {MAX_BYTES:,}"])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SpecError([f"{display}:{line}: not UTF-8 (byte {error.start}: {data[error.start]:#04x})"]) from None
    if bad := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        raise SpecError([f"{display}:{line}: not YAML: the control character U+{ord(bad[0]):04X} is not allowed"])
    try:
        _check_events(yaml.parse(text, Loader=loader), display)
        root = yaml.compose(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        stopped = "".join(text.split("\n")[mark.line : mark.line + 1]) if mark else ""
        if mark and stopped[mark.column :][:1] == "\t":
            what = "a tab cannot indent, use spaces"
        elif mark:
            what += hints.syntax(what, stopped, mark.column)
        raise SpecError([f"{display}:{mark.line + 1 if mark else 1}: not YAML: {what}"]) from None
    except (yaml.YAMLError, ValueError) as error:
        # On an absurd version number or escape, int() or chr() fails in PyYAML's pure Python loader, which lets the error pass.
        raise SpecError([f"{display}:1: not YAML: {str(error).splitlines()[0]}"]) from None
    if root is None:
        raise SpecError([f"{display}:1: the file is empty, expected the keys paper, protocol, run and claims"])
    builder = _Builder(display)
    value = builder.build(root, ())
    if builder.problems:
        raise SpecError(capped(builder.problems, display))
    return Document(value=value, lines=builder.lines)


def _check_events(events: Any, display: str) -> None:
    """Refuse what the composer must not see, since it recurses into nested values and follows every alias."""
    import yaml

    depth = nodes = aliases = 0
    for event in events:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
        nodes += isinstance(event, yaml.NodeEvent)
        if getattr(event, "tag", None) is not None:
            raise SpecError(
                [f"{display}:{line}: the tag {event.tag!r} is not allowed, a claim file holds plain values"]
            )
        if isinstance(event, yaml.ScalarEvent) and _SURROGATE.search(event.value):  # libyaml refuses the escape itself
            raise SpecError([f"{display}:{line}: not YAML: a lone surrogate (\\ud800 to \\udfff) is not a character"])
        for what, count, limit in (
            ("levels of nesting", depth, MAX_DEPTH),
            ("aliases", aliases, MAX_ALIASES),
            ("values", nodes, MAX_NODES),
        ):
            if count > limit:
                raise SpecError([f"{display}:{line}: more than {limit:,} {what}"])


class _Builder:
    """Builds values from nodes and collects every problem of the file on the way."""

    def __init__(self, display: str) -> None:
        self.display = display
        self.lines: dict[Path, int] = {}
        self.problems: list[str] = []
        self._budget = MAX_NODES

    def build(self, node: Any, path: Path) -> Any:
        import yaml

        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self._budget -= 1
        # Aliases within aliased values multiply, and a value that contains itself would never end.
        if self._budget < 0 or len(path) > MAX_DEPTH:
            raise SpecError(
                [f"{self.display}:{line}: the aliases of this file expand to more than a claim file may hold"]
            )
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return tuple(self.build(child, (*path, index)) for index, child in enumerate(node.value))
        quoted = node.style in ("'", '"', "|", ">")  # plain is None in PyYAML's parser and "" in libyaml's
        return node.value if quoted else scalar(node.value)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        import yaml

        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(f"{self.display}:{line}: a key must be a word, not a list or a mapping")
                continue
            key = key_node.value
            if key == "<<" and not key_node.style:
                self.problems.append(
                    f"{self.display}:{line}: merge keys (<<) are not supported; claims share the sections protocol and run"
                )
                continue
            if key in result:
                first = self.lines[(*path, key)]
                self.problems.append(
                    f"{self.display}:{line}: duplicate key {key!r} in {show(path)}, first given in line {first}"
                )
                continue
            self.lines[(*path, key)] = line
            result[key] = self.build(value_node, (*path, key))
        return result


def capped(problems: list[str], display: str) -> list[str]:
    """The first `MAX_PROBLEMS`, and how many more there are."""
    more = len(problems) - MAX_PROBLEMS
    return problems if more <= 0 else [*problems[:MAX_PROBLEMS], f"{display}:1: and {more:,} more problems"]


def show(path: Path) -> str:
    """`("claims", 0, "reported")` → `claims[0].reported`; the root is `the file`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"
