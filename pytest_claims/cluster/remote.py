"""A captioning run on a Ray cluster, as the driver sees it: the process that has the claims, the evidence and the data set."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_claims import machine
from pytest_claims.cluster import actor as actors_
from pytest_claims.cluster import connection
from pytest_claims.cluster.pool import Lost, Member, Pool
from pytest_claims.cluster.work import Work
from pytest_claims.errors import ClaimsError, EvaluationError
from pytest_claims.protocol import facts_of
from pytest_claims.sources import pictures
from pytest_claims.store import recipe as recipes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pytest_claims.bench import Bench
    from pytest_claims.cluster.actor import Answer, Ready, Site
    from pytest_claims.evaluation.reference import Changes
    from pytest_claims.evidence import Output
    from pytest_claims.protocol import CaptioningPlan
    from pytest_claims.sources.data import Split
    from pytest_claims.store import Recipe


class Remote:
    """A run on the actors of a pool. See `Prepared`.

    Args:
        allowed: how many actors a pool may have now.
        pool: the actors of the plan's checkpoint.
        plan: the plan.
        bench: has the data set, and tells the user.
    """

    def __init__(self, allowed: Callable[[Pool], int], pool: Pool, plan: CaptioningPlan, bench: Bench) -> None:
        import ray

        self.split: Split = bench.split(plan)
        self._allowed, self._pool, self._plan, self._bench = allowed, pool, plan, bench
        ids = self.split.draw(plan.sample, plan.seed)
        self._shipped = ray.put(shipped(plan, self.split))
        self._images = len(ids)
        self._lost = self._redone = 0
        self._by: Counter[tuple[str, int]] = Counter()
        """How many captions each actor made, by its machine and its process."""
        self._first = self._load(len(ids))
        self.recipe: Recipe = replace(self._first.recipe, references=self.split.references_of(ids))
        self.changes: Changes = self._first.changes

    # --- loading ---

    def _load(self, images: int) -> Ready:
        """What the first actor observed that is ready. The others go on loading."""
        if not self._pool.members and not connection.free(self._pool.shape):
            self._bench.say(
                f"Waiting for {connection.called()}, which is in use: the run starts when there is room for an actor with "
                f"{self._pool.shape}."
            )
        with self._bench.progress(0, f"{self._plan.checkpoint}: loading on the actors"):
            self._grow(images)
            for member in list(self._pool.members.values()):
                if member.call is None:
                    self._ask(member)
            while True:
                for member, answer in self._pool.answers():
                    if self._loaded(member, answer) and member.ready is not None:
                        return member.ready
                self._grow(images)

    def _grow(self, images: int) -> None:
        self._pool.grow(max(1, min(self._allowed(self._pool), images)))

    def _ask(self, member: Member) -> None:
        member.run = self
        self._pool.prepare(member, self._plan, self._shipped, len(self._pool.members))

    def _loaded(self, member: Member, answer: object) -> bool:
        """Take note of an answer of an actor that is not captioning yet; whether it is ready now.

        Raises:
            NotAttempted: what the run needs is missing where the actor runs.
            EvaluationError: the actor runs other code than the driver, or observed something else than the first.
        """
        if isinstance(answer, Lost):
            self._lost += 1
            return False
        if isinstance(answer, actors_.Site):
            check(answer)
        if member.run is not self:
            self._ask(member)  # it has only started, or has loaded for the plan before
            return False
        if isinstance(answer, actors_.Failed):
            raise answer.error()
        if not isinstance(answer, actors_.Ready):
            return False
        if hasattr(self, "_first"):
            self._same(member, answer)
        member.ready = answer
        return True

    def _same(self, member: Member, ready: Ready) -> None:
        if ready.recipe != self._first.recipe:
            ours, theirs = ({"observed": facts_of(r.recipe.observed), **r.recipe.details} for r in (self._first, ready))
            told = "; ".join(
                f"{key}: {one!r} there, {other!r} on another"
                for key, (other, one) in recipes.differences(ours, theirs).items()
            )
            raise EvaluationError(f"The actors do not run the same: {member.name} observed {told or 'another recipe'}.")

    # --- captioning ---

    @property
    def batch_size(self) -> int:
        """See `Prepared.batch_size`."""
        return self._first.batch_size * max(1, len(self._pool.members))

    def facts(self) -> dict[str, str | int | float | None]:
        """See `Prepared.facts`. Those of the machine are the first actor's."""
        import ray

        machines = len({node for node, _ in self._by}) or 1
        count = len(self._by) or len(self._pool.members)
        sent = sum(1 for member in self._pool.members.values() if member.ready and not member.ready.reads)
        return {
            **self._first.facts,
            "executor": f"ray {ray.__version__}",
            "actors": f"{count} on {machines} machine{'' if machines == 1 else 's'}, each with {self._pool.shape}",
            "images_read": f"by the driver, for {sent} actors" if sent else "by the actors",
            **({"actors_lost": self._lost, "images_redone": self._redone} if self._lost else {}),
        }

    def caption(self, ids: Sequence[str]) -> Iterator[tuple[Output, str]]:
        """See `Prepared.caption`."""
        work = Work(self.split.in_order(ids))
        try:
            while not work.finished:
                self._hand_out(work)
                for member, answer in self._pool.answers():
                    yield from self._heard(work, member, answer)
                self._grow(len(ids))
        finally:
            self._redone += work.redone
            if not work.finished:
                # The caller, or an error, ended the run: what these actors still do is of no use.
                self._pool.stop([m for m in self._pool.members.values() if work.held(m.number)])

    def _hand_out(self, work: Work) -> None:
        # One that has the checkpoint from the run before is ready in a moment. One that loads it may take minutes.
        sharing = sum(member.loaded for member in self._pool.members.values())
        for member in self._pool.members.values():
            if member.call is not None:
                continue
            if member.run is not self:
                self._ask(member)
                continue
            if member.ready is None:
                continue
            given = work.hand_out(member.number, actors=sharing, at_once=member.ready.batch_size)
            if given or work.held(member.number):
                self._pool.exchange(member, [self._sent(member.ready, name) for name in given])

    def _sent(self, ready: Ready, name: str) -> actors_.Sent:
        if ready.reads:
            return actors_.Sent(id=name)
        row = dict(self.split.rows[self.split.index[name]])
        column = self.split.columns.image
        row[column] = pictures.stored(row[column], name, self.split.folders)
        return actors_.Sent(id=name, row=row)

    def _heard(self, work: Work, member: Member, answer: object) -> Iterator[tuple[Output, str]]:
        if isinstance(answer, Lost) and member.ready is not None:
            self._lost += 1
            held = len(work.held(member.number))
            poison = work.lost(member.number, blame=answer.blame)
            if poison is not None:
                raise EvaluationError(
                    f"Image {poison}: two actors died while they captioned it, the second with no other image "
                    f"({member.name}: {answer.why}). Look at the image, or at the memory of the machine; captions that were "
                    "ready are kept, and the next run goes on from them."
                )
            self._bench.say(f"Lost {member.name} ({answer.why}); its {held:,} images go to others.")
        elif isinstance(answer, actors_.Answer):
            yield from self._captions(work, member, answer)
        else:
            self._loaded(member, answer)

    def _captions(self, work: Work, member: Member, answer: Answer) -> Iterator[tuple[Output, str]]:
        assert member.ready is not None  # noqa: S101 - only an actor that is ready is given images
        assert member.site is not None  # noqa: S101 - the same
        member.ready = replace(member.ready, batch_size=answer.batch_size)
        self._by[member.site.node, member.site.process] += len(answer.captions)
        for caption, image_digest in answer.captions:
            if not work.done(member.number, caption.id):
                raise EvaluationError(f"Image {caption.id}: {member.name} was not asked for it.")
            ours = self.split.digest(caption.id)
            if image_digest != ours:
                raise EvaluationError(
                    f"Image {caption.id}: {member.name} read other bytes ({image_digest}) than this machine ({ours}). Give "
                    "both the same files."
                )
            references, extras = self.split.references[caption.id], self.split.extras.get(caption.id, {})
            yield replace(caption, references=references, extras=extras), image_digest
        if answer.failed is not None:
            raise answer.failed.error()


def shipped(plan: CaptioningPlan, split: Split) -> actors_.Shipped:
    """The data set of a plan, for the actors."""
    first = split.draw(plan.sample, plan.seed)[0]
    return actors_.Shipped(
        split=replace(split, rows=None), rows=pickle.dumps(split.rows), first=first, digest=_digest(split, first)
    )


def _digest(split: Split, name: str) -> str:
    try:
        return split.digest(name)
    except ClaimsError:
        return ""  # captioning says what is wrong with it


def check(site: Mapping[str, Any] | Site) -> None:
    """Check that an actor runs the same code as this process.

    Raises:
        EvaluationError: it does not. The message names the package.
    """
    assert isinstance(site, actors_.Site)  # noqa: S101 - an actor of other code may say anything
    ours = actors_.site()
    for package, version in ours.versions.items():
        there = site.versions.get(package)
        if there != version:
            raise EvaluationError(
                f"The machine {site.node} of {connection.called()} has {package} {there}, and this one {version}: the captions "
                "might differ. Install the same versions on both."
            )
    if site.code != ours.code:
        raise EvaluationError(
            f"The machine {site.node} of {connection.called()} has other source files of pytest-claims than this one "
            f"({machine.facts()['pytest-claims']}). Install the same on both."
        )
