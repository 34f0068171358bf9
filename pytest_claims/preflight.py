"""What a run will need, found out before anything is spent: no weights are read, and nothing but small files is fetched."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pytest_claims import files, machine
from pytest_claims.errors import ClaimsError, NotAttempted
from pytest_claims.sources import checkpoint, data, hub, repository

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch

    from pytest_claims.bench import Bench
    from pytest_claims.protocol import CaptioningPlan, ParametersPlan, Plan, PredictionsPlan
    from pytest_claims.spec.models import Columns, Dataset

T = TypeVar("T")

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}

# Multiplications and additions a second that beam search reaches on models of this kind, by order of magnitude: a CPU core does
# some 10 thousand million of them, a large GPU some 20 million million, since it mostly waits for memory.
RATES = {"cpu": 1e10, "cuda": 2e13}

PREFIX = 300
"""Tokens of an image's own, through the vision encoder and the prompt: BLIP-2 has 257 patches and 36 tokens."""

SPARE = 200 * 2**20
"""Bytes that a disk should keep when everything has been downloaded."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found: lines for the reader, and what stands in the way."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    problems: list[ClaimsError] = field(default_factory=list)
    download: list[int] = field(default_factory=list)
    """Bytes to fetch: one entry for the checkpoint, one for the data set, as far as either was found."""

    @property
    def worst(self) -> ClaimsError | None:
        """What decides the status: an error before what is merely missing."""
        errors = (problem for problem in self.problems if not isinstance(problem, NotAttempted))
        return next(errors, self.problems[0] if self.problems else None)

    @property
    def summary(self) -> str:
        """All lines in one."""
        return "; ".join(f"{name}: {text}" for name, text in self.lines)


def check(plan: Plan, bench: Bench, *, collect: bool) -> Preflight:
    """Look at everything that a run of `plan` needs.

    Args:
        plan: what is to be run.
        bench: keeps the data set that was read.
        collect: note every problem and go on, as a dry run wants it; otherwise the first one ends it.

    Raises:
        NotAttempted: something is not to be had here.
        EvaluationError: something is not what the claim says.
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

    _CHECKS[plan.evaluator](plan, bench, found, attempt)
    return found


class _Attempt(Protocol):
    """Runs a step; notes its problem and gives None, where all problems are collected."""

    def __call__(self, step: Callable[[], T]) -> T | None: ...


def _captioning(plan: CaptioningPlan, bench: Bench, found: Preflight, attempt: _Attempt) -> None:
    device = attempt(lambda: _device(plan, bench, found))
    source = attempt(lambda: _checkpoint(plan, found))
    attempt(lambda: _dataset(plan, bench, found))
    if source is not None:
        attempt(lambda: _memory(plan, source, device, found))
    attempt(lambda: _disk(found))
    if source is not None and device is not None:
        _time(plan, source, device, found)


def _predictions(plan: PredictionsPlan, _bench: Bench, found: Preflight, attempt: _Attempt) -> None:
    for what, path in (("predictions", plan.run.predictions.path), ("references", plan.run.references.path)):
        found_at = attempt(partial(files.need, path, plan.folders, f"The file of {what}"))
        if found_at is not None:
            found.lines.append((what, f"{path}, {size(found_at.stat().st_size)}"))


def _parameters(plan: ParametersPlan, _bench: Bench, found: Preflight, attempt: _Attempt) -> None:
    config = plan.run.config.path
    if attempt(partial(files.need, config, plan.folders, "The configuration")) is not None:
        found.lines.append(("configuration", config))


_CHECKS: Mapping[str, Callable[[Any, Bench, Preflight, _Attempt], None]] = {
    "captioning": _captioning,
    "predictions": _predictions,
    "parameters": _parameters,
}


def _device(plan: CaptioningPlan, bench: Bench, found: Preflight) -> torch.device:
    import torch

    device, precision = bench.device(plan), plan.protocol.precision
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    found.lines.append(("device", f"{device} ({name}), {precision}"))
    if precision == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise NotAttempted(
            f"The claim runs in bfloat16 and {name} does not compute in it.",
            "Use another device, or --claims-set=precision=float16, which makes the run a proxy.",
        )
    return device


def _checkpoint(plan: CaptioningPlan, found: Preflight) -> checkpoint.Source:
    source = checkpoint.find(plan)
    parameters = source.parameters()
    count = f", {parameters:,} parameters" if parameters else ""
    where = f" at {source.repo.commit[:12]}" if source.repo else " (a folder)"
    found.lines.append(("checkpoint", f"{source.id}{where}: {source.architecture}{count}"))
    found.download.append(sum(file.size for file in source.missing()))
    return source


def _dataset(plan: CaptioningPlan, bench: Bench, found: Preflight) -> None:
    stated = plan.protocol.dataset
    if files.find(stated.id, plan.folders) is None and not files.is_local(stated.id):
        repo = hub.find(stated.id, stated.revision, "dataset")
        wanted = repository.data_files(repo)
        missing = repo.missing(wanted)
        if missing:
            found.download.append(sum(file.size for file in missing))
            found.lines.append(("data set", _remote(stated, plan.run.columns, repo, wanted)))
            return
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
    absent = split.absent(split.draw(plan.sample, plan.seed))
    if absent:
        raise NotAttempted(
            f"{len(absent):,} images of {stated.id} are not below the folders that the claim may read, the first "
            f"{absent[0]}.",
            "Name the folder that holds them with --claims-data=DIR.",
        )


def _remote(stated: Dataset, columns: Columns, repo: hub.Repo, wanted: tuple[hub.File, ...]) -> str:
    """What the footers of the parquet files say about the rows and the columns, before they are downloaded."""
    tables = [
        file
        for file in wanted
        if file.name.endswith(".parquet") and any(stated.split in part for part in Path(file.name).parts)
    ]
    footers = [repository.footer(repo, file) for file in tables[:32]]
    read = [footer for footer in footers if footer is not None]
    text = f"{stated.id} at {repo.commit[:12]}"
    if not read or len(read) < len(tables):
        return f"{text}: what is in it shows when it is there"
    data.check_columns(stated, columns, read[0][1])
    rows = sum(count for count, _ in read)
    if stated.where:
        return f"{text}: {rows:,} rows before filtering"
    return f"{text}: {_count(rows, stated, 'rows')}"


def _count(rows: int, stated: Dataset, what: str) -> str:
    differs = f", and the paper's split has {stated.images:,}: the verdict would be withheld"
    return f"{rows:,} {what}" + (differs if rows != stated.images else "")


def _memory(plan: CaptioningPlan, source: checkpoint.Source, device: torch.device | None, found: Preflight) -> None:
    parameters, precision = source.parameters(), plan.protocol.precision
    if parameters is None:
        found.lines.append(("memory", "unknown until the weights are there"))
        return
    need = parameters * BYTES[precision]
    free = None if device is None else machine.free_memory(device)
    has = f"; {device} has {size(free)} free" if free is not None else ""
    found.lines.append(("memory", f"{size(need)} for the weights{has}"))
    if free is not None and need > free:
        raise NotAttempted(
            f"The weights of {source.id} take {size(need)} in {precision}, and {device} has {size(free)} free.",
            "Free some of it, or name another device with --claims-device.",
        )


def _disk(found: Preflight) -> None:
    need = sum(found.download)
    if not need:
        found.lines.extend([("download", "nothing")] if len(found.download) == len(("checkpoint", "data set")) else [])
        return
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    free = shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free
    found.lines.append(("download", f"{size(need)}; the disk of the hub's cache has {size(free)} free"))
    if need + SPARE > free:
        raise NotAttempted(
            f"{size(need)} are to be downloaded and the disk of the hub's cache has {size(free)} free.",
            "Free some of it, or put the cache elsewhere with HF_HOME.",
        )


def _time(plan: CaptioningPlan, source: checkpoint.Source, device: torch.device, found: Preflight) -> None:
    import torch

    parameters, decoding = source.parameters(), plan.protocol.decoding
    if parameters is None:
        return
    rate = RATES[device.type] * (torch.get_num_threads() if device.type == "cpu" else 1)
    tokens = PREFIX + (decoding.num_beams or 1) * (decoding.max_new_tokens or 20) / 2
    images = plan.sample or plan.protocol.dataset.images
    found.lines.append(("time", f"{duration(images * tokens * parameters / rate)} by the size of the model alone"))


def size(count: float) -> str:
    """Bytes as people read them: `7.5 GB`, in powers of a thousand."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def duration(seconds: float) -> str:
    """An estimate in words: it is right by a factor of a few, and says no more than that."""
    for limit, unit, length in ((90, "seconds", 1), (5400, "minutes", 60), (172_800, "hours", 3600)):
        if seconds < limit:
            return f"some {max(1, round(seconds / length))} {unit}" if seconds >= 1 else "seconds"
    return f"some {round(seconds / 86_400)} days"
