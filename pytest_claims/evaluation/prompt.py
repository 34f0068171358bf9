"""The prompt as tokens: those that every image is fed, and those that the claim's prompt should be.

Text that reads alike can be other tokens: a trailing space, a special token, a tokenizer that lost its begin token. The model
sees tokens, so tokens are what is compared.
"""

from __future__ import annotations

import itertools
import unicodedata
from typing import TYPE_CHECKING, Any

from pytest_claims.errors import EvaluationError
from pytest_claims.evaluation import decoding
from pytest_claims.protocol import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from pytest_claims.evaluation.checkpoint import Loaded

# What each family of language models has around a text, as its papers and original tokenizers have it: names of ids, in the
# model's text configuration or in the tokenizer. OPT (Zhang et al. 2022) begins with </s>, T5 ends with it, BERT has [CLS] and
# [SEP], of which GIT and BLIP keep the first when they go on from a prompt, Llama begins with <s>.
_AROUND = {
    "opt": ("bos_token_id", None),
    "t5": (None, "eos_token_id"),
    "blip_text_model": ("cls_token_id", "sep_token_id"),
    "git": ("cls_token_id", None),
    "llama": ("bos_token_id", None),
    "mistral": ("bos_token_id", None),
}


def observe(loaded: Loaded, prompt: str, stated: str | None) -> tuple[torch.Tensor, dict[str, Any]]:
    """Tokenise the prompt as every image is fed it.

    Args:
        loaded: the checkpoint.
        prompt: what is run.
        stated: what the claim says that the paper ran; None: the paper does not say.

    Returns:
        The ids, (1, image tokens + prompt), and the facts of the prompt axis (`protocol.Observed.prompt`).

    Raises:
        EvaluationError: the processor makes no room for the image.
    """
    ids = feed(loaded, prompt)
    fed: list[int] = ids[0].tolist()
    facts: dict[str, Any] = {
        "prompt": spell(loaded, fed),
        "text": prompt,
        "ids": fed,
        "stated_ids": None,
        "stated": None,
    }
    if stated is not None:
        facts["stated_ids"] = clean(loaded, stated)
        facts["stated"] = spell(loaded, facts["stated_ids"])
        if heard := _misread(loaded, stated):
            facts["tokenizer"] = f"reads {visible(stated)!r} as {visible(heard)!r}"
    return ids, facts


def clean(loaded: Loaded, stated: str) -> list[int]:
    """The tokens that a text should be: its own, and those that the model family puts around it.

    The text's own are taken from the tokenizer without its post-processor, which a checkpoint can change. A family that is not
    known, and a chat template, are taken at the processor's word; a begin token that the family has must be there all the same.
    """
    config, tokenizer = loaded.model.config, loaded.processor.tokenizer
    text_config = getattr(config, "text_config", None) or config
    before, behind = _AROUND.get(text_config.model_type, (None, None))
    around = [_id(name, text_config, tokenizer) for name in (before, behind)]
    one = decoding.one_prompt(loaded)
    if text_config.model_type in _AROUND and (one or not (decoding.template(loaded) or _image_tokens(loaded))):
        image = [config.image_token_id] * config.num_query_tokens if one else []
        first, last = ([] if token is None else [token] for token in around)
        return [*image, *first, *_own(tokenizer, stated), *last]
    row: list[int] = feed(loaded, stated)[0].tolist()
    return row if around[0] is None or row[:1] == [around[0]] else [around[0], *row]


def _id(name: str | None, config: Any, tokenizer: Any) -> int | None:
    if name is None:
        return None
    found: int | None = getattr(config, name, None) if name.startswith(("bos", "eos")) else None
    return found if found is not None else getattr(tokenizer, name, None)


def _own(tokenizer: Any, text: str) -> list[int]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return list(backend.encode(text, add_special_tokens=False).ids)
    return list(tokenizer.encode(text, add_special_tokens=False))


def _misread(loaded: Loaded, stated: str) -> str:
    """What the tokenizer makes of a text where that is another text, else "".

    Case, accents and white space do not count, since BERT's tokenizer drops them; nor does a text with a character that the
    tokenizer does not know.
    """
    tokenizer = loaded.processor.tokenizer
    ids = _own(tokenizer, stated)
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids:
        return ""
    heard = _decode(loaded, ids)
    return "" if _letters(heard) == _letters(stated) else heard


def _letters(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text.casefold())
    return "".join(
        c for c in folded if not c.isspace() and not unicodedata.combining(c) and unicodedata.category(c) != "Cf"
    )


def feed(loaded: Loaded, prompt: str) -> torch.Tensor:
    """The tokens that every image is fed, (1, image tokens + prompt).

    Raises:
        EvaluationError: the processor makes no room for the image: without `num_query_tokens`, BLIP-2's leaves it out silently.
    """
    if not decoding.one_prompt(loaded):
        return decoding.feed(loaded, prompt)
    import PIL.Image

    blank = PIL.Image.new("RGB", (32, 32))
    ids: torch.Tensor = loaded.processor(images=[blank], text=[prompt], return_tensors="pt")["input_ids"]  # (1, L)
    queries = getattr(loaded.model.config, "num_query_tokens", None)
    found = sum(token in _image_tokens(loaded) for token in ids[0].tolist())
    if queries is not None and found != queries:
        raise EvaluationError(
            f"The processor puts {found} image tokens before the prompt and the model expects {queries}: the image would "
            "be ignored. Set num_query_tokens in the checkpoint's processor_config.json."
        )
    return ids


def spell(loaded: Loaded, ids: Sequence[int]) -> str:
    """What tokens say, special tokens visible, runs of image tokens counted, white space marked: `<image>×32</s>a photo of`."""
    text = ""
    places = _image_tokens(loaded)
    for image, run in itertools.groupby(ids, key=places.__contains__):
        tokens = list(run)
        text += f"<image>×{len(tokens)}" if image else _decode(loaded, tokens)
    return visible(text)


def _decode(loaded: Loaded, ids: Sequence[int]) -> str:
    text: str = loaded.processor.tokenizer.decode(
        list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return text


def _image_tokens(loaded: Loaded) -> set[int]:
    named = (getattr(loaded.model.config, name, None) for name in ("image_token_id", "image_token_index"))
    return {token for token in named if token is not None}
