r"""Tokens as coco-caption sees them, without Java: Stanford PTB tokens, lower case, punctuation dropped.

coco-caption (pycocoevalcap 1.2) pipes captions through the PTB tokenizer of Stanford CoreNLP 3.4.1. The rules here were
learned by probing that program from outside; `tests/metrics/test_metrics_tokens.py` holds what it gave. There are three steps:

1. `_rewrite` replaces the characters and entities that the program replaces.
2. `_chunk` takes the text between blanks and matches one nltk `RegexpTokenizer` pattern against it (memoised).
3. `_join` corrects the tokens whose stop depends on the next chunk.

That program takes the longest match; a Python pattern takes the first. So the order of `_PATTERN` matters: longer forms stand
first. nltk compiles it with `re` before 3.10 and with `regex` from then on; the tests check that both give the same tokens.

Deliberate differences, all outside of what one caption says:

* It looks across line ends, so that a caption's last token can depend on the caption after it. Here a caption stands alone.
* CR, VT, FF, U+2028 and U+2029 inside a caption shift all later captions of its file by a line. Here they are blanks.
* Scripts beyond Latin, Greek, Cyrillic and CJK follow Unicode's categories, not the tables of 2014.
* A run of more than `PIECE` characters without a blank is cut, so that no input takes more than linear time.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nltk.tokenize import RegexpTokenizer

MEMO_SIZE, MEMO_LENGTH = 1 << 16, 64
"""How many distinct chunks are remembered (4 M chunks of real captions hold 43,000 distinct ones), and how long one may be."""

PIECE = 256
"""Longer runs of characters without a blank are cut into pieces of this length."""

# ----------------------------------------------------------------------------------------------------
# Word lists

_ABBREVIATIONS = """
    adj adm adv al ala alex apr ariz assn asst atty aug ave bhd bldg blvd brig bros calif capt cf cie cmdr co col colo comdr
    conn corp cos cpl ct dak dec dept det dr drs elec ens esq est etc ext feb fla fri ft ga gen gov govs hon inc ind insp
    intl invt jan jos jr jul jun kan kans ky lt ltd maj mar md messrs mfg mich minn mlle mme mo mon mont mr mrs ms msgr mt
    mtg natl neb nev nov oct okla penn pfc ph plc ppte ppty pres prof profs pte ptes pty ptys pvt rd rep reps rev rt sen
    sens sep sept seq sfc sgt spc sq sr st ste supt sys tel tenn thu thurs treas tue tues univ va vs vt wed wis wisc wm wyo
"""
"""These keep their stop wherever they stand, in upper and lower case."""

_CAPITALISED_ABBREVIATIONS = "ark az del ill la mass miss ore pa tex wash"
"""These keep their stop only when they are capitalised: "tex." ends a sentence, "Tex." is a state."""

_NUMBER_ABBREVIATIONS = "art ca fig figs no nos op pp prop"
"""These keep their stop only before a number: "no. 5" gives "no.", any other "no." gives "no"."""

_STARTER_WORDS = """
    a about according additionally after an as at but earlier he her here however if in it last many more mr. ms. now once one
    other our she since so some such that the their then there these they this we what when while yet you
"""
_STARTERS = frozenset(form for word in _STARTER_WORDS.split() for form in (word.capitalize(), word.upper()))
"""These start a sentence after a single letter with a stop: "plan B. The" gives "b", "J. Smith" gives "j."."""

_MAY_KEEP_STOP = frozenset(f"{_ABBREVIATIONS} {_CAPITALISED_ABBREVIATIONS} {_NUMBER_ABBREVIATIONS}".split())
"""Words that a stop may belong to, and with them each single letter."""


def _any_case(word: str) -> str:
    return "".join(f"[{letter}{letter.upper()}]" for letter in word)


def _one_of(words: str, *, capitalised: bool = False) -> str:
    forms = (
        word[0].upper() + _any_case(word[1:]) if capitalised else _any_case(word)
        for word in sorted(words.split(), key=len, reverse=True)
    )
    return "(?:" + "|".join(forms) + ")"


# ----------------------------------------------------------------------------------------------------
# The pattern. After `_rewrite` a text holds only ASCII, letters and their marks, symbols that stand alone between blanks, and
# U+2019, the typographic apostrophe, which the program treats almost like the ASCII one.

_LETTER = r"[A-Za-z\x80-\u2017\u201e-\uffff]"
_ALNUM = r"[0-9A-Za-z\x80-\u2017\u201e-\uffff]"
_SEGMENT = rf"(?:[dDlLoO]['’](?={_ALNUM}{{2}}))?{_ALNUM}+"
"""A segment of a hyphenated word, as in "hors-d'oeuvre" and "O'Neil-Smith"."""

_HYPHENATED = rf"(?:{_SEGMENT}(?:[-_]{_SEGMENT})+|[A-Za-z0-9][A-Za-z0-9.,]{{0,30}}-[A-Za-z0-9]+(?:[-_][A-Za-z0-9]+)*)"
_SLASHED = r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}"
_ENDING = "(?:[sSmMdD]|[lL][lL]|[rR][eE]|[vV][eE])"
_CLITIC = rf"(?:'{_ENDING}(?![A-Za-z])|’{_ENDING})"
"""What is cut off after a word, as in "he's". No ASCII letter may follow an ending with an ASCII apostrophe."""

_NUMBER = r"(?:[0-9]+|[.,:][0-9]+)(?:[.,:][0-9]+)*"
_ABBREVIATION = rf"(?:{_one_of(_ABBREVIATIONS)}|{_one_of(_CAPITALISED_ABBREVIATIONS, capitalised=True)})"
_BEFORE_NUMBER = _one_of(_NUMBER_ABBREVIATIONS)
_CUT = (("can", "not"), ("gon", "na"), ("wan", "na"), ("got", "ta"), ("gim", "me"), ("lem", "me"))
"""Words that are cut in two: "cannot" gives "can not"."""

_CUT_WORDS = frozenset(first + second for first, second in _CUT)
_PAIRS = "|".join(
    rf"{_any_case(first)}(?={_any_case(second)}(?!{_ALNUM}|['’]{_ENDING}|[.!?]{_LETTER}|\.[,;:]))"
    for first, second in _CUT
)

_PATTERN = rf"""
  # e-mail addresses, and whatever else has an @ inside (the local part has at most 64 characters, RFC 5321)
  [A-Za-z0-9][^\s<>"(){{}}|@]{{0,63}}@[^\s<>"(){{}}|]*[^\s<>"(){{}}|.]
| (?i:https?)://[^\s<>"(){{}}|]{{2}}[^\s<>"(){{}}|]*[^\s<>"(){{}}|.!?,-]
| [wW]{{3}}\.(?:[^\s<>"(){{}}|/.!?,:';]+\.)+[A-Za-z]{{2,4}}/[^\s<>"(){{}}|]+[^\s<>"(){{}}|.!?,-]
| [“”‘’&*+%~=\#]?[wW]{{3}}(?:\.[A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)*){{2,}}
| [“”‘’&*+%~=\#]{_LETTER}{_ALNUM}*(?:\.{_LETTER}{_ALNUM}*)*\.(?:com|net|org|edu)(?!{_ALNUM})
| {_LETTER}{_ALNUM}*(?:\.{_LETTER}{_ALNUM}*)*\.(?:com|net|org|edu)/[^\s<>"(){{}}|]+[^\s<>"(){{}}|.!?,-]
| </[A-Za-z][A-Za-z0-9_:.-]*>|<[A-Za-z][A-Za-z0-9_:.@-]*/?>|<![^\s>]+>|<\?[A-Za-z][^\s>]*>
| \#{_LETTER}+|@[A-Za-z_][A-Za-z0-9_]*
| &\#[0-9]+;
| [cC]\+\+|[cCfF]\#
| >?[:;=]['-]?[()DdPpO@|\\\[\]{{](?!{_ALNUM})
| \([-^=~<>'][_.]?[-^=~<>']\)|[-^=~<>']_[-^=~<>']

  # joined words: black/white, 12/25/2010, U.S.-based, 1,000-mile, o'brien-x, a_b
| [0-9]+(?:-[0-9]+)?/[0-9]+(?:-[0-9]+)(?![0-9])
| [0-9]+-[0-9]+/[0-9]+(?![0-9A-Za-z])
| {_SLASHED}(?:/{_SLASHED}){{1,2}}
| {_HYPHENATED}-(?:[A-Za-z]\.){{2,}}(?!{_ALNUM})
| [A-Za-z0-9][A-Za-z0-9.,]{{0,30}}-(?:[A-Za-z]\.){{2,}}(?!{_ALNUM})
| {_HYPHENATED}(?:\.(?=[,;:]))?

  # contractions and words with an apostrophe
| ''|``
| '[tT](?={_any_case("is")}|{_any_case("was")})
| {_CLITIC}
| '[nN]'|'[nN](?!{_LETTER})|’[nN]’?|['’](?:[eE][mM]|[tT][iI][lL]|[cC][aA][uU][sS][eE])
| ['’][2-9]0[sS]|['’][0-9]{{2}}(?!\S)
| [A-Za-z]*[A-MO-Za-mo-z](?=[nN]['’‘`][tT])
| [nN]['’‘`][tT]{_LETTER}*
| [A-Za-z]+[aeiouyAEIOUY]['’‘`](?!{_ENDING}(?!{_LETTER}))[aeiouA-Z][A-Za-z]*
| {_PAIRS}
| [cC]'[mM][oO][nN]|[sS]'[mM][oO][rR][eE][sS]|[eE][vV]'[rR][yY]|[cC][aA][pP]['’][nN]|[nN]?[eE]'[eE][rR]
| [cC]['’][eE][sS][tT]|(?:[jJ]us|[lL]ors|[pP]uis|[pP]res|[qQ]uel)?[qQ]u['’]{_LETTER}+
| (?:[dDlLoO]['’]{_ALNUM}{{2,}}|[nA-HJ-XZ]['’](?!{_ENDING}(?!{_LETTER})){_LETTER}{{2,}})(?:\.(?=[,;:]))?
| [oO][lL]['’](?!{_ENDING})|[sS]omethin['’]|[dD]unkin['’](?!{_ENDING}(?!{_LETTER}))
| [dDjJlL]['’](?!{_ENDING}(?!{_LETTER}))|[yY]['’](?!{_ENDING}(?!{_LETTER}))(?={_LETTER})

  # stops that stay: P&O, Ph.D., u.s., "word.," (sic), St., no. before a digit, b.
| [A-Z]+(?:&[A-Z]+)+(?:\.(?=[,;:]))?|[A-Z]+(?:\+[A-Z]+)+|[A-Z]{{1,3}}\$
| (?:[pP][hH]|[eE][dD])\.[dD]\.(?!{_LETTER})
| (?:[A-Za-z]\.)+[A-Za-z]\.(?!{_LETTER})
| {_ALNUM}+(?:[.!?]{_LETTER}{_ALNUM}*)*\.(?=[,;:])
| [0-9]+(?:\.[0-9]+)*\.[chxCHX](?=[.,]?(?!\S))
| {_LETTER}{_ALNUM}*(?:[.!?]{_LETTER}{_ALNUM}*)+
| (?=[A-Za-z]{{2,8}}\.)(?:{_ABBREVIATION}\.|{_BEFORE_NUMBER}\.(?=[0-9]))
| [A-Za-z]\.

  # words, numbers, runs of marks, anything else
| {_LETTER}{_ALNUM}*|[0-9]+{_LETTER}{_ALNUM}*
| \.{{3,4}}
| [-+]?{_NUMBER}
| [!?]+|\#+|\*+|_+|@@+|-{{5,}}|-+|<<|>>|(?:\\\*)+
| \S
"""


@cache
def _tokenizer() -> RegexpTokenizer:
    # Imported here: nltk imports scipy and scikit-learn too where they are installed, which takes up to 3.8 s.
    from nltk.tokenize import RegexpTokenizer

    return RegexpTokenizer(_PATTERN, flags=re.VERBOSE)


_WRITTEN = {
    **dict.fromkeys(["'", "’", "''", '"', "“", "”", "`", "‘", "``", ".", "...", "....", "?", "!", ",", ":", ";"], ""),
    **dict.fromkeys(["-", "--", "---", "----"], ""),
    "(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-",
}  # fmt: skip
"""How a token is written, or "" where coco-caption drops it.

coco-caption's list of punctuation names brackets in upper case (-LRB-). It lower-cases tokens first, so brackets stay.
"""

_CUT_OFF = re.compile(rf"’{_ENDING}|[nN]’[tT]")
"""In these the typographic apostrophe becomes an ASCII one; in "O’Brien" it stays."""

_WHOLE, _GLUE = "\x01", "\x02"
"""Marks that `_rewrite` sets: a chunk that starts with `_WHOLE` is one token, and `_GLUE` is a no-break space in it."""


def _chunk_uncached(chunk: str) -> tuple[str, ...]:
    if chunk[0] == _WHOLE:
        return (_bracketed(chunk[1:].replace(_GLUE, "\xa0")).lower(),)
    # A bare word is its own token, and "there's" is two. The pattern gives the same, but it is slower, and nltk takes longer to
    # import than a few thousand captions to tokenise.
    word = (chunk[:-1] if chunk[-1] in ".,;:!?" else chunk).lower()
    kept = word in _CUT_WORDS or (chunk[-1] == "." and (len(word) == 1 or word in _MAY_KEEP_STOP))
    if chunk.isascii() and word.isalpha() and not kept:
        return (word,)
    owner = chunk[:-2].lower() if chunk.endswith("'s") else ""
    # "qu's" is French, and "somethin'" keeps its apostrophe.
    if chunk.isascii() and owner.isalpha() and not owner.endswith(("u", "somethin")):
        return (owner, "'s")
    return _by_pattern(chunk)


def _by_pattern(chunk: str) -> tuple[str, ...]:
    tokens = []
    for token in _tokenizer().tokenize(chunk):
        written = _WRITTEN.get(token)
        if written is None and "’" in token and _CUT_OFF.fullmatch(token):
            written = token.replace("’", "'").lower()
        elif token in ("n‘t", "N‘T"):
            written = "n`t"
        elif written is None:  # a face such as ":)" holds brackets
            face = len(token) <= 5 and ("(" in token or ")" in token)
            written = (_bracketed(token) if face else token).lower()
        if written:
            tokens.append(written)
    return tuple(tokens)


_chunk_cached = lru_cache(maxsize=MEMO_SIZE)(_chunk_uncached)


def _chunk(chunk: str) -> tuple[str, ...]:
    if len(chunk) <= MEMO_LENGTH:
        return _chunk_cached(chunk)
    if len(chunk) <= PIECE or chunk[0] == _WHOLE:
        return _chunk_uncached(chunk)
    pieces = (chunk[start : start + PIECE] for start in range(0, len(chunk), PIECE))
    return tuple(token for piece in pieces for token in _chunk_uncached(piece))


def _bracketed(token: str) -> str:
    return token.replace("(", "-lrb-").replace(")", "-rrb-")


# ----------------------------------------------------------------------------------------------------
# Before: characters and entities

_MAPPED = {
    **{quote: quote for quote in "‘’“”"}, **dict.fromkeys("‛‹›", "`"), **dict.fromkeys("«»", '"'),
    **dict.fromkeys("–—―", " -- "), "…": " ... ", "£": " # ", **dict.fromkeys("€₠¤", " $ "), "¢": " cents ",
    "½": " 1/2 ", "¼": " 1/4 ", "¾": " 3/4 ", "⅓": " 1/3 ", "⅔": " 2/3 ", "\xad": "",
    # Windows-1252 bytes that were read as Latin-1
    "\x80": " $ ", "\x85": " ... ", "\x91": "‘", "\x92": "’", "\x93": "“", "\x94": "”", "\x96": " -- ", "\x97": " -- ",
}  # fmt: skip


def _ranges(text: str) -> frozenset[int]:
    bounds = (part.split("-") for part in text.split())
    return frozenset(x for part in bounds for x in range(int(part[0], 16), int(part[-1], 16) + 1))


# Where the Java program's tables differ from Unicode's categories, which `_character` goes by otherwise.
_JOINS = _ranges("2c2-2c5 2d2-2df 2e5-2ff 375-379 384-385 3f6 55a-55f 58a 2010-2011")
"""Characters that are part of a word."""

_STANDS_ALONE = _ranges("b2-b3 b9 2070 2074-2079 2080-2089 2155-215e 2460-249b 24ea-24ff 2776-2793")
"""Symbols that are tokens of their own."""

_VANISHES = _ranges("""
    37f 482 488-489 528-52f 560 588 58d-58f 5ef 1fbf-1fc1 1fcd-1fcf 1fdd-1fdf 1fed-1fef 1ffd-1ffe 2012 2024-2025 2027
    203c-203d 2043 2045-205e 20a1-20a3 20a5-20ab 20ad-20c0 218a-218b 2c2f 2c5f 2ce5-2cea 2cf9-2cff 2d70 2e00-2e2e 2e30-2ff0
    3003-3004 3008-3011 3013-3020 3030 3036-3037 303d-303f 309b-309c 30a0 312e-312f 3190-319f 31bb-33ff 4db6-4dff 9fcd-9fff
    a490-a4c6 fb29 fbb2-fbc2 fd3e-fd4f fdcf fdfc-fdff fe10-fe6b ffe2-ffe4 ffe8-ffee fffc-fffd
""")
"""Characters that read as a blank."""


def _character(code: int) -> str:
    """How the program writes a character: as it is, as a symbol between blanks, as a blank, or as other characters."""
    character = chr(code)
    if character in _MAPPED:
        return _MAPPED[character]
    if code < 0x80:
        return character if character.isprintable() else " "
    if code > 0xFFFF or code in _VANISHES:  # emoji, for example, separate words
        return " "
    if code in _STANDS_ALONE:
        return f" {character} "
    category = unicodedata.category(character)
    if code in _JOINS or category[0] == "L" or category == "Nd" or (category[0] == "M" and code < 0xE00):
        return character
    return f" {character} " if category[0] in "PS" else " "


class _Characters(dict[int, str]):
    """The table for `str.translate`, filled as characters are met; it has at most one entry per Unicode character."""

    def __missing__(self, code: int) -> str:
        written = self[code] = _character(code)
        return written


_CHARACTERS = _Characters()

_ENTITY = re.compile(r"&(amp|lt|gt|quot|nbsp|apos|mdash|ndash);", re.IGNORECASE)
_ENTITIES = {
    "amp": "&", "lt": " < ", "gt": " > ", "quot": ' " ', "nbsp": " ", "apos": "'", "mdash": " -- ", "ndash": " -- ",
}  # fmt: skip
_QUOTES = re.compile("[‘’“”]{2,}")
"""Adjacent typographic quotes give one token. coco-caption drops it only if it reads as one quote."""

_QUOTED = str.maketrans({"‘": "`", "’": "'", "“": "``", "”": "''"})
_SPANS = re.compile(
    r"""
      (?<![\w.,:/+'’-])[0-9]{1,4}[ ][0-9]{1,4}\\?/[0-9]{1,4}(?![0-9])
    | (?:\([0-9]{2,3}\)[ ]?|(?<![\w.,:/+-])(?:\+[0-9]{2,3}[- ])?[0-9]{2,4}[ ])[0-9]{3,4}[- ]?[0-9]{3,5}(?![0-9])
    | <[A-Za-z][A-Za-z0-9_:.-]*(?:[ ]+[A-Za-z][A-Za-z0-9_:.-]*(?:[ ]*=[ ]*(?:"[^"]{0,199}"|'[^']{0,199}'))?){0,9}[ ]*/?>
    | <![^>]{0,999}>|<\?[A-Za-z][^>]{0,999}>
    """,
    re.VERBOSE,
)
"""What the program joins across one blank: "5 1/2", "(800) 555-1212", "<a b>"."""

_MAY_SPAN = re.compile(r"[0-9)] [0-9]|\)[0-9]|<[A-Za-z!?][^<>]* ")


def _mark(match: re.Match[str]) -> str:
    return f" {_WHOLE}{match[0].replace(' ', _GLUE)} "


def _mark_quotes(match: re.Match[str]) -> str:
    written = match[0].translate(_QUOTED)
    return " " if written in ("``", "''") else f" {_WHOLE}{written} "


def _rewrite(text: str) -> str:
    if "&" in text:
        text = _ENTITY.sub(lambda match: _ENTITIES[match[1].lower()], text)
    if not (text.isascii() and text.isprintable()):
        text = _QUOTES.sub(_mark_quotes, text.translate(_CHARACTERS))
    if _MAY_SPAN.search(text):
        text = _SPANS.sub(_mark, text)
    return text


# ----------------------------------------------------------------------------------------------------
# After: the neighbours

_LETTER_STOP = re.compile(r"[a-z]\.")
_NUMBER_STOP = re.compile(rf"(?:.*[^\w.-])?{_BEFORE_NUMBER}\.", re.DOTALL)


def _join(chunks: list[str]) -> list[str]:
    """The tokens of all chunks. The next chunk decides whether some tokens keep their stop."""
    tokens: list[str] = []
    last = len(chunks) - 1
    for position, chunk in enumerate(chunks):
        tokens += _chunk(chunk)
        if chunk[-1] != "." or position == last or not tokens:
            continue
        following = chunks[position + 1]
        if following in _STARTERS:
            if _LETTER_STOP.fullmatch(tokens[-1]):
                tokens[-1] = tokens[-1][0]
        elif following.lstrip(_WHOLE)[:1].isdecimal() and _NUMBER_STOP.fullmatch(chunk):
            tokens[-1] += "."
    return tokens


def units(text: str) -> tuple[str, ...]:
    """Tokens as the Java program prints them; a few hold a no-break space ("5 1/2"), which ROUGE-L does not split."""
    text = _rewrite(text)
    chunks = text.split()
    if "." in text[:-1] or max(map(len, chunks), default=0) > MEMO_LENGTH:
        return tuple(_join(chunks))
    return tuple(chain.from_iterable(map(_chunk_cached, chunks)))  # most captions: no chunk depends on the next


def split_units(tokens: tuple[str, ...]) -> tuple[str, ...]:
    """The words of such tokens, cut at the no-break spaces, as BLEU and CIDEr see them."""
    joined = " ".join(tokens)
    return tuple(joined.split()) if "\xa0" in joined else tokens


def tokenize(text: str) -> tuple[str, ...]:
    """The words of one caption as coco-caption's BLEU sees them.

    Args:
        text: one caption.

    Returns:
        Lower-case words without punctuation; empty where there is nothing else.

    Examples:
        >>> tokenize("A man isn't riding; he's at Main St. (5:54pm).")
        ('a', 'man', 'is', "n't", 'riding', 'he', "'s", 'at', 'main', 'st.', '-lrb-', '5:54', 'pm', '-rrb-')
    """
    return split_units(units(text))
