"""Families of models: each is one class, and says of itself what is true of transformers' model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as KNOWN

from pytest_claims import architectures
from pytest_claims.architectures import FAMILIES, Architecture, Blip, Blip2
from tests.tiny_models import BOS, EOS, prompt_ids, random_blip2, random_flan_t5

if TYPE_CHECKING:
    from pytest_claims.architectures import Architecture as Kind

BASE = [family.model_type or family.model_class for family in FAMILIES]


def tokenizer(**ids: int) -> Any:
    """A tokenizer that reads three words as 7, 8 and 9."""
    return SimpleNamespace(encode=lambda *_, **__: [7, 8, 9], **ids)


def of(model: Any, **ids: int) -> Architecture:
    """The architecture of a model with `tokenizer`."""
    return architectures.of(model, SimpleNamespace(tokenizer=tokenizer(**ids)), "tiny")


@pytest.mark.parametrize("family", FAMILIES, ids=BASE)
def test_a_family_is_one_that_transformers_loads(family: type[Kind]) -> None:
    """Each class stands for one model type, or one class of models, which transformers loads, and no two for the same."""
    assert BASE.count(family.model_type or family.model_class) == 1
    if family.model_class:
        assert issubclass(getattr(transformers, family.model_class), transformers.PreTrainedModel)
        return
    assert family.model_type in KNOWN
    model_class = getattr(transformers, str(KNOWN[family.model_type]))
    assert model_class.config_class.model_type == family.model_type


def test_a_model_has_the_class_of_its_type() -> None:
    """BLIP-2 has its own class; a type that no class names has the base class, which needs nothing from it."""
    assert type(of(random_blip2())) is Blip2
    other = SimpleNamespace(config=SimpleNamespace(model_type="llava"))
    found = of(other)
    assert type(found) is Architecture
    assert found.language_model is other
    assert not found.one_prompt


@pytest.mark.parametrize("model", [random_blip2(), random_flan_t5()], ids=["OPT", "T5"])
def test_the_part_that_decodes_is_the_language_model(model: Any) -> None:
    """BLIP-2's captions are decoded by its language model; an encoder-decoder returns its start token before them."""
    found = of(model)
    assert found.language_model is model.language_model
    assert found.prompt_length(11) == (1 if model.language_model.config.is_encoder_decoder else 11)


def test_a_stated_prompt_as_tokens() -> None:
    """A prompt should be fed as: one token for each query, the begin token of OPT, the prompt's own tokens."""
    model = random_blip2()
    assert of(model).stated("a photo of") == prompt_ids(model)[0].tolist()
    assert BOS in of(model).stated("a photo of")


def test_a_foreign_end_token_is_named() -> None:
    """A generation config that ends captions with another token than the model's own configuration is a deviation."""
    config = transformers.GenerationConfig(eos_token_id=EOS)
    found = of(random_blip2())
    assert found.foreign_ends(config) == {}
    config.eos_token_id = [EOS, 9]
    assert found.foreign_ends(config) == {"eos_token_id": [EOS, 9]}


def test_blip_ends_captions_with_its_separator() -> None:
    """BLIP's end token stands in its text configuration; after `settle`, where the end of a caption is read from."""
    text = SimpleNamespace(sep_token_id=102, pad_token_id=0, model_type="blip_text_model")
    decoder = SimpleNamespace(generation_config=SimpleNamespace(), config=SimpleNamespace(is_encoder_decoder=False))
    model = SimpleNamespace(config=SimpleNamespace(model_type="blip", text_config=text), text_decoder=decoder)
    found = of(model, cls_token_id=101, sep_token_id=102)
    assert type(found) is Blip
    found.settle()
    assert decoder.generation_config == SimpleNamespace(eos_token_id=102, pad_token_id=0)
    assert found.stated("three small words") == [101, 7, 8, 9, 102]
    assert found.prompt_length(5) == 4
