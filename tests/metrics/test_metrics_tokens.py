"""Tokens as coco-caption sees them: every row here is what pycocoevalcap 1.2 gave (Stanford 3.4.1, Java 17).

`data/golden_*.json` hold sentences of our own with the tokens of that program; `following` is the next line of the same
file, because it looks across line ends. The rows in this file were probed one caption at a time, followed by a neutral line.
"""

from __future__ import annotations

import json
import re
import string
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_claims.metrics import tokenize
from pytest_claims.metrics import tokens as room

DATA = Path(__file__).parents[1] / "data"
GOLDEN = [
    row
    for name in ("golden_tokens", "golden_words")
    for row in json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
]
#: Captions that end in a letter with a stop, before a line with a sentence starter: the program drops that stop.
DEPENDS_ON_NEXT_LINE = {"A letter P.", "A stop sign on S. Lane St. and 12th Ave S.", "I."}


def test_golden_rows() -> None:
    """All 970 golden rows agree, but for the three whose last stop depends on the following caption."""
    wrong = {row["text"] for row in GOLDEN if list(tokenize(row["text"])) != row["tokens"]}
    assert len(GOLDEN) == 970
    assert wrong == DEPENDS_ON_NEXT_LINE


def test_both_regular_expression_engines_agree() -> None:
    """The pattern is compiled by nltk with `re` before 3.10 and with `regex` since: the same tokens from either."""
    compiled = re.compile(room._PATTERN, re.VERBOSE)
    splitter = room._tokenizer()
    chunks = {chunk for row in GOLDEN for chunk in row["text"].split()}
    assert [c for c in sorted(chunks) if compiled.findall(c) != splitter.tokenize(c)] == []


WORDS = sorted(
    {word for row in GOLDEN for word in re.findall(r"[A-Za-z]+", row["text"])}
    | {a + b for a in string.ascii_lowercase for b in ["", *string.ascii_lowercase]}
    | set(f"{room._ABBREVIATIONS} {room._CAPITALISED_ABBREVIATIONS} {room._NUMBER_ABBREVIATIONS}".split())
    | {first + second for first, second in room._CUT}
    | {"jusqu", "lorsqu", "puisqu", "presqu", "quelqu", "dunkin", "somethin", "cap", "com", "www"}
)


@pytest.mark.parametrize("after", ["", ".", ",", "?", "'s", "'s.", "’s"])
def test_the_short_way_is_the_pattern(after: str) -> None:
    """What is taken without the pattern is what the pattern gives, for every word that it knows, in three spellings."""
    chunks = [spelt + after for word in WORDS for spelt in (word, word.capitalize(), word.upper())]
    assert [chunk for chunk in chunks if room._chunk_uncached(chunk) != room._by_pattern(chunk)] == []


@given(st.from_regex(r"[A-Za-z]{1,12}('s|[.,;:!?])?", fullmatch=True))
def test_the_short_way_is_the_pattern_for_any_letters(chunk: str) -> None:
    """See the test above."""
    assert room._chunk_uncached(chunk) == room._by_pattern(chunk)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # contractions and apostrophes, ASCII and typographic
        ("I'm sure they'd've can't", "i 'm sure they 'd 've ca n't"),
        ("don’t it’s O’Brien o’clock rock ’n’ roll ’90s", "do n't it 's o’brien o’clock rock ’n’ roll ’90s"),
        ("don`t don‘t don´t", "do n`t do n`t don ´ t"),
        ("’dog’ ’street", "'d og 's treet"),
        ("“‘a’” ‘It’s’ “hi”", "``` a ''' it 's hi"),
        ("gonna gonna's gonna-x cannot!x can't've", "gon na gonna 's gonna-x cannot!x ca n't 've"),
        ("hawai'i ma'am People'Sat. o'clock., HE'S", "hawai'i ma'am people'sat o'clock. he 's"),
        ("Toys'R'Us dunkin's ol' cap'n e'er qu'il c'est", "toys r'us dunkin 's ol' cap'n e'er qu'il c'est"),
        # stops
        ("Mr. Smith vs. Inc. tex. Tex. brig. wisc.", "mr. smith vs. inc. tex tex. brig. wisc."),
        ("no. 5 no. five No.5 fig. 10 3/4", "no. 5 no five no. 5 fig. 10 3/4"),
        ("plan B. The dog. J. Smith U.S. The J. Mr. x", "plan b the dog j. smith u.s. the j mr. x"),
        ("the child's. This y's. We ran", "the child 's this y 's we ran"),
        ("e.g. Ph.D. p.m. a.b.c 5p.m. x.5", "e.g. ph.d. p.m. a.b.c 5p m. x. 5"),
        ("water., bat.; a-b., a/b., 12.,", "water. bat. a-b. a/b 12."),
        # joined words and numbers
        ("black-and-white t--shirt and/or a/b-c ab-12/ab", "black-and-white t shirt and/or a/b-c ab-12 / ab"),
        ("U.S.-based 1,000-mile 3.5-4.5 hors-d'oeuvre", "u.s.-based 1,000-mile 3.5-4 .5 hors-d'oeuvre"),
        ("12/25/2010 1-1/2 555-1212 +1-800-555 1.5x", "12/25/2010 1-1/2 555-1212 +1 -800 -555 1.5 x"),
        ("5:54pm 10:00-11:00 $1,000.50 5% -5 1...5", "5:54 pm 10:00 -11:00 $ 1,000.50 5 % -5 1 5"),
        ("(800) 555-1212 (800)555-1212", "-lrb-800-rrb- 555-1212 -lrb-800-rrb-555-1212"),
        # addresses, tags, marks, faces
        ("see www.foo.com, x.com/abc. http://x.y/a,b!", "see www.foo.com x.com/abc http://x.y/a,b"),
        ("me@x.com. @name #tag #1 a@b,", "me@x.com @name #tag # 1 a@b,"),
        ("<pad> <a b> <3 a<b <!-- x y -->", "<pad> <a b> < 3 a < b <!-- x y -->"),
        ("wow!! what?! ** ## __ << -- ----- ...", "wow !! what ?! ** ## __ << -----"),
        (":) ;-) :D :( =) ^_^ (-_-) :/ 8-)", ":-rrb- ;--rrb- :d :-lrb- =-rrb- ^_^ -lrb--_--rrb- / 8 -rrb-"),
        ("A&M M&Ms a&b AT&amp;T C++ c# F#", "a&m m&m s a & b at&t c++ c# f#"),
        # characters
        ("I&lt;3NY &quot;hi&quot; a&nbsp;b &#39;", "i < 3ny hi a b &#39;"),
        ("café piñata 日本 Москва. ½ cup 1½ £5 5¢ €5", "café piñata 日本 москва 1/2 cup 1 1/2 # 5 5 cents $ 5"),
        ("a😀b ❤️ m² 90° x™ soft­hyphen", "a b ❤ m ² 90 ° x ™ softhyphen"),
        ("a–b c—d e…f «g» a\x92s \x93x\x94", "a b c d e f g a 's x"),
        ("it′s ʼs ①", "it ′ s ʼs ①"),
    ],
)  # fmt: skip
def test_probed_rows(text: str, expected: str) -> None:
    """One behaviour per row; `expected` is the Java program's line after coco-caption dropped punctuation."""
    assert " ".join(tokenize(text)) == expected


@pytest.mark.parametrize("text", ["", " ", "?", "...", " . , ; : - -- \" ' `", "\n", "😀", "\ufffd"])
def test_no_words(text: str) -> None:
    """Empty and punctuation-only captions have no tokens, which is no error."""
    assert tokenize(text) == ()


@pytest.mark.parametrize(
    "blank", ["\n", "\r", "\r\n", "\t", "\v", "\f", "\x1c", "\x00", "\xa0", "\u2028", "\u2029", "\u3000"]
)
def test_blanks_separate(blank: str) -> None:
    """Line ends that would shift all later captions of the Java program's file are blanks, as other white space is."""
    assert tokenize(f"a dog{blank}runs.") == ("a", "dog", "runs")


def test_units_keep_the_no_break_space() -> None:
    """The program prints a few tokens with a no-break space: BLEU splits there, ROUGE-L does not."""
    assert room.units("about 5 1/2 inches") == ("about", "5\xa01/2", "inches")
    assert room.split_units(room.units("about 5 1/2 inches")) == ("about", "5", "1/2", "inches")


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "a,",
        "a-",
        "a'",
        "a.",
        "1/",
        "<a",
        "<!",
        '<a b="',
        "@",
        "a@",
        "(80",
        "“’",
        "http://",
        "x.com/",
        "don't ",
        "5 1/2 ",
    ],
)
def test_time_is_linear(unit: str) -> None:
    """No input makes the pattern backtrack: 200,000 characters of anything end, where quadratic time would take minutes."""
    tokenize(unit * (200_000 // len(unit)))


def test_memo_is_bounded() -> None:
    """Neither many nor long chunks make the memo grow without end."""
    tokenize(" ".join(f"w{n}" for n in range(room.MEMO_SIZE + 500)))
    information = room._chunk_cached.cache_info()
    assert information.currsize <= room.MEMO_SIZE
    before = information.misses
    tokenize("x" * (room.MEMO_LENGTH + 1))
    assert room._chunk_cached.cache_info().misses == before


@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    """Any text gives lower-case words without white space, and the memo does not change them."""
    words = tokenize(text)
    assert words == tokenize(text)
    assert all(word and word == word.lower() and word.split() == [word] for word in words)


@given(st.lists(st.sampled_from([row["text"] for row in GOLDEN if row["text"].isascii()]), max_size=4))
def test_line_ends_are_blanks(texts: list[str]) -> None:
    """A caption means the same whichever white space stands between its words."""
    assert tokenize("\r\n".join(texts)) == tokenize("  ".join(texts))


def test_needs_no_data_and_no_heavy_import() -> None:
    """Importing the room loads neither torch nor nltk. The pattern loads nltk, but none of its data; plain text no nltk."""
    program = (
        "import sys; import pytest_claims.metrics as m; heavy = {'torch', 'transformers', 'datasets', 'nltk', 'pytest'};"
        "print(sorted(heavy & set(sys.modules))); print(m.tokenize('It works.'), *heavy & set(sys.modules));"
        "print(m.tokenize('t-shirt'), *heavy & set(sys.modules))"
    )
    environment = {"NLTK_DATA": "/nonexistent", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n('it', 'works')\n('t-shirt',) nltk\n"
