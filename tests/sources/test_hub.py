"""Checkpoints and data sets of the hub: from its cache, offline, and from a server on loopback that speaks as it does."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests import hub
from tests.builders import Document, captioning, claim, write
from tests.hub import BLIP2, FLICKR_COMMIT, MODEL_COMMIT, Hub, Served, cache, flickr_files, model_files
from tests.shapes import rows, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "Salesforce/blip2-opt-2.7b"
CLAIM = "blip2-opt-2.7b-flickr30k-bleu4"
COUNT = 50
LONG = 24 * 2**20
"""Bytes of a file that breaks off after the first of the 10 MB pieces in which huggingface_hub writes."""


def shipped(folder: Path, *, images: int | None = None, precision: str = "float16") -> None:
    """The shipped Flickr30k claim in `folder`/claims: byte for byte, or with another number of images and half the sample."""
    text = (BLIP2 / "flickr30k.yaml").read_text(encoding="utf-8")
    if images is not None:
        text = text.replace("images: 1000", f"images: {images}").replace("float16", precision)
        text = text.replace("size: 100", f"size: {COUNT}").replace("min_sample: 100", f"min_sample: {COUNT}")
    path = folder / "claims" / "flickr30k.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def stand_ins(folder: Path) -> None:
    """The two repositories of that claim in the cache below `folder`/home."""
    cache(folder / "home", NAME, "model", MODEL_COMMIT, "main", model_files(224))
    files = flickr_files(COUNT + 4)
    cache(folder / "home", "nlphuji/flickr30k", "dataset", FLICKR_COMMIT, "refs/convert/parquet", files)


def axes(record: dict[str, Any]) -> dict[str, str]:
    """What the run did, by axis."""
    return {axis["axis"]: axis["run"] for axis in record["evidence"]["axes"]}


def test_the_shipped_claim_on_stand_ins_offline(tmp_path: Path) -> None:
    """The shipped Flickr30k claim, unchanged, runs offline from the hub's cache to a verdict; the commits are observed.

    It is withheld, since the rows are not the paper's 1,000. A copy that says how many there are is a proxy, for its sample.
    """
    shipped(tmp_path)
    text = (tmp_path / "claims" / "flickr30k.yaml").read_text(encoding="utf-8").replace(CLAIM, "copy")
    text = text.replace("images: 1000", f"images: {COUNT + 4}").replace("size: 100", f"size: {COUNT}")
    (tmp_path / "claims" / "copy.yaml").write_text(
        text.replace("min_sample: 100", f"min_sample: {COUNT}"), encoding="utf-8"
    )
    stand_ins(tmp_path)
    process, records = hub.run(tmp_path, HF_HUB_OFFLINE="1")
    record = records[CLAIM]
    assert record["verdict"]["status"] == "pending"
    assert [found["axis"] for found in record["evidence"]["deviations"]] == ["dataset", "sample"]
    assert f"images={COUNT + 4}" in axes(record)["dataset"]
    assert f"commit={FLICKR_COMMIT}" in axes(record)["dataset"]
    assert re.fullmatch(f"id={NAME}, commit={MODEL_COMMIT}, digest=[0-9a-f]{{16}}", axes(record)["checkpoint"])
    copy = records["copy"]
    assert copy["verdict"]["protocol_match"] == "proxy"
    assert copy["verdict"]["status"] == "partial"
    assert [found["axis"] for found in copy["evidence"]["deviations"]] == ["sample"]
    assert "and the paper's split has 1,000: the verdict would be withheld" in process.stdout


def test_a_candidate_of_the_hub_at_a_revision(tmp_path: Path) -> None:
    """A candidate may be a hub id with a revision: its commit is observed, and it is compared with the reference's."""
    shipped(tmp_path, images=COUNT + 4)
    stand_ins(tmp_path)
    commit = "c" * 40
    cache(tmp_path / "home", "acme/new", "model", commit, "refs/pr/3", model_files(224))
    options = (f"--claims-model={NAME}=acme/new@refs/pr/3", "--claims-compare", "--claims-max-regression=0")
    _, records = hub.run(tmp_path, *options, HF_HUB_OFFLINE="1")
    record = records[CLAIM]
    found = record["evidence"]["comparison"]
    assert re.fullmatch(f"acme/new@refs/pr/3, commit={commit}, digest=[0-9a-f]{{16}}", axes(record)["candidate"])
    assert (found["candidate"]["commit"], found["reference"]["commit"]) == (commit, MODEL_COMMIT)
    assert (found["decision"], found["changed"]) == ("non-inferior", 0)
    assert f"--claims-model={NAME}=acme/new@refs/pr/3 " in record["evidence"]["command"]


def test_a_dry_run_on_stand_ins(tmp_path: Path) -> None:
    """A dry run says, before anything is spent, what was found and what would be needed."""
    shipped(tmp_path, images=COUNT + 4)
    stand_ins(tmp_path)
    _, records = hub.run(tmp_path, "--claims-dry-run", HF_HUB_OFFLINE="1")
    record = records[CLAIM]
    assert record["verdict"]["status"] == "not_attempted"
    assert record["evidence"]["reason"] == "Dry run: the claim was planned, not run."
    needs = {need["what"]: need["found"] for need in record["evidence"]["needs"]}
    assert list(needs) == ["citation", "device", "checkpoint", "data set", "memory", "download", "time"]
    assert needs["checkpoint"] == (
        f"{NAME} at {MODEL_COMMIT[:12]}: Blip2ForConditionalGeneration, 1,029,056 parameters"
    )
    assert needs["data set"].startswith(f"nlphuji/flickr30k: {COUNT + 4} images, 5 references each, ")
    assert needs["memory"].startswith("2.1 MB for the weights; cpu has ")
    assert needs["download"] == "nothing"
    assert needs["time"].endswith(" by the size of the model alone")


def test_offline_without_a_copy(tmp_path: Path) -> None:
    """Offline and not in the cache: not attempted, with the command that fetches it, and nobody was asked."""
    shipped(tmp_path)
    with Hub({}) as server:
        _, records = hub.run(tmp_path, "--claims-require-attempt", HF_HUB_OFFLINE="1", HF_ENDPOINT=server.url)
    assert server.log == []
    evidence = records[CLAIM]["evidence"]
    assert records[CLAIM]["verdict"]["status"] == "not_attempted"
    assert evidence["reason"] == (
        f"The checkpoint {NAME} is not in this machine's cache at its main revision, and HF_HUB_OFFLINE is set."
    )
    assert (
        evidence["next_step"] == f"Unset HF_HUB_OFFLINE and run the claim again, or fetch it first: hf download {NAME}"
    )


def small(name: str, **changes: Any) -> Document:
    """A claim of a file that `captioning` gives, with a protocol of its own."""
    tolerance = {"pass": 5, "partial": "90%", "min_sample": 2}
    return claim(name, metric="bleu4", value="70.0", tolerance=tolerance, **changes)


PROBLEMS = {
    "gated": (
        "not_attempted",
        "The checkpoint acme/gated is gated: the hub gives it to those who accepted its terms.",
        "Accept them at https://huggingface.co/acme/gated, LOGIN, and run the claim again.",
    ),
    "unknown": (
        "not_attempted",
        "The checkpoint acme/unknown is not on the hub, or is private.",
        "Check the name; to see a private one, LOGIN.",
    ),
    "vanished": (
        "error",
        "The checkpoint acme/vanished has no revision 'v1' on the hub (any more): name one that is there.",
        "",
    ),
    "silent": (
        "not_attempted",
        "The checkpoint acme/silent is not in this machine's cache, and the hub is no help: it did not answer in time.",
        "Run the claim again when the hub can be reached.",
    ),
    "lost": (
        "error",
        "The checkpoint acme/lost has lost tokenizer.json at 0123456789ab while it was fetched.",
        "",
    ),
    "pickled": (
        "error",
        "The checkpoint acme/pickled holds no *.safetensors file; pickled weights (*.bin, *.pt) are never loaded.",
        "",
    ),
    "encoder": (
        "error",
        "The checkpoint acme/encoder is a CLIPModel (model_type 'clip'), NO_CAPTIONER",
        "",
    ),
    "own": (
        "error",
        "The checkpoint acme/own is a OwnModel (model_type 'own'), NO_CAPTIONER It brings code of its own, which is never run.",
        "",
    ),
}  # fmt: skip


def test_what_can_go_wrong_with_a_download(tmp_path: Path) -> None:
    """Gated, unknown, vanished, silent, lost, damaged, pickled, no captioner: each has its status and a sentence that helps.

    An interrupted download goes on where it stopped. The token goes to the hub and into no report.
    """
    import transformers
    from huggingface_hub import constants

    good = model_files()
    changed = Served(good, wrong={"model.safetensors"})
    pickled = {name.replace("model.safetensors", "pytorch_model.bin"): content for name, content in good.items()}
    own = b'{"model_type": "own", "architectures": ["OwnModel"], "auto_map": {"AutoModel": "own.OwnModel"}}'
    repos = {
        "models/acme/good": Served(good | {"long.txt": bytes(LONG)}, cut={"long.txt"}),
        "models/acme/gated": Served(good, gated=True),
        "models/acme/vanished": Served(good),
        "models/acme/silent": Served(good, silent=True),
        "models/acme/lost": Served(good, lost={"tokenizer.json"}),
        "models/acme/changed": changed,
        "models/acme/pickled": Served(pickled),
        "models/acme/encoder": Served({"config.json": b'{"model_type": "clip", "architectures": ["CLIPModel"]}'}),
        "models/acme/own": Served({"config.json": own, "own.py": b"raise SystemExit", "model.safetensors": b""}),
    }
    claims = tmp_path / "claims"
    write_rows(claims / "rows.parquet", rows(2))
    wanted = []
    for name in ("good", "changed", *PROBLEMS):
        checkpoint = {"id": f"acme/{name}", "revision": "v1" if name == "vanished" else None}
        wanted.append(small(name, protocol__checkpoint=checkpoint))
    write(claims / "small.yaml", captioning(*wanted))
    with Hub(repos) as server:
        _, records = hub.run(tmp_path, HF_ENDPOINT=server.url, HF_HUB_ETAG_TIMEOUT="1", HF_HUB_DOWNLOAD_TIMEOUT="5")
    found = {
        name: (records[name]["verdict"]["status"], records[name]["evidence"]["reason"], records[name]["evidence"]["next_step"])
        for name in PROBLEMS
    }  # fmt: skip
    refused = f"which transformers {transformers.__version__} does not load as a model that turns images into text."
    login = "log in with `hf auth login` (or set HF_TOKEN)"
    assert found == {
        name: (status, reason.replace("NO_CAPTIONER", refused), step.replace("LOGIN", login))
        for name, (status, reason, step) in PROBLEMS.items()
    }
    good_bytes = good["model.safetensors"]
    stated = hashlib.sha256(good_bytes).hexdigest()
    arrived = hashlib.sha256(good_bytes[:-1] + bytes([good_bytes[-1] ^ 1])).hexdigest()
    assert records["changed"]["verdict"]["status"] == "error"
    assert records["changed"]["evidence"]["reason"] == (
        f"The checkpoint acme/changed: model.safetensors arrived with SHA-256 {arrived[:12]}… and the hub states "
        f"{stated[:12]}…; it was removed, so run the claim again, and ask who serves the files if it happens twice."
    )
    assert not list((tmp_path / "home/hub/models--acme--changed").rglob("model.safetensors"))
    assert records["good"]["verdict"]["status"] == "pass"
    assert f"commit={MODEL_COMMIT}" in axes(records["good"])["checkpoint"]
    ranges = [asked for verb, path, asked in server.log if verb == "GET" and path.endswith("/long.txt")]
    assert ranges == [None, f"bytes={constants.DOWNLOAD_CHUNK_SIZE}-"]
    assert not [path for _, path, _ in server.log if path.endswith((".bin", ".py"))]
    assert f"Bearer {hub.TOKEN}" in server.tokens


def test_a_dry_run_asks_the_hub_and_fetches_no_data(tmp_path: Path) -> None:
    """Online, a dry run reads sizes, commits, rows and columns off the hub.

    A data set that is the whole of Flickr30k, and one with other columns, are seen before they are downloaded.
    """
    named: dict[str, dict[str, Any]] = {
        "filtered": {"id": "nlphuji/flickr30k", "revision": "refs/convert/parquet", "where": {"split": "test"}},
        "whole": {"id": "lmms-lab/flickr30k"},
        "columns": {"id": "acme/other", "where": {"domain": "near"}},
    }
    claims = [small(name, protocol__dataset={**data, "images": 4}) for name, data in named.items()]
    document = captioning(*claims, protocol__checkpoint__id="acme/good", protocol__dataset={"split": "test"})
    write(tmp_path / "claims" / "small.yaml", document)
    files = flickr_files(4)
    size = len(files["TEST/test/0000.parquet"])
    repos = {
        "models/acme/good": Served(model_files()),
        "datasets/nlphuji/flickr30k": Served(files, commit=FLICKR_COMMIT, revisions=("refs/convert/parquet",)),
        "datasets/lmms-lab/flickr30k": Served({"data/test-00000-of-00001.parquet": files["TEST/test/0000.parquet"]}),
        "datasets/acme/other": Served({"data/test-00000-of-00001.parquet": files["TEST/test/0000.parquet"]}),
    }
    with Hub(repos) as server:
        process, records = hub.run(tmp_path, "--claims-dry-run", HF_ENDPOINT=server.url)
    assert process.returncode == 1
    needs = {
        name: {need["what"]: need["found"] for need in record["evidence"]["needs"]} for name, record in records.items()
    }
    assert needs["filtered"]["data set"] == f"nlphuji/flickr30k at {FLICKR_COMMIT[:12]}: 9 rows before filtering"
    assert needs["whole"]["data set"] == (
        f"lmms-lab/flickr30k at {MODEL_COMMIT[:12]}: 9 rows, and the paper's split has 4: the verdict would be withheld"
    )
    assert records["columns"]["verdict"]["status"] == "error"
    assert records["columns"]["evidence"]["reason"] == (
        "Dry run: the claim would not run. The data set acme/other has no column 'domain' (where); its columns: "
        "image, caption, filename, split, sentids, img_id."
    )
    weights = sum(len(content) for name, content in model_files().items() if name != "config.json")
    total = f"{(weights + size) / 1e6:.1f} MB"
    assert needs["filtered"]["download"].startswith(f"{total}; the disk of the hub's cache has ")
    fetched = {path.rsplit("/", 1)[1] for verb, path, asked in server.log if verb == "GET" and "/resolve/" in path}
    assert fetched == {"config.json", "0000.parquet", "test-00000-of-00001.parquet"}
    assert not list((tmp_path / "home").rglob("*.parquet"))


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """This process's huggingface_hub, turned to a local server with one repository and to an empty cache."""
    files = model_files() | {"long.txt": bytes(LONG)}
    with hub.here({"models/acme/good": Served(files, cut={"long.txt"})}, tmp_path / "cache", monkeypatch) as server:
        yield server


def test_progress_counts_every_byte_once(local: Hub) -> None:
    """A download tells its progress in bytes, which add up to what was missing, also where it was interrupted.

    A second one asks for nothing.
    """
    from pytest_claims.sources import hub as ours
    from pytest_claims.sources import repository

    done: list[int] = []
    bars: list[tuple[int, str, str]] = []

    class Bar:
        def update(self, n: int) -> None:
            done.append(n)

    @contextmanager
    def progress(total: int, label: str, /, *, unit: str = "", **_options: object) -> Iterator[Bar]:
        bars.append((total, label, unit))
        yield Bar()

    repo = ours.find("acme/good", None, "model")
    wanted = (*repository.small_files(repo), *repository.weights(repo))
    total = sum(file.size for file in wanted)
    folder = ours.fetch(repo, wanted, progress)
    assert bars == [(total, "acme/good", "B")]
    assert sum(done) == total
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == local.repos["models/acme/good"].files
    asked = len(local.log)
    assert ours.fetch(ours.find("acme/good", None, "model"), wanted, progress) == folder
    assert len(local.log) == asked


def safetensors_file(header: bytes, data: bytes = bytes(8), *, length: int | None = None) -> bytes:
    """A file of safetensors' format, whatever its header says; `length` is what it says of its header's length."""
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def two_tensors(**changes: object) -> bytes:
    """The header of a file with two tensors of one number each, in which `changes` replace fields of the second."""
    first: dict[str, object] = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    return json.dumps({"a": first, "b": {**first, "data_offsets": [4, 8], **changes}}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no weights at all, but longer than eight bytes",
        safetensors_file(two_tensors())[:60],
        safetensors_file(two_tensors(), bytes(7)),
        safetensors_file(two_tensors(), bytes(9)),
        safetensors_file(two_tensors(), length=10_000),
        safetensors_file(two_tensors(), length=2**63),
        safetensors_file(b"[1, 2]  "),
        safetensors_file(two_tensors(data_offsets=[4, 4_000])),
        safetensors_file(two_tensors(data_offsets=[0, 4])),
        safetensors_file(two_tensors(data_offsets=[8, 12]), bytes(12)),
        safetensors_file(two_tensors(data_offsets=[8, 4])),
        safetensors_file(two_tensors(shape=[1_000])),
        safetensors_file(two_tensors(shape=[-1, -1])),
        safetensors_file(two_tensors(shape=[2**40, 2**40])),
        safetensors_file(two_tensors(dtype="F33")),
    ],
    ids=[
        "empty", "garbage", "cut off in the header", "cut off in the data", "trailing bytes", "header longer than the file",
        "header longer than any file", "no object", "offsets out of range", "overlap", "hole", "backwards", "shape too large",
        "negative shape", "overflow", "unknown dtype",
    ],
)  # fmt: skip
def test_broken_weights_are_not_counted(tmp_path: Path, content: bytes) -> None:
    """A file of weights whose header lies about its tensors is refused by name."""
    from pytest_claims.errors import EvaluationError
    from pytest_claims.sources.checkpoint import Source

    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(EvaluationError) as caught:
        Source(id="model", path=tmp_path, repo=None, config={}).parameters()
    assert str(caught.value) == "The checkpoint model: model.safetensors is no safetensors file, or not all of it."


def test_weights_are_counted_without_torch(tmp_path: Path) -> None:
    """The numbers of a file of weights are counted from its header, also of a type that numpy lacks, and torch stays out."""
    header = two_tensors(dtype="BF16", shape=[1, 2])
    (tmp_path / "model.safetensors").write_bytes(safetensors_file(header))
    program = (
        "import pathlib, sys; from pytest_claims.sources.checkpoint import Source; "
        f"source = Source(id='model', path=pathlib.Path({str(tmp_path)!r}), repo=None, config={{}}); "
        "print(source.parameters(), 'torch' in sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["3", "False"]
