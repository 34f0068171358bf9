"""`cite` and `scaffold` turn the cells of a paper's table into citations and claims that are then confirmed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from pytest_claims import citation, spec
from pytest_claims.__main__ import main
from pytest_claims.citation import Library, Result, reading
from tests import builders
from tests.citation import papers, pdfs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    """BLIP-2's Table 3 as arXiv's HTML."""
    path = tmp_path / "2301.12597v3.html"
    path.write_text(papers.paper_html(), encoding="utf-8")
    return path


def test_cite_lists_the_cells(paper: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each cell that holds the value is a citation block, rows that fit first; put into a claim, it is confirmed."""
    assert main(["cite", "--paper", str(paper), "BLIP-2 OPT-6.7B", "123.7"]) == 0
    blocks = [yaml.safe_load(part)["citation"] for part in capsys.readouterr().out.split("\n\n") if part.strip()]
    assert [one["row"] for one in blocks] == ["BLIP-2 ViT-g OPT 6.7B", "BLIP-2 ViT-g FlanT5 XL"]
    assert {one["column"] for one in blocks} == {"NoCaps Zero-shot (validation set), in-domain, C"}
    one = builders.claim(metric="cider", value="123.7", citation=blocks[0])
    document = builders.predictions(one, paper={"arxiv_id": "2301.12597", "title": "BLIP-2"})
    (claim,) = spec.load(builders.write(paper.parent / "claims" / "one.yaml", document))
    assert citation.check(claim, Library((paper.parent,), read=reading.read)).result is Result.CONFIRMED


@pytest.mark.parametrize(
    ("value", "status", "said"),
    [
        ("43.70", 1, "No cell of 2301.12597v3.html holds 43.70. Its tables: Table 3."),
        ("345B", 1, "No cell of"),
        ("345M", 0, ""),
    ],
)
def test_cite_takes_digits_as_printed(
    paper: Path, capsys: pytest.CaptureFixture[str], value: str, status: int, said: str
) -> None:
    """A value with other digits, or another unit, is another value."""
    assert main(["cite", "--paper", str(paper), "OSCAR", value]) == status
    assert said in capsys.readouterr().err


def test_cite_of_a_pdf(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a PDF only certain cells are listed: else it is said, with the pages that hold the value."""
    (tmp_path / "paper.pdf").write_bytes(papers.pdf(["words of a page"] * 20, ["a row 43.7"]))
    assert main(["cite", "--paper", str(tmp_path / "paper.pdf"), "a row", "43.7"]) == 1
    assert "is a PDF: no cell that can be told for certain holds 43.7" in (said := capsys.readouterr().err)
    assert "43.7 stands on page 2." in said
    (tmp_path / "paper.pdf").write_bytes(pdfs.written(pdfs.table()))
    assert main(["cite", "--paper", str(tmp_path / "paper.pdf"), "BLIP-2 OPT-2.7B", "43.7"]) == 0
    assert 'column: "COCO Fine-tuned, Karpathy test, B@4"' in capsys.readouterr().out


def test_scaffold_writes_claims(paper: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file is valid, has a claim for each number whose metric is known, marks guesses, and each claim is confirmed."""
    path = paper.parent / "claims.yaml"
    assert main(["scaffold", "--paper", str(paper), "--table", "3", "--rows", "blip-2*", "--output", str(path)]) == 0
    claims = spec.load(path)
    assert len(claims) == 3 * (8 + 2)
    assert {claim.reported.metric for claim in claims} == {"cider", "bleu4", "spice"}
    assert claims[0].paper.latest_version == 3
    text = path.read_text(encoding="utf-8")
    assert text.count("# metric and unit: guessed") == 33
    assert text.count("  #   - id: ") == 3  # parameters, which the evaluator of the file does not give
    library = Library((paper.parent,), read=reading.read)
    assert {citation.check(claim, library).result for claim in claims} == {Result.CONFIRMED}
    assert main(["scaffold", "--paper", str(paper), "--table", "3", "--output", str(path)]) == 2
    assert "there is such a file already" in capsys.readouterr().err


HEADERS = {
    "VQAv2 test-dev": "vqa_accuracy", "OK-VQA test": "vqa_accuracy", "VQA Acc.": "vqa_accuracy", "GQA test-dev": "exact_match",
    "EM": "exact_match", "Exact match": "exact_match", "Accuracy": "accuracy", "Top-1": "accuracy", "Top-1 Acc.": "accuracy",
    "Acc@1": "accuracy", "Top-5": "accuracy_top5", "Acc@5": "accuracy_top5", "R@1": "recall_at_1", "TR@1": "recall_at_1",
    "IR@5": "recall_at_5", "Recall@10": "recall_at_10", "METEOR": "meteor", "M": "meteor", "SPICE": "spice", "S": "spice",
    "C": "cider", "B@4": "bleu4", "R@50": "", "R@100": "", "Top-10": "", "Acc@10": "", "Latency": "", "TriviaQA": "",
}  # fmt: skip
"""Columns as tables write them, and the metric that is guessed."""


@pytest.mark.parametrize(("header", "metric"), HEADERS.items())
def test_the_metric_is_guessed_from_the_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, header: str, metric: str
) -> None:
    """A guess has the evaluator and the family that its metric needs, and the file is valid; what is not known is a comment."""
    monkeypatch.setattr("pytest_claims.citation.child.read", reading.read)  # our own page needs no process of its own
    path = tmp_path / "paper.html"
    path.write_text(
        f"<table><caption>Table 1: x</caption><tr><th>Model<th>{header}<tr><td>ViT-S<td>65.0</table>", encoding="utf-8"
    )
    assert main(["scaffold", "--paper", str(path), "--table", "1"]) == 0
    written = capsys.readouterr().out
    if not metric:
        assert "metric: TODO" in written
        assert yaml.safe_load(written)["claims"] == []
        return
    (claim,) = spec.loads(written.encode(), path=tmp_path / "claims.yaml", display="claims.yaml")
    assert claim.reported.metric == metric
    assert claim.protocol.metric in spec.METRICS[metric].families


def test_a_table_of_several_kinds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Captions, answers, labels and rankings in one table: each claim has a section run of its own."""
    path = tmp_path / "paper.html"
    head = (
        "<table><caption>Table 1: x</caption><tr><th>Model<th>COCO, B@4<th>VQAv2<th>ImageNet, Top-5<th>Flickr30k, TR@1"
    )
    path.write_text(f"{head}<tr><td>a<td>43.7<td>65.0<td>95.1<td>97.6</table>", encoding="utf-8")
    assert main(["scaffold", "--paper", str(path), "--table", "1"]) == 0
    written = capsys.readouterr().out.encode()
    claims = spec.loads(written, path=tmp_path / "claims.yaml", display="claims.yaml")
    runs = [claim.run for claim in claims]
    assert [run.noun for run in runs if isinstance(run, spec.PredictionsRun)] == [
        "caption",
        "answer",
        "label",
        "ranking",
    ]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--table", "9"], "--table 9: 2301.12597v3.html has no such table; its tables: 3."),
        (["--table", "3", "--rows", "GPT*"], "--rows GPT*: no row of the table has such a name; its rows: “OSCAR”"),
        (["--table", "3", "--paper", "missing.html"], "--paper missing.html: there is no such file or folder"),
    ],
)
def test_wrong_usage(paper: Path, capsys: pytest.CaptureFixture[str], args: list[str], said: str) -> None:
    """A table, a row or a file that does not exist is named, with those that do."""
    assert main(["scaffold", "--paper", str(paper), *args]) == 2
    assert said in capsys.readouterr().err


def test_words_of_a_paper_stay_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A header of a paper can neither end a line of the file nor become a key of it."""
    path = tmp_path / "paper.html"
    page = '<table><caption>Table 1: x</caption><tr><td>M<td>B@4": x\n#<tr><td>a\nclaims: [] ::error::\x1b[0m<td>1.5</table>'
    path.write_text(page, encoding="utf-8")
    assert main(["scaffold", "--paper", str(path), "--table", "1"]) == 0
    out = capsys.readouterr().out
    (one,) = yaml.safe_load(out)["claims"]
    assert one["citation"]["column"] == 'B@4": x #'
    assert one["citation"]["row"].startswith("a claims: [] ::error::")
    assert "\x1b" not in out
