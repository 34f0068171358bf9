"""Data sets of the hub larger than the disk: each file is fetched for its rows, and again for its images; none is kept."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from pytest_claims.errors import EvaluationError, NotAttempted
from pytest_claims.progress import silent
from pytest_claims.sources import hub as ours
from pytest_claims.sources import parquet, shards
from pytest_claims.sources.data import Split, load
from pytest_claims.spec.models import Columns
from tests import hub
from tests.builders import captioning, claim, write
from tests.hub import Hub, Served
from tests.shapes import rows as shapes
from tests.sources.test_data import own_cache, rows, stated

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["own_cache"]  # a fixture of this module

SET = "datasets/some/set"
COUNT = 4
"""Files of the split `test`, of five rows each, in two row groups."""

FEATURES = datasets.Features(
    {
        "filename": datasets.Value("string"),
        "split": datasets.Value("string"),
        "caption": datasets.List(datasets.Value("string")),
        "image": datasets.Image(),
    }
)


def encoded(content: list[dict[str, Any]], *, features: bool = False) -> bytes:
    """A Parquet file."""
    buffer = io.BytesIO()
    table = pyarrow.Table.from_pylist(content, schema=FEATURES.arrow_schema if features else None)
    pyarrow.parquet.write_table(table, buffer, row_group_size=3)
    return buffer.getvalue()


def files(*, features: bool = False) -> dict[str, bytes]:
    """The files of the data set: those of the split, whose ids are not in the order of the rows, and one of another split."""
    content = rows(5 * COUNT + 2)
    mixed = [content[number * 7 % (5 * COUNT)] for number in range(5 * COUNT)]
    made = {
        f"data/test-{number:05}-of-{COUNT:05}.parquet": encoded(mixed[5 * number : 5 * number + 5], features=features)
        for number in range(COUNT)
    }
    return {
        "README.md": b"---\nlicense: mit\n---\n# Some set",
        **made,
        "data/train-00000-of-00001.parquet": encoded(content[5 * COUNT :]),
    }


@pytest.fixture(params=[False, True], ids=["plain", "features"])
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Hub]:
    """The hub with the data set, and this process turned to it."""
    with hub.here({SET: Served(files(features=request.param))}, tmp_path / "hub", monkeypatch) as found:
        yield found


def read(folder: Path, *, streaming: bool = True, **changes: Any) -> Split:
    """The data set, read."""
    columns = Columns(question="split")
    return load(stated(id="some/set", **changes), columns, [folder], extras={"why": "split"}, streaming=streaming)


def fetched(server: Hub) -> list[str]:
    """The Parquet files that were asked for, in order. A plan reads the ends of files, which do not count."""
    return [
        Path(path).name[:10]
        for verb, path, part in server.log
        if verb == "GET" and path.endswith(".parquet") and part is None
    ]


def left(folder: Path) -> list[Path]:
    """The Parquet files on the disk below a folder."""
    return list(folder.rglob("*.parquet"))


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("where", [None, {"split": "test"}])
def test_the_same_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: dict[str, Any] | None) -> None:
    """Facts with the fingerprint, ids, texts, digests and images are those of the data set that is fetched and kept."""
    kept = read(tmp_path, streaming=False, where=where)
    (tmp_path / "hub").rename(tmp_path / "kept")
    monkeypatch.setattr(ours, "room", lambda: 1000)
    passing = read(tmp_path, where=where)
    assert passing.facts == kept.facts
    assert passing.ids == kept.ids
    for name in ("index", "references", "questions", "extras"):
        assert dict(getattr(passing, name)) == dict(getattr(kept, name))
    for name in passing.in_order(passing.ids):
        assert passing.digest(name) == kept.digest(name)
        assert passing.image(name).tobytes() == kept.image(name).tobytes()
    assert passing.absent(passing.ids) == ()


def test_each_file_is_fetched_twice_and_none_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Hub
) -> None:
    """Once for the rows and once for the images, in the order of the rows; at most two are on the disk, none in the cache."""
    monkeypatch.setattr(ours, "room", lambda: 1000)
    most, original = 0, ours.fetch_to

    def watched(*arguments: Any) -> Path:
        nonlocal most
        path = original(*arguments)
        most = max(most, len(left(tmp_path)))
        return path

    monkeypatch.setattr(ours, "fetch_to", watched)
    split = read(tmp_path)
    names = [f"test-{number:05}" for number in range(COUNT)]
    assert fetched(server) == names
    assert left(tmp_path) == []
    server.log.clear()
    ordered = split.in_order(split.ids)
    for name in (name for pair in zip(ordered[1::2], ordered[::2], strict=True) for name in pair):  # as threads may ask
        split.image(name)
    assert fetched(server) == names
    assert most == 1
    assert not list((tmp_path / "cache" / "pytest-claims").iterdir())


def test_enough_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Hub) -> None:
    """Where there is room, the files of the split are fetched once and kept in the hub's cache; no other is fetched."""
    monkeypatch.setattr(ours, "room", lambda: 10**9)
    split = read(tmp_path)
    assert isinstance(split.rows, parquet.Rows)
    assert len(left(tmp_path / "hub" / "datasets--some--set" / "snapshots")) == COUNT
    assert len(fetched(server)) == COUNT
    monkeypatch.setattr(ours, "room", lambda: 0)  # what is there needs no room
    again = read(tmp_path)
    for name in again.ids:
        assert again.image(name).tobytes() == split.image(name).tobytes()
    assert again.facts == split.facts
    assert len(fetched(server)) == COUNT


def test_files_of_the_cache_are_read_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Hub) -> None:
    """A file that the cache has is not fetched, and is not removed."""
    monkeypatch.setattr(ours, "room", lambda: 10**9)
    repo = ours.find("some/set", None, "dataset")
    found = shards.of_split(repo, "test")
    assert found is not None
    ours.fetch(repo, found[0][1:2], silent)
    server.log.clear()
    monkeypatch.setattr(ours, "room", lambda: 1000)
    split = read(tmp_path)
    for name in split.in_order(split.ids):
        split.image(name)
    assert "test-00001" not in fetched(server)
    assert len(left(tmp_path / "hub" / "datasets--some--set" / "snapshots")) == 1


@pytest.mark.parametrize("when", ["rows", "images"])
def test_a_file_that_arrives_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Hub, when: str) -> None:
    """It is refused by its SHA-256, when the rows are read and when the images are."""
    monkeypatch.setattr(ours, "room", lambda: 1000)
    name = f"data/test-00000-of-{COUNT:05}.parquet"
    split = None if when == "rows" else read(tmp_path)
    server.repos[SET].wrong.add(name)
    with pytest.raises(EvaluationError, match=r"test-00000-of-00004\.parquet arrived with SHA-256"):
        (split or read(tmp_path)).image("0.png")


def test_other_images_the_second_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Hub) -> None:
    """Images that are not those of the fingerprint are refused, also where the hub states no SHA-256."""
    monkeypatch.setattr(ours, "room", lambda: 1000)
    repo = ours.find("some/set", None, "dataset")
    silent_of = type(repo)(
        **{name: getattr(repo, name) for name in ("id", "kind", "revision", "commit", "online")},
        files=tuple(type(file)(name=file.name, size=file.size) for file in repo.files),
    )
    monkeypatch.setattr(ours, "find", lambda *_: silent_of)
    split = read(tmp_path)
    name = f"data/test-00000-of-{COUNT:05}.parquet"
    before = rows(5 * COUNT)
    changed = [before[number * 7 % (5 * COUNT)] | {"image": before[1]["image"]} for number in range(5)]
    server.repos[SET].files[name] = encoded(changed)
    with pytest.raises(EvaluationError, match=r"Image 0\.png has changed since the data set was read\."):
        split.image("0.png")


def test_the_hub_goes_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Hub) -> None:
    """A file that the hub has lost is an error; a download that cannot be finished is not attempted, and says what to do."""
    monkeypatch.setattr(ours, "room", lambda: 1000)
    split = read(tmp_path)
    server.repos[SET].lost.add(f"data/test-00000-of-{COUNT:05}.parquet")
    with pytest.raises(EvaluationError, match=r"has lost data/test-00000-of-00004\.parquet"):
        split.image("0.png")
    server.repos.clear()
    with pytest.raises(NotAttempted, match=r"^The download of some/set stopped at data/test-00001") as caught:
        split.image("15.png")
    assert caught.value.next_step == "Run the claim again: captions that were ready are kept."


@pytest.mark.usefixtures("server")
def test_another_process_has_no_such_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows say so when they arrive elsewhere, so that the driver sends the images of an actor."""
    monkeypatch.setattr(ours, "room", lambda: 1000)
    sent = pickle.dumps(read(tmp_path).rows)
    with pytest.raises(ValueError, match="only the process that fetched these rows"):
        pickle.loads(sent)  # noqa: S301 - our own


def test_an_unknown_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Hub) -> None:
    """No file is fetched for a split that is not there."""
    monkeypatch.setattr(ours, "room", lambda: 1000)
    with pytest.raises(EvaluationError, match=r'Unknown split "val"\. Should be one of'):
        read(tmp_path, split="val")
    assert fetched(server) == []


SMALL_DISK = """
import shutil
from collections import namedtuple
from pytest_claims.sources import shards
shutil.disk_usage = lambda _: namedtuple("usage", "total used free")(10**9, 0, 10**9)
shards.SHARE = 1e-6
"""


def test_a_claim_about_data_larger_than_the_disk(tmp_path: Path) -> None:
    """The plan says what happens, images are captioned from files that are fetched again, and no file is kept."""
    content = shapes(9)
    served = {f"data/test-{n:05}-of-00003.parquet": encoded(content[3 * n : 3 * n + 3]) for n in range(3)}
    tolerance = {"pass": 5, "partial": "90%", "min_sample": 2}
    document = captioning(
        claim("one", metric="bleu4", value="70.0", tolerance=tolerance),
        images=9,
        protocol__checkpoint__id="acme/good",
        protocol__dataset__id="acme/large",
    )
    write(tmp_path / "claims" / "one.yaml", document)
    (tmp_path / "conftest.py").write_text(SMALL_DISK)
    with Hub({"models/acme/good": Served(hub.model_files()), "datasets/acme/large": Served(served)}) as server:
        process, records = hub.run(tmp_path, "--claims-streaming", HF_ENDPOINT=server.url)
    assert records["one"]["verdict"]["status"] == "pass"
    assert left(tmp_path) == []
    assert len(fetched(server)) == 2 * len(served)
    size = sum(map(len, served.values()))
    assert (
        f"its {size / 1000:.1f} kB take more than half of the free disk: each file is fetched twice" in process.stdout
    )
