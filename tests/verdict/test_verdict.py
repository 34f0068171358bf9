"""The verdict rules, through `judge` and `settle`."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docs import make_verdicts
from docs.make_verdicts import claim, evidence, readings, score, verdict
from pytest_claims.evidence import Basis
from pytest_claims.paired import Decision, PairedComparison
from pytest_claims.protocol import Consequence, Match
from pytest_claims.reports import record
from pytest_claims.settings import Gate
from pytest_claims.verdict import Kind, Outcome, Result, Status, Verdict, bands, judge, settle, undecided

RANK = {Status.PASS: 0, Status.PARTIAL: 1, Status.FAIL: 2, Status.PENDING: 3}
CONSEQUENCES = st.sampled_from([Consequence.NONE, Consequence.PROXY, Consequence.UNKNOWN, Consequence.DRIFT])
AXES = st.lists(st.tuples(st.sampled_from(["precision", "prompt", "decoding", "image"]), CONSEQUENCES), max_size=4)


def red(found: Verdict, gate: Gate = Gate.PARTIAL, **options: bool) -> bool:
    """Whether a release gate stops at this verdict."""
    result, _ = settle(found, gate=gate, require_attempt=options.pop("require_attempt", False), **options)
    return result is Result.FAILED


@pytest.mark.parametrize(
    ("reported", "value", "outcome"),
    [
        ("43.7", 43.7, Outcome.PASS),
        ("43.7", 44.75, Outcome.PASS),  # exactly 1.0 + 0.05 away, on either side
        ("43.7", 42.65, Outcome.PASS),
        ("43.7", 42.649, Outcome.PARTIAL),
        ("43.70", 42.695, Outcome.PASS),  # exactly 1.0 + 0.005 away
        ("43.70", 42.694, Outcome.PARTIAL),
        ("43", 41.5, Outcome.PASS),  # 1.0 + 0.5
        ("43.7", 28.355, Outcome.PARTIAL),  # 35 % of 43.7 is 15.295
        ("43.7", 28.354, Outcome.FAIL),
        ("43.7", 59.1, Outcome.FAIL),
    ],
)
def test_bands(reported: str, value: float, outcome: Outcome) -> None:
    """On the paper's own test set the bands are closed, two-sided, and wider by half of the last printed digit."""
    assert verdict(value, reported=reported).outcome is outcome


@pytest.mark.parametrize(
    ("direction", "value", "outcome"),
    [
        ("at_least", 99.0, Outcome.PASS),
        ("at_least", 20.0, Outcome.FAIL),
        ("at_most", 1.0, Outcome.PASS),
        ("at_most", 70.0, Outcome.FAIL),
        ("two_sided", 70.0, Outcome.FAIL),
        ("two_sided", 1.0, Outcome.FAIL),
    ],
)
def test_direction(direction: str, value: float, outcome: Outcome) -> None:
    """A result far above the reported value fails, as one far below does. A claim may say that only one side counts."""
    assert verdict(value, direction=direction).outcome is outcome


@pytest.mark.parametrize(
    ("measured", "half_width", "outcome"),
    [
        (43.7, 1.0, Outcome.PASS),
        (43.7, 1.1, Outcome.PARTIAL),  # sticks out of the pass band
        (30.0, 5.0, Outcome.PARTIAL),  # straddles the edge of the partial band
        (20.0, 5.0, Outcome.FAIL),
        (43.7, 40.0, Outcome.PARTIAL),  # both ends far outside, and the reported value in the middle: decides nothing
    ],
)
def test_interval_decides_on_a_sample(measured: float, half_width: float, outcome: Outcome) -> None:
    """On a subset, pass needs the whole interval inside the pass band, and fail all of it outside the partial band."""
    assert verdict(measured, half_width, n=100).outcome is outcome


def test_one_image_decides_nothing() -> None:
    """A sample of one image has no interval, so it is at best partial, even where it hits the reported value."""
    judged = claim()
    lone = replace(score(43.7, n=1, population=1000), interval=None)
    found = judge(judged, lone, evidence(1, 1000), readings(("sample", Consequence.PROXY)))
    assert (found.outcome, found.confidence) == (Outcome.PARTIAL, 0.0)


def test_status_table() -> None:
    """`exact` publishes the outcome, `proxy` partial whatever the outcome, `drift` and `unknown` withhold."""
    proxy = [("precision", Consequence.PROXY)]
    assert verdict(43.7).status is Status.PASS
    assert verdict(20.0).status is Status.FAIL
    assert verdict(43.7, axes=proxy).status is Status.PARTIAL
    assert verdict(20.0, axes=proxy).status is Status.PARTIAL
    assert red(verdict(20.0, axes=proxy))
    assert verdict(43.7, axes=[("prompt", Consequence.UNKNOWN)]).status is Status.PENDING
    assert verdict(43.7, axes=[*proxy, ("prompt", Consequence.DRIFT)]).status is Status.PENDING


@settings(derandomize=True, deadline=None, max_examples=200)
@given(measured=st.floats(0, 100), half_width=st.floats(0, 30), n=st.integers(2, 1000), axes=AXES)
def test_status_is_never_better_than_outcome(measured: float, half_width: float, n: int, axes: list[Any]) -> None:
    """No status is better than the outcome. The one exception: a proxy publishes a fail as partial, and is still red."""
    found = verdict(measured, half_width, n=n, axes=axes)
    assert found.outcome is not None
    if found.match is Match.PROXY and found.outcome is Outcome.FAIL:
        assert found.status is Status.PARTIAL
        assert red(found)
    else:
        assert RANK[found.status] >= RANK[Status(found.outcome.value)]
    assert found.confidence is not None
    assert found.confidence <= (0.6 if found.match is not Match.EXACT else 1.0)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(measured=st.floats(0, 100), axes=AXES, more=CONSEQUENCES)
def test_a_deviation_never_improves_a_verdict(measured: float, axes: list[Any], more: Consequence) -> None:
    """One more deviation never makes a red verdict green, at either gate. It never raises the status of a pass."""
    before, after = verdict(measured, axes=axes), verdict(measured, axes=[*axes, ("split", more)])
    for gate in Gate:
        assert red(after, gate) or not red(before, gate)
    # FAIL → PARTIAL is the proxy rule of docs/verdicts.md: a fail under another protocol is no longer a fail of the claim.
    if before.status is not Status.FAIL:
        assert RANK[after.status] >= RANK[before.status]


@settings(derandomize=True, deadline=None, max_examples=200)
@given(measured=st.floats(0, 100), half_width=st.floats(0, 30), wider=st.floats(0, 30))
def test_a_wider_interval_never_decides(measured: float, half_width: float, wider: float) -> None:
    """Shrinking the sample, which widens the interval, never turns partial into pass or fail."""
    small = verdict(measured, half_width + wider, n=100)
    large = verdict(measured, half_width, n=100)
    assert small.outcome in (Outcome.PARTIAL, large.outcome)


def test_power() -> None:
    """A verdict states the smallest difference it could have told from a pass, and the images that would decide."""
    full = verdict(43.7).power
    assert full is not None
    assert (full.detectable, full.images_to_decide) == (Decimal("1.05"), None)
    sampled = verdict(43.7, 5.0, n=100).power
    assert sampled is not None
    assert sampled.detectable == Decimal("6.05")
    # w² = c (1/n − 1/N): 25 = c (0.01 − 0.001), and 1.05² = c (1/n − 0.001) gives n = 715.9
    assert sampled.images_to_decide == 716


def test_proxy_confidence_is_capped() -> None:
    """A proxy has a confidence of at most 0.6, however many replicates agree; a sample's is the share that agrees."""
    assert verdict(20.0, 1.0, n=100).confidence == 0.6
    assert verdict(43.7, 1.0, n=100).confidence == 0.6
    found = verdict(28.355, 5.0, n=100).confidence  # half of the replicates lie beyond the partial band
    assert found is not None
    assert 0.45 < found < 0.55
    assert verdict(43.7).confidence == 1.0


def test_candidate_is_pre() -> None:
    """A release candidate gives a verdict of kind PRE, and the record files it under `pre`."""
    found = judge(claim(), score(43.7), evidence(1000, None), readings(), candidate="./candidate")
    assert found.kind is Kind.PRE
    written = record.of_verdict(found, nodeid="x", result=Result.PASSED, message="", seconds=0.0).values()
    assert written["verdicts"]["post"] is None
    assert written["verdicts"]["pre"] == written["verdict"]


def test_rescored_pass_says_what_was_not_observed() -> None:
    """A pass on released captions reads "the released outputs give the reported number"."""
    found = judge(claim(), score(43.7), evidence(1000, None, Basis.RESCORED), readings())
    assert found.reason == (
        "43.7 against 43.7 percent: a difference of +0 is within the pass band (±1.05). The released outputs give the reported "
        "number; how they were generated was not observed."
    )


@pytest.mark.parametrize(
    ("expect", "measured", "result"),
    [
        ("fail", 20.0, Result.EXPECTED),
        ("fail", 43.7, Result.FAILED),
        ("fail", 40.0, Result.FAILED),
        ("partial", 40.0, Result.EXPECTED),
        ("pass", 43.7, Result.PASSED),
        ("pass", 40.0, Result.FAILED),
    ],
)
def test_expect(expect: str, measured: float, result: Result) -> None:
    """A result that the claim expects is green. Every other result is red, as with a strict xfail."""
    assert settle(verdict(measured, expect=expect), gate=Gate.PARTIAL, require_attempt=False)[0] is result


def test_not_attempted_is_skipped_and_contradicts_nothing() -> None:
    """A claim that could not be tried is skipped, whatever it expects, and red only where an attempt is required."""
    gap = undecided(claim(expect="fail"), Status.NOT_ATTEMPTED, "No weights.")
    assert settle(gap, gate=Gate.PASS, require_attempt=False) == (Result.SKIPPED, "No weights.")
    assert settle(gap, gate=Gate.PASS, require_attempt=True) == (Result.FAILED, "No weights.")


def test_errors_are_red() -> None:
    """An error is red at every gate."""
    broken = undecided(claim(), Status.ERROR, "Broken.")
    assert all(red(broken, gate) for gate in Gate)


def test_gate_pass_stops_partial() -> None:
    """The gate `pass` stops at anything below pass, and says so."""
    found = settle(verdict(40.0), gate=Gate.PASS, require_attempt=False)
    assert found[0] is Result.FAILED
    assert found[1].startswith("the gate asks for pass, the verdict is partial. 40 against 43.7 percent")


def test_ids_are_stable() -> None:
    """The same claim, evidence and result have one id; another result has another."""
    assert verdict(43.7).id == verdict(43.7).id
    assert verdict(43.7).id != verdict(20.0).id


def test_bands_follow_the_percentage() -> None:
    """A percentage is of the reported value."""
    assert bands(claim(reported="50.0", pass_="2%", partial="10%")).partial == Decimal("5.05")


def test_examples_page_is_current() -> None:
    """docs/verdicts.md shows what the code does today; `python docs/make_verdicts.py` writes it anew."""
    assert make_verdicts.PAGE.read_text(encoding="utf-8") == make_verdicts.page()


DECISIONS = ("0.0 0.3", "1.5 0.9", "0.2 0.6")
"""Loss and half-width for a margin of 0.5: non-inferior, inferior, inconclusive."""


def beside(loss: str, half_width: str, **terms: Any) -> Verdict:
    """The verdict on a candidate that passes, or as `terms` say, with a comparison under a margin of 0.5."""
    found = verdict(terms.pop("measured", 43.6), **terms)
    return replace(found, kind=Kind.PRE, comparison=make_verdicts.comparison(loss, half_width, "0.5"))


@pytest.mark.parametrize("gate", Gate)
def test_a_comparison_lowers_a_pass(gate: Gate) -> None:
    """A pass stays green beside its reference only if it is not inferior, and under the gate `pass` only if that is certain."""
    found = [red(beside(*numbers.split()), gate) for numbers in DECISIONS]
    assert found == [False, True, gate is Gate.PASS]


@pytest.mark.parametrize("numbers", DECISIONS)
@pytest.mark.parametrize("gate", Gate)
def test_a_comparison_never_raises(gate: Gate, numbers: str) -> None:
    """What is red without a comparison is red with it: a fail, a drift, a partial under the gate `pass`."""
    for terms in ({"measured": 20.0}, {"axes": [("prompt", Consequence.DRIFT)]}, {"measured": 40.0}):
        found = beside(*numbers.split(), **terms)
        assert red(found, gate) or not red(replace(found, comparison=None), gate)


@pytest.mark.parametrize("gate", Gate)
def test_no_expectation_hides_an_inferior_candidate(gate: Gate) -> None:
    """`expect: fail` records the published checkpoint; a candidate that is worse still is red."""
    assert not red(beside("0.0", "0.3", measured=20.0, expect="fail"), gate)
    assert red(beside("1.5", "0.9", measured=20.0, expect="fail"), gate)


def test_what_was_not_compared_is_red_if_asked_for() -> None:
    """A margin or `--claims-compare` asks for the comparison; without either, a missing one is shown only."""
    asked = PairedComparison(decision=Decision.NOT_COMPARED, reason="none")
    assert red(replace(beside("0", "0"), comparison=asked))
    assert not red(replace(beside("0", "0"), comparison=replace(asked, decision=None)), Gate.PASS)
