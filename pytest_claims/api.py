"""Verify claims from a program: a training loop, a notebook, a script. The rooms behind it are those of a pytest session.

It calls `run.Session`, as a pytest item does, and not pytest: a run of pytest inside another would share its state with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims import candidates as candidates_
from pytest_claims import cluster, extensions, files, settings, spec, text
from pytest_claims.bench import Bench
from pytest_claims.errors import SpecError, nearest
from pytest_claims.progress import silent
from pytest_claims.run import Session

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from pytest_claims.evaluators import Evaluator
    from pytest_claims.metrics import Metric
    from pytest_claims.spec import Claim
    from pytest_claims.verdict import Verdict


def verify(
    file: str | os.PathLike[str],
    *,
    data: Iterable[str | os.PathLike[str]] = (),
    papers: Iterable[str | os.PathLike[str]] = (),
    sample: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    candidates: Mapping[str, str | os.PathLike[str]] | None = None,
    device: str = "auto",
    executor: str = "local",
    actor_cpus: int | None = None,
    streaming: bool = False,
    evidence: str | os.PathLike[str] | None = None,
    metrics: Iterable[Metric] = (),
    evaluators: Iterable[Evaluator] = (),
) -> tuple[Verdict, ...]:
    """The verdicts on the claims of a file: those that `pytest FILE` gives, with the same options.

    A claim that does not hold, or that cannot be attempted here, is a verdict and no exception: read `status`, `outcome`,
    `reason` and `next_step`. As in pytest, a `partial` whose `outcome` is `fail` is not good:
    `pytest_claims.verdict.settle(verdict, gate=…, require_attempt=…)` tells what a gate makes of a verdict. Nothing is printed.

    Args:
        file: a claim file, or `FILE::CLAIM` for one of its claims.
        data: folders with data that do not lie beside the file, as `--claims-data`.
        papers: folders with sources of papers, which citations are checked against, as `--claims-papers`.
        sample: how many images to evaluate, as `--claims-sample`; None: as the claim says.
        overrides: protocol keys for this run, such as `{"decoding.num_beams": 1}`, as `--claims-set`.
        candidates: claim or checkpoint id → folder or hub id of a release candidate, as `--claims-model`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        executor: `local` or `ray`, as `--claims-executor`.
        actor_cpus: the CPUs of each actor, as `--claims-actor-cpus`.
        streaming: read data sets of Parquet files where they lie, as `--claims-streaming`.
        evidence: the folder where evidence is kept and found again; None: it is kept in memory.
        metrics: metrics of your own, which pytest takes from the hook `pytest_claims_metrics`.
        evaluators: evaluators of your own, which pytest takes from the hook `pytest_claims_evaluators`.

    Returns:
        One verdict for each claim, in the order of the file.

    Raises:
        SpecError: the file cannot be read, is not valid, or has no such claim. One line per problem.
        SettingsError: an argument is not valid, or no claim runs a candidate.

    Examples:
        >>> from pytest_claims import verify
        >>> for verdict in verify("claims/blip2/parameters.yaml::blip2-opt-2.7b-trainable"):
        ...     print(verdict.claim.id, verdict.status, verdict.measured)
        blip2-opt-2.7b-trainable pass 107.130880000
    """
    named = {
        "claims_data": [str(Path(folder)) for folder in data],
        "claims_papers": [str(Path(folder)) for folder in papers],
        "claims_sample": sample,
        "claims_set": [f"{key}={value}" for key, value in (overrides or {}).items()],
        "claims_model": [f"{name}={path}" for name, path in (candidates or {}).items()],
        "claims_device": device,
        "claims_executor": executor,
        "claims_actor_cpus": None if actor_cpus is None else str(actor_cpus),
        "claims_streaming": streaming,
        "claims_evidence": None if evidence is None else str(Path(evidence)),
    }
    return _verdicts(*prepare(file, named, metrics, evaluators))


def _verdicts(claims: tuple[Claim, ...], session: Session) -> tuple[Verdict, ...]:
    try:
        session.expect(claims)
        found = {claim.id: session.verify(claim) for claim in _side_by_side(claims)}
    finally:
        session.bench.close()
    return tuple(found[claim.id] for claim in claims)


def prepare(
    file: str | os.PathLike[str],
    options: Mapping[str, Any],
    metrics: Iterable[Metric] = (),
    evaluators: Iterable[Evaluator] = (),
) -> tuple[tuple[Claim, ...], Session]:
    """The claims of a file, or the one of `FILE::CLAIM`, and what verifies them.

    Args:
        file: see `verify`.
        options: the values of pytest's options by their destination, such as `claims_data`; see `settings.of`.
        metrics: see `verify`.
        evaluators: see `verify`.

    Raises:
        SpecError: see `verify`.
        SettingsError: see `verify`.
    """
    chosen = settings.of(Path.cwd(), **options)
    known = extensions.gather(metrics, evaluators)
    claims = read(file, known.metric_infos, chosen.data, runs=known.runs)
    candidates_.check_paths(chosen, Path.cwd())
    candidates_.check_names(chosen, claims)
    bench = Bench(
        silent,
        evidence=lambda: chosen.evidence,
        executor=cluster.executor(chosen),
        evaluators=known.evaluators,
        streaming=chosen.streaming,
    )
    return claims, Session(chosen, bench, known.metrics, supplied=known.supplied)


def read(
    file: str | os.PathLike[str],
    metrics: Mapping[str, spec.MetricInfo] = spec.METRICS,
    data: tuple[Path, ...] = (),
    *,
    runs: Mapping[str, type[spec.Run]] = spec.RUNS,
) -> tuple[Claim, ...]:
    """The claims of a file, or the one of `FILE::CLAIM`.

    Args:
        file: see `verify`.
        metrics: the metrics that a claim may name.
        data: the folders of `--claims-data`.
        runs: the evaluators that a claim may name, with the model of their section run.

    Raises:
        SpecError: see `verify`.
    """
    given = str(file)
    name = ""
    if "::" in given and not Path(given).is_file():
        given, _, name = given.rpartition("::")
    path = Path(given).absolute()
    display = text.name(files.shown(path))

    def own(identifier: str, revision: str | None) -> Mapping[str, str]:
        # Imported here: only a file that leaves axes open needs it.
        from pytest_claims.sources import own

        return own.offline(identifier, revision, (path.parent, *data))

    claims = spec.load(path, display=display, metrics=metrics, runs=runs, own=own)
    if not name:
        return claims
    chosen = tuple(claim for claim in claims if claim.id == name)
    if not chosen:
        known = [claim.id for claim in claims]
        hint = nearest(name, known) or f"; its claims: {', '.join(known[:8])}"
        raise SpecError([f"{display}:1: no claim has the id {name!r}{hint}"])
    return chosen


def _side_by_side(claims: tuple[Claim, ...]) -> list[Claim]:
    """The claims, those of one checkpoint one after the other, so that each checkpoint is loaded once."""
    groups: dict[str, list[Claim]] = {}
    for claim in claims:
        groups.setdefault(str(claim.overrides.get("checkpoint") or claim.protocol.checkpoint), []).append(claim)
    return [claim for group in groups.values() for claim in group]
