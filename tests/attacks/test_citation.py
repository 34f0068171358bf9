"""Keep a wrong citation from being found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.attacks.repository import claims, compare, entry, git
from tests.builders import predictions, write

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["claims"]

TABLE = r"\begin{table}\caption{x}\begin{tabular}{lcc} & B@1 & B@2 \\ \hline ours & 100.0 & 99.0 \\ \end{tabular}\end{table}"
WRONG = "Flickr30k B@1"


@pytest.fixture
def cited(pytester: pytest.Pytester, claims: Path) -> Path:
    """The repository of `claims`, with a claim whose citation the table beside it proves wrong, as recorded."""
    document = predictions(entry("bleu1", citation__column=WRONG, expect="pending"), paper__arxiv_id="2301.12597")
    write(claims / "claim.yaml", document)
    (claims / "papers").mkdir()
    (claims / "papers" / "2301.12597.tex").write_text(TABLE, encoding="utf-8")
    git(pytester.path, "add", "-A")
    git(pytester.path, "commit", "-qm", "cited")
    git(pytester.path, "branch", "-f", "main")
    return claims


@pytest.mark.usefixtures("cited")
def test_as_it_stands(pytester: pytest.Pytester) -> None:
    """Without a change nothing moved, and the recorded rejection is green."""
    found = compare(pytester)
    assert (found.status, found.moved) == (0, [])
    assert [record["evidence"]["citation"]["result"] for record in found.records] == ["misattributed"]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("remove", "paper 2301.12597.tex"),
        ("edit", "paper 2301.12597.tex"),
        ("add", "paper 2301.12597v1.tex"),
        ("name", "paper.source"),
    ],
)
def test_take_the_table_away(pytester: pytest.Pytester, cited: Path, change: str, key: str) -> None:
    """A table that is removed, edited, or replaced by another file of the paper is a moved bar."""
    table = cited / "papers" / "2301.12597.tex"
    if change == "remove":
        table.unlink()
    elif change == "edit":
        table.write_text(TABLE.replace("B@1", "Flickr30k B@1"), encoding="utf-8")
    elif change == "add":
        table.with_name("2301.12597v1.tex").write_text(TABLE, encoding="utf-8")
    else:
        document = predictions(
            entry("bleu1", citation__column=WRONG, expect="pending"),
            paper__arxiv_id="2301.12597",
            paper__source="papers/none.tex",
        )
        write(cited / "claim.yaml", document)
    found = compare(pytester, accept=False)
    assert any(moved.startswith(f"{key}: ") for moved in found.moved), found.moved
    assert found.status == 1


def test_expect_hides_no_other_status(pytester: pytest.Pytester, cited: Path) -> None:
    """`expect: pending` is red as soon as the citation is no longer rejected: the record must then be judged."""
    (cited / "papers" / "2301.12597.tex").unlink()
    result = pytester.runpytest_inprocess("claims", "-p", "no:hypothesispytest", "-p", "no:anyio")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*expected pending, as recorded, but got pass*"])
