"""Change what decides a caption where nobody looks: in a file of the checkpoint's folder, or below it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.attacks.shop import attempt, deviates, edit, model
from tests.evaluation.test_models import CROPPED, evidence, git
from tests.shapes import SHAPES, torch, warm, write_claim

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["warm"]  # a fixture of this module


def sharded(folder: Path, below: str) -> Path:
    """The weights moved to `below`, an index that points there, and a decoy on top that nothing loads."""
    (folder / below).mkdir(parents=True)
    target = folder / below / "weights.safetensors"
    shutil.move(folder / "model.safetensors", target)
    from safetensors import safe_open

    with safe_open(target, "pt") as file:
        names = list(file.keys())
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, f"{below}/weights.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "decoy.safetensors").write_bytes(target.read_bytes())
    return target


def damage(weights: Path) -> None:
    """Other weights in the place of the first: their numbers, a little off."""
    from safetensors.torch import load_file, save_file

    torch.manual_seed(1)
    tensors = {name: value + 0.02 * torch.randn_like(value) for name, value in load_file(weights).items()}
    save_file(tensors, weights, metadata={"format": "pt"})


@pytest.mark.parametrize("below", ["shards", "a/b", "onnx"])
def test_replace_the_weights_below_the_top_folder(pytester: pytest.Pytester, below: str) -> None:
    """Weights in a sub-folder are in the digest: replaced ones are never served from evidence of the old ones."""
    write_claim(pytester.path, count=8)
    weights = sharded(model(pytester.path), below)
    _, (honest,) = attempt(pytester, cache=True)
    damage(weights)
    _, (record,) = attempt(pytester, cache=True)
    assert record["evidence"]["digest"] != honest["evidence"]["digest"]
    assert "captions" not in record["evidence"]["provenance"], "served from evidence"


def swap_words(folder: Path) -> None:
    """A tokenizer that spells two words the other way round: other captions from the same tokens."""
    content = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    one, other = (next(word for word in vocabulary if word.endswith(end)) for end in ("red", "blue"))
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    (folder / "tokenizer.json").write_text(json.dumps(content))


def extra(folder: Path) -> None:
    """A file that no library of today opens."""
    (folder / "extra").mkdir()
    (folder / "extra" / "x.json").write_text("{}")


CHANGES: dict[str, Callable[[Path], Any]] = {
    "weights": lambda folder: damage(folder / "model.safetensors"),
    "tokenizer": swap_words,
    "tokenizer settings": lambda folder: edit(folder / "tokenizer_config.json", clean_up_tokenization_spaces=True),
    "an end token": lambda folder: edit(folder / "generation_config.json", eos_token_id=[202, 271]),
    "a default of generate": lambda folder: edit(folder / "generation_config.json", no_repeat_ngram_size=2),
    "image processing": lambda folder: edit(
        folder / "processor_config.json", image_processor__image_mean=[0.1, 0.2, 0.3]
    ),
    "a value of the config": lambda folder: edit(folder / "config.json", qformer_config__layer_norm_eps=1e-3),
    "a chat template": lambda folder: (folder / "chat_template.jinja").write_text("{{ messages }}"),
    "a file that nobody knows": extra,
}


@pytest.mark.parametrize("name", CHANGES)
def test_change_a_file_between_two_runs(pytester: pytest.Pytester, name: str) -> None:
    """No change of a file of the checkpoint is served from evidence that was made before it."""
    write_claim(pytester.path, count=6)
    folder = model(pytester.path)
    attempt(pytester, cache=True)
    CHANGES[name](folder)
    _, (record,) = attempt(pytester, cache=True)
    assert "captions" not in (record["evidence"]["provenance"] or {}), "served from evidence"


GENERATION: list[tuple[dict[str, Any], str]] = [
    ({"eos_token_id": [2, 7]}, "eos_token_id=2 7"),
    ({"eos_token_id": 7}, "eos_token_id=7"),
    ({"no_repeat_ngram_size": 2}, "no_repeat_ngram_size=2"),
    ({"bad_words_ids": [[7]]}, "bad_words_ids"),
    ({"suppress_tokens": [7]}, "suppress_tokens"),
    ({"forced_bos_token_id": 7}, "forced_bos_token_id=7"),
]


@pytest.mark.parametrize(("changes", "what"), GENERATION)
def test_let_the_generation_config_decide(tmp_path: Path, changes: dict[str, Any], what: str) -> None:
    """What generation_config.json turns on, or ends captions with, is on the decoding axis."""
    git(tmp_path / "model")
    edit(tmp_path / "model" / "generation_config.json", **changes)
    _, differing = evidence(tmp_path, size=CROPPED)
    assert what in differing["decoding"]


@pytest.mark.parametrize(("changes", "what"), GENERATION)
def test_a_generation_config_that_blip2_does_not_read_changes_nothing(
    pytester: pytest.Pytester, changes: dict[str, Any], what: str
) -> None:
    """BLIP-2 hands generation over to its language model, which has a config of its own; so the file has no effect."""
    write_claim(pytester.path, count=6)
    _, (honest,) = attempt(pytester)
    edit(model(pytester.path) / "generation_config.json", **changes)
    _, (record,) = attempt(pytester)
    assert record["verdict"]["score"] == honest["verdict"]["score"], what


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"eos_token_id": [202, 271]}, "pending"),
        ({"eos_token_id": 271}, "error"),  # no caption ends: degenerate
        ({"bos_token_id": 271}, "pending"),
    ],
)
def test_end_captions_elsewhere_in_the_config(pytester: pytest.Pytester, changes: dict[str, Any], verdict: str) -> None:
    """The language model's own config defines where a text begins and ends; a claim that pins its checkpoint sees a change."""
    path = write_claim(pytester.path, count=6)
    folder = model(pytester.path)
    _, (record,) = attempt(pytester)
    run = next(found["run"] for found in record["evidence"]["axes"] if found["axis"] == "checkpoint")
    path.write_text(path.read_text().replace("{id: model}", f"{{id: model, digest: '{run.rpartition('digest=')[2]}'}}"))
    edit(folder / "config.json", **{f"text_config__{key}": value for key, value in changes.items()})
    status, (record,) = attempt(pytester)
    assert status == 1
    assert record["verdict"]["status"] == verdict
    assert deviates(record, "checkpoint") == (verdict == "pending")


def elsewhere(folder: Path) -> Path:
    """A folder of the user's that no claim may read, with other weights."""
    secret = folder / "secret"
    secret.mkdir()
    (secret / "model.safetensors").write_bytes((SHAPES / "model" / "model.safetensors").read_bytes())
    return secret


def link_weights(folder: Path, secret: Path) -> None:
    """The weights as a link."""
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(secret / "model.safetensors")


def link_folder(folder: Path, secret: Path) -> None:
    """A folder of shards as a link."""
    sharded(folder, "shards")
    shutil.rmtree(folder / "shards")
    (secret / "model.safetensors").rename(secret / "weights.safetensors")
    (folder / "shards").symlink_to(secret)


def link_tokenizer(folder: Path, secret: Path) -> None:
    """The tokenizer as a link."""
    (folder / "tokenizer.json").rename(secret / "tokenizer.json")
    (folder / "tokenizer.json").symlink_to(secret / "tokenizer.json")


def climb(folder: Path, secret: Path) -> None:
    """An index that climbs out of the folder."""
    sharded(folder, "shards")
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    index["weight_map"] = dict.fromkeys(index["weight_map"], f"../../{secret.name}/model.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_hide_weights_behind_a_linked_folder(pytester: pytest.Pytester) -> None:
    """A link to a hidden folder of the checkpoint would keep weights out of its digest: such a link is refused."""
    write_claim(pytester.path, count=4)
    folder = model(pytester.path)
    sharded(folder, "shards")
    (folder / "shards").rename(folder / ".hidden")
    (folder / "shards").symlink_to(".hidden")
    status, (record,) = attempt(pytester)
    assert status == 1
    assert record["verdict"]["status"] == "error"
    assert "shards is a symbolic link to a folder" in record["evidence"]["reason"]


@pytest.mark.parametrize("way", [link_weights, link_folder, link_tokenizer, climb])
def test_read_a_file_outside_through_the_model_folder(
    pytester: pytest.Pytester, way: Callable[[Path, Path], None]
) -> None:
    """A link or an index that leads out of the folder of a checkpoint is refused."""
    write_claim(pytester.path, count=4)
    way(model(pytester.path), elsewhere(pytester.path))
    status, (record,) = attempt(pytester)
    assert status == 1
    assert record["verdict"]["status"] == "error"
    assert (
        "leads out of the folder" in record["evidence"]["reason"]
        or "below the checkpoint's folder" in record["evidence"]["reason"]
    )


def test_a_snapshot_of_the_hub_cache_may_be_a_candidate(pytester: pytest.Pytester) -> None:
    """What `hf download` prints is a folder of links into the cache that holds it: those are followed."""
    import hashlib

    write_claim(pytester.path, count=4)
    home = pytester.path / "hub" / "models--a--b"
    snapshot = home / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (home / "blobs").mkdir()
    for path in (SHAPES / "model").iterdir():
        blob = home / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
        blob.write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(blob)
    _, (record,) = attempt(pytester, f"--claims-model=model={snapshot}")
    assert record["verdict"]["protocol_match"] == "exact"
    with (snapshot / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    _, (record,) = attempt(pytester, f"--claims-model=model={snapshot}")
    assert "is not what the hub gave" in record["evidence"]["reason"]


@pytest.mark.parametrize(
    "key", ["attn_implementation", "text_config__attn_implementation", "vision_config___attn_implementation"]
)
@pytest.mark.parametrize("value", ["someone/kernel", "someone/kernel@main:forward", {"": "someone/kernel"}])
def test_name_code_to_fetch_in_a_config(pytester: pytest.Pytester, key: str, value: object) -> None:
    """A config that names code to fetch or to load is refused."""
    write_claim(pytester.path, count=4)
    edit(model(pytester.path) / "config.json", **{key: value})
    status, (record,) = attempt(pytester)
    assert status == 1
    assert record["verdict"]["status"] == "error"
    assert "which names code to fetch or to load" in record["evidence"]["reason"]


@pytest.mark.parametrize("file", ["pytorch_model.bin", "weights.pt", ".hidden/model.safetensors"])
def test_load_a_pickle_through_the_index(pytester: pytest.Pytester, file: str) -> None:
    """An index names safetensors that are not hidden, and nothing else."""
    write_claim(pytester.path, count=4)
    folder = model(pytester.path)
    sharded(folder, "shards")
    (folder / file).parent.mkdir(exist_ok=True)
    shutil.copy(folder / "decoy.safetensors", folder / file)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    index["weight_map"] = dict.fromkeys(index["weight_map"], file)
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    _, (record,) = attempt(pytester)
    assert record["verdict"]["status"] == "error"


def test_lay_an_adapter_beside_the_weights(pytester: pytest.Pytester) -> None:
    """An adapter is applied where peft is installed and nowhere else: a checkpoint with one is refused."""
    write_claim(pytester.path, count=4)
    (model(pytester.path) / "adapter_config.json").write_text(
        '{"base_model_name_or_path": "someone/else", "peft_type": "LORA"}'
    )
    _, (record,) = attempt(pytester)
    assert record["verdict"]["status"] == "error"
    assert "holds an adapter" in record["evidence"]["reason"]


def test_run_other_weights_than_the_pinned_ones(pytester: pytest.Pytester) -> None:
    """A claim that pins the digest of its checkpoint is exact on those files and drifts on any others."""
    path = write_claim(pytester.path, count=6)
    folder = model(pytester.path)
    _, (record,) = attempt(pytester)
    run = next(found["run"] for found in record["evidence"]["axes"] if found["axis"] == "checkpoint")
    digest = run.rpartition("digest=")[2]
    path.write_text(path.read_text().replace("{id: model}", f"{{id: model, digest: '{digest}'}}"))
    _, (record,) = attempt(pytester)
    assert record["verdict"]["protocol_match"] == "exact"
    damage(folder / "model.safetensors")
    status, (record,) = attempt(pytester)
    assert status == 1
    assert deviates(record, "checkpoint")
