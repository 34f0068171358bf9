"""The images of a data set: found, decoded and digested as they are stored."""

from __future__ import annotations

import functools
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims import digests, files
from pytest_claims.errors import EvaluationError, NotAttempted, first_line
from pytest_claims.sources import coco

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

MAX_PIXELS = 100_000_000
"""A photograph has some 50 million pixels at most; more is a decompression bomb (PIL warns at 89 million)."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""What data sets hold. PIL opens many more, of which EPS starts Ghostscript on a stranger's program."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm")
"""Files whose bytes `datasets` does not copy into its cache: rows name them, and they are read when they are captioned."""


def decode(value: Any, name: str, folders: Sequence[Path]) -> Image:
    """The RGB image of a row's value.

    Args:
        value: `{"bytes", "path"}` as `datasets` gives it, bytes, or the name of a file.
        name: the image's id, for messages.
        folders: where file names may lead.

    Raises:
        NotAttempted: no folder holds the file.
        EvaluationError: it cannot be decoded, is too large or lies elsewhere.
    """
    import PIL.Image

    data, path = _content(value, name)
    source: Any = BytesIO(data) if data is not None else find(path, name, folders)
    try:
        with PIL.Image.open(source, formats=_formats()) as image:
            if image.width * image.height > MAX_PIXELS:
                raise EvaluationError(
                    f"Image {name}: {image.width} × {image.height} pixels; more than {MAX_PIXELS:,} are refused."
                )
            return image.convert("RGB")
    except PIL.UnidentifiedImageError:
        raise EvaluationError(f"Image {name}: cannot be decoded: not an image in a format that is read here.") from None
    except EvaluationError:
        raise
    except Exception as error:  # noqa: BLE001 - PIL's formats raise what they like on damaged bytes: struct.error, IndexError…
        raise EvaluationError(f"Image {name}: cannot be decoded: {first_line(error)}.") from None


def digest(value: Any, name: str, folders: Sequence[Path]) -> str:
    """The first 16 hexadecimal digits of SHA-256 over an image's bytes as they are stored; arguments as in `decode`.

    Raises:
        NotAttempted: no folder holds the file.
        EvaluationError: it cannot be read, or lies elsewhere.
    """
    data, path = _content(value, name)
    if data is None:
        try:
            data = find(path, name, folders).read_bytes()
        except OSError as error:
            raise EvaluationError(f"Image {name}: cannot be read: {first_line(error)}.") from None
    return digests.short(data)


def _content(value: Any, name: str) -> tuple[bytes | None, str]:
    """What a row holds of an image: its bytes, or the name of its file."""
    data = value.get("bytes") if isinstance(value, dict) else value if isinstance(value, bytes) else None
    path = value.get("path") if isinstance(value, dict) else value
    if data is not None:
        return data, ""
    if not (isinstance(path, str) and path):
        raise EvaluationError(f"Image {name}: the row holds no image.")
    return None, path


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this Pillow was built with; it refuses a list that holds another."""
    import PIL.Image

    PIL.Image.init()
    return tuple(name for name in FORMATS if name in PIL.Image.OPEN)


def find(path: str, name: str, folders: Sequence[Path]) -> Path:
    """The file that a row names.

    Raises:
        NotAttempted: no folder holds it.
        EvaluationError: it lies elsewhere.
    """
    if not Path(path).is_absolute():
        try:
            for below in coco.FOLDERS:
                found = files.find(f"{below}/{path}" if below else path, folders)
                if found is not None:
                    return found
            return files.need(path, folders, f"Image {name}:")
        except EvaluationError as error:
            raise EvaluationError(f"Image {name}: {error}") from None
    # `imagefolder` gives absolute paths below the folder that it was given.
    try:
        inside = any(Path(path).resolve().is_relative_to(folder.resolve()) for folder in folders)
    except (OSError, RuntimeError, ValueError):  # links in a circle, a NUL in the name
        inside = False
    if not inside:
        raise EvaluationError(f"Image {name}: the path {path!r} leads out of the folders that the claim may read.")
    return Path(path)


def there(path: object, folders: Sequence[Path]) -> bool:
    """Whether a file that a row names is there; one that is refused counts as there, since the run says why."""
    try:
        return not isinstance(path, str) or bool(find(path, "", folders))
    except NotAttempted:
        return False
    except EvaluationError:
        return True
