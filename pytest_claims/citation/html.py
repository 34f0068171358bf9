"""Tables and text of HTML: LaTeXML's, which arXiv and ar5iv show, and any other.

lxml reads it, without network and without entities of the document's own. Formulas are read from the TeX that LaTeXML keeps
beside them, so that a cell reads the same as in LaTeX source.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_claims.citation import latex, latex_text
from pytest_claims.citation.cells import number_of
from pytest_claims.citation.grid import COLUMNS, ROWS, Cell, Grid, Row, Table, TableTooLarge
from pytest_claims.citation.latex_tokens import Unreadable
from pytest_claims.citation.models import Page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml.html import HtmlElement

TABLES, CELLS = latex.TABLES, latex.CELLS
DEPTH = 250
"""How deep elements may lie in each other; deeper ones are left out. LaTeXML's pages have about 40."""

_SILENT = frozenset(
    {"script", "style", "svg", "template", "noscript", "annotation", "annotation-xml", "head", "object", "iframe"}
)
"""Elements that show no text."""
_BLOCKS = frozenset(
    {
        "p",
        "div",
        "br",
        "tr",
        "td",
        "th",
        "li",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "section",
        "figure",
        "figcaption",
        "table",
    }
)
_NOTES = frozenset({"ltx_note", "ltx_note_mark", "ltx_note_outer", "ltx_tag_note"})
_NUMBER = re.compile(r"\s*(?:Table|Tab\.|TABLE)\s*([A-Z]?\.?[0-9]{1,3}|[IVXL]{1,6})\b\s*[:.–—-]?\s*")
_MARK = re.compile(r"[\s*†‡§¶⋆★∗#0-9a-z,;]{0,6}")


def read(data: bytes) -> tuple[list[Table], list[Page], list[str]]:
    """The tables and the text of HTML, and what could not be read.

    Raises:
        Unreadable: it is no HTML, or goes beyond the bounds.
        ModuleNotFoundError: lxml is not installed.
    """
    from lxml import etree, html

    parser = html.HTMLParser(
        no_network=True, huge_tree=False, remove_comments=True, remove_pis=True, encoding=_encoding(data)
    )
    try:
        root = html.document_fromstring(data, parser=parser)
    except (etree.LxmlError, ValueError) as error:
        raise Unreadable(f"it is no HTML that can be read ({type(error).__name__})") from None
    reader = _Reader()
    reader.run(root)
    body = root.find("body")
    text = _text(root if body is None else body, cell=False)
    return reader.tables, [Page(text=text)], reader.problems


def _encoding(data: bytes) -> str | None:
    """The encoding, if the bytes are UTF-8; else the document says it."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return "utf-8"


def _classes(element: HtmlElement) -> frozenset[str]:
    return frozenset((element.get("class") or "").split())


def _is_table(element: HtmlElement) -> bool:
    return element.tag == "table" or "ltx_tabular" in _classes(element)


def _text(element: HtmlElement, *, cell: bool) -> str:
    """The text of an element, in one line.

    Args:
        element: the element.
        cell: it is a cell or a caption: footnotes, citations, and marks above the line are left out.
    """
    parts: list[str] = []
    # What is still to be said, the next last: an element with its depth, or a text.
    stack: list[tuple[HtmlElement, int] | str] = [(element, 0)]
    while stack:
        top = stack.pop()
        if isinstance(top, str):
            parts.append(top)
            continue
        one, depth = top
        tag = one.tag if isinstance(one.tag, str) else ""
        if not tag or tag in _SILENT or depth > DEPTH:
            continue
        if tag == "math":
            parts.append(_formula(one))
            continue
        classes = _classes(one)
        if cell and (tag == "cite" or classes & _NOTES or (depth and _is_data(one))):
            continue
        if tag in ("sup", "sub"):
            inner = _text_of_script(one)
            raised = re.search(r"(?<![0-9.])10$", "".join(parts[-3:]).rstrip())
            if tag == "sub" or not _MARK.fullmatch(inner):
                parts.append(f" {inner}")
            elif raised:
                parts.append(f"^{inner}")
            continue
        apart = tag in _BLOCKS or classes & {"ltx_td", "ltx_tr"}
        stack.append(" " if apart else "")
        for child in reversed(one):
            if child.tail:
                stack.append(child.tail)
            stack.append((child, depth + 1))
        parts.append(f"{' ' if apart else ''}{one.text or ''}")
    return re.sub(r"\s+", " ", "".join(parts)).strip()


def _text_of_script(element: HtmlElement) -> str:
    """What stands above or below the line: its formulas as text, its text, nothing deeper than three levels."""
    formulas = [_formula(found) for found in element.iter("math")]
    return " ".join(formulas) if formulas else re.sub(r"\s+", " ", "".join(element.itertext())[:200]).strip()


def _formula(element: HtmlElement) -> str:
    """A formula as text, from the TeX that LaTeXML keeps, else from its symbols."""
    source = element.get("alttext") or ""
    if not source:
        for note in element.iter("annotation"):
            if "tex" in (note.get("encoding") or "").lower():
                source = note.text or ""
    if source:
        return (
            f" {text}"
            if (text := latex_text.plain(source)) and source.lstrip().startswith(("{}_", "_"))
            else latex_text.plain(source)
        )
    shown = (part for one in element.iter() if one.tag not in _SILENT for part in (one.text,) if part)
    return "".join(shown)[:500].strip()


def _is_data(element: HtmlElement) -> bool:
    """Whether an element is a table with rows and columns of its own, not lines of one cell."""
    if not _is_table(element):
        return False
    return any(place and sum(1 for _ in _cells_of(row)) > 1 for place, row in enumerate(_rows_of(element)))


def _rows_of(table: HtmlElement) -> Iterator[HtmlElement]:
    """The rows of a table, not those of tables in it."""
    for child in table:
        if not isinstance(child.tag, str):
            continue
        if child.tag == "tr" or "ltx_tr" in _classes(child):
            yield child
        elif child.tag in ("thead", "tbody", "tfoot") or _classes(child) & {"ltx_thead", "ltx_tbody", "ltx_tfoot"}:
            for row in child:
                if isinstance(row.tag, str) and (row.tag == "tr" or "ltx_tr" in _classes(row)):
                    yield row


def _cells_of(row: HtmlElement) -> Iterator[HtmlElement]:
    for child in row:
        if isinstance(child.tag, str) and (child.tag in ("td", "th") or _classes(child) & {"ltx_td", "ltx_th"}):
            yield child


def _span(element: HtmlElement, name: str, most: int) -> int:
    """`rowspan` or `colspan`, at most `most`; LaTeXML says it as a class where an element can have no such attribute."""
    text = (element.get(name) or "").strip()
    if not text:
        marks = [mark for mark in _classes(element) if mark.startswith(f"ltx_{name}_")]
        text = marks[0].rpartition("_")[2] if marks else ""
    if not re.fullmatch(r"[0-9]+", text):
        return 1
    number = most if len(text) > 6 else int(text)
    if number == 0:
        return most if name == "rowspan" else 1
    return min(number, most)


class _Reader:
    """Walks through a page and keeps its tables."""

    def __init__(self) -> None:
        self.tables: list[Table] = []
        self.problems: list[str] = []
        self._cells = 0
        self._captions: dict[HtmlElement, list[tuple[HtmlElement, str, str]]] = {}

    def run(self, root: HtmlElement) -> None:
        seen = 0
        for element in root.iter():
            if not isinstance(element.tag, str) or not _is_table(element):
                continue
            if "ltx_equation" in (element.get("class") or "") or "ltx_eqn_table" in _classes(element):
                continue
            seen += 1
            if seen > TABLES:
                raise Unreadable(f"it has more than {TABLES} tables")
            if self._inside_cell(element) and not _is_data(element):
                continue
            number, caption = self._caption(element)
            try:
                grid = Grid(self._rows(element), pushed=True)
            except TableTooLarge as error:
                self.problems.append(f"{f'Table {number}' if number else 'a table'}: {error}")
                continue
            if grid.width:
                self.tables.append(Table(grid=grid, number=number, caption=caption))

    def _inside_cell(self, element: HtmlElement) -> bool:
        return any(_is_table(above) for _, above in zip(range(DEPTH), element.iterancestors(), strict=False))

    def _rows(self, table: HtmlElement) -> list[Row]:
        rows: list[Row] = []
        below_ruled = False
        for element in _rows_of(table):
            cells, marks, heads = [], [], []
            for one in _cells_of(element):
                self._cells += 1
                if self._cells > CELLS:
                    raise Unreadable(f"it has more than {CELLS:,} cells")
                rowspan = min(_span(one, "rowspan", ROWS), ROWS)
                cells.append(Cell(text=_text(one, cell=True), rows=rowspan, columns=_span(one, "colspan", COLUMNS)))
                marks.append(_classes(one))
                heads.append(one.tag == "th" or "ltx_th_column" in marks[-1])
                if len(cells) > COLUMNS:
                    raise TableTooLarge(f"it has more than {COLUMNS} columns")
            if len(rows) > ROWS:
                raise TableTooLarge(f"it has more than {ROWS:,} rows")
            above = bool(marks) and all(mark & {"ltx_border_t", "ltx_border_tt"} for mark in marks)
            parent = element.getparent()
            in_head = parent is not None and (parent.tag == "thead" or "ltx_thead" in _classes(parent))
            if any(cell.text for cell in cells):
                rows.append(
                    Row(cells=tuple(cells), ruled=above or below_ruled, head=in_head or (bool(heads) and all(heads)))
                )
                below_ruled = bool(marks) and all(mark & {"ltx_border_b", "ltx_border_bb"} for mark in marks)
        return rows

    def _caption(self, table: HtmlElement) -> tuple[str, str]:
        """Number and text of a table's caption."""
        own = next((child for child in table if child.tag == "caption"), None)
        if own is not None:
            return _numbered(_text(own, cell=True))
        best: tuple[str, str] = ("", "")
        for _, figure in zip(range(DEPTH), table.iterancestors(), strict=False):
            if figure.tag != "figure" and not _classes(figure) & {"ltx_table", "ltx_float", "table-wrap"}:
                continue
            found = self._captions_of(figure)
            if not found:
                continue
            number, text = _nearest(table, figure, found)
            if number:
                return number, f"{text} {best[1]}".strip()
            best = ("", f"{text} {best[1]}".strip())
        if best[1]:
            return best
        return self._before(table)

    def _captions_of(self, figure: HtmlElement) -> list[tuple[HtmlElement, str, str]]:
        """The captions of a figure, without those of figures in it."""
        if figure not in self._captions:
            found = []
            for caption in figure.iter("figcaption", "caption"):
                holder = next((above for above in caption.iterancestors() if above.tag in ("figure", "table")), figure)
                if holder is figure or (
                    figure.tag != "figure" and holder is not figure and figure in holder.iterdescendants()
                ):
                    found.append((caption, *_numbered(_text(caption, cell=True))))
            self._captions[figure] = found
        return self._captions[figure]

    def _before(self, table: HtmlElement) -> tuple[str, str]:
        """The caption of a table that has none of its own: a paragraph beside it that begins with `Table 3`."""
        at = table
        for _ in range(4):
            for near in (at.getprevious(), at.getnext()):
                if near is not None and isinstance(near.tag, str) and not _is_table(near):
                    text = _text(near, cell=True) if len(near) < 50 else ""
                    if len(text) < 2_000 and _NUMBER.match(text):
                        return _numbered(text)
            parent = at.getparent()
            if parent is None or parent.tag in ("body", "section", "article", "main"):
                break
            at = parent
        return "", ""


def _numbered(text: str) -> tuple[str, str]:
    """`Table 3: Words` → `3` and `Words`."""
    match = _NUMBER.match(text)
    if match is None:
        return "", text
    return number_of(f"Table {match[1]}"), text[match.end() :]


def _nearest(table: HtmlElement, figure: HtmlElement, captions: list[tuple[HtmlElement, str, str]]) -> tuple[str, str]:
    """Of several captions in a figure, the table's own: before it if the figure begins with a caption, else behind it."""
    if len(captions) == 1:
        return captions[0][1:]
    named = {caption: (number, text) for caption, number, text in captions}
    order = [
        one for one in figure.iter() if one in named or one is table or (isinstance(one.tag, str) and _is_table(one))
    ]
    place = order.index(table)
    first_is_caption = order[0] in named
    around = reversed(order[:place]) if first_is_caption else iter(order[place + 1 :])
    return next((named[one] for one in around if one in named), captions[0][1:])
