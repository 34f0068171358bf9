"""`--claims-report=verdicts.intoto.json`: statements that in-toto's tools can sign and verify."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, Signature  # type: ignore[attr-defined] # public, and not in `__all__`

from pytest_claims.reports import intoto
from tests.builders import claim, of_status, put
from tests.ledger.books import record
from tests.running import plain

if TYPE_CHECKING:
    from pathlib import Path

PAYLOAD = "application/vnd.in-toto+json"
RESOURCE = {"name", "uri", "digest", "content", "downloadLocation", "mediaType", "annotations"}
"""The fields of a ResourceDescriptor, as the in-toto attestation framework publishes them."""

TEST_RESULT = {"result", "configuration", "url", "passedTests", "warnedTests", "failedTests"}
"""The fields of the predicate test-result v0.1; the first two are required."""


@pytest.fixture
def statements(pytester: pytest.Pytester) -> tuple[Path, list[dict[str, Any]]]:
    """The claim file, and the two statements of a session with a pass, a partial, a fail and a gap."""
    path = put(pytester.path, claim("passes"), of_status("partial", "nearly"), of_status("fail", "fails"))
    result = plain(pytester, "claims", "--claims-report=verdicts.intoto.json")
    names = ("verdicts.intoto.json", "verdicts.records.intoto.json")
    assert [f"verdict report: {pytester.path / name}" in result.out for name in names] == [True, True]
    return path, [json.loads((pytester.path / name).read_text()) for name in names]


def test_the_published_fields(statements: tuple[Path, list[dict[str, Any]]]) -> None:
    """Both are statements v1 about the claim file's bytes; the first has the predicate test-result, the second our records."""
    path, found = statements
    for statement in found:
        assert set(statement) == {"_type", "subject", "predicateType", "predicate"}
        assert statement["_type"] == "https://in-toto.io/Statement/v1"
        for subject in statement["subject"]:
            assert set(subject) <= RESOURCE
            assert subject["digest"]
        assert statement["subject"] == [
            {"name": "claims/paper.yaml", "digest": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}}
        ]
    result, records = (statement["predicate"] for statement in found)
    assert found[0]["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert {"result", "configuration"} <= set(result) <= TEST_RESULT
    assert all(set(one) <= RESOURCE and ({"uri", "digest", "content"} & set(one)) for one in result["configuration"])
    lists = ("passedTests", "warnedTests", "failedTests")
    assert [[nodeid.partition("::")[2] for nodeid in result[key]] for key in lists] == [
        ["passes"],
        ["nearly"],
        ["fails"],
    ]
    assert result["result"] == "FAILED"
    assert [one["verdict"]["status"] for one in records["records"]] == ["fail", "partial", "pass"]


def test_signed_and_verified(statements: tuple[Path, list[dict[str, Any]]]) -> None:
    """A DSSE envelope of a statement is verified with the key that signed it; a changed statement is not."""
    signer = CryptoSigner.generate_ed25519()
    for statement in statements[1]:
        envelope = Envelope(json.dumps(statement).encode(), PAYLOAD, {})
        signature: Signature = envelope.sign(signer)
        again = Envelope.from_dict(json.loads(json.dumps(envelope.to_dict())))
        assert set(again.verify([signer.public_key], 1)) == {signer.public_key.keyid}
        forged = json.dumps(statement).replace("fails", "passes").encode()
        with pytest.raises(VerificationError):
            Envelope(forged, PAYLOAD, {signature.keyid: signature}).verify([signer.public_key], 1)


def test_checkpoints_are_subjects() -> None:
    """A checkpoint of the hub is a subject by its commit, one in a folder by the digest of its files."""
    values = record().values()
    axis = {"axis": "checkpoint", "paper": "id=a/b", "run": f"id=a/b, commit={'c' * 40}", "consequence": "none"}
    values["evidence"]["axes"] = [axis]
    other = json.loads(json.dumps(values))
    other["evidence"]["axes"][0]["run"] = f"id=model, digest={'d' * 16}"
    made = [type(record()).model_validate(one) for one in (values, other)]
    assert intoto._checkpoints(made) == [
        {"name": "a/b", "digest": {"gitCommit": "c" * 40}},
        {"name": "model", "digest": {intoto.FOLDER: "d" * 16}},
    ]


def test_nothing_to_attest(pytester: pytest.Pytester) -> None:
    """A session without claims writes no attestation, and says why."""
    pytester.makepyfile("def test(): pass")
    result = pytester.runpytest_inprocess("--claims-report=v.intoto.json")
    assert result.ret == 1
    assert "nothing to attest" in result.stdout.str()
    assert not (pytester.path / "v.intoto.json").exists()
