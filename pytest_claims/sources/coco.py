"""Reads COCO's captions from an annotations file or from Karpathy's split file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_claims.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FOLDERS = ("", "val2014", "train2014", "test2015", "images")
"""The subfolders in which an image is looked for. COCO's archives unpack to folders with their names."""

RESTVAL = {"train": ("train", "restval")}
"""Karpathy's file has a split `restval` for the rest of val2014, which is commonly used for training."""


def rows(path: Path, split: str) -> list[dict[str, Any]] | None:
    """The rows of `split` in a COCO file; None if the file is another kind of JSON.

    The rows of `dataset_coco.json` have the keys filename, filepath, cocoid, imgid, split and sentences. An annotations file,
    such as `captions_val2014.json` or `nocaps_val_4500_captions.json`, has one split. Its rows have all keys of its images,
    and the captions under `caption`.

    Raises:
        EvaluationError: the file is a COCO file, but a key is missing or the split is unknown.
    """
    with path.open("rb") as file:
        if not file.read(64).lstrip().startswith(b"{"):
            return None
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return None  # perhaps JSON with one object per line: `datasets` reads it, or reports what is wrong
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
        return None
    try:
        if isinstance(content.get("annotations"), list):
            return _annotated(content)
        if all("sentences" in image and "split" in image for image in images):
            return _karpathy(images, split, path)
    except (KeyError, TypeError) as error:
        raise EvaluationError(f"{path.name} looks like a COCO file and is not whole: {error!r}.") from None
    return None


def _annotated(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    captions: dict[Any, list[str]] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        captions[annotation["image_id"]].append(annotation["caption"])
    return [{**image, "caption": captions[image["id"]]} for image in content["images"]]


def _karpathy(images: list[dict[str, Any]], split: str, path: Path) -> list[dict[str, Any]]:
    wanted = RESTVAL.get(split, (split,))
    found = [
        {
            "filename": image["filename"],
            "filepath": image.get("filepath"),
            # Karpathy's files for Flickr30k and Flickr8k have no COCO id.
            "cocoid": image.get("cocoid"),
            "imgid": image.get("imgid"),
            "split": image["split"],
            "sentences": [sentence["raw"] for sentence in image["sentences"]],
        }
        for image in images
        if image["split"] in wanted
    ]
    if not found:
        known = ", ".join(sorted({str(image["split"]) for image in images}))
        raise EvaluationError(f"{path.name} has no image in split {split!r}; its splits: {known}.")
    return found
