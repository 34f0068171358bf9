"""What a run did against what the paper did, axis by axis.

An `Observed` says what a run did; it is read from the objects that ran. `read_axes` compares it with the paper's protocol.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pytest_claims.spec import MIN_SAMPLE, QUESTION, RANK, Columns, ImageProtocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_claims.spec import Protocol


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


PRECISIONS = ("float32", "float16", "bfloat16")
"""If paper and run differ only in which of these they use, the run still says something about the paper's number: 16-bit
arithmetic moves BLEU-4 by a few hundredths of a point. Quantised weights are another model."""


# Released captions do not show these axes. A reading lists them as not observed.
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
    """What a run did. An axis that is None was not observed; released captions, for example, do not show their prompt."""

    checkpoint: Facts | None = None
    """`id`, `revision`, `commit` where it is the hub's, and `digest` of every file that loading can open."""
    dataset: Facts | None = None
    """`id`, `revision`, `where`, `columns`, `images` (rows after filtering), `references`, `fingerprint`."""
    split: Facts | None = None
    image: Facts | None = None
    """What the image processor does, by the keys of `spec.models.ImageProtocol`. `family`: what the model family defines."""
    prompt: Facts | None = None
    """`text` is the given prompt. `ids` are the tokens that were fed, and `prompt` spells them, with special tokens visible.
    `stated_ids` are the tokens that a clean tokenisation of the claim's prompt gives, and `stated` spells them; both are None
    if the claim states no prompt. A plan has no tokenizer and gives only `prompt`."""
    decoding: Facts | None = None
    ranking: Facts | None = None
    """Of retrieval: the keys of `spec.models.Ranking` (`texts`: how many there are), and `query`: `image` or `text`."""
    precision: Facts | None = None
    metric: Facts | None = None
    scored: int | None = None
    """How many images were scored."""
    seed: int | None = None
    """The seed that drew them, where they are not all."""
    candidate: str | None = None
    """The release candidate that stood in for the checkpoint."""
    operands: Facts | None = None
    """Of a derived number: how the protocols of the claims behind it matched, by operand; None where nothing was measured."""


def decoding_facts(values: Mapping[str, Any]) -> dict[str, Any]:
    """Decoding values in the form that is compared. The number of beams gives the strategy: one beam is greedy search.

    Where a closed list is ranked, the keys are those of `spec.decoding`: the list's file, its size and its digest.
    """
    if values.get("strategy") == RANK:
        return {**values, "answers_digest": values.get("answers_digest")}
    facts = {key: value for key, value in values.items() if key != "strategy"}
    beams = facts.get("num_beams")
    strategy = values.get("strategy") if beams is None else "greedy" if beams == 1 else "beam"
    if beams in (1, None) and strategy == "greedy":
        # Greedy search ignores both keys, so they are not compared.
        facts.pop("length_penalty", None)
        facts.pop("early_stopping", None)
    return {"strategy": strategy, **facts}


def ranking_facts(values: Mapping[str, Any]) -> dict[str, Any]:
    """Ranking values in the form that is compared. Without re-ranking, its score decides nothing."""
    return {key: value for key, value in values.items() if key != "score" or values.get("rerank") != 0}


def read_axes(paper: Protocol, observed: Observed, *, min_sample: int) -> tuple[Reading, ...]:
    """Every axis that the paper states or the run observed, always in the same order.

    Args:
        paper: the paper's protocol.
        observed: what a run did, or what a plan would do.
        min_sample: fewer images than this are no sample of the split.
    """
    dataset = _dataset(paper, observed)
    pairs: list[tuple[str, Facts | None, Facts | None]] = [
        ("checkpoint", paper.checkpoint.model_dump() if paper.checkpoint else None, observed.checkpoint),
        ("dataset", {k: v for k, v in dataset.items() if k != "split"} or None, observed.dataset),
        ("split", {"split": dataset["split"]} if dataset else None, observed.split),
        ("image", paper.image.model_dump(exclude_none=True) if paper.image else None, observed.image),
        ("prompt", {"prompt": paper.prompt} if paper.prompt is not None else None, observed.prompt),
        ("decoding", decoding_facts(paper.decoding.model_dump()) if paper.decoding else None, observed.decoding),
        ("ranking", ranking_facts(paper.ranking.model_dump()) if paper.ranking else None, observed.ranking),
        ("precision", {"precision": paper.precision} if paper.precision else None, observed.precision),
        ("metric", {"family": paper.metric} if paper.metric else None, observed.metric),
    ]
    # Who ranks candidates generates nothing: a prompt and a decoding are then neither observed nor missing.
    unseen = _GENERATION if observed.ranking is None else _GENERATION - {"prompt", "decoding"}
    readings = []
    for axis, stated, did in pairs:
        if axis == "checkpoint" and observed.candidate is not None:
            # The thing under test is not a deviation; the verdict's kind says PRE.
            run = _candidate(observed.candidate, did)
            readings.append(Reading(axis="candidate", paper=_show(stated), run=run, consequence=Consequence.NONE))
        elif stated is not None or did is not None or (axis in unseen and observed.dataset is not None):
            readings.append(_READERS.get(axis, _read)(axis, stated, did))
        if axis == "split" and observed.scored is not None and dataset:
            readings.append(_read_sample(*_queries(paper, observed, dataset["images"]), observed, min_sample))
    if observed.operands:
        proxy = any(match is not Match.EXACT for match in observed.operands.values())
        readings.append(
            Reading(
                axis="operands",
                paper="exact",
                run=_show({name: match.value for name, match in observed.operands.items()}),
                consequence=Consequence.PROXY if proxy else Consequence.NONE,
            )
        )
    return tuple(readings)


def _candidate(name: str, did: Facts | None) -> str:
    """The candidate as it was named, with what identifies its weights. A plan has not read them yet: it has no `commit`."""
    known = did if did is not None and "commit" in did else {}
    weights = [f"{key}={known[key]}" for key in ("commit", "digest") if known.get(key)]
    return ", ".join([name, *weights])


def _dataset(paper: Protocol, observed: Observed) -> dict[str, Any]:
    """What the paper states about its data set. Columns that it does not name have the default names."""
    if paper.dataset is None:
        return {}
    stated = paper.dataset.model_dump()
    if observed.dataset is None or observed.dataset.get("columns") is None:
        del stated["columns"]  # released captions: the run names the keys of two files, and no columns of the data set
    else:
        columns = stated["columns"] or Columns().model_dump()
        if QUESTION in observed.dataset["columns"]:
            columns.setdefault(QUESTION, QUESTION)
        stated["columns"] = columns
    return stated


# If the paper does not state one of these, the value of the run is recorded and is no difference.
_OPTIONAL = {
    ("checkpoint", "digest"),
    ("decoding", "answers_digest"),
    *(("dataset", key) for key in ("references", "fingerprint")),
}

# If the paper does not state one of these, it used the checkpoint or the data set as it is. A run that states one differs.
_AS_IT_IS = {("checkpoint", "revision"), ("dataset", "revision"), ("dataset", "where")}


def _read(axis: str, stated: Facts | None, did: Facts | None) -> Reading:
    if did is None:
        return Reading(axis=axis, paper=_show(stated), run="not observed", consequence=Consequence.NOT_OBSERVED)
    if stated is None:
        return Reading(axis=axis, paper="not stated", run=_show(did), consequence=Consequence.UNKNOWN)
    unstated = [key for key, value in stated.items() if value is None and (axis, key) not in _OPTIONAL | _AS_IT_IS]
    differing = [key for key, value in stated.items() if value is not None and not _same(key, value, did)]
    differing += [key for key, value in stated.items() if value is None and (axis, key) in _AS_IT_IS and did.get(key)]
    # A fact of the run for which the paper has no key (no_repeat_ngram_size, duplicated rows) is a difference too.
    beyond = [key for key in did if key not in stated and key in _BEYOND.get(axis, did)]
    if differing or beyond:
        consequence = Consequence.DRIFT
    elif unstated:
        consequence = Consequence.UNKNOWN
    else:
        consequence = Consequence.NONE
    return Reading(axis=axis, paper=_show(stated), run=_show(did), consequence=consequence)


# The keys that are a difference although the paper has no such key. On an axis that is not listed here, every key is one.
_BEYOND: Mapping[str, tuple[str, ...]] = {
    "checkpoint": (), "dataset": ("duplicates",), "split": (), "metric": (), "ranking": ("special_tokens", "changed"),
}  # fmt: skip


def _read_precision(axis: str, stated: Facts | None, did: Facts | None) -> Reading:
    found = _read(axis, stated, did)
    lenient = did is not None and did.get("precision") in PRECISIONS
    differs = found.consequence in (Consequence.DRIFT, Consequence.UNKNOWN)
    return replace(found, consequence=Consequence.PROXY) if lenient and differs else found


def _read_image(axis: str, stated: Facts | None, did: Facts | None) -> Reading:
    """Compares each key of the processor with what the claim states, or else with what the model family defines."""
    if did is None or stated is None:
        return _read(axis, stated, None if did is None else {k: v for k, v in did.items() if k != "family"})
    known = "family" in did
    family: Facts = did.get("family") or {}
    stated = {**{key: value for key, value in stated.items() if key != "other"}, **(stated.get("other") or {})}
    did = {key: value for key, value in did.items() if key != "family" and value is not None}
    expected = {**{key: value for key, value in family.items() if key in did}, **stated}
    differing = [key for key, value in expected.items() if not _same(key, value, did)]
    unstated = [key for key in did if key not in expected and key in _IMAGE_KEYS] if known else []
    beyond = [key for key in did if key not in expected and key not in _IMAGE_KEYS]
    consequence = Consequence.DRIFT if differing or beyond else Consequence.UNKNOWN if unstated else Consequence.NONE
    paper = _show(stated)
    if by_family := {key: value for key, value in expected.items() if key not in stated}:
        paper += f"; as the model family defines it: {_show(by_family)}"
    if unstated:
        paper += f"; not stated: {', '.join(unstated)}"
    return Reading(axis=axis, paper=paper, run=_show(did), consequence=consequence)


_IMAGE_KEYS = tuple(key for key in ImageProtocol.model_fields if key != "other")


def _read_prompt(axis: str, stated: Facts | None, did: Facts | None) -> Reading:
    """Compares token by token, if the run shows its tokens. Equal text can be different tokens, and the model sees tokens."""
    if did is None or stated is None or "ids" not in did:
        return _read(axis, stated, did)
    extra = {key: value for key, value in did.items() if key not in ("prompt", "text", "ids", "stated_ids", "stated")}
    same = did["ids"] == did.get("stated_ids")
    paper, run = repr(visible(str(stated["prompt"]))), repr(did["prompt"])
    if not same:
        paper += f", which is fed as {did['stated']!r}"
        if did["stated"] == did["prompt"]:
            paper, run = f"{paper} {did.get('stated_ids')}", f"{run} {did['ids']}"
    run = ", ".join([run, *(f"{key}: {value}" for key, value in extra.items())])
    return Reading(
        axis=axis, paper=paper, run=run, consequence=Consequence.NONE if same and not extra else Consequence.DRIFT
    )


_READERS = {"image": _read_image, "prompt": _read_prompt, "precision": _read_precision}


def visible(text: str) -> str:
    """`text` with a mark for all that a reader would not see: odd white space, and characters without a width."""

    def mark(match: re.Match[str]) -> str:
        return "".join(_MARKS.get(character, f"\\u{ord(character):04x}") for character in match[0])

    return re.sub(rf"^ +| +$| {{2,}}|[^\S ]|[{_UNSEEN}]", mark, text)


_UNSEEN = (
    "\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ufe00-\ufe0f\ufeff"
)
"""Controls, soft hyphens, joiners, fillers, variation selectors and marks of direction."""

_MARKS = {" ": "␣", "\n": "⏎", "\r": "␍", "\t": "⇥"}


def _same(key: str, stated: Any, did: Facts) -> bool:
    value = did.get(key)
    if isinstance(stated, bool) or isinstance(value, bool):
        return stated is value  # True is not 1
    if isinstance(stated, list | tuple) and isinstance(value, list | tuple):
        return len(stated) == len(value) and all(
            _same(key, one, {key: other}) for one, other in zip(stated, value, strict=True)
        )
    if key == "revision":
        commit = did.get("commit")
        return bool(stated == value or (isinstance(commit, str) and commit.startswith(str(stated))))
    if isinstance(stated, float) or isinstance(value, float):
        return isinstance(value, int | float) and isinstance(stated, int | float) and float(stated) == float(value)
    return bool(stated == value)


def _queries(paper: Protocol, observed: Observed, images: int) -> tuple[int, str]:
    """How many rows the paper scored, and what they are: the images, or in retrieval by text the texts.

    If the paper does not say how many texts there are, the run's are taken. The axis of the ranking then says what is missing.
    """
    did = observed.ranking or {}
    if did.get("query") != "text":
        asked = QUESTION in ((observed.dataset or {}).get("columns") or {})
        return images, "questions" if asked else "images"
    stated = paper.ranking.texts if paper.ranking else None
    return stated or int(did.get("texts") or 0), "texts"


def _read_sample(total: int, what: str, observed: Observed, min_sample: int) -> Reading:
    scored = observed.scored or 0
    run = f"{scored:,} {what}"
    least = max(min_sample, MIN_SAMPLE)
    if scored == total:
        consequence = Consequence.NONE
    elif scored < total and scored >= least:
        consequence = Consequence.PROXY
    else:
        consequence = Consequence.DRIFT
    if scored < total:
        run += f", drawn by seed {observed.seed}" if observed.seed is not None else ""
        floor = "" if least == min_sample else f", whatever the claim says ({min_sample:,})"
        run += f"; fewer than {least:,} are no sample{floor}" if scored < least else ""
    return Reading(axis="sample", paper=f"all {total:,} {what}", run=run, consequence=consequence)


def held_to(readings: Iterable[Reading], *, reproduced: bool) -> tuple[Reading, ...]:
    """The readings of a run that a plugin's evaluator made.

    Outputs that others released do not show how they were made. A run does: what the paper states, and the evaluator does not
    observe, is then unknown.
    """
    return tuple(
        replace(reading, consequence=Consequence.UNKNOWN)
        if reproduced and reading.consequence is Consequence.NOT_OBSERVED and reading.paper != "not stated"
        else reading
        for reading in readings
    )


def deviations(readings: Iterable[Reading]) -> tuple[Reading, ...]:
    """The readings on which the run differs from the paper, or on which the paper states too little."""
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
    """The facts of one axis in a line: a single value as it is, several values as `key=value`."""
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
        return "{" + ", ".join(f"{key}: {item}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return " ".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def facts_of(observed: Observed) -> dict[str, Any]:
    """`observed` as plain values, for evidence and reports."""
    facts = asdict(observed)
    for axis in ("operands", "ranking"):
        if facts[axis] is None:
            del facts[axis]  # so that the digests of evidence without it stay as they were
    return facts
