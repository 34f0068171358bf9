"""`--claims-stale` and repositories of the hub: a verdict rests on the commit that a branch pointed at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests import hub
from tests.hub import BLIP2, FLICKR_COMMIT, MODEL_COMMIT, cache, flickr_files, model_files

if TYPE_CHECKING:
    from pathlib import Path

NAME, DATA = "Salesforce/blip2-opt-2.7b", "nlphuji/flickr30k"
IMAGES = 52
STALE = ("--claims-ledger=ledger.jsonl", "--claims-stale")


def test_another_commit_on_the_hub(tmp_path: Path) -> None:
    """A verdict is carried while the branches point at its commits, and stale when one moved or cannot be read."""
    text = (BLIP2 / "flickr30k.yaml").read_text(encoding="utf-8").replace("images: 1000", f"images: {IMAGES}")
    text = (
        text.replace("expect: pending", "expect: null")
        .replace("size: 100", "size: 50")
        .replace("min_sample: 100", "min_sample: 50")
    )
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims/paper.yaml").write_text(text, encoding="utf-8")
    home, model = tmp_path / "home", model_files(224)
    cache(home, NAME, "model", MODEL_COMMIT, "main", model)
    cache(home, DATA, "dataset", FLICKR_COMMIT, "refs/convert/parquet", flickr_files(IMAGES))

    def carried(*options: str) -> bool:
        _, records = hub.run(tmp_path, STALE[0], *options, HF_HUB_OFFLINE="1")
        (record,) = records.values()
        assert record["verdict"]["status"] == "partial", record["evidence"]["reason"]
        return record["evidence"]["history"]["carried"] is not None

    assert not carried()
    assert carried(STALE[1])
    (home / "hub/models--Salesforce--blip2-opt-2.7b/refs/main").unlink()
    _, records = hub.run(tmp_path, *STALE, "--claims-dry-run", HF_HUB_OFFLINE="1")
    assert [one["verdict"]["status"] for one in records.values()] == ["not_attempted"]  # not carried: it would run
    cache(home, NAME, "model", "1" * 40, "main", model)
    assert not carried(STALE[1])
