"""Writes docs/ledger-example.jsonl: the history of the verdict that this project starts from, as docs/ledger.md tells it.

    python docs/make_ledger.py [PATH]

The published record says that an earlier verdict was WRONG: greedy decoding, 20 images and no prompt, and that it was retracted
(tests/data/starting-record.json, `notes`). It does not say what that run measured, so the line of that verdict has no number.
No evidence of the two runs was kept: their digests are null. The gates of today would have withheld the first verdict
(docs/verdicts.md).
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_claims import spec, verdict
from pytest_claims.ledger import lines
from pytest_claims.reports import record
from pytest_claims.reports.format import Record

ROOT = Path(__file__).parent.parent
PUBLISHED = ROOT / "tests/data/starting-record.json"
CLAIM, NAME = "claims/blip2/flickr30k.yaml", "blip2-opt-2.7b-flickr30k-bleu4"
REASON = (
    "protocol drift: greedy decoding, 20 images and no prompt, where the paper has beam 5 with its prompt (PR #106)"
)
WRONG_AT, RETRACTED_AT = "2026-05-12T00:00:00.000000Z", "2026-05-13T00:00:00.000000Z"
"""Days before the published verdict. The published record does not state them; the order is what it states."""


def frame() -> dict[str, Any]:
    """A record of the shipped claim without a run: what is known of the claim itself."""
    claims = spec.load(ROOT / CLAIM, display=CLAIM, metrics=spec.METRICS)
    claim = next(one for one in claims if one.id == NAME)
    nothing = verdict.undecided(claim, verdict.Status.NOT_ATTEMPTED, "")
    made = record.of_verdict(nothing, nodeid=f"{CLAIM}::{NAME}", result=verdict.Result.PASSED, message="", seconds=0.0)
    return made.values()


def records() -> tuple[Record, Record]:
    """The retracted verdict, and the published one."""
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    now = {**frame(), **published}
    issued, citation = now["verdict"], now["verdict"]["claim_citation"]
    measured = issued["score"] * 100
    shared = {"reason": "", "basis": "reproduced", "reported": "43.7", "unit": "percent"}
    now["evidence"] |= shared | {
        "reason": "Taken over from the published record.",
        "outcome": "partial", "measured": measured, "difference": measured - citation["reported_value"], "n": 100,
        "deviations": [_deviation("sample", "all 1,000 images", "100 images", "proxy")],
    }  # fmt: skip
    wrong = json.loads(json.dumps(now))
    earlier = {
        **issued, "id": "00000000-0000-0000-0000-000000000106", "status": "fail", "score": None, "confidence": None,
        "agent_version": "v0.1.0-blip2-flickr30k-greedy-n20", "computed_at": None, "is_current": False,
        "protocol_match": "drift",
    }  # fmt: skip
    wrong |= {"verdict": earlier, "verdicts": {"post": earlier, "pre": None}}
    wrong["evidence"] |= {
        "reason": "Published as WRONG before there were gates. The number was not kept.",
        "outcome": "fail", "measured": None, "difference": None, "n": 20,
        "deviations": [
            _deviation("sample", "all 1,000 images", "20 images", "drift"),
            _deviation("prompt", "a photo of", "no prompt", "drift"),
            _deviation("decoding", "strategy=beam, num_beams=5", "strategy=greedy", "drift"),
        ],
    }  # fmt: skip
    return Record.model_validate(wrong), Record.model_validate(now)


def _deviation(axis: str, paper: str, run: str, consequence: str) -> dict[str, str]:
    return {"axis": axis, "paper": paper, "run": run, "consequence": consequence}


def ledger() -> bytes:
    """The three lines."""
    wrong, now = records()
    first = lines.verdict(wrong, {})
    text, digest = lines.encode(first, at=WRONG_AT, offset=0, parents=[])
    about = {name: first.about[name] for name in ("claim", "kind", "paper", "verdict")} | {
        "reason": REASON,
        "retracts": digest,
    }
    line, digest = lines.encode(
        lines.Draft(event="retraction", about=about), at=RETRACTED_AT, offset=len(text), parents=[digest]
    )
    text += line
    when = lines.moment(datetime.fromisoformat(str(now.verdict.computed_at)))
    line, _ = lines.encode(lines.verdict(now, {}), at=when, offset=len(text), parents=[digest])
    return text + line


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/ledger-example.jsonl"
    target.write_bytes(ledger())
