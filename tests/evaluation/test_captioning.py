"""Captioning with a real BLIP-2, through pytest."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from tests.running import LEAN
from tests.shapes import MODEL, SHAPES, rows, torch, transformers, warm, write_claim

__all__ = ["warm"]  # a fixture of this module


CLIP = (
    "mean=0.48145466 0.4578275 0.40821073, std=0.26862954 0.26130258 0.27577711, rescale_factor=0.00392157, normalize=True, "
    "convert_rgb=True, channel_order=rgb"
)
"""What BLIP-2's image processor does beside resizing."""


def run(pytester: pytest.Pytester, *options: str) -> tuple[pytest.RunResult, list[dict[str, Any]]]:
    """Run pytest on claims/ and give back the result with the records of its JSON report."""
    result = pytester.runpytest_inprocess(
        "claims", "--claims-report=v.json", f"--claims-data={SHAPES}", "-p", "no:cacheprovider", *options, *LEAN
    )
    return result, json.loads(Path("v.json").read_text(encoding="utf-8"))["records"]


def stock(count: int, **options: Any) -> dict[str, str]:
    """What plain `transformers.generate`, one image at a time, says to the first rows."""
    processor = transformers.Blip2Processor.from_pretrained(MODEL, backend="pil")
    model = transformers.Blip2ForConditionalGeneration.from_pretrained(MODEL).eval()
    settings = {"num_beams": 5, "max_new_tokens": 30, "min_new_tokens": 1, "do_sample": False, **options}
    said = {}
    for row in rows(count):
        image = PIL.Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
        inputs = processor(images=[image], text=["a photo of"], return_tensors="pt")
        with torch.inference_mode():
            output = model.generate(**inputs, **settings)[0, inputs["input_ids"].shape[1] :]
        said[row["filename"]] = processor.tokenizer.decode(output, skip_special_tokens=True).strip()
    return said


def bleu4(captions: dict[str, str]) -> float:
    """BLEU-4 of captions for the first rows, through the public function."""
    from pytest_claims.metrics import bleu

    content = {row["filename"]: row["caption"] for row in rows(len(captions))}
    return bleu(list(captions.values()), [content[name] for name in captions]).value


def test_the_number_is_that_of_plain_generate(pytester: pytest.Pytester) -> None:
    """The score of a run equals that of `generate`, one image at a time, to the last bit; every axis is observed and exact."""
    write_claim(pytester.path, count=16)
    _, (record,) = run(pytester)
    assert record["verdict"]["score"] == bleu4(stock(16))
    assert record["verdict"]["protocol_match"] == "exact"
    axes = {axis["axis"]: axis["run"] for axis in record["evidence"]["axes"]}
    assert list(axes) == [
        "checkpoint", "dataset", "split", "sample", "image", "prompt", "decoding", "precision", "metric",
    ]  # fmt: skip
    assert axes["prompt"] == "'<image>×8</s>a photo of'"
    assert axes["image"] == f"size=64, resize=bicubic, {CLIP}"
    assert axes["precision"] == "float32"


def test_claims_of_one_file_share_one_run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """BLEU-1 to 4 of one file caption each image once, and load the checkpoint once."""
    from pytest_claims.sources import checkpoint

    loaded: list[object] = []
    load = checkpoint.load

    def counted(*given: Any) -> Any:
        loaded.append(given)
        return load(*given)

    monkeypatch.setattr(checkpoint, "load", counted)
    write_claim(pytester.path, count=8, metrics=("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l"))
    _, records = run(pytester)
    assert len(records) == 5
    assert len({record["evidence"]["digest"] for record in records}) == 1
    assert len({record["evidence"]["provenance"]["seconds"] for record in records}) == 1
    assert len(loaded) == 1


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_batch_size_changes_nothing(pytester: pytest.Pytester, batch: int) -> None:
    """In float32 the batch size, which also decides who is decoded beside whom, changes no caption."""
    write_claim(pytester.path, count=9, run__batch_size=batch)
    _, (record,) = run(pytester)
    assert record["verdict"]["score"] == bleu4(stock(9))
    assert record["evidence"]["provenance"]["batch_size"] == batch


def test_order_of_rows_changes_nothing(pytester: pytest.Pytester) -> None:
    """The verdict does not depend on the order of the images: evidence, interval and id are the same."""
    write_claim(pytester.path, count=10)
    _, (first,) = run(pytester)
    write_claim(pytester.path, content=rows(10)[::-1])
    _, (second,) = run(pytester)
    assert first["verdict"]["id"] == second["verdict"]["id"]
    assert first["evidence"]["interval"] == second["evidence"]["interval"]


def test_the_retracted_run_is_withheld(pytester: pytest.Pytester) -> None:
    """Greedy, without prompt, on too few images: the number is shown, three deviations are named, and it is withheld."""
    write_claim(pytester.path, count=16, min_sample=10)
    result, (record,) = run(
        pytester, "--claims-set=decoding.strategy=greedy", "--claims-set=decoding.num_beams=1", "--claims-set=prompt=",
        "--claims-sample=5",
    )  # fmt: skip
    assert result.ret == 1
    assert record["verdict"]["status"] == "pending"
    assert [(found["axis"], found["consequence"]) for found in record["evidence"]["deviations"]] == [
        ("sample", "drift"),
        ("prompt", "drift"),
        ("decoding", "drift"),
    ]
    assert record["evidence"]["measured"] is not None
    assert record["evidence"]["test"]["type"] == "claim.withheld"
    result.stdout.fnmatch_lines(["*1 failed*"])


def test_a_sample_is_a_proxy(pytester: pytest.Pytester) -> None:
    """A sample of at least min_sample images, and nothing else, is a proxy: partial, confidence at most 0.6, green."""
    write_claim(pytester.path, count=64)
    result, (record,) = run(pytester, "--claims-sample=50")
    assert result.ret == 0
    verdict = record["verdict"]
    assert (verdict["status"], verdict["protocol_match"]) == ("partial", "proxy")
    assert verdict["confidence"] <= 0.6
    assert record["evidence"]["n"] == 50
    assert record["evidence"]["interval"]["population"] == 64
    result.stdout.fnmatch_lines(["*1 partial*"])


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_another_precision_is_a_proxy(pytester: pytest.Pytester, precision: str) -> None:
    """A run in another precision loads the weights in it and is a proxy."""
    write_claim(pytester.path, count=8)
    _, (record,) = run(pytester, f"--claims-set=precision={precision}")
    assert [(found["axis"], found["run"]) for found in record["evidence"]["deviations"]] == [("precision", precision)]


def test_the_data_set_has_other_rows_than_the_paper(pytester: pytest.Pytester) -> None:
    """A data set whose row count differs from the protocol's is named and withheld."""
    write_claim(pytester.path, count=12, images=1000)
    _, (record,) = run(pytester)
    assert record["verdict"]["status"] == "pending"
    axes = {found["axis"]: found["run"] for found in record["evidence"]["deviations"]}
    assert "images=12" in axes["dataset"]


def test_the_checkpoint_has_another_image_size(pytester: pytest.Pytester) -> None:
    """A checkpoint whose processor resizes to another size than the protocol's is named and withheld, not adapted."""
    path = write_claim(pytester.path, count=12)
    path.write_text(path.read_text().replace("size: 64", "size: 224"))
    _, (record,) = run(pytester)
    assert record["verdict"]["status"] == "pending"
    (found,) = record["evidence"]["deviations"]
    assert found == {
        "axis": "image",
        "paper": f"size=224, resize=bicubic; as the model family defines it: {CLIP}",
        "run": f"size=64, resize=bicubic, {CLIP}",
        "consequence": "drift",
    }  # fmt: skip


def copy_of_the_model(folder: Path) -> Path:
    """The shipped model below claims/, where it hides the one in --claims-data."""
    target = folder / "claims" / "model"
    shutil.copytree(MODEL, target)
    return target


def test_a_processor_without_image_tokens_is_refused(pytester: pytest.Pytester) -> None:
    """A processor that makes no room for the image would silently ignore it: an error that says how to mend it."""
    write_claim(pytester.path, count=4)
    config = copy_of_the_model(pytester.path) / "processor_config.json"
    settings = json.loads(config.read_text())
    del settings["num_query_tokens"]
    config.write_text(json.dumps(settings))
    _, (record,) = run(pytester)
    assert record["verdict"]["status"] == "error"
    assert record["evidence"]["reason"] == (
        "The processor puts 0 image tokens before the prompt and the model expects 8: the image would be ignored. Set "
        "num_query_tokens in the checkpoint's processor_config.json."
    )


def test_pickled_weights_are_refused(pytester: pytest.Pytester) -> None:
    """A checkpoint without safetensors is never loaded."""
    write_claim(pytester.path, count=4)
    model = copy_of_the_model(pytester.path)
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    _, (record,) = run(pytester)
    assert record["evidence"]["reason"] == (
        "The checkpoint model holds no *.safetensors file; pickled weights (*.bin, *.pt) are never loaded."
    )


def test_what_a_config_turns_on_is_observed() -> None:
    """What a generation config turns on beyond what a protocol can state is part of what was observed, and so a deviation."""
    from pytest_claims.evaluation.setup import observed_decoding

    plain = {"num_beams": 5, "max_new_tokens": 30}
    extra = transformers.GenerationConfig(**plain, no_repeat_ngram_size=2, do_sample=True)
    found = observed_decoding(extra)
    assert {
        key: found[key] for key in found if key not in observed_decoding(transformers.GenerationConfig(**plain))
    } == {
        "no_repeat_ngram_size": 2,
        "do_sample": True,
    }


def test_captions_at_the_length_limit_are_an_error(pytester: pytest.Pytester) -> None:
    """Captions that were cut are not scored as bad captions."""
    write_claim(pytester.path, count=12)
    result, (record,) = run(pytester, "--claims-set=decoding.max_new_tokens=4")
    assert result.ret == 1
    assert record["verdict"]["status"] == "error"
    assert record["verdict"]["score"] is None
    assert record["evidence"]["reason"].startswith(
        "Degenerate output, not scored: 12 of 12 captions were cut at the length limit"
    )


def test_a_broken_image_is_an_error_and_never_dropped(pytester: pytest.Pytester) -> None:
    """An image that cannot be decoded ends the claim as an error that names it; the rest is not scored without it."""
    content = rows(8)
    content[5]["image"]["bytes"] = content[5]["image"]["bytes"][:200]
    write_claim(pytester.path, content=content)
    _, (record,) = run(pytester)
    assert record["verdict"]["status"] == "error"
    assert record["evidence"]["reason"].startswith(f"Image {content[5]['filename']}: cannot be decoded: ")


def test_a_release_candidate_gives_a_pre_verdict(pytester: pytest.Pytester) -> None:
    """`--claims-model` puts a candidate in the checkpoint's place: kind PRE, no deviation; by checkpoint or by claim."""
    write_claim(pytester.path, count=6)
    for key in ("model", "bleu4"):
        _, (record,) = run(pytester, f"--claims-model={key}={MODEL}")
        assert record["verdict"]["kind"] == "PRE"
        assert record["verdict"]["protocol_match"] == "exact"
        assert record["verdicts"]["post"] is None


def test_cuda_is_not_attempted_without_one(pytester: pytest.Pytester) -> None:
    """A claim that needs CUDA is skipped with the command that would run it; an explicit device overrides the requirement."""
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    write_claim(pytester.path, count=4, run__requires={"device": "cuda"})
    result, (record,) = run(pytester)
    assert result.ret == 0
    assert record["verdict"]["status"] == "not_attempted"
    assert record["evidence"]["reason"] == "The claim needs a CUDA device and this machine has none."
    data = f"--claims-data={SHAPES}"
    assert record["evidence"]["next_step"] == f"On a machine with one: pytest claims/small.yaml::bleu4 {data}"
    result, (record,) = run(pytester, "--claims-device=cpu")
    assert record["verdict"]["status"] != "not_attempted"
    result, (record,) = run(pytester, "--claims-device=cuda", "--claims-require-attempt")
    assert result.ret == 1
    assert record["evidence"]["reason"] == "--claims-device=cuda: this machine has no CUDA device."


def test_two_runs_give_the_same_bytes(pytester: pytest.Pytester) -> None:
    """Two runs differ in nothing but their timings and the time of day."""
    write_claim(pytester.path, count=6)

    def stripped() -> Any:
        _, records = run(pytester)
        for record in records:
            record["verdict"]["computed_at"] = record["verdicts"]["post"]["computed_at"] = None
            record["evidence"]["seconds"] = None
            for key in ("seconds", "images_per_second"):
                record["evidence"]["provenance"].pop(key)
        return records

    assert stripped() == stripped()
