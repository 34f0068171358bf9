"""The table of verdicts, and what stands below it."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims.reports import terminal
from pytest_claims.reports.format import Record
from tests.builders import claim, of_status, put
from tests.running import plain, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Screen:
    """What the table needs of pytest's terminal reporter."""

    def __init__(self, width: int | None, verbose: int, tbstyle: str = "auto") -> None:
        self.text = io.StringIO()
        self.isatty = width is not None
        self.fullwidth = width or 80
        self.verbose = verbose
        self.tbstyle = tbstyle
        self.config = self.option = self

    def get_terminal_writer(self) -> Screen:
        """The width."""
        return self

    def write_sep(self, sep: str, title: str) -> None:
        """A heading."""
        self.text.write(f"{sep} {title}\n")

    def write_line(self, line: str, **_markup: bool) -> None:
        """A line."""
        self.text.write(f"{line}\n")


def shown(
    records: Sequence[Any], width: int | None, *, dry_run: bool = False, verbose: int = 0, tbstyle: str = "auto"
) -> list[str]:
    """The lines that `terminal.show` writes on a terminal of `width` columns, or into a pipe."""
    screen: Any = Screen(width, verbose, tbstyle)
    terminal.show(screen, [Record.model_validate(record) for record in records], dry_run=dry_run)
    return screen.text.getvalue().splitlines()  # type: ignore[no-any-return]


@pytest.fixture
def records(pytester: pytest.Pytester) -> list[Any]:
    """A claim that is withheld, a partial, one that could not be attempted, and a pass; all of released outputs."""
    statuses = (
        of_status("pending", "drifts"),
        of_status("partial", "close"),
        of_status("not_attempted", "missing"),
    )
    put(pytester.path, claim("passes"), *statuses)
    found = run(pytester, "claims").records
    return [found[name] for name in ("drifts", "close", "missing", "passes")]


def copies(record: Any, count: int, **evidence: Any) -> Iterator[Any]:
    """Records like `record`, under the ids c0, c1, …"""
    for index in range(count):
        copied = json.loads(json.dumps(record))
        copied["evidence"] |= evidence
        copied["evidence"]["claim"]["id"] = f"c{index}"
        yield copied


SEPARATE = "= claims"
WIDE = [
    "claim    metric  reported  measured       ±  difference    95 % interval  n  match            confidence  status",
    "passes   bleu1    100.0 %    100.00  ± 0.00       +0.00  100.00 – 100.00  3  exact, rescored        1.00  pass",
    "missing  bleu1    100.0 %         –       –           –                –  –  –                         –  not_attempted",
    "close    bleu1     90.0 %    100.00  ± 0.00      +10.00  100.00 – 100.00  3  exact, rescored        1.00  partial",
    "drifts   bleu1    100.0 %    100.00  ± 0.00       +0.00  100.00 – 100.00  3  drift, rescored        0.00  pending",
]
NARROW = [
    "claim    metric  reported  measured       ±  n  match            status",
    "passes   bleu1    100.0 %    100.00  ± 0.00  3  exact, rescored  pass",
    "missing  bleu1    100.0 %         –       –  –  –                not_attempted",
    "close    bleu1     90.0 %    100.00  ± 0.00  3  exact, rescored  partial",
    "drifts   bleu1    100.0 %    100.00  ± 0.00  3  drift, rescored  pending",
]
COUNTS = "4 claims: 1 pass, 1 partial, 1 pending, 1 not_attempted"


@pytest.mark.parametrize("width", [None, 200])
def test_a_wide_terminal(records: list[Any], width: int | None) -> None:
    """A wide terminal and a pipe get all columns, the worst claim last, then one line per reason and what to do."""
    lines = shown(records, width)
    assert lines[:7] == [SEPARATE, *WIDE, ""]
    starts = (
        "  rescored: passes, close, drifts: ",
        "  not_attempted: missing: ",
        "  partial: close: ",
        "  pending: drifts: ",
    )
    places = [next(i for i, line in enumerate(lines) if line.startswith(start)) for start in starts]
    assert places == sorted(places)
    assert lines[-1] == COUNTS
    if width is None:
        missing = "The predictions file missing.json was not found below claims. Name the folder that holds it with"
        assert f"  not_attempted: missing: {missing} --claims-data=DIR." in lines


def test_80_columns(records: list[Any]) -> None:
    """The table fits a terminal of 80 columns, and nothing below it is wider."""
    lines = shown(records, 80)
    assert lines[:7] == [SEPARATE, *NARROW, ""]
    assert lines[-1] == COUNTS
    assert max(map(len, lines)) <= 80


def test_a_long_name(records: list[Any]) -> None:
    """Where a claim's name is too long for the terminal, its beginning and its end are shown."""
    (record,) = copies(records[3], 1)
    record["evidence"]["claim"]["id"] = "a-claim-with-a-very-long-name-that-ends-with-bleu4"
    row = shown([record], 80)[2]
    assert re.match(r"a-claim-with-\S*…\S*-with-bleu4 ", row)
    assert len(row) <= 80
    assert "a-claim-with-a-very-long-name-that-ends-with-bleu4 " in shown([record], None)[2]


def test_quiet(records: list[Any]) -> None:
    """`-q` gives the table alone, `-qq` the line of counts."""
    assert shown(records, None, verbose=-1) == [SEPARATE, *WIDE]
    assert shown(records, None, verbose=-2) == [COUNTS]


def test_claims_that_could_not_be_attempted(records: list[Any]) -> None:
    """Claims that could not be attempted share a row and one line per reason with their number; `-v` lists all."""
    lines = shown(list(copies(records[2], 5)), None)
    assert [line.split() for line in lines[1:3]] == [["claim", "status"], ["5", "claims", "not_attempted"]]
    missing = "The predictions file missing.json was not found below claims. Name the folder that holds it with"
    assert lines[3:] == [
        "",
        f"  not_attempted: 5 claims: {missing} --claims-data=DIR.",
        "  Citations: 5 unchecked.",
        "5 claims: 5 not_attempted",
    ]
    every = shown(list(copies(records[2], 5)), None, verbose=1)
    assert [line.split()[0] for line in every[2:7]] == ["c0", "c1", "c2", "c3", "c4"]


def test_a_reason_that_claims_share(records: list[Any]) -> None:
    """A reason that several claims share is said once, with three of their names."""
    lines = shown(list(copies(records[1], 5)), None)
    close = "partial: c0, c1, c2 and 2 more: 100 against 90.0 percent: a difference of +10 is within the partial band (±20.05)."
    assert lines.count(f"  {close}") == 1


def test_many_reasons(records: list[Any]) -> None:
    """Of many reasons the worst are shown, with the number of the others; `-v` shows all."""
    many = [record for i in range(60) for record in copies(records[1], 1, reason=f"reason {i}")]
    lines = shown([*many, records[0]], None)
    assert "  21 reasons more; -v shows all, and so does --claims-report=verdicts.html" in lines
    assert any(line.startswith("  pending: drifts: ") for line in lines)
    assert len(lines) < 200
    assert sum("reason " in line for line in shown(many, None, verbose=1)) == 60


def test_a_rescored_claim(records: list[Any]) -> None:
    """A claim of released outputs says so in its row, and below the table which axes nobody observed."""
    lines = shown([records[3]], None)
    assert "exact, rescored" in lines[2]
    unseen = "checkpoint, split, image, prompt, decoding, precision"
    assert f"  rescored: passes: the outputs were released by others; not observed: {unseen}" in lines


def test_a_moved_bar(records: list[Any]) -> None:
    """A moved bar shows in the table, below it with what changed, and in the line of counts."""
    moved = [{"key": "tolerance.pass", "before": "0.5", "after": "5.0"}]
    (record,) = copies(records[3], 1, moved=moved, baseline="moved")
    record["evidence"]["test"] = {"result": "failed", "message": "The bar moved.", "type": "claim.moved"}
    lines = shown([record, records[3]], None)
    assert lines[3].endswith("pass, moved")
    assert "  moved: c0: tolerance.pass: 0.5 → 5.0" in lines
    assert lines[-1] == "2 claims: 2 pass; the bar moved in 1"


def test_a_claim_that_the_gate_makes_red(pytester: pytest.Pytester) -> None:
    """Where the status alone would look green, the row, the reason and the line of counts say that the claim is red."""
    put(pytester.path, claim("passes"), of_status("partial", "close"), of_status("not_attempted", "missing"))
    found = run(pytester, "claims", "--claims-gate=pass").records
    lines = shown(list(found.values()), None)
    rows = {line.split()[0]: line for line in lines[2:5]}
    assert rows["passes"].endswith(" pass")
    assert rows["close"].endswith(" partial, red")
    assert rows["missing"].endswith(" not_attempted, red")
    assert lines[-1] == "3 claims: 1 pass, 1 partial, 1 not_attempted; 2 of them red by the gate"
    (record,) = copies(found["passes"], 1)
    record["evidence"]["test"] = {"result": "failed", "message": "the candidate is worse.", "type": "claim.inferior"}
    assert "  pass: c0: the candidate is worse." in shown([record], None)


def test_a_red_claim_says_what_to_do(pytester: pytest.Pytester, records: list[Any]) -> None:
    """Below the reason of a red claim stands the next step, or else the command that runs the claim again."""
    lines = shown([records[0]], None)
    assert lines[-3] == "    Run it without overrides, or correct the claim's protocol if the paper really did this."
    put(pytester.path, of_status("fail", "fails"))
    (failed,) = run(pytester, "claims").records.values()
    assert shown([failed], None)[-3] == "    Run it again: pytest claims/paper.yaml::fails"


@pytest.mark.parametrize(("options", "again"), [([], False), (["--tb=no"], True)])
def test_problems_of_a_file_are_said_once(pytester: pytest.Pytester, options: list[str], again: bool) -> None:
    """Pytest lists the problems of a file under ERRORS; the lines below the table repeat them only if it does not."""
    (pytester.path / "claims").mkdir()
    (pytester.path / "claims/bad.yaml").write_text("claimz: []\nprotocol: 3\n")
    found = plain(pytester, "claims", *options)
    assert found.out.count("claims/bad.yaml:2: protocol: expected a mapping, got 3") == 1
    told = [line for line in found.out.splitlines() if line.startswith("  error: ")]
    if again:
        assert all(re.match(r"  error: claims/bad.yaml:\d+: (?!.*bad\.yaml)", line) for line in told)
    else:
        count = len(re.findall(r"(?m)^claims/bad.yaml:", found.out))
        assert told == [f"  error: claims/bad.yaml: {count} problems, listed under ERRORS above."]


def test_the_table_is_last(pytester: pytest.Pytester) -> None:
    """The table stands below everything else that pytest shows, so that it is above the prompt."""
    put(pytester.path, of_status("pending", "drifts"))
    lines = plain(pytester, "claims").out.splitlines()
    table = next(i for i, line in enumerate(lines) if re.fullmatch("=+ claims =+", line))
    assert next(i for i, line in enumerate(lines) if "short test summary" in line) < table
    assert lines[-2] == "1 claim: 1 pending"


def test_quiet_runs(pytester: pytest.Pytester) -> None:
    """With -q, pytest's count follows the table; nothing else of ours is written."""
    put(pytester.path)
    lines = plain(pytester, "claims", "-q").out.splitlines()
    assert re.fullmatch("=+ claims =+", lines[-4])
    assert lines[-2].startswith("one ")
    assert "1 passed" in lines[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
@pytest.mark.parametrize(
    ("columns", "end"), [(80, "match            status"), (200, "match            confidence  status")]
)
def test_a_real_terminal(pytester: pytest.Pytester, columns: int, end: str) -> None:
    """On a terminal the table has colours and keeps to its width."""
    import pty
    import subprocess

    put(pytester.path)
    master, slave = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    for name in ("NO_COLOR", "PY_COLORS"):
        environment.pop(name, None)
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "claims", "-p", "no:hypothesispytest"],
        stdin=slave, stdout=slave, stderr=slave, env=environment,
    )  # fmt: skip
    os.close(slave)
    parts = []
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux says "input/output error" where the other end is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(master)
    assert process.wait() == 0
    output = b"".join(parts).decode()
    assert "\x1b[32m" in output
    lines = re.sub(r"\x1b\[[0-9;]*m", "", output).splitlines()
    table = lines[next(i for i, line in enumerate(lines) if re.fullmatch("=+ claims =+", line)) :]
    assert table[1].endswith(end)
    assert max(map(len, table)) <= columns
