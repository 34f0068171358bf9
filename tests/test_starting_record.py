"""The record that this project starts from comes out of the shipped claim, key by key."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from pytest_claims import citation, spec
from pytest_claims.evidence import Basis, Evidence, Output
from pytest_claims.metrics import Score, bleu
from pytest_claims.protocol import Observed, decoding_facts, read_axes
from pytest_claims.reports import record
from pytest_claims.settings import Gate
from pytest_claims.verdict import Result, Status, Verdict, judge, settle, undecided

ROOT = Path(__file__).parent.parent
CLAIM = "claims/blip2/flickr30k.yaml"
PUBLISHED: dict[str, Any] = json.loads(
    (Path(__file__).parent / "data/starting-record.json").read_text(encoding="utf-8")
)
SCORE = 0.3039409735591193
OURS = {"id", "computed_at"}
"""Keys whose values are of one run: ids and times."""

# BLEU-4 is BP · (Π matches[k] / totals[k])^¼. With 100 captions of L words, the totals are L, L - 100, L - 200, L - 300, and
# BP is exp(1 - R/L) for references of R words. A search over all (L, R) up to (2600, 2.2 L) looked for a product of four
# matches that is a whole number and gives the published double to its last bit. This is one of the few that it found.
WORDS, REFERENCE_WORDS = 2018, 3531
MATCHES = (1779, 1306, 1000, 891)
# A block of m words that a reference holds in the same order gives m matches of one word, m - 1 of two, m - 2 of three and
# m - 3 of four. These blocks, {length: how many}, give MATCHES, and about as many in each caption.
BLOCKS = {12: 91, 7: 18, 2: 197, 1: 167}
IMAGES, REFERENCES = 100, 5


def captions() -> tuple[Output, ...]:
    """100 captions and their references, from `BLOCKS`: only what a caption shares with its first reference is used twice.

    In a caption the blocks stand side by side. In the reference a word of its own stands after each, so that no match
    goes from one block into the next.
    """
    blocks: list[list[int]] = [[] for _ in range(IMAGES)]
    for lengths, places in (
        ([12] * BLOCKS[12], range(BLOCKS[12])),
        ([7] * BLOCKS[7], cycle(range(BLOCKS[12], IMAGES))),  # two of 7 words have nearly the 4-grams of one of 12
        ([2] * BLOCKS[2], cycle(range(IMAGES))),
        ([1] * BLOCKS[1], cycle(range(IMAGES))),
    ):
        for length, place in zip(lengths, places, strict=False):
            blocks[place].append(length)
    made = []
    for image, lengths in enumerate(blocks):
        caption: list[str] = []
        reference: list[str] = []
        for number, length in enumerate(lengths):
            shared = [f"shared{image}x{number}x{place}" for place in range(length)]
            caption += shared
            reference += [*shared, f"gap{image}x{number}"]
        # The last of them are a word longer, so that the sums are what they must be.
        words = WORDS // IMAGES + (image >= IMAGES - WORDS % IMAGES)
        reference_words = REFERENCE_WORDS // IMAGES + (image >= IMAGES - REFERENCE_WORDS % IMAGES)
        caption += [f"own{image}x{place}" for place in range(words - len(caption))]
        reference += [f"other{image}x{place}" for place in range(reference_words - len(reference))]
        same_length = " ".join(f"rest{image}x{place}" for place in range(reference_words))
        references = (" ".join(reference), *[same_length] * (REFERENCES - 1))
        made.append(Output(id=f"{image:03}.jpg", text=" ".join(caption), references=references, tokens=words))
    return tuple(made)


def scored(made: tuple[Output, ...]) -> Score:
    """BLEU-4 of the captions, a sample of Flickr30k's 1,000 test images."""
    texts, references, ids = zip(*((caption.text, caption.references, caption.id) for caption in made), strict=True)
    return bleu(texts, references, ids=ids, population=1000)


def observed(claim: spec.Claim) -> Observed:
    """What a run of the claim observes: 100 of the split's 1,000 images, and else the protocol of the record."""
    stated = claim.protocol
    assert stated.checkpoint
    assert stated.dataset
    assert stated.decoding
    return Observed(
        checkpoint={"id": stated.checkpoint.id, "revision": None, "commit": "59a1ef6c1e5117b3f65523d1c6066825bcf315e3"},
        dataset={**stated.dataset.model_dump(exclude={"split"}), "fingerprint": "0123456789abcdef"},
        split={"split": "test"},
        image={"size": 224, "resize": "bicubic"},
        prompt={"prompt": "a photo of"},
        decoding=decoding_facts({**stated.decoding.model_dump(), "strategy": "beam", "num_beams": 5}),
        precision={"precision": "float16"},
        metric={"family": "coco-caption"},
        scored=IMAGES,
        seed=0,
    )


@pytest.fixture(scope="module")
def verdict() -> Verdict:
    """The verdict of the shipped claim on the captions."""
    (claim,) = spec.load(ROOT / CLAIM, display=CLAIM)
    made = captions()
    evidence = Evidence(
        basis=Basis.REPRODUCED,
        outputs=made,
        images=IMAGES,
        population=1000,
        observed=observed(claim),
        created_at="2026-05-14T23:27:31+00:00",
    )
    readings = read_axes(claim.protocol, evidence.observed, min_sample=claim.tolerance.min_sample)
    return judge(claim, scored(made), evidence, readings)


def test_the_score_is_the_published_one() -> None:
    """The metric gives the published score to the last bit, from captions and references, and from the counts that it says."""
    score = scored(captions())
    assert score.value == SCORE
    assert score.counts["matches"] == MATCHES
    assert (score.counts["hypothesis_length"], score.counts["reference_length"]) == (WORDS, REFERENCE_WORDS)
    assert score.signature.startswith("bleu4|coco-caption|tok:ptb|case:lc|refs:5|")


def test_the_published_record(verdict: Verdict) -> None:
    """Paper, version, verdict and verdicts have the published keys and values, all of them; ids and times are a run's own."""
    # As published: nobody had looked into the paper then, so that nothing was expected of its citation.
    published = replace(verdict, claim=replace(verdict.claim, expect=None))
    result, message = settle(published, gate=Gate.PARTIAL, require_attempt=False)
    made = record.of_verdict(verdict, nodeid="n", result=result, message=message, seconds=1.0)
    written = json.loads(json.dumps(made.values()))
    proof = written.pop("evidence")
    same(written, PUBLISHED, "record")
    assert proof["measured"] == pytest.approx(30.394097356)
    assert proof["difference"] == pytest.approx(-13.305902644)
    assert [deviation["axis"] for deviation in proof["deviations"]] == ["sample"]
    assert proof["test"]["result"] == "passed"


def test_the_record_today(verdict: Verdict) -> None:
    """With the paper's table at hand the same run is withheld as misattributed: the score stays, status and confidence go."""
    claim, evidence, score = verdict.claim, verdict.evidence, verdict.score
    assert evidence
    assert score
    cited = citation.check(claim, citation.Library())
    today = judge(claim, score, evidence, verdict.readings, citation=cited)
    assert (today.status, today.outcome, today.confidence) == (Status.PENDING, verdict.outcome, 0.0)
    assert today.score == score
    assert "column “COCO Fine-tuned, Karpathy test, B@4”" in today.reason
    assert settle(today, gate=Gate.PARTIAL, require_attempt=True)[0] is Result.EXPECTED
    written = record.of_verdict(today, nodeid="n", result=Result.EXPECTED, message="", seconds=1.0).values()
    assert set(written["verdict"]) == set(PUBLISHED["verdict"])
    assert written["verdict"]["claim_citation"] == PUBLISHED["verdict"]["claim_citation"]
    assert written["evidence"]["citation"]["found"]["column"] == ["COCO Fine-tuned", "Karpathy test", "B@4"]


def same(found: Any, published: Any, place: str) -> None:
    """Fails where a key or a value differs from the published one, or an id or a time is no text."""
    if not isinstance(published, dict):
        assert found == published, place
        assert type(found) is type(published), place
        return
    assert isinstance(found, dict), place
    assert set(found) == set(published), place
    for key, value in published.items():
        if key in OURS:
            assert isinstance(found[key], str), f"{place}.{key}"
        else:
            same(found[key], value, f"{place}.{key}")


def test_the_confidence_is_the_cap(verdict: Verdict) -> None:
    """Every replicate lies in the partial band, so that 0.6 is what a proxy is held to, and not what the sample gave."""
    assert verdict.score
    assert verdict.score.interval
    assert all(28.36 < 100 * value < 42.65 for value in verdict.score.interval.replicates)
    assert verdict.confidence == 0.6


def test_no_page_is_made_up(tmp_path: Path) -> None:
    """The rendered page and what made it are those that the claim file states; null where it states none."""
    text = (ROOT / CLAIM).read_text(encoding="utf-8")
    assert "rendered" not in text
    page = "https://arxiv.org/html/2301.12597v1"
    path = tmp_path / "claim.yaml"
    path.write_text(
        text.replace("  withdrawn: false\n", f"  rendered_html_url: {page}\n  rendering_engine: arxiv-html\n"),
        encoding="utf-8",
    )
    (claim,) = spec.load(path)
    gap = undecided(claim, Status.NOT_ATTEMPTED, "No weights.")
    found = record.of_verdict(gap, nodeid="n", result=Result.SKIPPED, message="", seconds=0.0).values()
    assert found["latest_version"]["rendered_html_url"] == page
    assert found["latest_version"]["rendering_engine"] == "arxiv-html"
    assert set(found["paper"]) == set(PUBLISHED["paper"])
