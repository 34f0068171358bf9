"""Score the model on other data than the paper's, and have the run read as exact."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.attacks.shop import attempt, deviates
from tests.builders import claim, predictions, write
from tests.shapes import rows, warm, write_claim, write_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["warm"]  # a fixture of this module

Rows = list[dict[str, Any]]


def axis(record: dict[str, Any], name: str = "dataset") -> dict[str, str]:
    """One axis of a record."""
    found: dict[str, str] = next(found for found in record["evidence"]["axes"] if found["axis"] == name)
    return found


@pytest.mark.parametrize(
    "run",
    [
        {"dataset": {"where": {"split": "test"}}},
        {"dataset": {"revision": "easier"}},
        {"columns": {"references": "easier"}},
        {"columns": {"id": "other_id"}},
        {"columns": {"image": "easier_image"}},
    ],
)
def test_name_in_the_run_what_the_paper_does_not(pytester: pytest.Pytester, run: dict[str, Any]) -> None:
    """A filter, a column or a revision that only the run names is a difference, not a detail."""
    content = rows(8)
    for number, row in enumerate(content):
        row |= {"split": "test", "easier": ["a red circle"], "other_id": str(number), "easier_image": row["image"]}
    write_claim(pytester.path, content=content, run={"evaluator": "captioning", **run})
    status, (record,) = attempt(pytester)
    assert status == 1
    assert record["verdict"]["protocol_match"] == "drift"
    assert deviates(record, "dataset")


def test_a_column_that_the_protocol_states_is_exact(pytester: pytest.Pytester) -> None:
    """Columns under their own names are stated once, in the protocol."""
    content = [{"name": row["filename"], "picture": row["image"], "texts": row["caption"]} for row in rows(6)]
    columns = {"image": "picture", "references": "texts", "id": "name"}
    write_claim(pytester.path, content=content, run__columns=..., protocol__dataset__columns=columns)
    _, (record,) = attempt(pytester)
    assert record["verdict"]["protocol_match"] == "exact"


def pinned(pytester: pytest.Pytester, count: int = 8) -> Path:
    """A claim that pins its data set as it is now."""
    path = write_claim(pytester.path, count=count)
    _, (record,) = attempt(pytester)
    fingerprint = axis(record)["run"].rpartition("fingerprint=")[2]
    write_claim(pytester.path, count=count, protocol__dataset__fingerprint=fingerprint)
    _, (record,) = attempt(pytester)
    assert record["verdict"]["protocol_match"] == "exact"
    return path


def edit_a_reference(content: Rows) -> None:
    """One reference says what the model says."""
    content[0]["caption"][0] = "a small red circle"


def swap_images(content: Rows) -> None:
    """Two images change places."""
    content[0]["image"], content[1]["image"] = content[1]["image"], content[0]["image"]


def repeat_a_row(content: Rows) -> None:
    """An easy row stands twice, under two names."""
    content[1] = {**content[0], "filename": content[1]["filename"]}


def rename(content: Rows) -> None:
    """Ids decide which images a sample draws."""
    content[0]["filename"] = "zzz.png"


def turn_an_image(content: Rows) -> None:
    """One pixel row of one image differs."""
    import io

    import PIL.Image

    image = PIL.Image.open(io.BytesIO(content[2]["image"]["bytes"])).convert("RGB")
    image.putpixel((0, 0), (1, 2, 3))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    content[2]["image"] = {"bytes": buffer.getvalue(), "path": content[2]["image"]["path"]}


@pytest.mark.parametrize("change", [edit_a_reference, swap_images, repeat_a_row, rename, turn_an_image])
def test_change_the_pinned_data(pytester: pytest.Pytester, change: Callable[[Rows], None]) -> None:
    """The fingerprint covers ids, references and images: a claim that pins it sees each change."""
    path = pinned(pytester)
    content = rows(8)
    change(content)
    write_rows(path.parent / "rows.parquet", content)
    status, (record,) = attempt(pytester)
    assert status == 1
    assert deviates(record, "dataset")


@pytest.mark.parametrize("times", [2, 4, 8])
def test_repeat_an_easy_row(pytester: pytest.Pytester, times: int) -> None:
    """Rows whose image and references are those of another row are named, also where nothing is pinned."""
    content = rows(8)
    for number in range(1, times):
        content[number] = {**content[0], "filename": f"copy-{number}.png"}
    write_claim(pytester.path, content=content)
    status, (record,) = attempt(pytester)
    assert status == 1
    if record["verdict"]["status"] != "error":  # one caption for most images is no captioner's output
        assert "duplicates" in axis(record)["run"]
        assert deviates(record, "dataset")


def same_time(path: Path, write: Callable[[], object]) -> None:
    """Write a file and give it the time stamps that the old one had, as `rsync -t` and image layers do."""
    before = path.stat()
    write()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_edit_references_behind_the_time_stamp(pytester: pytest.Pytester, suffix: str) -> None:
    """The rows that are scored are those that the file holds, whatever its time stamp and its size say."""
    from pytest_claims.sources import data
    from pytest_claims.spec.models import Columns, Dataset

    path = pytester.path / f"rows.{suffix}"

    def write(word: str) -> None:
        content = [
            {"id": "1", "caption": f"a {word} dog", "image": "x.png"},
            {"id": "2", "caption": "b", "image": "y.png"},
        ]
        if suffix == "parquet":
            write_rows(path, content)
        elif suffix == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in content))
        else:
            lines = ["id,caption,image", *(f"x{row['id']},{row['caption']},{row['image']}" for row in content)]
            path.write_text("\n".join(lines) + "\n")

    def read() -> set[str]:
        found = data.load(Dataset(id=path.name, images=2), Columns(id="id"), [path.parent])
        return {text for texts in found.references.values() for text in texts}

    write("big")
    assert "a big dog" in read()
    same_time(path, lambda: write("wee"))
    assert "a wee dog" in read()
    same_time(path, lambda: write("old"))
    assert "a old dog" in read()


def test_swap_an_image_behind_the_evidence(pytester: pytest.Pytester) -> None:
    """An image with other bytes is captioned again, whatever evidence there is under its name."""
    path = write_claim(pytester.path, count=6)
    _, (honest,) = attempt(pytester, cache=True)
    content = rows(6)
    swap_images(content)
    same_time(path.parent / "rows.parquet", lambda: write_rows(path.parent / "rows.parquet", content))
    _, (record,) = attempt(pytester, cache=True)
    assert record["evidence"]["digest"] != honest["evidence"]["digest"]


@pytest.mark.parametrize("references", ["rows.json", "./rows.json", "link.json"])
def test_score_references_against_themselves(pytester: pytest.Pytester, references: str) -> None:
    """Released captions that are the reference column itself are no prediction."""
    folder = pytester.mkdir("claims")
    content = [{"id": n, "caption": f"a dog runs on beach {n}"} for n in range(3)]
    (folder / "rows.json").write_text(json.dumps(content))
    (folder / "link.json").symlink_to(folder / "rows.json")
    document = predictions(
        claim(value="99.0", tolerance={"pass": 1, "partial": 5}),
        run__predictions={"path": "rows.json", "id": "id", "caption": "caption"},
        run__references={"path": references, "id": "id", "captions": "caption"},
    )
    write(folder / "c.yaml", document)
    status, (record,) = attempt(pytester)
    assert status == 1
    assert record["verdict"]["status"] == "error"
    assert "scored against itself" in record["evidence"]["reason"]
