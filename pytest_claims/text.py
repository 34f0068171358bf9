"""Text that is not ours, made safe for where it is printed. Nothing else in the project does this.

Captions, ids, keys, file names and messages of libraries come from strangers, and end in terminals, CI logs and XML files. A
control character steers a terminal. A line that starts with `::` is a command to GitHub's runner, which skips the space before
it; `##vso[`, `##[` and `##teamcity[` are commands to others, wherever they stand in a line.
"""

from __future__ import annotations

import os
import re

LINE = 1_000
"""Characters of one line in a terminal; whoever wants more of a text that long finds it in the reports."""

# C0 and C1 controls (escape sequences among them), bidirectional overrides, lone surrogates and non-characters.
_CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff"
_UNSAFE = re.compile(f"[{_CONTROL}]")

# A backslash is escaped in a name, so that two names never become one; on Windows it separates folders.
_UNSAFE_IN_NAME = re.compile(f"[\t\n{_CONTROL}{'' if os.sep != '/' else chr(92) * 2}]|(?<=:):|(?<=#)#")

_COMMAND_AT_START = re.compile(r"[\s\ufeff\u200b]*(?=::|##)")
_COMMAND_ANYWHERE = re.compile(r"#(?=#\w*\[)")


def clean(text: str) -> str:
    """`text` without what could steer a terminal or break an XML file; such characters become U+FFFD."""
    return _UNSAFE.sub("\ufffd", text)


def line(text: str) -> str:
    """`text` as one line that commands nothing, cut where it is too long for a terminal."""
    folded = _harmless(clean(" ".join(text.split())))
    return folded if len(folded) <= LINE else f"{folded[:LINE]} … ({len(folded) - LINE:,} more characters)"


def block(text: str) -> str:
    """`text` with the lines that it has, none of which commands anything."""
    parts = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(_harmless(clean(part)) for part in parts)


def name(text: str) -> str:
    r"""A path, or a part of one, that stands anywhere: control characters, `::` and `##` are escaped, as in `a\nb` and `:\:x`.

    Different names stay different.
    """
    return _UNSAFE_IN_NAME.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    found = match[0]
    return f"\\{found}" if found in ":#" else found.encode("unicode_escape").decode("ascii")


def _harmless(text: str) -> str:
    text = _COMMAND_ANYWHERE.sub(r"#\\", text)
    start = _COMMAND_AT_START.match(text)
    return text if start is None else f"{start[0]}\\{text[start.end() :]}"
