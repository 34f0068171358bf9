"""Records and galleries for tests of the HTML report, made by hand: what they hold is up to the test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_claims.reports.format import Gallery, Record, RunInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///ywAAAAAAQABAAACAUwAOw=="

AXES = [
    {"axis": "split", "paper": "test", "run": "test", "consequence": "none"},
    {"axis": "precision", "paper": "float32", "run": "float16", "consequence": "proxy"},
    {"axis": "prompt", "paper": "'a photo of'", "run": "''", "consequence": "drift"},
]

BLEU = {"matches": [90, 70], "totals": [100, 90], "hypothesis_length": 100, "reference_length": 110}


def session(**changes: Any) -> RunInfo:
    """What a session says of itself."""
    said = {"tool": "pytest-claims 0", "command": "pytest claims/", "gate": "partial", "exit_status": 0}
    return RunInfo.model_validate({**said, "collected": 1, "deselected": 0, **changes})


def record(name: str = "a-claim", status: str = "pass", **changes: Any) -> Record:
    """A record of BLEU-2: reported 43.7 %, measured 43.1 %, interval 40.1 to 46.2, bands ±1.05 and ±4.42.

    Args:
        name: the claim's id.
        status: of the verdict; `not_attempted` has no numbers.
        changes: of `evidence`; of `citation` and `paper`, if they are so named.
    """
    ran = status != "not_attempted"
    citation = {
        "paper_arxiv_id": None, "section": "Table 3", "row": "Ours", "column": "B@2", "reported_value": 43.7,
        "reported_metric": "bleu2", "quoted_text": "Ours 43.7 145.8", "pdf_page": 7, "notes": None,
        **changes.pop("citation", {}),
    }  # fmt: skip
    issued = {
        "id": "1" * 32, "kind": "POST", "status": status, "score": 0.431 if ran else None, "confidence": 1.0 if ran else None,
        "agent_version": "v0", "computed_at": "2026-01-02T03:04:05+00:00" if ran else None, "is_current": True,
        "protocol_match": "exact" if ran else None, "claim_citation": citation,
    }  # fmt: skip
    paper = {
        "arxiv_id": None, "title": "A paper", "abstract": None, "primary_category": None, "venue": None,
        "published_at": None, "latest_version": None, "withdrawn": False, **changes.pop("paper", {}),
    }  # fmt: skip
    result = {"pass": "passed", "partial": "passed", "not_attempted": "skipped"}.get(status, "failed")
    return Record.model_validate(
        {
            "paper": paper,
            "latest_version": None,
            "verdict": issued,
            "verdicts": {"post": issued, "pre": None},
            "evidence": {
                "claim": {
                    "id": name, "file": "claims/x.yaml", "line": 3, "nodeid": f"claims/x.yaml::{name}", "digest": "d",
                    "expect": None,
                },
                "test": {"result": result, "message": "", "type": f"claim.{status}"},
                "reason": "43.10 against 43.7 percent." if ran else "There is no GPU.",
                "next_step": "" if ran else f"On a machine with one: pytest claims/x.yaml::{name}",
                "reported": "43.7", "unit": "percent",
                "tolerance": {
                    "pass": 1.05, "partial": 4.42, "direction": "two_sided", "min_sample": 100,
                    "breadth": {"pass": 0.02, "partial": 0.09, "wide": False},
                },
                **(_NUMBERS if ran else _NONE),
                "deviations": [], "baseline": None, "moved": [], "needs": [], "notes": [],
                "command": f"pytest claims/x.yaml::{name}", "seconds": 0.5,
                **changes,
            },
        }
    )  # fmt: skip


def comparison(decision: str | None = "inferior", **changes: Any) -> dict[str, Any]:
    """`evidence.comparison` of a candidate that loses 1.5 ± 0.4 points on 100 images, with two losses."""
    side = {"commit": None, "digest": "d1", "evidence": "e", "computed_at": None}
    loss = {"reference": "a dog runs", "candidate": "a cat", "reference_score": 100.0, "candidate_score": 12.5}
    return {
        "decision": decision, "reason": "The candidate loses 1.50 points against the reference.", "next_step": "",
        "margin": 0.5, "made": "this session", "images": 100, "difference": -1.5,
        "reference": {**side, "checkpoint": "model", "measured": 44.6},
        "candidate": {**side, "checkpoint": "./candidate", "measured": 43.1, "digest": "d2"},
        "interval": {"low": -1.9, "high": -1.1, "level": 0.95, "standard_error": 0.2, "resamples": 1000},
        "probability_worse": 0.998, "images_to_decide": None, "changed": 40, "better": 10, "worse": 22,
        "losses": [{"id": "image-0", **loss}, {"id": "elsewhere", **loss}],
        "settings": [{"what": "processor", "key": "do_normalize", "reference": "True", "candidate": "False"}],
        "notes": ["The reference ran with torch 2.12, the candidate with 2.13; this alone can change captions."],
        **changes,
    }  # fmt: skip


_NUMBERS: Mapping[str, Any] = {
    "basis": "reproduced", "outcome": "pass", "measured": 43.1, "difference": -0.6, "n": 100,
    "interval": {
        "low": 40.1, "high": 46.2, "level": 0.95, "standard_error": 1.5, "resamples": 1000, "population": None,
    },
    "detectable": {"difference": 1.05, "images_to_decide": None}, "axes": AXES, "signature": "bleu2|v0",
    "counts": BLEU, "provenance": {"torch": "2.13.0", "threads": 2}, "digest": "e",
}  # fmt: skip

_NONE: Mapping[str, Any] = {**dict.fromkeys(_NUMBERS), "axes": []}


def gallery(images: int = 3, **changes: Any) -> Gallery:
    """A gallery with ids `image-0` and so on, one reference each, and scores that rise from 0 to 1."""
    held = {
        "evidence": "e",
        "ids": [f"image-{i}" for i in range(images)],
        "outputs": [f"A small dog number {i} runs." for i in range(images)],
        "references": [[f"the small dog number {i} sits", "A cat."] for i in range(images)],
        "scores": [i / max(1, images - 1) for i in range(images)],
        "thumbnails": [PIXEL] * images,
        **changes,
    }
    return Gallery.model_validate(held)
