"""A claim's citation against the paper's source: which source, what is said of quote, page and version, what follows."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import citation, spec, verdict
from pytest_claims.citation import Library, Result, child, reading
from pytest_claims.errors import SpecError
from pytest_claims.settings import Gate
from pytest_claims.verdict import Status
from tests import builders
from tests.citation import papers
from tests.running import run

if TYPE_CHECKING:
    from pytest_claims.citation import CitationCheck

ROOT = Path(__file__).parents[2]
ROW, COLUMN = "BLIP-2 ViT-g OPT-2.7B", "COCO Fine-tuned (Karpathy test) B@4"


def claim(folder: Path, *, value: str = "43.7", paper: dict[str, Any] | None = None, **cited: Any) -> spec.Claim:
    """A claim of BLEU-4 in BLIP-2's Table 3; `cited` changes the citation."""
    words = {"section": "Table 3", "row": ROW, "column": COLUMN, "quoted_text": f"{value} 145.8", **cited}
    document = builders.predictions(
        builders.claim("one", metric="bleu4", value=value, citation=words),
        paper={"arxiv_id": "2301.12597", "title": "BLIP-2", **(paper or {})},
    )
    (found,) = spec.load(builders.write(folder / "claims" / "blip2.yaml", document))
    return found


def check(found: spec.Claim, *folders: Path) -> CitationCheck:
    """The check of a claim, with sources read in this process."""
    return citation.check(found, Library(folders, read=reading.read))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of --claims-papers, with BLIP-2 as HTML."""
    folder = tmp_path_factory.mktemp("shelf")
    (folder / "2301.12597v3.html").write_text(papers.paper_html(), encoding="utf-8")
    return folder


def test_without_a_source(tmp_path: Path) -> None:
    """Where no source is at hand the citation is unchecked, with what would check it."""
    found = check(claim(tmp_path))
    assert found.result is Result.UNCHECKED
    assert found.sentence == "No source of the paper is at hand."
    assert "2301.12597.html, .tex or .pdf with --claims-papers=DIR" in found.next_step


def test_a_confirmed_citation(tmp_path: Path, shelf: Path) -> None:
    """The check names the source with its digest, the header path, and the numbers beside the cell."""
    found = check(claim(tmp_path), shelf)
    assert (found.result, found.score, found.version) == (Result.CONFIRMED, 1.0, 3)
    assert found.source.endswith("2301.12597v3.html")
    assert len(found.digest) == 64
    assert found.found
    assert found.found.column == ("COCO Fine-tuned", "Karpathy test", "B@4")
    assert [one.text for one in found.found.neighbours] == papers.ROWS[ROW]
    assert [one.text for one in found.found.neighbours if one.found] == ["43.7"]
    assert found.notes == ()


@pytest.mark.parametrize(
    ("names", "stated", "chosen"),
    [
        (["2301.12597v1.html", "2301.12597v3.html"], 1, "2301.12597v1.html"),
        (["2301.12597v1.html", "2301.12597v3.html"], None, "2301.12597v3.html"),
        (["2301.12597v1.html", "2301.12597.html"], 3, "2301.12597.html"),
        (["2301.12597.html", "2301.12597.pdf"], None, "2301.12597.html"),
        (
            ["arXiv-2301.12597v2.html", "2301.12598.html", "12301.12597.html", "2301.12597.txt"],
            2,
            "arXiv-2301.12597v2.html",
        ),
        (["2301.12597v9.html.bak", "x2301.12597.html"], 2, None),
    ],
)
def test_versions_are_told_apart(tmp_path: Path, names: list[str], stated: int | None, chosen: str | None) -> None:
    """Of several files of a paper, the version that the claim states is taken, then one without a version, then the newest."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    for name in names:
        (folder / name).write_text(papers.paper_html(), encoding="utf-8")
    found = check(claim(tmp_path, paper={"latest_version": stated}), folder)
    assert Path(found.source).name == (chosen or "")


def test_another_version_is_said(tmp_path: Path, shelf: Path) -> None:
    """A source of another version than the claim states is used, and it is said."""
    found = check(claim(tmp_path, paper={"latest_version": 1}), shelf)
    assert found.result is Result.CONFIRMED
    assert found.notes[0].endswith("2301.12597v3.html is version 3 of the paper; the claim file states version 1")


def test_a_folder_of_sources_and_old_ids(tmp_path: Path) -> None:
    """A folder with the LaTeX source is read by its main file; the slash of an old id stands as another sign in a name."""
    folder = tmp_path / "shelf" / "cs_0112017v2"
    folder.mkdir(parents=True)
    (folder / "main.tex").write_text(papers.LATEX, encoding="utf-8")
    (folder / "captioning.tex").write_text(papers.captioning_latex(), encoding="utf-8")
    found = check(claim(tmp_path, paper={"arxiv_id": "cs/0112017"}), folder.parent)
    assert (found.result, found.version) == (Result.CONFIRMED, 2)


def test_a_source_by_its_path(tmp_path: Path, shelf: Path) -> None:
    """`paper.source` names the file, beside the claim file or below a folder of papers; a path that leaves them is not read."""
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "tables.html").write_text(papers.paper_html(), encoding="utf-8")
    assert check(claim(tmp_path, paper={"source": "tables.html"})).result is Result.CONFIRMED
    assert check(claim(tmp_path, paper={"source": "2301.12597v3.html"}), shelf).result is Result.CONFIRMED
    missing = check(claim(tmp_path, paper={"source": "missing.html"}), shelf)
    assert (missing.result, missing.source) == (Result.UNCHECKED, "")
    (tmp_path / "claims" / "link.html").symlink_to(shelf / "2301.12597v3.html")
    refused = check(claim(tmp_path, paper={"source": "link.html"}))
    assert refused.result is Result.UNCHECKED
    assert "is refused" in refused.sentence


def test_a_source_beside_the_claim_file_comes_last(tmp_path: Path, shelf: Path) -> None:
    """A paper of the user's own is used in place of what lies beside the claim file."""
    beside = tmp_path / "claims" / "papers"
    beside.mkdir(parents=True)
    (beside / "2301.12597.html").write_text(papers.paper_html().replace("43.7", "99.9"), encoding="utf-8")
    assert check(claim(tmp_path)).result is Result.CONTRADICTED
    assert check(claim(tmp_path), shelf).result is Result.CONFIRMED


@pytest.mark.parametrize(
    ("quoted", "note"),
    [
        ("BLIP-2 ViT-g OPT2.7B 1.1B 123.0 15.8 117.8 15.4 123.4 15.1 119.7 15.4 43.7", None),
        ("BLIP-2 OPT-2.7B 43.7", "the quoted text is a row of a table, with cells left out"),
        ("self-attention layers follow 43.7", "nearest: “self-attention layers of prior”"),
        ("Nothing like it: 43.7 xyz", "the quoted text does not stand in"),
    ],
)
def test_the_quoted_text(tmp_path: Path, shelf: Path, quoted: str, note: str | None) -> None:
    """A quotation stands in the text, or is a row with cells left out; else the nearest passage is shown."""
    found = check(claim(tmp_path, quoted_text=quoted), shelf)
    assert found.result is Result.CONFIRMED
    assert not found.notes if note is None else note in found.notes[0]


PAGES = [
    ["A paper", *["words of a page that say nothing"] * 8],
    ["Table 3. Captioning", "ViT-g OPT2.7B 1.1B 123.0 15.8 43.7 145.8", "We use self-", "attention and ef", "fects."],
]


@pytest.mark.parametrize(
    ("value", "page", "quoted", "result", "said"),
    [
        ("43.7", 2, "43.7 145.8", "unchecked", "43.7 stands on page 2."),
        ("43.8", 2, "43.8 145.8", "not_found", "holds 43.8."),
        ("43.7", 1, "43.7 145.8", "unchecked", "the quoted text stands on page 2, not on page 1"),
        ("43.7", 2, "43.7 145.8 We use self-attention", "unchecked", "the quoted text stands on page 2, as cited"),
        ("43.7", 2, "43.7 146.8 We use", "unchecked", "nearest on page 2: “43.7 145.8 We use”"),
    ],
)  # fmt: skip
def test_a_pdf(tmp_path: Path, value: str, page: int, quoted: str, result: str, said: str) -> None:
    """Of a PDF whose table cannot be read the pages count: only a number that no page holds is not found."""
    (tmp_path / "2301.12597.pdf").write_bytes(papers.pdf(*PAGES))
    found = check(claim(tmp_path, value=value, pdf_page=page, quoted_text=quoted), tmp_path)
    assert found.result == result
    assert said in " ".join([found.sentence, *found.notes])
    assert (
        result == "not_found"
        or "is a PDF, and the cell was not looked up: Table 3: no three horizontal rules" in found.sentence
    )


def test_the_page_comes_from_the_pdf(tmp_path: Path, shelf: Path) -> None:
    """Where HTML gives the cell, a PDF beside it gives the page."""
    (tmp_path / "2301.12597.html").write_bytes((shelf / "2301.12597v3.html").read_bytes())
    (tmp_path / "2301.12597.pdf").write_bytes(papers.pdf(*PAGES))
    found = check(claim(tmp_path, pdf_page=7), tmp_path)
    assert found.result is Result.CONFIRMED
    assert found.notes == ("the quoted text stands on page 2, not on page 7",)


@pytest.mark.parametrize(
    ("section", "quoted", "result"),
    [
        ("Table 9", "43.7", "not_found"),
        ("Section 4", "43.7 145.8", "unchecked"),
        ("Section 4", "43.7 of something else", "not_found"),
        ("NoCaps and COCO Caption", "43.7", "confirmed"),
    ],
)
def test_sections(tmp_path: Path, shelf: Path, section: str, quoted: str, result: str) -> None:
    """A table that the paper does not have is not found. A section that names no table cannot confirm a number."""
    assert check(claim(tmp_path, section=section, quoted_text=quoted), shelf).result == result


def test_what_cannot_be_read_is_unchecked(tmp_path: Path) -> None:
    """A source that cannot be read leaves the citation unchecked, with the reason."""
    (tmp_path / "2301.12597.pdf").write_bytes(b"no pdf")
    found = check(claim(tmp_path), tmp_path)
    assert found.result is Result.UNCHECKED
    assert found.sentence.endswith("2301.12597.pdf cannot be read: it is no PDF that can be read.")


def test_without_the_extra(tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without lxml, HTML is not read, and the sentence says what to install."""
    monkeypatch.setitem(sys.modules, "lxml", None)
    found = check(claim(tmp_path), shelf)
    assert found.result is Result.UNCHECKED
    assert "reading it needs lxml: pip install 'pytest-claims[citations]'" in found.sentence


@pytest.mark.parametrize(
    ("column", "metric", "problem"),
    [
        ("COCO CIDEr", "bleu4", "the column names cider, the claim reports bleu4: 'COCO CIDEr'"),
        ("COCO B@1", "bleu4", "the column names bleu1, the claim reports bleu4: 'COCO B@1'"),
        ("SPICE", "cider", "the column names spice, the claim reports cider: 'SPICE'"),
        ("COCO BLEU", "bleu4", None),
        ("Image-to-text R@5", "recall_at_5", None),
        ("Image-to-text R@5", "recall_at_1", "the column names recall_at_5, the claim reports recall_at_1"),
        ("Text-to-image R@100", "recall_at_10", "the column names recall, the claim reports recall_at_10"),
        ("VQA accuracy", "vqa_accuracy", None),
        ("GQA accuracy", "exact_match", None),
        ("Top-5 accuracy", "accuracy_top5", None),
        ("VQA accuracy", "cider", "the column names accuracy, the claim reports cider"),
        ("Karpathy test", "bleu4", None),
        ("C", "cider", None),
    ],
)
def test_the_metric_fits_the_column(tmp_path: Path, column: str, metric: str, problem: str | None) -> None:
    """A column that names another metric than the claim's is an error of the claim file, with its line."""
    (family,) = spec.METRICS[metric].families
    one = builders.claim(metric=metric, value="43.7", citation__column=column)
    document = builders.predictions(one, protocol__metric=family)
    path = builders.write(tmp_path / "claim.yaml", document)
    if problem is None:
        assert spec.load(path)
        return
    with pytest.raises(SpecError) as caught:
        spec.load(path)
    assert problem in str(caught.value)


def test_one_value_under_two_columns(tmp_path: Path) -> None:
    """Two claims of a file that cite one number of a row under two columns each say so."""
    of_bleu = {"metric": "bleu4", "value": "43.7", "citation__row": "BLIP-2"}
    document = builders.predictions(
        builders.claim("one", **of_bleu, citation__column="Flickr30k B@4"),
        builders.claim("two", **of_bleu, citation__column="COCO B@4"),
        builders.claim("three", **of_bleu, citation__column="coco  b@4"),
    )
    one, two, _ = spec.load(builders.write(tmp_path / "claim.yaml", document))
    assert one.doubles == ("COCO B@4 (two)", "coco  b@4 (three)")
    assert two.doubles == ("Flickr30k B@4 (one)",)
    assert "cited from this row under another column too: Flickr30k B@4 (one)" in check(two).notes[0]


def test_one_value_in_two_files(pytester: pytest.Pytester) -> None:
    """Two files of one paper that cite one number of a row under two columns say so; those of another paper do not count."""
    of_bleu = {"metric": "bleu1", "value": "100.0"}
    one = builders.claim("one", **of_bleu, citation__row="BLIP-2 OPT", citation__column="Flickr30k B@1")
    two = builders.claim("two", **of_bleu, citation__row="BLIP-2 ViT-g OPT", citation__column="COCO B@1")
    same = builders.claim("same", **of_bleu, citation__row="BLIP-2 OPT", citation__column="COCO (Karpathy) B@1")
    other = builders.claim("other", **of_bleu, citation__row="OSCAR", citation__column="VQA B@1")
    far = builders.claim("far", **of_bleu, citation__row="BLIP-2 OPT", citation__column="NoCaps B@1")
    files = {
        "a": ([one], "2301.12597"),
        "b": ([two, other], "2301.12597"),
        "c": ([same], "2301.12597"),
        "d": ([far], "2301.99999"),
    }
    for name, (claims, paper) in files.items():
        builders.put(pytester.path, *claims, name=f"claims/{name}/x.yaml", paper__arxiv_id=paper)
    found = run(pytester, "claims")
    notes = {name: record["evidence"]["citation"]["notes"] for name, record in found.records.items()}
    said = "another file cites 100.0 from such a row under another column"
    assert notes == {
        "one": [f"{said}: COCO B@1 (claims/b/x.yaml::two); COCO (Karpathy) B@1 (claims/c/x.yaml::same)"],
        "two": [f"{said}: Flickr30k B@1 (claims/a/x.yaml::one)"],
        "same": [f"{said}: Flickr30k B@1 (claims/a/x.yaml::one)"],
        "other": [],
        "far": [],
    }


def shipped(name: str) -> list[tuple[spec.Claim, CitationCheck]]:
    """The claims of a shipped file, each with its check against what the repository ships, read as a session reads it."""
    library = Library((), read=child.read)
    claims = spec.load(ROOT / "claims" / "blip2" / name)
    return [(found, citation.check(found, library)) for found in claims]


def test_the_starting_record_is_misattributed() -> None:
    """43.7 stands under COCO Fine-tuned, Karpathy test, B@4, and the corrected claim is confirmed: on a fresh machine."""
    ((record, found),) = shipped("flickr30k.yaml")
    assert found.result is Result.MISATTRIBUTED
    assert found.found
    assert found.found.column == ("COCO Fine-tuned", "Karpathy test", "B@4")
    assert "column “COCO Fine-tuned, Karpathy test, B@4”" in found.sentence
    assert record.expect == "pending"
    corrected = {one.id: seen for one, seen in shipped("coco-karpathy.yaml")}["blip2-opt-2.7b-coco-bleu4"]
    assert corrected.result is Result.CONFIRMED
    assert corrected.found == found.found


@pytest.mark.parametrize("name", ["coco-karpathy.yaml", "nocaps.yaml", "parameters.yaml", "vqa.yaml"])
def test_the_other_shipped_claims_are_confirmed(name: str) -> None:
    """Every other shipped claim about BLIP-2 stands in the cell that it cites."""
    assert {found.result for _, found in shipped(name)} == {Result.CONFIRMED}


@pytest.mark.parametrize(
    "value", [("100.0", "B@1"), ("100.0", "B@9"), ("99.0", "B@1")], ids=["right", "column", "value"]
)
def test_a_rejected_citation_withholds_the_verdict(pytester: pytest.Pytester, value: tuple[str, str]) -> None:
    """Whatever the run measures: with a citation that is rejected the verdict is pending and red, and every report says why."""
    printed, cited = value
    table = r"\begin{table}\caption{x}\begin{tabular}{lcc} & B@1 & C \\ \hline ours & 100.0 & 7.0 \\ \end{tabular}\end{table}"
    one = builders.claim(value=printed, citation__column=cited)
    lost = builders.of_status("not_attempted", value=printed, citation__column=cited)
    builders.put(pytester.path, one, lost, paper__arxiv_id="2301.12597")
    papers_folder = pytester.mkdir("shelf")
    (papers_folder / "2301.12597.tex").write_text(table, encoding="utf-8")
    found = run(pytester, "claims", "--claims-papers=shelf")
    right = value == ("100.0", "B@1")
    withheld = dict.fromkeys(("one", "not-attempted"), "pending")
    assert found.statuses == ({"one": "pass", "not-attempted": "not_attempted"} if right else withheld)
    assert found.ret == (0 if right else 1)
    checked = found.records["one"]["evidence"]["citation"]
    assert checked["result"] == {"B@9": "misattributed"}.get(cited, "confirmed" if right else "contradicted")
    assert checked["sentence"] in (found.case("one").findtext("system-out") or "")
    assert f"Citations: 2 {checked['result']}." in found.markdown
    if not right:
        assert found.records["one"]["evidence"]["measured"] == pytest.approx(100)
        assert found.records["one"]["verdict"]["confidence"] == 0.0
        assert checked["sentence"] in found.markdown
        assert found.case("one").find("failure").get("type") == "claim.withheld"  # type: ignore[union-attr]


def test_expect_pending_needs_an_attempt_where_one_is_asked_for(tmp_path: Path, shelf: Path) -> None:
    """A recorded `pending` is green without an attempt, unless --claims-require-attempt asks for one."""
    found = claim(tmp_path, column="Flickr30k B@4")
    seen = check(found, shelf)
    gap = verdict.undecided(found, Status.NOT_ATTEMPTED, "No GPU.", citation=seen)
    assert gap.status is Status.PENDING
    assert gap.reason.startswith("Withheld: the citation is misattributed. 43.7 stands in Table 3 under another place")
    asked = replace(gap, claim=replace(found, expect="pending"))
    assert verdict.settle(asked, gate=Gate.PARTIAL, require_attempt=False)[0] == "expected"
    assert verdict.settle(asked, gate=Gate.PASS, require_attempt=True)[0] == "failed"
    assert verdict.settle(gap, gate=Gate.PARTIAL, require_attempt=False)[0] == "failed"
