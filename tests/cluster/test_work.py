"""Which image goes to which actor: without Ray, with actors that are numbers."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_claims.cluster.work import Work

IDS = [f"{number:03}" for number in range(100)]


def finish(work: Work, actor: int) -> None:
    """Let an actor caption what it holds."""
    for name in work.held(actor):
        assert work.done(actor, name)


def test_an_actor_gets_a_batch_and_one_to_prepare() -> None:
    """An actor decodes a batch and prepares as many again; it gets more as it finishes some."""
    work = Work(IDS)
    assert work.hand_out(1, actors=2, at_once=4) == tuple(IDS[:8])
    assert work.hand_out(1, actors=2, at_once=4) == ()
    assert work.done(1, "003")
    assert work.hand_out(1, actors=2, at_once=4) == ("008",)
    assert work.left == 91


def test_no_actor_is_left_with_the_rest() -> None:
    """Towards the end an actor holds less than its batch, so that the others have something to do."""
    work = Work(IDS)
    slow = work.hand_out(0, actors=5, at_once=8)
    assert len(slow) == 14  # a batch, and half an equal part of the 60 that are left when all have a batch
    given = []
    while work.left:
        for actor in range(1, 5):
            finish(work, actor)
            given.append(len(work.hand_out(actor, actors=5, at_once=8)))
    assert given[-4:] == sorted(given[-4:], reverse=True)
    assert given[-1] <= 2
    assert work.held(0) == slow
    assert not work.finished


def test_the_first_to_ask_leaves_the_others_their_part() -> None:
    """Where the actors can decode all images at once, each gets an equal part: more would wait while another has nothing."""
    assert [len(Work(IDS[:n]).hand_out(0, actors=2, at_once=16)) for n in (32, 33, 31, 3, 1)] == [16, 16, 16, 2, 1]
    work = Work(IDS)
    assert [len(work.hand_out(actor, actors=5, at_once=64)) for actor in range(5)] == [20] * 5


def test_the_last_batch_goes_to_free_places() -> None:
    """Images that are to be prepared are a share of more than a batch; of fewer, each actor gets what it has a place for."""
    work = Work(IDS[:64])
    assert [len(work.hand_out(actor, actors=2, at_once=16)) for actor in (1, 2)] == [24, 22]
    for actor, more in ((1, 8), (2, 10)):
        for name in work.held(actor)[:16]:
            work.done(actor, name)
        assert len(work.hand_out(actor, actors=2, at_once=16)) == more
    assert [len(work.held(actor)) for actor in (1, 2)] == [16, 16]


def test_a_caption_that_nobody_asked_for() -> None:
    """An actor gives captions of the images that it was given, each once."""
    work = Work(IDS)
    work.hand_out(1, actors=1, at_once=1)
    assert not work.done(1, IDS[50])
    assert not work.done(2, IDS[0])
    assert work.done(1, IDS[0])
    assert not work.done(1, IDS[0])


def test_a_lost_machine_is_no_suspicion() -> None:
    """What an actor of a lost machine had comes first again, in company, however often that happens."""
    work = Work(IDS)
    for actor in range(5):
        assert work.hand_out(actor, actors=1, at_once=2) == tuple(IDS[:4])
        assert work.lost(actor, blame=False) is None
    assert work.redone == 20


def test_an_image_that_kills_its_actor_is_found() -> None:
    """The images of an actor that died run alone, on actors that have nothing else; the second death names the image."""
    work = Work(IDS)
    poison = "002"
    work.hand_out(1, actors=2, at_once=4)
    work.hand_out(2, actors=2, at_once=4)
    assert work.lost(1, blame=True) is None
    assert work.hand_out(2, actors=2, at_once=4) == ()  # holds its share
    work.done(2, "008")
    assert work.hand_out(2, actors=2, at_once=4) == ("016",)  # goes on with what waits
    alone: list[str] = []
    while (name := work.hand_out(3, actors=2, at_once=4)) != (poison,):
        assert len(name) == 1
        assert work.hand_out(3, actors=2, at_once=4) == ()
        alone += name
        finish(work, 3)
    assert alone == ["000", "001"]
    assert work.lost(3, blame=True) == poison


def test_a_suspect_of_a_lost_machine_stays_one() -> None:
    """The loss of a machine says nothing about the image that ran there alone."""
    work = Work(["a", "b"])
    work.hand_out(1, actors=1, at_once=2)
    assert work.lost(1, blame=True) is None
    assert work.hand_out(2, actors=1, at_once=2) == ("a",)
    assert work.lost(2, blame=False) is None
    assert work.hand_out(3, actors=1, at_once=2) == ("a",)
    assert work.lost(3, blame=True) == "a"


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 9), max_size=60), st.integers(1, 40), st.integers(1, 5), st.integers(1, 8))
def test_every_image_is_captioned_once(events: list[int], images: int, actors: int, at_once: int) -> None:
    """Whatever order actors finish and die in, each image is captioned exactly once, and the work ends."""
    work = Work(IDS[:images])
    done: list[str] = []
    for event in events:
        actor = event % actors
        if event < 8:
            work.hand_out(actor, actors=actors, at_once=at_once)
            done += [name for name in work.held(actor)[:1] if work.done(actor, name)]
        else:
            work.lost(actor, blame=False)
    while not work.finished:
        for actor in range(actors):
            work.hand_out(actor, actors=actors, at_once=at_once)
            done += [name for name in work.held(actor) if work.done(actor, name)]
    assert sorted(done) == IDS[:images]
