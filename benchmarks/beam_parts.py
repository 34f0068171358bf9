"""What the parts of the beam search gain that PyTorch and transformers also offer, each against the public alternative.

    python benchmarks/beam_parts.py --preset mid --images 32 --rounds 7

Every way captions the same images with `BeamSearch`, in which one part is replaced:

* `plain`: `nn.Linear`, instead of oneDNN with packed weights;
* `unpacked`: oneDNN on the weights as they are;
* `module`: `torch.utils.mkldnn.MkldnnLinear`, which has packed weights and is public;
* `vision`: `Blip2VisionModel.forward` instead of `Encoder._see`;
* `layers`: `OPTDecoderLayer.forward` on the same store, instead of `Decoder.prefill` and `Decoder.step`;
* `stock`: `plain`, `vision` and `layers`;
* `sort`: a stable sort of all scores of an image, instead of `torch.topk` of keys in the best chunks;
* `topk`: `torch.topk`, which defines no order among equal scores.

The ways take turns (benchmarks/rounds.py). Ratios are of processor time of one thread, because that depends least on
other programs on the machine. `--write` puts the result into docs/performance.md.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
import transformers
from torch.utils import mkldnn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import captioning, rounds, workloads
from pytest_claims import beam, libraries
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


def prefill(self: Any, rows: slice, features: Tensor, prompts: Tensor, _: Tensor | None) -> Tensor:
    """`Decoder.prefill` with OPT's own layers, for prompts of one length."""
    embeds = self._decoder.embed_tokens(prompts)
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
    ranked, order = scores.flatten(1).sort(dim=-1, descending=True, stable=True)
    count = self.settings.candidates
    return ranked[..., :count], order[..., :count]


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
    parser.add_argument("--rounds", type=int, default=rounds.FEWEST, help="how often (default: 9; plus one to warm up)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="which of them (default: all)")
    parser.add_argument("--write", action="store_true", help="also replace the preset's section of docs/performance.md")
    options = parser.parse_args()
    if options.write and options.rounds < rounds.FEWEST:
        parser.error(f"--write needs --rounds {rounds.FEWEST} or more")
    rounds.pin(1)
    libraries.keep_freed_memory()
    where = rounds.machine()
    work = workloads.workload(options.preset, options.images)
    settings = beam.BeamSettings.from_generation_config(work.config)
    slots = beam.choose_slots(work.model, settings, prompt_tokens=work.prompt_ids.shape[1], images=len(work.files))
    names = ["ours", *(name for name in options.ways if name != "ours")]
    took, captions = rounds.in_turns({name: _way(name, work, settings, slots) for name in names}, rounds=options.rounds)
    command = f"python benchmarks/beam_parts.py --preset {options.preset} --images {options.images}"
    lines = [
        f"`{command}`, {options.rounds} rounds, one thread, processor time. Machine: {where}.",
        "",
        "| way | processor time | time over ours | equal captions |",
        "| --- | --- | --- | --- |",
    ]
    for name in names:
        ratio = rounds.ratios(took[name], took["ours"], "cpu").ratio()
        same = sum(tokens == captions["ours"][image] for image, tokens in captions[name].items())
        seconds = rounds.middle([run.cpu for run in took[name]]).seconds()
        lines.append(f"| `{name}` | {seconds} | {'' if name == 'ours' else ratio} | {same} of {len(work.files)} |")
    text = "\n".join([*lines, rounds.warn_of_few(options.rounds)]).strip()
    print(text)
    if options.write:
        rounds.rewrite(captioning.DOCUMENT, f"beam_parts {options.preset}", text)


def _way(name: str, work: workloads.Workload, settings: beam.BeamSettings, slots: int) -> Callable[[], Any]:
    """A search in which a part is replaced; it is built once."""

    def patched() -> ExitStack:
        stack = ExitStack()
        for part in WAYS[name]:
            stack.enter_context(mock.patch.object(*part))
        return stack

    with patched():
        search = beam.BeamSearch(work.model, settings, input_ids=work.prompt_ids, slots=slots)

    def run() -> Any:
        with patched():
            return dict(search.run(work.images()))

    return run


if __name__ == "__main__":
    main()
