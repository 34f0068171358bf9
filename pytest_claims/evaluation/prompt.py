"""Observes the prompts as tokens: the input tokens of every image, and the correct tokens of the claim's prompt.

Tokens are compared, since they are the model's input. Two prompts that look equal as text can have different tokens: a trailing
space, a special token, or a tokenizer without its begin token.
"""

from __future__ import annotations

import itertools
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_claims import digests, spool
from pytest_claims.protocol import visible
from pytest_claims.spec import PLACE, filled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_claims.sources.checkpoint import Loaded


AT_ONCE = 10_000
"""How many prompts are tokenised at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fed:
    """The prompts of a run as the model gets them: one for all images, or one for each."""

    text: str
    """The prompt; with `each`, the template."""
    shared: tuple[int, ...] = ()
    """The input tokens of every image: image tokens and prompt."""
    each: Mapping[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    """The prompt and the input tokens of each image by its id; empty if all have the same. As `spool.by_name` gives it."""
    noted: tuple[int, str] | None = None
    """With `each`, `longest` and `digest`, which were noted while the prompts were tokenised."""

    def prompt(self, name: str) -> str:
        """The prompt of an image."""
        return self.each[name][0] if self.each else self.text

    def tokens(self, name: str) -> tuple[int, ...]:
        """The input tokens of an image."""
        return self.each[name][1] if self.each else self.shared

    @property
    def longest(self) -> int:
        """The number of input tokens of the image that has most."""
        return len(self.shared) if self.noted is None else self.noted[0]

    @property
    def digest(self) -> str:
        """SHA-256 over the input tokens of all images."""
        return digests.of_json(self.shared)[: digests.SHORT] if self.noted is None else self.noted[1]


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
    noted = _Noted(loaded, template, stated)
    each = spool.by_name(noted.tokenised(questions), lambda row: len(row[0]) + 8 * len(row[1]))
    fed = Fed(text=template, each=each, noted=(noted.longest, noted.digest()))
    shown = noted.first or next(iter(spool.entries(questions)))[0]
    facts: dict[str, Any] = {"text": template, "ids": [fed.digest], "stated_ids": None, "stated": None}
    if stated is not None:
        expected = loaded.architecture.stated(filled(stated, questions[shown]))
        facts["stated_ids"] = [noted.digest(stated=True)]
        facts["stated"] = _spell_template(loaded, expected, questions[shown])
        if noted.differing:
            facts["differing"] = f"{noted.differing:,} of {len(questions):,} prompts, the first that of {shown}"
        if noted.misread:
            facts["tokenizer"] = noted.misread
    return fed, {"prompt": _spell_template(loaded, fed.tokens(shown), questions[shown]), **facts}


class _Noted:
    """Tokenises the prompts of rows, `AT_ONCE` at a time, and notes what the facts hold of them.

    Args:
        loaded: the checkpoint.
        template: the template of the run.
        stated: that of the paper; None if it does not state one.
    """

    def __init__(self, loaded: Loaded, template: str, stated: str | None) -> None:
        self._loaded, self._template, self._stated = loaded, template, stated
        self._fed, self._expected = digests.JsonObject(), digests.JsonObject()
        self.longest = self.differing = 0
        self.first = self.misread = ""
        """The first row whose tokens are not those of the paper's template, and what the tokenizer misread; "" if none."""

    def digest(self, *, stated: bool = False) -> str:
        """The digest of the tokens of all rows, or of those that the paper's template gives."""
        return (self._expected if stated else self._fed).digest()[: digests.SHORT]

    def tokenised(self, questions: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, tuple[int, ...]]]]:
        """The prompt and the tokens of each row by its id, in the order of the ids."""
        given = iter(spool.entries(questions))
        while some := list(itertools.islice(given, AT_ONCE)):
            texts = [filled(self._template, question) for _, question in some]
            rows = self._loaded.architecture.feed_each(texts)
            for (name, question), text, tokens in zip(some, texts, rows, strict=True):
                self._fed.add(name, tokens)
                self.longest = max(self.longest, len(tokens))
                if self._stated is not None:
                    self._compare(name, tokens, filled(self._stated, question))
                yield name, (text, tokens)

    def _compare(self, name: str, tokens: tuple[int, ...], clean: str) -> None:
        expected = tuple(self._loaded.architecture.stated(clean))
        self._expected.add(name, expected)
        if tokens != expected:
            self.differing += 1
            self.first = self.first or name
        if not self.misread and (heard := _misread(self._loaded, clean)):
            self.misread = f"reads {visible(clean)!r} as {visible(heard)!r}"


def _spell_template(loaded: Loaded, ids: Sequence[int], question: str) -> str:
    """Tokens of a row as readable text, with the place of the question instead of the question."""
    text, asked = spell(loaded, ids), visible(question)
    return text.replace(asked, PLACE) if asked and text.count(asked) == 1 else text


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
