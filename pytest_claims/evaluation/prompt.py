"""Observes the prompts as tokens: the input tokens of every image, and the correct tokens of the claim's prompt.

Tokens are compared, since they are the model's input. Two prompts that look equal as text can have different tokens: a trailing
space, a special token, or a tokenizer without its begin token.
"""

from __future__ import annotations

import itertools
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_claims import digests
from pytest_claims.protocol import visible
from pytest_claims.spec import PLACE, filled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_claims.sources.checkpoint import Loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Fed:
    """The prompts of a run as the model gets them: one for all images, or one for each."""

    text: str
    """The prompt; with `each`, the template."""
    shared: tuple[int, ...] = ()
    """The input tokens of every image: image tokens and prompt."""
    each: Mapping[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    """The prompt and the input tokens of each image by its id; empty if all have the same."""

    def prompt(self, name: str) -> str:
        """The prompt of an image."""
        return self.each[name][0] if self.each else self.text

    def tokens(self, name: str) -> tuple[int, ...]:
        """The input tokens of an image."""
        return self.each[name][1] if self.each else self.shared

    @property
    def longest(self) -> int:
        """The number of input tokens of the image that has most."""
        return max(len(tokens) for _, tokens in self.each.values()) if self.each else len(self.shared)

    @property
    def digest(self) -> str:
        """SHA-256 over the input tokens of all images."""
        return _digest({name: tokens for name, (_, tokens) in self.each.items()} if self.each else self.shared)


def observe(
    loaded: Loaded, prompt: str, stated: str | None, questions: Mapping[str, str] | None = None
) -> tuple[Fed, dict[str, Any]]:
    """Tokenise the prompts as the model gets them.

    Args:
        loaded: the checkpoint.
        prompt: the prompt of the run; with questions, their template.
        stated: the paper's prompt or template, as the claim states it; None: the paper does not state one.
        questions: the question of each image; None: all images have the same prompt.

    Returns:
        The prompts, and the facts of the prompt axis (`protocol.Observed.prompt`).

    Raises:
        EvaluationError: the processor adds no placeholder tokens for the image.
    """
    if questions is not None:
        return _observe_each(loaded, prompt, stated, questions)
    fed = Fed(text=prompt, shared=tuple(loaded.architecture.feed(prompt)[0].tolist()))
    facts: dict[str, Any] = {
        "prompt": spell(loaded, fed.shared),
        "text": prompt,
        "ids": list(fed.shared),
        "stated_ids": None,
        "stated": None,
    }
    if stated is not None:
        facts["stated_ids"] = loaded.architecture.stated(stated)
        facts["stated"] = spell(loaded, facts["stated_ids"])
        if heard := _misread(loaded, stated):
            facts["tokenizer"] = f"reads {visible(stated)!r} as {visible(heard)!r}"
    return fed, facts


def _observe_each(
    loaded: Loaded, template: str, stated: str | None, questions: Mapping[str, str]
) -> tuple[Fed, dict[str, Any]]:
    """See `observe`. All rows are compared; the facts hold digests of their tokens, and spell the first row that differs."""
    architecture = loaded.architecture
    texts = {name: filled(template, question) for name, question in questions.items()}
    rows = architecture.feed_each(list(texts.values()))
    fed = Fed(
        text=template,
        each={name: (text, tokens) for (name, text), tokens in zip(texts.items(), rows, strict=True)},
    )
    facts: dict[str, Any] = {"text": template, "ids": [fed.digest], "stated_ids": None, "stated": None}
    shown = next(iter(questions))
    if stated is not None:
        clean = {name: filled(stated, question) for name, question in questions.items()}
        expected = {name: tuple(architecture.stated(text)) for name, text in clean.items()}
        differing = [name for name in questions if fed.tokens(name) != expected[name]]
        shown = differing[0] if differing else shown
        facts["stated_ids"] = [_digest(expected)]
        facts["stated"] = _spell_template(loaded, expected[shown], questions[shown])
        if differing:
            facts["differing"] = f"{len(differing):,} of {len(questions):,} prompts, the first that of {shown}"
        for text in clean.values():
            if heard := _misread(loaded, text):
                facts["tokenizer"] = f"reads {visible(text)!r} as {visible(heard)!r}"
                break
    return fed, {"prompt": _spell_template(loaded, fed.tokens(shown), questions[shown]), **facts}


def _spell_template(loaded: Loaded, ids: Sequence[int], question: str) -> str:
    """Tokens of a row as readable text, with the place of the question instead of the question."""
    text, asked = spell(loaded, ids), visible(question)
    return text.replace(asked, PLACE) if asked and text.count(asked) == 1 else text


def _digest(tokens: Any) -> str:
    return digests.of_json(tokens)[: digests.SHORT]


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
