"""PDFs with tables as LaTeX sets them: characters at places, and horizontal rules; a PDF knows no cells."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from tests.citation import papers

_WIDTHS = {**dict.fromkeys(" .,:;!|'ijlIt[]()/-fr", 0.29), **dict.fromkeys("mwMW@%", 0.86)}


def width(text: str, size: float = 10.0) -> float:
    """About how wide a text is in Helvetica."""
    return sum(_WIDTHS.get(letter, 0.556) for letter in text) * size


@dataclass(slots=True)
class Page:
    """A page that is being drawn, from the top down; places are in points."""

    drawn: list[str] = field(default_factory=list)

    def text(self, text: str, left: float, base: float, size: float = 10.0, turn: str = "1 0 0 1") -> None:
        """Set a text with its left end at `left`."""
        shown = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        self.drawn.append(f"BT /F1 {size} Tf {turn} {left:.2f} {base:.2f} Tm ({shown}) Tj ET")

    def centred(self, text: str, middle: float, base: float, size: float = 10.0) -> None:
        """Set a text around `middle`."""
        self.text(text, middle - width(text, size) / 2, base, size)

    def rule(self, left: float, right: float, height: float) -> None:
        """Draw a horizontal rule, as booktabs does: a thin filled rectangle."""
        self.drawn.append(f"{left:.2f} {height:.2f} {right - left:.2f} 0.5 re f")


def written(*pages: Page) -> bytes:
    """The pages as a file."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for page in pages:
        data = zlib.compress("\n".join(page.drawn).encode("latin-1"))
        objects.append(b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(data), data))
        content = len(objects)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 792 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % content
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Count {len(kids)} /Kids [{' '.join(kids)}] >>".encode()
    return papers.written(objects)


LEFT, RIGHT, STUB, STEP = 40.0, 700.0, 130.0, 46.0
SIZE = 9.0


def column(place: int) -> float:
    """The middle of a column of numbers; the first one holds numbers of parameters."""
    return LEFT + STUB + STEP * (place + 0.7)


def captioning(page: Page, top: float = 600.0, *, short_rules: bool = True, gap: float = 1.0) -> float:
    """Draw Table 3 without its caption; where it ends.

    Args:
        page: what it is drawn on.
        top: where it begins.
        short_rules: the rules below headers that span columns are drawn.
        gap: how far columns stand apart, in those of `column`.
    """

    def at(place: float) -> float:
        return column(0) + (column(1) - column(0)) * place * gap

    def over(text: str, first: int, last: int, base: float) -> None:
        page.centred(text, (at(first) + at(last)) / 2, base, SIZE)
        if short_rules:
            page.rule(at(first) - 18, at(last) + 18, base - 4)

    page.rule(LEFT, RIGHT, top)
    page.text("Models", LEFT, top - 25, SIZE)
    page.centred("#Trainable", at(0), top - 20, SIZE)
    page.centred("Params", at(0), top - 31, SIZE)
    over("NoCaps Zero-shot (validation set)", 1, 8, top - 12)
    over("COCO Fine-tuned", 9, 10, top - 12)
    for place, domain in enumerate(papers.DOMAINS):
        over(domain, 1 + 2 * place, 2 + 2 * place, top - 26)
    over("Karpathy test", 9, 10, top - 26)
    for place, text in enumerate(["C", "S"] * 4 + ["B@4", "C"], 1):
        page.centred(text, at(place), top - 40, SIZE)
    page.rule(LEFT, RIGHT, top - 45)
    base = top - 56
    for name, values in papers.ROWS.items():
        model, _, size = name.rpartition("-")
        page.text(model, LEFT, base, SIZE)
        page.text(size, LEFT + width(model, SIZE) + 6, base - 1.5, SIZE * 0.7)
        for place, text in enumerate(values):
            page.centred(text, at(place), base, SIZE)
        base -= 12
    page.rule(LEFT, RIGHT, base + 8)
    return base + 8


def caption(page: Page, top: float, number: int = 3) -> None:
    """Set the caption, with the first line's upper edge at `top`."""
    page.text(f"Table {number}: {papers.CAPTION[:80]}", LEFT, top - 9, SIZE)
    page.text(papers.CAPTION[80:], LEFT, top - 20, SIZE)


def words(page: Page, base: float) -> None:
    """Set some lines of text."""
    for place in range(6):
        page.text(
            "We follow self-attention layers of prior work, and so on, in a line of text of this page.",
            LEFT,
            base - 12 * place,
        )


def table(*, below: bool = True, short_rules: bool = True, gap: float = 1.0) -> Page:
    """A page with text and Table 3, with its caption below or above it."""
    made = Page()
    if not below:
        caption(made, 632)
    end = captioning(made, short_rules=short_rules, gap=gap)
    if below:
        caption(made, end - 8)
    words(made, 440)
    return made
