r"""Pieces of LaTeX as text: one line, without commands, marks of footnotes and references."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_claims.citation.latex_tokens import Expander, Token, Unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

TABULARS = {
    "tabular": 1, "tabular*": 2, "tabularx": 2, "tabulary": 2, "longtable": 1, "supertabular": 1, "NiceTabular": 1, "tblr": 1,
    "array": 1, "xltabular": 2, "longtblr": 1,
}  # fmt: skip
"""Environments that are tables, with how many groups follow their names."""

GROUPS = {
    "minipage": 1,
    "adjustbox": 1,
    "adjustwidth": 2,
    "wraptable": 2,
    "subtable": 1,
    "wrapfigure": 2,
    "spacing": 1,
    "resizebox": 2,
}
"""Groups that follow the name of an environment and are no text."""

_DROPPED = {
    "label": 1, "vspace": 1, "hspace": 1, "cite": 1, "citep": 1, "citet": 1, "citeyear": 1, "citealp": 1, "citealt": 1,
    "nocite": 1, "ref": 1, "cref": 1, "Cref": 1, "autoref": 1, "eqref": 1, "footnote": 1, "footnotemark": 0, "footnotetext":
    1, "tablefootnote": 1, "tnote": 1, "thanks": 1, "color": 1, "cellcolor": 1, "rowcolor": 1, "rowcolors": 3,
    "columncolor": 1, "includegraphics": 1, "setlength": 2, "addtolength": 2, "renewcommand": 2, "arraystretch": 0,
    "fontsize": 2, "pagestyle": 1, "bibliography": 1, "bibliographystyle": 1, "usepackage": 1, "documentclass": 1,
    "hypersetup": 1, "newcolumntype": 2, "definecolor": 3, "phantom": 1, "hphantom": 1, "vphantom": 1, "rule": 2,
    "specialrule": 3, "Xhline": 1, "noalign": 1, "captionsetup": 1, "url": 1, "setcounter": 2, "addtocounter": 2,
    "raisebox": 1, "adjustbox": 1, "addlinespace": 0, "arrayrulecolor": 1, "cellcolors": 1, "pagecolor": 1, "morecmidrules": 0,
    "noindent": 0, "rowfont": 1, "setlist": 1, "extracolsep": 1, "strut": 0, "global": 0, "tabcolsep": 0, "textheight": 0,
}  # fmt: skip
"""Commands whose arguments are no text, with how many they have; brackets before these are dropped too."""

_UNWRAPPED = {
    "textcolor": 1, "resizebox": 2, "scalebox": 1, "rotatebox": 1, "parbox": 1, "href": 1, "colorbox": 1, "fcolorbox": 2,
    "makebox": 0, "raisebox": 1, "multirowcell": 1, "hspace": 1, "num": 0, "tablenum": 0,
}  # fmt: skip
"""Commands whose first arguments are no text, but whose last is."""

_SYMBOLS = {
    "pm": "±", "mp": "∓", "times": "×", "dagger": "†", "ddagger": "‡", "dag": "†", "ddag": "‡", "ast": "*", "star": "⋆",
    "sim": "~", "approx": "≈", "leq": "≤", "geq": "≥", "le": "≤", "ge": "≥", "uparrow": "↑", "downarrow": "↓", "rightarrow":
    "→", "to": "→", "Delta": "Δ", "alpha": "α", "beta": "β", "gamma": "γ", "lambda": "λ", "mu": "μ", "sigma": "σ",
    "checkmark": "✓", "cmark": "✓", "xmark": "✗", "textendash": "–", "textemdash": "—", "ldots": "…", "dots": "…", "infty":
    "∞", "circ": "°", "delta": "δ", "epsilon": "ϵ", "varepsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ", "iota": "ι",
    "kappa": "κ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "tau": "τ", "phi": "ϕ", "varphi": "φ", "chi": "χ", "psi": "ψ",
    "omega": "ω", "Gamma": "Γ", "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ",
    "Omega": "Ω", "ell": "ℓ", "nabla": "∇", "lt": "<", "gt": ">", "textless": "<", "textgreater": ">", "neq": "≠", "ne": "≠",
    "leftarrow": "←", "leftrightarrow": "↔", "Rightarrow": "⇒", "mid": "|", "textbar": "|", "textquotedblleft": "“",
    "textquotedblright": "”", "textdagger": "†", "textdaggerdbl": "‡", "textasteriskcentered": "*", "textdegree": "°",
    "cdot": "·", "minus": "-", "textminus": "-", "textpm": "±", "texttimes": "×", "textasciitilde": "~",
    "textuparrow": "↑", "textdownarrow": "↓", "percent": "%", "ss": "ß", "ae": "æ", "o": "ø", "aa": "å", "l": "ł",
}  # fmt: skip
_ACCENTS = {
    "'": "\u0301",
    "`": "\u0300",
    '"': "\u0308",
    "^": "\u0302",
    "~": "\u0303",
    "c": "\u0327",
    "=": "\u0304",
    ".": "\u0307",
}
_SPACES = frozenset({
    r"\,", r"\;", r"\:", r"\!", r"\quad", r"\qquad", r"\\", r"\\*", r"\newline", r"\tabularnewline", r"\par", r"\linebreak",
    r"\xspace", "\\ ", "\\\n", "\\/",
})  # fmt: skip
_MARK = re.compile(r"[\s*†‡§¶⋆★∗#0-9a-z,;]{0,6}")
"""A superscript that is a footnote's mark."""


@lru_cache(maxsize=10_000)
def plain(source: str) -> str:
    """A formula, or any other small piece of LaTeX, as text."""
    try:
        return text_of(Expander().expand(source[:2_000]))
    except Unreadable:
        return source[:200]


def group(tokens: Sequence[Token], place: int, end: int) -> tuple[int, int, int]:
    """The argument that follows: its first token, the place behind its last, and where to go on."""
    while place < end and tokens[place] in (" ", "\n\n"):
        place += 1
    if place >= end or tokens[place] != "{":
        return place, min(place + 1, end), min(place + 1, end)
    depth = 0
    for behind in range(place, end):
        depth += (tokens[behind] == "{") - (tokens[behind] == "}")
        if not depth:
            return place + 1, behind, behind + 1
    return place + 1, end, end


def bracket(tokens: Sequence[Token], place: int, end: int) -> int:
    """Where to go on behind an optional argument, or several; `place` if there is none."""
    while True:
        start = place
        while start < end and tokens[start] == " ":
            start += 1
        if start >= end or not tokens[start].startswith("["):
            return place
        for behind in range(start, min(end, start + 200)):
            if "]" in tokens[behind]:
                break
        else:
            return place
        if not tokens[behind].endswith("]"):
            return behind  # text is glued to the bracket; what stands before it is shown too
        place = behind + 1


def name_of(tokens: Sequence[Token], place: int, end: int) -> tuple[str, int]:
    r"""The name behind `\begin` or `\end`, and where to go on."""
    first, last, place = group(tokens, place, end)
    return "".join(tokens[first:last]).strip(), place


def text_of(tokens: Sequence[Token], start: int = 0, end: int | None = None) -> str:
    """Tokens as text: one line, without commands, marks of footnotes and references."""
    parts: list[str] = []
    place, end = start, len(tokens) if end is None else end
    while place < end:
        place = piece(tokens, place, end, parts)
    joined = unicodedata.normalize("NFC", "".join(parts))
    return re.sub(r"\s+", " ", joined.replace("---", "—").replace("--", "–")).strip()


def piece(tokens: Sequence[Token], place: int, end: int, parts: list[str]) -> int:
    """Append what stands at `place` as text; the place behind it."""
    token = tokens[place]
    place += 1
    if token in ("{", "}", "$"):
        return place
    if token in ("&", "~", "\n\n", "_"):
        parts.append(" ")
    elif token == "^":
        first, last, place = _script(tokens, place, end)
        raised = text_of(tokens, first, last)
        if parts and re.search(r"(?<![0-9.])10$", "".join(parts[-3:]).rstrip()):
            parts.append(f"^{raised}")
        elif not _MARK.fullmatch(raised):
            parts.append(f" {raised}")
    elif token[0] != "\\":
        parts.append(token)
    elif token in _SPACES:
        parts.append(" ")
        if token in (r"\\", r"\\*"):
            place = bracket(tokens, place, end)
    else:
        place = _command(token[1:].rstrip("*") or "*", tokens, place, end, parts)
    return place


def _script(tokens: Sequence[Token], place: int, end: int) -> tuple[int, int, int]:
    first, last, after = group(tokens, place, end)
    if first < end and first == place and tokens[first] == r"\text":
        return group(tokens, first + 1, end)
    return first, last, after


def _command(name: str, tokens: Sequence[Token], place: int, end: int, parts: list[str]) -> int:
    if name in ("begin", "end"):
        environment, place = name_of(tokens, place, end)
        if name == "begin":
            for _ in range(TABULARS.get(environment, GROUPS.get(environment, 0))):
                _, _, place = group(tokens, bracket(tokens, place, end), end)
        parts.append(" ")
    elif name in ("multicolumn", "multirow"):
        place = span(name, tokens, place, end)[3]
        parts.append(" ")
    elif name in ("cmidrule", "cline"):
        place = rule(tokens, place, end)
    elif name in _UNWRAPPED:
        place = bracket(tokens, place, end)
        for _ in range(_UNWRAPPED[name]):
            _, _, place = group(tokens, bracket(tokens, place, end), end)
    elif name in _DROPPED:
        place = bracket(tokens, place, end) if not _DROPPED[name] else place
        for _ in range(_DROPPED[name]):
            _, _, place = group(tokens, bracket(tokens, place, end), end)
    elif name in ("textsubscript", "textsuperscript"):
        first, last, after = group(tokens, place, end)
        inner = text_of(tokens, first, last)
        if name == "textsubscript" or not _MARK.fullmatch(inner):
            parts.append(f" {inner}")
        place = after
    elif name in _SYMBOLS:
        parts.append(_SYMBOLS[name])
    elif name in _ACCENTS:
        first, last, after = group(tokens, place, end)
        letter = text_of(tokens, first, last) if last - first <= 2 else ""
        if letter:
            parts.append(letter[0] + _ACCENTS[name] + letter[1:])
            place = after
    elif not name[0].isalpha():
        parts.append(name)
    else:
        place = bracket(tokens, place, end) if name in ("caption", "makecell", "shortstack", "item") else place
    return place


def span(name: str, tokens: Sequence[Token], place: int, end: int) -> tuple[int, int, int, int]:
    r"""The number in `\multicolumn` or `\multirow`, first and last token of its text, where to go on (the text's beginning)."""
    place = bracket(tokens, place, end)
    first, last, place = group(tokens, place, end)
    count = "".join(tokens[first:last]).strip()
    number = int(count) if re.fullmatch(r"-?[0-9]{1,4}", count) else 10_000 if count.lstrip("-").isdigit() else 1
    place = bracket(tokens, place, end)
    _, _, place = group(tokens, place, end)
    place = bracket(tokens, place, end) if name == "multirow" else place
    first, last, after = group(tokens, place, end)
    return number, first, last, min(after, place)


def rule(tokens: Sequence[Token], place: int, end: int) -> int:
    r"""Where to go on behind the arguments of `\cmidrule` or `\cline`, as in `\cmidrule(lr){2-3}`."""
    place = bracket(tokens, place, end)
    while place < end and tokens[place] == " ":
        place += 1
    if place < end and tokens[place].startswith("("):
        # Trimmed, as in `(l{3pt}r)`: up to the parenthesis.
        while place < end and ")" not in tokens[place]:
            place += 1
        place += 1
    return group(tokens, place, end)[2]
