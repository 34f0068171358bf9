"""The JSON Schema of the JSON report. `python -m pytest_claims.reports.schema` updates the copy that ships."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pytest_claims.reports.format import SCHEMA, Report

SHIPPED = Path(__file__).with_name("verdicts.schema.json")


def generate() -> str:
    """The schema as JSON text with a newline at its end.

    The schema allows unknown keys, so that reports of a later version, which may have more keys, are valid too.
    """
    schema = Report.model_json_schema(by_alias=True, mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["$id"] = f"https://github.com/pytest-claims/pytest-claims/{SCHEMA}"
    schema["title"] = "pytest-claims verdict report"
    _allow_more(schema)
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _allow_more(value: Any) -> None:
    if isinstance(value, dict):
        if value.get("additionalProperties") is False:
            del value["additionalProperties"]
        for inner in value.values():
            _allow_more(inner)
    elif isinstance(value, list):
        for inner in value:
            _allow_more(inner)


if __name__ == "__main__":
    SHIPPED.write_text(generate(), encoding="utf-8")
