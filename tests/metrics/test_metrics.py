"""BLEU, ROUGE-L and CIDEr with coco-caption's values, their intervals, and every refusal.

`REFERENCE` was recorded once from pycocoevalcap 1.2 (its Java tokenizer on Java 17, then Bleu(4), Rouge, Cider) on the small
corpora above it. No test needs Java or pycocoevalcap.
"""

from __future__ import annotations

import dataclasses
import json
import math
import random
import statistics
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_claims.errors import MetricError
from pytest_claims.metrics import BUILTIN, Corpus, Interval, Score, bleu, cider, rouge_l
from pytest_claims.metrics.bleu import Bleu
from pytest_claims.metrics.rouge import longest_common_subsequence
from pytest_claims.spec import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider")
OURS = {name: BUILTIN[name] for name in NAMES}
"""The metrics of captions that need no other program."""

CORPORA = {
    "captions": (
        [
            "A man isn't riding a brown horse; he walks next to it.",
            "Two dogs' toys lie on the floor",
            "A stop sign on Main St. at 5:54pm.",
            "a a a a cat",
        ],
        [
            ["A man walks beside his brown horse.", "A man is not riding his horse.", "He walks next to a horse."],
            ["Dog toys are on the floor.", "The toys of two dogs lie on the wooden floor."],
            ["A stop sign at the corner of Main St. and 5th Ave.", "A red stop sign."],
            ["A cat.", "the cat sat on a mat, a big cat"],
        ],
    ),
    # empty, punctuation only, and a token that holds a no-break space
    "odd": (
        ["", "?!", "...", "dog", "A very long answer. It has two sentences, and 5 1/2 apples (green)."],
        [
            ["a dog", "Dogs!"],
            ["?!", "what?"],
            ["...", ""],
            ["dog", "a dog runs"],
            ["5 1/2 green apples", "It has apples."],
        ],
    ),
    "unmatched": (["one two three", "four"], [["five six seven eight"], ["nine"]]),
    "single": (["a cat on a mat"], [["a cat sat on the mat"]]),
}
#: Value and per-image values of each metric.
REFERENCE: dict[str, dict[str, tuple[float, tuple[float, ...]]]] = {
    "captions": {
        "bleu1": (0.7647058823304499, (0.7692307691715977, 0.9999999998571429, 0.47768754027637356, 0.5999999998800002)),
        "bleu2": (0.5973799001269192, (0.620173672896349, 0.8164965808013636, 0.35826565520479225, 0.38729833453359985)),
        "bleu3": (0.435070567964234, (0.47161224628233017, 0.6436595896277667, 0.2359658541343739, 3.6840314976784493e-06)),
        "bleu4": (
            0.24735124938616698,
            (0.32002861009893324, 9.036020034382682e-05, 3.539222385174801e-05, 1.2574334292795093e-08),
        ),
        "rouge_l": (0.6758462062148227, (0.5285961871750434, 0.7334669338677354, 0.6559139784946236, 0.7854077253218884)),
        "cider": (1.984822485324763, (1.454994745014665, 2.9340739889101926, 1.7221935915499924, 1.8280276158242015)),
    },
    "odd": {
        "bleu1": (0.47058823526643606, (0.0, 0.999999998000002, 0.0, 0.999999998000002, 0.3999999999733334)),
        "bleu2": (0.2592814894039799, (0.0, 0.0009999999985000015, 0.0, 0.0009999999985000015, 0.23904572185037326)),
        "bleu3": (1.729284933731055e-06, (0.0, 9.999999986666685e-05, 0.0, 9.999999986666685e-05, 1.6380966907632865e-06)),
        "bleu4": (4.5562191678389315e-09, (0.0, 3.162277656215536e-05, 0.0, 3.162277656215536e-05, 4.374811430898337e-09)),
        "rouge_l": (0.6799126637554586, (0.0, 1.0, 1.0, 1.0, 0.39956331877729256)),
        "cider": (0.6585433899246316, (0.0, 1.25, 0.0, 1.7743592867893623, 0.26835766283379536)),
    },
    "unmatched": {
        "bleu1": (1.9470019567050115e-16, (2.38843770032034e-16, 9.99999998000001e-16)),
        "bleu2": (2.753476572794997e-16, (2.9252268238618885e-16, 3.162277655424966e-11)),
        "bleu3": (3.8940039121120294e-16, (3.943223761392142e-16, 9.999999986666689e-10)),
        "bleu4": (8.234815673985687e-14, (8.141367511097532e-14, 5.62341324487423e-09)),
        "rouge_l": (0.0, (0.0, 0.0)),
        "cider": (0.0, (0.0, 0.0)),
    },
    "single": {
        "bleu1": (0.6549846022003919, (0.6549846022003919,)),
        "bleu2": (0.36614752367478015, (0.36614752367478015,)),
        "bleu3": (3.3197905452746884e-06, (3.3197905452746884e-06,)),
        "bleu4": (1.1062691197280677e-08, (1.1062691197280677e-08,)),
        "rouge_l": (0.7155425219941348, (0.7155425219941348,)),
        "cider": (0.0, (0.0,)),
    },
}  # fmt: skip


def synthetic(images: int, *, seed: int = 0, overlap: float = 0.6) -> tuple[list[str], list[list[str]]]:
    """Captions of 6 to 12 words from a small vocabulary; each hypothesis keeps about `overlap` of a reference's words."""
    rng = random.Random(seed)  # noqa: S311 - reproducible captions
    vocabulary = [f"w{n}" for n in range(60)]
    hypotheses, references = [], []
    for _ in range(images):
        own = [" ".join(rng.choices(vocabulary, k=rng.randint(6, 12))) for _ in range(rng.randint(2, 5))]
        words = own[0].split()
        hypotheses.append(" ".join(w if rng.random() < overlap else rng.choice(vocabulary) for w in words))
        references.append(own)
    return hypotheses, references


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("corpus", CORPORA)
def test_equals_pycocoevalcap(corpus: str, name: str) -> None:
    """Value and per-image values are coco-caption's, also where captions are empty or nothing matches."""
    value, per_image = REFERENCE[corpus][name]
    score = BUILTIN[name].score(Corpus(*CORPORA[corpus]), resamples=0)
    assert score.value == pytest.approx(value, abs=1e-12)
    assert score.per_image == pytest.approx(per_image, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bleu1", "bleu1|coco-caption|tok:ptb|case:lc|refs:2-3|len:closest|v0.2"),
        ("bleu4", "bleu4|coco-caption|tok:ptb|case:lc|refs:2-3|len:closest|v0.2"),
        ("rouge_l", "rouge_l|coco-caption|tok:ptb|case:lc|refs:2-3|beta:1.2|v0.2"),
        ("cider", "cider|coco-caption|tok:ptb|case:lc|refs:2-3|n:4|sigma:6|df:corpus|v0.2"),
    ],
)
def test_signature(name: str, expected: str) -> None:
    """The signature names every parameter that moves the number, and says when the reference count varies."""
    corpus = Corpus(*CORPORA["captions"])
    assert BUILTIN[name].signature(corpus) == expected
    assert BUILTIN[name].score(corpus, resamples=0).signature == expected
    assert "|refs:1|" in BUILTIN[name].signature(Corpus(["a"], [["b"]]))


def test_builtin() -> None:
    """The names a claim can use, each with its family and natural range; the mapping cannot be changed."""
    families = {
        "coco-caption": (*NAMES, "meteor", "spice"),
        "vqa": ("vqa_accuracy",),
        "exact-match": ("exact_match", "accuracy", "accuracy_top5"),
        "retrieval": ("recall_at_1", "recall_at_5", "recall_at_10"),
    }
    assert tuple(BUILTIN) == tuple(name for names in families.values() for name in names)
    assert all(BUILTIN[name].family == family for family, names in families.items() for name in names)
    assert {name: metric.high for name, metric in BUILTIN.items()} == dict.fromkeys(BUILTIN, 1.0) | {"cider": 10.0}
    assert all(metric.name == name and metric.low == 0 for name, metric in BUILTIN.items())
    for name, metric in BUILTIN.items():  # a claim file knows each with the same family and range
        assert (METRICS[name].families, METRICS[name].low, METRICS[name].high) == (
            (metric.family,),
            metric.low,
            metric.high,
        )
    with pytest.raises(TypeError):
        BUILTIN["bleu5"] = BUILTIN["bleu4"]  # type: ignore[index]


@pytest.mark.parametrize(("function", "name"), [(bleu, "bleu4"), (rouge_l, "rouge_l"), (cider, "cider")])
def test_functions_are_the_metrics(function: Callable[..., Score], name: str) -> None:
    """The public functions give exactly what the metric of that name gives."""
    hypotheses, references = synthetic(20)
    expected = BUILTIN[name].score(Corpus(hypotheses, references), population=100, resamples=50, seed=3)
    assert function(hypotheses, references, population=100, resamples=50, seed=3) == expected


def test_score_is_frozen_and_json_able() -> None:
    """A score cannot be changed, and its counts and interval survive JSON."""
    score = bleu(*CORPORA["captions"], resamples=10)
    assert score.interval is not None
    with pytest.raises(dataclasses.FrozenInstanceError):
        score.value = 1.0  # type: ignore[misc]
    stored = json.loads(json.dumps(dataclasses.asdict(score)))
    assert stored["counts"] == {
        "matches": [26, 14, 6, 1],
        "totals": [34, 30, 26, 22],
        "hypothesis_length": 34,
        "reference_length": 27,
    }
    assert tuple(stored["interval"]["replicates"]) == score.interval.replicates


def bleu_of(counts: dict[str, Any]) -> float:
    """BLEU by hand from the counts of a score, as coco-caption's bleu_scorer.py does it."""
    product = math.prod((m + 1e-15) / (t + 1e-9) for m, t in zip(counts["matches"], counts["totals"], strict=True))
    ratio = (counts["hypothesis_length"] + 1e-15) / (counts["reference_length"] + 1e-9)
    return float(product ** (1 / len(counts["matches"])) * (1 if ratio >= 1 else math.exp(1 - 1 / ratio)))


captions = st.lists(st.sampled_from(["a", "dog", "cat", "runs", "on", "the", "mat.", "!", "don't"]), max_size=8).map(
    " ".join
)
corpora = st.lists(st.tuples(captions, st.lists(captions, min_size=1, max_size=3)), min_size=1, max_size=6)


@given(corpora)
def test_counts_re_derive_the_value(rows: list[tuple[str, list[str]]]) -> None:
    """The number in a report follows from the counts in it, and stays in the natural range."""
    corpus = Corpus([h for h, _ in rows], [r for _, r in rows])
    for name, metric in OURS.items():
        score = metric.score(corpus, resamples=0)
        counts: dict[str, Any] = dict(score.counts)
        derived = bleu_of(counts) if name.startswith("bleu") else counts["sum"] / counts["images"]
        assert score.value == pytest.approx(derived, rel=1e-12, abs=1e-15)
        assert metric.low <= score.value <= metric.high
        assert score.n == len(score.per_image) == len(rows)


@settings(max_examples=30)
@given(corpora, st.randoms(use_true_random=False))
def test_order_does_not_matter(rows: list[tuple[str, list[str]]], shuffle: random.Random) -> None:
    """Images in another order give the same value, counts and interval to the last bit, and per-image values move along."""
    order = list(range(len(rows)))
    shuffle.shuffle(order)
    ids = [f"image {n}" for n in range(len(rows))]
    first = Corpus([h for h, _ in rows], [r for _, r in rows], ids)
    other = Corpus([rows[n][0] for n in order], [rows[n][1] for n in order], [ids[n] for n in order])
    for metric in OURS.values():
        one = metric.score(first, resamples=20)
        two = metric.score(other, resamples=20)
        assert (one.value, one.counts, one.interval) == (two.value, two.counts, two.interval)
        assert [one.per_image[n] for n in order] == list(two.per_image)


@settings(max_examples=30)
@given(corpora)
def test_hypothesis_equal_to_a_reference_scores_one(rows: list[tuple[str, list[str]]]) -> None:
    """Copying a reference gives ROUGE-L 1 and BLEU-1 1 (up to coco-caption's 1e-9), and no copy of it changes that."""
    assume(all(any(c.isalpha() for c in references[0]) for _, references in rows))
    corpus = Corpus([r[0] for _, r in rows], [[*r, r[0]] for _, r in rows])
    assert BUILTIN["rouge_l"].score(corpus, resamples=0).value == pytest.approx(1.0)
    assert BUILTIN["bleu1"].score(corpus, resamples=0).value == pytest.approx(1.0, abs=1e-8)


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_longest_common_subsequence(first: list[str], second: list[str]) -> None:
    """The bit-string algorithm agrees with the textbook table."""
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, x in enumerate(first):
        for j, y in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    assert longest_common_subsequence(first, second) == table[-1][-1]


def test_interval_of_a_known_mean() -> None:
    """For a mean of per-image scores, the delta method is the textbook standard error and the bootstrap agrees with it."""
    score = rouge_l(*synthetic(200), resamples=2000)
    assert score.interval is not None
    expected = statistics.stdev(score.per_image) / math.sqrt(200)
    assert score.interval.standard_error == pytest.approx(expected, rel=1e-12)
    assert statistics.stdev(score.interval.replicates) == pytest.approx(expected, rel=0.1)
    assert score.interval.high - score.interval.low == pytest.approx(2 * 1.96 * expected, rel=0.1)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("cut", [None, 4], ids=["long", "brevity penalty"])
def test_delta_method_is_the_jackknife(n: int, cut: int | None) -> None:
    """BLEU's analytic standard error agrees with leaving out one image at a time, with and without brevity penalty."""
    hypotheses, references = synthetic(150, overlap=0.8)
    hypotheses = [" ".join(h.split()[:cut]) for h in hypotheses]
    score = bleu(hypotheses, references, n=n, resamples=500)
    assert score.interval is not None
    without = [
        bleu(hypotheses[:i] + hypotheses[i + 1 :], references[:i] + references[i + 1 :], n=n, resamples=0).value
        for i in range(0, 150, 3)
    ]
    jackknife = math.sqrt(149**2 / 150 * statistics.fmean((v - score.value) ** 2 for v in without))
    assert score.interval.standard_error == pytest.approx(jackknife, rel=0.25)
    assert statistics.stdev(score.interval.replicates) == pytest.approx(score.interval.standard_error, rel=0.2)


@pytest.mark.parametrize("name", NAMES[:-1])
def test_coverage(name: str) -> None:
    """Of samples of 60 out of 400 images, about 95 % of the corrected intervals hold the value of all 400.

    CIDEr is left out: its document frequencies change with the sample, which the interval says it does not cover.
    """
    hypotheses, references = synthetic(400, seed=5, overlap=0.75)
    truth = BUILTIN[name].score(Corpus(hypotheses, references), resamples=0).value
    rng, hits, trials = random.Random(1), 0, 120  # noqa: S311 - reproducible samples
    for _ in range(trials):
        drawn = rng.sample(range(400), 60)
        corpus = Corpus([hypotheses[i] for i in drawn], [references[i] for i in drawn])
        found = BUILTIN[name].score(corpus, population=400, resamples=200).interval
        assert found is not None
        hits += found.low <= truth <= found.high
    assert hits >= 0.86 * trials


@pytest.mark.parametrize("closest", [250.0, 400.0], ids=["long", "brevity penalty"])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_gradient(n: int, closest: float) -> None:
    """The derivatives behind the standard error are those that finite differences give."""
    sums = np.array([200.0, 120.0, 60.0, 25.0, 300.0, 260.0, 220.0, 180.0, 300.0, closest])
    steps = np.eye(len(sums)) * 1e-4
    metric = Bleu(n=n)
    expected = (metric.value(sums + steps) - metric.value(sums - steps)) / 2e-4
    assert metric.gradient(sums) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_population_shrinks_the_interval() -> None:
    """Distances from the value shrink by √(1 - n/N), to nothing where the whole split was scored."""
    hypotheses, references = synthetic(50)
    plain, half, full = (
        bleu(hypotheses, references, population=size, resamples=300).interval for size in (None, 100, 50)
    )
    assert plain is not None and half is not None and full is not None  # noqa: PT018 - narrows all three
    value = bleu(hypotheses, references, resamples=0).value
    assert half.standard_error == pytest.approx(plain.standard_error * math.sqrt(0.5))
    expected = [value + (r - value) * math.sqrt(0.5) for r in plain.replicates]
    assert half.replicates == pytest.approx(expected)
    assert (full.low, full.high, full.standard_error, set(full.replicates)) == (value, value, 0.0, {value})
    assert (plain.population, half.population, full.population) == (None, 100, 50)


def test_interval_fields() -> None:
    """An interval says how it was made; the same seed gives the same replicates, another seed others."""
    hypotheses, references = synthetic(40)
    one, same, other = (bleu(hypotheses, references, resamples=64, seed=s).interval for s in (7, 7, 8))
    assert isinstance(one, Interval)
    assert one == same
    assert other is not None
    assert one.replicates != other.replicates
    assert (one.level, one.resamples, one.seed, len(one.replicates)) == (0.95, 64, 7, 64)
    assert one.low <= one.high


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resampling in small blocks, as for very large corpora, gives the same replicates."""
    hypotheses, references = synthetic(30)
    whole = bleu(hypotheses, references, resamples=50).interval
    monkeypatch.setattr("pytest_claims.metrics.base.BLOCK", 70)
    assert bleu(hypotheses, references, resamples=50).interval == whole


@pytest.mark.parametrize("name", NAMES)
def test_no_interval(name: str) -> None:
    """No resamples, or a single image, which says nothing about the spread: no interval rather than one of width 0."""
    assert BUILTIN[name].score(Corpus(*synthetic(5)), resamples=0).interval is None
    assert BUILTIN[name].score(Corpus(["a cat"], [["a cat"]]), population=100).interval is None


@pytest.mark.parametrize("name", NAMES)
def test_interval_without_any_match(name: str) -> None:
    """Captions without a match, or without a token, score zero. The interval is zero, and there is no warning."""
    for hypotheses, references in ((["x", "y"], [["p q"], ["r"]]), (["", "."], [["!"], ["a"]])):
        with np.errstate(all="raise", under="ignore"):
            found = BUILTIN[name].score(Corpus(hypotheses, references), resamples=20)
        assert found.interval is not None
        if name != "rouge_l":  # an empty token equals an empty one there
            assert found.value == pytest.approx(0, abs=1e-8)
            assert found.interval.standard_error == pytest.approx(0, abs=1e-8)


def test_one_corpus_is_tokenised_and_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All six metrics of one corpus cost one pass over its text."""
    seen: list[str] = []

    def counting(text: str) -> tuple[str, ...]:
        seen.append(text)
        return tuple(text.split())

    monkeypatch.setattr("pytest_claims.metrics.corpus.units", counting)
    corpus = Corpus(["a b", "c d"], [["a b"], ["c", "d"]])
    for metric in OURS.values():
        metric.score(corpus, resamples=2)
    assert sorted(seen) == sorted(["a b", "c d", "a b", "c", "d"])


def test_corpus_keeps_what_it_was_given() -> None:
    """Lists that change afterwards do not change a corpus, and any sequence will do."""
    hypotheses, references = ["a"], [["a"]]
    corpus = Corpus(hypotheses, references)
    hypotheses[0], references[0][0] = "b", "c"
    assert (corpus.hypotheses, corpus.references, corpus.ids, len(corpus)) == (("a",), (("a",),), ("0",), 1)
    assert repr(corpus) == "<Corpus of 1 images, 1 references each>"
    assert Corpus(("a",), (("a",),), np.array(["x"])).ids == ("x",)  # type: ignore[arg-type]


NAN = float("nan")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], []), "There is no image to score: hypotheses and references are empty."),
        (
            (["a"], [["a"], ["b"]]),
            "Every image needs one hypothesis, its references and one id: got 1 hypotheses, 2 lists of references and 1 ids.",
        ),
        (
            (["a"], [["a"]], ["x", "y"]),
            "Every image needs one hypothesis, its references and one id: got 1 hypotheses, 1 lists of references and 2 ids.",
        ),
        (("a", [["a"]]), "The hypotheses are 'a' (str), expected a list with one item per image."),
        ((["a"], "a"), "The references are 'a' (str), expected a list with one item per image."),
        ((["a"], {"0": ["a"]}), "The references are {'0': ['a']} (dict), expected a list with one item per image."),
        ((None, [["a"]]), "The hypotheses are None (NoneType), expected a list with one item per image."),
        ((["a", "b"], [["a"], []], ["x", "y"]), "Image 'y' has no reference, expected at least one."),
        ((["a"], ["a man"], ["x"]), "Image 'x': references are 'a man' (str), expected a list of strings."),
        ((["a"], [None], ["x"]), "Image 'x': references are None (NoneType), expected a list of strings."),
        (([None], [["a"]], ["x"]), "Image 'x': hypothesis is None (NoneType), expected a string."),
        (([NAN], [["a"]], ["x"]), "Image 'x': hypothesis is nan (float), expected a string."),
        ((["a"], [["a", 5]], ["x"]), "Image 'x': reference 1 is 5 (int), expected a string."),
        ((["a"], [["a", b"b"]], ["x"]), "Image 'x': reference 1 is b'b' (bytes), expected a string."),
        (
            (["a\ud800"], [["a"]], ["x"]),
            "Image 'x': hypothesis has a lone surrogate U+D800 at position 1, expected text that can be written as UTF-8.",
        ),
        ((["a", "b"], [["a"], ["b"]], ["x", "x"]), "The id 'x' stands for more than one image, expected unique ids."),
        ((["a", "b"], [["a"], ["b"]], ["x", 7]), "The id at position 1 is 7 (int), expected a string."),
    ],
)
def test_corpus_errors(arguments: tuple[Any, ...], message: str) -> None:
    """Every invalid corpus is refused with the id of the first offending image, what was found, and what was expected."""
    with pytest.raises(MetricError) as caught:
        Corpus(*arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("ranked", "message"),
    [
        ([["a"]], "Every image needs one ranking: got 1 rankings and 2 ids."),
        ("ab", "The ranked are 'ab' (str), expected a list with one item per image."),
        (["ab", ["b"]], "Image 'x': the ranking is 'ab' (str), expected a list of strings, the best first."),
        ([["a"], ["b", 7]], "Image 'y': rank 2 is 7 (int), expected a string."),
        ([["a"], ["b", "c", "b"]], "Image 'y': 'b' is ranked twice, the second time at 3."),
    ],
)
def test_rankings_of_a_corpus(ranked: Any, message: str) -> None:
    """A corpus may have a ranking for each row, also an empty one; what is none is refused with its id."""
    texts: dict[str, Any] = {"hypotheses": ["", ""], "references": [["a"], ["b"]], "ids": ["x", "y"]}
    assert Corpus(**texts).ranked is None
    assert Corpus(**texts, ranked=[["a", "b"], ()]).ranked == (("a", "b"), ())
    with pytest.raises(MetricError) as caught:
        Corpus(**texts, ranked=ranked)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["bleu4", "rouge_l", "cider"])
@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        (
            {"population": 1},
            (
                "The population of 1 images is smaller than the 2 images that were scored, first 'x': "
                "expected the size of the full split."
            ),
        ),
        ({"population": 2.5}, "population is 2.5 (float), expected a whole number of at least 1."),
        ({"population": 0}, "population is 0 (int), expected a whole number of at least 1."),
        ({"resamples": -1}, "resamples is -1 (int), expected a whole number of at least 0."),
        ({"resamples": True}, "resamples is True (bool), expected a whole number of at least 0."),
        ({"seed": -1}, "seed is -1 (int), expected a whole number of at least 0."),
        ({"population": 1, "resamples": 0}, None),
    ],
)
def test_setting_errors(name: str, settings_: dict[str, Any], message: str | None) -> None:
    """Settings are checked whether or not an interval is asked for."""
    with pytest.raises(MetricError) as caught:
        BUILTIN[name].score(Corpus(["a", "b"], [["a"], ["b"]], ["x", "y"]), **settings_)
    if message:
        assert str(caught.value) == message


@pytest.mark.parametrize("n", [0, 5, -1, "4 "])
def test_bleu_order_error(n: Any) -> None:
    """Only BLEU-1 to BLEU-4 exist."""
    with pytest.raises(MetricError, match="expected n to be 1, 2, 3 or 4"):
        bleu(["a"], [["a"]], n=n)


@pytest.mark.parametrize("text", ["a dog runs. " * 85_000, "x" * 1_000_000], ids=["words", "one word"])
def test_megabyte_caption(text: str) -> None:
    """A caption of 1 MB is scored by all metrics: none takes quadratic time, which would be hours."""
    corpus = Corpus([text, "a dog"], [["a dog runs", text[:50]], ["a dog"]])
    for metric in OURS.values():
        assert 0 <= metric.score(corpus, resamples=10).value <= metric.high


def test_replicates_are_of_this_corpus() -> None:
    """BLEU at 30 images: replicates scatter around the value, and every one is a possible BLEU."""
    found = bleu(*synthetic(30, overlap=0.9), resamples=400)
    assert found.interval is not None
    replicates = sorted(found.interval.replicates)
    assert all(0 <= a <= b <= 1 for a, b in pairwise(replicates))
    assert replicates[20] < found.value < replicates[-20]
