"""The reports as texts: what they hold, what they survive, and how the table reads."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import jsonschema
import pytest
import xmlschema

from pytest_claims import reports
from pytest_claims.errors import ClaimsError
from pytest_claims.reports import facts
from pytest_claims.reports import schema as shipped
from pytest_claims.reports.format import RunInfo
from tests.builders import CAPTIONS, claim, of_status, put
from tests.running import STATUSES, plain, run, schema

RUN = RunInfo(tool="pytest-claims 0", command="pytest", gate="partial", exit_status=0, collected=0, deselected=0)


# --- the files -------------------------------------------------------------------------------------------------------


def test_a_missing_folder_is_made(pytester: pytest.Pytester) -> None:
    """A report's folder is created, and the report is readable by others, as the umask says."""
    put(pytester.path)
    found = plain(pytester, "claims", "--claims-report=a/b/verdicts.XML")
    path = pytester.path / "a/b/verdicts.XML"
    assert found.ret == 0
    assert found.lines("verdict report") == [f"verdict report: {path}"]
    schema().validate(path.read_text())
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("args", [[], ["--no-summary"], ["-p", "no:terminal"], ["-q"]], ids=["", "-", "no:", "-q"])
def test_a_report_that_cannot_be_written(pytester: pytest.Pytester, args: list[str]) -> None:
    """A report whose folder is a file: one line, red, no traceback, and the other reports are written."""
    put(pytester.path)
    (pytester.path / "blocked").write_text("a file")
    found = plain(pytester, "claims", "--claims-report=blocked/verdicts.xml", "--claims-report=verdicts.json", *args)
    blocked = pytester.path / "blocked"
    line = f"The report {blocked}/verdicts.xml cannot be written: {blocked} is a file."
    assert found.ret == 1
    assert [*found.out.splitlines(), *found.err.splitlines()].count(line) == 1
    assert "Traceback" not in found.out + found.err
    assert len(json.loads((pytester.path / "verdicts.json").read_text())["records"]) == 1


def test_the_shipped_schema_is_current() -> None:
    """The schema that ships is the one that the models give; `python -m pytest_claims.reports.schema` writes it."""
    assert shipped.SHIPPED.read_text(encoding="utf-8") == shipped.generate()


def test_a_report_is_valid_under_the_shipped_schema(pytester: pytest.Pytester) -> None:
    """Records of every status are valid; a status that does not exist is not; a key of a later version is allowed."""
    put(pytester.path, *(of_status(status) for status in STATUSES))
    report = json.loads(run(pytester, "claims", twice=True).json)
    rules = json.loads(shipped.SHIPPED.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(rules)
    jsonschema.validate(report, rules)
    report["records"][0]["later"] = 1
    jsonschema.validate(report, rules)
    report["records"][0]["verdict"]["status"] = "fine"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(report, rules)


@pytest.mark.parametrize("at", ["fsync", "replace"])
def test_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """If writing a report breaks off, the old report is still there, whole, and no other file."""
    path = tmp_path / "verdicts.json"
    path.write_text("old")

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync", full) if at == "fsync" else (Path, "replace", full)))
    with pytest.raises(ClaimsError) as raised:
        reports.write(path, RUN, [])
    assert str(raised.value) == f"The report {path} cannot be written: No space left on device."
    assert [file.name for file in tmp_path.iterdir()] == ["verdicts.json"]
    assert path.read_text() == "old"


# --- our schema ------------------------------------------------------------------------------------------------------


@pytest.fixture
def document(pytester: pytest.Pytester) -> str:
    """A valid JUnit report with a red claim."""
    put(pytester.path, of_status("fail", "one"), claim("two"))
    return run(pytester, "claims").xml


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('tests="2"', 'tests="two"'),
        ('tests="2"', 'tests="-2"'),
        ('<testsuites name="claims"', '<testsuites name="pytest"'),
        ('<testsuite name="claims/paper.yaml"', '<testsuite id="1" name="claims/paper.yaml"'),
        ('timestamp="2', 'timestamp="x2'),
        ('group="fail"', 'group="failed"'),
        ('group="fail"', 'file="claims/paper.yaml" group="fail"'),
        ('<property name="gate"', '<property name="tool"'),
        ('<property name="gate"', '<property name="colour"'),
        ('name="one"', 'name="two"'),
        ('name="one"', 'name=""'),
        ("<system-out>", "<system-err/><system-out>"),
        ('<failure type="claim.fail"', '<failure type="fail"'),
        ('<failure type="claim.fail"', "<failure"),
        ("</testsuites>", "<testsuite/></testsuites>"),
        ('classname="claims/paper.yaml" ', ""),
    ],
)
def test_the_schema_is_strict(document: str, old: str, new: str) -> None:
    """The schema that every report of these tests is held against refuses what a report must not be."""
    schema().validate(document)
    assert old in document
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        schema().validate(document.replace(old, new, 1))


# --- hostile text ----------------------------------------------------------------------------------------------------

HOSTILE = {
    "escape sequences": "\x1b[31m\x1b]0;title\x07\x9b31m",
    "nul and delete": "\x00\x7f\x08",
    "markup": "]]><script>alert(1)</script>&amp;<!--",
    "a fact of its own": "x\nstatus: pass\r\nreason: fine\x85status: pass\u2028status: pass",
    "commands to a CI system": "::error::x\n::error::y\r\n  ##[error]z\x85##vso[task.x]y",
    "right to left": "\u202egnp.exe\u2066",
    "not a character": "\ufffe\uffff",
    "half a pair": "\ud83d",
    "a megabyte": "long " * 200_000,
    "beyond": "😀 日本語 é",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_captions_and_ids(pytester: pytest.Pytester, text: str) -> None:
    """With any text in a released file the reports are valid. No text in them or on the terminal acts as a command."""
    captions = {**CAPTIONS, f"4{text[:50]}": text}
    put(pytester.path, claim("whole", tolerance={"pass": 99, "partial": 99}), captions=captions)
    put(pytester.path, claim("lost"), captions=captions, name="claims/lost/paper.yaml")
    rows = json.loads((pytester.path / "claims/lost/out.json").read_text())
    rows[-1]["image_id"] = f"5{text}"  # the reader quotes it
    (pytester.path / "claims/lost/out.json").write_text(json.dumps(rows))
    found = run(pytester, "claims", "-rA", "-v")
    assert found.statuses["lost"] == "error"
    half = text == HOSTILE["half a pair"]  # no file name and no report can hold it as a character
    assert found.statuses["whole"] == ("error" if half else "pass")
    inert(found.out)
    inert(found.json)
    inert(found.xml)


PLACES = {
    "title": "paper__title",
    "path": "run__predictions__path",
    "dataset": "protocol__dataset__id",
    "checkpoint": "protocol__checkpoint__id",
}


@pytest.mark.parametrize("key", ["notes", "quoted_text", "section", *PLACES])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_claim_files(pytester: pytest.Pytester, text: str, key: str) -> None:
    """A claim file with any text is a claim or a problem of one line. No text acts as a command in reports or terminal."""
    whole = f"50.0 {text}"[:19_000]
    if key in ("notes", "quoted_text", "section"):
        put(pytester.path, of_status("fail", "one", **{f"citation__{key}": text if key == "notes" else whole}))
    else:
        put(pytester.path, of_status("fail", "one"), **{PLACES[key]: whole})  # type: ignore[arg-type] # only keys of a claim file
    found = run(pytester, "claims", "-rA")
    assert len(found.records) == 1
    inert(found.out)
    inert(found.json)
    inert(found.xml)


def inert(text: str) -> None:
    """Fails where `text` holds what steers a terminal, or a line that is too long for one."""
    acting = {char for char in text if (ord(char) < 32 and char not in "\n\t") or 0x7F <= ord(char) <= 0x9F}
    assert acting == set()
    assert not {"\u202e", "\u2066", "\u2028", "\ufffe", "\uffff"} & set(text)
    assert [line for line in text.splitlines() if re.match(r"\s*::|.*##\w*\[", line)] == []
    assert not (text.startswith("<?xml") and "<script" in text)


def test_the_terminal_is_not_flooded(pytester: pytest.Pytester) -> None:
    """A text of a megabyte stands in the reports whole, and on the terminal with its beginning."""
    put(pytester.path, of_status("fail", "one", citation__notes="x" * 900_000))
    found = run(pytester, "claims")
    assert found.ret == 1
    assert max(map(len, found.out.splitlines())) < 2_000
    note = next(line for line in found.out.splitlines() if line.startswith("notes: "))
    assert note == f"notes: {'x' * 993} … (899,007 more characters)"
    assert "x" * 900_000 in found.xml
    assert "x" * 900_000 in found.json


# --- numbers and lines -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "unit", "number", "difference"),
    [
        (30.394, "percent", "30.39", "+30.39"),
        (-0.001, "percent", "0.00", "+0.00"),
        (0.30394, "fraction", "0.3039", "+0.3039"),
        (3_744_761_856.0, "count", "3,744,761,856", "+3,744,761,856"),
        (3.7448, "billion", "3.745", "+3.745"),
        (107.13, "million", "107.13", "+107.13"),
        (-13.31, "percent", "-13.31", "-13.31"),
        (None, "percent", "–", "–"),
    ],
)
def test_numbers(value: float | None, unit: str, number: str, difference: str) -> None:
    """A number shows the digits that its unit needs; nothing is minus zero."""
    assert facts.number(value, unit) == number
    assert facts.difference(value, unit) == difference


def test_facts(pytester: pytest.Pytester) -> None:
    """The facts of a claim, in JUnit's system-out, are what one must know to believe or refute its verdict."""
    put(pytester.path, of_status("pending", "one"))
    text = run(pytester, "claims", twice=True).case("one").findtext("system-out") or ""
    lines = text.splitlines()
    reason = (
        "Withheld: the run drifted from the paper's protocol (dataset). 100 against 100.0 percent: a difference of +0 is "
        "within the pass band (±0.05). The released outputs give the reported number; how they were generated was not observed."
    )
    assert lines[:11] == [
        "status: pending",
        f"reason: {reason}",
        "next step: Run it without overrides, or correct the claim's protocol if the paper really did this.",
        "reported: 100.0 % bleu1",
        "measured: 100.00 % (+0.00)",
        "outcome: pass",
        "score: 0.9999999999",
        "confidence: 0.0",
        "protocol match: drift",
        "basis: rescored",
        "images: 3",
    ]
    assert "citation: https://example.org/paper, Table 1, ours, B@1" in lines
    assert "quoted: ours 100.0" in lines
    dataset = next(line for line in lines if line.startswith("axis dataset: "))
    assert dataset.startswith("axis dataset: paper id=tiny, images=3 | run id=other, images=3, ")
    assert dataset.endswith(" | drift")
    assert lines[-1] == "command: pytest claims/paper.yaml::one"
