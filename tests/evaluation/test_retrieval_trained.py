"""The shipped retrieval claims: a trained `Blip2ForImageTextRetrieval`, its pool, and numbers measured by another route."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.pools import ranked_once
from tests.running import LEAN
from tests.shapes import SHAPES

if TYPE_CHECKING:
    import pytest

__all__ = ["ranked_once"]  # a fixture of this module

SHIPPED = SHAPES / "retrieval"


def copy(folder: Path, **sizes: int) -> Path:
    """The shipped claims with model and pool, below `folder`/claims.

    Args:
        folder: where `claims/` is made.
        sizes: `image` and `text`: how many queries the claims of this direction rank, if not all.
    """
    target = folder / "claims"
    shutil.copytree(SHIPPED, target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    document = yaml.safe_load((target / "retrieval.yaml").read_text(encoding="utf-8"))
    for claim in document["claims"]:
        if size := sizes.get(claim["run"]["query"]):
            claim["run"]["sample"] = {"size": size, "seed": 0}
    (target / "retrieval.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return target


def run(pytester: pytest.Pytester, *options: str) -> dict[str, dict[str, Any]]:
    """The records of a run, by the end of their claim's id (`tr1`)."""
    pytester.runpytest_inprocess("claims", "--claims-report=v.json", "-p", "no:cacheprovider", *options, *LEAN)
    records = json.loads(Path("v.json").read_text(encoding="utf-8"))["records"]
    return {record["evidence"]["claim"]["id"].rpartition("-")[2]: record for record in records}


def deviations(record: dict[str, Any]) -> dict[str, str]:
    """What differs from the protocol, with its consequence."""
    return {found["axis"]: found["consequence"] for found in record["evidence"]["deviations"]}


def test_the_shipped_claims_pass(pytester: pytest.Pytester) -> None:
    """Texts for all images give the reported numbers exactly; images for a sample of texts differ in the sample alone.

    Both directions share the loaded model, and the second one is observed as the first one is.
    """
    copy(pytester.path, text=50)
    records = run(pytester)
    reported = json.loads((SHIPPED / "reported.json").read_text(encoding="utf-8"))["recall"]
    for k in (1, 5, 10):
        record = records[f"tr{k}"]
        assert (record["verdict"]["status"], record["verdict"]["protocol_match"]) == ("pass", "exact")
        assert record["verdict"]["score"] == reported["image"]["matching+contrastive"][f"recall_at_{k}"]
        sampled = records[f"ir{k}"]
        assert sampled["verdict"]["protocol_match"] == "proxy"
        assert deviations(sampled) == {"sample": "proxy"}
        interval = sampled["evidence"]["interval"]
        assert interval["low"] <= 100 * reported["text"]["matching+contrastive"][f"recall_at_{k}"] <= interval["high"]
    # In a random order, an image has one of its 5 texts first among 500, and a text its image first among 100, one time in 100.
    assert records["tr1"]["verdict"]["score"] > 0.2
    assert records["ir1"]["verdict"]["score"] > 0.1


def other_weights(folder: Path) -> None:
    """One number of the matching head, by a little."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model" / "model.safetensors")
    weights["itm_head.bias"][1] += 1e-3
    save_file(weights, folder / "model" / "model.safetensors", metadata={"format": "pt"})


def other_text(folder: Path) -> None:
    """One text of one image."""
    import pyarrow
    import pyarrow.parquet

    content = pyarrow.parquet.read_table(folder / "pool.parquet").to_pylist()
    content[99]["caption"][0] += " here"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(content), folder / "pool.parquet")


def test_the_claims_pin_model_and_pool(pytester: pytest.Pytester) -> None:
    """Another model and another pool under the same names are told on their axes, and withhold the verdict."""
    folder = copy(pytester.path, image=50)
    other_weights(folder)
    other_text(folder)
    record = run(pytester, "-k", "tr1")["tr1"]
    assert record["verdict"]["status"] == "pending"
    assert deviations(record) == {"checkpoint": "drift", "dataset": "drift", "sample": "proxy"}
