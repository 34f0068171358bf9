"""Stores the evidence of generation runs, so that a run can be resumed after a kill, used again, and scored elsewhere.

Each recipe has one folder, named by the digest of its plan. It holds `plan.json`, `references.jsonl`, `captions.jsonl` and
`run.json` (docs/evidence.md). This package does not import torch, since evidence is replayed on machines without it.
"""

from __future__ import annotations

from pytest_claims.store.folder import Folder
from pytest_claims.store.recipe import Recipe
from pytest_claims.store.replay import Replayed, left, replay
from pytest_claims.store.store import Store

__all__ = ["Folder", "Recipe", "Replayed", "Store", "left", "replay"]
