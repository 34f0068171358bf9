"""`from pytest_claims import verify`: the verdicts of pytest, without pytest."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

import pytest_claims
from pytest_claims import SettingsError, SpecError, Status, Verdict, verify
from pytest_claims.reports import record
from pytest_claims.verdict import Result
from tests.builders import STATUS, claim, of_status, put, released
from tests.running import run
from tests.shapes import MODEL, SHAPES, warm, write_claim

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["warm"]


def facts(verdict: Verdict) -> dict[str, Any]:
    """What a report says of a verdict, without what belongs to the session."""
    found = record.of_verdict(verdict, nodeid="", result=Result.PASSED, message="", seconds=0.0).values()
    return comparable(found)


def comparable(found: dict[str, Any]) -> dict[str, Any]:
    """A record without times, and without what only a session of pytest knows."""
    for section in (found["verdict"], *filter(None, found["verdicts"].values())):
        section.pop("computed_at")
    for key in ("test", "seconds", "claim", "provenance"):
        found["evidence"].pop(key)
    return found


def test_the_verdicts_of_pytest(pytester: pytest.Pytester, capfd: pytest.CaptureFixture[str]) -> None:
    """For each status the verdict is that of pytest's JSON report, in the order of the file. Nothing is printed or raised."""
    put(pytester.path, *map(of_status, STATUS))
    expected = run(pytester, "claims")
    capfd.readouterr()
    verdicts = verify("claims/paper.yaml")
    assert capfd.readouterr() == ("", "")
    assert [verdict.status.value for verdict in verdicts] == list(STATUS)
    assert [verdict.claim.id.replace("-", "_") for verdict in verdicts] == list(STATUS)
    for verdict in verdicts:
        assert facts(verdict) == comparable(expected.records[verdict.claim.id])


def test_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments mean what the options of pytest mean: one claim of a file, data folders, overrides."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path, claim("a"), claim("b", run__predictions__path="far.json"))
    released(tmp_path / "data")
    (tmp_path / "data" / "out.json").rename(tmp_path / "data" / "far.json")
    (verdict,) = verify(tmp_path / "claims" / "paper.yaml::b", data=[tmp_path / "data"])
    assert (verdict.status, round(verdict.measured or 0, 6)) == (Status.PASS, Decimal(100))
    (verdict,) = verify("claims/paper.yaml::b")
    assert (verdict.status, verdict.score) == (Status.NOT_ATTEMPTED, None)
    assert "far.json was not found" in verdict.reason
    (verdict,) = verify("claims/paper.yaml::a", overrides={"dataset.id": "other"})
    assert (verdict.status, verdict.match) == (Status.PENDING, "drift")


def test_a_model_and_its_candidate(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A model is run as pytest runs it, silently; a candidate's verdict is PRE; kept evidence is found again."""
    path = write_claim(tmp_path, metrics=("bleu4", "bleu1"))
    capfd.readouterr()
    published = verify(path, data=[SHAPES], evidence=tmp_path / "evidence")
    assert {verdict.match for verdict in published} == {"exact"}
    assert [verdict.claim.id for verdict in published] == ["bleu4", "bleu1"]
    again = verify(path, data=[SHAPES], evidence=tmp_path / "evidence")
    assert [verdict.id for verdict in again] == [verdict.id for verdict in published]
    assert again[0].evidence is not None
    assert again[0].evidence.created_at == published[0].evidence.created_at  # type: ignore[union-attr]
    (candidate,) = verify(
        f"{path}::bleu4", data=[SHAPES], candidates={"model": MODEL}, overrides={"decoding.num_beams": 1}
    )
    assert (candidate.kind, candidate.status) == ("PRE", Status.PENDING)
    assert capfd.readouterr() == ("", "")


def test_what_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not valid, a claim that is not in it and a wrong argument are exceptions, each with its reason."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path)
    with pytest.raises(SpecError, match=r"^claims/paper\.yaml:1: no claim has the id 'onee', did you mean 'one'\?$"):
        verify("claims/paper.yaml::onee")
    with pytest.raises(SpecError, match="cannot be read"):
        verify("claims/nothing.yaml")
    with pytest.raises(SettingsError, match="did you mean 'decoding"):
        verify("claims/paper.yaml", overrides={"decoding.num_beam": 1})
    with pytest.raises(SettingsError, match="there is no folder"):
        verify("claims/paper.yaml", data=["nowhere"])
    with pytest.raises(SettingsError, match="no selected claim"):
        verify("claims/paper.yaml", candidates={"model": MODEL})
    put(tmp_path, claim(reported__unit="points"))
    with pytest.raises(SpecError, match="expected 'percent'"):
        verify("claims/paper.yaml")


def test_names_of_the_package() -> None:
    """The package offers what it lists, and an unknown name is an AttributeError as for any module."""
    assert all(hasattr(pytest_claims, name) for name in pytest_claims.__all__)
    with pytest.raises(AttributeError, match="verfy"):
        getattr(pytest_claims, "verfy")  # noqa: B009 - mypy knows that it is not there
