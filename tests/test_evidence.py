"""What a run produced, and its digest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_claims import digests
from pytest_claims.evidence import Basis, Evidence, Output

if TYPE_CHECKING:
    import pytest


def test_the_digest_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many steps ask for the digest, and outputs may be millions: they are read once. Other outputs have another digest."""
    computed: list[str] = []
    compute = digests.of_json_object

    def counted(*given: Any) -> str:
        computed.append(compute(*given))
        return computed[-1]

    monkeypatch.setattr(digests, "of_json_object", counted)
    output = Output(id="a", text="a dog", references=("a dog runs",))
    evidence = Evidence(basis=Basis.RESCORED, outputs=(output,))
    assert evidence.digest == evidence.digest
    assert len(computed) == 1
    other = replace(evidence, outputs=(replace(output, text="a cat"),))
    assert other.digest != evidence.digest
    noted = replace(evidence, notes=("a note",))
    assert noted.digest == evidence.digest
    assert noted != evidence
    assert replace(evidence) == evidence
