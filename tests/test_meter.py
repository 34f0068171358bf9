"""Progress while claims run: what a terminal shows in place, and what a log gets now and then."""

from __future__ import annotations

import io
import random
from typing import Any

import pytest

from pytest_claims import meter
from pytest_claims.evaluation import running
from pytest_claims.evaluation.running import RunningScore
from pytest_claims.evidence import Output
from pytest_claims.metrics import BUILTIN, Corpus
from pytest_claims.metrics.running import RunningBleu, RunningMean
from tests.builders import put
from tests.running import plain

WORDS = tuple(
    "a the dog man red bus street plays on in of with two people walking water green grass".split()  # noqa: SIM905 - readable
)


def captions(count: int, seed: int = 0) -> list[Output]:
    """Captions of ten words, with five references that share words with them."""
    draw = random.Random(seed)  # noqa: S311 - test data
    made = []
    for index in range(count):
        text = draw.choices(WORDS, k=draw.randint(1, 10))
        references = tuple(" ".join(text[: draw.randint(0, 8)] + draw.choices(WORDS, k=5)) for _ in range(5))
        made.append(Output(id=str(index), text=" ".join(text), references=references))
    return made


# --- the running score -----------------------------------------------------------------------------------------------


def test_the_running_score_ends_at_the_score() -> None:
    """In whatever pieces the images come, value and standard error are in the end those of `Bleu` for all of them."""
    made = captions(400)
    running = RunningBleu()
    start = 0
    for size in (1, 7, 92, 300):
        chunk = made[start : start + size]
        running.add([caption.text for caption in chunk], [caption.references for caption in chunk])
        start += size
    score = BUILTIN["bleu4"].score(Corpus([c.text for c in made], [c.references for c in made]))
    assert score.interval is not None
    assert (running.n, running.value) == (400, score.value)
    assert running.standard_error == pytest.approx(score.interval.standard_error, rel=1e-9)
    assert str(running) == f"BLEU-4 {100 * score.value:.2f} ± {100 * 1.959964 * score.interval.standard_error:.2f}"


@pytest.mark.parametrize("metric", ["vqa_accuracy", "exact_match", "accuracy"])
def test_the_running_mean_ends_at_the_score(metric: str) -> None:
    """The same of answers, by the claim's own metric."""
    draw = random.Random(1)  # noqa: S311 - test data
    answers = [draw.choice(("yes", "Two.", "a dog", "2")) for _ in range(300)]
    given = [[draw.choice(("yes", "2", "the dog", "two")) for _ in range(10)] for _ in range(300)]
    running = RunningMean(metric)
    for start, end in ((0, 1), (1, 8), (8, 100), (100, 300)):
        running.add(answers[start:end], given[start:end])
    score = BUILTIN[metric].score(Corpus(answers, given))
    assert score.interval is not None
    assert running.n == 300
    assert running.value == pytest.approx(score.value, rel=1e-12)
    assert running.standard_error == pytest.approx(score.interval.standard_error, rel=1e-9)
    half = 100 * 1.959964 * score.interval.standard_error
    assert str(running) == f"{metric} {100 * score.value:.2f} ± {half:.2f}"


def test_answers_that_have_no_running_score() -> None:
    """A metric that is no mean of rows shows nothing, nor does one that cannot score the references; the run goes on."""
    for metric in ("accuracy_top5", "vqa_accuracy"):
        score = RunningScore(metric)
        for number in range(20):
            score.add(Output(id=str(number), text="yes", references=("yes",)))
            assert score.told(1e6) == ""
    score = RunningScore("exact_match")
    score.add(Output(id="a", text="Yes.", references=("yes",)))
    assert score.told(1e6) == "exact_match 100.00"


def test_no_score_before_there_is_one() -> None:
    """No interval is shown for one image, nor any number for none."""
    score = RunningScore()
    assert score.told(1e6) == ""
    score.add(Output(id="a", text="a dog runs on grass", references=("a dog runs on grass",)))
    assert score.told(1e6) == "BLEU-4 100.00"


def test_the_running_score_covers_what_it_has_time_for() -> None:
    """The score takes no more than its share of the time: early on it covers fewer images than are done, and says so."""
    score = RunningScore()
    for caption in captions(200):
        score.add(caption)
    assert score.told(0.0) == ""
    first = score.told(1e-9)
    assert first.endswith(" of 8")
    assert " of " not in score.told(1e6)


def test_a_running_score_that_nobody_looks_at_holds_few_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where outputs wait in great number, further ones are never scored, and the score says how many it covers."""
    monkeypatch.setattr(running, "WAITING", 50)
    score = RunningScore()
    for caption in captions(60):
        score.add(caption)
    assert score.told(1e6).endswith(" of 50")


# --- the line --------------------------------------------------------------------------------------------------------


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Tqdm's clock."""
    found = Clock()
    monkeypatch.setattr("tqdm.std.time", found)
    return found


def lines_of(clock: Clock, *, steps: int, seconds: float, total: int = 1000, **options: Any) -> list[str]:
    """What a log gets of a step with an update every `seconds`."""
    written: list[str] = []
    given: dict[str, Any] = {"unit": " images", "done": 0, "note": None, **options}
    with meter.Lines(total, "one", write=written.append, **given) as bar:
        for _ in range(steps):
            clock.now += seconds
            bar.update(1)
    return written


def test_a_log_gets_a_line_every_30_seconds(clock: Clock) -> None:
    """A log gets done of all, rate, time left and the note, in plain lines without control characters."""
    written = lines_of(clock, steps=100, seconds=1.0, note=lambda elapsed: f"noted at {elapsed:.0f}")
    assert written == [
        "one: 30 of 1,000 images, 1.00 images/s, 16:10 left, noted at 30",
        "one: 60 of 1,000 images, 1.00 images/s, 15:40 left, noted at 60",
        "one: 90 of 1,000 images, 1.00 images/s, 15:10 left, noted at 90",
    ]


def test_a_short_step_writes_nothing_into_a_log(clock: Clock) -> None:
    """What ends within 30 seconds has no line."""
    assert lines_of(clock, steps=29, seconds=1.0) == []


def test_what_was_done_before_does_not_count_for_the_rate(clock: Clock) -> None:
    """A run that goes on from 400 captions is not faster for it."""
    written = lines_of(clock, steps=30, seconds=1.0, done=400)
    assert written == ["one: 430 of 1,000 images, 1.00 images/s, 09:30 left"]


def test_bytes(clock: Clock) -> None:
    """Downloads and digests count in bytes with a unit."""
    (line,) = lines_of(clock, steps=1, seconds=40.0, total=15_000_000_000, unit="B")
    assert line.startswith("one: 1.00 of 15.0GB, ")


@pytest.mark.parametrize("label", ["one", "a-claim-with-a-very-long-name-that-would-not-fit-beside-the-rest-bleu4"])
def test_a_terminal_is_refreshed_in_place(clock: Clock, label: str) -> None:
    """On a terminal the line starts with a carriage return, keeps to the width, and is gone at the end."""
    stream: Any = io.StringIO()
    options: dict[str, Any] = {"unit": " images", "done": 0, "note": lambda _elapsed: "BLEU-4 30.39 ± 4.71"}
    bar = meter.Meter(1000, label, file=stream, mininterval=0.5, ncols=80, **options)
    for _ in range(3):
        clock.now += 1.0
        bar.update(5)
    shown = [line.rstrip() for line in stream.getvalue().split("\r") if line.strip()]
    bar.close()
    assert len(shown) == 4
    assert shown[-1].endswith(": 15 of 1,000 images, 5.00 images/s, 03:17 left, BLEU-4 30.39 ± 4.71")
    assert max(map(len, shown)) <= 80
    assert stream.getvalue().endswith("\r")
    assert stream.getvalue().split("\r")[-2].strip() == ""


def test_a_step_of_unknown_length(clock: Clock) -> None:
    """A step that cannot count shows its name."""
    stream: Any = io.StringIO()
    meter.Meter(0, "one: counting", unit=" images", done=0, note=None, file=stream, ncols=80).close()
    assert "one: counting …" in stream.getvalue()
    assert lines_of(clock, steps=0, seconds=1.0, total=0) == []


# --- whole runs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "told"), [([], True), (["-q"], False)])
def test_scoring_shows_progress(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, options: list[str], told: bool
) -> None:
    """Scoring shows progress as a line of a log once it takes long enough; under -q nothing is written."""
    monkeypatch.setattr(meter, "EVERY", 0.0)
    put(pytester.path)
    written = plain(pytester, "claims", *options).out
    assert ("one: tokens: 3 of 3 captions" in written) == told
