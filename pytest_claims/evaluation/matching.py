"""What `Blip2ForImageTextRetrieval` computes, in the parts that can be computed once: of a text, of an image, and of a pair.

The model's own `forward` computes all three for every pair. LAVIS computes them apart, as here (`forward_text`, `forward_image`
and `compute_itm` in lavis/models/blip2_models/blip2_qformer.py). The scores are the same; tests/evaluation/test_retrieval.py
compares them with `forward`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_claims.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from pytest_claims.sources.checkpoint import Loaded

PAIRS = 32
"""The default batch size: pairs of an image and a text. The pairs of one image share what the Q-Former makes of its patches."""

TEXTS = 256
"""How many texts are encoded at a time, as in LAVIS."""

MAX_WORDS = 50
"""The most words of a text that LAVIS's `blip_caption` keeps."""


def cleaned(text: str, how: str | None) -> str:
    """A text as the tokenizer gets it.

    Args:
        text: a caption of the data set.
        how: `blip_caption`: what LAVIS's text processor of this name does (lavis/processors/blip_processors.py); else nothing.
    """
    if how != "blip_caption":
        return text
    text = re.sub(r"\s{2,}", " ", re.sub(r"([.!\"()*#:;~])", " ", text.lower())).rstrip("\n").strip(" ")
    return " ".join(text.split(" ")[:MAX_WORDS])


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Texts as the model gets them, and their features."""

    ids: torch.Tensor
    """Token ids, padded, (texts, tokens)."""
    mask: torch.Tensor
    """1 for a token, 0 for padding."""
    features: torch.Tensor
    """The projected first token of each, of length one, in float32: (texts, d)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image as the vision encoder sees it, and its features."""

    patches: torch.Tensor
    """(1, patches + 1, width), in the model's precision."""
    features: torch.Tensor
    """The projected query tokens, each of length one, in float32: (queries, d)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matcher:
    """The parts of a loaded model.

    Every batch has the same shape, and is padded where there is less to compute: the last bits of a product depend on it,
    and the ranking of a query must not depend on which others are computed beside it.
    """

    loaded: Loaded
    max_tokens: int
    batch_size: int = PAIRS

    def texts(self, texts: Sequence[str]) -> Texts:
        """Tokenise and encode texts, which are cleaned already."""
        import torch

        tokenizer = self.loaded.processor.tokenizer
        ids, masks, features = [], [], []
        for start in range(0, len(texts), TEXTS):
            block = list(texts[start : start + TEXTS])
            batch = tokenizer(
                block + [""] * (TEXTS - len(block)),
                padding="max_length",
                truncation=True,
                max_length=self.max_tokens,
                padding_side="right",
                return_tensors="pt",
            )
            own = {key: batch[key].to(self.loaded.device) for key in ("input_ids", "attention_mask")}
            features.append(self._project_texts(own["input_ids"], own["attention_mask"])[: len(block)])
            ids.append(own["input_ids"][: len(block)].to(torch.int32))
            masks.append(own["attention_mask"][: len(block)].to(torch.int32))
        return Texts(ids=torch.cat(ids), mask=torch.cat(masks), features=torch.cat(features))

    def picture(self, pixels: torch.Tensor) -> Picture:
        """Encode one image.

        Args:
            pixels: the pixel values, (3, H, W).
        """
        import torch
        from torch.nn.functional import normalize

        model: Any = self.loaded.model
        with torch.inference_mode():
            patches = model.vision_model(pixel_values=pixels[None].to(self.loaded.device)).last_hidden_state
            states = model.qformer(query_embeds=model.query_tokens, encoder_hidden_states=patches).last_hidden_state
            projected = model.vision_projection(states.to(model.vision_projection.weight.dtype))
            return Picture(patches=patches, features=normalize(projected[0], dim=-1).float())

    def match(self, picture: Picture, texts: Texts, numbers: torch.Tensor) -> torch.Tensor:
        """How well texts match an image: the logit for "belongs together", averaged over the query tokens, in float32.

        Args:
            picture: the image.
            texts: all texts.
            numbers: which of them, (n,).
        """
        import torch

        size, found = self.batch_size, []
        for start in range(0, len(numbers), size):
            block = numbers[start : start + size]
            rows = torch.cat([block, block.new_zeros(size - len(block))])
            found.append(self._match(picture, texts.ids[rows].long(), texts.mask[rows].long())[: len(block)])
        return torch.cat(found) if found else torch.empty(0, device=texts.ids.device)

    def _project_texts(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        import torch
        from torch.nn.functional import normalize

        model: Any = self.loaded.model
        with torch.inference_mode():
            states = model.qformer(
                query_embeds=model.embeddings(input_ids=ids), query_length=0, attention_mask=mask
            ).last_hidden_state
            projected = model.text_projection(states[:, 0].to(model.text_projection.weight.dtype))
            return normalize(projected, dim=-1).float()

    def _match(self, picture: Picture, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The scores of a batch of pairs; the image's patches are broadcast over the batch."""
        import torch

        model: Any = self.loaded.model
        with torch.inference_mode():
            queries = model.query_tokens.expand(len(ids), -1, -1)
            embedded = model.embeddings(input_ids=ids, query_embeds=queries)
            everything = torch.cat([mask.new_ones(queries.shape[:2]), mask], dim=1)
            states = model.qformer(
                query_embeds=embedded,
                query_length=queries.shape[1],
                attention_mask=everything,
                encoder_hidden_states=picture.patches,
            ).last_hidden_state
            states = states[:, : queries.shape[1]].to(model.itm_head.weight.dtype)
            scores: torch.Tensor = model.itm_head(states).mean(dim=1)[:, 1].float()
            return scores


def special_tokens(loaded: Loaded) -> str:
    """What the tokenizer puts around a text other than BERT's `[CLS]` and `[SEP]`, as a text; empty if it is those two.

    The Q-Former is BERT: the first token carries the text's feature. A tokenizer file can leave it out.
    """
    tokenizer = loaded.processor.tokenizer
    own = loaded.architecture.own_ids("a")
    fed = list(tokenizer("a")["input_ids"])
    if fed == [tokenizer.cls_token_id, *own, tokenizer.sep_token_id]:
        return ""
    shown: str = tokenizer.decode(fed, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return f"'a' is fed as {shown!r}"


def longest(loaded: Loaded, stated: int | None) -> int:
    """The most tokens of a text: as stated, else as many as the model has positions.

    Raises:
        EvaluationError: the model has fewer positions.
    """
    positions = int(loaded.model.config.qformer_config.max_position_embeddings)
    if stated is not None and stated > positions:
        raise EvaluationError(
            f"ranking.max_tokens={stated}: the Q-Former of {loaded.architecture.label} has {positions} positions for a text."
        )
    return stated or positions
