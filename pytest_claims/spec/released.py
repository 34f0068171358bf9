"""What a claim file says about released outputs: the files that hold them and their references, and the names in them."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pytest_claims.spec.models import Grown, Model, PredictionsProtocol, Protocol
from pytest_claims.spec.values import DataPath, Noun, Text


class ReleasedFile(Grown):
    """A file of released outputs or of references: a list of objects, a mapping of ids, COCO's annotations, or JSON lines."""

    path: DataPath = Field(description="the file, below the claim file's folder or a --claims-data folder")
    id: Text = Field(default="image_id", description="the key of an object that holds the id of its row")


class PredictionsFile(ReleasedFile):
    """Released outputs."""

    caption: Text = Field(default="caption", description="the key of an object that holds a caption")
    prediction: Text | None = Field(
        default=None,
        description="the key of an object that holds the output: a text, or a list, the best first. null: its name in `output`",
    )
    output: Noun | None = Field(
        default=None,
        description="what an output is: caption (where left out), answer, label, or ranking (a list of ids)",
    )
    extras: tuple[Text, ...] | None = Field(
        default=None, description="the keys of texts that reports show beside the output, such as question"
    )

    added: ClassVar[tuple[str, ...]] = ("prediction", "output", "extras")

    @property
    def key(self) -> str:
        """The key of an object that holds the output."""
        return self.prediction or (self.caption if self.output in (None, "caption") else str(self.output))


class ReferencesFile(ReleasedFile):
    """What the outputs are scored against."""

    captions: Text = Field(
        default="caption", description="the key of an object that holds a caption, or a list of them"
    )
    references: Text | None = Field(
        default=None,
        description="the key of an object that holds a reference, or a list of them; answers.answer: of each object in the "
        "list answers. null: the name in `output`",
    )
    extras: tuple[Text, ...] | None = Field(
        default=None, description="the keys of texts that reports show beside the output, such as question"
    )

    added: ClassVar[tuple[str, ...]] = ("references", "extras")

    def key(self, noun: Noun) -> str:
        """The key of an object that holds a reference, or a list of them."""
        return self.references or (self.captions if noun == "caption" else noun)


class PredictionsRun(Model):
    """Score outputs that somebody released: captions, answers, labels or rankings."""

    protocol: ClassVar[type[Protocol]] = PredictionsProtocol
    runs_checkpoint: ClassVar[bool] = False

    evaluator: Literal["predictions"]
    predictions: PredictionsFile = Field(description="the released outputs")
    references: ReferencesFile = Field(
        description="what they are scored against, such as the captions that people wrote"
    )

    @property
    def gives(self) -> tuple[str, ...]:
        """What a metric can read of the outputs. Which of them the file holds is known when it is read."""
        return ("ranked",) if self.noun == "ranking" else ("text", "ranked")

    @property
    def noun(self) -> Noun:
        """What an output is called."""
        return self.predictions.output or "caption"

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that the run section names."""
        return (self.predictions.path, self.references.path)
