"""Mutated predictions and references: a verdict or an error that names a file, never anything else.

Claim files are fuzzed in tests/test_spec.py. PYTEST_CLAIMS_FUZZ is the number of examples; `tox -e fuzz` sets it to 10,000.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_claims.bench import Bench
from pytest_claims.run import Session
from pytest_claims.settings import Settings
from pytest_claims.spec import load
from pytest_claims.verdict import Status
from tests.builders import PREDICTIONS, REFERENCES, caption_files, claim_file
from tests.test_spec import EXAMPLES, KEYS, VALUES, places

if TYPE_CHECKING:
    from pathlib import Path

FUZZ = settings(
    derandomize=True,
    database=None,
    deadline=5000,  # no file may keep a session busy for longer
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # every example writes its files anew
)

ROWS: list[Any] = [{"image_id": name, "caption": text} for name, text in PREDICTIONS.items()]
COCO = {"annotations": [{"image_id": name, "caption": text} for name, all_ in REFERENCES.items() for text in all_]}
PIECES = [
    b"",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b'"',
    b"\\u",
    b"\\ud800",
    b"NaN",
    b"1e999",
    b"\0",
    b"\xff",
    b"null",
    b"0",
    b"\n",
]


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> bytes:
    """`value` as JSON, with up to three parts replaced, removed or renamed, and up to two pieces of the text overwritten."""
    value = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(0, 3))):
        found = places(value)
        if not found:
            break
        *parents, last = draw(st.sampled_from(found))
        place = value
        for parent in parents:
            place = place[parent]
        match draw(st.sampled_from(["replace", "remove", "rename"])):
            case "replace":
                place[last] = draw(VALUES)
            case "remove":
                del place[last]
            case "rename" if isinstance(place, dict):
                place[draw(KEYS)] = place.pop(last)
    data = json.dumps(value).encode()
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, len(data)))
        data = data[:start] + draw(st.sampled_from(PIECES)) + data[start + draw(st.integers(0, 3)) :]
    return data


@FUZZ
@given(predictions=mutated(ROWS), references=st.one_of(mutated(REFERENCES), mutated(COCO)))
def test_any_captions(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, predictions: bytes, references: bytes
) -> None:
    """With any content of the files the claim ends in a verdict. An error names the file, with a line, an item or an image."""
    folder: Path = request.config.stash.setdefault(FOLDER, tmp_path_factory.mktemp("fuzz"))
    path = claim_file(folder)
    caption_files(folder)
    (folder / "predictions.json").write_bytes(predictions)
    (folder / "references.json").write_bytes(references)
    verdict = Session(Settings(), Bench(), {}).verify(load(path)[0])
    assert verdict.status in (Status.PASS, Status.PARTIAL, Status.FAIL, Status.PENDING, Status.ERROR)
    if verdict.status is Status.ERROR:
        assert re.match(r"(predictions|references)\.json\b|Image |The id ", verdict.reason), verdict.reason
        assert not re.search(r"\(at .*\.py:\d+\)", verdict.reason), verdict.reason


FOLDER: pytest.StashKey[Any] = pytest.StashKey()
