"""A table of a PDF confirms a number, or shows another place of it, only if it has one reading. It proves no number wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import citation
from pytest_claims.citation import Library, pdf, reading
from tests.citation import papers, pdfs
from tests.citation.test_cells import look
from tests.citation.test_check import claim

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_claims.citation import CitationCheck
    from pytest_claims.citation.grid import Table


def tables(*pages: pdfs.Page) -> tuple[list[Table], list[str]]:
    """The tables of a PDF, and why others were not read."""
    found, _, problems = pdf.read(pdfs.written(*pages))
    return found, problems


@pytest.mark.parametrize("below", [True, False])
def test_every_number_of_a_table(below: bool) -> None:
    """Each number of Table 3 is confirmed where it stands, and misattributed under each of the other nine columns."""
    found, problems = tables(pdfs.table(below=below))
    assert problems == []
    assert [(table.number, table.page) for table in found] == [("3", 1)]
    results: list[str] = []
    for row, (_, *values) in papers.ROWS.items():
        for place, value in enumerate(values):
            for other, column in enumerate(papers.COLUMNS):
                expected = "confirmed" if other == place or values[other] == value else "misattributed"
                results.append(f"{look(found, row, column, value, 'Table 3').result} {expected}")
    assert sorted(set(results)) == ["confirmed confirmed", "misattributed misattributed"]
    assert len(results) == 300


def test_a_header_between_rules() -> None:
    """A header without a rule of its own spans what its neighbours leave."""
    made = pdfs.table()
    short = [place for place, line in enumerate(made.drawn) if line.endswith("re f")]
    del made.drawn[short[5]]
    found, problems = tables(made)
    assert problems == []
    (value,) = [one for one in found[0].values if one.text == "123.4"]
    assert value.column_path == ("NoCaps Zero-shot (validation set)", "out-domain", "C")


def check(folder: Path, data: bytes, **cited: Any) -> CitationCheck:
    """The check of a claim against a PDF."""
    (folder / "2301.12597.pdf").write_bytes(data)
    return citation.check(claim(folder, **cited), Library((folder,), read=reading.read))


def test_what_a_pdf_may_say(tmp_path: Path) -> None:
    """A cell of a PDF confirms or misattributes a number. What it seems to contradict, or to lack, stays unchecked."""
    data = pdfs.written(pdfs.table())
    confirmed = check(tmp_path, data)
    assert (confirmed.result, confirmed.score) == ("confirmed", 1.0)
    assert confirmed.found
    assert confirmed.found.column == ("COCO Fine-tuned", "Karpathy test", "B@4")
    assert [one.text for one in confirmed.found.neighbours] == papers.ROWS["BLIP-2 ViT-g OPT-2.7B"]
    record = check(tmp_path, data, column="Flickr30k zero-shot BLEU-4")
    assert record.result == "misattributed"
    assert "column “COCO Fine-tuned, Karpathy test, B@4”" in record.sentence
    other = pdfs.written(pdfs.table(), _with("99.9 is a number of another page."))
    contradicted = check(tmp_path, other, value="99.9")
    assert contradicted.result == "unchecked"
    assert "It holds 43.7 (row" in contradicted.sentence
    assert "which proves no number wrong. 99.9 stands on page 2." in contradicted.sentence


def _with(text: str) -> pdfs.Page:
    made = pdfs.Page()
    made.text(text, 40, 700)
    return made


def _two() -> pdfs.Page:
    """Two tables, and a caption between them that may belong to either."""
    made = pdfs.Page()
    end = pdfs.captioning(made, 700)
    pdfs.caption(made, end - 8)
    pdfs.captioning(made, end - 40)
    return made


def _row(name: str, **spots: float) -> Callable[[], pdfs.Page]:
    """Table 3 with one more row and its rule; texts by the column that they stand in."""

    def make() -> pdfs.Page:
        made = pdfs.Page()
        end = pdfs.captioning(made)
        made.text(name, pdfs.LEFT, end - 3 - 9, pdfs.SIZE)
        for text, place in spots.items():
            made.centred(text.strip("_").replace("_", "."), pdfs.column(0) + pdfs.STEP * place, end - 12, pdfs.SIZE)
        made.rule(pdfs.LEFT, pdfs.RIGHT, end - 17)
        pdfs.caption(made, end - 25)
        pdfs.words(made, 440)
        return made

    return make


def _turned() -> pdfs.Page:
    made = pdfs.table()
    made.text("Turned", pdfs.column(3), 560, pdfs.SIZE, turn="0 1 -1 0")
    return made


def _without_rules() -> pdfs.Page:
    made = pdfs.table()
    made.drawn = [line for line in made.drawn if not line.endswith("re f")]
    return made


def _beyond() -> pdfs.Page:
    made = pdfs.table()
    made.text("and more", pdfs.RIGHT - 10, 577, pdfs.SIZE)
    return made


def _over() -> pdfs.Page:
    made = pdfs.table()
    made.centred("99", pdfs.column(9), 544, pdfs.SIZE)
    return made


UNCLEAR: dict[str, tuple[Callable[[], pdfs.Page], str]] = {
    "no rules below headers": (lambda: pdfs.table(short_rules=False), "which columns the header"),
    "columns that stand close": (lambda: pdfs.table(gap=0.5), ""),
    "no rules at all": (_without_rules, "no three horizontal rules of one length"),
    "two tables, one caption": (_two, "which table its caption belongs to"),
    "a row without a name": (_row("", _1_1B=0.0, _43_7=9.0), "has no name at its left"),
    "a name of two lines": (_row("A name that goes on"), "is the only cell of its row"),
    "words in place of numbers": (_row("Model", best=9.0), "holds no number"),
    "a cell across columns": (_row("Model", a_result_of_other_work_that_is_long=8.0), "overlap"),
    "text that is turned": (_turned, "its text is turned"),
    "one number beside another": (_row("Model", **{"43_7 43_6": 9.0}), "stand too close"),
    "a header between columns": (lambda: _header("x", 9.5), "stands between columns"),
    "text beyond the rules": (_beyond, "text reaches beyond its rules"),
    "characters over characters": (_over, "characters overlap in the row"),
}


def _header(text: str, place: float) -> pdfs.Page:
    made = pdfs.table()
    made.centred(text, pdfs.column(0) + pdfs.STEP * place, 558, pdfs.SIZE - 4)
    return made


@pytest.mark.parametrize("case", UNCLEAR)
def test_a_table_with_several_readings(tmp_path: Path, case: str) -> None:
    """Where gaps, rules or headers leave a doubt, nothing is confirmed and nothing is rejected, and the reason is said."""
    make, said = UNCLEAR[case]
    found, problems = tables(make())
    assert found == []
    assert said in problems[0]
    data = pdfs.written(make(), _with("43.7 and some more words of the paper. " * 8))
    for column in ("COCO Fine-tuned (Karpathy test) B@4", "Flickr30k zero-shot BLEU-4"):
        checked = check(tmp_path, data, column=column)
        assert checked.result == "unchecked"
        assert f"is a PDF, and the cell was not looked up: {problems[0]}" in checked.sentence


def test_a_caption_in_two_places() -> None:
    """Of two captions with one number neither counts."""
    found, problems = tables(pdfs.table(), pdfs.table(below=False))
    assert found == []
    assert problems[-1] == "Table 3: its caption stands in several places"


def test_tables_of_a_paper_are_told_apart() -> None:
    """Tables that stand close have their own captions, on the side on which this paper sets them."""
    made = pdfs.Page()
    end = pdfs.captioning(made, 740)
    pdfs.caption(made, end - 8, 3)
    end = pdfs.captioning(made, end - 45)
    pdfs.caption(made, end - 8, 4)
    alone = pdfs.table()
    alone.drawn = [line.replace("Table 3:", "Table 5:") for line in alone.drawn]
    found, problems = tables(made, alone)
    assert [table.number for table in found] == ["3", "4", "5"]
    assert problems == []
