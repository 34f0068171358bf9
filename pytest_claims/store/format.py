"""The format of the files in an evidence folder, as strict models. The writer makes them, and the reader validates with them.

If a key is renamed, dropped or changes its meaning, increase the number in `SCHEMA`. docs/evidence.md describes the files.
"""

from __future__ import annotations

import re
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pytest_claims.errors import EvaluationError
from pytest_claims.evidence import Output

SCHEMA = "pytest-claims/evidence/2"
"""The version of the format of the whole folder."""

NAME = 32
"""How many hexadecimal digits of the plan's digest name a folder: 128 bits, and short enough for any file system."""

PLAN, REFERENCES, CAPTIONS, RUN = "plan.json", "references.jsonl", "captions.jsonl", "run.json"

MAX_CAPTION = 100_000
"""The most characters of an output. A caption usually has about sixty, so a longer text is a mistake."""

MAX_RANKED = 100_000
"""The most entries of a ranking: every image of COCO's test splits, several times over."""

MAX_EXTRAS = 100
"""The most named texts of a row."""

MAX_PROVENANCE = 100
"""The most entries of a provenance."""

Scalar = str | int | float | bool | None

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\+00:00")

M = TypeVar("M", bound="Stored")


class Stored(BaseModel):
    """A strict model: values are not converted (`true` is not a number), and unknown keys are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Open(Stored):
    """A model with further keys allowed. They are shown in reports, and nothing reads one of them by name."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


# --- plan.json: `protocol.read_axes` relies on these types ---


class CheckpointFacts(Open):
    """See `protocol.Observed.checkpoint`."""

    id: str
    revision: str | None


class DatasetFacts(Open):
    """See `protocol.Observed.dataset`."""

    id: str
    revision: str | None
    where: dict[str, Scalar] | None
    columns: dict[str, Any]
    images: int


class SplitFacts(Open):
    """See `protocol.Observed.split`."""

    split: str


class ImageFacts(Open):
    """See `protocol.Observed.image`."""

    size: int | str
    resize: str
    mean: list[Any] | None
    std: list[Any] | None
    rescale_factor: float | int
    normalize: bool
    convert_rgb: bool
    channel_order: str
    family: dict[str, Any]


class PromptFacts(Open):
    """See `protocol.Observed.prompt`."""

    prompt: str
    text: str
    ids: list[Any]
    stated_ids: list[Any] | None
    stated: str | None


class DecodingFacts(Open):
    """See `protocol.Observed.decoding`. Greedy search has no `length_penalty` and no `early_stopping`."""

    strategy: str
    num_beams: int
    max_new_tokens: int | None
    min_new_tokens: int | None
    repetition_penalty: int | float
    length_penalty: int | float = 1.0
    early_stopping: bool | str = False


class ClosedFacts(Open):
    """See `protocol.Observed.decoding`, where the answers of a closed list were ranked."""

    strategy: Literal["rank"]
    answers: str
    num_answers: int
    answers_digest: str
    length_penalty: int | float


class RankingFacts(Open):
    """See `protocol.Observed.ranking`. Without re-ranking there is no `score`."""

    query: str
    rerank: int
    texts: int
    text: str
    max_tokens: int
    score: str | None = None


class PrecisionFacts(Open):
    """See `protocol.Observed.precision`."""

    precision: str


class ObservedFacts(Stored):
    """See `protocol.Observed`."""

    checkpoint: CheckpointFacts
    dataset: DatasetFacts
    split: SplitFacts
    image: ImageFacts
    prompt: PromptFacts | None
    decoding: DecodingFacts | ClosedFacts | None
    precision: PrecisionFacts
    metric: None
    scored: int
    seed: int | None
    candidate: str | None
    ranking: RankingFacts | None = None
    """Of retrieval, which has neither prompt nor decoding."""

    @model_validator(mode="after")
    def _of_one_kind(self) -> ObservedFacts:
        generates = self.prompt is not None and self.decoding is not None
        ranks = self.prompt is None and self.decoding is None and self.ranking is not None
        if not (ranks or (generates and self.ranking is None)):
            raise ValueError("expected a prompt and a decoding, or a ranking and neither of them")
        return self

    @property
    def rows(self) -> int:
        """How many rows the data set has that could be asked about: images, or in retrieval by text the texts."""
        by_text = self.ranking is not None and self.ranking.query == "text"
        return self.ranking.texts if by_text and self.ranking is not None else self.dataset.images


class PlanFile(Open):
    """`plan.json`: everything that determines the captions. Further keys are `Recipe.details`."""

    asked: dict[str, Any]
    observed: ObservedFacts
    images: int
    population: int | None
    references: str
    """The digest of the references (`recipe.references_digest`)."""

    @model_validator(mode="after")
    def _consistent(self) -> PlanFile:
        images, population = self.images, self.population
        scored, rows = self.observed.scored, self.observed.rows
        if scored != images or images < 1 or (population or images) != rows or images > rows:
            did = "ranked" if self.observed.ranking else "captioned"
            raise ValueError(
                f"observed: {scored} scored, {images} {did} of {population or 'all'}, {rows} in the data set: these "
                "numbers contradict each other"
            )
        return self


# --- references.jsonl and captions.jsonl ---


class ReferencesLine(Stored):
    """A line of `references.jsonl`."""

    id: str
    references: list[str]

    @field_validator("references")
    @classmethod
    def _texts(cls, value: list[str]) -> list[str]:
        if not value or any(len(text) > MAX_CAPTION for text in value):
            raise ValueError("expected one or more texts")
        return value


class OutputLine(Stored):
    """A line of `captions.jsonl`: an output, whatever its evaluator calls it. The names are those of the first evaluator."""

    id: str
    caption: str
    """The text of the output."""
    tokens: int | None
    truncated: bool
    image: str
    """The digest of the image's bytes."""
    ranked: list[str] | None = None
    """Labels or ids, the best first; only where the row was ranked."""
    extras: dict[str, str] | None = None
    """Named texts of the row; only where there are any."""
    seal: str | None = None
    """The seal of the other keys (`seal.Key.seal`). A replay needs no seal."""

    @model_validator(mode="after")
    def _short(self) -> OutputLine:
        if len(self.caption) > MAX_CAPTION:
            raise ValueError(f"a text of more than {MAX_CAPTION:,} characters is refused")
        if len(self.ranked or ()) > MAX_RANKED or len(self.extras or ()) > MAX_EXTRAS:
            raise ValueError(f"more than {MAX_RANKED:,} ranked or {MAX_EXTRAS} extras are refused")
        if any(len(text) > MAX_CAPTION for text in (*(self.ranked or ()), *(self.extras or {}).values())):
            raise ValueError(f"a ranked or extra text of more than {MAX_CAPTION:,} characters is refused")
        return self

    @classmethod
    def of(cls, output: Output, image: str) -> OutputLine:
        """The line of an output, not sealed yet.

        Args:
            output: the output.
            image: the digest of the image's bytes.
        """
        return cls(
            id=output.id,
            caption=output.text,
            tokens=output.tokens,
            truncated=output.truncated,
            image=image,
            ranked=list(output.ranked) or None,
            extras=dict(output.extras) or None,
        )

    def values(self) -> dict[str, Any]:
        """What is sealed and written. A key that the output has no value for is left out: a caption has neither."""
        absent = {key for key in ("ranked", "extras") if getattr(self, key) is None}
        return self.model_dump(exclude={"seal", *absent})

    def output(self, references: tuple[str, ...]) -> Output:
        """The output of the line.

        Args:
            references: what it is scored against.
        """
        return Output(
            id=self.id,
            text=self.caption,
            references=references,
            tokens=self.tokens,
            truncated=self.truncated,
            ranked=tuple(self.ranked or ()),
            extras=self.extras or {},
        )


# --- run.json ---


class GitHead(Stored):
    """The commit of the claim file's repository."""

    commit: str
    dirty: bool


class RunFile(Stored):
    """`run.json`: when the captions were generated, and with which hardware and versions."""

    schema_: str | None = Field(default=None, alias="schema")
    started_at: str | None = None
    created_at: str | None
    """When the run was completed; None if it was not."""
    git: GitHead | None = None
    provenance: dict[str, str | int | float | None]
    seal: str | None = None

    @field_validator("created_at")
    @classmethod
    def _time(cls, value: str | None) -> str | None:
        if value is not None and not _TIME.fullmatch(value):
            raise ValueError(f"expected a time such as 2026-01-31T12:00:00+00:00, got {shortened(value)}")
        return value

    @field_validator("provenance")
    @classmethod
    def _few(cls, value: dict[str, Any]) -> dict[str, Any]:
        if len(value) > MAX_PROVENANCE:
            raise ValueError(f"more than {MAX_PROVENANCE} entries are refused")
        for key, item in value.items():
            if isinstance(item, str) and len(item) > MAX_CAPTION:
                raise ValueError(f"{key}: more than {MAX_CAPTION:,} characters are refused")
        return value


# --- validation ---


def read(model: type[M], values: Any, where: str) -> M:
    """The validated model of the values in a file.

    Args:
        model: the class of the model.
        values: the values that JSON gave.
        where: the file and the line, for messages.

    Raises:
        EvaluationError: the values are not valid. The message has the path to the key, and what was expected there.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise EvaluationError(f"{where}: {_sentence(model, error.errors(include_url=False)[0])}.") from None


def _sentence(model: type[BaseModel], detail: Any) -> str:
    """The problem in one sentence, without the full stop."""
    path, expected = _walk(model, detail["loc"])
    shown = "".join(f"{part}: " for part in path)
    if detail["type"] == "value_error":
        return shown + str(detail["ctx"]["error"])
    if detail["type"] == "missing":
        above = "".join(f"{part}: " for part in path[:-1])
        return f"{above}{path[-1]} is missing, expected {expected}"
    if detail["type"] == "extra_forbidden":
        return f"{shown}unknown key"
    return f"{shown}expected {expected}, got {shortened(detail['input'])}"


def _walk(model: Any, location: tuple[str | int, ...]) -> tuple[list[str], str]:
    """The keys that lead to a place, and what is expected there. The member of a union that pydantic adds is left out."""
    path: list[str] = []
    for step in location:
        below = _below(model, step)
        path += [] if below is None else [str(step)]
        if below is None:  # the name of a member that is a model, or of a plain type
            below = next((k for k in _members(model) if hasattr(k, "model_fields") and k.__name__ == step), None)
        if below is None:
            break
        model = below
    return path, " or ".join(dict.fromkeys(_WORDS.get(kind, "an object") for kind in _kinds(model)))


def _below(model: Any, step: str | int) -> Any:
    """The type of the value at a key of a type; None if the type has no such key."""
    for kind in _members(model):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return {field.alias or name: field.annotation for name, field in kind.model_fields.items()}.get(str(step))
        if get_origin(kind) in (dict, list):
            return get_args(kind)[-1]
    return None


def _members(model: Any) -> tuple[Any, ...]:
    if get_origin(model) is Annotated:
        return _members(get_args(model)[0])
    return get_args(model) if get_origin(model) is UnionType or isinstance(model, UnionType) else (model,)


def _kinds(model: Any) -> list[Any]:
    return [get_origin(kind) or (NoneType if kind is None else kind) for kind in _members(model)]


_WORDS: dict[Any, str] = {
    str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "an object", list: "a list",
    NoneType: "null",
}  # fmt: skip


def shortened(value: Any) -> str:
    """A value as text for a message, shortened to 100 characters."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 100 else text[:99] + "…"
