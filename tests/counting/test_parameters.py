"""Counting parameters: the shipped configurations, small ones by hand, and every refusal."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_claims.counting.parameters import MAX_BYTES, ParameterCounts, count_parameters
from pytest_claims.errors import EvaluationError

CONFIGS = Path(__file__).parents[2] / "claims" / "blip2" / "configs"
TRAINABLE = ("qformer", "query_tokens", "language_projection")

# vocab 11, width 8, one layer, 5 positions, feed-forward 16
EMBEDDINGS = 11 * 8
POSITIONS = (5 + 2) * 8  # OPT keeps two rows for its offset
ATTENTION = 4 * (8 * 8 + 8)
FEED_FORWARD = 8 * 16 + 16 + 16 * 8 + 8
NORMS = 3 * 2 * 8  # two in the layer, one behind it
OPT_TOTAL = EMBEDDINGS + POSITIONS + ATTENTION + FEED_FORWARD + NORMS


def small_opt(**changes: Any) -> dict[str, Any]:
    return {
        "architectures": ["OPTForCausalLM"],
        "model_type": "opt",
        "vocab_size": 11,
        "hidden_size": 8,
        "word_embed_proj_dim": 8,
        "ffn_dim": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 5,
        **changes,
    }


def small_t5(**changes: Any) -> dict[str, Any]:
    return {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "vocab_size": 11,
        "d_model": 8,
        "d_ff": 16,
        "d_kv": 4,
        "num_heads": 2,
        "num_layers": 1,
        **changes,
    }


def small_blip2(text: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "architectures": ["Blip2ForConditionalGeneration"],
        "model_type": "blip-2",
        "num_query_tokens": 3,
        "vision_config": {
            "hidden_size": 8,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 4,
            "patch_size": 2,
        },
        "qformer_config": {
            "hidden_size": 6,
            "intermediate_size": 12,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
        },
        "text_config": text,
        **changes,
    }


def write(folder: Path, content: object) -> Path:
    path = folder / "config.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def refusal(path: Path, trainable: tuple[str, ...] = ()) -> str:
    """The whole message, with the folder and the library's version taken out."""
    import transformers

    with pytest.raises(EvaluationError) as caught:
        count_parameters(path, trainable)
    text = str(caught.value).replace(f"{path}: ", "FILE: ")
    return text.replace(f"transformers {transformers.__version__}", "transformers X")


@pytest.mark.parametrize(
    ("name", "total", "trainable", "projection", "language_model"),
    [
        ("opt-2.7b", 3_744_761_856, 107_130_880, 1_968_640, 2_651_678_720),
        ("opt-6.7b", 7_752_869_376, 108_312_064, 3_149_824, 6_658_605_056),
        ("flan-t5-xl", 3_942_446_592, 106_737_152, 1_574_912, 2_849_757_184),
        ("flan-t5-xxl", 12_229_596_672, 108_312_064, 3_149_824, 11_135_332_352),
    ],
)
def test_shipped_configurations(name: str, total: int, trainable: int, projection: int, language_model: int) -> None:
    """Each shipped configuration has exactly the parameters that the claim files speak of."""
    import transformers

    tied = name.startswith("opt")
    assert count_parameters(CONFIGS / f"blip2-{name}.json", TRAINABLE) == ParameterCounts(
        total=total,
        trainable=trainable,
        groups={
            "vision_model": 985_952_256,
            "qformer": 105_137_664,
            "language_projection": projection,
            "language_model": language_model,
            "query_tokens": 24_576,
        },
        architecture="Blip2ForConditionalGeneration",
        library=f"transformers {transformers.__version__}",
        untied=() if tied else ("language_model.lm_head.weight",),
    )


def test_small_model_by_hand(tmp_path: Path) -> None:
    """The total is what the layer sizes add up to, with the tied output matrix counted once."""
    counts = count_parameters(write(tmp_path, small_opt()), ["model.decoder.layers"])
    assert counts.total == OPT_TOTAL
    assert counts.trainable == ATTENTION + FEED_FORWARD + 2 * 2 * 8
    assert counts.groups == {"model": OPT_TOTAL, "lm_head": 0}
    assert counts.untied == ()


def test_untied_output_matrix_is_counted(tmp_path: Path) -> None:
    """If the configuration does not tie the output matrix to the embeddings, both count."""
    counts = count_parameters(write(tmp_path, small_opt(tie_word_embeddings=False)), ["lm_head"])
    assert counts.total == OPT_TOTAL + EMBEDDINGS
    assert counts.trainable == EMBEDDINGS


@pytest.mark.parametrize("said", [None, True, False])
def test_t5_follows_its_file(tmp_path: Path, said: bool | None) -> None:
    """T5's output matrix is shared unless the file denies it, though the library always ties it."""
    plain = count_parameters(write(tmp_path, small_t5()), [])
    settings = small_t5() if said is None else small_t5(tie_word_embeddings=said)
    counts = count_parameters(write(tmp_path, settings), [])
    assert counts.total == plain.total + (EMBEDDINGS if said is False else 0)
    assert counts.untied == (("lm_head.weight",) if said is False else ())


def test_innermost_configuration_decides_on_tying(tmp_path: Path) -> None:
    """A `tie_word_embeddings: false` around a language model that ties changes nothing."""
    inner = count_parameters(write(tmp_path, small_blip2(small_opt())), [])
    outer = small_blip2(small_opt(), tie_word_embeddings=False)
    assert count_parameters(write(tmp_path, outer), []).total == inner.total
    apart = small_blip2(small_t5(tie_word_embeddings=False))
    assert count_parameters(write(tmp_path, apart), []).untied == ("language_model.lm_head.weight",)


def test_groups_add_up(tmp_path: Path) -> None:
    """The groups are the model's children and own parameters, and add up to the total."""
    counts = count_parameters(write(tmp_path, small_blip2(small_opt())), TRAINABLE)
    assert list(counts.groups) == [
        "vision_model",
        "qformer",
        "language_projection",
        "language_model",
        "query_tokens",
    ]
    assert counts.groups["language_model"] == OPT_TOTAL
    assert counts.groups["query_tokens"] == 3 * 6
    assert counts.groups["language_projection"] == 6 * 8 + 8
    assert sum(counts.groups.values()) == counts.total
    assert counts.trainable == sum(counts.groups[name] for name in TRAINABLE)


def test_trainable_names_may_overlap(tmp_path: Path) -> None:
    """A parameter that two of the names cover is counted once; a tied one under either name."""
    path = write(tmp_path, small_opt())
    embeddings = ["lm_head.weight", "model.decoder.embed_tokens", "lm_head", "lm_head"]
    assert count_parameters(path, embeddings).trainable == EMBEDDINGS
    assert count_parameters(path, ["model", "model.decoder"]).trainable == OPT_TOTAL
    assert count_parameters(path, []).trainable == 0


def test_counts_are_frozen(tmp_path: Path) -> None:
    """Neither a field nor the groups can be changed afterwards."""
    counts = count_parameters(write(tmp_path, small_opt()), [])
    with pytest.raises(dataclasses.FrozenInstanceError):
        counts.total = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        counts.groups["model"] = 1  # type: ignore[index]


def test_missing_file(tmp_path: Path) -> None:
    """A missing file is named, with where one is expected."""
    assert refusal(tmp_path / "config.json") == (
        "FILE: the model configuration cannot be read: there is no such file. "
        "Expected a config.json beside the claim file or below a --claims-data folder."
    )


def test_folder_in_place_of_file(tmp_path: Path) -> None:
    """A folder is refused like any other file that cannot be read."""
    assert refusal(tmp_path).startswith("FILE: the model configuration cannot be read: ")


def test_size_limit(tmp_path: Path) -> None:
    """A file of the limit is read, one byte more is refused before it is parsed."""
    text = json.dumps(small_opt())
    path = write(tmp_path, text.ljust(MAX_BYTES))
    assert count_parameters(path, []).total == OPT_TOTAL
    assert refusal(write(tmp_path, text.ljust(MAX_BYTES + 1))) == (
        "FILE: the file has more than 1,000,000 bytes, expected the few kilobytes of a model configuration."
    )


@pytest.mark.parametrize("text", ["", "model_type: opt", '{"model_type": ', "[" * 100_000])
def test_not_json(tmp_path: Path, text: str) -> None:
    """Anything but JSON is refused as such."""
    message = refusal(write(tmp_path, text))
    assert message.startswith("FILE: expected a model configuration in JSON, got something else (")


def test_not_text(tmp_path: Path) -> None:
    """A binary file is refused as not being JSON."""
    path = tmp_path / "config.json"
    path.write_bytes(b"\xff\xfe\x00")
    assert "expected a model configuration in JSON" in refusal(path)


def test_not_an_object(tmp_path: Path) -> None:
    """JSON that is no object is refused."""
    assert refusal(write(tmp_path, ["opt"])) == (
        "FILE: expected a JSON object with the key 'architectures', got a list."
    )


def test_no_model_type(tmp_path: Path) -> None:
    """The model_type must be there: nothing is guessed from the class."""
    settings = small_opt()
    del settings["model_type"]
    assert refusal(write(tmp_path, settings)) == (
        "FILE: the key 'model_type' is missing, expected a name such as 'blip-2'."
    )


@pytest.mark.parametrize(("name", "rest"), [("blip2", ", did you mean 'blip-2'?"), ("no such model", ".")])
def test_unknown_model_type(tmp_path: Path, name: str, rest: str) -> None:
    """An unknown model_type comes with the nearest one, if one is near."""
    message = refusal(write(tmp_path, small_opt(model_type=name)))
    assert message == f"FILE: transformers X knows no model_type {name!r}{rest}"


@pytest.mark.parametrize("architectures", [None, [], "OPTForCausalLM", [1]])
def test_no_architecture(tmp_path: Path, architectures: object) -> None:
    """Without a list that starts with a class name there is nothing to build."""
    assert refusal(write(tmp_path, small_opt(architectures=architectures))) == (
        "FILE: the key 'architectures' is missing, expected a list such as "
        "['Blip2ForConditionalGeneration'], whose first entry is the model to count."
    )


@pytest.mark.parametrize(
    ("name", "rest"),
    [
        ("OPTForCasualLM", ", did you mean 'OPTForCausalLM'?"),
        ("OPTConfig", "."),
        ("Blip2ForConditionalGenration", ", did you mean 'Blip2ForConditionalGeneration'?"),
        ("os.system", "."),
    ],
)
def test_unknown_architecture(tmp_path: Path, name: str, rest: str) -> None:
    """What is no model class of transformers is refused, with the nearest class."""
    message = refusal(write(tmp_path, small_opt(architectures=[name])))
    assert message == f"FILE: transformers X has no model class {name!r}{rest}"


def test_architecture_of_another_model_type(tmp_path: Path) -> None:
    """A class is not built from the configuration of another model."""
    settings = small_opt(architectures=["T5ForConditionalGeneration"])
    assert refusal(write(tmp_path, settings)) == (
        "FILE: T5ForConditionalGeneration takes no configuration of the model_type 'opt', expected 't5'."
    )


@pytest.mark.parametrize("nested", [False, True])
def test_remote_code_is_refused(tmp_path: Path, nested: bool) -> None:
    """A configuration that refers to code of its own is refused, at whatever depth it does."""
    remote = {"auto_map": {"AutoModelForCausalLM": "modeling.Model"}}
    settings = small_blip2(small_opt(**remote)) if nested else small_opt(**remote)
    place = "text_config." if nested else ""
    assert refusal(write(tmp_path, settings)) == (
        f"FILE: {place}auto_map refers to code beside the checkpoint, and no such code is run "
        "here. Expected the configuration of a model that transformers itself implements."
    )


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation", "_attn_implementation_internal"])
def test_kernels_are_never_fetched(tmp_path: Path, key: str) -> None:
    """A configuration cannot ask for an attention kernel of the hub; the count is not affected."""
    settings = small_blip2(small_opt(**{key: "kernels-community/flash-attn"}))
    path = write(tmp_path, {**settings, key: "kernels-community/flash-attn"})
    assert count_parameters(path, []).groups["language_model"] == OPT_TOTAL


def test_pretrained_weights_are_never_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a configuration asks for pretrained weights of a backbone, the library is told not to fetch them."""
    from transformers import Blip2Config

    seen: list[dict[str, Any]] = []
    real = Blip2Config.from_dict

    def from_dict(settings: dict[str, Any], **kwargs: Any) -> Any:
        seen.append(settings)
        return real(settings, **kwargs)

    monkeypatch.setattr(Blip2Config, "from_dict", from_dict)
    asking = small_blip2(small_opt(use_pretrained_backbone=True), use_pretrained_backbone=True)
    count_parameters(write(tmp_path, {**asking, "parts": [{"use_pretrained_backbone": "yes"}]}), [])
    (settings,) = seen
    assert settings["use_pretrained_backbone"] is False
    assert settings["text_config"]["use_pretrained_backbone"] is False
    assert settings["parts"] == [{"use_pretrained_backbone": False}]


def test_impossible_settings(tmp_path: Path) -> None:
    """Settings that the library rejects are an error of the file, with the library's reason."""
    message = refusal(write(tmp_path, small_opt(hidden_size="wide")))
    # transformers 5.4 and later check a configuration's types; before that, only the model cannot be built.
    if not message.startswith("FILE: transformers X cannot build OPTForCausalLM from this configuration: TypeError: "):
        assert message.startswith("FILE: transformers X does not accept this configuration: ")
        assert "hidden_size" in message
    message = refusal(write(tmp_path, small_opt(num_attention_heads=3)))
    assert message.startswith("FILE: transformers X cannot build OPTForCausalLM from this configuration: ")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("q_former", ", did you mean 'qformer'?"),
        ("language_model.lm_heat", ", did you mean 'language_model.lm_head'?"),
        ("", "."),
        ("xyz", "."),
    ],
)
def test_unknown_trainable_name(tmp_path: Path, name: str, hint: str) -> None:
    """A name that the model has not is an error with the nearest one and all at the top level."""
    path = write(tmp_path, small_blip2(small_opt()))
    assert refusal(path, ("qformer", name)) == (
        f"FILE: Blip2ForConditionalGeneration has no module or parameter {name!r} to count as "
        f"trainable{hint} At the top level it has vision_model, qformer, language_projection, "
        "language_model, query_tokens."
    )


def test_importing_it_is_cheap() -> None:
    """The module imports neither torch nor transformers until something is counted."""
    code = (
        "import sys, pytest_claims.counting.parameters; "
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
