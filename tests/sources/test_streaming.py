"""Parquet files that are read where they lie: rows, facts, images and errors are those of `datasets`; nothing is unpacked."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import datasets
import huggingface_hub
import pyarrow
import pyarrow.parquet
import pytest

from pytest_claims import spool
from pytest_claims.errors import EvaluationError
from pytest_claims.sources import parquet
from pytest_claims.sources.data import Split, load
from pytest_claims.spec.models import Columns
from tests.sources.test_data import own_cache, rows, stated

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["own_cache"]  # a fixture of this module


@pytest.fixture(autouse=True, params=[50_000, 2], ids=["in memory", "in a file"])
def keep(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids and texts are in memory or in temporary files; few rows are read at once, and few are held."""
    monkeypatch.setattr(spool, "KEEP", request.param)
    monkeypatch.setattr(parquet, "BATCH", 2)
    monkeypatch.setattr(parquet, "HELD", 2)


def write(path: Path, content: list[dict[str, Any]], *, group: int = 3, features: Any = None) -> Path:
    """A Parquet file of row groups of so many rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.Table.from_pylist(content, schema=features.arrow_schema if features else None)
    pyarrow.parquet.write_table(table, path, row_group_size=group)
    return path


def both(folder: Path, name: str, **changes: Any) -> tuple[Split, Split]:
    """The data set as `datasets` unpacks it, and streamed."""
    dataset = stated(id=name, **changes)
    return tuple(  # type: ignore[return-value] # two
        load(dataset, Columns(question="split"), [folder], extras={"why": "split"}, streaming=streaming)
        for streaming in (False, True)
    )


def snapshot(folder: Path, monkeypatch: pytest.MonkeyPatch, file: Path, name: str, card: str = "") -> None:
    """The data set some/set in the hub's cache: links to files with other names."""
    home = folder / "hub" / "datasets--some--set"
    commit = "0" * 40
    (home / "blobs").mkdir(parents=True)
    (home / "snapshots" / commit / name).parent.mkdir(parents=True)
    (home / "snapshots" / commit / name).symlink_to(file.rename(home / "blobs" / "0123"))
    (home / "snapshots" / commit / "README.md").write_text(card)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def shuffled() -> list[dict[str, Any]]:
    """Eleven rows whose ids are in another order than the rows."""
    content = [{**row, "why": "text"} for row in rows(11)]
    return [content[n * 4 % 11] for n in range(11)]


FEATURES = {
    "filename": datasets.Value("string"),
    "split": datasets.Value("string"),
    "caption": datasets.List(datasets.Value("string")),
    "image": datasets.Image(),
}
"""As the hub has them: the column of images says that it is one."""


@pytest.mark.parametrize("where", [None, {"split": "test"}, {"split": "train", "filename": "5.png"}])
@pytest.mark.parametrize("shape", ["file", "folder", "snapshot", "features"])
def test_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str, where: dict[str, Any] | None
) -> None:
    """Facts with the fingerprint, ids, texts, draws, images and digests are those of the unpacked data set, in any order."""
    content = shuffled()
    if shape == "folder":
        write(tmp_path / "set" / "data" / "test-00000-of-00002.parquet", content[:4])
        write(tmp_path / "set" / "data" / "test-00001-of-00002.parquet", content[4:], group=100)
        write(tmp_path / "set" / "data" / "train-00000-of-00001.parquet", content[:1])
    elif shape == "snapshot":
        snapshot(tmp_path, monkeypatch, write(tmp_path / "0123", content), "TEST/test/0000.parquet")
    else:
        kinds = datasets.Features(FEATURES) if shape == "features" else None
        held = [{key: row[key] for key in FEATURES} for row in content] if kinds else content
        write(tmp_path / "set.parquet", held, features=kinds)
    unpacked, streamed = both(
        tmp_path, {"folder": "set", "snapshot": "some/set"}.get(shape, "set.parquet"), where=where
    )
    assert isinstance(streamed.rows, parquet.Rows)
    assert streamed.facts == unpacked.facts
    assert streamed.ids == unpacked.ids
    for name in ("index", "references", "questions", "extras"):
        assert dict(getattr(streamed, name)) == dict(getattr(unpacked, name))
    assert streamed.draw(3, 1) == unpacked.draw(3, 1)
    assert list(streamed.rows) == [dict(row) for row in unpacked.rows]
    assert list(pickle.loads(pickle.dumps(streamed.rows))) == list(streamed.rows)  # noqa: S301 - our own
    for name in (*streamed.ids, *reversed(streamed.ids), *streamed.in_order(streamed.ids)):
        assert streamed.digest(name) == unpacked.digest(name)
        assert streamed.image(name).tobytes() == unpacked.image(name).tobytes()


def test_nothing_is_unpacked(tmp_path: Path) -> None:
    """The cache of `datasets` stays empty, and rows in the order of the file are read once."""
    write(tmp_path / "set.parquet", shuffled())
    split = load(stated(id="set.parquet"), Columns(), [tmp_path], streaming=True)
    assert not (tmp_path / "cache").exists()
    ordered = split.in_order(split.ids)
    assert [split.index[name] for name in ordered] == list(range(11))


def test_other_files_are_read_as_before(tmp_path: Path) -> None:
    """The option says how Parquet files are read, and nothing of other formats."""
    (tmp_path / "set.jsonl").write_text('{"filename": "a", "image": "a.png", "caption": ["one"]}\n')
    split = load(stated(id="set.jsonl"), Columns(), [tmp_path], streaming=True)
    assert isinstance(split.rows, datasets.Dataset)


def swapped(content: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows, of which the first two have each other's images."""
    first, second, *others = content
    return [{**first, "image": second["image"]}, {**second, "image": first["image"]}, *others]


def test_a_file_that_changes_after_it_was_read(tmp_path: Path) -> None:
    """Images that are not those of the fingerprint are refused: a file could be replaced between reading and captioning."""
    content = rows(6)
    path = write(tmp_path / "set.parquet", content)
    split = load(stated(id="set.parquet"), Columns(), [tmp_path], streaming=True)
    split.image("5.png")
    write(path, swapped(content))
    for name in ("0.png", "1.png"):
        with pytest.raises(EvaluationError, match=f"^Image {name} has changed since the data set was read.$"):
            split.image(name)
    path.write_bytes(b"PAR1")
    with pytest.raises(EvaluationError, match=r"set\.parquet: row 4 cannot be read: "):
        pickle.loads(pickle.dumps(split.rows))[4]  # noqa: S301 - our own


def test_errors_are_those_of_the_unpacked_data_set(tmp_path: Path) -> None:
    """A split that is not there, and a file that is no Parquet file, are refused in the same words."""
    write(tmp_path / "set" / "train.parquet", rows(3))
    (tmp_path / "set.parquet").write_bytes(b"nothing")
    said = []
    for streaming in (False, True):
        for name, start in (("set", 60), ("set.parquet", 40)):
            with pytest.raises(EvaluationError) as caught:
                load(stated(id=name), Columns(), [tmp_path], streaming=streaming)
            said.append(str(caught.value)[:start])
    assert said[:2] == said[2:]
    assert said[0].startswith('The data set set cannot be read: Unknown split "test".')


@pytest.mark.parametrize("streaming", [False, True])
def test_files_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streaming: bool) -> None:
    """Neither a link in a folder, nor the card of a repository or of a folder, has other files of this machine read."""
    other = write(tmp_path / "private" / "test.parquet", rows(3))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "test.parquet").symlink_to(other)
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: test\n    path: {}\n---\n"
    snapshot(tmp_path, monkeypatch, write(tmp_path / "0123", rows(2)), "test.parquet", card.format(other))
    for name in ("set", "some/set"):
        with pytest.raises(EvaluationError, match=r"test.parquet' is refused: it is not one of its own\.$"):
            load(stated(id=name), Columns(), [tmp_path], streaming=streaming)
    (tmp_path / "set" / "test.parquet").unlink()
    write(tmp_path / "set" / "test.parquet", rows(2))
    (tmp_path / "set" / "README.md").write_text(card.format(other))
    assert len(load(stated(id="set"), Columns(), [tmp_path], streaming=streaming).ids) == 2
