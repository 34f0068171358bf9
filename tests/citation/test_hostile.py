"""A hostile source ends in bounded time and memory; the citation is then unchecked: a broken file confirms nothing."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_claims.citation import bundle, child, html, latex, reading
from pytest_claims.citation.latex_tokens import Unreadable
from tests.citation import papers, pdfs

if TYPE_CHECKING:
    from collections.abc import Callable

ENTITIES = '<!DOCTYPE html [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {chr(98 + place)} "{f"&{chr(97 + place)};" * 10}">' for place in range(12)
)
LARGE = 10**9


def bomb(size: int) -> bytes:
    """A PDF whose page is `size` bytes of text, in a few kilobytes."""
    packer, piece = zlib.compressobj(9), b"BT /F1 10 Tf 50 700 Td (aaaa) Tj ET\n" * 30_000
    data = b"".join([*(packer.compress(piece) for _ in range(size // len(piece))), packer.flush()])
    return papers.written(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Count 1 /Kids [4 0 R] >>",
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 5 0 R /Resources << /Font << /F1 3 0 R >> >> >>",
            b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(data), data),
        ]
    )


def encrypted() -> bytes:
    """A PDF that asks for a password."""
    secret = "41" * 32
    encryption = f"/Encrypt << /Filter /Standard /V 1 /R 2 /O <{secret}> /U <{secret}> /P -4 >> /ID [<00> <00>] "
    return papers.written(
        [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 0 /Kids [] >>"], trailer=encryption
    )


def crowded(pages: int, *, rules: int = 400, captions: int = 20) -> bytes:
    """A PDF whose pages are full of characters, rules and captions."""
    page = pdfs.Page()
    for place in range(rules):
        page.rule(40, 700, 780 - 760 * place / rules)
    for place in range(captions):
        page.text(f"Table {place % 900}: 43.7", 40 + place % 7 * 90, 780 - 760 * place / captions, 4)
    for place in range(120):
        page.text("43.7 " * 28, 40, 780 - 6 * place, 5)
    return pdfs.written(*([page] * pages))


def packed(*members: tuple[str, int]) -> bytes:
    """A compressed tar file with members of zeros, of these sizes."""
    data = io.BytesIO()
    with gzip.GzipFile(fileobj=data, mode="wb", compresslevel=1) as file, tarfile.open(fileobj=file, mode="w|") as tar:
        for name, size in members:
            member = tarfile.TarInfo(name)
            member.size = size
            tar.addfile(member, Zeros())
    return data.getvalue()


class Zeros(io.RawIOBase):
    """A file of zeros without an end."""

    def read(self, size: int = -1) -> bytes:
        """Some of them."""
        return bytes(size)


def tenfold(place: int) -> str:
    """A macro that stands for ten of the one before it."""
    below, above = chr(97 + place), chr(98 + place)
    return "\\newcommand{\\" + above + "x}{" + f"\\{below}x " * 10 + "}"


HOSTILE: dict[str, Callable[[], str | bytes]] = {
    "colspan.html": lambda: f"<table><tr><td colspan={LARGE} rowspan={LARGE}>a<tr><td>43.7</table>",
    "unbalanced.html": lambda: "<table><tr><td rowspan=9>" * 3_000 + "43.7" + "</td></table>" * 10,
    "nested.html": lambda: "<table><tr><td>a<td>" * 20_000,
    "deep.html": lambda: "<div>" * 200_000 + "<table><tr><td>43.7",
    "rows.html": lambda: "<table><caption>Table 3: x</caption>" + "<tr><td>a<td>43.7" * 10_000 + "</table>",
    "5mb.html": lambda: "<p>" + "words of a paper " * 300_000,
    "cells.html": lambda: "<table><tr>" + "<td>1" * 150_000,
    "tables.html": lambda: "<table><tr><td>a<td>1.5</table>" * 100_000,
    "entities.html": lambda: f"{ENTITIES}]><html><body><table><tr><td>a<td>&m;</table>",
    "svg.html": lambda: "<svg><script>alert(1)</script>" + "<g><text>43.7</text>" * 50_000 + "</svg>",
    "math.html": lambda: "<table><tr><td>a<td>" + f'<math alttext="{"{" * 1_900}"></math>' * 2_000 + "</table>",
    "captions.html": lambda: "<figure>" + "<figcaption>Table 3</figcaption><table><tr><td>a<td>1.5</table>" * 400,
    "itself.tex": lambda: r"\def\a{\a\a}\begin{tabular}{c}\a\end{tabular}",
    "tenfold.tex": lambda: r"\newcommand{\ax}{43.7}" + "".join(map(tenfold, range(12))) + r"\begin{tabular}{c}\mx\end{tabular}",
    "arguments.tex": lambda: r"\newcommand{\a}[1]{#1#1#1#1}" + r"\a{" * 40 + "x" + "}" * 40,
    "braces.tex": lambda: r"\begin{table}\caption{" * 20_000 + "{" * 200_000,
    "spans.tex": lambda: (
        rf"\begin{{table}}\begin{{tabular}}{{cc}}\multicolumn{{{LARGE}}}{{c}}{{a}} & \multirow{{{LARGE}}}{{*}}{{43.7}} \\"
        rf"\multirow{{-{LARGE}}}{{*}}{{b}} & 1 \\\end{{tabular}}\end{{table}}"
    ),
    "rows.tex": lambda: r"\begin{table}\caption{x}\begin{tabular}{cc}" + r"a & 43.7 \\" * 10_000 + r"\end{tabular}\end{table}",
    "tables.tex": lambda: r"\begin{tabular}{cc} a & 1.5 \\ \end{tabular}" * 5_000,
    "opened.tex": lambda: r"\begin{tabular}{c}" * 30_000,
    "ends.tex": lambda: r"\end{table}\begin{table}" * 30_000,
    "included.tex": lambda: r"\input{included}",
    "bytes.tex": lambda: b"\x00\xff\xfe" * 1_000_000,
    "bomb.pdf": lambda: bomb(500_000_000),
    "truncated.pdf": lambda: papers.pdf(["words of a page " * 5] * 40)[:900],
    "encrypted.pdf": encrypted,
    "scanned.pdf": lambda: papers.pdf([], []),
    "tables.pdf": lambda: crowded(12),
    "rules.pdf": lambda: crowded(1, rules=50_000),
    "captions.pdf": lambda: crowded(1, captions=3_000),
    "bomb.tar.gz": lambda: packed(("a.pdf", 10**9), ("main.tex", 10)),
    "latex.tar.gz": lambda: packed(("main.tex", 10**9)),
    "bomb.gz": lambda: gzip.compress(b"\\" * (60 * 2**20), 9),
    "members.tar.gz": lambda: packed(*((f"{place}.pdf", 0) for place in range(20_000))),
    "names.tar.gz": lambda: packed((f"{'a/' * 30_000}main.tex", 10)),
    "header.tar": lambda: tarfile.TarInfo("x").tobuf()[:-12].ljust(512, b"\xff") + b"x" * 4_000,
    "nobase256.tar": lambda: b"main.tex".ljust(124, b"\0") + b"\x80" + b"\xff" * 11 + b"\0" * 376,
    "large.html": lambda: b"x" * (bundle.BYTES + 1),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_source_ends(tmp_path: Path, name: str) -> None:
    """It is read within the limits on time and memory, or refused with a sentence; no exception of a library comes out."""
    path = tmp_path / name
    source = HOSTILE[name]()
    path.write_bytes(source if isinstance(source, bytes) else source.encode())
    try:
        document = child.read(path)
    except Unreadable:
        return
    for table in document.tables:
        assert table.grid.width <= 200
        assert len(table.values) <= 20_000
    assert sum(len(page.text) for page in document.pages) <= reading.TEXT


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("encrypted.pdf", "it is encrypted"),
        ("scanned.pdf", "it holds no text; its pages may be pictures"),
        ("itself.tex", "does one stand for itself?"),
        ("tables.tex", "it has more than 500 tables"),
        ("large.html", "it has more than 20 MB"),
    ],
)
def test_it_is_said_why(tmp_path: Path, name: str, said: str) -> None:
    """The sentence says what is wrong with the source."""
    path = tmp_path / name
    source = HOSTILE[name]()
    path.write_bytes(source if isinstance(source, bytes) else source.encode())
    with pytest.raises(Unreadable) as caught:
        reading.read(path)
    assert said in str(caught.value)


def test_a_table_that_is_too_large_is_named() -> None:
    """One table that is too large does not keep the others from being read."""
    page = papers.paper_html(str(HOSTILE["rows.html"]()).replace("Table 3", "Table 1"), papers.captioning_html())
    tables, _, problems = html.read(page.encode())
    assert [table.number for table in tables] == ["3"]
    assert problems == ["Table 1: it has more than 2,000 rows"]
    source = str(HOSTILE["rows.tex"]()) + papers.captioning_latex()
    tables, _, problems = latex.read(source)
    assert [table.number for table in tables] == ["2"]
    assert len(problems) == 1


def test_a_span_is_no_wider_than_its_table() -> None:
    """A span of a billion columns covers the table, and makes it no wider."""
    page = f"<table><tr><td colspan={LARGE}>a<tr><td>b<td>43.7<tr><td rowspan={LARGE}>c<td>1.5</table>"
    (table,), _, _ = html.read(page.encode())
    assert (table.grid.width, len(table.grid.rows)) == (2, 3)
    assert [value.text for value in table.values] == ["43.7", "1.5"]


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "link", "sub/../../secret", "~/x", "a\0b"])
def test_input_reads_only_the_folder(tmp_path: Path, name: str) -> None:
    r"""`\input` reads no file outside the paper's folder, also not through a link."""
    (tmp_path / "secret.tex").write_text("43.7 is secret")
    folder = tmp_path / "2301.12597"
    folder.mkdir()
    (folder / "link.tex").symlink_to(tmp_path / "secret.tex")
    (folder / "sub").mkdir()
    (folder / "main.tex").write_text(
        rf"\documentclass{{article}}\begin{{document}}\input{{{name}}}text\end{{document}}"
    )
    document = reading.read(folder)
    assert document.pages[0].text.strip() == "text"


def test_the_child_is_limited() -> None:
    """The process that reads has the limits of `child`, and ends when it goes beyond them."""
    if sys.platform == "win32":
        pytest.skip("Windows has no such limits")
    code = (
        "import resource; from pytest_claims.citation import child; child._limit(); "
        "print(resource.getrlimit(resource.RLIMIT_CPU)[0], resource.getrlimit(resource.RLIMIT_AS)[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.split() == [str(child.CPU), str(child.MEMORY)]
