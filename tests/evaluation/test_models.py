"""Models of every class that the evaluator says it runs, tiny and with random weights, made here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders import captioning, claim, write
from tests.shapes import MODEL, rows, torch, transformers, write_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_claims.evidence import Evidence

WORDS = ["a", "photo", "of", "red", "blue", "green", "circle", "square", "above", "below", "user", ":", "assistant"]
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<image>"]
SIDE = 32

TINY: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
VISION: dict[str, Any] = {**TINY, "image_size": SIDE, "patch_size": 16}


CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]


def tokenizer(*, ends: bool = False, around: str = "<s> $A") -> Any:
    """Words, with a begin token before every text, and an end token behind it as BERT has one if `ends`."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *WORDS, *(f"w{n}" for n in range(32))])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>" if ends else around, special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    names: dict[str, Any] = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    if ends:
        names |= {"cls_token": "<s>", "sep_token": "</s>"}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner,
        additional_special_tokens=["<image>"],
        model_input_names=["input_ids", "attention_mask"],
        **names,
    )


VOCABULARY: dict[str, Any] = {
    "vocab_size": len(SPECIAL) + len(WORDS) + 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def keep(folder: Path, model: Any, tokens: Any, processor: dict[str, Any], image_processor: dict[str, Any]) -> None:
    """Write a checkpoint as it is published; weights wide enough that captions depend on the image."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=2 * parameter[0].numel() ** -0.5)
    model.generation_config = transformers.GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=0)
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)
    common: dict[str, Any] = {"do_resize": True, "do_normalize": True, "do_rescale": True, "resample": 3}
    common |= {"image_mean": CLIP_MEAN, "image_std": CLIP_STD, "rescale_factor": 1 / 255, "do_convert_rgb": True}
    content = {**processor, "image_processor": {**common, **image_processor}}
    (folder / "processor_config.json").write_text(json.dumps(content), encoding="utf-8")


SQUARE = {"image_processor_type": "BlipImageProcessor", "size": {"height": SIDE, "width": SIDE}}


def blip(folder: Path) -> None:
    """BLIP: its generate hands over to the text decoder and cuts the prompt's last token off."""
    text = {**TINY, **VOCABULARY, "sep_token_id": 2, "encoder_hidden_size": 16, "max_position_embeddings": 64}
    config = transformers.BlipConfig(text_config=text, vision_config=VISION, image_text_hidden_size=16)
    model = transformers.BlipForConditionalGeneration(config)
    keep(folder, model, tokenizer(ends=True), {"processor_class": "BlipProcessor"}, SQUARE)


def git(folder: Path) -> None:
    """GIT: a prompt must lose the end token that its tokenizer puts behind every text."""
    config = transformers.GitConfig(vision_config=VISION, **TINY, **VOCABULARY, max_position_embeddings=64)
    clip = {
        "image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": SIDE}, "do_center_crop": True,
        "crop_size": {"height": SIDE, "width": SIDE},
    }  # fmt: skip
    model = transformers.GitForCausalLM(config)
    keep(folder, model, tokenizer(ends=True), {"processor_class": "GitProcessor"}, clip)


def llava(folder: Path) -> None:
    """LLaVA: a chat template, and an image token that the processor expands to one for each patch."""
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**VISION, projection_dim=16),
        text_config=transformers.LlamaConfig(**TINY, **VOCABULARY, max_position_embeddings=64),
        image_token_index=SPECIAL.index("<image>"),
        vision_feature_layer=-1,
    )
    processor = {
        "processor_class": "LlavaProcessor", "patch_size": 16, "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1, "image_token": "<image>",
    }  # fmt: skip
    clip = {
        "image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": SIDE}, "do_center_crop": True,
        "crop_size": {"height": SIDE, "width": SIDE},
    }  # fmt: skip
    keep(folder, transformers.LlavaForConditionalGeneration(config), tokenizer(ends=False), processor, clip)
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m['role'] }} : {% for c in m['content'] %}{% if c['type'] == 'image' %}<image> "
        "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endfor %}{% if add_generation_prompt %} assistant :{% endif %}",
        encoding="utf-8",
    )


def blip2(folder: Path, text: Any, around: str) -> None:
    """BLIP-2 with a language model of any kind, and the special tokens that its tokenizer puts around a text."""
    config = transformers.Blip2Config(
        vision_config=VISION,
        qformer_config={**TINY, "encoder_hidden_size": 16},
        text_config=text.to_dict(),
        num_query_tokens=4,
        image_token_index=SPECIAL.index("<image>"),
    )
    model = transformers.Blip2ForConditionalGeneration(config)
    processor = {"processor_class": "Blip2Processor", "num_query_tokens": 4}
    keep(folder, model, tokenizer(around=around), processor, SQUARE)


def opt(folder: Path) -> None:
    """BLIP-2 with OPT."""
    shape: dict[str, Any] = {
        "hidden_size": 16,
        "ffn_dim": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "word_embed_proj_dim": 16,
    }
    blip2(folder, transformers.OPTConfig(**shape, **VOCABULARY, max_position_embeddings=64), "<s> $A")


def flan_t5(folder: Path) -> None:
    """BLIP-2 with FlanT5, an encoder-decoder."""
    shape: dict[str, Any] = {
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 16,
        "num_layers": 1,
        "num_heads": 2,
        "decoder_start_token_id": 0,
    }
    blip2(folder, transformers.T5Config(**shape, **VOCABULARY), "$A </s>")


FLAN_T5 = (
    "transformers.generate (The language model is T5ForConditionalGeneration, an encoder-decoder, so it is decoded by the "
    "stock `generate`)"
)
REFUSED = f"which transformers {transformers.__version__} does not load as a model that turns images into text."
CROPPED = "shortest_edge=32 crop=32x32"


def evidence(folder: Path, *, size: object = SIDE, prompt: str = "a photo of", batch: int = 2) -> tuple[Evidence, Any]:
    """What the evaluator gives for the model in `folder`/model, and the axes that differ from the claim."""
    from pytest_claims import protocol
    from pytest_claims.bench import Bench
    from pytest_claims.settings import Settings
    from pytest_claims.spec import load

    write_rows(folder / "rows.parquet", rows(5))
    document = captioning(
        claim("tiny", value="70.0", tolerance={"pass": 5, "partial": "90%", "min_sample": 2}),
        images=5,
        protocol__image__size=size,
        protocol__prompt=prompt,
        protocol__decoding={"strategy": "beam", "num_beams": 3, "max_new_tokens": 6, "min_new_tokens": 2},
        run__batch_size=batch,
    )
    (tiny,) = load(write(folder / "tiny.yaml", document))
    found = Bench().evaluate(protocol.plan(tiny, Settings()))
    readings = protocol.read_axes(tiny.protocol, found.observed, min_sample=2)
    differing = {r.axis: r.run for r in readings if r.consequence not in (protocol.Consequence.NONE, "not observed")}
    return found, differing


@pytest.mark.parametrize(
    ("make", "size", "decoder"),
    [
        (opt, SIDE, "shared-prefix beam search"),
        (flan_t5, SIDE, FLAN_T5),
        (blip, SIDE, "transformers.generate (BlipForConditionalGeneration)"),
        (git, CROPPED, "transformers.generate (GitForCausalLM)"),
        (llava, CROPPED, "transformers.generate (LlavaForConditionalGeneration, chat template)"),
    ],
)
def test_every_class_of_captioner(
    tmp_path: Path, make: Callable[[Path], None], size: object, decoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each class of model captions each image, keeps to the protocol's limits, and gives back no prompt.

    Every axis is observed as the claim has it, and one image at a time it says the same.
    """
    monkeypatch.setenv("TQDM_DISABLE", "1")
    make(tmp_path / "model")
    found, differing = evidence(tmp_path, size=size)
    assert differing == {}
    assert found.provenance["decoder"] == decoder
    assert len(found.outputs) == 5
    assert all(2 <= (caption.tokens or 0) <= 6 for caption in found.outputs)
    assert not any(caption.text.startswith("a photo of") for caption in found.outputs)
    assert len({caption.text for caption in found.outputs}) > 1
    alone, _ = evidence(tmp_path, size=size, batch=1)
    assert [caption.text for caption in alone.outputs] == [caption.text for caption in found.outputs]


def by_hand(folder: Path, text: str) -> list[str]:
    """What `generate` says to the same images, one at a time, fed by hand."""
    import io

    import PIL.Image

    processor = transformers.AutoProcessor.from_pretrained(folder, backend="pil")
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
    said = {}
    for row in rows(5):
        image = PIL.Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
        inputs = processor(images=[image], text=[text], return_tensors="pt")
        if model.config.model_type == "git":
            inputs = {key: value if key == "pixel_values" else value[:, :-1] for key, value in inputs.items()}
        with torch.inference_mode():
            output = model.generate(**inputs, num_beams=3, max_new_tokens=6, min_new_tokens=2)[0].tolist()
        cut = {"git": 4, "blip": 4}.get(model.config.model_type, inputs["input_ids"].shape[1])
        said[row["filename"]] = processor.tokenizer.decode(output[cut:], skip_special_tokens=True).strip()
    return [said[name] for name in sorted(said)]


@pytest.mark.parametrize(
    ("make", "size", "text"),
    [
        (blip, SIDE, "a photo of"),
        (git, CROPPED, "a photo of"),
        (llava, CROPPED, "user : <image> a photo of assistant :"),
    ],
)
def test_the_captions_are_those_of_plain_generate(
    tmp_path: Path, make: Callable[[Path], None], size: object, text: str
) -> None:
    """Through the evaluator a model says what it says when it is fed by hand."""
    make(tmp_path / "model")
    found, _ = evidence(tmp_path, size=size)
    assert [caption.text for caption in found.outputs] == by_hand(tmp_path / "model", text)


def test_without_a_prompt(tmp_path: Path) -> None:
    """A claim whose protocol has no prompt feeds none, and that is observed."""
    blip(tmp_path / "model")
    found, differing = evidence(tmp_path, prompt="")
    assert differing == {}
    assert found.observed.prompt is not None
    assert found.observed.prompt["prompt"] == "<s> </s>"


def test_a_chat_model_without_its_template(tmp_path: Path) -> None:
    """A model whose processor makes no room for the image is refused, not run blind."""
    from pytest_claims.errors import EvaluationError

    llava(tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").unlink()
    with pytest.raises(EvaluationError) as caught:
        evidence(tmp_path, size=CROPPED)
    refused = (
        "The processor of model refuses image and prompt: The total number of <image> tokens in the prompts should be the "
        "same as the number of images passed. Found total 0 <image> tokens and 1 images."
    )
    ignored = (  # the processor of an older transformers does not count: then the missing place is noticed
        "The processor of model puts no image token before the prompt: the image would be ignored. A chat_template that has a "
        "place for the image is missing from the checkpoint."
    )
    assert str(caught.value) in (refused, ignored)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            '{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}',
            f"The checkpoint model is a GPT2LMHeadModel (model_type 'gpt2'), {REFUSED}",
        ),
        ("[}", "The checkpoint model: config.json is not JSON: Expecting value: line 1 column 2 (char 1)."),
        (None, "The checkpoint model holds no config.json, so what it is cannot be told."),
    ],
)  # fmt: skip
def test_what_is_no_captioner_is_refused_before_anything_loads(
    tmp_path: Path, config: str | None, message: str
) -> None:
    """From the config alone, a model that cannot caption is refused by name; its weights are not touched."""
    from pytest_claims.errors import EvaluationError

    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"never read")
    if config is not None:
        (tmp_path / "model" / "config.json").write_text(config, encoding="utf-8")
    with pytest.raises(EvaluationError) as caught:
        evidence(tmp_path)
    assert str(caught.value) == message


def test_a_damaged_checkpoint(tmp_path: Path) -> None:
    """Weights that are no safetensors are an error of one sentence."""
    import shutil

    from pytest_claims.errors import EvaluationError

    shutil.copytree(MODEL, tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(EvaluationError) as caught:
        evidence(tmp_path)
    assert str(caught.value) == "The checkpoint model: model.safetensors is no safetensors file, or not all of it."


def test_the_full_size_benchmark_writes_what_loads(tmp_path: Path) -> None:
    """The benchmark's checkpoint comes in shards, is found whole, and runs; in float16, every caption to the limit."""
    from benchmarks import full_size
    from pytest_claims import protocol
    from pytest_claims.bench import Bench
    from pytest_claims.settings import Settings
    from pytest_claims.spec import load

    size = full_size.write_model(tmp_path / "model", full_size.configuration("tiny"), shard=4_000_000)
    shards = sorted((tmp_path / "model").glob("*.safetensors"))
    assert len(shards) > 1
    assert size < sum(path.stat().st_size for path in shards) < 1.1 * size
    (claim,) = load(full_size.write_claim(tmp_path, 2))
    found = Bench().evaluate(protocol.plan(claim, Settings(device="cpu")))
    assert found.observed.precision == {"precision": "float16"}
    assert [caption.tokens for caption in found.outputs] == [30, 30]
