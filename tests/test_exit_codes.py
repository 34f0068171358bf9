"""The exit status of a session, for every row of README's table and with the options of pytest that select, stop or spread.

One rule is held against all of it: a session is green only if each selected claim has a record, and none is below the gate.
"""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.builders import STATUS, claim, of_status, put
from tests.running import run

if TYPE_CHECKING:
    from collections.abc import Sequence

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
EXPECTED = "as-expected"
NAMES = [*(status.replace("_", "-") for status in STATUS), EXPECTED]
"""The claims of `every`: one for each row of the table."""


def table() -> dict[str, dict[str, bool]]:
    """Gate → claim → whether README says that it is green."""
    rows = README.partition("| status | pytest | JUnit | gate `partial` (default) | gate `pass` |\n")[2]
    found: dict[str, dict[str, bool]] = {"partial": {}, "pass": {}}
    for row in rows.splitlines()[1:]:
        if not row.startswith("|"):
            break
        status, _pytest, _junit, partial, strict = (cell.strip() for cell in row.strip("|").split(" | "))
        name = EXPECTED if status.startswith("as ") else status.replace("_", "-")
        for gate, cell in (("partial", partial), ("pass", strict)):
            assert re.match("green|red", cell), row
            found[gate][name] = cell.startswith("green")
    return found


GREEN = table()


def every(folder: Path) -> None:
    """A claim for each row of README's table, the worst not first."""
    put(folder, *(of_status(status) for status in STATUS), claim(EXPECTED, value="50.0", expect="fail"))


def options(gate: str) -> tuple[str, ...]:
    """The default gate is not asked for."""
    return () if gate == "partial" else (f"--claims-gate={gate}",)


def test_the_table_names_every_status() -> None:
    """README's table has a row for each status and for what `expect` says."""
    assert set(GREEN["partial"]) == set(GREEN["pass"]) == set(NAMES)


@pytest.mark.parametrize("gate", ["partial", "pass"])
def test_each_row(pytester: pytest.Pytester, gate: str) -> None:
    """A session with one claim is green exactly where the table says so, and so is one with two claims if both are."""
    every(pytester.path)
    green = GREEN[gate]
    chosen: Sequence[tuple[str, ...]] = [(name,) for name in NAMES]
    chosen = [*chosen, *(pair for pair in combinations(NAMES, 2) if green[pair[0]])]
    for names in chosen:
        found = run(pytester, *(f"claims/paper.yaml::{name}" for name in names), *options(gate))
        assert (found.ret == 0) == all(green[name] for name in names), (names, found.ret)
        assert set(found.records) == set(names)
        assert found.ret in (0, 1)


STOPS = [
    ("-x",),
    ("--maxfail=1",),
    ("--maxfail=2",),
    ("-x", "--claims-gate=pass"),
    ("-n", "2"),
    ("-n", "2", "--maxfail=1"),
]


@pytest.mark.parametrize("given", STOPS, ids=" ".join)
def test_stopped_or_spread(pytester: pytest.Pytester, given: tuple[str, ...]) -> None:
    """A session that stops at the first red claim, or has workers, is red, and records each selected claim."""
    every(pytester.path)
    found = run(pytester, "claims", *given, child="-n" in given)
    assert found.ret not in (0, 5)
    assert set(found.records) == set(NAMES)
    # What did not run is red, too.
    for name, record in found.records.items():
        if "did not run" in record["evidence"]["reason"]:
            assert found.results[name] == "failed"


def test_spread_and_green(pytester: pytest.Pytester) -> None:
    """Workers do not make a green session red."""
    every(pytester.path)
    green = [name for name in NAMES if GREEN["partial"][name]]
    found = run(pytester, *(f"claims/paper.yaml::{name}" for name in green), "-n", "2", child=True)
    assert (found.ret, set(found.records)) == (0, set(green))


def test_deselected(pytester: pytest.Pytester) -> None:
    """What is deselected is not selected: the session is judged by the others, says how many there were, and names none."""
    every(pytester.path)
    for given, left in [
        (("-k", "not fail and not pending and not error"), {"pass", "partial", "not-attempted", EXPECTED}),
        (("--deselect=claims/paper.yaml::fail",), {*NAMES} - {"fail"}),
    ]:
        found = run(pytester, "claims", *given)
        assert set(found.records) == left
        assert found.info["deselected"] == len(NAMES) - len(left)
        assert (found.ret == 0) == all(GREEN["partial"][name] for name in left)


def test_last_failed(pytester: pytest.Pytester) -> None:
    """`--lf` runs what was red, and stays red; where nothing was red before, it runs everything."""
    every(pytester.path)
    red = {name for name in NAMES if not GREEN["partial"][name]}
    assert run(pytester, "claims").ret == 1
    found = run(pytester, "claims", "--lf")
    assert (found.ret, set(found.records)) == (1, red)
    again = run(pytester, "claims", "--lf", "--claims-gate=pass")
    assert (again.ret, set(again.records)) == (1, red)


@pytest.mark.parametrize(
    ("given", "status"), [((), 0), (("--claims-gate=pass",), 1), (("--claims-require-attempt",), 1)]
)
def test_dry_run(pytester: pytest.Pytester, given: tuple[str, ...], status: int) -> None:
    """A dry run attempts nothing: every claim is recorded as not attempted, which is red where an attempt is required."""
    put(pytester.path, *(of_status(status) for status in STATUS if status != "error"))
    found = run(pytester, "claims", "--claims-dry-run", *given)
    assert found.ret == status
    assert set(found.statuses.values()) == {"not_attempted"}


def test_a_dry_run_of_what_would_not_run(pytester: pytest.Pytester) -> None:
    """A dry run that meets an error is red."""
    put(pytester.path, claim("a", run__references__path="../out.json"))
    assert run(pytester, "claims", "--claims-dry-run").ret == 1
