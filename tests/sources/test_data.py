"""A claim's data set: which rows are read, which of them are drawn, and how their images are decoded."""

from __future__ import annotations

import json
import random
import zlib
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import PIL.Image
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_claims import spool
from pytest_claims.errors import EvaluationError, NotAttempted
from pytest_claims.sources import pictures
from pytest_claims.sources.data import Split, load
from pytest_claims.sources.pictures import MAX_PIXELS, decode
from pytest_claims.spec.models import Columns, Dataset

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `datasets` keeps of a file that it read belongs to the test, not to the one who runs it."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def picture(mode: str = "RGB", size: tuple[int, int] = (8, 6), seed: int = 0) -> PIL.Image.Image:
    """A picture of noise."""
    bands = len(PIL.Image.new(mode, (1, 1)).getbands())
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], bands), dtype=np.uint8)
    return PIL.Image.frombytes("L" if mode == "P" else mode, size, noise.tobytes()).convert(mode)


def encoded(image: PIL.Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of an image file."""
    target = BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def rows(count: int = 6) -> list[dict[str, Any]]:
    """Rows as Flickr30k has them, two thirds of them in the split `test`."""
    return [
        {
            "filename": f"{number}.png",
            "split": "train" if number % 3 == 2 else "test",
            "caption": [f"caption {number}", f"another {number}"],
            "image": {"bytes": encoded(picture(seed=number)), "path": f"{number}.png"},
        }
        for number in range(count)
    ]


def parquet(folder: Path, content: list[dict[str, Any]], name: str = "data.parquet") -> Path:
    """Rows as a parquet file."""
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(content), folder / name)
    return folder / name


def stated(**changes: Any) -> Dataset:
    """The data set `data.parquet`."""
    return Dataset.model_validate({"id": "data.parquet", "images": 4, **changes})


def refused(dataset: Dataset, folder: Path, **columns: str) -> str:
    """The whole message about a data set that cannot be used."""
    with pytest.raises(EvaluationError) as caught:
        load(dataset, Columns(**columns), [folder])
    return str(caught.value)


# --- load


def test_parquet_with_a_filter(tmp_path: Path) -> None:
    """Rows that have the wanted values are the split; their images, captions and number are what is used and recorded."""
    parquet(tmp_path, rows())
    split = load(stated(where={"split": "test"}), Columns(), [tmp_path])
    assert split.ids == ("0.png", "1.png", "3.png", "4.png")
    assert split.references["3.png"] == ("caption 3", "another 3")
    assert {key: split.facts[key] for key in ("id", "revision", "where", "images")} == {
        "id": "data.parquet",
        "revision": None,
        "where": {"split": "test"},
        "images": 4,
    }
    for number in (0, 1, 3, 4):
        assert split.image(f"{number}.png").tobytes() == picture(seed=number).tobytes()


def test_all_conditions_must_hold(tmp_path: Path) -> None:
    """Several conditions are joined by and; numbers, truth values and null are compared as such."""
    content = [{**row, "n": number, "ok": number > 2, "x": None} for number, row in enumerate(rows())]
    content[4]["x"] = "here"
    parquet(tmp_path, content)
    assert load(stated(where={"split": "test", "ok": True}), Columns(), [tmp_path]).ids == ("3.png", "4.png")
    assert load(stated(where={"n": 3}), Columns(), [tmp_path]).ids == ("3.png",)
    assert refused(stated(where={"n": "3"}), tmp_path).endswith("no rows left in split 'test' after filtering.")
    assert load(stated(where={"ok": True, "x": None}), Columns(), [tmp_path]).ids == ("3.png", "5.png")


def test_image_features_are_not_decoded_by_the_library(tmp_path: Path) -> None:
    """A column that `datasets` knows as images gives the stored bytes: it would turn them by their EXIF tag."""
    turned = picture(size=(8, 6))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    content = [{"filename": "a", "caption": "x", "image": {"bytes": encoded(turned, exif=exif), "path": None}}]
    features = datasets.Features(
        {"filename": datasets.Value("string"), "caption": datasets.Value("string"), "image": datasets.Image()}
    )
    datasets.Dataset.from_list(content, features=features).to_parquet(tmp_path / "data.parquet")
    split = load(stated(), Columns(), [tmp_path])
    assert split.image("a").size == (8, 6)
    assert split.image("a").tobytes() == turned.tobytes()


def test_ids_are_text(tmp_path: Path) -> None:
    """Whole numbers as ids become text; a caption may be a text of its own."""
    parquet(tmp_path, [{"cocoid": 42, "image": b"", "caption": "x"}])
    split = load(stated(), Columns(id="cocoid"), [tmp_path])
    assert (split.ids, split.references) == (("42",), {"42": ("x",)})


@pytest.mark.parametrize("name", ["data.json", "data.jsonl", "data.csv"])
def test_tables_of_names(tmp_path: Path, name: str) -> None:
    """JSON, JSON lines and CSV name image files, which are looked up beside the table and below the data folders."""
    (tmp_path / "images").mkdir()
    (tmp_path / "elsewhere").mkdir()
    picture(seed=1).save(tmp_path / "images/1.png")
    picture(seed=2).save(tmp_path / "elsewhere/2.png")
    content = [{"id": 1, "image": "images/1.png", "caption": "x"}, {"id": 2, "image": "2.png", "caption": "y"}]
    lines = {
        "data.json": json.dumps(content),
        "data.jsonl": "\n".join(map(json.dumps, content)),
        "data.csv": "id,image,caption\n1,images/1.png,x\n2,2.png,y\n",
    }
    (tmp_path / name).write_text(lines[name])
    split = load(stated(id=name), Columns(id="id"), [tmp_path, tmp_path / "elsewhere"])
    assert split.references == {"1": ("x",), "2": ("y",)}
    assert split.image("1").tobytes() == picture(seed=1).tobytes()
    assert split.image("2").tobytes() == picture(seed=2).tobytes()


def test_image_folder(tmp_path: Path) -> None:
    """A folder of images with a metadata table is read as `imagefolder`, the pixels being those of the files."""
    folder = tmp_path / "pictures" / "test"
    folder.mkdir(parents=True)
    lines = []
    for number in range(3):
        picture(seed=number).save(folder / f"{number}.png")
        lines.append(json.dumps({"file_name": f"{number}.png", "name": f"n{number}", "caption": [f"c{number}"]}))
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    split = load(stated(id="pictures"), Columns(id="name"), [tmp_path])
    assert split.ids == ("n0", "n1", "n2")
    assert split.image("n2").tobytes() == picture(seed=2).tobytes()
    assert refused(stated(id="pictures", split="val"), tmp_path, id="name") == (
        "The data set pictures cannot be read: Unknown split \"val\". Should be one of ['test']."
    )


def test_the_fingerprint(tmp_path: Path) -> None:
    """The fingerprint changes with ids, captions and their order within an image, and not with the order of rows."""
    content = rows()
    found = []
    for number, changed in enumerate(
        [
            content,
            content[::-1],
            [{**content[0], "caption": ["new"]}, *content[1:]],
            [{**content[0], "caption": content[0]["caption"][::-1]}, *content[1:]],
            [{**content[0], "filename": "x"}, *content[1:]],
            content[1:],
        ]
    ):
        parquet(tmp_path, changed, f"{number}.parquet")
        found.append(load(stated(id=f"{number}.parquet"), Columns(), [tmp_path]).facts["fingerprint"])
    assert found[0] == found[1]
    assert len(set(found)) == 5


@pytest.mark.parametrize("copies", [1, 2])
def test_many_rows_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copies: int) -> None:
    """Beyond what memory should hold, ids, texts, images, draws, fingerprint and equal rows are those of a smaller limit."""
    content = [{**row, "filename": f"{n}-{row['filename']}"} for n in range(copies) for row in rows(9)][::-1]
    parquet(tmp_path, content)
    columns = Columns(question="split")
    expected = load(stated(where=None), columns, [tmp_path], extras={"why": "split"})
    monkeypatch.setattr(spool, "KEEP", 4)
    monkeypatch.setattr(spool, "BLOCK", 2)
    found = load(stated(where=None), columns, [tmp_path], extras={"why": "split"})
    assert not isinstance(found.index, dict)
    assert (found.facts, found.ids) == (expected.facts, expected.ids)
    assert ("duplicates" in found.facts) == (copies == 2)
    for name in ("index", "references", "questions", "extras"):
        mine, theirs = getattr(found, name), getattr(expected, name)
        assert list(mine) == sorted(theirs)
        assert [mine[key] for key in theirs] == list(theirs.values())
    for wrong in ("", "zzz", "0-0"):
        assert wrong not in found.index
    assert found.draw(5, 3) == expected.draw(5, 3)
    assert [found.digest(name) for name in found.ids] == [expected.digest(name) for name in expected.ids]


def test_an_id_that_stands_far_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id that stands twice is refused, also if its rows are not in memory at the same time."""
    monkeypatch.setattr(spool, "KEEP", 2)
    monkeypatch.setattr(spool, "BLOCK", 2)
    content = rows(9)
    parquet(tmp_path, [*content, content[0]])
    assert "more than once in column 'filename'" in refused(stated(where=None), tmp_path)


COLUMNS = "its columns: filename, split, caption, image."


@pytest.mark.parametrize(
    ("changes", "columns", "text"),
    [
        ({}, {"references": "captions"}, f"has no column 'captions' (references), did you mean 'caption'?; {COLUMNS}"),
        ({}, {"id": "cocoid"}, f"has no column 'cocoid' (id); {COLUMNS}"),
        ({}, {"image": "imgae"}, f"has no column 'imgae' (image), did you mean 'image'?; {COLUMNS}"),
        ({"where": {"spilt": "test"}}, {}, f"has no column 'spilt' (where), did you mean 'split'?; {COLUMNS}"),
        ({"where": {"split": "val"}}, {}, "has no rows left in split 'test' after filtering."),
        ({"where": {"split": "val", "filename": "x"}}, {}, "has no rows left in split 'test' after filtering."),
        ({}, {"id": "split"}, "has the id 'test' more than once in column 'split'."),
    ],
)  # fmt: skip
def test_data_that_do_not_fit_the_claim(
    tmp_path: Path, changes: dict[str, Any], columns: dict[str, str], text: str
) -> None:
    """A missing column is named with the nearest one; no rows and ids that stand twice are errors."""
    parquet(tmp_path, rows())
    assert refused(stated(**changes), tmp_path, **columns) == f"The data set data.parquet {text}"


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"filename": None}, "row 1: expected text or a whole number as id in column 'filename', got None."),
        ({"filename": ""}, "row 1: expected text or a whole number as id in column 'filename', got ''."),
    ],
)
def test_rows_without_an_id(tmp_path: Path, row: dict[str, Any], text: str) -> None:
    """A row that cannot be named is an error: it must not become an image called None."""
    content = rows(3)
    parquet(tmp_path, [content[0], {**content[1], **row}, content[2]])
    assert refused(stated(), tmp_path) == f"The data set data.parquet: {text}"


@pytest.mark.parametrize("values", [[1.0, 2.0], [True, False], [["a"], ["b"]]], ids=["fractions", "booleans", "lists"])
def test_ids_of_other_kinds(tmp_path: Path, values: list[Any]) -> None:
    """Fractions, truth values and lists are no ids: they would not compare with those of another file."""
    parquet(tmp_path, [{"id": value, "image": b"", "caption": "x"} for value in values])
    assert refused(stated(), tmp_path, id="id") == (
        f"The data set data.parquet: row 0: expected text or a whole number as id in column 'id', got {values[0]!r}."
    )


@pytest.mark.parametrize(
    "captions", [[None], [[]], [[None, "x"]], [5], [{"raw": "x"}], [[["x"]]]], ids=repr
)  # fmt: skip
def test_references_that_are_no_captions(tmp_path: Path, captions: list[Any]) -> None:
    """No caption, null, numbers, objects and lists of lists are no references; the image is named."""
    parquet(tmp_path, [{"filename": "a", "image": b"", "caption": captions[0]}])
    assert refused(stated(), tmp_path) == (
        f"Image a: expected one or more reference captions as text, got {captions[0]!r}."
    )


def test_data_that_are_not_there(tmp_path: Path) -> None:
    """A file that nobody has here is no attempt; the message says how to name its folder."""
    with pytest.raises(NotAttempted) as caught:
        load(stated(), Columns(), [tmp_path])
    assert caught.value.reason == f"The data set data.parquet was not found below {tmp_path}."
    assert caught.value.next_step == "Name the folder that holds it with --claims-data=DIR."


@pytest.mark.parametrize(
    "identifier", ["../data.parquet", "/data.parquet", "~/data.parquet", "https://host/data.parquet"]
)
def test_data_elsewhere(tmp_path: Path, identifier: str) -> None:
    """A data set that leaves the folders of the claim is refused before anything is read."""
    (tmp_path / "claims").mkdir()
    parquet(tmp_path, rows())
    assert refused(stated(id=identifier), tmp_path / "claims") == (
        f"The path {identifier!r} is refused: expected a path below the claim file's folder or a --claims-data folder."
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.parquet", b"PAR1 no more"), ("data.parquet", b""), ("data.json", b"{"), ("data.jsonl", b"not json"),
        ("data.json", b"[" * 100_000), ("data.json", b'{"a":' * 100_000), ("data.arrow", b"x"), ("data.csv", b"\xff\xfe\x00"),
        ("data.csv", b""),
    ],
)  # fmt: skip
def test_damaged_data(tmp_path: Path, name: str, content: bytes) -> None:
    """A file that exists and cannot be read is an error of one line. It is not reported as missing."""
    (tmp_path / name).write_bytes(content)
    text = refused(stated(id=name), tmp_path)
    assert text.startswith(f"The data set {name} cannot be read: ")
    assert len(text.splitlines()) == 1


def test_other_kinds_of_data(tmp_path: Path) -> None:
    """A file that no loader reads, and a folder without images, are errors, not missing files."""
    (tmp_path / "data.txt").touch()
    assert refused(stated(id="data.txt"), tmp_path) == (
        "The data set data.txt: expected a folder or a file that ends in .parquet, .json, .jsonl, .csv, .arrow."
    )
    (tmp_path / "empty").mkdir()
    assert refused(stated(id="empty"), tmp_path).startswith("The data set empty cannot be read: ")


# --- draw


def split_of(names: list[str]) -> Split:
    """A split of which only the ids matter."""
    index = {name: position for position, name in enumerate(names)}
    return Split(rows=None, columns=Columns(), index=index, references={}, facts={}, folders=())


NAMES = [f"{number:05}.jpg" for number in range(1000)]


def test_draws_do_not_depend_on_the_order_of_rows() -> None:
    """One seed draws the same ids, sorted, whatever the order of the rows is."""
    shuffled = NAMES[:]
    random.Random(1).shuffle(shuffled)  # noqa: S311 - an order, not a secret
    drawn = split_of(NAMES).draw(100, 0)
    assert split_of(shuffled).draw(100, 0) == split_of(NAMES[::-1]).draw(100, 0) == drawn
    assert list(drawn) == sorted(set(drawn))
    assert set(drawn) <= set(NAMES)
    assert len(drawn) == 100


def test_draws_are_fixed_for_good() -> None:
    """A draw depends on seed and ids alone: these are the ids for all times and all library versions."""
    assert split_of(NAMES).draw(5, 0) == ("00350.jpg", "00394.jpg", "00475.jpg", "00802.jpg", "00835.jpg")


def test_smaller_samples_are_part_of_larger_ones() -> None:
    """A sample of one seed is contained in every larger one, so that evidence can be added to."""
    split = split_of(NAMES)
    sizes = [1, 2, 10, 99, 100, 500, 999]
    samples = [set(split.draw(size, 3)) for size in sizes]
    assert [len(sample) for sample in samples] == sizes
    assert all(small < large for small, large in pairwise(samples))


def test_draws_spread_over_the_split() -> None:
    """A sample is not the first rows, and another seed draws others: each half of the split gives about half of it."""
    split = split_of(NAMES)
    assert split.draw(100, 0) != tuple(NAMES[:100])
    assert len(set(split.draw(100, 0)) & set(split.draw(100, 1))) < 30  # 10 are expected
    firsts = [sum(name < NAMES[500] for name in split.draw(100, seed)) for seed in range(20)]
    assert 45 < sum(firsts) / 20 < 55


def test_draws_of_everything() -> None:
    """No size, or one that the split does not exceed, is all images."""
    split = split_of(NAMES[:10])
    for size in (None, 10, 11):
        assert split.draw(size, 0) == tuple(NAMES[:10])


# --- decode


def lavis(source: Path) -> PIL.Image.Image:
    """What LAVIS does."""
    return PIL.Image.open(source).convert("RGB")


PICTURES: dict[str, bytes] = {
    "RGB PNG": encoded(picture()),
    "JPEG": encoded(picture(), "JPEG"),
    "CMYK JPEG": encoded(picture("CMYK"), "JPEG"),
    "grey JPEG": encoded(picture("L"), "JPEG"),
    "progressive JPEG": encoded(picture(), "JPEG", progressive=True),
    "grey PNG": encoded(picture("L")),
    "grey with alpha": encoded(picture("LA")),
    "RGBA": encoded(picture("RGBA")),
    "palette PNG": encoded(picture("P")),
    "palette with transparency": encoded(picture("P"), transparency=bytes(range(256))),
    "one bit": encoded(picture("L").convert("1")),
    "sixteen bit": encoded(picture("L").convert("I;16")),
    "GIF": encoded(picture("P"), "GIF"),
    "animated GIF": encoded(picture("P"), "GIF", save_all=True, append_images=[picture("P", seed=1)]),
    "WebP": encoded(picture(), "WEBP", lossless=True),
    "BMP": encoded(picture(), "BMP"),
    "TIFF": encoded(picture("CMYK"), "TIFF"),
    "one pixel": encoded(picture(size=(1, 1))),
    "20,000 × 10": encoded(picture(size=(20_000, 10))),
    "10 × 20,000": encoded(picture(size=(10, 20_000))),
}


def oriented(tag: int) -> bytes:
    """A JPEG that asks to be shown turned."""
    exif = PIL.Image.Exif()
    exif[0x0112] = tag
    return encoded(picture(), "JPEG", exif=exif)


@pytest.mark.parametrize(
    "content", [*PICTURES.values(), oriented(6), oriented(3)], ids=[*PICTURES, "turned by 90°", "turned by 180°"]
)
@pytest.mark.filterwarnings("ignore:Palette images with Transparency:UserWarning")
def test_decoded_as_lavis_does(tmp_path: Path, content: bytes) -> None:
    """Every picture that PIL opens becomes the RGB pixels of `Image.open(path).convert("RGB")`, however the row holds it."""
    (tmp_path / "x").write_bytes(content)
    expected = lavis(tmp_path / "x")
    for value in (
        content,
        {"bytes": content, "path": None},
        {"bytes": content, "path": "/etc/passwd"},  # only a name: the bytes are there
        {"bytes": None, "path": "x"},
        {"path": str(tmp_path / "x")},
        "x",
        str(tmp_path / "x"),
    ):
        found = decode(value, "a", [tmp_path])
        assert (found.mode, found.size) == ("RGB", expected.size)
        assert found.tobytes() == expected.tobytes()


def test_exif_orientation_is_ignored() -> None:
    """A picture that asks to be turned is not, as in LAVIS: 8 × 6 stays 8 × 6, with the same pixels."""
    plain = decode(encoded(picture(), "JPEG"), "a", [])
    turned = decode(oriented(6), "a", [])
    assert (turned.size, turned.tobytes()) == ((8, 6), plain.tobytes())


def bomb(width: int, height: int) -> bytes:
    """A PNG that says it is this large and holds nothing."""
    content = bytearray(encoded(PIL.Image.new("L", (1, 1))))
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


WHOLE = encoded(picture(size=(64, 64)), "JPEG")
UNKNOWN = "cannot be decoded: not an image in a format that is read here."


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (WHOLE[: len(WHOLE) // 2], "cannot be decoded: "),
        (encoded(picture(size=(64, 64)))[:-200], "cannot be decoded: "),
        (b"", UNKNOWN),
        (b"a text file\n", UNKNOWN),
        (WHOLE[:10], "cannot be decoded: "),
        (b"\0" * 1000, UNKNOWN),
        ({"bytes": b"", "path": "good.png"}, UNKNOWN),
        (bomb(10_001, 10_000), f"10001 × 10000 pixels; more than {MAX_PIXELS:,} are refused."),
        (bomb(100_000, 100_000), "cannot be decoded: "),
        (None, "the row holds no image."),
        ({"bytes": None, "path": None}, "the row holds no image."),
        ({"bytes": None, "path": ""}, "the row holds no image."),
        ({}, "the row holds no image."),
        (7, "the row holds no image."),
        ("", "the row holds no image."),
        ("../out.png", ("The path '../out.png' is refused: expected a path below the claim file's folder or a --claims-data "
                       "folder.")),
        ("https://host/x.png", ("The path 'https://host/x.png' is refused: expected a path below the claim file's folder or "
                               "a --claims-data folder.")),
        ("link.png", "The path 'link.png' is refused: a symbolic link leads out of {folder}."),
        ("{folder}/link.png", "the path '{folder}/link.png' leads out of the folders that the claim may read."),
        ("{folder}/../out.png", "the path '{folder}/../out.png' leads out of the folders that the claim may read."),
        ("{folder}/circle", "the path '{folder}/circle' leads out of the folders that the claim may read."),
        ("/etc/hostname", "the path '/etc/hostname' leads out of the folders that the claim may read."),
        ("/\0", "the path '/\\x00' leads out of the folders that the claim may read."),
        ({"path": "/etc/hostname"}, "the path '/etc/hostname' leads out of the folders that the claim may read."),
        ("{folder}/missing.png", "cannot be decoded: [Errno 2] No such file or directory: '{folder}/missing.png'."),
        (".", "cannot be decoded: [Errno 21] Is a directory: "),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_cannot_be_decoded(tmp_path: Path, value: Any, text: str) -> None:
    """A damaged, missing, oversized or forbidden image is an error that names it; it is never left out."""
    folder = tmp_path / "claims"
    folder.mkdir()
    picture().save(tmp_path / "out.png")
    picture().save(folder / "good.png")
    (folder / "link.png").symlink_to(tmp_path / "out.png")
    (folder / "circle").symlink_to(folder / "circle")
    value = value.format(folder=folder) if isinstance(value, str) else value
    with pytest.raises(EvaluationError) as caught:
        decode(value, "image 1", [folder])
    expected = f"Image image 1: {text.format(folder=folder)}"
    assert str(caught.value).startswith(expected)
    assert str(caught.value) == expected or text.endswith(": ")  # the rest are PIL's words
    assert len(str(caught.value).splitlines()) == 1


def test_bombs_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture above the limit is refused by its header, before a pixel of it is decoded."""
    content = encoded(picture())
    monkeypatch.setattr(PIL.Image.Image, "convert", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr(PIL.Image.Image, "load", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr(pictures, "MAX_PIXELS", 47)
    with pytest.raises(EvaluationError) as caught:
        decode(content, "a", [])
    assert str(caught.value) == "Image a: 8 × 6 pixels; more than 47 are refused."


def test_a_picture_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that has as many pixels as the limit is allowed."""
    monkeypatch.setattr(pictures, "MAX_PIXELS", 48)
    assert decode(encoded(picture()), "a", []).size == (8, 6)


def test_a_file_that_is_not_here(tmp_path: Path) -> None:
    """A named file that no folder holds is no attempt: the pictures of COCO lie where the user has them."""
    with pytest.raises(NotAttempted) as caught:
        decode("x.jpg", "391895", [tmp_path])
    assert caught.value.reason == f"Image 391895: x.jpg was not found below {tmp_path}."
    assert caught.value.next_step == "Name the folder that holds it with --claims-data=DIR."


@pytest.mark.filterwarnings("ignore")  # what PIL says of odd metadata
@settings(derandomize=True, database=None, deadline=None, max_examples=300)
@given(
    st.sampled_from(["JPEG", "PNG", "GIF", "WebP", "BMP", "TIFF"]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
    st.floats(0.3, 1),
)
def test_damaged_pictures(kind: str, damage: list[tuple[float, int]], keep: float) -> None:
    """A picture with any damage is decoded, or it is an error that names the picture."""
    content = bytearray(PICTURES["RGB PNG" if kind == "PNG" else kind])
    for place, value in damage:
        content[int(place * (len(content) - 1))] = value
    try:
        found = decode(bytes(content[: int(keep * len(content))]), "a", [])
    except EvaluationError as error:
        text = str(error)
    else:
        text = f"Image a: {found.mode}"
    assert text.startswith("Image a: ")


def test_postscript_is_not_opened() -> None:
    """Formats that no data set of photographs holds are refused: PIL would hand an EPS file to Ghostscript."""
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n"
    with pytest.raises(EvaluationError) as caught:
        decode({"bytes": program, "path": None}, "a", ())
    assert str(caught.value) == "Image a: cannot be decoded: not an image in a format that is read here."
