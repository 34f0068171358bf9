"""Verifies a claim: calls all packages in order. Read this module first."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_claims import citation, operands, protocol, registry, release, soundness, verdict
from pytest_claims.errors import ClaimsError, EvaluationError, NotAttempted, SettingsError, nearest
from pytest_claims.evidence import FEW, Basis, column
from pytest_claims.reports.format import Gallery
from pytest_claims.spec import Protocol
from pytest_claims.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pytest_claims.baseline import Comparison
    from pytest_claims.bench import Bench
    from pytest_claims.citation import CitationCheck
    from pytest_claims.evidence import Evidence, Supplied
    from pytest_claims.metrics import Corpus, Metric, Pair, Score
    from pytest_claims.protocol import Plan, Reading
    from pytest_claims.settings import Settings
    from pytest_claims.spec import Claim

NO_PROTOCOL = Protocol()


class Session:
    """Verifies the claims of one pytest session.

    Args:
        settings: the options of the session.
        bench: runs evaluations.
        metrics: additional metrics by name, from the hook `pytest_claims_metrics`.
        baseline: the comparison with the merge base; the error if it failed; None without `--claims-base`.
        through: exceptions that end the session and do not become a verdict.
        supplied: where `metrics` and the evaluators of plugins come from, for the records.
    """

    def __init__(
        self,
        settings: Settings,
        bench: Bench,
        metrics: Mapping[str, Metric],
        baseline: Comparison | SettingsError | None = None,
        *,
        through: tuple[type[BaseException], ...] = (),
        supplied: tuple[Supplied, ...] = (),
    ) -> None:
        self.settings = settings
        self.bench = bench
        self.baseline = baseline
        self.through = through
        self.supplied = supplied
        self.papers = citation.Library(settings.papers)
        self._extra = metrics
        self._expects = False
        self._shown: set[str] = set()
        """The evidence whose thumbnails were made."""
        self._corpora: dict[str, Corpus] = {}
        """By the digest of their evidence."""
        self.references: dict[str, release.Reference | release.NotCompared] = {}
        """What was found of the reference of a candidate, by the key of the candidate's plan."""
        self._pairs: dict[tuple[int, int], Pair] = {}
        self.behind: dict[tuple[Path, str, str], Verdict] = {}
        """The verdicts on claims that derived claims name, by file, id and digest."""

    def expect(self, claims: Iterable[Claim]) -> None:
        """Learn which claims will be verified: an executor may run those of several checkpoints at the same time."""
        executor, chosen = self.bench.executor, self.settings
        if executor is None or self._expects or chosen.dry_run or chosen.replay or chosen.candidates:
            return
        self._expects = True
        plans = []
        for claim in claims:
            with suppress(ClaimsError):  # `verify` says what is wrong with it
                plans.append(protocol.plan(claim, chosen))
        with suppress(ClaimsError):  # the same
            executor.expect([plan for plan in plans if isinstance(plan, protocol.CaptioningPlan)], self.bench)

    def verify(self, claim: Claim) -> Verdict:
        """The verdict on `claim`. Any exception becomes a verdict too, except those in `through` and the user's Ctrl-C."""
        if isinstance(self.baseline, SettingsError):
            return replace(verdict.undecided(claim, Status.ERROR, str(self.baseline)), supplied=self.supplied)
        found = self.behind.get((claim.file, claim.id, claim.digest)) or self.judged(claim)
        found = replace(found, supplied=self.supplied)
        if self.baseline is None:
            return found
        standing = self.baseline.of(claim)
        return replace(found, moved=standing.changes, baseline=standing.kind, origin=standing.origin)

    def judged(self, claim: Claim) -> Verdict:
        """The verdict on `claim`, not compared with the merge base."""
        candidate = cited = None
        readings: tuple[Reading, ...] = ()
        try:
            cited = citation.check(claim, self.papers)
            plan = protocol.plan(claim, self.settings)
            candidate, readings = plan.candidate, plan.expected
            gap = registry.missing(self.metric(plan))
            if self.settings.dry_run:
                return self._planned(plan, cited, gap)
            if gap is not None:
                raise gap  # before hours are spent on outputs that could not be scored
            if isinstance(plan, protocol.DerivedPlan):
                plan, candidate = operands.measured(self, plan)
            evidence = self.bench.evaluate(plan)
            evidence, score, readings = self.weighed(plan, evidence)
            found = verdict.judge(
                claim,
                score,
                evidence,
                readings,
                candidate=candidate,
                accept_replay=self.settings.accept_replay,
                citation=cited,
            )
            if isinstance(plan, protocol.CheckpointPlan) and candidate is not None:
                return release.beside(self, plan, found)
            return found
        except NotAttempted as gap:
            return verdict.undecided(
                claim, Status.NOT_ATTEMPTED, gap.reason, next_step=gap.next_step, candidate=candidate, citation=cited
            )
        except ClaimsError as error:
            return verdict.undecided(claim, Status.ERROR, str(error), candidate=candidate, citation=cited)
        except self.through:
            raise
        except Exception as error:  # noqa: BLE001 - a failed evaluation is a verdict: it must not stop the other claims
            return verdict.undecided(claim, Status.ERROR, _unexpected(error), candidate=candidate, citation=cited)

    def weighed(self, plan: Plan, evidence: Evidence) -> tuple[Evidence, Score, tuple[Reading, ...]]:
        """What a verdict is made of: the evidence with the notes of its check, its score, and how it followed the protocol.

        Raises:
            EvaluationError: the output is degenerate; see also `score`.
            MetricError: see `score`.
        """
        claim = plan.claim
        notes = soundness.check(evidence)
        score = self.score(plan, evidence)
        soundness.check_score(score)
        # A sentence follows from its operands: the protocol of the file is theirs.
        derived = evidence.derivation is not None
        readings = protocol.read_axes(
            NO_PROTOCOL if derived else claim.protocol,
            evidence.observed if derived else replace(evidence.observed, metric={"family": score.family}),
            min_sample=claim.tolerance.min_sample,
        )
        if isinstance(plan, protocol.HookedPlan):
            readings = protocol.held_to(readings, reproduced=evidence.basis is Basis.REPRODUCED)
        return replace(evidence, notes=(*evidence.notes, *notes)), score, readings

    def _planned(self, plan: Plan, cited: CitationCheck, gap: NotAttempted | None) -> Verdict:
        """The verdict of a dry run: the plan, and the problems that would stop the run; `gap` is what the metric lacks here."""
        found = self.bench.preflight(plan, collect=True)
        if gap is not None:
            found.problems.append(gap)
        worst = found.worst
        reason, step = "Dry run: the claim was planned, not run.", ""
        if isinstance(worst, NotAttempted):
            reason, step = f"Dry run: the claim could not be attempted here. {worst.reason}", worst.next_step
        elif worst is not None:
            reason = f"Dry run: the claim would not run. {worst}"
        missing = worst is None or isinstance(worst, NotAttempted)
        return verdict.undecided(
            plan.claim,
            Status.NOT_ATTEMPTED if missing else Status.ERROR,
            reason,
            next_step=step,
            readings=plan.expected,
            candidate=plan.candidate,
            citation=cited,
            needs=(
                ("citation", f"{cited.result}: {cited.sentence}"),
                *found.lines,
                *(("also", str(problem)) for problem in found.problems if problem is not worst),
                *release.planned(self, plan),
            ),
        )

    def gallery(self, claim: Claim, verdict: Verdict) -> Gallery | None:
        """What was generated behind a verdict, image by image; None where nothing was.

        Thumbnails come with the first claim of each evidence only: the others show the same images.
        """
        evidence, score = verdict.evidence, verdict.score
        if evidence is None or score is None or not evidence.outputs:
            return None
        ids = [output.id for output in evidence.outputs]
        thumbnails: list[str] = []
        if self.settings.thumbnails and evidence.digest not in self._shown:
            self._shown.add(evidence.digest)
            thumbnails = self.bench.thumbnails(protocol.plan(claim, self.settings), ids)
        return Gallery(
            evidence=evidence.digest,
            ids=ids,
            noun=evidence.noun,
            outputs=[output.text for output in evidence.outputs],
            references=[list(output.references) for output in evidence.outputs],
            ranked=[list(output.ranked[:FEW]) for output in evidence.outputs] if "ranked" in evidence.gives else [],
            extras=[dict(output.extras) for output in evidence.outputs]
            if any(o.extras for o in evidence.outputs)
            else [],
            scores=list(score.per_image),
            thumbnails=thumbnails,
        )

    def metric(self, plan: Plan) -> Metric | None:
        """The metric of a plan's claim; None if the claim's number is counted, not scored.

        Raises:
            EvaluationError: there is no such metric, it belongs to another family than the run asks for, or it needs what the
                run does not give.
        """
        from pytest_claims.metrics import BUILTIN

        name, family = plan.claim.reported.metric, plan.metric_family
        if family is None:
            return None
        known = {**BUILTIN, **self._extra}
        metric = known.get(name)
        if metric is None:
            raise EvaluationError(
                f"{plan.claim.where}: the evaluator {plan.claim.run.evaluator} gives no {name}{nearest(name, known)}."
            )
        if family != metric.family:
            raise EvaluationError(f"{name} is computed as {metric.family} here, the run asks for {family!r}.")
        registry.check_needs(metric, plan.gives, plan.claim.run.evaluator, plan.noun)
        return metric

    def score(self, plan: Plan, evidence: Evidence) -> Score:
        """The claim's metric over `evidence`.

        Raises:
            EvaluationError: there is no such metric, it belongs to another family than the protocol names, it needs what the
                evidence lacks, or it gave no score.
            MetricError: the outputs cannot be scored.
        """
        name = plan.claim.reported.metric
        if evidence.derivation is not None:
            return operands.score(plan.claim, evidence.derivation)
        if name in evidence.quantities:
            from pytest_claims.metrics.counted import counted

            return counted(name, evidence.quantities[name], evidence.parts)
        metric = self.metric(plan)
        if metric is None:
            raise EvaluationError(f"{plan.claim.where}: the evaluator {plan.claim.run.evaluator} gives no {name}.")
        registry.check_needs(metric, evidence.gives, plan.claim.run.evaluator, evidence.noun)
        corpus = self._corpus(evidence, plan.claim.id, tokens=metric.family == "coco-caption")
        with self.bench.progress(0, f"{plan.claim.id}: {name} of {len(corpus):,} {evidence.noun}s"):
            found = metric.score(corpus, population=evidence.population)
        registry.check_score(found, metric, images=len(corpus))
        return found

    def pair(self, candidate: Evidence, reference: Evidence) -> Pair:
        """The corpora of two runs over the same images. Claims that share both runs share their resamples."""
        from pytest_claims.metrics import Pair

        ours, theirs = self._corpus(candidate, "candidate"), self._corpus(reference, "reference")
        held = self._pairs.get((id(ours), id(theirs)))
        if held is None:
            held = self._pairs[id(ours), id(theirs)] = Pair(ours, theirs)
        return held

    def _corpus(self, evidence: Evidence, name: str, *, tokens: bool = False) -> Corpus:
        """The outputs of evidence. Claims that share evidence share them.

        Args:
            evidence: has the outputs.
            name: for the progress bar.
            tokens: compute the tokens now, with progress. Otherwise they are computed when a metric asks for them.
        """
        from pytest_claims.metrics import Corpus

        held = self._corpora.get(evidence.digest)
        if held is None:
            held = self._corpora[evidence.digest] = Corpus(
                hypotheses=column(evidence.outputs, "text"),
                references=column(evidence.outputs, "references"),
                ids=column(evidence.outputs, "id"),
                ranked=column(evidence.outputs, "ranked") if "ranked" in evidence.gives else None,
            )
        if tokens and not held.tokenised:
            with self.bench.progress(len(held), f"{name}: tokens", unit=f" {evidence.noun}s") as bar:
                held.tokenise(bar.update)
        return held


def _unexpected(error: Exception) -> str:
    """One line for an unexpected exception, with the file and the line that raised it."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    place = f" (at {frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    said = str(error).strip().partition("\n")[0] or "no message"
    return f"{type(error).__name__}: {said}{place}"
