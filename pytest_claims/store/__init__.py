"""What a generation run leaves behind, so that it can go on after a kill, be used again, and be scored elsewhere.

One folder per recipe, named by its digest: `plan.json`, `references.jsonl`, `captions.jsonl`, `run.json` (docs/evidence.md).
No torch: evidence is replayed on machines that have none.
"""

from __future__ import annotations

from pytest_claims.store.folder import Folder
from pytest_claims.store.recipe import Recipe
from pytest_claims.store.replay import Replayed, replay
from pytest_claims.store.store import Store

__all__ = ["Folder", "Recipe", "Replayed", "Store", "replay"]
