"""A cited number is looked up in the cell that its words lead to, in whatever shape the table is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_claims.citation import cells, html, latex
from tests.citation import papers

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_claims.citation.grid import Table


def cited(row: str, column: str, value: str, *, section: str = "Table 3", unit: str = "percent") -> cells.Cited:
    """What a claim says."""
    return cells.Cited(section=section, row=row, column=column, value=value, unit=unit)


def look(
    tables: list[Table], row: str, column: str, value: str, section: str = "Table 1", unit: str = "percent"
) -> cells.Answer:
    """The answer of a paper's tables."""
    return cells.look_up(
        cited(row, column, value, section=section, unit=unit), cells.tables_of(section, tables), tables
    )


def from_html(*figures: str) -> list[Table]:
    """The tables of a page."""
    return html.read(papers.paper_html(*figures).encode())[0]


def from_latex(source: str) -> list[Table]:
    """The tables of LaTeX source."""
    return latex.read(source)[0]


def included(name: str) -> str | None:
    r"""What `\input` reads."""
    return papers.captioning_latex() if name == "captioning" else None


SOURCES: dict[str, Callable[[], list[Table]]] = {
    "html": from_html,
    "latex": lambda: from_latex(papers.paper_latex()),
    "latex, included": lambda: latex.read(papers.LATEX, included)[0],
}


@pytest.fixture(scope="module", params=SOURCES)
def paper(request: pytest.FixtureRequest) -> list[Table]:
    """A paper's tables, from each kind of source."""
    return SOURCES[request.param]()


def test_every_number_under_its_own_header(paper: list[Table]) -> None:
    """Each of the 30 numbers of BLIP-2's Table 3 is confirmed where it stands."""
    results = [
        look(paper, row, column, value, "Table 3").result
        for row, (_, *values) in papers.ROWS.items()
        for column, value in zip(papers.COLUMNS, values, strict=True)
    ]
    assert results == ["confirmed"] * 30


def test_every_number_under_every_other_header(paper: list[Table]) -> None:
    """Cited under another column, each number is misattributed and its own column is named; unless that cell holds the same."""
    wrong, compared = [], 0
    for row, (_, *values) in papers.ROWS.items():
        for place, value in enumerate(values):
            for other, column in enumerate(papers.COLUMNS):
                if other == place:
                    continue
                compared += 1
                answer = look(paper, row, column, value, "Table 3")
                expected = "confirmed" if values[other] == value else "misattributed"
                if answer.result != expected or not answer.found or answer.found.text != value:
                    wrong.append((row, column, value, answer))
    assert compared == 270
    assert wrong == []


@pytest.mark.parametrize(
    ("row", "column", "value", "result", "said"),
    [
        (
            "BLIP-2 OPT-2.7B", "Flickr30k zero-shot BLEU-4", "43.7", "misattributed",
            ("43.7 stands in Table 3 under another place than the claim says: row “BLIP-2 ViT-g OPT 2.7B”, column “COCO "
             "Fine-tuned, Karpathy test, B@4”. No column of the table fits “Flickr30k zero-shot BLEU-4”."),
        ),
        ("BLIP-2 ViT-g OPT-6.7B", "COCO Fine-tuned B@4", "43.7", "misattributed", "row “BLIP-2 ViT-g OPT 2.7B”"),
        ("BLIP-2 ViT-g OPT-6.7B", "COCO Fine-tuned B@4", "44.9", "contradicted", "It holds 43.5 (row"),
        ("BLIP-2 ViT-g OPT-6.7B", "COCO Fine-tuned B@4", "43.50", "contradicted", "It holds 43.5 (row"),
        ("BLIP-2 ViT-H OPT-6.7B", "COCO Fine-tuned B@4", "44.9", "not_found", "Table 3 holds no 44.9."),
        ("OSCAR", "COCO Fine-tuned (Karpathy test) BLEU-4", "37.4", "confirmed", "row “OSCAR”"),
        ("BLIP-2 FlanT5 XL", "COCO Karpathy test CIDEr", "144.5", "confirmed", "row “BLIP-2 ViT-g FlanT5 XL”"),
        ("BLIP-2 OPT-2.7B", "NoCaps in-domain C", "123.0", "confirmed", "column “NoCaps Zero-shot (validation set), in"),
        ("OSCAR", "#Trainable parameters", "345", "contradicted", "It holds 345M (row"),
    ],
)  # fmt: skip
def test_what_is_said(paper: list[Table], row: str, column: str, value: str, result: str, said: str) -> None:
    """The answer names the cell that holds the value, or what the cited cell holds."""
    answer = look(paper, row, column, value, "Table 3")
    assert answer.result == result
    assert said in answer.sentence


def test_a_unit_is_part_of_a_number(paper: list[Table]) -> None:
    """345M are 345 million, and neither 345 billion nor 345."""
    row, column = "OSCAR", "#Trainable Params"
    assert look(paper, row, column, "345", "Table 3", "million").result == "confirmed"
    assert look(paper, row, column, "345", "Table 3", "billion").result == "contradicted"
    assert look(paper, row, column, "345", "Table 3", "count").result == "contradicted"


def tabular(body: str, spec: str = "lcc", more: str = "") -> list[Table]:
    """A LaTeX table of this body."""
    return from_latex(
        rf"\begin{{table}}{more}\begin{{tabular}}{{{spec}}}{body}\end{{tabular}}\caption{{A table.}}\end{{table}}"
    )


SHAPES = {
    "deviations": (r"Model & Acc. & F1 \\ \hline A & 43.7 $\pm$ 0.3 & 51.2$_{\pm 0.4}$ \\ B & 42.0\,(0.1) & -0.5 \\", [
        ("A", "Acc.", "43.7"), ("A", "F1", "51.2"), ("B", "accuracy", "42.0"), ("B", "F1", "-0.5")]),
    "percent and thousands": (r"Model & Acc. & Images \\ \midrule A & 43.7\% & 1,234,567 \\ B & 42.0 \% & 12{,}000 \\", [
        ("A", "Acc.", "43.7"), ("A", "Images", "1234567"), ("B", "Images", "12000")]),
    "rotated headers": (
        r"& \rotatebox{90}{COCO} & \rotatebox[origin=c]{90}{\textbf{Flickr30k}} \\ \midrule A & 1.1 & 2.2 \\ B & 3.3 & 4.4 \\",
        [("A", "COCO", "1.1"), ("B", "Flickr30k", "4.4")]),
    "transposed": (r"Metric & BLIP & OFA \\ \midrule BLEU-4 & 40.4 & 43.9 \\ CIDEr & 136.7 & 145.3 \\", [
        ("BLIP", "B@4", "40.4"), ("OFA", "CIDEr", "145.3")]),
    "groups of rows": (
        (r"Model & COCO & VQA \\ \midrule \multicolumn{3}{l}{\textit{Zero-shot}} \\ A & 1.1 & 2.2 \\ \midrule "
         r"\multicolumn{3}{c}{Fine-tuned} \\ A & 3.3 & 4.4 \\"),
        [("A zero-shot", "COCO", "1.1"), ("A fine-tuned", "VQA", "4.4")]),
    "rows that share a name": (
        r"\multirow{2}{*}{A} & small & 1.1 \\ & large & 2.2 \\ \hline \multirow{2}{*}{B} & small & 3.3 \\ & large & 4.4 \\",
        [("A small", "", "1.1"), ("A large", "", "2.2"), ("B large", "", "4.4")]),
    "names that are left out": (r"Model & Size & Acc. \\ \hline A & small & 1.1 \\ & large & 2.2 \\", [
        ("A large", "Acc.", "2.2")]),
    "two heads": (
        r"Model & COCO & VQA \\ \midrule A & 1.1 & 2.2 \\ \midrule Model & SNLI & GQA \\ \midrule A & 3.3 & 4.4 \\",
        [("A", "COCO", "1.1"), ("A", "GQA", "4.4")]),
    "years above": (r"& 2019 & 2020 \\ \midrule A & 1.1 & 2.2 \\", [("A", "2020", "2.2")]),
    "a header amid empty cells": (
        (r"& & True & & False \\ Model & Any & Some & None & Any \\ \cmidrule(l{3pt}r{3pt}){2-4} \cmidrule(r){5-5} "
         r"\addlinespace[2pt] A & 1.1 & 2.2 & 3.3 & 4.4 \\ \addlinespace B & \num[minimum=2]{5.5} & 6.6 & 7.7 & 8.8 \\"),
        [("A", "True Any", "1.1"), ("A", "True None", "3.3"), ("A", "False Any", "4.4"), ("B", "True Any", "5.5")]),
    "a group of rows and no rule": (
        r"& COCO & VQA \\ Model & B@4 & Acc. \\ \multicolumn{2}{l}{Zero-shot} \\ A & 1.1 & 2.2 \\ B & 3.3 & 4.4 \\",
        [("Zero-shot A", "COCO", "1.1"), ("B zero-shot", "VQA Acc.", "4.4")]),
    "columns that are counted": (r"& (1) & (2) \\ & OLS & IV \\ Effect & 1.1 & 2.2 \\ & (0.5) & (0.6) \\", [
        ("Effect", "(2) IV", "2.2"), ("Effect", "OLS", "1.1")]),
    "minus signs and marks": (
        (r"Model & $\Delta$ & Acc. \\ \hline A$^{\ddagger}$ & $-1.5$ & \textbf{7.0}$^{*}$ \\ "
         r"B\textsuperscript{1} & --2.5 & 7.1 \\"), [
        ("A", "Δ", "-1.5"), ("A", "Acc.", "7.0"), ("B", "Acc.", "7.1")]),
    "rows upwards": (r"x & a & 1.1 \\ \multirow{-2}{*}{A} & b & 2.2 \\", [("A b", "", "2.2")]),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_of_latex_tables(shape: str) -> None:
    """Each number is confirmed under the words that a reader of the table would use."""
    body, numbers = SHAPES[shape]
    tables = tabular(body)
    for row, column, value in numbers:
        unit = "count" if len(value) > 5 else "percent"
        answer = look(tables, row, column or tables[0].values[0].column_path[0] if column else row, value, unit=unit)
        if column:
            assert answer.result == "confirmed", answer
        else:
            (found,) = [one for one in tables[0].values if one.text == value]
            assert " ".join(found.row_path) == row


def test_a_shared_row_name_does_not_lead_elsewhere() -> None:
    """The same row in another group is another row."""
    tables = tabular(SHAPES["groups of rows"][0])
    answer = look(tables, "A zero-shot", "COCO", "3.3")
    assert answer.result == "misattributed"
    assert "row “Fine-tuned A”" in answer.sentence


def test_deviations_are_no_values() -> None:
    """What follows ± is not the value of the cell."""
    tables = tabular(SHAPES["deviations"][0])
    assert look(tables, "A", "Acc.", "0.3").result == "contradicted"
    assert look(tables, "B", "Acc.", "0.1").result == "contradicted"


def test_words_that_fit_several_cells() -> None:
    """A citation whose words fit several cells is confirmed only if one of them holds the value, and it is said."""
    tables = from_latex(papers.paper_latex())
    answer = look(tables, "BLIP-2 OPT-2.7B", "CIDEr", "123.0", "Table 3")
    assert answer.result == "confirmed"
    assert answer.sentence.endswith("The words of the citation fit 5 cells of the table.")
    assert look(tables, "BLIP-2 OPT-2.7B", "CIDEr", "43.7", "Table 3").result == "misattributed"


DIRECTIONS = r"""& \multicolumn{4}{c}{Flickr30K Zero-shot (1K test set)} \\ Model & \multicolumn{2}{c}{Image $\rightarrow$ Text}
& \multicolumn{2}{c}{Text $\rightarrow$ Image} \\ & R@1 & R@5 & R@1 & R@5 \\ \midrule A & 97.6 & 100.0 & 89.7 & 98.1 \\"""


@pytest.mark.parametrize("column", ["Flickr30K %s R@1", "R@1, %s", "zero-shot %s R@1"])
def test_the_order_of_words_tells_columns_apart(column: str) -> None:
    """Of two columns with the same words, the one with the citation's order is meant; headers themselves have no order."""
    tables = tabular(DIRECTIONS)
    for direction, value, other in (("Image → Text", "97.6", "89.7"), ("Text-to-Image", "89.7", "97.6")):
        words = column % direction
        answer = look(tables, "A", words, value)
        assert answer.result == "confirmed"
        assert "fit 2 cells" not in answer.sentence
        assert look(tables, "A", words, other).result == "misattributed"


def test_floats_and_their_captions() -> None:
    """Tables are counted by their captions, above or below, several in one float, in a figure, and from a set counter."""
    tables = from_latex(
        r"\begin{table}\caption{One}\begin{tabular}{cc} a & 1.1 \\ \end{tabular}"
        r"\caption{Two}\begin{tabular}{cc} a & 2.2 \\ \end{tabular}\end{table}"
        r"\begin{table}\begin{minipage}{.5\textwidth}\begin{tabular}{cc} a & 3.3 \\ \end{tabular}\caption{Three}\end{minipage}"
        r"\begin{minipage}[t]{.5\textwidth}\begin{tabular}{cc} a & 4.4 \\ \end{tabular}\caption{Four}\end{minipage}\end{table}"
        r"\begin{figure}\caption{A figure}\end{figure}"
        r"\begin{figure}\begin{tabular}{cc} a & 5.5 \\ \end{tabular}\captionof{table}{Five}\end{figure}"
        r"\begin{longtable}{cc}\caption{Six}\\ \hline m & n \\ \endhead a & 6.6 \\ \end{longtable}"
        r"\setcounter{table}{8}\begin{wraptable}{r}{0.5\textwidth}"
        r"\begin{tabularx}{\textwidth}{cX} a & 9.9 \\ \end{tabularx}\caption{Nine}\end{wraptable}"
    )
    assert [(table.number, table.values[0].text) for table in tables if table.values] == [
        ("1", "1.1"), ("2", "2.2"), ("3", "3.3"), ("4", "4.4"), ("5", "5.5"), ("6", "6.6"), ("9", "9.9"),
    ]  # fmt: skip


def test_parts_of_a_float_have_no_numbers() -> None:
    """The captions of parts have letters: they belong to their tables, and the number is that of the whole float."""
    part = r"\begin{subtable}{\textwidth}\begin{tabular}{cc} a & %s \\ \end{tabular}\caption{%s}\end{subtable}"
    tables = from_latex(
        r"\begin{table}" + part % ("1.1", "Left") + part % ("1.2", "Right") + r"\caption{One}\end{table}"
        r"\begin{table}\caption{Two}\begin{subtable}{1cm}\subcaption{Only}\begin{tabular}{cc} a & 2.2 \\ \end{tabular}"
        r"\end{subtable}\end{table}"
        r"\begin{table}\ContinuedFloat\begin{tabular}{cc} a & 2.3 \\ \end{tabular}\caption{More}\end{table}"
        r"\begin{table}\begin{tabular}{cc} a & 3.3 \\ \end{tabular}\caption{Three}\end{table}"
    )
    assert [(table.number, table.caption, table.values[0].text) for table in tables] == [
        ("1", "One Left", "1.1"), ("1", "One Right", "1.2"), ("2", "Two Only", "2.2"), ("2", "More", "2.3"),
        ("3", "Three", "3.3"),
    ]  # fmt: skip


def test_numbers_of_another_form() -> None:
    r"""`\thetable` may put a letter before the number; behind any other form tables have no number, and it is said."""
    table = r"\begin{table}\begin{tabular}{cc} a & 1.1 \\ \end{tabular}\caption{x}\end{table}"
    source = (
        table + r"\renewcommand{\thetable}{S\arabic{table}}\setcounter{table}{0}" + table
        + r"\renewcommand\thetable{\thesection.\arabic{table}}" + table
    )  # fmt: skip
    tables, _, problems = latex.read(source)
    assert [table.number for table in tables] == ["1", "S1", ""]
    assert problems == ["the numbers of the tables behind Table 1, which have another form"]


def test_other_names_of_commands() -> None:
    r"""`\let` keeps what LaTeX's own command means, also where that is made to mean something else by the new name."""
    tables = from_latex(
        r"\let\old\small\renewcommand{\small}{\old\itshape}\let\nc\newcommand\nc{\ours}{Our model}"
        r"\begin{table}\small\begin{tabular}{lc} & $\delta<1.25$ \\ \midrule \ours\footnotemark[2] & 0.9 \\ \end{tabular}"
        r"\caption{x}\end{table}"
    )
    (value,) = tables[0].values
    assert (value.row_path, value.column_path) == (("Our model",), ("δ<1.25",))


@pytest.mark.parametrize(
    ("section", "number"),
    [
        ("Table 3", "3"),
        ("Tab. 12 (left)", "12"),
        ("Section 4, table IV", "4"),
        ("Table A1", "A1"),
        ("Table A.1", "A1"),
        ("Results", ""),
    ],
)
def test_sections_name_tables(section: str, number: str) -> None:
    """A section names a table by its number, Arabic or Roman."""
    assert cells.number_of(section) == number


def test_a_table_is_found_by_its_caption() -> None:
    """Where the section has no number, its words lead to a caption."""
    tables = tabular(r"Model & Acc. & F1 \\ \hline A & 43.7 & 51.2 \\")
    assert cells.tables_of("A table", tables) == tables
    assert cells.tables_of("Results", tables) == []


def tags(body: str) -> str:
    """HTML as LaTeXML writes it, with its classes: `<tr>` → `<tr class="ltx_tr">`."""
    for tag in ("tabular", "tbody", "tr", "td"):
        body = body.replace(f"<s:{tag}", f'<span class="ltx_{tag}"').replace(f"</s:{tag}>", "</span>")
    return body


LINES = "<tr><td>a</td><td>x</td></tr><tr><td>b</td><td>{}</td></tr>"

LATEXML = {
    "two tables in one figure": (
        (
            f'<figure class="ltx_table"><table class="ltx_tabular">{LINES.format("1.1")}</table>'
            '<figcaption class="ltx_caption"><span class="ltx_tag ltx_tag_table">Table 1: </span>One</figcaption>'
            f'<table class="ltx_tabular">{LINES.format("2.2")}</table>'
            '<figcaption class="ltx_caption"><span class="ltx_tag ltx_tag_table">Table 2: </span>Two</figcaption></figure>'
        ),
        [("1", "1.1"), ("2", "2.2")],
    ),
    "panels": (
        (
            '<figure class="ltx_table"><div class="ltx_flex_figure"><figure class="ltx_table ltx_figure_panel">'
            f'<table class="ltx_tabular">{LINES.format("1.1")}</table>'
            '<figcaption><span class="ltx_tag">(a) </span>left</figcaption></figure></div>'
            "<figcaption>Table 7: Panels</figcaption></figure>"
        ),
        [("7", "1.1")],
    ),
    "spans in place of a table": (
        tags(
            '<figure class="ltx_table"><s:tabular><s:tbody><s:tr><s:td>a</s:td><span class="ltx_td ltx_colspan ltx_colspan_2">x'
            "</span></s:tr><s:tr><s:td>b</s:td><s:td>1.1</s:td><s:td>2.2</s:td></s:tr></s:tbody></s:tabular>"
            "<figcaption>Table 2: Spans</figcaption></figure>"
        ),
        [("2", "1.1")],
    ),
    "lines of one cell": (
        (
            "<table><caption>Table 4. Nested</caption><tr><td>a</td><td><table class='ltx_tabular'><tr><td>Train</td></tr>"
            "<tr><td>time</td></tr></table></td></tr><tr><td>b</td><td>1.1</td></tr></table>"
        ),
        [("4", "1.1")],
    ),
    "a page that is no paper": (
        "<p><b>Table 5.</b> Numbers</p><table><tr><th>a<th>x<tr><td>b<td>1.1</table>",
        [("5", "1.1")],
    ),
}


@pytest.mark.parametrize("shape", LATEXML)
def test_shapes_of_html_tables(shape: str) -> None:
    """Tables of HTML are found with their numbers, whatever they are made of."""
    source, expected = LATEXML[shape]
    tables = from_html(source)
    assert [(table.number, table.values[0].text) for table in tables] == expected
    assert {table.values[0].row_path for table in tables} == {("b",)}


def test_formulas_read_the_same_in_both() -> None:
    """A cell of HTML with a formula reads as the same cell of LaTeX."""
    formula = '<math alttext="43.7_{\\pm 0.3}^{\\dagger}"><mn>43.7</mn></math>'
    page = f"<table><caption>Table 1: x</caption><tr><td>M<td>Acc.<tr><td>A<sup>2</sup><td>{formula}</table>"
    source = tabular(r"M & Acc. \\ A$^2$ & $43.7_{\pm 0.3}^{\dagger}$ \\")
    (one,), (other,) = from_html(page)[0].values, source[0].values
    assert (one.text, one.row_path) == (other.text, other.row_path) == ("43.7 ±0.3", ("A",))
