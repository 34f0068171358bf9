"""What will be run, what was run, and how either differs from what the paper did.

A claim names the paper's protocol. A `Plan` says what will be run: the protocol, with what the run section and the command
line change. An `Observed` says what a run did, read off the objects that did it. `read_axes` holds either against the paper,
axis by axis.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pytest_claims.errors import EvaluationError
from pytest_claims.spec import CaptioningRun, ParametersRun, Protocol, merge

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pytest_claims.settings import Settings
    from pytest_claims.spec import Claim


class Consequence(StrEnum):
    """What a difference on an axis means for the verdict."""

    NONE = "none"
    PROXY = "proxy"
    UNKNOWN = "unknown"
    DRIFT = "drift"
    NOT_OBSERVED = "not observed"


class Match(StrEnum):
    """How the protocol that ran relates to the paper's."""

    EXACT = "exact"
    PROXY = "proxy"
    UNKNOWN = "unknown"
    DRIFT = "drift"


# The only axes on which a run may differ and still say something about the paper's number (design: "Axes"):
# a subset of the split estimates it, and 16-bit arithmetic moves BLEU-4 by a few hundredths of a point.
_LENIENT = {"sample", "precision"}


# Axes that captions which somebody released do not show; listed all the same, as not observed.
_GENERATION = {"checkpoint", "image", "prompt", "decoding", "precision"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One axis: what the paper says, what the run did, what a difference means."""

    axis: str
    paper: str
    run: str
    consequence: Consequence


Facts = Mapping[str, Any]
"""The comparable values of one axis, by key; None where the paper does not state the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a run did. An axis that is None was not observed: captions that somebody released do not show their prompt."""

    checkpoint: Facts | None = None
    """`id`, `revision`, and `commit` or `digest` of the weights."""
    dataset: Facts | None = None
    """`id`, `revision`, `where`, `images` (rows after filtering), `fingerprint`."""
    split: Facts | None = None
    image: Facts | None = None
    prompt: Facts | None = None
    decoding: Facts | None = None
    precision: Facts | None = None
    metric: Facts | None = None
    scored: int | None = None
    """How many images were scored."""
    seed: int | None = None
    """The seed that drew them, where they are not all."""
    candidate: str | None = None
    """The release candidate that stood in for the checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be run for a claim."""

    claim: Claim = field(repr=False)
    settings: Protocol
    """The paper's protocol with what the run section and the command line change."""
    sample: int | None
    """How many images to draw; None: all."""
    seed: int
    device: str
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    candidate: str | None
    """Folder or hub id of the release candidate that stands in for the checkpoint."""
    folders: tuple[Path, ...]
    """Where the claim's paths may lead: its own folder, then the --claims-data folders."""
    image_overrides: tuple[tuple[str, Any], ...] = ()
    """Image settings that the run changes on purpose; what the checkpoint's own processor does is left alone otherwise."""

    @property
    def key(self) -> str:
        """SHA-256 over all that decides what is generated: claims with one key share one run."""
        run = self.claim.run.model_dump()
        content = {
            "folders": [str(folder) for folder in self.folders],
            "settings": self.settings.model_dump(exclude={"metric"}),
            "run": run,
            "sample": self.sample,
            "seed": self.seed,
            "device": self.device,
            "candidate": self.candidate,
            "image": list(self.image_overrides),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def asked(self) -> dict[str, Any]:
        """What claim and command line say about how captions come about: by this, evidence is found where no model is."""
        settings, run = self.settings, self.claim.run
        assert isinstance(run, CaptioningRun)  # noqa: S101 - nothing else generates
        assert settings.checkpoint is not None  # noqa: S101 - spec.load.NEEDS
        assert settings.dataset is not None  # noqa: S101 - spec.load.NEEDS
        assert settings.decoding is not None  # noqa: S101 - spec.load.NEEDS
        return {
            "checkpoint": settings.checkpoint.model_dump(),
            "candidate": self.candidate,
            "dataset": settings.dataset.model_dump(exclude={"images"}),
            "columns": run.columns.model_dump(),
            "sample": self.sample,
            "seed": None if self.sample is None else self.seed,
            "image": dict(self.image_overrides),
            "prompt": settings.prompt or "",
            "decoding": settings.decoding.model_dump(),
            "precision": settings.precision or "float32",
        }

    @property
    def expected(self) -> tuple[Reading, ...]:
        """The axes as they will read if the run does what is planned."""
        settings = self.settings
        if isinstance(self.claim.run, ParametersRun):
            return ()
        generates = isinstance(self.claim.run, CaptioningRun)
        images = settings.dataset.images if settings.dataset else None
        return read_axes(
            self.claim.protocol,
            Observed(
                checkpoint=settings.checkpoint.model_dump() if settings.checkpoint and generates else None,
                dataset=settings.dataset.model_dump(exclude={"split"}) if settings.dataset else None,
                split={"split": settings.dataset.split} if settings.dataset else None,
                image=settings.image.model_dump() if settings.image and generates else None,
                prompt={"prompt": settings.prompt} if generates else None,
                decoding=decoding_facts(settings.decoding.model_dump()) if settings.decoding and generates else None,
                precision={"precision": settings.precision} if generates else None,
                metric={"family": settings.metric},
                scored=images if self.sample is None else self.sample,
                seed=self.seed,
                candidate=self.candidate,
            ),
            min_sample=self.claim.tolerance.min_sample,
        )


def plan(claim: Claim, settings: Settings) -> Plan:
    """What will be run for `claim` under the command line's `settings`.

    Raises:
        EvaluationError: an override gives a protocol that is not valid.
    """
    from pydantic import ValidationError

    values = merge(claim.protocol.model_dump(exclude_none=True), claim.overrides)
    if not isinstance(claim.run, ParametersRun):
        values = merge(values, settings.overrides)
        _settle_strategy(values.get("decoding"), settings.overrides.get("decoding", {}))
    try:
        protocol = Protocol.model_validate(values)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in detail["loc"])
        raise EvaluationError(f"--claims-set {key}: {detail['msg']}, got {detail['input']!r}.") from None
    sample = claim.run.sample if isinstance(claim.run, CaptioningRun) else None
    size = settings.sample if settings.sample is not None and isinstance(claim.run, CaptioningRun) else None
    if size is None and sample is not None:
        size = sample.size
    if size is not None and protocol.dataset is not None and size >= protocol.dataset.images:
        size = None
    candidates = settings.candidates
    checkpoint = protocol.checkpoint.id if protocol.checkpoint else None
    return Plan(
        claim=claim,
        settings=protocol,
        sample=size,
        seed=sample.seed if sample else 0,
        device=settings.device,
        candidate=candidates.get(claim.id) or (candidates.get(checkpoint) if checkpoint else None),
        folders=(claim.file.parent, *settings.data),
        image_overrides=tuple(
            sorted(merge(claim.overrides.get("image") or {}, settings.overrides.get("image", {})).items())
        ),
    )


def _settle_strategy(decoding: dict[str, Any] | None, changed: Mapping[str, Any]) -> None:
    """`--claims-set decoding.num_beams=1` means greedy search, and `decoding.strategy=greedy` one beam."""
    if decoding is None:
        return
    if changed.get("num_beams") is not None:
        decoding["strategy"] = "greedy" if decoding["num_beams"] == 1 else "beam"
    elif changed.get("strategy") == "greedy":
        decoding["num_beams"] = 1


def decoding_facts(values: Mapping[str, Any]) -> dict[str, Any]:
    """Decoding values as they compare: the strategy follows from the beams, since one beam is greedy search."""
    facts = {key: value for key, value in values.items() if key != "strategy"}
    beams = facts.get("num_beams")
    strategy = values.get("strategy") if beams is None else "greedy" if beams == 1 else "beam"
    if beams in (1, None) and strategy == "greedy":
        # Greedy search ignores both: they cannot differ.
        facts.pop("length_penalty", None)
        facts.pop("early_stopping", None)
    return {"strategy": strategy, **facts}


def read_axes(paper: Protocol, observed: Observed, *, min_sample: int) -> tuple[Reading, ...]:
    """Every axis that the paper states or the run observed, in the order of the design's table.

    Args:
        paper: the paper's protocol.
        observed: what a run did, or what a plan would do.
        min_sample: fewer images than this are no sample of the split.
    """
    dataset = paper.dataset.model_dump() if paper.dataset else {}
    pairs: list[tuple[str, Facts | None, Facts | None]] = [
        ("checkpoint", paper.checkpoint.model_dump() if paper.checkpoint else None, observed.checkpoint),
        ("dataset", {k: v for k, v in dataset.items() if k != "split"} or None, observed.dataset),
        ("split", {"split": dataset["split"]} if dataset else None, observed.split),
        ("image", paper.image.model_dump() if paper.image else None, observed.image),
        ("prompt", {"prompt": paper.prompt} if paper.prompt is not None else None, observed.prompt),
        ("decoding", decoding_facts(paper.decoding.model_dump()) if paper.decoding else None, observed.decoding),
        ("precision", {"precision": paper.precision} if paper.precision else None, observed.precision),
        ("metric", {"family": paper.metric} if paper.metric else None, observed.metric),
    ]
    readings = []
    for axis, stated, did in pairs:
        if axis == "checkpoint" and observed.candidate is not None:
            # The thing under test is not a deviation; the verdict's kind says PRE (design: "Axes").
            readings.append(
                Reading(axis="candidate", paper=_show(stated), run=observed.candidate, consequence=Consequence.NONE)
            )
        elif stated is not None or did is not None or (axis in _GENERATION and observed.dataset is not None):
            readings.append(_read(axis, stated, did))
        if axis == "split" and observed.scored is not None and dataset:
            readings.append(_read_sample(dataset["images"], observed, min_sample))
    return tuple(readings)


# A paper that names no revision or filter leaves it to the reader: what was used is recorded, and cannot differ.
_OPTIONAL = {
    ("checkpoint", "revision"),
    *(("dataset", key) for key in ("revision", "where", "references", "fingerprint")),
}


def _read(axis: str, stated: Facts | None, did: Facts | None) -> Reading:
    if did is None:
        return Reading(axis=axis, paper=_show(stated), run="not observed", consequence=Consequence.NOT_OBSERVED)
    allowed = Consequence.PROXY if axis in _LENIENT else None
    if stated is None:
        return Reading(axis=axis, paper="not stated", run=_show(did), consequence=allowed or Consequence.UNKNOWN)
    unstated = [key for key, value in stated.items() if value is None and (axis, key) not in _OPTIONAL]
    differing = [key for key, value in stated.items() if value is not None and not _same(key, value, did)]
    # What a run turned on beyond the paper's words (no_repeat_ngram_size, say) is a difference too.
    beyond = [key for key in did if key not in stated and axis == "decoding"]
    if differing or beyond:
        consequence = allowed or Consequence.DRIFT
    elif unstated:
        consequence = allowed or Consequence.UNKNOWN
    else:
        consequence = Consequence.NONE
    return Reading(axis=axis, paper=_show(stated), run=_show(did), consequence=consequence)


def _same(key: str, stated: Any, did: Facts) -> bool:
    value = did.get(key)
    if key == "revision":
        commit = did.get("commit")
        return bool(stated == value or (isinstance(commit, str) and commit.startswith(str(stated))))
    if isinstance(stated, float) or isinstance(value, float):
        return value is not None and float(stated) == float(value)
    return bool(stated == value)


def _read_sample(images: int, observed: Observed, min_sample: int) -> Reading:
    scored = observed.scored or 0
    run = f"{scored:,} images"
    if scored == images:
        consequence = Consequence.NONE
    elif scored < images and scored >= min_sample:
        consequence = Consequence.PROXY
    else:
        consequence = Consequence.DRIFT
    if scored < images:
        run += f", drawn by seed {observed.seed}" if observed.seed is not None else ""
        run += f"; fewer than {min_sample:,} are no sample" if scored < min_sample else ""
    return Reading(axis="sample", paper=f"all {images:,} images", run=run, consequence=consequence)


def deviations(readings: Iterable[Reading]) -> tuple[Reading, ...]:
    """The readings on which the run differs from the paper, or the paper is silent."""
    harmless = (Consequence.NONE, Consequence.NOT_OBSERVED)
    return tuple(reading for reading in readings if reading.consequence not in harmless)


def match(readings: Iterable[Reading]) -> Match:
    """How the protocol that ran relates to the paper's: the worst reading decides."""
    found = {reading.consequence for reading in readings}
    for consequence in (Consequence.DRIFT, Consequence.UNKNOWN, Consequence.PROXY):
        if consequence in found:
            return Match(consequence.value)
    return Match.EXACT


def _show(facts: Facts | None) -> str:
    """The facts of one axis in a line: a lone value as it is, several as `key=value`."""
    if facts is None:
        return "not stated"
    if set(facts) == {"prompt"}:
        return repr(facts["prompt"])
    shown = {key: value for key, value in facts.items() if value is not None}
    if len(facts) == 1:
        return str(next(iter(shown.values()), "not stated"))
    return ", ".join(f"{key}={_plain(value)}" for key, value in shown.items())


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key}={item}" for key, item in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def facts_of(observed: Observed) -> dict[str, Any]:
    """`observed` as plain values, for evidence and reports."""
    return asdict(observed)
