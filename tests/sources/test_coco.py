"""COCO's files as people have them, NoCaps with its domains, and the shipped claims on them."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import PIL.Image
import pytest

from pytest_claims.errors import EvaluationError, NotAttempted
from tests import hub
from tests.hub import BLIP2, MODEL_COMMIT, cache, model_files
from tests.shapes import rows

if TYPE_CHECKING:
    from pathlib import Path


def picture(folder: Path, name: str) -> None:
    """A small JPEG."""
    folder.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", (8, 8), (len(name) * 9 % 256, 0, 0)).save(folder / name)


def karpathy(folder: Path, *, splits: tuple[str, ...] = ("test", "test", "val", "train", "restval")) -> None:
    """`dataset_coco.json` with one image per split named."""
    images = [
        {
            "filepath": "val2014",
            "filename": f"COCO_val2014_{number:012d}.jpg",
            "imgid": number,
            "cocoid": 1000 + number,
            "split": split,
            "sentids": [number * 5],
            "sentences": [
                {"raw": f"A cat no. {number}.", "tokens": ["a", "cat"], "imgid": number, "sentid": number * 5}
            ],
        }
        for number, split in enumerate(splits)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset_coco.json").write_text(json.dumps({"images": images, "dataset": "coco"}), encoding="utf-8")


def load(folder: Path, **dataset: Any) -> Any:
    """The split that a claim's data set names, with `folder` as the only one that may be read."""
    from pytest_claims.sources import data
    from pytest_claims.spec.models import Columns, Dataset

    columns = Columns(**dataset.pop("columns", {"image": "filename", "references": "sentences", "id": "cocoid"}))
    return data.load(Dataset(**{"images": 2, **dataset}), columns, (folder,))


def test_karpathys_split_file(tmp_path: Path) -> None:
    """`dataset_coco.json` is read as it is: a split's images, their raw sentences, by COCO id; restval belongs to train."""
    karpathy(tmp_path)
    split = load(tmp_path, id="dataset_coco.json", split="test")
    assert split.ids == ("1000", "1001")
    assert split.references["1001"] == ("A cat no. 1.",)
    assert load(tmp_path, id="dataset_coco.json", split="train").ids == ("1003", "1004")
    with pytest.raises(EvaluationError) as caught:
        load(tmp_path, id="dataset_coco.json", split="tset")
    assert str(caught.value) == (
        "dataset_coco.json has no image in split 'tset'; its splits: restval, test, train, val."
    )


@pytest.mark.parametrize("place", ["", "val2014", "train2014", "images"])
def test_pictures_lie_beside_or_in_their_folder(tmp_path: Path, place: str) -> None:
    """A picture is found in the folder itself and in the folders that COCO's archives unpack to."""
    karpathy(tmp_path)
    split = load(tmp_path, id="dataset_coco.json", split="test")
    assert split.absent(split.ids) == ("1000", "1001")
    with pytest.raises(NotAttempted) as caught:
        split.image("1000")
    assert caught.value.reason.startswith("Image 1000: COCO_val2014_000000000000.jpg was not found below ")
    for number in range(2):
        picture(tmp_path / place, f"COCO_val2014_{number:012d}.jpg")
    assert split.absent(split.ids) == ()
    assert split.image("1000").size == (8, 8)


BROKEN = "captions.json looks like a COCO file and is not whole"
NOCAPS = {"image": "file_name", "references": "caption", "id": "id"}


def nocaps(folder: Path) -> None:
    """`nocaps_val_4500_captions.json` with six images: three, two and one."""
    domains = ["in-domain", "near-domain", "out-domain", "near-domain", "in-domain", "in-domain"]
    images = [
        {"id": n, "open_images_id": f"{n:016x}", "file_name": f"{n:016x}.jpg", "domain": domain, "coco_url": ""}
        for n, domain in enumerate(domains)
    ]
    annotations = [{"id": 10 * n + k, "image_id": n, "caption": f"Thing {n} {k}."} for n in range(6) for k in range(10)]
    content = {"info": {}, "licenses": [], "images": images, "annotations": annotations}
    (folder / "nocaps_val_4500_captions.json").write_text(json.dumps(content), encoding="utf-8")


def test_an_annotations_file_and_its_domains(tmp_path: Path) -> None:
    """A COCO annotations file gives its images with all their captions; `where` keeps a domain."""
    nocaps(tmp_path)
    name = "nocaps_val_4500_captions.json"
    everything = load(tmp_path, id=name, split="validation", columns=NOCAPS)
    assert len(everything.ids) == 6
    assert {len(references) for references in everything.references.values()} == {10}
    near = load(tmp_path, id=name, split="validation", columns=NOCAPS, where={"domain": "near-domain"})
    assert near.ids == ("1", "3")
    with pytest.raises(EvaluationError) as caught:
        load(tmp_path, id=name, split="validation", columns=NOCAPS, where={"domain": "entire"})
    assert str(caught.value) == f"The data set {name} has no rows left in split 'validation' after filtering."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"annotations": [{"image_id": 9, "caption": "x"}]}, f"{BROKEN}: KeyError(9)."),
        ({"annotations": [{"image_id": 1}]}, f"{BROKEN}: KeyError('caption')."),
        ({"annotations": []}, "Image 1: expected one or more reference captions as text, got []."),
    ],
)  # fmt: skip
def test_a_coco_file_that_is_not_whole(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """What is missing from a COCO file is an error that names the file or the image, never fewer images."""
    content = {"images": [{"id": 1, "file_name": "a.jpg"}], **change}
    (tmp_path / "captions.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(EvaluationError) as caught:
        load(tmp_path, id="captions.json", columns=NOCAPS)
    assert str(caught.value) == message


def test_other_json_is_left_to_datasets(tmp_path: Path) -> None:
    """A list of objects is read as before."""
    content = [{"file_name": f"{n}.jpg", "caption": ["a"], "id": n} for n in range(2)]
    (tmp_path / "rows.json").write_text(json.dumps(content), encoding="utf-8")
    assert load(tmp_path, id="rows.json", columns=NOCAPS).ids == ("0", "1")


def test_the_shipped_claims_on_coco_as_people_have_it(tmp_path: Path) -> None:
    """The shipped COCO and NoCaps claims of OPT-2.7B, unchanged, run on a tiny stand-in with data from --claims-data.

    They are withheld, since the rows are not the paper's 5,000 and 4,500, and for nothing else.
    """
    claims, coco = tmp_path / "claims", tmp_path / "coco"
    claims.mkdir()
    for name in ("coco-karpathy.yaml", "nocaps.yaml"):
        shutil.copy(BLIP2 / name, claims / name)
    karpathy(coco, splits=("test",) * 12)
    nocaps(coco)
    for number, row in enumerate(rows(12)):
        image = coco / "val2014" / f"COCO_val2014_{number:012d}.jpg"
        image.parent.mkdir(exist_ok=True)
        image.write_bytes(row["image"]["bytes"])
        shutil.copy(image, coco / f"{number:016x}.jpg")
    cache(tmp_path / "home", "Salesforce/blip2-opt-2.7b-coco", "model", MODEL_COMMIT, "main", model_files(364))
    names = "blip2-opt-2.7b-coco or blip2-opt-2.7b-nocaps-in or blip2-opt-2.7b-nocaps-over"
    _, records = hub.run(tmp_path, "-k", names, f"--claims-data={coco}", HF_HUB_OFFLINE="1")
    assert {name: record["verdict"]["status"] for name, record in records.items()} == {
        "blip2-opt-2.7b-coco-bleu4": "pending",
        "blip2-opt-2.7b-coco-cider": "pending",
        "blip2-opt-2.7b-nocaps-in-cider": "pending",
        "blip2-opt-2.7b-nocaps-overall-cider": "pending",
    }
    for record in records.values():
        assert [found["axis"] for found in record["evidence"]["deviations"]] == ["dataset", "sample"]
    assert records["blip2-opt-2.7b-coco-cider"]["evidence"]["n"] == 12
    assert records["blip2-opt-2.7b-nocaps-in-cider"]["evidence"]["n"] == 3
