"""Finds out what a run will need before it starts. Reads no weights, and downloads nothing but small files."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pytest_claims import devices, files
from pytest_claims.errors import ClaimsError, NotAttempted
from pytest_claims.evaluation import retrieval_work
from pytest_claims.evaluation.executor import Room
from pytest_claims.protocol import CheckpointPlan, RetrievalPlan
from pytest_claims.sources import answers, checkpoint, data, hub, own, repository, shards, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import torch

    from pytest_claims.bench import Bench
    from pytest_claims.evaluation.executor import Executor
    from pytest_claims.protocol import (
        CaptioningPlan,
        DerivedPlan,
        HookedPlan,
        ParametersPlan,
        Plan,
        PredictionsPlan,
    )
    from pytest_claims.spec.models import Columns, Dataset

T = TypeVar("T")

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
"""Bytes per parameter."""

PREFIX = 300
"""Tokens of an image that are processed once, in the vision encoder and the prompt: BLIP-2 has 257 patches and 36 tokens."""

SPARE = 200 * 2**20
"""Bytes that should stay free on the disk after all downloads."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """The result of a preflight: what the run needs, and the problems that would stop it."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    """Name and text of each line for the reader, such as `("device", "cpu (2 threads), float32")`."""
    problems: list[ClaimsError] = field(default_factory=list)
    """The errors that the run would end with."""
    download: list[int] = field(default_factory=list)
    """Bytes to download: one entry for the checkpoint and one for the data set; none for one that was not found."""

    @property
    def worst(self) -> ClaimsError | None:
        """The problem that decides the status: the first that is not `NotAttempted`, else the first; None without problems."""
        errors = (problem for problem in self.problems if not isinstance(problem, NotAttempted))
        return next(errors, self.problems[0] if self.problems else None)

    def told(self, title: str) -> Iterator[str]:
        """Four short lines for who watches the run: the title with the device, the checkpoint, the data set, and the rest."""
        known = dict(self.lines)
        yield f"{title}: {known.pop('device', '')}".rstrip(": ")
        for name in ("checkpoint", "data set"):
            if name in known:
                yield f"  {name}: {known.pop(name)}"
        if known:
            yield "  " + "; ".join(f"{name}: {text}" for name, text in known.items())


def check(plan: Plan, bench: Bench, *, collect: bool, names: bool = False) -> Preflight:
    """Check everything that a run of `plan` needs.

    Args:
        plan: the plan to be run.
        bench: what the claims of the session share; it keeps the data set that is read here.
        collect: collect all problems, for a dry run; otherwise the first problem is raised.
        names: look only at the paths and ids of the plan, without network, model and data.

    Raises:
        NotAttempted: something that the run needs is missing on this machine.
        EvaluationError: something is not as the claim says.
    """
    found = Preflight()

    def attempt(step: Callable[[], T]) -> T | None:
        try:
            return step()
        except ClaimsError as error:
            if not collect:
                raise
            found.problems.append(error)
            return None

    (_NAMES if names else _CHECKS)[plan.evaluator](plan, bench, found, attempt)
    if collect and not names and isinstance(plan, CheckpointPlan):
        _unstated(plan, found)
    return found


class _Attempt(Protocol):
    """Runs a step and returns its result. If problems are collected, it notes the step's problem and returns None."""

    def __call__(self, step: Callable[[], T]) -> T | None: ...


def _captioning(plan: CaptioningPlan, bench: Bench, found: Preflight, attempt: _Attempt) -> None:
    executor = bench.executor
    device = attempt(lambda: _device(plan, bench, found)) if executor is None else None
    room = _here(device) if executor is None else attempt(lambda: _cluster(plan, executor, found))
    source = attempt(lambda: _checkpoint(plan, found))
    there = attempt(lambda: _dataset(plan, bench, found))
    if executor is not None and room is not None:
        attempt(lambda: _access(plan, bench, executor, found, there=bool(there)))
    if source is not None:
        attempt(lambda: _memory(plan, source, device, room, found))
    attempt(lambda: _disk(found))
    listed = attempt(lambda: _answers(plan, found))
    if source is not None and room is not None:
        _time(plan, source, room, found, answers=listed or 0)


def _retrieval(plan: RetrievalPlan, bench: Bench, found: Preflight, attempt: _Attempt) -> None:
    device = attempt(lambda: _device(plan, bench, found))
    if bench.executor is not None:
        found.lines.append(("executor", "this process: rankings are not spread over actors"))
    room = _here(device)
    source = attempt(lambda: _checkpoint(plan, found))
    attempt(lambda: _dataset(plan, bench, found))
    work = retrieval_work.of_plan(plan, source.config if source is not None else {})
    found.lines.append(("ranking", work.told))
    if source is not None:
        attempt(lambda: _memory(plan, source, device, room, found, held=work.held))
    attempt(lambda: _disk(found))
    if source is not None and room is not None and (parameters := source.parameters()):
        _told_time(work.multiply_adds(parameters), room, found)


def _predictions(plan: PredictionsPlan, _bench: Bench, found: Preflight, attempt: _Attempt) -> None:
    for what, path in (("predictions", plan.run.predictions.path), ("references", plan.run.references.path)):
        found_at = attempt(partial(files.need, path, plan.folders, f"The file of {what}"))
        if found_at is not None:
            found.lines.append((what, f"{path}, {size(found_at.stat().st_size)}"))


def _parameters(plan: ParametersPlan, _bench: Bench, found: Preflight, attempt: _Attempt) -> None:
    config = plan.run.config.path
    if attempt(partial(files.need, config, plan.folders, "The configuration")) is not None:
        found.lines.append(("configuration", config))


def _hooked(plan: HookedPlan, _bench: Bench, found: Preflight, attempt: _Attempt) -> None:
    for path in plan.run.paths:
        found_at = attempt(partial(plan.path, path))
        if found_at is not None:
            found.lines.append(("file", f"{path}, {size(found_at.stat().st_size)}"))


def _derived(plan: DerivedPlan, _bench: Bench, found: Preflight, _attempt: _Attempt) -> None:
    """The numbers that are used. A claim among them that cannot be attempted is no problem: its printed number is there."""
    found.lines.append(("expression", plan.run.expression))
    for name, operand in plan.run.operands.items():
        claim = plan.claim.operands.get(name)
        if claim is not None:
            found.lines.append((f"operand {name}", f"the claim {claim.id}, evaluated too: see its own plan"))
        elif operand.value and operand.citation:
            place = f"{operand.citation.section}, {operand.citation.row}, {operand.citation.column}"
            found.lines.append((f"operand {name}", f"{operand.value.text} {operand.unit} ({place})"))


_CHECKS: Mapping[str, Callable[[Any, Bench, Preflight, _Attempt], None]] = {
    "captioning": _captioning,
    "answering": _captioning,
    "predictions": _predictions,
    "parameters": _parameters,
    "retrieval": _retrieval,
    "derived": _derived,
    "hooked": _hooked,
}


def _checkpoint_names(plan: CheckpointPlan, _bench: Bench, _found: Preflight, attempt: _Attempt) -> None:
    stated = plan.protocol
    if plan.candidate is None:
        attempt(lambda: hub.locate(stated.checkpoint.id, plan.folders, "model"))
    attempt(lambda: hub.locate(stated.dataset.id, plan.folders, "dataset"))
    listed = stated.decoding.answers if stated.decoding else None
    if listed is not None:
        attempt(lambda: answers.read(listed, plan.folders))


_NAMES: Mapping[str, Callable[[Any, Bench, Preflight, _Attempt], None]] = {
    **_CHECKS,
    "captioning": _checkpoint_names,
    "answering": _checkpoint_names,
    "retrieval": _checkpoint_names,
}


def _device(plan: CheckpointPlan, bench: Bench, found: Preflight) -> torch.device:
    device, precision = bench.device(plan), plan.protocol.precision
    known = devices.of(device)
    name = known.described
    found.lines.append(("device", f"{device} ({name}), {precision}"))
    if not known.computes_in(precision):
        raise NotAttempted(
            f"The claim runs in {precision} and {name} does not compute in it.",
            "Use another device, or --claims-set=precision=float16, which makes the run a proxy.",
        )
    return device


def _here(device: torch.device | None) -> Room | None:
    """The one device of a run in this process; None if there is none."""
    if device is None:
        return None
    import torch

    return Room(kind=device.type, actors=1, threads=torch.get_num_threads(), told=str(device))


def _cluster(plan: CaptioningPlan, executor: Executor, found: Preflight) -> Room:
    room = executor.preflight(plan)
    found.lines.append(("device", f"{room.told}, {plan.protocol.precision}"))
    return room


def _access(plan: CaptioningPlan, bench: Bench, executor: Executor, found: Preflight, *, there: bool) -> None:
    """Say who reads the images: an actor, or the driver for it."""
    told = executor.access(plan, bench) if there else "shows when they are there"
    found.lines.append(("images", told))


def _checkpoint(plan: CheckpointPlan, found: Preflight) -> checkpoint.Source:
    source = checkpoint.find(plan)
    parameters = source.parameters()
    count = f", {parameters:,} parameters" if parameters else ""
    where = f" at {source.repo.commit[:12]}" if source.repo else " (a folder)"
    found.lines.append(("checkpoint", f"{source.id}{where}: {source.architecture}{count}"))
    found.download.append(sum(file.size for file in source.missing()))
    return source


def _unstated(plan: CheckpointPlan, found: Preflight) -> None:
    """Name every axis that the paper leaves open, all of them at once, with what the checkpoint's own files say."""
    stated = plan.protocol.checkpoint
    said = own.offline(stated.id, stated.revision, plan.folders) if plan.candidate is None else {}
    for axis, keys in own.unstated(plan.claim.protocol, plan.follows).items():
        beside = f"; the checkpoint's {said[axis]}" if axis in said else ""
        found.lines.append((f"the paper's {axis}", f"not stated{f' ({keys})' if keys else ''}{beside}"))


def _dataset(plan: CheckpointPlan, bench: Bench, found: Preflight) -> bool:
    """Say what is in the data set; whether it is on this machine."""
    stated = plan.protocol.dataset
    if files.find(stated.id, plan.folders) is None and not files.is_local(stated.id):
        repo = hub.find(stated.id, stated.revision, "dataset")
        wanted = tables.files_of(stated, repo, streaming=bench.streaming)
        if missing := sum(file.size for file in repo.missing(wanted)):
            leave = bench.streaming and not isinstance(plan, RetrievalPlan) and shards.leave(repo, wanted)
            found.download.append(shards.at_once(repo, wanted) if leave else missing)
            how = f"; its {size(missing)} {shards.TOLD}" if leave else ""
            found.lines.append(("data set", _remote(stated, plan.run.columns, repo, wanted) + how))
            return False
    found.download.append(0)
    split = bench.split(plan)
    facts = split.facts
    rows = _count(facts["images"], stated, "images")
    references = (
        facts["references"]
        if stated.references in (None, facts["references"])
        else (f"{facts['references']} (the claim says {stated.references})")
    )
    found.lines.append(("data set", f"{stated.id}: {rows}, {references} references each, {facts['fingerprint']}"))
    # Who looks for images needs all of them, whichever texts are asked.
    by_text = isinstance(plan, RetrievalPlan) and not plan.by_image
    absent = split.absent(split.ids if by_text else split.draw(plan.sample, plan.seed))
    if absent:
        raise NotAttempted(
            f"{len(absent):,} images of {stated.id} are not below the folders that the claim may read, the first "
            f"{absent[0]}.",
            "Name the folder that holds them with --claims-data=DIR.",
        )
    return True


def _remote(stated: Dataset, columns: Columns, repo: hub.Repo, wanted: tuple[hub.File, ...]) -> str:
    """The line about a data set that is not downloaded yet: its rows and columns, from the footers of the parquet files."""
    of_split = [
        file
        for file in wanted
        if file.name.endswith(".parquet") and any(stated.split in part for part in Path(file.name).parts)
    ]
    footers = [repository.footer(repo, file) for file in of_split[:32]]
    read = [footer for footer in footers if footer is not None]
    text = f"{stated.id} at {repo.commit[:12]}"
    if not read or len(read) < len(of_split):
        return f"{text}: what is in it shows when it is there"
    data.check_columns(stated, columns, read[0][1])
    rows = sum(count for count, _ in read)
    if stated.where:
        return f"{text}: {rows:,} rows before filtering"
    return f"{text}: {_count(rows, stated, 'rows')}"


def _count(rows: int, stated: Dataset, what: str) -> str:
    differs = f", and the paper's split has {stated.images:,}: the verdict would be withheld"
    return f"{rows:,} {what}" + (differs if rows != stated.images else "")


def _memory(
    plan: CheckpointPlan,
    source: checkpoint.Source,
    device: torch.device | None,
    room: Room | None,
    found: Preflight,
    *,
    held: int = 0,
) -> None:
    parameters, precision = source.parameters(), plan.protocol.precision
    if parameters is None:
        found.lines.append(("memory", "unknown until the weights are there"))
        return
    need = parameters * BYTES[precision]
    free = None if device is None else devices.of(device).free_memory()
    has = f"; {device} has {size(free)} free" if free is not None else ""
    if room is not None and room.actors > 1:
        has = f", on each of {room.actors} actors"
    beside = f" and {size(held)} for features and shortlists" if held else ""
    found.lines.append(("memory", f"{size(need)} for the weights{beside}{has}"))
    if free is not None and need + held > free:
        raise NotAttempted(
            f"The weights of {source.id} take {size(need)} in {precision}"
            f"{f', features and shortlists {size(held)}' if held else ''}, and {device} has {size(free)} free.",
            "Free some of it, or name another device with --claims-device.",
        )


def _disk(found: Preflight) -> None:
    need = sum(found.download)
    if not need:
        found.lines.extend([("download", "nothing")] if len(found.download) == len(("checkpoint", "data set")) else [])
        return
    free = hub.room()
    found.lines.append(("download", f"{size(need)}; the disk of the hub's cache has {size(free)} free"))
    if need + SPARE > free:
        raise NotAttempted(
            f"{size(need)} are to be downloaded and the disk of the hub's cache has {size(free)} free.",
            "Free some of it, or put the cache elsewhere with HF_HOME.",
        )


def _answers(plan: CaptioningPlan, found: Preflight) -> int:
    """Read the closed list of a plan; how many answers are scored for each question, 0 if there is no list."""
    stated = plan.protocol.decoding
    if stated.answers is None:
        return 0
    listed = answers.read(stated.answers, plan.folders)
    found.lines.append(("answers", listed.told(stated.candidates)))
    return listed.scored(stated.candidates)


def _time(plan: CaptioningPlan, source: checkpoint.Source, room: Room, found: Preflight, *, answers: int) -> None:
    parameters, decoding = source.parameters(), plan.protocol.decoding
    if parameters is None:
        return
    fed = 2 * answers if answers else (decoding.num_beams or 1) * (decoding.max_new_tokens or 20) / 2
    tokens = PREFIX + fed  # most answers of VQA's list are one word, of one or two tokens
    images = plan.sample or plan.protocol.dataset.images
    _told_time(images * tokens * parameters, room, found)


def _told_time(multiply_adds: float, room: Room, found: Preflight) -> None:
    rate = devices.KINDS[room.kind].rate(room.threads) * room.actors
    found.lines.append(("time", f"{duration(multiply_adds / rate)} by the size of the model alone"))


def size(count: float) -> str:
    """A number of bytes in a readable unit, in powers of a thousand: `7.5 GB`."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def duration(seconds: float) -> str:
    """An estimated duration in words, rounded strongly, since the estimate may be wrong by a factor of a few."""
    for limit, unit, length in ((90, "seconds", 1), (5400, "minutes", 60), (172_800, "hours", 3600)):
        if seconds < limit:
            return f"some {max(1, round(seconds / length))} {unit}" if seconds >= 1 else "seconds"
    return f"some {round(seconds / 86_400)} days"
