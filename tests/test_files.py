"""Where the paths of a claim file may lead."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_claims import digests, files
from pytest_claims.errors import EvaluationError, NotAttempted


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """The claim file's folder and two data folders, in the order in which they are looked through."""
    found = (tmp_path / "claims", tmp_path / "one", tmp_path / "two")
    for folder in found:
        folder.mkdir()
    return found


def test_beside_the_claim_file_first(folders: tuple[Path, ...]) -> None:
    """A path is looked up beside the claim file, then below each data folder in the order they were given."""
    for folder in reversed(folders):
        (folder / "sub").mkdir()
        (folder / "sub/x.json").touch()
        assert files.find("sub/x.json", folders) == folder / "sub/x.json"
        assert files.need("sub/x.json", folders, "The file") == folder / "sub/x.json"


def test_a_folder_is_found_too(folders: tuple[Path, ...]) -> None:
    """A path may name a folder, such as a checkpoint's."""
    (folders[1] / "model").mkdir()
    assert files.find("model", folders) == folders[1] / "model"


def test_not_there(folders: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim whose file is missing is not attempted. The reason names the file, the folders, and the option that helps."""
    monkeypatch.chdir(folders[0].parent)
    assert files.find("x.json", folders) is None
    with pytest.raises(NotAttempted) as caught:
        files.need("x.json", (*folders, Path("/nowhere")), "The predictions file")
    assert str(caught.value) == (
        "The predictions file x.json was not found below claims, one, two, /nowhere. "
        "Name the folder that holds it with --claims-data=DIR."
    )
    assert caught.value.next_step == "Name the folder that holds it with --claims-data=DIR."


@pytest.mark.parametrize("text", ["x" * 300, "a\0b", "a/" * 3000 + "a"], ids=["long name", "NUL", "long path"])
def test_names_that_no_file_has(folders: tuple[Path, ...], text: str) -> None:
    """A name that no file can have is a missing file, not a crash."""
    assert files.find(text, folders) is None


@pytest.mark.parametrize(
    "text",
    [
        "/etc/passwd", "//etc/passwd", "../x.json", "a/../../x.json", "sub/..", "..", "~", "~/x.json", "~root/x",
        "https://host/x.json", "file:///etc/passwd", "hf://datasets/x", "s3://bucket/x",
    ],
)  # fmt: skip
def test_refused(folders: tuple[Path, ...], text: str) -> None:
    """An absolute path, one that climbs, a home folder and a URL are refused even where they would lead to a file."""
    (folders[0].parent / "x.json").touch()
    with pytest.raises(EvaluationError) as caught:
        files.find(text, folders)
    assert str(caught.value) == (
        f"The path {text!r} is refused: expected a path below the claim file's folder or a --claims-data folder."
    )


def test_links_that_lead_out(folders: tuple[Path, ...]) -> None:
    """A symbolic link out of its folder is refused, whether the last part of the path or one before it."""
    secret = folders[0].parent / "secret"
    secret.mkdir()
    (secret / "x.json").touch()
    (folders[0] / "link.json").symlink_to(secret / "x.json")
    (folders[0] / "dir").symlink_to(secret)
    for text in ("link.json", "dir/x.json"):
        with pytest.raises(EvaluationError) as caught:
            files.find(text, folders)
        assert str(caught.value) == f"The path {text!r} is refused: a symbolic link leads out of {folders[0]}."


def test_links_that_stay(folders: tuple[Path, ...]) -> None:
    """A symbolic link within its folder is followed, and so is a data folder that is a link itself."""
    (folders[1] / "real.json").touch()
    (folders[1] / "link.json").symlink_to("real.json")
    (folders[0].parent / "three").symlink_to(folders[1])
    assert files.find("link.json", folders) == folders[1] / "link.json"
    assert files.find("link.json", [folders[0].parent / "three"]) == folders[0].parent / "three/link.json"


def test_links_that_lead_nowhere(folders: tuple[Path, ...]) -> None:
    """A dangling link and links in a circle are missing files."""
    (folders[0] / "dangling").symlink_to("nowhere")
    (folders[0] / "a").symlink_to("b")
    (folders[0] / "b").symlink_to("a")
    assert files.find("dangling", folders) is None
    assert files.find("a", folders) is None


@pytest.mark.parametrize(
    ("identifier", "local"),
    [
        ("org/name", False), ("data.parquet", True), ("org/data.parquet", True), ("name", True), ("a/b/c", True),
        ("./name/x", True), ("org/name.json", True), ("org/v1.0", False),
    ],
)  # fmt: skip
def test_is_local(identifier: str, local: bool) -> None:
    """What is not a file here can be a hub id only if it has one slash and no suffix of a data file."""
    assert files.is_local(identifier) is local


def test_digest(tmp_path: Path) -> None:
    """The digest of files depends on their names and bytes, and not on their order, their folder or their time."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x").write_bytes(b"1")
        (tmp_path / folder / "y").write_bytes(b"2")
    os.utime(tmp_path / "b/x", (0, 0))
    one = [tmp_path / "a/x", tmp_path / "a/y"]
    found = digests.of_files(one)
    assert digests.of_files(reversed(one)) == found
    assert digests.of_files([tmp_path / "b/x", tmp_path / "b/y"]) == found
    assert digests.of_files(one[:1]) != found
    (tmp_path / "a/y").write_bytes(b"3")
    assert digests.of_files(one) != found
    (tmp_path / "b/y").rename(tmp_path / "b/z")
    assert digests.of_files([tmp_path / "b/x", tmp_path / "b/z"]) != found


def test_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path below the working folder is shown relative to it, another one in full."""
    monkeypatch.chdir(tmp_path)
    assert files.shown(tmp_path / "a/b") == "a/b"
    assert files.shown(Path("/else/where")) == "/else/where"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("data/tset.parquet", "data/test.parquet"),  # swapped
        ("data/tes.parquet", "data/test.parquet"),  # missing
        ("data/ttest.parquet", "data/test.parquet"),  # added
        ("data/tezt.parquet", "data/test.parquet"),  # wrong
        ("data/Test.Parquet", "data/test.parquet"),  # case
        ("dta/test.parquet", "data/test.parquet"),  # in a folder
    ],
)
def test_a_slip(folders: tuple[Path, ...], text: str, meant: str) -> None:
    """A mistyped path is an error that names what lies there: it is not data that this machine lacks."""
    (folders[1] / "data").mkdir()
    (folders[1] / "data/test.parquet").touch()
    with pytest.raises(EvaluationError, match=f"did you mean {meant!r}?"):
        files.need(text, folders, "The data set")


@pytest.mark.parametrize("text", ["train.json", "run2.json", "run12.json", "ab", "deep/run1.json", "run1.json/x"])
def test_no_slip(folders: tuple[Path, ...], text: str) -> None:
    """Another name, another number and a short name are files that are missing, beside others that are there."""
    for name in ("test.json", "run1.json", "aa"):
        (folders[0] / name).touch()
    with pytest.raises(NotAttempted):
        files.need(text, folders, "The data set")


def test_a_slip_does_not_show_other_folders(folders: tuple[Path, ...]) -> None:
    """The names behind a link that leads out of a folder are not told."""
    (folders[0].parent / "secret.json").touch()
    (folders[0] / "link").symlink_to(folders[0].parent)
    with pytest.raises(NotAttempted):
        files.need("link/secrte.json", folders, "The data set")
