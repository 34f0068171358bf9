"""Feed the model something else than the paper did, and have the run read as exact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.attacks.shop import attempt, deviates, edit, model
from tests.shapes import warm, write_claim

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["warm"]  # a fixture of this module

PROMPTS = {
    "a space behind": ("a photo of ", "'<image>×8</s>a photo of␣'"),
    "spaces before": ("  a photo of", "'<image>×8</s>␣␣a photo of'"),
    "a line break": ("a photo of\n", "'<image>×8</s>a photo of⏎'"),
    "an end token": ("a photo of</s>", "'<image>×8</s>a photo of</s>'"),
    "padding": ("<pad><pad>a photo of", "'<image>×8</s><pad><pad>a photo of'"),
    "unknown words": ("a photo of<unk><unk>", "'<image>×8</s>a photo of<unk><unk>'"),
    "a space that does not break": ("a photo\u00a0of", r"'<image>×8</s>a photo\\u00a0of'"),
    "a space of no width": ("a photo\u200b of", r"'<image>×8</s>a photo\\u200b of'"),
    "capitals": ("A photo of", "'<image>×8</s>A photo of'"),
    "another begin token": ("</s>a photo of", "'<image>×8</s></s>a photo of'"),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_feed_another_prompt_that_reads_alike(pytester: pytest.Pytester, name: str) -> None:
    """A prompt with another token than the paper's is drift, and the report shows what was fed, character by character."""
    prompt, shown = PROMPTS[name]
    write_claim(pytester.path, count=8, run__prompt=prompt)
    status, (record,) = attempt(pytester)
    assert status == 1
    assert record["verdict"]["protocol_match"] == "drift"
    axis = next(found for found in record["evidence"]["axes"] if found["axis"] == "prompt")
    assert (axis["run"], axis["consequence"]) == (shown, "drift")


def test_feed_another_prompt_from_the_command_line(pytester: pytest.Pytester) -> None:
    """`--claims-set=prompt=` is held against the paper in the same way."""
    write_claim(pytester.path, count=8)
    status, (record,) = attempt(pytester, "--claims-set=prompt=a photo of ")
    assert status == 1
    assert deviates(record, "prompt")


def post_processor(folder: Path, value: Any) -> None:
    """Replace what the tokenizer puts around a text."""
    edit(folder / "tokenizer.json", post_processor=value)


def test_lose_the_begin_token_in_the_tokenizer(pytester: pytest.Pytester) -> None:
    """OPT begins a text with </s>. A tokenizer file that leaves it out feeds other tokens, whatever its text reads like."""
    write_claim(pytester.path, count=8)
    post_processor(model(pytester.path), None)
    status, (record,) = attempt(pytester)
    assert status == 1
    axis = next(found for found in record["evidence"]["axes"] if found["axis"] == "prompt")
    assert axis["paper"] == "'a photo of', which is fed as '<image>×8</s>a photo of'"
    assert axis["run"] == "'<image>×8a photo of'"


def test_double_the_begin_token_in_the_tokenizer(pytester: pytest.Pytester) -> None:
    """A tokenizer that adds the begin token twice feeds another prompt, too."""
    write_claim(pytester.path, count=8)
    end = {"SpecialToken": {"id": "</s>", "type_id": 0}}
    post_processor(
        model(pytester.path),
        {
            "type": "TemplateProcessing",
            "single": [end, end, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}},
        },
    )
    status, (record,) = attempt(pytester)
    assert status == 1
    assert deviates(record, "prompt")


def test_let_the_tokenizer_read_another_prompt(pytester: pytest.Pytester) -> None:
    """A normaliser that puts words into every text changes fed and expected tokens alike: it is named."""
    write_claim(pytester.path, count=8)
    edit(model(pytester.path) / "tokenizer.json", normalizer={"type": "Prepend", "prepend": "two "})
    status, (record,) = attempt(pytester)
    assert status == 1
    axis = next(found for found in record["evidence"]["deviations"] if found["axis"] == "prompt")
    assert "tokenizer: reads 'a photo of' as 'two a photo of'" in axis["run"]


@pytest.mark.parametrize("prompt", ["a photo of ", " A photo of", "a photo of:", "", "two\nlines"])
def test_an_honest_odd_prompt_is_exact(pytester: pytest.Pytester, prompt: str) -> None:
    """A protocol that really states an odd prompt is met by a run that feeds it."""
    write_claim(pytester.path, count=4, protocol__prompt=prompt)
    _, (record,) = attempt(pytester)
    axis = next(found for found in record["evidence"]["axes"] if found["axis"] == "prompt")
    assert axis["consequence"] == "none"


PROCESSORS: dict[str, dict[str, Any]] = {
    "no normalisation": {"do_normalize": False},
    "another mean": {"image_mean": [0.5, 0.5, 0.5]},
    "another std": {"image_std": [1.0, 1.0, 1.0]},
    "channels swapped in mean": {"image_mean": [0.40821073, 0.4578275, 0.48145466]},
    "no rescaling": {"do_rescale": False},
    "another scale": {"rescale_factor": 0.00784313725490196},
    "pictures as they are": {"do_convert_rgb": False},
    "another class": {"image_processor_type": "CLIPImageProcessor", "do_center_crop": True,
                      "crop_size": {"height": 48, "width": 48}},
    "another filter": {"resample": 0},
    "no resize": {"do_resize": False},
}  # fmt: skip


@pytest.mark.parametrize("name", PROCESSORS)
def test_show_the_model_other_pixels(pytester: pytest.Pytester, name: str) -> None:
    """What an image processor does is read off it; where the claim is silent, the model family's settings count."""
    write_claim(pytester.path, count=8)
    changes = {f"image_processor__{key}": value for key, value in PROCESSORS[name].items()}
    edit(model(pytester.path) / "processor_config.json", **changes)
    status, (record,) = attempt(pytester)
    assert status == 1
    if name in ("another class", "no resize"):
        assert record["verdict"]["status"] == "error"
        assert record["evidence"]["reason"].endswith("expected (3, 64, 64).")
    else:
        assert record["verdict"]["status"] == "pending"
        assert deviates(record, "image")


def test_state_what_the_checkpoint_does(pytester: pytest.Pytester) -> None:
    """A claim may say that the paper did otherwise than the family; then a run that does so is exact, and another is not."""
    path = write_claim(pytester.path, count=8)
    edit(
        model(pytester.path) / "processor_config.json",
        image_processor__image_mean=[0.5, 0.5, 0.5],
        image_processor__image_std=[0.5, 0.5, 0.5],
    )
    text = path.read_text()
    stated = "image: {size: 64, resize: bicubic, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}"
    path.write_text(text.replace("image: {size: 64, resize: bicubic}", stated))
    _, (record,) = attempt(pytester)
    assert not deviates(record, "image")
    path.write_text(text.replace("image: {size: 64, resize: bicubic}", stated.replace("std: [0.5,", "std: [0.6,")))
    _, (record,) = attempt(pytester)
    assert deviates(record, "image")


@pytest.mark.parametrize(
    "override",
    ["image.normalize=false", "image.rescale_factor=1.0", "image.convert_rgb=false", "image.size=32"],
)
def test_change_the_image_from_the_command_line(pytester: pytest.Pytester, override: str) -> None:
    """An override of the image is applied, and is drift. A size that the model does not take is an error."""
    write_claim(pytester.path, count=8)
    status, (record,) = attempt(pytester, f"--claims-set={override}")
    assert status == 1
    if override == "image.size=32":
        assert record["verdict"]["status"] == "error"
        assert record["evidence"]["reason"] == "Image shapes-0000.png has the shape (3, 32, 32), expected (3, 64, 64)."
    else:
        assert record["verdict"]["status"] == "pending"
        assert deviates(record, "image")
