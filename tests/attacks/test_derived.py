"""Write a sentence that follows from whatever is cited."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import spec, verify
from pytest_claims.errors import SpecError
from tests.attacks.repository import claims, compare, git
from tests.builders import cell, changed, claim, derived, predictions, put, sentence, write, yaml_of
from tests.running import plain

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["claims"]


def problems(folder: Path, *sentences: dict[str, Any]) -> str:
    """What is wrong with a file of sentences; fails if nothing is."""
    with pytest.raises(SpecError) as caught:
        spec.load(write(folder / "x.yaml", derived(*sentences)))
    return str(caught.value)


@pytest.mark.parametrize(
    "expression",
    [
        "65.0 - 56.3",
        "8.7 + ours - ours",
        "8.7 + 0 * ours * theirs",
        "8.7 + (ours - theirs) / 1000000",
        "8.7 * ours / theirs",
        "8.7 - ours * 0 / theirs",
        "2 * (ours - theirs)",
        "(ours - theirs) / 1.2",
        "ours - theirs - 0.1",
        "ours - 0.9 * theirs",
        "ours * theirs",
        "ours",
    ],
)
def test_ignore_the_operands(tmp_path: Path, expression: str) -> None:
    """A constant, an operand that does not count, or a factor that makes it fit is an error of the file."""
    assert "x.yaml:" in problems(tmp_path, sentence(run__expression=expression))


@pytest.mark.parametrize(
    "expression", ["54 + theirs / ours / 1000000", "54 * theirs / ours", "(theirs / ours - 1) * 3 + 1", "theirs - ours"]
)
def test_ignore_the_operands_of_a_ratio(tmp_path: Path, expression: str) -> None:
    """The same for a ratio."""
    one = sentence(
        reported={"metric": "ratio", "value": 54, "unit": "times"},
        citation__quoted_text="54x fewer parameters",
        run__expression=expression,
    )
    assert "it is no ratio: where" in problems(tmp_path, one)


def test_cite_operands_nowhere(tmp_path: Path) -> None:
    """An operand has a cell, whose quotation holds its digits, or is a claim."""
    nowhere, other = cell("65.0", "ours"), cell("65.0", "ours")
    del nowhere["citation"]
    other["citation"]["quoted_text"] = "ours 165.0"
    assert "lacks citation; expected value, unit and citation, or claim" in problems(
        tmp_path, sentence(run__operands__ours=nowhere)
    )
    assert "does not contain the value 65.0" in problems(tmp_path, sentence(run__operands__ours=other))


def test_round_until_it_fits(tmp_path: Path) -> None:
    """Operands whose digits leave open whether there is a difference are refused, and so are digits that no cell has."""
    coarse: dict[str, Any] = {
        "reported__value": 1,
        "citation__quoted_text": "better by 1%",
        "tolerance__partial": 0,
        "run__operands": {"ours": cell("8", "ours"), "theirs": cell("7", "theirs")},
    }
    said = problems(tmp_path, sentence(**coarse))
    assert (
        "with the rounding of the operands covers -0.5 to 2.5 percent: it reaches 0, which equal operands give" in said
    )
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "2301.12597.tex").write_text(
        r"our model outperforms theirs by 8.7\% on VQAv2 \begin{table}\caption{x}\begin{tabular}{lc} & VQAv2 \\ \hline "
        r"theirs & 56.3 \\ ours & 64.6 \\ \end{tabular}\end{table}",
        encoding="utf-8",
    )
    fewer = sentence(run__operands__ours=cell("65", "ours"))
    (verdict,) = verify(write(tmp_path / "y.yaml", derived(fewer)))
    assert (verdict.outcome, verdict.status) == ("pass", "pending")
    assert "It holds 64.6" in verdict.reason


@pytest.mark.parametrize("partial", [Decimal("8.6"), "99%"])
def test_widen_the_bands(tmp_path: Path, partial: Any) -> None:
    """A band that reaches what equal operands give is refused, as it is for other metrics."""
    assert "it reaches 0, which equal operands give" in problems(tmp_path, sentence(tolerance__partial=partial))


def test_claim_itself(tmp_path: Path) -> None:
    """No sentence is an operand of another: so neither one that names itself nor a circle, in one file or two, is possible."""
    one, two = (
        sentence("one", run__operands__ours={"claim": "two"}),
        sentence("two", run__operands__ours={"claim": "x.yaml::one"}),
    )
    said = problems(tmp_path, one, two)
    assert said.count("is derived itself; expected a claim that is evaluated") == 2
    assert "cannot be derived from itself" in problems(tmp_path, sentence("one", run__operands__ours={"claim": "one"}))
    for name, other in (("a", "b"), ("b", "a")):
        write(tmp_path / f"{name}.yaml", derived(sentence("s", run__operands__ours={"claim": f"{other}.yaml::s"})))
    with pytest.raises(SpecError, match="is derived itself"):
        spec.load(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    "expression",
    [
        "10**10**10",
        "9999999999999 - ours",
        "(" * 12 + "ours" + ")" * 12 + " - theirs",
        "ours - theirs" + " * 1" * 60,
        "ours - theirs" + " + 1" * 10_000,
        "ours - theirs" + " * 999999999999" * 60,
        "__import__('os').system('id')",
        "ours if theirs else 0",
        "ours.real - theirs",
        "ours - theirs\x00",
        "٣ - ours",
    ],
)
def test_expression_bombs(tmp_path: Path, expression: str) -> None:
    """There is no power, no call, no name of Python; length, depth and digits are bounded: each is refused."""
    text = yaml_of(derived(sentence(run__expression="X"))).replace("expression: X", f'expression: "{expression}"')
    with pytest.raises(SpecError):
        spec.loads(text.encode(), path=tmp_path / "x.yaml", display="x.yaml")


def test_huge_operands(tmp_path: Path) -> None:
    """Sixteen operands of 36 digits are computed exactly, and what no report can hold is refused."""
    names = [f"o{index}" for index in range(16)]
    huge = cell("9" * 36, "ours")
    one = sentence(
        reported={"metric": "ratio", "value": 54, "unit": "times"},
        citation__quoted_text="54x",
        run={"expression": f"({' + '.join(names[:15])}) / 15 / {names[15]}", "operands": dict.fromkeys(names, huge)},
    )
    one["run"]["operands"] = {**one["run"]["operands"], names[15]: cell("1.0", "theirs")}
    assert "its value is larger than 1e+30" in problems(tmp_path, one)


def test_leave_the_folder(tmp_path: Path) -> None:
    """A link to a claim file elsewhere is not followed."""
    put(tmp_path / "elsewhere", name="paper.yaml")
    folder = tmp_path / "claims"
    folder.mkdir()
    (folder / "paper.yaml").symlink_to("../elsewhere/paper.yaml")
    said = problems(folder, sentence(run__operands__ours={"claim": "paper.yaml::one"}))
    assert "paper.yaml cannot be used: The path 'paper.yaml' is refused" in said


def test_move_an_operand(pytester: pytest.Pytester, claims: Path) -> None:
    """With a merge base, a printed number, its cell, or the file of a claim behind a sentence is a moved bar."""
    named = {"claim": "claim.yaml::bleu1"}
    one = sentence(run__operands={"ours": cell("65.0", "ours"), "theirs": cell("56.3", "theirs")})
    spec_of = {"reported__value": Decimal("10.0"), "citation__quoted_text": "by 10.0", "run__operands__theirs": named}
    other = sentence("other", **spec_of)
    from pytest_claims.spec import load

    value = next(found for found in load(claims / "claim.yaml") if found.id == "bleu1").reported.value.value
    other["run"]["operands"]["ours"] = cell(str(value + 10), "ours")
    write(claims / "sentences.yaml", derived(one, other))
    git(pytester.path, "add", "-A")
    git(pytester.path, "commit", "-qm", "sentences")
    git(pytester.path, "branch", "-f", "main")
    found = compare(pytester, args=("claims/sentences.yaml",))
    assert found.moved == []
    one["run"]["operands"]["theirs"] = cell("56.30", "theirs")
    write(claims / "sentences.yaml", derived(one, other))
    with (claims / "refs.json").open("a") as file:
        file.write(" \n")
    text = (claims / "claim.yaml").read_text()
    (claims / "claim.yaml").write_text(text.replace("partial", "partial", 1) + "\n# edited\n")
    found = compare(pytester, args=("claims/sentences.yaml",), accept=False)
    assert found.status == 1
    moved = "\n".join(found.moved)
    assert "run.operands.theirs.value: 56.3 → 56.30" in moved
    assert "data claim.yaml: claims/claim.yaml → edited" in moved
    assert "data refs.json: claims/refs.json → edited" in moved


def test_move_an_operand_of_the_same_file(pytester: pytest.Pytester, claims: Path) -> None:
    """A sentence that runs alone has moved if the claim behind it has, in the same file."""
    own = {"evaluator": "derived", "operands": {"ours": cell("110.0", "ours"), "theirs": {"claim": "one"}}}
    by: dict[str, Any] = {"reported__value": Decimal("10.0"), "citation__quoted_text": "by 10.0"}
    one = changed(sentence(**by), run={"expression": "ours - theirs", **own})
    scored = predictions()["run"]
    for value, band in (("100.0", 1), ("100.0", 2)):
        document = predictions(claim(value=value, tolerance={"pass": band, "partial": 20}, run=scored), one, run=...)
        write(claims / "claim.yaml", document)
        if band == 1:
            git(pytester.path, "add", "-A")
            git(pytester.path, "commit", "-qm", "sentence")
            git(pytester.path, "branch", "-f", "main")
    found = compare(pytester, args=("claims/claim.yaml::gain",))
    assert found.standing == {"gain": "moved"}
    assert found.moved == ["operand theirs.tolerance.pass: 1 → 2"]


def test_widen_by_repetition(tmp_path: Path) -> None:
    """An operand that stands in an expression twice would count its rounding twice: it is refused, with the way to write it."""
    one = sentence(
        reported={"metric": "relative_change", "value": Decimal("15.5"), "unit": "percent"},
        citation__quoted_text="by 15.5%",
        run__expression="(ours - theirs) / theirs",
    )
    assert "stands in it 2 times; expected once; (a - b) / b is a / b - 1" in problems(tmp_path, one)


def test_pass_without_the_candidate(pytester: pytest.Pytester) -> None:
    """A sentence runs no checkpoint, so that a release candidate for it is refused."""
    write(pytester.path / "claims" / "x.yaml", derived(sentence()))
    (pytester.path / "candidate").mkdir()
    found = plain(pytester, "claims", "--claims-model=gain=candidate")
    assert found.ret == 4
    assert "gain" in found.err


def test_hide_behind_a_green_claim(tmp_path: Path) -> None:
    """A claim that was reported as 100 and measures less than that takes the sentence down with it."""
    put(
        tmp_path,
        claim(value="100.0", tolerance={"pass": 60, "partial": 70}),
        name="paper.yaml",
        captions=dict.fromkeys("123", "a dog"),
    )
    rows = [{"image_id": name, "caption": "a cat"} for name in "123"]
    (tmp_path / "refs.json").write_text(json.dumps({"annotations": rows}))
    one = sentence(
        reported__value=Decimal("10.0"),
        citation__quoted_text="by 10.0",
        tolerance__partial=5,
        run__operands={"ours": {"claim": "paper.yaml::one"}, "theirs": cell("90.0", "theirs")},
    )
    (verdict,) = verify(write(tmp_path / "x.yaml", derived(one)))
    assert verdict.status == "fail"
    assert round(verdict.measured or 0) == -40
