r"""arXiv's download of a paper's source is read as it is: which file in it is the paper, what it includes, what is refused."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from pytest_claims.citation import Library, bundle, reading
from pytest_claims.citation.latex_tokens import Unreadable
from tests.citation import papers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAIN = r"\documentclass{article}\begin{document}\input{tables/captioning} Main. \end{document}"
SOURCE = {"main.tex": MAIN, "tables/captioning.tex": papers.captioning_latex(), "figures/a.pdf": "x" * 5_000}


def archive(path: Path, files: Mapping[str, str], mode: str = "w:gz") -> Path:
    """A tar file of these files."""
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


def tables(path: Path) -> list[str]:
    """The first number of each table of a source, with the problems of the source."""
    document = reading.read(path)
    return [next(value.text for value in table.values) for table in document.tables] + list(document.problems)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("2301.12597v3.tar.gz", "w:gz"),
        ("arXiv-2301.12597v3.tar.gz", "w:gz"),
        ("2301.12597v3", "w:gz"),
        ("2301.12597.tgz", "w:gz"),
        ("2301.12597v3.gz", "w:gz"),
        ("2301.12597v3.tar", "w"),
        ("2301.12597v3", "w"),
    ],
)
def test_the_names_of_downloads(tmp_path: Path, name: str, mode: str) -> None:
    """An archive is found and read under each name that arXiv and browsers give it, with what its main file includes."""
    archive(tmp_path / name, SOURCE, mode)
    assert tables(tmp_path / name) == ["345M"]
    library = Library((tmp_path,), read=reading.read)
    (source,) = library._in_folder(tmp_path, "2301.12597")
    assert library.read(source).tables[0].number == "1"
    assert source.version == (3 if "v3" in name else None)


def test_one_compressed_file(tmp_path: Path) -> None:
    """A paper of one file is a compressed LaTeX file; a download without a suffix may be LaTeX or a PDF as well."""
    (tmp_path / "2301.12597v3.gz").write_bytes(gzip.compress(papers.paper_latex().encode()))
    assert len(reading.read(tmp_path / "2301.12597v3.gz").tables) == 3
    (tmp_path / "2301.12597v1").write_text(papers.paper_latex())
    assert len(reading.read(tmp_path / "2301.12597v1").tables) == 3
    (tmp_path / "2301.12597v2").write_bytes(papers.pdf(["words of a page " * 5] * 9))
    assert reading.read(tmp_path / "2301.12597v2").pages[0].number == 1


BIG = "Words. " * 3_000
OTHERS: dict[str, tuple[dict[str, str], str]] = {
    "a supplement is not the paper": ({"supplement.tex": MAIN.replace("Main.", BIG), "tables/x.tex": "x"}, "main.tex"),
    "what it includes counts": ({"egs.tex": MAIN.replace(r"\input{tables/captioning}", "x" * 500)}, "main.tex"),
    "a bibliography lies beside the paper": ({"zz.tex": MAIN.replace("Main.", BIG), "main.bbl": "x"}, "main.tex"),
    "arXiv's 00README, old": ({"b.tex": MAIN, "00README.XXX": "fig.pdf ignore\nb.tex toplevelfile\n"}, "b.tex"),
    "arXiv's 00README": (
        {"b.tex": MAIN, "00README.json": json.dumps({"sources": [{"filename": "b.tex", "usage": "toplevel"}]})}, "b.tex"),
    "a part with a class": ({"a.tex": MAIN.replace("{article}", "[tikz]{standalone}")}, "main.tex"),
    "a folder below": ({"old/main.tex": MAIN.replace("Main.", BIG)}, "main.tex"),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERS)
@pytest.mark.parametrize("packed", [True, False], ids=["archive", "folder"])
def test_the_main_file(tmp_path: Path, case: str, packed: bool) -> None:
    """Of several files with a class the paper is read, packed or not; another one beside it is named as not read."""
    files, chosen = OTHERS[case]
    files = {name: text.replace("Main.", f"Main {name}.") for name, text in {**SOURCE, **files}.items()}
    path = tmp_path / "2301.12597.tar.gz"
    if packed:
        archive(path, files)
    else:
        path = tmp_path / "2301.12597"
        for name, text in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(text)
    document = reading.read(path)
    assert f"Main {chosen}." in document.pages[0].text or chosen == "main.tex"
    assert [table.number for table in document.tables] == ["1"]
    assert all(f"; {chosen} was read)" in problem for problem in document.problems)


def test_a_rest_that_is_left_out(tmp_path: Path) -> None:
    r"""`\endinput` ends its own file, and nothing else."""
    files = {
        **SOURCE,
        "main.tex": MAIN.replace("{tables/", r"{first}\input{tables/"),
        "first.tex": "First.\n\\endinput\nNot.",
    }
    document = reading.read(archive(tmp_path / "2301.12597.tar.gz", files))
    assert len(document.tables) == 1
    assert "First." in document.pages[0].text
    assert "Not." not in document.pages[0].text


def hostile(path: Path) -> Path:
    """An archive whose members lie outside it, lead outside it, or are no files; a good one is among them."""
    with tarfile.open(path, "w:gz") as tar:
        for name in ("/etc/secret.tex", "../secret.tex", "a/../../secret.tex", "secret.tex", "link.tex", "device.tex"):
            member = tarfile.TarInfo(name)
            if name == "link.tex":
                member.type, member.linkname = tarfile.SYMTYPE, "../secret.tex"
            elif name == "device.tex":
                member.type = tarfile.CHRTYPE
            else:
                member.size = 6
            tar.addfile(member, io.BytesIO(b"secret"))
        text = rb"\documentclass{article}\begin{document}" + b"".join(
            rb"\input{%s}" % name
            for name in (b"/etc/secret", b"../secret", b"link", b"device", b"a/../../secret", b"good")
        )
        for name, data in (("sub/main.tex", text), ("sub/good.tex", b"good")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def test_an_archive_reads_only_itself(tmp_path: Path) -> None:
    r"""A member with a path that leads out, a link or a device is no file; `\input` finds only files of the archive."""
    (tmp_path / "secret.tex").write_text("outside")
    document = reading.read(hostile(tmp_path / "2301.12597.tar.gz"))
    assert "good" in document.pages[0].text
    assert "outside" not in document.pages[0].text
    assert not list(tmp_path.glob("**/good.tex"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("empty", "it holds no .tex file"),
        ("broken", "it is no archive that can be read"),
        ("short", "it is no archive that can be read"),
        ("words", "it is neither a tar file nor LaTeX"),
        ("pdf", "it is a compressed PDF"),
        ("files", f"it holds more than {bundle.FILES} .tex files"),
    ],
)
def test_an_archive_that_cannot_be_read(tmp_path: Path, name: str, said: str) -> None:
    """The sentence says what is wrong with it."""
    path = tmp_path / "2301.12597.tar.gz"
    if name == "empty":
        archive(path, {"a.pdf": "x"})
    elif name == "files":
        archive(path, {f"{place}.tex": "x" for place in range(bundle.FILES + 1)})
    elif name == "short":
        data = archive(path, {"main.tex": MAIN, "b.tex": papers.paper_latex()}).read_bytes()
        path.write_bytes(data[: len(data) // 2])
    else:
        data = {"broken": b"\x1f\x8bno", "words": gzip.compress(b"words"), "pdf": gzip.compress(b"%PDF-1.7")}[name]
        path.write_bytes(data)
    with pytest.raises(Unreadable, match=said):
        reading.read(path)
