"""The outputs behind a claim on their way into the HTML report: captions, references, scores and thumbnails."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import PIL.Image
import pytest

from pytest_claims.errors import SettingsError
from pytest_claims.settings import DEFAULTS, read
from pytest_claims.sources.pictures import THUMBNAIL, thumbnail
from tests.builders import put
from tests.running import LEAN
from tests.shapes import SHAPES, warm, write_claim

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["warm"]  # a fixture of this module


def page(pytester: pytest.Pytester, *options: str) -> str:
    """The HTML report of a run."""
    result = pytester.runpytest_inprocess(
        "claims", f"--claims-data={SHAPES}", "--claims-report=v.html", *LEAN, *options
    )
    assert (pytester.path / "v.html").exists(), result.stdout.str()
    return (pytester.path / "v.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["one process", "two workers"])
def test_images_are_shown(pytester: pytest.Pytester, workers: list[str]) -> None:
    """Every image of a captioning claim is in the page once, in small, whichever process captioned it."""
    write_claim(pytester.path, count=6, metrics=("bleu4", "rouge_l"))
    found = page(pytester, *workers)
    assert found.count("data:image/jpeg;base64,") == 6


def test_images_can_be_left_out(pytester: pytest.Pytester) -> None:
    """`--claims-images=none` leaves captions and scores, and no image."""
    write_claim(pytester.path, count=4)
    found = page(pytester, "--claims-images=none")
    assert "data:image/" not in found
    assert "a photo" in found


def test_released_captions_have_no_images(pytester: pytest.Pytester) -> None:
    """Captions that somebody released are shown with their references; where their images are is not known."""
    put(pytester.path)
    found = page(pytester)
    assert "a dog runs on the beach" in found
    assert "data:image/" not in found


def test_another_word_is_refused(tmp_path: Path) -> None:
    """The option takes two words."""
    given: dict[str, object] = {**DEFAULTS, "claims_images": "all"}
    with pytest.raises(SettingsError, match="--claims-images=all: expected thumbnails or none"):
        read(given.get, lambda _name: "", tmp_path)


@pytest.mark.parametrize(("size", "kind"), [((40, 30), "png"), ((500, 375), "jpeg"), ((10, 4000), "png")])
def test_a_thumbnail_has_a_bound(size: tuple[int, int], kind: str) -> None:
    """A thumbnail is at most 160 pixels wide and high, keeps its proportions, and is a JPEG unless it is tiny."""
    address = thumbnail(PIL.Image.new("RGB", size, "red"))
    head, _, data = address.partition(",")
    assert head == f"data:image/{kind};base64"
    with PIL.Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert max(image.size) == min(THUMBNAIL, max(size))
