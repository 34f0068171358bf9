"""What a claim file may say, as pydantic models; the JSON Schema for editors is generated from them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, StringConstraints, WithJsonSchema

from pytest_claims.spec.nodes import Digits

Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
Positive = Annotated[int, Field(gt=0)]
Scalar = str | int | float | bool | None


class Model(BaseModel):
    """Strict and frozen: no unknown key, no conversion between types, no change after reading."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """A number as a paper prints it; the digits say how exactly it is known."""

    text: str
    value: Decimal

    @property
    def half_digit(self) -> Decimal:
        """Half of the last printed decimal: 0.05 for `43.7`, 0.005 for `43.70`, 0.5 for `107`."""
        exponent = self.value.as_tuple().exponent
        assert isinstance(exponent, int)  # noqa: S101 - infinities and NaN cannot be written in a claim file
        return Decimal(5).scaleb(exponent - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A tolerance: an amount in the reported unit, or a percentage of the reported value."""

    text: str
    amount: Decimal
    relative: bool

    def around(self, reported: Decimal) -> Decimal:
        """The width of the band on either side of `reported`, in the reported unit."""
        return abs(reported) * self.amount / 100 if self.relative else self.amount


def _printed(value: object) -> Printed:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("expected a number as the paper prints it, such as 43.7")
    text = value.text if isinstance(value, Digits) else str(value)
    return Printed(text=text, value=Decimal(text))


_PERCENTAGE = re.compile(r"([0-9]{1,40}(?:\.[0-9]{1,40})?) ?%")


def _band(value: object) -> Band:
    expected = "expected a number in the reported unit, such as 1.0, or a percentage of the reported value, such as 35%"
    if isinstance(value, str) and (match := _PERCENTAGE.fullmatch(value)):
        return Band(text=value, amount=Decimal(match[1]), relative=True)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(expected)
    if value < 0:
        raise ValueError(f"{expected}; a band cannot be negative")
    text = value.text if isinstance(value, Digits) else str(value)
    return Band(text=text, amount=Decimal(text), relative=False)


def _relative_path(value: object) -> object:
    if isinstance(value, str) and (value.startswith(("/", "~", "\\")) or "://" in value or ".." in value.split("/")):
        raise ValueError("expected a path below the claim file's folder or a --claims-data folder, without '..'")
    return value


PrintedNumber = Annotated[Printed, PlainValidator(_printed), WithJsonSchema({"type": "number"})]
ToleranceBand = Annotated[
    Band,
    PlainValidator(_band),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?%$"}]}
    ),
]
DataPath = Annotated[Text, BeforeValidator(_relative_path)]

Unit = Literal["percent", "fraction", "million", "billion", "count"]
StatusName = Literal["pass", "partial", "fail", "pending", "error"]
Precision = Literal["float16", "bfloat16", "float32"]
Resample = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]


ARXIV_ID = r"^([0-9]{4}\.[0-9]{4,5}|[a-z-]+(\.[A-Z]{2})?/[0-9]{7})$"
CLAIM_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,119}$"
PATTERNS = {
    ARXIV_ID: "an arXiv id without its version, such as '2301.12597'",
    CLAIM_ID: "at most 120 letters, digits, '.', '_' and '-', the first a letter or a digit",
}
"""What each pattern asks for, in words."""


class Paper(Model):
    """The paper that reports the numbers."""

    arxiv_id: Annotated[str, StringConstraints(pattern=ARXIV_ID)] | None = None
    title: Text
    abstract: str | None = None
    primary_category: str | None = None
    venue: str | None = None
    published_at: str | None = None
    latest_version: Positive | None = None
    withdrawn: bool = False
    source_url: Text | None = Field(default=None, description="where the numbers stand; required without an arxiv_id")
    source: DataPath | None = Field(default=None, description="file or folder that citations are checked against")
    rendered_html_url: Text | None = Field(
        default=None, description="a page that shows the latest version, if one was seen"
    )
    rendering_engine: Text | None = Field(default=None, description="what made that page, such as arxiv-html")


class Citation(Model):
    """The cell of the table that holds the number, and the words around it."""

    section: Text
    row: Text
    column: Text
    quoted_text: Text
    pdf_page: Positive | None = None
    notes: str | None = None


class Reported(Model):
    """The number, in the paper's unit, with the digits the paper prints."""

    metric: Text
    value: PrintedNumber
    unit: Unit


MIN_SAMPLE = 50
"""The smallest number of images that counts as a sample, whatever a claim says.

The 95 % interval of BLEU-4 near 43 is about 102/√n points wide: 14 points at 50 images, and 23 points at the 20 images of the
run that this project had to retract.
"""


class Tolerance(Model):
    """How far a result may lie from the reported value; half of the last printed digit is always added."""

    pass_: ToleranceBand = Field(alias="pass")
    partial: ToleranceBand
    min_sample: Positive = Field(
        default=100,
        description=f"fewer images than this are no sample of the paper's split; at least {MIN_SAMPLE} whatever stands here",
    )


class Checkpoint(Model):
    """The weights: a hub id, or a folder beside the claim file."""

    id: Text
    revision: Text | None = Field(
        default=None, description="branch, tag or commit; null: the current commit, which is recorded"
    )
    digest: Text | None = Field(
        default=None,
        description="digest of every file that loading can open, as an earlier run observed it; it pins the files",
    )


class Columns(Model):
    """The data set's columns."""

    image: Text = "image"
    references: Text = "caption"
    id: Text = "filename"


class Dataset(Model):
    """The images and references, as `datasets.load_dataset` reads them."""

    id: Text
    revision: Text | None = None
    split: Text = "test"
    where: dict[str, Scalar] | None = Field(default=None, description="keep the rows that have these values")
    images: Positive = Field(description="how many images the paper's split has")
    references: Positive | None = Field(
        default=None, description="captions per image, if all images have the same number"
    )
    columns: Columns | None = Field(
        default=None,
        description="the names of the columns; null: image, caption and filename. A run with other columns differs",
    )
    fingerprint: Text | None = Field(
        default=None,
        description="digest of ids, references and images, as an earlier run observed it; it pins the data",
    )


Channels = Annotated[tuple[float, float, float], Field(description="one number for each of red, green and blue")]


class ImageProtocol(Model):
    """What the vision encoder sees. Null: as the checkpoint's model family defines it (CLIP's mean and std for BLIP-2)."""

    size: Positive | Text = Field(
        description="side of the square in pixels; for any other resize the processor's settings, such as "
        "'shortest_edge=336 crop=336x336'"
    )
    resize: Resample = "bicubic"
    mean: Channels | None = None
    std: Channels | None = None
    rescale_factor: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="what pixel values of 0 to 255 are multiplied by; 1 where they are not rescaled"
    )
    normalize: bool | None = Field(default=None, description="whether mean and std are applied")
    convert_rgb: bool | None = Field(default=None, description="whether the processor converts pictures to RGB")
    channel_order: Literal["rgb", "bgr"] | None = None
    other: dict[str, Scalar] | None = Field(
        default=None, description="settings of the image processor that have no key here, by their own names"
    )


class Decoding(Model):
    """How tokens are chosen. A key left out has the neutral value; null says that the paper does not state it."""

    strategy: Literal["greedy", "beam"]
    num_beams: Positive | None = 1
    max_new_tokens: Positive | None = 20
    min_new_tokens: Annotated[int, Field(ge=0)] | None = 0
    length_penalty: float | None = 1.0
    repetition_penalty: Annotated[float, Field(gt=0)] | None = 1.0
    early_stopping: bool | Literal["never"] | None = False


class Protocol(Model):
    """The conditions under which the paper obtained the number. The paper does not state what is null or left out."""

    checkpoint: Checkpoint | None = None
    dataset: Dataset | None = None
    image: ImageProtocol | None = None
    prompt: str | None = Field(default=None, description='the text before the caption; "" says that there was none')
    decoding: Decoding | None = None
    precision: Precision | None = None
    metric: Text | None = Field(default=None, description="the metric's signature family, such as coco-caption")


class CaptioningProtocol(Protocol):
    """What the evaluator `captioning` runs under: what it needs is stated, by the paper or in `run`."""

    checkpoint: Checkpoint
    dataset: Dataset
    prompt: str
    decoding: Decoding
    precision: Precision = "float32"
    metric: Text


class PredictionsProtocol(Protocol):
    """What the evaluator `predictions` scores under."""

    dataset: Dataset
    metric: Text


class Sample(Model):
    """A subset of the split, drawn by seed."""

    size: Positive
    seed: int = 0


class Requires(Model):
    """What the machine must have for an attempt to make sense."""

    device: Literal["cpu", "cuda"] = "cpu"


class CaptioningRun(Model):
    """Caption images with the model and score the captions."""

    protocol: ClassVar[type[Protocol]] = CaptioningProtocol
    """What the evaluator needs of a protocol is required there."""
    runs_checkpoint: ClassVar[bool] = True
    """Whether a release candidate can take the place of what is run."""
    paths: ClassVar[tuple[str, ...]] = ()
    """The files that the run section names."""

    evaluator: Literal["captioning"]
    columns: Columns = Columns()
    sample: Sample | None = None
    requires: Requires = Requires()
    batch_size: Positive | None = Field(
        default=None, description="images per batch; never changes a caption in float32"
    )


class PredictionsFile(Model):
    """Released captions: a JSON list of objects."""

    path: DataPath
    id: Text
    caption: Text


class ReferencesFile(Model):
    """Reference captions: a COCO annotations object, a list of objects, or a mapping of id to list."""

    path: DataPath
    id: Text = "image_id"
    captions: Text = "caption"


class PredictionsRun(Model):
    """Score captions that somebody released."""

    protocol: ClassVar[type[Protocol]] = PredictionsProtocol
    runs_checkpoint: ClassVar[bool] = False

    evaluator: Literal["predictions"]
    predictions: PredictionsFile
    references: ReferencesFile

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that the run section names."""
        return (self.predictions.path, self.references.path)


class ConfigFile(Model):
    """A `transformers` configuration file."""

    path: DataPath


class ParametersRun(Model):
    """Count the parameters of a configuration on the meta device."""

    protocol: ClassVar[type[Protocol]] = Protocol
    runs_checkpoint: ClassVar[bool] = False

    evaluator: Literal["parameters"]
    config: ConfigFile
    trainable: tuple[Text, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that the run section names."""
        return (self.config.path,)


Run = CaptioningRun | PredictionsRun | ParametersRun


class ClaimSection(Model):
    """One entry of `claims`."""

    id: Annotated[str, StringConstraints(pattern=CLAIM_ID)]
    citation: Citation
    reported: Reported
    tolerance: Tolerance
    direction: Literal["two_sided", "at_least", "at_most"] = "two_sided"
    expect: StatusName | None = Field(default=None, description="a known, recorded result; anything else is then red")
    protocol: dict[str, Any] = Field(default={}, description="overrides single keys of the file's protocol")
    run: dict[str, Any] = Field(default={}, description="overrides single keys of the file's run")


def _is_model(member: object) -> bool:
    return isinstance(member, type) and issubclass(member, BaseModel)


def _first(member: object) -> object:
    return next(iter(get_args(member)), None)


def protocol_keys() -> dict[str, type]:
    """The dotted keys of a protocol's single values: `{"dataset.id": str, …}`, and `object` where the value is not text."""
    keys: dict[str, type] = {}
    for name, found in Protocol.model_fields.items():
        inner = next((m for m in get_args(found.annotation) if isinstance(m, type) and issubclass(m, BaseModel)), None)
        if inner is None:
            keys[name] = str
            continue
        for below, field in inner.model_fields.items():
            members = get_args(field.annotation) or (field.annotation,)
            # Annotated[int, …] and Literal["a", "b"] wrap the type, or the values, that we look for.
            plain = [
                (get_args(m) or (m,))[0] if get_origin(m) is Annotated else m for m in members if m is not type(None)
            ]
            # A command line gives each key one word, so mappings, lists and sections cannot be set there.
            if any(get_origin(member) in (dict, tuple) or _is_model(member) for member in plain):
                continue
            text = all(member is str or isinstance(member, str) or isinstance(_first(member), str) for member in plain)
            keys[f"{name}.{below}"] = str if text else object
    return keys
