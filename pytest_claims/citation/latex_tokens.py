r"""LaTeX source as tokens, with the author's own macros replaced by what they stand for.

TeX itself is a programming language, and its programs need not end. So only what tables need is done here: definitions with
`\newcommand`, `\def`, `\let` and their kin are noted where they stand, and used from there on. Conditions other than `\iffalse`
are ignored, and every count is bounded. pylatexenc, the library for this, neither replaces macros nor states types.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXPANSIONS = 200_000
"""How many macros may be replaced in one source."""

INCLUDED = 500
"""How many files may be put in."""

TOKENS = 3_000_000
"""How many tokens a source may have once its macros are replaced: 40 pages have about 150,000."""

Token: TypeAlias = str
r"""`\name`, one of `{ } & $ ~ ^ _ #`, a blank, an empty line (two line ends), or a run of other characters."""


class Unreadable(ValueError):  # noqa: N818 - what is the case
    """A source goes beyond the bounds; the message is a part of a sentence."""


_TOKEN = re.compile(
    r"\\[A-Za-z@]+\*?|\\[\s\S]|[{}&$~^_]|#[1-9]|#|%[^\n]*(?:\n[ \t]*)?|\n[ \t]*\n\s*|\s+|[^\\{}&$~^_#%\s]+"
)

_END = "\0"
"""Stands behind the last token of a file that was put in."""

KEPT = frozenset({
    r"\begin", r"\end", r"\caption", r"\captionof", r"\multicolumn", r"\multirow", r"\cmidrule", r"\cline", r"\hline",
    r"\toprule", r"\midrule", r"\bottomrule", r"\\", r"\label", r"\newcommand", r"\renewcommand", r"\providecommand",
    r"\def", r"\gdef", r"\edef", r"\let", r"\input", r"\include", r"\subfile", r"\text", r"\textbf", r"\pm", r"\dagger",
    r"\times", r"\resizebox", r"\scalebox", r"\setcounter", r"\footnote", r"\cite",
})  # fmt: skip
"""Commands that keep their meaning here, whatever the source makes of them."""

NUMBERED = r"\@numbered"
r"""Stands before what the source makes of `\thetable`."""

_DEFINING = frozenset({
    r"\newcommand", r"\newcommand*", r"\renewcommand", r"\renewcommand*", r"\providecommand", r"\providecommand*",
    r"\DeclareRobustCommand", r"\DeclareRobustCommand*", r"\DeclareMathOperator", r"\DeclareMathOperator*",
    r"\newrobustcmd",
})  # fmt: skip
_DEF = frozenset([r"\def", r"\gdef", r"\edef", r"\xdef"])
_INCLUDING = frozenset([r"\input", r"\include", r"\subfile"])


def tokens(source: str) -> list[Token]:
    """The tokens of `source`, without its comments; a blank after a command's name belongs to the name."""
    found: list[Token] = []
    for match in _TOKEN.finditer(source):
        token = match[0]
        if token[0] == "%":
            continue
        if token[0] in " \t\r\n":
            if found and len(found[-1]) > 1 and found[-1][0] == "\\" and found[-1][1].isalpha() and "\n\n" not in token:
                continue
            token = "\n\n" if token.count("\n") > 1 else " "
        found.append(token)
        if len(found) > TOKENS:
            raise Unreadable(f"it has more than {TOKENS:,} tokens")
    return found


@dataclass(slots=True)
class _Macro:
    """What a command of the author's stands for."""

    body: list[Token]
    arguments: int = 0
    default: list[Token] | None = None
    """The first argument, where it is left out."""
    primitive: bool = False
    r"""It is another name of one of LaTeX's own commands, whatever that one is made to mean later."""


@dataclass(slots=True)
class Expander:
    r"""Replaces macros.

    Args:
        read: gives the source of a file that `\input` names; None where there is none, or it may not be read.
    """

    read: Callable[[str], str | None] = field(default=lambda _: None)
    _macros: dict[str, _Macro] = field(default_factory=dict)
    _stack: list[Token] = field(default_factory=list)
    """What is still to be read, the next token last."""
    _replaced: int = 0
    _included: int = 0

    def expand(self, source: str) -> list[Token]:
        """The tokens of `source`, with macros replaced and files put in.

        Raises:
            Unreadable: the bounds are exceeded, as by a macro that stands for itself.
        """
        self._push(tokens(source))
        return list(self._expanded())

    def _push(self, found: list[Token]) -> None:
        self._stack.extend(reversed(found))
        if len(self._stack) > TOKENS:
            raise Unreadable(f"its macros make more than {TOKENS:,} tokens")

    def _expanded(self) -> Iterator[Token]:
        stack, macros, given = self._stack, self._macros, 0
        while stack:
            token = stack.pop()
            if token[0] == "\\":
                if (macro := macros.get(token)) is not None:
                    if not macro.primitive:
                        self._replace(macro)
                        continue
                    token = macro.body[0]
                if token in _DEFINING:
                    self._define(operator=token.startswith(r"\DeclareMathOperator"))
                    continue
                if token in _DEF:
                    self._def()
                    continue
                if token == r"\let":
                    self._let()
                    continue
                if token in _INCLUDING:
                    self._include()
                    continue
                if token == r"\iffalse":
                    self._skip_false()
                    continue
                if token == r"\endinput":
                    self._end_file()
                    continue
            elif token == _END:
                continue
            given += 1
            if given > TOKENS:
                raise Unreadable(f"it has more than {TOKENS:,} tokens")
            yield token

    def _replace(self, macro: _Macro) -> None:
        self._replaced += 1
        if self._replaced > EXPANSIONS:
            raise Unreadable(f"more than {EXPANSIONS:,} macros are replaced in it; does one stand for itself?")
        arguments: list[list[Token]] = []
        for place in range(macro.arguments):
            optional = place == 0 and macro.default is not None
            arguments.append(
                (self._optional() if optional else None) or (macro.default or [] if optional else self._argument())
            )
        body: list[Token] = []
        for token in macro.body:
            if token[0] == "#" and len(token) == 2 and int(token[1]) <= len(arguments):
                body.extend(arguments[int(token[1]) - 1])
            else:
                body.append(token)
            if len(body) > TOKENS:
                raise Unreadable(f"its macros make more than {TOKENS:,} tokens")
        self._push(body)

    def _blanks(self) -> None:
        while self._stack and self._stack[-1] in (" ", "\n\n"):
            self._stack.pop()

    def _argument(self) -> list[Token]:
        """The next group without its braces, or the next character."""
        self._blanks()
        stack = self._stack
        if not stack:
            return []
        token = stack.pop()
        if token != "{":
            if token[0] != "\\" and len(token) > 1 and token[0] != "#":
                stack.append(token[1:])
                return [token[0]]
            return [token]
        depth, found = 1, []
        while stack:
            token = stack.pop()
            depth += (token == "{") - (token == "}")
            if not depth:
                break
            found.append(token)
        return found

    def _optional(self) -> list[Token] | None:
        """What stands in brackets next; None if no bracket does."""
        self._blanks()
        stack = self._stack
        if not stack or not stack[-1].startswith("["):
            return None
        found: list[Token] = []
        stack[-1] = stack[-1][1:]
        depth = 0
        while stack:
            token = stack.pop()
            depth += (token == "{") - (token == "}")
            if not depth and "]" in token and token[0] != "\\":
                inside, _, rest = token.partition("]")
                found += [inside] if inside else []
                if rest:
                    stack.append(rest)
                break
            if token:
                found.append(token)
        return found

    def _keep(self, name: Token, macro: _Macro) -> None:
        if name == r"\thetable":
            self._push([NUMBERED, "{", *macro.body, "}"])
        if name[:1] == "\\" and name not in KEPT and name.rstrip("*") not in KEPT:
            self._macros[name] = macro

    def _define(self, *, operator: bool) -> None:
        (name, *_) = self._argument() or [""]
        count = "".join(self._optional() or ()) if not operator else ""
        arguments = int(count) if count.isascii() and count.isdigit() and len(count) == 1 else 0
        default = self._optional() if arguments else None
        self._keep(name, _Macro(self._argument(), arguments, default))

    def _def(self) -> None:
        self._blanks()
        name = self._stack.pop() if self._stack else ""
        pattern: list[Token] = []
        while self._stack and self._stack[-1] != "{":
            pattern.append(self._stack.pop())
            if len(pattern) > 40:
                return
        arguments = sum(token[0] == "#" and len(token) == 2 for token in pattern)
        if arguments == len([token for token in pattern if token != " "]):
            self._keep(name, _Macro(self._argument(), arguments))
        else:
            self._argument()  # arguments that end with texts of their own

    def _let(self) -> None:
        self._blanks()
        name = self._stack.pop() if self._stack else ""
        self._blanks()
        if self._stack and self._stack[-1].startswith("="):
            rest = self._stack.pop()[1:]
            if rest:
                self._stack.append(rest)
            self._blanks()
        meaning = self._stack.pop() if self._stack else ""
        primitive = meaning[:1] == "\\"
        self._keep(name, self._macros.get(meaning) or _Macro([meaning] if meaning else [], primitive=primitive))

    def _include(self) -> None:
        self._blanks()
        # TeX's own \input has no braces: its name ends at a blank.
        bare = self._stack and self._stack[-1] != "{"
        name = self._stack.pop() if bare else "".join(self._argument())
        text = self.read(name.strip())
        if text is not None:
            self._included += 1
            if self._included > INCLUDED:
                raise Unreadable(f"it includes more than {INCLUDED} files")
            self._push([*tokens(text), " ", _END])

    def _end_file(self) -> None:
        """Leave out the rest of the file."""
        while self._stack and self._stack.pop() != _END:
            pass

    def _skip_false(self) -> None:
        depth = 1
        while self._stack and depth:
            token = self._stack.pop()
            if token.startswith(r"\if") and token not in (r"\iff", r"\ifx"):
                depth += 1
            elif token == r"\fi" or (token == r"\else" and depth == 1):
                depth -= 1
