"""The input tokens of the images: one prompt for all of them, or one for each, such as a question."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch  # noqa: TID253 - this room is imported only when a model is evaluated

from pytest_claims.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from pytest_claims.devices import Device


class Prompts:
    """The tokenised prompts of a search, with image placeholders.

    Args:
        given: (1, L), for every image the same; or the tokens of each image, by its id.
        image_token: the id of the placeholder.
        queries: how many placeholders the model needs.

    Raises:
        EvaluationError: a prompt does not contain the model's image tokens, or has them at another place than the others.
    """

    def __init__(self, given: Tensor | Mapping[str, Sequence[int]], *, image_token: int, queries: int) -> None:
        self._own: Mapping[str, Sequence[int]] | None = None if isinstance(given, torch.Tensor) else given
        if isinstance(given, torch.Tensor):
            if given.dim() != 2 or given.shape[0] != 1:
                raise EvaluationError(f"The prompt has the shape {tuple(given.shape)}, expected (1, tokens).")
            self.first: tuple[int, ...] = tuple(given.tolist()[0])
        elif given:
            self.first = tuple(next(iter(given.values())))
        else:
            raise EvaluationError("There is no prompt, expected one for each image.")
        self.image_positions: tuple[int, ...] = ()
        lengths = set()
        for name, tokens in self._all():
            lengths.add(len(tokens))
            self._check(name, tokens, image_token, queries)
        self.longest = max(lengths)
        self.even = len(lengths) == 1
        """Whether all prompts have the same length."""

    def _all(self) -> Iterator[tuple[str, Sequence[int]]]:
        yield from (("", self.first),) if self._own is None else self._own.items()

    def _check(self, name: str, tokens: Sequence[int], image_token: int, queries: int) -> None:
        places = tuple(n for n, token in enumerate(tokens) if token == image_token)
        of = f" of {name}" if name else ""
        if len(places) != queries:
            raise EvaluationError(
                f"The tokenised prompt{of} holds {len(places)} image tokens (id {image_token}) and the "
                f"model needs {queries}: the image would be ignored. "
                "Set `num_query_tokens` on the processor."
            )
        if self.image_positions not in ((), places):
            raise EvaluationError(f"The image tokens of the prompt{of} are not where those of the other prompts are.")
        self.image_positions = places

    def batch(self, names: Sequence[str], device: Device) -> tuple[Tensor, Tensor | None]:
        """The prompts of images, and their lengths.

        Returns:
            (G, L): shorter prompts are filled up on the right with their first token. (G,): the lengths; None if all prompts of
            the search have the same length.

        Raises:
            EvaluationError: an image has no prompt.
        """
        if self._own is None:
            return device.write([self.first]).expand(len(names), -1), None
        for name in names:
            if name not in self._own:
                raise EvaluationError(f"Image {name} has no prompt.")
        rows = [tuple(self._own[name]) for name in names]
        width = max(map(len, rows))
        filled = device.write([[*row, *row[:1] * (width - len(row))] for row in rows])
        lengths = None if self.even else device.write([len(row) for row in rows])
        return filled, lengths
