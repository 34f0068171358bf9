"""COCO's captions as people have them: an annotations file, or Karpathy's split file; pictures beside it or in folders."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_claims.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FOLDERS = ("", "val2014", "train2014", "images")
"""Where a picture is looked for below each folder that may be read: COCO's archives unpack to folders of their names."""

RESTVAL = {"train": ("train", "restval")}
"""Karpathy keeps the rest of val2014 apart; everybody trains on it."""


def rows(path: Path, split: str) -> list[dict[str, Any]] | None:
    """The rows of `split` in a COCO file, or None if it is another kind of JSON.

    Of `dataset_coco.json`: filename, filepath, cocoid, split, sentences. Of an annotations file, which holds one split, such as
    `captions_val2014.json` or `nocaps_val_4500_captions.json`: all that its images say, and their `caption`s.

    Raises:
        EvaluationError: it is one of the two, and not whole.
    """
    with path.open("rb") as file:
        if not file.read(64).lstrip().startswith(b"{"):
            return None
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return None  # one object a line, perhaps: `datasets` reads it or says what is wrong
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
            # Flickr30k's and Flickr8k's files of the same kind have no COCO id.
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
