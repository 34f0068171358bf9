"""Derived claims: a sentence against the cells, and the claims, that it follows from."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import verify
from pytest_claims.errors import SpecError
from pytest_claims.evaluation.predictions import evaluate
from pytest_claims.protocol import Match
from pytest_claims.reports import facts, record
from pytest_claims.run import Session
from pytest_claims.spec.expression import ExpressionError, Interval, exact, parse
from pytest_claims.verdict import Kind, Result
from tests.builders import cell, claim, derived, predictions, put, sentence, write
from tests.running import run

if TYPE_CHECKING:
    from pytest_claims.bench import Bench
    from pytest_claims.evidence import Evidence
    from pytest_claims.protocol import PredictionsPlan
    from pytest_claims.spec import Claim
    from pytest_claims.verdict import Verdict

ROOT = Path(__file__).parents[2]

PAPER = r"""
\begin{abstract}We show that our model outperforms theirs by 8.7\% on VQAv2 with 54x fewer parameters.\end{abstract}
\begin{table}\caption{x}\begin{tabular}{lcc} & Params & VQAv2 \\ \hline
theirs & 10.2B & 56.3 \\ ours & 188M & 65.0 \\ \end{tabular}\end{table}
"""


def judged(folder: Path, *claims: dict[str, Any], paper: str = PAPER, **options: Any) -> dict[str, Verdict]:
    """The verdicts on a file of sentences beside its paper; the paper is left out if it is empty."""
    path = write(folder / "sentences.yaml", derived(*claims))
    if paper:
        (folder / "papers").mkdir(exist_ok=True)
        (folder / "papers" / "2301.12597.tex").write_text(paper, encoding="utf-8")
    return {verdict.claim.id: verdict for verdict in verify(path, **options)}


def test_the_shipped_abstract(pytester: pytest.Pytester) -> None:
    """Both numbers of BLIP-2's abstract follow from Table 1; sentence and cells are confirmed; nothing loads torch."""
    folder = pytester.mkdir("claims")
    for name in ("abstract.yaml", "papers/2301.12597.tex"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((ROOT / "claims/blip2" / name).read_bytes())
    loaded = "torch" in sys.modules
    found = run(pytester, "claims")
    assert (found.ret, found.statuses) == (
        0,
        {"blip2-abstract-vqav2-gain": "pass", "blip2-abstract-fewer-parameters": "pass"},
    )
    assert ("torch" in sys.modules) == loaded
    gain = found.records["blip2-abstract-vqav2-gain"]["evidence"]
    assert (gain["basis"], gain["citation"]["result"]) == ("derived", "confirmed")
    assert {name: check["result"] for name, check in gain["citation"]["operands"].items()} == {
        "blip2": "confirmed",
        "flamingo": "confirmed",
    }
    assert gain["derivation"]["printed"] == {"value": 8.7, "low": 8.6, "high": 8.8}
    fewer = found.records["blip2-abstract-fewer-parameters"]["evidence"]["derivation"]["printed"]
    assert (fewer["low"], fewer["high"]) == (10.15e9 / 188.5e6, 10.25e9 / 187.5e6)


@pytest.mark.parametrize(
    ("value", "partial", "status"),
    [
        ("8.7", "0.5", "pass"),
        ("8.5", "0", "fail"),  # its digits end at 8.55, and those of the cells begin at 8.60
        ("8.55", "0", "fail"),
        ("8.6", "0", "pass"),
        ("8.9", "0", "fail"),  # 8.85 against 8.80
        ("8.80", "0", "pass"),
        ("8.9", "0.05", "partial"),  # they meet at exactly 8.80 + 0.05: no floating-point number decides
        ("8.9", "0.04", "fail"),
    ],
)
def test_rounding(tmp_path: Path, value: str, partial: str, status: str) -> None:
    """A claim passes if some numbers that are printed like its operands give one that is printed like its value."""
    quoted = f"our model outperforms theirs by {value}% on VQAv2"
    one = sentence(reported__value=Decimal(value), tolerance__partial=Decimal(partial), citation__quoted_text=quoted)
    assert judged(tmp_path, one, paper="")["gain"].status == status
    if status == "partial":  # the same, where the pass band is as wide
        one["tolerance"]["pass"] = one["tolerance"]["partial"]
        assert judged(tmp_path, one, paper="")["gain"].status == "pass"


def test_interval_arithmetic() -> None:
    """Each operator gives the exact range, for signs of every kind; a divisor that may be 0 has no quotient."""
    wide, over = Interval(Fraction(-1), Fraction(2)), Interval(Fraction(3), Fraction(4))
    given = {"a": wide, "b": over}
    assert parse("a + b").over(given) == Interval(Fraction(2), Fraction(6))
    assert parse("a − b").over(given) == Interval(Fraction(-5), Fraction(-1))
    assert parse("a × b").over(given) == Interval(Fraction(-4), Fraction(8))
    assert parse("a / b").over(given) == Interval(Fraction(-1, 3), Fraction(2, 3))
    assert parse("2*(a + 0.5)/3 - 1").over({"a": exact(Fraction(1))}) == exact(Fraction(0))
    assert parse("a - b - b / 2 / 2").value({"a": Fraction(1), "b": Fraction(4)}) == -4
    with pytest.raises(ExpressionError, match="may be 0"):
        parse("b / a").over(given)


def test_other_forms(tmp_path: Path) -> None:
    """A ratio of counts in unlike units, a relative change either way, and the mean of cells."""
    quoted = "our model has 54x fewer parameters, 98.2% fewer, than theirs"
    sizes = {
        "theirs": cell("10.2", "theirs", "Params", unit="billion"),
        "ours": cell("188", "ours", "Params", unit="million"),
    }
    for operand in sizes.values():
        operand["citation"]["quoted_text"] += {"billion": "B", "million": "M"}[operand["unit"]]
    verdicts = judged(
        tmp_path,
        sentence(
            "ratio",
            reported={"metric": "ratio", "value": 54, "unit": "times"},
            run={"expression": "theirs / ours", "operands": sizes},
            citation__quoted_text=quoted,
        ),
        sentence(
            "fewer",
            reported={"metric": "relative_change", "value": Decimal("98.2"), "unit": "percent"},
            run={"expression": "1 - ours / theirs", "operands": sizes},
            citation__quoted_text=quoted,
        ),
        sentence(
            "mean",
            reported__value=Decimal("7.7"),
            citation__quoted_text="by 7.7",
            run={
                "expression": "(one + other) / 2 - theirs",
                "operands": {"one": cell("65.0", "ours"), "other": cell("63.0", "b"), "theirs": cell("56.3", "c")},
            },
        ),
        paper="",
    )
    assert {name: verdict.status for name, verdict in verdicts.items()} == dict.fromkeys(verdicts, "pass")
    score = verdicts["ratio"].score
    assert score is not None
    assert score.value == 10.2e9 / 188e6


def test_directions(tmp_path: Path) -> None:
    """`at_least` is missed only by less, `at_most` only by more."""
    low = {"reported__value": Decimal("7.0"), "citation__quoted_text": "by 7.0"}
    verdicts = judged(
        tmp_path,
        sentence("at-least", direction="at_least", **low),
        sentence("at-most", direction="at_most", **low),
        paper="",
    )
    assert {name: verdict.status for name, verdict in verdicts.items()} == {"at-least": "pass", "at-most": "fail"}


@pytest.mark.parametrize(
    ("paper", "result", "says"),
    [
        (
            PAPER.replace("188M & 65.0", "188M & 65.1"),
            "contradicted",
            "Operand ours: The cited cell of Table 1 does not",
        ),
        (
            PAPER.replace("& VQAv2", "& GQA"),
            "misattributed",
            "Operand ours: 65.0 stands in Table 1 under another place",
        ),
        (PAPER.replace(r"188M & 65.0", r"65.0 & 65"), "misattributed", "The cited cell holds 65."),
        (PAPER.replace("outperforms theirs", "loses to theirs"), "not_found", "the quoted text does not stand in it"),
    ],
)
def test_a_rejected_citation_withholds_the_verdict(tmp_path: Path, paper: str, result: str, says: str) -> None:
    """If the sentence, or the cell of one operand, is not in the paper, the verdict is pending and says what was found."""
    verdict = judged(tmp_path, sentence(), paper=paper)["gain"]
    assert verdict.citation is not None
    assert (verdict.status, verdict.citation.result) == ("pending", result)
    assert says in verdict.reason
    assert verdict.measured == Decimal("8.7")


@pytest.mark.parametrize("times", [r"54$\times$", "54x", r"54 $\times$"])
@pytest.mark.parametrize("percent", [r"8.7\%", r"8.7\,\%"])
def test_signs_of_a_sentence(tmp_path: Path, times: str, percent: str) -> None:
    """A quotation that people type, with 54x and 8.7%, stands in a paper that sets them as formulas."""
    paper = PAPER.replace("54x", times).replace(r"8.7\%", percent)
    quoted = "our model outperforms theirs by 8.7% on VQAv2 with 54x fewer parameters"
    verdict = judged(tmp_path, sentence(citation__quoted_text=quoted), paper=paper)["gain"]
    assert verdict.citation is not None
    assert (verdict.status, verdict.citation.result) == ("pass", "confirmed")


def test_unchecked_is_said(tmp_path: Path) -> None:
    """A few words may stand anywhere: they confirm no sentence. An operand outside of a table is unchecked, and named."""
    loose = cell("65.0", "ours")
    loose["citation"] |= {"section": "Section 4", "quoted_text": "ours 188M 65.0"}
    verdicts = judged(
        tmp_path,
        sentence("short", citation__quoted_text="by 8.7% on VQAv2"),
        sentence("loose", run__operands__ours=loose),
    )
    short, other = (verdicts[name].citation for name in ("short", "loose"))
    assert short is not None
    assert other is not None
    assert (short.result, other.result) == ("unchecked", "unchecked")
    assert "fewer than 5 words" in short.sentence
    assert other.sentence.endswith("Unchecked operands: ours.")


# --- operands that are claims ----------------------------------------------------------------------------------------

NAMED: dict[str, Any] = {"ours": {"claim": "paper.yaml::one"}, "theirs": cell("90.0", "theirs")}
BY_TEN: dict[str, Any] = {
    "reported__value": Decimal("10.0"),
    "citation__quoted_text": "ours is better by 10.0",
    "tolerance__partial": Decimal(5),
    "run__operands": NAMED,
}


def measured(folder: Path, **changes: Any) -> Verdict:
    """The verdict on "better by 10.0", of a claim of `paper.yaml` that measures 100 %, unless it is changed."""
    put(folder, claim(**changes), name="paper.yaml")
    return judged(folder, sentence(**BY_TEN), paper="")["gain"]


def test_a_claim_is_measured(tmp_path: Path) -> None:
    """The measured number of a claim is used as well as the reported one; both stand in the record."""
    verdict = measured(tmp_path)
    assert verdict.measured is not None
    assert (verdict.status.value, round(verdict.measured, 6), verdict.match) == ("pass", Decimal(10), Match.EXACT)
    values = record.of_verdict(verdict, nodeid="x", result=Result.PASSED, message="", seconds=0.0)
    derivation = values.evidence.derivation
    assert derivation is not None
    assert derivation.measured is not None
    assert (derivation.printed.low, derivation.printed.high) == (9.9, 10.1)
    assert (round(derivation.measured.low, 6), round(derivation.measured.high, 6)) == (
        9.95,
        10.05,
    )
    assert "operand ours: 100.0 % (Table 1, ours, B@1), citation unchecked; measured by" in "\n".join(
        facts.lines(values)
    )


def test_the_worse_of_both_counts(tmp_path: Path) -> None:
    """By the measured numbers the sentence passes, by the printed ones it does not: the verdict is that of the printed ones."""
    verdict = measured(tmp_path, value="99.0", tolerance={"pass": 5, "partial": 20})
    assert (verdict.status.value, verdict.measured) == ("partial", Decimal(9))
    assert verdict.score is not None
    assert round(verdict.score.value, 6) == 0.09
    assert verdict.reason.endswith("From the measured numbers it is 10.")
    assert verdict.reason.startswith(
        "ours - theirs = 9 (8.9 to 9.1 by the digits of the operands) from the printed numbers"
    )


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"run__predictions__path": "missing.json"}, "pass", "The claim one is not attempted"),
        ({"run__dataset__id": "other"}, "pass", "The claim one is pending"),
        (
            {"run__references__captions": "no-such-key"},
            "error",
            "The operand ours has no number. The claim one is error",
        ),
    ],
)
def test_a_claim_without_a_number(tmp_path: Path, changes: dict[str, Any], status: str, says: str) -> None:
    """A claim that was not attempted, or was withheld, leaves its reported number; a failed run is an error."""
    verdict = measured(tmp_path, **changes)
    assert verdict.status == status
    notes = verdict.evidence.notes if verdict.evidence else (verdict.reason,)
    assert says in " ".join(notes)


def test_a_gate_asks_for_the_attempt(pytester: pytest.Pytester) -> None:
    """With `--claims-require-attempt`, a sentence is not green without its claim; and a claim is run whatever is selected."""
    put(pytester.path, claim(run__predictions__path="missing.json"), name="claims/paper.yaml")
    write(pytester.path / "claims" / "sentences.yaml", derived(sentence(**BY_TEN)))
    found = run(pytester, "claims/sentences.yaml", "--claims-require-attempt")
    assert (found.ret, found.statuses) == (1, {"gain": "not_attempted"})
    assert "The operand ours has no measured number." in found.records["gain"]["evidence"]["reason"]


def test_a_claim_of_the_same_file(tmp_path: Path) -> None:
    """An operand may name a claim of its own file; the protocol of the file is that claim's, and not the sentence's."""
    one = sentence(**BY_TEN)
    one["run"] |= {"evaluator": "derived", "operands": {**NAMED, "ours": {"claim": "one"}}}
    one["run"] = {"expression": "ours - theirs", **one["run"]}
    document = predictions(
        claim(
            run={
                "evaluator": "predictions",
                "predictions": {"path": "out.json"},
                "references": {"path": "refs.json", "captions": "caption"},
            }
        ),
        one,
    )
    document["run"] = {}
    put(tmp_path, name="other.yaml")
    verdicts = {v.claim.id: v for v in verify(write(tmp_path / "paper.yaml", document))}
    assert {name: (v.status, v.match) for name, v in verdicts.items()} == {
        "one": ("pass", "exact"),
        "gain": ("pass", "exact"),
    }
    assert [reading.axis for reading in verdicts["gain"].readings] == ["operands"]


def observed(monkeypatch: pytest.MonkeyPatch, *, precision: str = "float32", population: int | None = None) -> None:
    """Let the runs of released captions look like those of a model in a precision, or on a sample."""
    real = evaluate

    def seen(plan: PredictionsPlan, bench: Bench) -> Evidence:
        found = real(plan, bench)
        return replace(
            found, population=population, observed=replace(found.observed, precision={"precision": precision})
        )

    monkeypatch.setattr("pytest_claims.evaluation.predictions.evaluate", seen)


def test_a_proxy_stays_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the claim behind a sentence ran under a proxy of its protocol, the sentence is at most partial."""
    observed(monkeypatch, precision="float16")
    verdict = measured(tmp_path, protocol__precision="float32")
    assert (verdict.outcome, verdict.status, verdict.match) == ("pass", "partial", "proxy")
    assert [reading.axis for reading in verdict.deviations] == ["operands"]


def test_a_sample_that_decides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interval of a sampled operand is no rounding. If the sentence could pass as well as fail by it, it is withheld."""
    observed(monkeypatch, population=10_000)
    captions = {str(index): "a dog" for index in range(60)}
    put(tmp_path, claim(value="75.0", tolerance={"pass": 5, "partial": 60}), name="paper.yaml", captions=captions)
    rows = [{"image_id": name, "caption": "a dog" if int(name) % 2 else "a cat"} for name in captions]
    (tmp_path / "refs.json").write_text(json.dumps({"annotations": rows}))
    by_ten = {**BY_TEN, "run__operands": {**NAMED, "theirs": cell("65.0", "theirs")}}
    verdicts = judged(
        tmp_path,
        sentence("narrow", **changed_band(by_ten, 1)),
        sentence("wide", **changed_band(by_ten, 9)),
        paper="",
    )
    narrow, wide = verdicts["narrow"], verdicts["wide"]
    assert narrow.evidence is not None
    assert narrow.evidence.derivation is not None
    assert narrow.evidence.derivation.sampled
    assert (narrow.status, narrow.confidence) == ("pending", 0.0)
    assert narrow.reason.startswith("Withheld: the samples of the operands decide nothing")
    assert (wide.outcome, wide.status) == ("partial", "partial")


def changed_band(changes: dict[str, Any], partial: int) -> dict[str, Any]:
    """The same changes, with another partial band."""
    return {**changes, "tolerance__partial": partial}


def test_a_candidate_that_gave_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a release candidate behind a sentence gave no number, the sentence is an error, not green by its printed one."""
    real = Session.judged

    def judge(session: Session, one: Claim) -> Verdict:
        return replace(real(session, one), kind=Kind.PRE) if one.id == "one" else real(session, one)

    monkeypatch.setattr(Session, "judged", judge)
    verdict = measured(tmp_path)
    assert (verdict.status, verdict.kind) == ("pass", "PRE")
    verdict = measured(tmp_path, run__predictions__path="missing.json")
    assert verdict.status == "error"
    assert verdict.reason.startswith("The candidate of the operand ours gave no number.")


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("paper.yaml::two", "no claim has the id 'two' in paper.yaml"),
        ("none.yaml::one", "none.yaml cannot be used: there is no such file beside"),
        (
            "../paper.yaml::one",
            "expected the id of a claim of this file, or FILE.yaml::ID of a file in the same folder",
        ),
    ],
)
def test_a_wrong_name(tmp_path: Path, named: str, says: str) -> None:
    """A claim that does not exist, or a file elsewhere, is an error of the file with its line."""
    put(tmp_path, name="paper.yaml")
    with pytest.raises(SpecError, match=r"sentences\.yaml:[0-9]+: claims\[0\]\.run\.operands\.ours") as caught:
        judged(tmp_path, sentence(run__operands__ours={"claim": named}), paper="")
    assert says in str(caught.value)
    assert caught.value.problems[1:] == ()
