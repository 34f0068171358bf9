"""Finds, decodes and digests the images of a data set."""

from __future__ import annotations

import base64
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
"""The most pixels of an image. A photograph has up to about 50 million. A larger image may be a decompression bomb (PIL warns
at 89 million)."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""The accepted formats, which are those of data sets. PIL opens more; for EPS, it runs an untrusted program in Ghostscript."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm")
"""The suffixes of image files. `datasets` does not copy such files into its cache: the rows only name them."""


def decode(value: Any, name: str, folders: Sequence[Path]) -> Image:
    """The RGB image of a row's value.

    Args:
        value: `{"bytes", "path"}` as `datasets` gives it, bytes, or the name of a file.
        name: the image's id, for messages.
        folders: the folders that file names may lead into.

    Raises:
        NotAttempted: no folder has the file.
        EvaluationError: the image cannot be decoded, is too large or lies outside the folders.
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
    except Exception as error:  # noqa: BLE001 - on damaged bytes, PIL raises any exception: struct.error, IndexError…
        raise EvaluationError(f"Image {name}: cannot be decoded: {first_line(error)}.") from None


THUMBNAIL = 160
"""The longest side of a thumbnail, in pixels."""

LOSSLESS = 64 * 64
"""Pixels up to which a thumbnail is a PNG: JPEG would blur what little a picture of this size shows."""


def thumbnail(image: Image) -> str:
    """An RGB image in small, as a `data:` address: at most `THUMBNAIL` pixels wide and high, some 6 kB."""
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    kind = "png" if image.width * image.height <= LOSSLESS else "jpeg"
    data = BytesIO()
    image.save(data, kind, quality=70)
    return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode('ascii')}"


def digest(value: Any, name: str, folders: Sequence[Path]) -> str:
    """The first 16 hexadecimal digits of SHA-256 over an image's stored bytes. For the arguments see `decode`.

    Raises:
        NotAttempted: no folder has the file.
        EvaluationError: the file cannot be read, or lies outside the folders.
    """
    return digests.short(stored(value, name, folders))


def stored(value: Any, name: str, folders: Sequence[Path]) -> bytes:
    """The bytes of an image, as they are stored. For arguments and exceptions see `digest`."""
    data, path = _content(value, name)
    if data is not None:
        return data
    try:
        return find(path, name, folders).read_bytes()
    except OSError as error:
        raise EvaluationError(f"Image {name}: cannot be read: {first_line(error)}.") from None


def embedded(value: Any) -> bytes | None:
    """The bytes that a row's value holds; None if it names a file."""
    data = value.get("bytes") if isinstance(value, dict) else value
    return data if isinstance(data, bytes) else None


def _content(value: Any, name: str) -> tuple[bytes | None, str]:
    """The bytes of an image and ""; or None and the name of its file."""
    data = embedded(value)
    path = value.get("path") if isinstance(value, dict) else value
    if data is not None:
        return data, ""
    if not (isinstance(path, str) and path):
        raise EvaluationError(f"Image {name}: the row holds no image.")
    return None, path


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those of `FORMATS` that the installed Pillow supports. `Image.open` refuses a list with an unknown format."""
    import PIL.Image

    PIL.Image.init()
    return tuple(name for name in FORMATS if name in PIL.Image.OPEN)


def find(path: str, name: str, folders: Sequence[Path]) -> Path:
    """The file that a row names.

    Raises:
        NotAttempted: no folder has the file.
        EvaluationError: the file lies outside the folders.
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
    # The loader `imagefolder` returns absolute paths below the given folder.
    try:
        inside = any(Path(path).resolve().is_relative_to(folder.resolve()) for folder in folders)
    except (OSError, RuntimeError, ValueError):  # circular links, or a NUL in the name
        inside = False
    if not inside:
        raise EvaluationError(f"Image {name}: the path {path!r} leads out of the folders that the claim may read.")
    return Path(path)


def there(path: object, folders: Sequence[Path]) -> bool:
    """Whether the file that a row names exists. A file that is refused counts as existing, since the run reports the reason."""
    try:
        return not isinstance(path, str) or bool(find(path, "", folders))
    except NotAttempted:
        return False
    except EvaluationError:
        return True
