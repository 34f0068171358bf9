"""What the paper says is compared with what a run did, axis by axis."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from docs.make_verdicts import CLAIM
from pytest_claims.errors import EvaluationError
from pytest_claims.protocol import CaptioningPlan, Consequence, Match, Observed, deviations, match, plan, read_axes
from pytest_claims.settings import Settings
from pytest_claims.spec import Claim, loads

DECODING = {
    "strategy": "beam", "num_beams": 5, "max_new_tokens": 30, "min_new_tokens": 0, "length_penalty": 1.0,
    "repetition_penalty": 1.0, "early_stopping": False,
}  # fmt: skip

EXACT = Observed(
    checkpoint={"id": "Salesforce/blip2-opt-2.7b", "revision": None, "commit": "59a1ef6c"},
    dataset={"id": "nlphuji/flickr30k", "revision": None, "where": None, "images": 1000, "fingerprint": "f00"},
    split={"split": "test"},
    image={"size": 224, "resize": "bicubic"},
    prompt={"prompt": "a photo of"},
    decoding=DECODING,
    precision={"precision": "float16"},
    metric={"family": "coco-caption"},
    scored=1000,
)


TEXT = CLAIM.format(reported="43.7", pass_="1.0", partial="35%", direction="two_sided", expect="null", images=1000)


def claim(*changes: tuple[str, str]) -> Claim:
    """The example claim with each first text written as the second."""
    text = TEXT
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return loads(text.encode(), path=Path("claims/example.yaml"), display="claims/example.yaml")[0]


def read(observed: Observed, judged: Claim | None = None) -> tuple[Match, dict[str, Consequence]]:
    """Match and deviations of a run."""
    found = read_axes((judged or claim()).protocol, observed, min_sample=100)
    return match(found), {reading.axis: reading.consequence for reading in deviations(found)}


def test_no_deviation() -> None:
    """A run that did what the paper did is exact, whatever was recorded beyond it."""
    assert read(EXACT) == (Match.EXACT, {})


@pytest.mark.parametrize(
    ("axis", "value", "consequence"),
    [
        ("checkpoint", {"id": "other/model", "commit": "1"}, Consequence.DRIFT),
        ("dataset", {"id": "lmms-lab/flickr30k", "images": 1000}, Consequence.DRIFT),
        ("dataset", {"id": "nlphuji/flickr30k", "images": 31783}, Consequence.DRIFT),
        ("dataset", {"id": "nlphuji/flickr30k", "images": 1000, "revision": "other"}, Consequence.DRIFT),
        ("dataset", {"id": "nlphuji/flickr30k", "images": 1000, "where": {"split": "test"}}, Consequence.DRIFT),
        ("dataset", {"id": "nlphuji/flickr30k", "images": 1000, "columns": {"references": "x"}}, Consequence.DRIFT),
        ("checkpoint", {"id": "Salesforce/blip2-opt-2.7b", "revision": "other"}, Consequence.DRIFT),
        ("split", {"split": "train"}, Consequence.DRIFT),
        ("image", {"size": 364, "resize": "bicubic"}, Consequence.DRIFT),
        ("image", {"size": 224, "resize": "bilinear"}, Consequence.DRIFT),
        ("prompt", {"prompt": ""}, Consequence.DRIFT),
        ("decoding", {**DECODING, "num_beams": 3}, Consequence.DRIFT),
        ("decoding", {**DECODING, "length_penalty": 0.0}, Consequence.DRIFT),
        ("decoding", {**DECODING, "no_repeat_ngram_size": 3}, Consequence.DRIFT),
        ("precision", {"precision": "bfloat16"}, Consequence.PROXY),
        ("metric", {"family": "sacrebleu"}, Consequence.DRIFT),
    ],
)
def test_one_difference(axis: str, value: dict[str, Any], consequence: Consequence) -> None:
    """One differing axis is one deviation, with the consequence that docs/verdicts.md gives."""
    expected = Match.PROXY if consequence is Consequence.PROXY else Match.DRIFT
    observed = replace(EXACT, **{axis: value})  # type: ignore[arg-type] # axes are mappings all
    assert read(observed) == (expected, {axis: consequence})


@pytest.mark.parametrize(("scored", "found"), [(100, Match.PROXY), (99, Match.DRIFT), (1001, Match.DRIFT)])
def test_sample(scored: int, found: Match) -> None:
    """A sample of at least min_sample images is a proxy; fewer, or more than the paper's split has, is drift."""
    assert read(replace(EXACT, scored=scored, seed=0))[0] is found


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        # The run says what it does where the paper is silent.
        ([("  prompt: a photo of\n", ""), ("evaluator: captioning", "evaluator: captioning, prompt: x")], Match.UNKNOWN),
        ([("  prompt: a photo of\n", "  prompt: null\n"), ("evaluator: captioning", "evaluator: captioning, prompt: x")],
         Match.UNKNOWN),
        ([("max_new_tokens: 30", "max_new_tokens: null")], Match.UNKNOWN),
        ([("  image: {size: 224}\n", "")], Match.UNKNOWN),
        ([("  precision: float16\n", "")], Match.PROXY),
    ],
)  # fmt: skip
def test_what_the_paper_does_not_state(changes: list[tuple[str, str]], found: Match) -> None:
    """An axis that the paper does not state makes the match unknown; precision, which may differ, a proxy at most."""
    assert read(EXACT, claim(*changes))[0] is found


def test_revision_is_matched_by_commit() -> None:
    """A protocol that names a commit is met by a run whose weights came from that commit, and by no other."""
    judged = claim(("{id: Salesforce/blip2-opt-2.7b}", "{id: Salesforce/blip2-opt-2.7b, revision: 59a1ef6c}"))
    assert read(EXACT, judged)[0] is Match.EXACT
    other = {"id": "Salesforce/blip2-opt-2.7b", "revision": "main", "commit": "11111111"}
    assert read(replace(EXACT, checkpoint=other), judged) == (Match.DRIFT, {"checkpoint": Consequence.DRIFT})


def test_candidate_is_no_deviation() -> None:
    """A release candidate is what the run tests. Its checkpoint differs from the paper's, and this is no deviation."""
    observed = replace(EXACT, checkpoint={"id": "./candidate", "digest": "d"}, candidate="./candidate")
    found = read_axes(claim().protocol, observed, min_sample=100)
    assert match(found) is Match.EXACT
    assert ("candidate", "./candidate") in [(reading.axis, reading.run) for reading in found]


def test_greedy_ignores_beam_settings() -> None:
    """Greedy search has no length penalty and no early stopping, so neither can differ."""
    greedy = claim(("{strategy: beam, num_beams: 5, max_new_tokens: 30}", "{strategy: greedy, max_new_tokens: 30}"))
    did = {"strategy": "greedy", "num_beams": 1, "max_new_tokens": 30, "min_new_tokens": 0, "repetition_penalty": 1.0}
    assert read(replace(EXACT, decoding=did), greedy)[0] is Match.EXACT


def test_released_outputs_list_the_axes_of_generation_as_not_observed() -> None:
    """Released captions do not show their prompt or beams. The axes are listed as not observed, and are no deviation."""
    released = Observed(dataset=EXACT.dataset, split=EXACT.split, metric=EXACT.metric, scored=1000)
    found = read_axes(claim().protocol, released, min_sample=100)
    assert match(found) is Match.EXACT
    hidden = [reading.axis for reading in found if reading.consequence is Consequence.NOT_OBSERVED]
    assert hidden == ["checkpoint", "image", "prompt", "decoding", "precision"]


def planned(**options: Any) -> CaptioningPlan:
    """The plan of the example claim under these settings."""
    found = plan(claim(), Settings(**options))
    assert isinstance(found, CaptioningPlan)
    return found


@pytest.mark.parametrize(
    ("overrides", "strategy", "beams"),
    [
        ({"num_beams": 1}, "greedy", 1),
        ({"strategy": "greedy"}, "greedy", 1),
        ({"num_beams": 3}, "beam", 3),
        ({"strategy": "greedy", "num_beams": 1}, "greedy", 1),
    ],
)
def test_one_beam_is_greedy(overrides: dict[str, Any], strategy: str, beams: int) -> None:
    """`--claims-set decoding.num_beams=1` means greedy search, and `decoding.strategy=greedy` one beam."""
    found = planned(overrides={"decoding": overrides}).protocol.decoding
    assert (found.strategy, found.num_beams) == (strategy, beams)


def test_deviations_are_known_before_running() -> None:
    """A plan names the deviations that the run will have."""
    found = planned(overrides={"prompt": "", "decoding": {"num_beams": 1}}, sample=20)
    assert [reading.axis for reading in deviations(found.expected)] == ["sample", "prompt", "decoding"]
    assert deviations(planned().expected) == ()


def test_claims_that_differ_only_in_metric_share_a_run() -> None:
    """The key of a plan holds what is generated, not what is scored."""
    one, two = (claim(("metric: bleu4", f"metric: bleu{n}"), ("column: BLEU-4", f"column: BLEU-{n}")) for n in (1, 2))
    assert plan(one, Settings()).key == plan(two, Settings()).key
    assert planned().key != planned(sample=100).key
    assert planned().key != planned(overrides={"prompt": ""}).key
    assert planned().key != planned(candidates={"example": "./candidate"}).key


def test_override_that_is_not_valid() -> None:
    """An override that gives no valid protocol is an error that names the option and the key."""
    with pytest.raises(EvaluationError) as caught:
        planned(overrides={"decoding": {"num_beams": "many"}})
    assert str(caught.value) == "--claims-set decoding.num_beams: Input should be a valid integer, got 'many'."
