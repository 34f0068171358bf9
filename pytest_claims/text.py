"""Makes untrusted text safe to print. No other module of the project does this.

Captions, ids, keys, file names and messages of libraries come from other people, and are printed to terminals, CI logs and XML
files. A control character can control a terminal. A line that starts with `::` is a command to GitHub's runner, which ignores
the space before it. `##vso[`, `##[` and `##teamcity[` are commands to other CI systems, anywhere in a line.
"""

from __future__ import annotations

import os
import re

LINE = 1_000
"""The most characters of one line in a terminal. The reports hold the whole text."""

# C0 and C1 controls (they start escape sequences), bidirectional overrides, lone surrogates and non-characters.
_CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff"
_UNSAFE = re.compile(f"[{_CONTROL}]")

# A backslash is escaped too, so that two different names never become equal; except on Windows, where it separates folders.
_UNSAFE_IN_NAME = re.compile(f"[\t\n{_CONTROL}{'' if os.sep != '/' else chr(92) * 2}]|(?<=:):|(?<=#)#")

_COMMAND_AT_START = re.compile(r"[\s\ufeff\u200b]*(?=::|##)")
_COMMAND_ANYWHERE = re.compile(r"#(?=#\w*\[)")


def clean(text: str) -> str:
    """`text` with U+FFFD in place of characters that could control a terminal or break an XML file."""
    return _UNSAFE.sub("\ufffd", text)


def line(text: str) -> str:
    """`text` as one line that no CI system takes for a command, shortened to `LINE` characters."""
    folded = _harmless(clean(" ".join(text.split())))
    return folded if len(folded) <= LINE else f"{folded[:LINE]} … ({len(folded) - LINE:,} more characters)"


def block(text: str) -> str:
    """`text` with its line breaks kept; no CI system takes one of its lines for a command."""
    parts = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(_harmless(clean(part)) for part in parts)


def name(text: str) -> str:
    r"""A path, or a part of one, that is safe at any place in a line.

    Control characters, `::` and `##` are escaped, as in `a\nb` and `:\:x`. Different names stay different.
    """
    return _UNSAFE_IN_NAME.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    found = match[0]
    return f"\\{found}" if found in ":#" else found.encode("unicode_escape").decode("ascii")


def _harmless(text: str) -> str:
    text = _COMMAND_ANYWHERE.sub(r"#\\", text)
    start = _COMMAND_AT_START.match(text)
    return text if start is None else f"{start[0]}\\{text[start.end() :]}"
