"""What reports say of a candidate beside its reference."""

from __future__ import annotations

from pytest_claims.reports import compared, facts, github, html, junit, markdown
from tests.pages import comparison, gallery, record, session

REASON = "The candidate loses 1.50 points against the reference."
DIFFERENCE = (
    "candidate − reference: -1.50, paired 95 % interval -1.90 to -1.10 over 100 images; "
    "probability that the candidate is worse 0.998"
)


def test_the_facts() -> None:
    """The facts of a claim hold the decision, both sides, the interval, what changed, what differs, and the losses."""
    told = list(facts.lines(record(comparison=comparison())))
    for line in (
        "comparison: inferior: The candidate loses 1.50 points against the reference.",
        "reference: 44.60 (model, digest d1; from this session)",
        "candidate: 43.10 (./candidate, digest d2)",
        DIFFERENCE,
        "captions: 40 changed, 10 better, 22 worse, of 100",
        "processor: do_normalize: True → False",
        "loss on image-0: 100.00 → 12.50: 'a dog runs' → 'a cat'",
    ):
        assert line in told


def test_many_losses() -> None:
    """Texts show five losses, and say how many more the other reports hold."""
    one = comparison()["losses"][0]
    told = list(facts.lines(record(comparison=comparison(losses=[{**one, "id": str(i)} for i in range(20)]))))
    assert sum(line.startswith("loss on ") for line in told) == 5
    assert "losses: 15 more of the largest in the JSON and HTML reports" in told


def test_the_terminal() -> None:
    """One line for each claim with a comparison; one that was not compared has its next step."""
    missing = comparison("not compared", reason="There is none.", next_step="Make it.", reference=None, candidate=None)
    records = [record("a", comparison=comparison()), record("b"), record("c", comparison=missing)]
    assert list(compared.summary(records)) == [
        "inferior: a: 44.60 → 43.10, 40 of 100 captions changed, worse with probability 0.998. " + REASON,
        "not compared: c: There is none.",
        "  Make it.",
    ]


def test_markdown_and_junit() -> None:
    """A claim that passes is explained if there is a comparison, and the decision stands beside its status."""
    shown = record(comparison=comparison("inconclusive"))
    text = markdown.render(session(), [shown])
    assert "| green | pass, inconclusive |" in text
    assert "comparison: inconclusive: The candidate loses" in text
    assert "comparison: inconclusive: The candidate loses" in junit.render(session(), [shown])


def test_an_annotation(tmp_path: object) -> None:
    """A candidate that the images cannot tell from a worse one is no plain pass: a warning, with the reason."""
    from pathlib import Path

    (line,) = github.annotate([record(comparison=comparison("inconclusive"))], Path(str(tmp_path)))
    assert line.startswith("::warning ")
    assert "The candidate loses 1.50 points" in line
    assert list(github.annotate([record(comparison=comparison("non-inferior"))], Path(str(tmp_path)))) == []


def test_the_page() -> None:
    """The page shows both sides, and each loss with its image if the gallery has one."""
    shown = record(comparison=comparison())
    page = html.render(session(), [shown], {shown.evidence.claim.nodeid: gallery(3)})
    assert '<span class="tag">inferior</span>' in page
    assert page.count('<li class="loss">') == 2
    assert page.count('<li class="loss"><img src="data:image/') == 1
    assert "worse with probability 0.998" in page
    assert "processor: do_normalize" in page
