"""What the parts of the beam search gain that PyTorch and transformers also offer, each against the public alternative.

    python benchmarks/beam_parts.py --preset mid --images 32 --rounds 7

Every way captions the same images with `BeamSearch`, in which one part is replaced:

* `plain`: `nn.Linear` and the activation, instead of oneDNN with packed weights and a fused activation;
* `unpacked`, `unfused`: only the packing, or only the fused activation, is left out;
* `module`: `torch.utils.mkldnn.MkldnnLinear`, which has packed weights and is public;
* `vision`: `Blip2VisionModel.forward` instead of `Encoder._see`;
* `layers`: `OPTDecoderLayer.forward` on the same store, instead of `Decoder.prefill` and `Decoder.step`;
* `stock`: `plain`, `vision` and `layers`;
* `sort`: a stable sort of all scores of an image, instead of one of the best chunks;
* `topk`: `torch.topk`, which defines no order among equal scores.

The ways take turns, once per round, in an order that rotates. Each ratio is the median of the rounds' ratios, in
processor time of one thread, because that depends least on other programs on the machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import datasets
import torch
import transformers
from torch.utils import mkldnn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import captioning
from pytest_claims import beam
from pytest_claims.beam import decoder, encoder, hypotheses, linear

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

PREPARE = linear.prepare


def plain(
    layer: Any, *, activation_fn: Callable[[Tensor], Tensor] | None = None, **_: Any
) -> Callable[[Tensor], Tensor]:
    """The layer, then its activation."""
    return layer if activation_fn is None else (lambda x: activation_fn(layer(x)))


def unpacked(layer: Any, *, pack: bool, **options: Any) -> Callable[[Tensor], Tensor]:
    """OneDNN on the weights as they are."""
    del pack
    return PREPARE(layer, pack=False, **options)


def unfused(layer: Any, *, pack: bool, activation_fn: Any = None, **_: Any) -> Callable[[Tensor], Tensor]:
    """OneDNN on packed weights, then the activation."""
    return plain(PREPARE(layer, pack=pack), activation_fn=activation_fn)


def module(layer: Any, *, activation_fn: Any = None, **_: Any) -> Callable[[Tensor], Tensor]:
    """PyTorch's module with packed weights, then the activation."""
    make: Any = mkldnn.MkldnnLinear
    with torch.inference_mode(mode=False), torch.no_grad():
        packed = make(layer, torch.float)
    return plain(packed, activation_fn=activation_fn)


def see(self: Any, pixels: Tensor) -> Tensor:
    """The vision model's own forward pass."""
    seen: Tensor = self._vision(pixels).last_hidden_state
    return seen


class Store(transformers.Cache):
    """Shows the decoder's store to OPT's attention: new keys and values are written, and the rows to see returned."""

    def __init__(self, search: Any, write: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__(layers=[])
        self.search = search
        self.write = write

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Called by each layer."""
        pairs = zip(self.search._store[layer_idx], (key_states, value_states), strict=True)
        first, second = (self.search._split(self.write(rows, new.transpose(1, 2).flatten(2))) for rows, new in pairs)
        return first, second


def prefill(self: Any, rows: slice, features: Tensor) -> Tensor:
    """`Decoder.prefill` with OPT's own layers."""
    embeds = self._prompt_embeds.repeat(features.shape[0], 1, 1)
    embeds[:, self._image_positions] = features.to(embeds.dtype)
    hidden = embeds + self._positions[: self.prefix]
    self._mask[rows] = float("-inf")
    self._mask[rows, :, : self.prefix] = 0

    def write(store: Tensor, new: Tensor) -> Tensor:
        store[rows, : self.prefix] = new
        return new

    cache = Store(self, write)
    for layer in self._decoder.layers:
        hidden = layer(hidden, past_key_values=cache)
    logits: Tensor = self._logits(hidden[:, -1:])
    return logits


def step(self: Any, rows: slice, tokens: Tensor, step: Tensor, width: int) -> Tensor:
    """`Decoder.step` with OPT's own layers."""
    fed = (step - 1).clamp(min=0)
    newest = tokens.gather(2, fed[:, None, None].expand(-1, self._beams, 1))[:, :, 0]
    hidden = self._decoder.embed_tokens(newest) + self._positions[self.prefix + fed][:, None]
    written = (self._slot_rows[rows] + self._own_rows(fed)).flatten()

    def write(store: Tensor, new: Tensor) -> Tensor:
        store.flatten(0, 1).index_copy_(0, written, new.flatten(0, 1))
        return store[rows, :width]

    cache = Store(self, write)
    for layer in self._decoder.layers:
        hidden = layer(hidden, attention_mask=self._mask[rows, None, :, :width], past_key_values=cache)
    logits: Tensor = self._logits(hidden)
    return logits


def sort(self: Any, scores: Tensor) -> tuple[Tensor, Tensor]:
    """`Hypotheses._best_candidates` by one stable sort."""
    return hypotheses._ranked(scores.flatten(1), self.settings.candidates)


def topk(self: Any, scores: Tensor) -> tuple[Tensor, Tensor]:
    """`Hypotheses._best_candidates` by `torch.topk`."""
    top, index = torch.topk(scores.flatten(1), self.settings.candidates)
    return top, index


Parts = list[tuple[Any, str, Any]]
VISION: Parts = [(encoder.Encoder, "_see", see)]
LAYERS: Parts = [(decoder.Decoder, "prefill", prefill), (decoder.Decoder, "step", step)]


def _linear(function: Any) -> Parts:
    return [(encoder, "prepare", function), (decoder, "prepare", function)]


WAYS: dict[str, Parts] = {
    "ours": [],
    "plain": _linear(plain),
    "unpacked": _linear(unpacked),
    "unfused": _linear(unfused),
    "module": _linear(module),
    "vision": VISION,
    "layers": LAYERS,
    "stock": [*_linear(plain), *VISION, *LAYERS],
    "sort": [(hypotheses.Hypotheses, "_best_candidates", sort)],
    "topk": [(hypotheses.Hypotheses, "_best_candidates", topk)],
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The parts of the beam search against public alternatives.")
    parser.add_argument("--preset", choices=("shapes", "mid"), default="mid")
    parser.add_argument("--images", type=int, default=32, help="how many pictures (default: 32)")
    parser.add_argument("--rounds", type=int, default=7, help="how often (default: 7; plus one to warm up)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="which of them (default: all)")
    parser.set_defaults(device="cpu", dtype="float32")
    options = parser.parse_args()
    quiet: Any = transformers.logging.set_verbosity_error
    quiet()
    datasets.disable_progress_bars()
    torch.set_num_threads(1)
    work = captioning._workload(options)
    settings = beam.BeamSettings.from_generation_config(work.config)
    slots = beam.choose_slots(work.model, settings, prompt_tokens=work.prompt_ids.shape[1], images=len(work.files))

    def search(number: int) -> beam.BeamSearch:
        return beam.BeamSearch(work.model, settings, input_ids=work.prompt_ids, slots=number)

    names = ["ours", *(name for name in options.ways if name != "ours")]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    captions: dict[str, Any] = {}
    for number in range(options.rounds + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            patches = [mock.patch.object(*part) for part in WAYS[name]]
            for patch in patches:
                patch.start()
            start = time.process_time()
            captions[name] = dict(beam.caption(search, work.images(), beam.SlotBudget(slots)))
            took = time.process_time() - start
            for patch in patches:
                patch.stop()
            if number:  # the first round warms up
                seconds[name].append(took)
    for name in names:
        ratio = statistics.median(a / b for a, b in zip(seconds[name], seconds["ours"], strict=True))
        same = sum(tokens == captions["ours"][image] for image, tokens in captions[name].items())
        print(
            f"{name:10}{statistics.median(seconds[name]):8.2f} s{ratio:7.2f} x ours, {same} of {len(work.files)} equal"
        )


if __name__ == "__main__":
    main()
