"""What a claim file may say, as pydantic models; the JSON Schema for editors is generated from them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, StringConstraints, model_serializer

from pytest_claims.spec.decoding import Decoding
from pytest_claims.spec.ranking import Ranking
from pytest_claims.spec.values import (
    ARXIV_ID,
    CLAIM_ID,
    DataPath,
    Family,
    MetricName,
    Positive,
    Precision,
    PrintedNumber,
    Resample,
    Scalar,
    StatusName,
    Text,
    ToleranceBand,
    Unit,
)


class Model(BaseModel):
    """Strict and frozen: no unknown key, no conversion between types, no change after reading."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=False)


class Grown(Model):
    """A model with keys that came later. Where such a key is null, it is left out of what is dumped."""

    added: ClassVar[tuple[str, ...]] = ()
    """The keys that came later. The digests of claims, plans and evidence that do not use one stay what they were."""

    @model_serializer(mode="wrap")
    def _without_unused(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = plain(self)
        return {key: value for key, value in values.items() if value is not None or key not in self.added}


class Paper(Model):
    """The paper that reports the numbers."""

    arxiv_id: Annotated[str, StringConstraints(pattern=ARXIV_ID)] | None = Field(
        default=None, description='without its version and in quotes, such as "2301.12597"; null: not on arXiv'
    )
    title: Text = Field(description="the paper's title")
    abstract: str | None = Field(default=None, description="the paper's abstract, for the reports")
    primary_category: str | None = Field(default=None, description="arXiv's primary category, such as cs.CV")
    venue: str | None = Field(default=None, description="where it was published, such as ICML 2023")
    published_at: str | None = Field(default=None, description='the date of the first version, such as "2023-01-30"')
    latest_version: Positive | None = Field(default=None, description="the number of arXiv's latest version")
    withdrawn: bool = Field(default=False, description="whether the authors withdrew the paper")
    source_url: Text | None = Field(default=None, description="where the numbers stand; required without an arxiv_id")
    source: DataPath | None = Field(default=None, description="file or folder that citations are checked against")
    rendered_html_url: Text | None = Field(
        default=None, description="a page that shows the latest version, if one was seen"
    )
    rendering_engine: Text | None = Field(default=None, description="what made that page, such as arxiv-html")


class Citation(Model):
    """The cell of the table that holds the number, and the words around it."""

    section: Text = Field(description="the table or section that holds the number, such as Table 3")
    row: Text = Field(description="the row of the table: usually the model")
    column: Text = Field(description="the column of the table: usually data set and metric")
    quoted_text: Text = Field(
        description="the words around the number, as the paper has them; they must hold the number"
    )
    pdf_page: Positive | None = Field(default=None, description="the page of the PDF, counted from 1")
    notes: str | None = Field(default=None, description="what a reader of the report should know")


class Reported(Model):
    """The number, in the paper's unit, with the digits the paper prints."""

    metric: MetricName = Field(description="the metric's name; a plugin may add others")
    value: PrintedNumber = Field(description="the number with the digits that the paper prints: 43.70 is not 43.7")
    unit: Unit = Field(
        description="percent: the natural value times 100 (BLEU, ROUGE-L, CIDEr); fraction: the natural value; for numbers of "
        "parameters count, million or billion; times: how many times as much"
    )


MIN_SAMPLE = 50
"""The smallest number of images that counts as a sample, whatever a claim says.

The 95 % interval of BLEU-4 near 43 is about 102/√n points wide: 14 points at 50 images, and 23 points at the 20 images of the
run that this project had to retract.
"""


class Tolerance(Model):
    """How far a result may lie from the reported value; half of the last printed digit is always added."""

    pass_: ToleranceBand = Field(
        alias="pass",
        description="pass within this distance: in the reported unit, or a percentage of the value, such as 1%",
    )
    partial: ToleranceBand = Field(description="partial within this distance, fail outside; written like pass")
    min_sample: Positive = Field(
        default=100,
        description=f"fewer images than this are no sample of the paper's split; at least {MIN_SAMPLE} whatever stands here",
    )


class Checkpoint(Model):
    """The weights: a hub id, or a folder beside the claim file."""

    id: Text = Field(
        description="a folder below the claim file's folder, or a hub id such as Salesforce/blip2-opt-2.7b"
    )
    revision: Text | None = Field(
        default=None, description="branch, tag or commit; null: the current commit, which is recorded"
    )
    digest: Text | None = Field(
        default=None,
        description="digest of every file that loading can open, as an earlier run observed it; it pins the files",
    )


class Columns(Grown):
    """The data set's columns."""

    added: ClassVar[tuple[str, ...]] = ("question",)

    image: Text = Field(default="image", description="the column of images, or of the names of image files")
    references: Text = Field(
        default="caption", description="the column of reference captions: a text or a list of them"
    )
    id: Text = Field(default="filename", description="the column of ids, which are unique")
    question: Text | None = Field(
        default=None, description="the column of questions (evaluator answering; default there: question)"
    )


class Dataset(Model):
    """The images and references, as `datasets.load_dataset` reads them."""

    id: Text = Field(
        description="a file or folder below the claim file's folder or a --claims-data folder, or a hub id"
    )
    revision: Text | None = Field(default=None, description="branch, tag or commit on the hub")
    split: Text = Field(default="test", description="the split that the paper scores")
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
    resize: Resample = Field(default="bicubic", description="the filter that resizes")
    mean: Channels | None = Field(default=None, description="what is subtracted from each channel, after rescaling")
    std: Channels | None = Field(default=None, description="what each channel is divided by")
    rescale_factor: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="what pixel values of 0 to 255 are multiplied by; 1 where they are not rescaled"
    )
    normalize: bool | None = Field(default=None, description="whether mean and std are applied")
    convert_rgb: bool | None = Field(default=None, description="whether the processor converts pictures to RGB")
    channel_order: Literal["rgb", "bgr"] | None = Field(default=None, description="the order of the channels")
    other: dict[str, Scalar] | None = Field(
        default=None, description="settings of the image processor that have no key here, by their own names"
    )


class Protocol(Model):
    """The conditions under which the paper obtained the number. The paper does not state what is null or left out."""

    checkpoint: Checkpoint | None = Field(default=None, description="the weights that the paper evaluated")
    dataset: Dataset | None = Field(default=None, description="the images and references that the paper scored")
    image: ImageProtocol | None = Field(default=None, description="what the vision encoder saw")
    prompt: str | None = Field(
        default=None,
        description='the text before the caption; "" says that there was none. For answers a template, such as '
        '"Question: {question} Short answer:"',
    )
    decoding: Decoding | None = Field(default=None, description="how tokens were chosen")
    ranking: Ranking | None = Field(default=None, description="how candidates were ranked, in retrieval")
    precision: Precision | None = Field(default=None, description="the data type of the weights")
    metric: Family | None = Field(default=None, description="the metric's signature family, such as coco-caption")


class CaptioningProtocol(Protocol):
    """What the evaluators `captioning` and `answering` run under: what they need is stated, by the paper or in `run`."""

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

    size: Positive = Field(description="how many images are drawn, without replacement")
    seed: int = Field(default=0, description="the seed that draws them; equal seeds draw the same images")


class Requires(Model):
    """What the machine must have for an attempt to make sense."""

    device: Literal["cpu", "cuda"] = Field(
        default="cpu", description="cuda: without one the claim is not attempted; --claims-device overrides it"
    )


class GeneratingRun(Model):
    """Run a checkpoint on the images of a data set."""

    protocol: ClassVar[type[Protocol]] = CaptioningProtocol
    """What the evaluator needs of a protocol is required there."""
    runs_checkpoint: ClassVar[bool] = True
    """Whether a release candidate can take the place of what is run."""
    paths: ClassVar[tuple[str, ...]] = ()
    """The files that the run section names."""
    gives: ClassVar[tuple[str, ...]] = ("text",)
    """What a metric can read of the outputs, of the keys of `given.NEEDS`."""

    columns: Columns = Field(default=Columns(), description="the columns of the data set as it is here")
    sample: Sample | None = Field(default=None, description="evaluate a sample of the images: at most partial")
    requires: Requires = Field(default=Requires(), description="what the machine must have")
    batch_size: Positive | None = Field(
        default=None, description="images per batch; never changes a caption or an answer in float32"
    )


class CaptioningRun(GeneratingRun):
    """Caption images with the model and score the captions."""

    evaluator: Literal["captioning"]


class ConfigFile(Model):
    """A `transformers` configuration file."""

    path: DataPath = Field(description="config.json as save_pretrained writes it, below the claim file's folder")


class ParametersRun(Model):
    """Count the parameters of a configuration on the meta device."""

    protocol: ClassVar[type[Protocol]] = Protocol
    runs_checkpoint: ClassVar[bool] = False
    gives: ClassVar[tuple[str, ...]] = ("counts",)

    evaluator: Literal["parameters"]
    config: ConfigFile = Field(description="the configuration whose parameters are counted")
    trainable: tuple[Text, ...] = Field(
        default=(), description="the modules or parameters that are trained, by their dotted names in the model"
    )

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that the run section names."""
        return (self.config.path,)


class ClaimSection(Model):
    """One entry of `claims`."""

    id: Annotated[str, StringConstraints(pattern=CLAIM_ID)] = Field(
        description="the claim's name in reports and on the command line: letters, digits, '.', '_' and '-'"
    )
    citation: Citation = Field(description="the cell of the table that holds the number")
    reported: Reported = Field(description="the number")
    tolerance: Tolerance = Field(description="how far a result may lie from the number")
    direction: Literal["two_sided", "at_least", "at_most"] = Field(
        default="two_sided", description="which side counts against the claim: at_least: only a lower number"
    )
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
