"""Write a claim that no result could miss, or let an expectation hide one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from docs.make_verdicts import verdict
from pytest_claims.protocol import Consequence
from pytest_claims.settings import Gate
from pytest_claims.verdict import Result, Status, settle
from tests.attacks.shop import attempt
from tests.builders import claim, of_status, parameters, put, write
from tests.running import run
from tests.shapes import warm, write_claim

if TYPE_CHECKING:
    from pytest_claims.verdict import Verdict

__all__ = ["warm"]  # a fixture of this module


@pytest.mark.parametrize(
    ("tolerance", "direction", "said"),
    [
        ({"pass": 30, "partial": 30}, "two_sided", "the pass band (30) covers 0 to 60.05 percent: it reaches 0"),
        ({"pass": "100%", "partial": "100%"}, "two_sided", "it reaches 0"),
        ({"pass": 29.95, "partial": 60}, "two_sided", "it reaches 0"),
        ({"pass": 1, "partial": "100%"}, "two_sided", "the partial band (100%) covers 0 to 60.05 percent"),
        ({"pass": 1, "partial": 1000}, "two_sided", "all that bleu1 can give: no result could miss it"),
        ({"pass": 30, "partial": 30}, "at_least", "all that bleu1 can give: no result could miss it"),
        ({"pass": 1, "partial": 70}, "at_most", "all that bleu1 can give: no result could miss it"),
        ({"pass": 0, "partial": "99.95%"}, "two_sided", "it reaches 0"),
    ],
)
def test_write_a_band_that_nothing_misses(
    pytester: pytest.Pytester, tolerance: dict[str, Any], direction: str, said: str
) -> None:
    """A band that covers all that a metric can give, or reaches what a system gets that does nothing right, is a spec error."""
    put(pytester.path, claim(value="30.0", tolerance=tolerance, direction=direction))
    found = run(pytester, "claims")
    assert found.ret != 0
    (record,) = found.records.values()
    assert record["verdict"]["status"] == "error"
    assert said in record["evidence"]["reason"]


@pytest.mark.parametrize("unit", ["count", "million", "billion"])
def test_write_such_a_band_for_a_count(pytester: pytest.Pytester, unit: str) -> None:
    """A count has no greatest value; a band that reaches 0 is refused all the same."""
    folder = pytester.mkdir("claims")
    size = claim("size", metric="total_parameters", value="800", unit=unit, tolerance__partial="100%")
    write(folder / "c.yaml", parameters(size))
    found = run(pytester, "claims")
    assert found.ret != 0
    assert "it reaches 0" in found.json


def test_hide_a_wide_band(pytester: pytest.Pytester) -> None:
    """A wide band that can still be missed is shown with how much of the metric's range it lets through."""
    put(pytester.path, claim(value="50.0", tolerance={"pass": 45, "partial": 48}))
    found = run(pytester, "claims", twice=True)
    (record,) = found.records.values()
    assert record["evidence"]["tolerance"]["breadth"] == {"pass": 0.901, "partial": 0.961, "wide": True}
    facts = (found.case("one").findtext("system-out") or "").splitlines()
    assert (
        "bands: ±45.05 and ±48.05; pass 90.1% of the metric's range, partial 96.1% of the metric's range; the pass band is "
        "wider than this run's interval and the printed digits"
    ) in facts


def test_state_a_paper_of_one_image(pytester: pytest.Pytester) -> None:
    """One image decides nothing, even where the protocol says that the paper had one image."""
    put(pytester.path, claim(), captions={"1": "a dog runs on the beach"})
    found = run(pytester, "claims")
    assert found.ret == 1
    (record,) = found.records.values()
    assert record["verdict"]["status"] == "pending"
    assert record["evidence"]["reason"].startswith("Withheld: one image decides nothing.")


@pytest.mark.parametrize(("sample", "least"), [(1, 1), (5, 2), (20, 20), (49, 1)])
def test_lower_min_sample(pytester: pytest.Pytester, sample: int, least: int) -> None:
    """Fewer than 50 images are no sample, even if `min_sample` allows fewer."""
    write_claim(pytester.path, count=64, min_sample=least)
    status, (record,) = attempt(pytester, f"--claims-sample={sample}")
    assert status == 1
    assert record["verdict"]["status"] == "pending"
    axis = next(found for found in record["evidence"]["deviations"] if found["axis"] == "sample")
    assert axis["consequence"] == "drift"
    assert f"fewer than 50 are no sample, whatever the claim says ({least})" in axis["run"]


@pytest.mark.parametrize(
    ("measured", "half", "partial", "status"),
    [
        (43.7, 16.0, "35%", Status.PENDING),  # out of the partial band on both sides
        (40.0, 5.0, "2.0", Status.PENDING),  # wider than the band, and mostly outside
        (44.0, 2.5, "2.0", Status.PENDING),
        (30.39, 5.0, "35%", Status.PARTIAL),  # the starting record
        (20.0, 5.0, "2.0", Status.PARTIAL),  # wholly outside: that many images do tell a failure
    ],
)
def test_let_chance_decide(measured: float, half: float, partial: str, status: Status) -> None:
    """A sample whose interval is wider than the partial band on both sides decides nothing, whatever min_sample says."""
    found = verdict(measured, half, n=100, partial=partial)
    assert found.status is status
    if status is Status.PENDING:
        assert found.confidence == 0
        assert "decide nothing" in found.reason
        assert settle(found, gate=Gate.PARTIAL, require_attempt=False)[0] is Result.FAILED


def failing_proxy(expect: str) -> Verdict:
    """100 images whose whole interval lies outside the partial band: published as partial, outcome fail."""
    return verdict(20.0, 5.0, n=100, expect=expect)


@pytest.mark.parametrize("gate", list(Gate))
def test_expect_partial_to_hide_a_failure(gate: Gate) -> None:
    """`expect: partial` does not name the outcome fail, and does not hide it."""
    found = failing_proxy("partial")
    assert (found.status, found.outcome) == (Status.PARTIAL, "fail")
    result, message = settle(found, gate=gate, require_attempt=False)
    assert result is Result.FAILED
    assert message.startswith("expected partial, as recorded, but the outcome is fail.")


@pytest.mark.parametrize("gate", list(Gate))
def test_expect_pending_to_hide_a_failure(gate: Gate) -> None:
    """A withheld run whose number lies wholly outside the partial band is not excused by `expect: pending`."""
    found = verdict(20.0, 5.0, n=100, expect="pending", axes=[("prompt", Consequence.DRIFT)])
    assert (found.status, found.outcome) == (Status.PENDING, "fail")
    assert settle(found, gate=gate, require_attempt=False)[0] is Result.FAILED


@pytest.mark.parametrize("expect", ["pass", "fail", "pending", "error"])
def test_expect_another_status_than_the_one_that_came(expect: str) -> None:
    """Any other recorded status is not met either."""
    assert settle(failing_proxy(expect), gate=Gate.PARTIAL, require_attempt=False)[0] is Result.FAILED


@pytest.mark.parametrize(
    "options", [("--claims-gate=pass",), ("--claims-require-attempt",), ("--claims-gate=pass", "--claims-dry-run")]
)
def test_gate_on_a_claim_that_nobody_tried(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    """Whoever asks for a pass is not served by a skip: the gate `pass` requires an attempt."""
    put(pytester.path, of_status("not_attempted"))
    found = run(pytester, "claims", *options)
    assert found.ret == 1
    assert found.results == {"not-attempted": "failed"}
