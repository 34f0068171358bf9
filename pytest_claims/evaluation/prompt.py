"""The prompt as tokens: those that every image is fed, and those that the claim's prompt should be.

Text that reads alike can be other tokens: a trailing space, a special token, a tokenizer that lost its begin token. The model
sees tokens, so tokens are what is compared.
"""

from __future__ import annotations

import itertools
import unicodedata
from typing import TYPE_CHECKING, Any

from pytest_claims.protocol import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from pytest_claims.sources.checkpoint import Loaded


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
    ids = loaded.architecture.feed(prompt)
    fed: list[int] = ids[0].tolist()
    facts: dict[str, Any] = {
        "prompt": spell(loaded, fed),
        "text": prompt,
        "ids": fed,
        "stated_ids": None,
        "stated": None,
    }
    if stated is not None:
        facts["stated_ids"] = loaded.architecture.stated(stated)
        facts["stated"] = spell(loaded, facts["stated_ids"])
        if heard := _misread(loaded, stated):
            facts["tokenizer"] = f"reads {visible(stated)!r} as {visible(heard)!r}"
    return ids, facts


def _misread(loaded: Loaded, stated: str) -> str:
    """What the tokenizer makes of a text where that is another text, else "".

    Case, accents and white space do not count, since BERT's tokenizer drops them; nor does a text with a character that the
    tokenizer does not know.
    """
    tokenizer = loaded.processor.tokenizer
    ids = loaded.architecture.own_ids(stated)
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids:
        return ""
    heard = _decode(loaded, ids)
    return "" if _letters(heard) == _letters(stated) else heard


def _letters(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text.casefold())
    return "".join(
        c for c in folded if not c.isspace() and not unicodedata.combining(c) and unicodedata.category(c) != "Cf"
    )


def spell(loaded: Loaded, ids: Sequence[int]) -> str:
    """What tokens say, special tokens visible, runs of image tokens counted, white space marked: `<image>×32</s>a photo of`."""
    text = ""
    places = loaded.architecture.image_tokens
    for image, run in itertools.groupby(ids, key=places.__contains__):
        tokens = list(run)
        text += f"<image>×{len(tokens)}" if image else _decode(loaded, tokens)
    return visible(text)


def _decode(loaded: Loaded, ids: Sequence[int]) -> str:
    text: str = loaded.processor.tokenizer.decode(
        list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return text
