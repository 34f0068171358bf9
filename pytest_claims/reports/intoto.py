"""The session as two in-toto statements, which another tool signs: what passed, and all records.

Statement v1 (https://in-toto.io/Statement/v1) with the predicate test-result v0.1
(https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md), and with a predicate of our own: the JSON
report.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

from pytest_claims.errors import ClaimsError
from pytest_claims.reports import json as report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_claims.reports.format import Record, RunInfo

STATEMENT = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
RECORDS = "https://github.com/pytest-claims/pytest-claims/report/v2"
"""The type of our own predicate: a JSON report of the format `pytest-claims/report/2`."""

FOLDER = "pytestClaimsFolder64"
"""The algorithm of a checkpoint folder's digest: the first 64 bits of a SHA-256 over the names and bytes of its files. in-toto
lets a producer name an algorithm of its own, and a verifier ignores those that it does not know."""

_COMMIT = re.compile(r"\bcommit=([0-9a-f]{40})\b")
_FOLDER = re.compile(r"\bdigest=([0-9a-f]{16})\b")
_NAME = re.compile(r"\bid=([^,]+)")


def render(run: RunInfo, records: Sequence[Record]) -> str:
    """The statement with the predicate test-result: which claims passed, which carry a warning, which failed.

    `WARNED` are claims that are green and no plain pass: partial, carried forward, not attempted, or a failure that is
    recorded.

    Raises:
        ClaimsError: no claim file was read, so there is nothing to attest.
    """
    by_result: dict[str, list[str]] = {"passedTests": [], "warnedTests": [], "failedTests": []}
    for record in records:
        by_result[_result(record)].append(record.evidence.claim.nodeid)
    red = bool(by_result["failedTests"]) or run.exit_status != 0
    predicate = {
        "result": "FAILED" if red else "WARNED" if by_result["warnedTests"] else "PASSED",
        "configuration": [
            {"name": "command", "content": base64.b64encode(run.command.encode()).decode(), "mediaType": "text/plain"},
            *_files(records),
        ],
        **by_result,
    }
    return _statement(TEST_RESULT, predicate, records)


def render_records(run: RunInfo, records: Sequence[Record]) -> str:
    """The statement with all records, as the JSON report has them.

    Raises:
        ClaimsError: see `render`.
    """
    return _statement(RECORDS, json.loads(report.render(run, records)), records)


def _result(record: Record) -> str:
    result = record.evidence.test.result
    if result == "failed":
        return "failedTests"
    return "passedTests" if result == "passed" and record.verdict.status == "pass" else "warnedTests"


def _statement(kind: str, predicate: Mapping[str, Any], records: Sequence[Record]) -> str:
    subjects = [*_files(records), *_checkpoints(records)]
    if not subjects:
        raise ClaimsError("An attestation cannot be written: no claim file was read, so there is nothing to attest.")
    statement = {"_type": STATEMENT, "subject": subjects, "predicateType": kind, "predicate": predicate}
    # Escaped like the JSON report, so that it is safe to print.
    return re.sub("#(?=#)", r"\\u0023", json.dumps(statement, indent=2)) + "\n"


def _files(records: Sequence[Record]) -> list[dict[str, Any]]:
    """The claim files, by name and SHA-256."""
    found = {(one.file, one.file_digest) for record in records if (one := record.evidence.claim).file_digest}
    return [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(found, key=str)]


def _checkpoints(records: Sequence[Record]) -> list[dict[str, Any]]:
    """The checkpoints that ran: of the hub by commit, in a folder by the digest of its files."""
    found: dict[str, dict[str, str]] = {}
    for record in records:
        for axis in record.evidence.axes:
            name = _NAME.search(axis.run) if axis.axis == "checkpoint" else None
            if name is None:
                continue
            digests = found.setdefault(name[1].strip(), {})
            for algorithm, pattern in (("gitCommit", _COMMIT), (FOLDER, _FOLDER)):
                if digest := pattern.search(axis.run):
                    digests[algorithm] = digest[1]
    return [{"name": name, "digest": digests} for name, digests in sorted(found.items()) if digests]
