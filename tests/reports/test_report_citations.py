"""What the checks of citations gave stands in every report: the sentence, the row that was found, the counts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_claims import citation, spec, verdict
from pytest_claims.reports import citations, facts, record
from pytest_claims.reports.format import RunInfo
from pytest_claims.verdict import Result, Status
from tests import builders

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_claims.reports.format import Record

RUN = RunInfo(tool="t", command="pytest", gate="partial", exit_status=1, collected=2, deselected=0)
TABLE = r"\begin{table}\caption{}\begin{tabular}{lcc} & B@1 & C \\ \hline <b>ours</b> & 41.5 & 7.25 \\ \end{tabular}\end{table}"


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    """A claim whose citation is misattributed, and one of a paper without a source."""
    document = builders.predictions(
        builders.claim(value="41.5", citation__row="<b>ours</b>", citation__column="Flickr30k B@1"),
        paper__arxiv_id="2301.12597",
    )
    (claim,) = spec.load(builders.write(tmp_path / "claim.yaml", document))
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "2301.12597.tex").write_text(TABLE, encoding="utf-8")
    other = replace(claim, id="two", paper=claim.paper.model_copy(update={"arxiv_id": "2301.00000"}))
    made = []
    for one in (claim, other):
        found = verdict.undecided(
            one, Status.NOT_ATTEMPTED, "No GPU.", citation=citation.check(one, citation.Library())
        )
        made.append(record.of_verdict(found, nodeid=one.id, result=Result.FAILED, message=found.reason, seconds=0.0))
    return made


def test_the_record(records: list[Record]) -> None:
    """The record holds the header path and the neighbouring cells."""
    check = records[0].evidence.citation
    assert check
    assert check.found
    assert (check.result, check.found.row, check.found.column) == ("misattributed", ["<b>ours</b>"], ["B@1"])
    assert [(one.column, one.text, one.found) for one in check.found.neighbours] == [
        (["B@1"], "41.5", True),
        (["C"], "7.25", False),
    ]


def test_every_report_says_it(records: list[Record]) -> None:
    """The facts of JUnit, Markdown and a failure have a line for it, also where nothing was checked."""
    wrong, unchecked = (list(facts.lines(one)) for one in records)
    assert any(
        line.startswith("citation check: misattributed: 41.5 stands in Table 1 under another place") for line in wrong
    )
    assert "citation check: unchecked: No source of the paper is at hand." in unchecked
    assert any(line.startswith("to check the citation: Name a folder that holds 2301.00000.html") for line in unchecked)


def test_the_counts(records: list[Record]) -> None:
    """One line counts the results, the rejected ones first."""
    assert citations.counted(records) == "Citations: 1 misattributed, 1 unchecked."


def test_the_page_draws_the_row(records: list[Record]) -> None:
    """The HTML report shows the row that holds the value, with the value marked, and no text of the paper is HTML."""
    from pytest_claims.reports import html

    page = html.render(RUN, records, {})
    assert "<mark>41.5</mark>" in page
    assert "<td>C</td>" in page
    assert "&lt;b&gt;ours&lt;/b&gt;" in page
    assert "<b>ours</b>" not in page
    assert "Citation unchecked." in page
