"""Makes untrusted text safe to print. No other module of the project does this.

Captions, ids, keys, file names and messages of libraries come from other people, and are printed to terminals, CI logs, XML
and Markdown files. A control character can control a terminal. A line that starts with `::` is a command to GitHub's runner,
which ignores the space before it. `##vso[`, `##[` and `##teamcity[` are commands to other CI systems, anywhere in a line.

In Markdown, what is not ours stands in code and nowhere else: no renderer makes a link, image, mention, issue or HTML of it.
Only the end of the code itself must not be in it. An entity or a backslash is not enough: GitHub looks for mentions and
issues in the text that they give.
"""

from __future__ import annotations

import html
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


def a(noun: str) -> str:
    """A noun with its article: `a caption`, `an answer`."""
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


def row(noun: str) -> str:
    """What a row is called whose output has this noun: a caption is of an image."""
    return "image" if noun == "caption" else "row"


def cut(text: str, limit: int) -> str:
    """`text`, or as much of its beginning as `limit` characters hold, with the end marked."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def cut_middle(text: str, limit: int) -> str:
    """`text`, or its beginning and its end in `limit` characters: the ends of names tell them apart."""
    if len(text) <= limit:
        return text
    end = (limit - 1) // 2
    return f"{text[: limit - 1 - end]}…{text[len(text) - end :]}"


def code(text: str, limit: int) -> str:
    """`text` as inline code of one line, for a table or a paragraph of Markdown; `–` where there is none."""
    shown = _in_code(cut(line(text), limit))
    # Also inside code a bare | ends the cell of a table; outside a table the backslash would be seen.
    return f"`{shown.replace('|', BAR)}`" if shown else "–"


def code_element(text: str, limit: int) -> str:
    """`text` as a `<code>` of one line, for a line that is HTML in a Markdown file; `–` where there is none."""
    shown = _in_code(cut(line(text), limit))
    return f"<code>{html.escape(shown)}</code>" if shown else "–"


def code_block(text: str, limit: int) -> str:
    """`text` as a block of code of Markdown, each line with at most `limit` characters."""
    return "\n".join(["```text", *(_in_code(cut(part, limit)) for part in block(text).split("\n")), "```"])


BACKTICK = "\u02cb"
"""Stands for a backtick in code, which could end it; a longer fence is no way out, since renderers have limits."""

BAR = "\u00a6"
"""Stands for `|` in inline code."""


def _in_code(text: str) -> str:
    return text.replace("`", BACKTICK)


LEVELS = ("error", "warning", "notice")
"""What an annotation of GitHub may be."""


def annotation(level: str, title: str, message: str, *, file: str | None = None, line_number: int | None = None) -> str:
    """A workflow command of our own, the only one that this package prints: one line, in which no text is a command of its own.

    Args:
        level: one of `LEVELS`.
        title: one line.
        message: the text below the title, of any number of lines.
        file: where GitHub shows it, relative to the root of the repository.
        line_number: the line of that file.
    """
    if level not in LEVELS:
        raise ValueError(level)
    named = {"file": file and clean(file), "line": line_number and str(line_number), "title": line(title)}
    properties = ",".join(f"{key}={_property(value)}" for key, value in named.items() if value)
    return f"::{level} {properties}::{_data(block(message))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _escaped(match: re.Match[str]) -> str:
    found = match[0]
    return f"\\{found}" if found in ":#" else found.encode("unicode_escape").decode("ascii")


def _harmless(text: str) -> str:
    text = _COMMAND_ANYWHERE.sub(r"#\\", text)
    start = _COMMAND_AT_START.match(text)
    return text if start is None else f"{start[0]}\\{text[start.end() :]}"
