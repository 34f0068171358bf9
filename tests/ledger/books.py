"""What the tests of the ledger share: records with the numbers that a test needs, and small ledgers of them."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

from pytest_claims.ledger import append
from pytest_claims.ledger.lines import verdict
from pytest_claims.reports.format import Record

ROOT = Path(__file__).parent.parent.parent


@cache
def _example() -> dict[str, Any]:
    """A record of a real claim, from the documented ledger."""
    first = (ROOT / "docs/ledger-example.jsonl").read_text(encoding="utf-8").splitlines()[-1]
    found: dict[str, Any] = json.loads(first)["record"]
    return found


def record(
    claim: str = "a-claim", status: str = "pass", measured: float | None = 43.0, *, kind: str = "POST", n: int = 1
) -> Record:
    """A record; `n` makes its evidence and its id differ from others."""
    values = copy.deepcopy(_example())
    issued, evidence = values["verdict"], values["evidence"]
    issued |= {"id": f"{n:032x}", "status": status, "kind": kind, "score": (measured or 0.0) / 100}
    values["verdicts"] = {"post": None, "pre": None, kind.lower(): dict(issued)}
    evidence["claim"] |= {"id": claim, "digest": "d" * 64, "expect": None}
    difference = None if measured is None else measured - 43.7
    evidence |= {"measured": measured, "difference": difference, "digest": f"{n:064x}", "outcome": status}
    return Record.model_validate(values)


def write(path: Path, *records: Record, **rests_on: str) -> list[str]:
    """Append records one after the other, as sessions do; the digests of their lines."""
    return [digest for one in records for digest in append(path, [verdict(one, {"claim": "d" * 64, **rests_on})])]
