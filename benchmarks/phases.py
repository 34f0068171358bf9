"""Where the time of a captioning run goes, and the least that each phase could take on this machine.

The floor of a phase is its products at the rate at which this machine multiplies matrices of their shapes, measured in
the same run. It is the best of two implementations: `nn.Linear`, and oneDNN with packed weights. Attention counts with the
rate of the phase's other products. Everything that is not a product counts nothing: a floor cannot be reached.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from torch import nn

from benchmarks import rounds
from pytest_claims.beam import decoder, encoder, hypotheses, search

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import Tensor

IMAGES, VISION, QFORMER, PREFIX, STEPS = "decode images", "vision", "Q-Former", "prefix", "decode steps"
SEARCH, REST = "search", "rest"
# Time is counted for the innermost of these that runs: `encode` apart from `_see` is the Q-Former.
PARTS: tuple[tuple[str, Any, str], ...] = (
    (VISION, encoder.Encoder, "_see"),
    (QFORMER, encoder.Encoder, "encode"),
    (PREFIX, decoder.Decoder, "prefill"),
    (STEPS, decoder.Decoder, "step"),
    (SEARCH, hypotheses.Hypotheses, "advance"),
    (SEARCH, decoder.Decoder, "reorder"),
    (SEARCH, search.BeamSearch, "_leave"),
)


class Stopwatch:
    """Counts the seconds of each phase, each without the phases inside it."""

    def __init__(self, clock: str, settle: Callable[[], None]) -> None:
        self._now = time.perf_counter if clock == "wall" else time.process_time
        self._settle = settle
        self._inside: list[str] = []
        self._since = 0.0
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what happens inside for this phase."""
        self._lap()
        self._inside.append(name)
        try:
            yield
        finally:
            self._lap()
            self._inside.pop()

    def _lap(self) -> None:
        self._settle()
        now = self._now()
        if self._inside:
            self.seconds[self._inside[-1]] += now - self._since
        self._since = now

    def wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, counted for a phase."""

        def counted(*arguments: Any, **named: Any) -> Any:
            with self.phase(name):
                return function(*arguments, **named)

        return counted

    def images(self, images: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
        """The images; taking the next one is counted."""
        source = iter(images)
        while True:
            with self.phase(IMAGES):
                image = next(source, None)
            if image is None:
                return
            yield image

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count the phases of every search that runs inside."""
        with ExitStack() as stack:
            for name, owner, method in PARTS:
                stack.enter_context(mock.patch.object(owner, method, self.wrapped(name, getattr(owner, method))))
            yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """`times` products per image of (rows, inner) and (inner, columns), computed for `rows` rows at a time."""

    rows: int
    inner: int
    columns: int
    times: float

    @property
    def operations(self) -> float:
        """Per image."""
        return 2 * self.rows * self.inner * self.columns * self.times


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a phase computes for one image: its products, and the operations of its attention."""

    products: tuple[Product, ...]
    attention: float

    @property
    def operations(self) -> float:
        """Per image."""
        return sum(product.operations for product in self.products) + self.attention


def work(model: Any, *, prompt: int, slots: int, beams: int, tokens: float) -> dict[str, Work]:
    """The least work per image of each phase. Padding and repeated prefixes do not count.

    Args:
        model: BLIP-2 with OPT.
        prompt: its tokens.
        slots: images decoded at a time.
        beams: of the search.
        tokens: the mean number of tokens of a caption.
    """
    together = encoder.Encoder(model, pack=False).sub_batch
    vision, text = model.config.vision_config, model.config.text_config
    patches = (vision.image_size // vision.patch_size) ** 2 + 1
    blocks = model.vision_model.encoder.layers
    embedding = model.vision_model.embeddings.patch_embedding
    seen = [
        Product(
            rows=together * (patches - 1),
            inner=embedding.weight[0].numel(),
            columns=vision.hidden_size,
            times=1 / together,
        )
    ]
    seen += _linear(blocks, together * patches, 1 / together)
    layers, head = model.language_model.model.decoder.layers, model.language_model.lm_head
    admitted = max(1, slots // search._REFILL)
    last = layers[-1]  # only its keys and values are needed at all positions of the prefix
    prefix = _linear([*layers[:-1], last.self_attn.k_proj, last.self_attn.v_proj], admitted * prompt, 1 / admitted)
    prefix += _linear(
        [last.self_attn.q_proj, last.self_attn.out_proj, last.fc1, last.fc2, head], admitted, 1 / admitted
    )
    steps = tokens - 1
    per_key = 4 * text.num_hidden_layers * text.hidden_size
    return {
        VISION: Work(products=tuple(seen), attention=4.0 * vision.num_hidden_layers * patches**2 * vision.hidden_size),
        QFORMER: Work(products=tuple(_qformer(model, together, patches)), attention=0.0),
        PREFIX: Work(products=tuple(prefix), attention=per_key * prompt**2 / 2),
        STEPS: Work(
            products=tuple(_linear([*layers, head], slots * beams, steps / slots)),
            attention=per_key * beams * steps * (prompt + tokens / 2),
        ),
    }


def _linear(modules: Iterable[nn.Module], rows: int, times: float) -> list[Product]:
    return [
        Product(rows=rows, inner=layer.in_features, columns=layer.out_features, times=times)
        for module in modules
        for layer in module.modules()
        if isinstance(layer, nn.Linear)
    ]


def _qformer(model: Any, together: int, patches: int) -> list[Product]:
    """Keys and values of the cross-attention are computed for every patch, all else for every query."""
    queries = model.config.num_query_tokens
    found: list[Product] = []
    for layer in model.qformer.encoder.layer:
        for name, module in layer.named_modules():
            if isinstance(module, nn.Linear):
                of_image = name in ("crossattention.attention.key", "crossattention.attention.value")
                found += _linear([module], together * (patches if of_image else queries), 1 / together)
    return found + _linear([model.language_projection], together * queries, 1 / together)


class Rates:
    """The rate of this machine for each shape of product, measured again in every round."""

    def __init__(self, phases: dict[str, Work], like: Tensor, clock: str, settle: Callable[[], None]) -> None:
        self._phases = phases
        self._clock = clock
        self._settle = settle
        shapes = {(p.rows, p.inner, p.columns) for phase in phases.values() for p in phase.products}
        with torch.inference_mode():
            self._operands = {
                (rows, inner, columns): (
                    like.new_empty(rows, inner).normal_(),
                    like.new_empty(columns, inner).normal_(),
                )
                for rows, inner, columns in sorted(shapes)
            }
        self.floors: dict[str, list[float]] = {name: [] for name in phases}

    @torch.inference_mode()
    def measure(self, _round: int = 0) -> None:
        """Measure all shapes once, and add a floor in seconds per image to every phase."""
        best = {shape: self._seconds(*operands) for shape, operands in self._operands.items()}
        for name, phase in self._phases.items():
            seconds = sum(best[p.rows, p.inner, p.columns] * p.times for p in phase.products)
            operations = sum(p.operations for p in phase.products)
            self.floors[name].append(seconds * phase.operations / operations)

    def _seconds(self, left: Tensor, right: Tensor) -> float:
        def plain() -> None:
            nn.functional.linear(left, right)
            self._settle()

        ways: list[Callable[[], None]] = [plain]
        if left.device.type == "cpu" and left.dtype == torch.float32:
            onednn: Any = torch.ops.mkldnn
            packed = onednn._reorder_linear_weight(right, None)
            ways.append(lambda: onednn._linear_pointwise(left, packed, None, "none", [], ""))
        return min(rounds.best_of(way, self._clock) for way in ways)


def table(todo: dict[str, Work], rates: Rates, spent: Sequence[dict[str, float]], images: int) -> list[dict[str, Any]]:
    """One row per phase: the medians of milliseconds per image, share, floor, and the operations.

    Args:
        todo: the work of each phase.
        rates: measured in the same rounds.
        spent: the seconds of each phase, one dictionary per round.
        images: in each round.
    """
    names = [IMAGES, *todo, SEARCH, REST]
    median = {name: statistics.median(run.get(name, 0.0) for run in spent) / images for name in names}
    floors = {name: statistics.median(rates.floors[name]) if name in todo else 0.0 for name in names}
    return [
        {
            "phase": name,
            "ms": median[name] * 1e3,
            "share": median[name] / sum(median.values()),
            "floor_ms": floors[name] * 1e3,
            "gflop": todo[name].operations / 1e9 if name in todo else 0.0,
        }
        for name in names
    ]
