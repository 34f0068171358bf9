"""The JSON Schema of claim files, for editors: `python -m pytest_claims.spec.schema` writes the shipped copy anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field, create_model

from pytest_claims.spec import models
from pytest_claims.spec.load import Run

SHIPPED = Path(__file__).with_name("claims.schema.json")


def generate() -> str:
    """The schema as JSON text, ending in a newline.

    A claim completes the shared sections `protocol` and `run`, so none of their keys is required here. An editor must not mark
    a file that the loader accepts.
    """
    file = create_model(
        "ClaimFile",
        __base__=models.Model,
        paper=(models.Paper, Field(description="the paper that reports the numbers")),
        protocol=(models.Protocol | None, Field(default=None, description="how the paper obtained its numbers")),
        run=(Run | None, Field(default=None, description="how it is evaluated here")),
        claims=(tuple[models.ClaimSection, ...], Field(min_length=1, description="the claims, one for each number")),
    )
    schema = file.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "pytest-claims claim file"
    definitions = schema["$defs"]
    for name in ("Checkpoint", "Dataset", "ImageProtocol", "Decoding", "Protocol", "CaptioningRun", "AnsweringRun",
                 "PredictionsRun", "ParametersRun", "PredictionsFile", "ReferencesFile", "ConfigFile", "Sample",
                 "DerivedRun", "Ranking", "RetrievalRun"):  # fmt: skip
        definitions[name].pop("required", None)
    # A run section holds the keys of one evaluator, and any key of the protocol. With `anyOf`, an editor would show three long
    # errors for one mistake.
    run: dict[str, Any] = {"additionalProperties": False, "type": "object", "properties": {}}
    for name in ("RetrievalRun", "AnsweringRun", "CaptioningRun", "PredictionsRun", "ParametersRun", "DerivedRun"):
        run["properties"] |= definitions.pop(name)["properties"]
    del definitions["HookedRun"]  # the keys of a plugin's evaluator are not known here
    run["properties"] |= definitions["Protocol"]["properties"]
    run["properties"]["evaluator"] = {
        "description": "captioning: run a model; answering: ask it questions; predictions: score released outputs; "
        "parameters: count a configuration; retrieval: rank texts for images, or images for texts; "
        "derived: compute it from other numbers",
        "enum": ["answering", "captioning", "derived", "parameters", "predictions", "retrieval"],
        "type": "string",
    }
    definitions["Run"] = run
    schema["properties"]["run"] = {"$ref": "#/$defs/Run", "description": "how it is evaluated here"}
    schema["properties"]["protocol"] = {
        "$ref": "#/$defs/Protocol",
        "description": "how the paper obtained its numbers; a claim may override single keys",
    }
    section = definitions["ClaimSection"]["properties"]
    section["run"] = {"$ref": "#/$defs/Run", "description": section["run"]["description"]}
    section["protocol"] = {"$ref": "#/$defs/Protocol", "description": section["protocol"]["description"]}
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SHIPPED.write_text(generate(), encoding="utf-8")
