"""Observes the prompt as tokens: the input tokens of every image, and the correct tokens of the claim's prompt.

Tokens are compared, since they are the model's input. Two prompts that look equal as text can have different tokens: a trailing
space, a special token, or a tokenizer without its begin token.
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
    """Tokenise the prompt as the model gets it.

    Args:
        loaded: the checkpoint.
        prompt: the prompt of the run.
        stated: the paper's prompt, as the claim states it; None: the paper does not state one.

    Returns:
        The token ids, (1, image tokens + prompt), and the facts of the prompt axis (`protocol.Observed.prompt`).

    Raises:
        EvaluationError: the processor adds no placeholder tokens for the image.
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
    """The text that the tokenizer's tokens decode to, if it differs from the given text; else "".

    Differences in case, accents and white space do not count, since BERT's tokenizer drops them. A text with a character that
    the tokenizer does not know is not checked.
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
    """Tokens as readable text, such as `<image>×32</s>a photo of`.

    Special tokens are shown, consecutive image tokens are counted, and white space is marked.
    """
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
