"""A run on a GPU, rehearsed without one: tensors without values that say they are on `cuda` go through the code of a run.

    python benchmarks/rehearsal.py --model blip2-opt-2.7b --images 256

PyTorch's `FakeTensorMode` computes the shape, dtype and device of each result, and refuses an operator whose tensors are on
different devices. Around it, a `Recorder` sees every operator: what it reads, writes and allocates, whether the host waits for
the device, and which dtypes meet. The class `Rehearsed` takes the place of `devices.Cuda`, and does without the driver.

What it cannot show: time, the values of captions, and errors of drivers and kernels.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import sys
import weakref
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from unittest import mock

import torch
import transformers
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils import flop_counter
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import kernels, phases  # noqa: E402 - the checkout is rehearsed, installed or not
from pytest_claims import devices  # noqa: E402 - as above
from pytest_claims.beam import BeamSearch, BeamSettings, choose_slots  # noqa: E402 - as above
from pytest_claims.beam.turnover import LOOK  # noqa: E402 - as above
from pytest_claims.sources.quiet import transformers_quiet  # noqa: E402 - as above

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor

    from benchmarks.kernels import Call

CONFIGS = ROOT / "claims" / "blip2" / "configs"
MEMORY = 80 * 10**9
"""Bytes of the GPU that is rehearsed, if nothing else is said: an H100's."""
COPIES = ("_to_copy", "copy_")
PICKING = ("embedding", "index", "gather", "index_select", "index_copy_", "index_put_", "scatter_")
"""Operators that read or write only the part of a tensor that an index names."""
VALUES: dict[Any, Callable[[Any], Any]] = {
    torch.Tensor.item: lambda value: value,
    torch.Tensor.__bool__: bool,
    torch.Tensor.__int__: int,
    torch.Tensor.__index__: int,
    torch.Tensor.__float__: float,
}
"""Methods that give a value to the host."""


class RefusedError(Exception):
    """An operator that must not be captured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One launch of an operator that computes something: views are none."""

    phase: str
    name: str
    flops: int
    read: int
    """Bytes."""
    written: int
    """Bytes."""
    allocated: int
    """Bytes of new tensors."""
    dtypes: tuple[torch.dtype, ...]
    """The floating dtypes of its inputs that have dimensions."""
    shapes: tuple[tuple[int, ...], ...]
    """Of its inputs."""


class Recorder(TorchDispatchMode):
    """Sees every operator below it.

    Args:
        answer: the value that the host reads from a tensor that has none; default: zeros.
    """

    def __init__(self, answer: Callable[[Tensor], Any] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch does not annotate it
        self.answer = answer or zeros
        self.kernels: list[Kernel] = []
        self.waits: list[tuple[str, str]] = []
        """Where the host waits for the device: the phase and the reason."""
        self.attention: list[Call] = []
        self.phase = phases.REST
        self.replays = 0
        """Graphs that were launched."""
        self.capture: set[int] | None = None
        """What a captured region has allocated and not freed; None outside of one."""
        self.in_use = self.peak = 0
        """Bytes of the device that are allocated, and the most that were at a time since `forget`."""
        self._allocations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Record an operator, and run it."""
        del types
        kwargs = kwargs or {}
        if (
            torch.is_inference_mode_enabled() and func.namespace == "aten"
        ):  # there, an operator that is made of others arrives whole
            with self:
                composed = func.decompose(*args, **kwargs)
            if composed is not NotImplemented:
                return composed
        name = func._schema.name.removeprefix("aten::")
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        far = [tensor for tensor in inputs if tensor.is_cuda]
        if self.capture is not None:
            _refuse(func, name, inputs)
        if name == "_local_scalar_dense" and far:
            self.wait("a value is read")
            return self.answer(far[0])
        found = func(*args, **kwargs)
        outputs = [leaf for leaf in tree_leaves(found) if isinstance(leaf, torch.Tensor)]
        self._copied(name, inputs, outputs, kwargs)
        if name in ("nonzero", "masked_select", "unique_dim", "_unique2") and far:
            self.wait(f"{name} has a size that the device decides")
        if any(tensor.is_cuda for tensor in (*inputs, *outputs)):
            self._record(func, name, inputs, outputs, args, kwargs, found)
        return found

    def read(self, values: Tensor) -> Any:
        """The values of a tensor, for which the host waits."""
        self.wait("values are read")
        return self.answer(values)

    def wait(self, reason: str) -> None:
        """Note that the host waits for the device."""
        if self.capture is not None:
            raise RefusedError(f"A captured region must not wait for the device: {reason}.")
        self.waits.append((self.phase, reason))

    def forget(self) -> None:
        """Start again, with what is alive now."""
        self.kernels.clear()
        self.waits.clear()
        self.attention.clear()
        self.peak = self.in_use

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Count what happens inside for a phase."""
        before, self.phase = self.phase, phase
        try:
            yield
        finally:
            self.phase = before

    @contextmanager
    def captured(self) -> Iterator[None]:
        """A region that a CUDA graph captures.

        It may use memory: a graph has a pool of its own. But a replay runs the same kernels at the same addresses, so nothing
        in it may wait for the device, touch the host's memory, or have a size that the device decides. Whatever it allocates
        must be free again at its end, because the next replay uses the pool's memory again.

        Raises:
            RefusedError: the region does one of these.
        """
        self.capture = set()
        try:
            yield
            if self.capture:
                raise RefusedError(f"{len(self.capture)} tensors that a captured region has allocated outlive it.")
        finally:
            self.capture = None

    def _copied(
        self, name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], kwargs: Mapping[str, Any]
    ) -> None:
        """Note a copy between host and device that waits: each that is not asynchronous."""
        if name not in COPIES or not inputs:
            return
        source, target = (inputs[-1], inputs[0]) if name == "copy_" else (inputs[0], outputs[0])
        if source.is_cuda != target.is_cuda and not kwargs.get("non_blocking"):
            self.wait("a copy from the device" if source.is_cuda else "a copy to the device from pageable memory")

    def _record(
        self,
        func: Any,
        name: str,
        inputs: list[Tensor],
        outputs: list[Tensor],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        found: Any,
    ) -> None:
        known = {tensor.untyped_storage()._cdata for tensor in inputs}
        fresh = {
            storage._cdata: storage
            for tensor in outputs
            if tensor.is_cuda and (storage := tensor.untyped_storage())._cdata not in known
        }
        mutates = func._schema.is_mutable
        if not fresh and not mutates:
            return  # a view
        allocated = sum(self._allocated(storage) for storage in fresh.values())
        formula = flop_counter.flop_registry.get(func._overloadpacket)
        read, written = _traffic(name, inputs, outputs, mutates=mutates)
        self.kernels.append(
            Kernel(
                phase=self.phase,
                name=name,
                flops=int(formula(*args, **kwargs, out_val=found)) if formula else 0,
                read=read,
                written=written,
                allocated=allocated,
                dtypes=tuple(sorted({t.dtype for t in inputs if t.is_floating_point() and t.dim()}, key=str)),
                shapes=tuple(tuple(tensor.shape) for tensor in inputs),
            )
        )

    def _allocated(self, storage: torch.UntypedStorage) -> int:
        """Note new memory, and that it is free again when nothing holds it."""
        self._allocations += 1
        number, size, region = self._allocations, storage.nbytes(), self.capture

        def freed() -> None:
            self.in_use -= size
            if region is not None:
                region.discard(number)

        weakref.finalize(storage, freed)
        if region is not None:
            region.add(number)
        self.in_use += size
        self.peak = max(self.peak, self.in_use)
        return size


def to_the_end(search: BeamSearch, images: int) -> Callable[[Tensor], Any]:
    """What the host reads in a search in which every caption is as long as it may be, and each image has a slot."""
    turnover: Any = search._turnover
    most: int = search._settings.max_new_tokens
    looks = 0

    def answer(tensor: Tensor) -> list[float]:
        nonlocal looks
        assert tensor.shape[0] == turnover._table.numel() + 2 * (turnover.slots + 1) + 2  # noqa: S101 - it reads nothing else
        looks += 1
        step = min(1 + looks * LOOK, most)
        row = [float(step == most), float(most), -1.0, *[0.0] * most]
        tickets = turnover._nobody + 1
        seats = [*range(images), *[turnover._nobody] * (turnover.slots + 1 - images)]
        return [*row * tickets, *seats, *[step] * (turnover.slots + 1), 0, 0]

    return answer


def zeros(tensor: Tensor) -> Any:
    """What `tolist` gives of a tensor of zeros."""
    found: Any = 0
    for size in reversed(tensor.shape):
        found = [found] * size
    return found


def _refuse(func: Any, name: str, inputs: Sequence[Tensor]) -> None:
    """Refuse an operator that a graph cannot replay.

    Raises:
        RefusedError: it is one.
    """
    by_number = name == "index" and not any(tensor.dtype in (torch.bool, torch.uint8) for tensor in inputs[1:])
    if {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(func.tags) and not by_number:
        raise RefusedError(f"{name} has a result whose size or value the device decides.")
    if any(tensor.dim() and not tensor.is_cuda for tensor in inputs):
        raise RefusedError(f"{name} touches the host's memory.")


def _size(tensor: Tensor) -> int:
    """Bytes of a tensor in memory: a dimension that is expanded counts once."""
    numbers = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        numbers *= size if stride else 1
    return numbers * tensor.element_size()


def _traffic(name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], *, mutates: bool) -> tuple[int, int]:
    """The bytes that an operator reads and writes, if each input is read once and each result written once."""
    if name in PICKING and mutates:  # the target, then indices and values: only what is put is written
        moved = max((_size(tensor) for tensor in inputs[1:] if tensor.dtype == inputs[0].dtype), default=0)
        return moved + sum(_size(tensor) for tensor in inputs[1:] if tensor.dtype != inputs[0].dtype), moved
    if name in PICKING:  # the source, then indices: only what is picked is read
        moved = sum(map(_size, outputs))
        return moved + sum(map(_size, inputs[1:])), moved
    if mutates:
        target = _size(inputs[0])
        return sum(map(_size, inputs[1:])) + (0 if name in ("copy_", "fill_", "zero_") else target), target
    return sum(map(_size, inputs)), sum(map(_size, outputs))


class Kernels(TorchFunctionMode):
    """Calls the attention kernel that a GPU would. A PyTorch without CUDA would break the call into products and a softmax."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Choose the kernel of an attention call, and note it."""
        del types
        kwargs = kwargs or {}
        if func is torch.Tensor.tolist and not isinstance(args[0], FakeTensor):
            with _disable_current_modes():  # a tensor of the host, made outside, has values
                return func(*args)
        if func in VALUES and args[0].is_cuda:
            return VALUES[func](self._recorder.read(args[0]))
        if func is functional.scaled_dot_product_attention and args[0].is_cuda:
            return self._attend(*args, **kwargs)
        return func(*args, **kwargs)

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        assert not dropout_p  # noqa: S101 - models are in evaluation mode
        assert not enable_gqa  # noqa: S101 - no language model here has it
        call = kernels.choose(self._recorder.phase, query, key, value, attn_mask, causal=is_causal)
        self._recorder.attention.append(call)
        aten: Any = torch.ops.aten
        if call.kernel == kernels.FLASH:
            result = aten._scaled_dot_product_flash_attention(query, key, value, 0.0, is_causal, scale=scale)[0]
        elif call.kernel == kernels.EFFICIENT:
            shape = (*query.shape[:3], key.shape[-2])
            bias = None if attn_mask is None else (attn_mask.clone() if call.copies_mask else attn_mask).expand(shape)
            result = aten._scaled_dot_product_efficient_attention(
                query, key, value, bias, False, 0.0, is_causal, scale=scale
            )[0]
        else:
            result = aten._scaled_dot_product_attention_math(query, key, value, attn_mask, 0.0, is_causal, scale=scale)[
                0
            ]
        found: Tensor = result
        return found


class Graph:
    """A captured step. A replay launches its kernels again."""

    def __init__(self, recorder: Recorder, launched: list[Kernel], attention: list[Call]) -> None:
        self._recorder = recorder
        self._launched, self._attention = launched, attention

    def pool(self) -> tuple[int, int]:
        """A handle, which means nothing here."""
        return (0, 1)

    def replay(self) -> None:
        """Count the kernels."""
        self._recorder.kernels += self._launched
        self._recorder.attention += self._attention
        self._recorder.replays += 1


class _Mark:
    def synchronize(self) -> None:
        """Return at once: a copy that began two batches ago has ended long before."""


class Rehearsed(devices.Cuda):
    """A GPU without a chip. `rehearsal` sets what it tells to."""

    recorder: ClassVar[Recorder]
    memory: ClassVar[int] = MEMORY

    @property
    def name(self) -> str:
        """See `Device`."""
        return "rehearsed"

    def free_memory(self) -> int:
        """See `Device`."""
        return self.memory

    def read(self, values: Tensor) -> list[Any]:
        """See `Device`."""
        found: list[Any] = self.recorder.read(values)
        return found

    def write(self, values: Sequence[int] | Sequence[Sequence[int]]) -> Tensor:
        """See `Device`."""
        return torch.tensor(values).to(self.device, non_blocking=True)

    def locked(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """See `Cuda`."""
        return torch.empty(shape, dtype=dtype)

    def mark(self) -> devices.Mark:
        """See `Cuda`."""
        return _Mark()

    def capture(self, work: Callable[[], None], pool: Any) -> Any:
        """See `Cuda`. What a graph must not contain is refused. A capture runs nothing, so only replays are counted."""
        del pool
        recorder = self.recorder
        launched, calls = len(recorder.kernels), len(recorder.attention)
        with recorder.captured():
            work()
        graph = Graph(recorder, recorder.kernels[launched:], recorder.attention[calls:])
        del recorder.kernels[launched:]
        del recorder.attention[calls:]
        return graph


@contextmanager
def _guarded() -> Iterator[None]:
    """Lets tensors that say they are on `cuda` be indexed by a PyTorch that was built without CUDA.

    Before it indexes a tensor, PyTorch makes the tensor's device the current one. `FakeTensorMode` provides for a machine
    without a GPU (`_ensureCUDADeviceGuardSet`), but not for a build without CUDA, which has nothing registered for that
    device. The CPU's entry, which does nothing, takes its place here (c10/core/impl/DeviceGuardImplInterface.h, in the order
    of c10/core/DeviceType.h: CPU, CUDA).
    """
    if torch.backends.cuda.is_built():
        yield
        return
    library = ctypes.CDLL(str(next((Path(torch.__file__).parent / "lib").glob("libc10.*"))))
    registry = (ctypes.c_void_p * 2).in_dll(library, "_ZN3c104impl26device_guard_impl_registryE")
    before = registry[1]
    registry[1] = registry[0]
    try:
        yield
    finally:
        registry[1] = before


@contextmanager
def rehearsal(
    *, answer: Callable[[Tensor], Any] | None = None, memory: int = MEMORY, device: type[Rehearsed] = Rehearsed
) -> Iterator[Recorder]:
    """Tensors made inside have no values, and may say that they are on `cuda`.

    Args:
        answer: as for `Recorder`.
        memory: bytes of the GPU.
        device: what takes the place of `devices.Cuda`.
    """
    recorder = Recorder(answer)
    bound: Any = type("Bound", (device,), {"recorder": recorder, "memory": memory})
    with ExitStack() as stack:
        stack.enter_context(mock.patch.dict(devices.KINDS, cuda=bound))
        stack.enter_context(mock.patch.object(FakeTensor, "tolist", recorder.read))
        for name, owner, method in phases.PARTS:
            stack.enter_context(mock.patch.object(owner, method, _within(recorder, name, getattr(owner, method))))
        stack.enter_context(_guarded())
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(recorder)
        stack.enter_context(Kernels(recorder))
        yield recorder


def _within(recorder: Recorder, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*arguments: Any, **named: Any) -> Any:
        with recorder.during(phase):
            return function(*arguments, **named)

    return counted


def configuration(name: str, *, layers: int | None = None, image_size: int | None = None) -> transformers.Blip2Config:
    """A configuration that ships with the claims.

    Args:
        name: such as `blip2-opt-2.7b`.
        layers: of each part, instead of the true number; widths stay.
        image_size: instead of the file's.
    """
    content = json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))
    if image_size is not None:
        content["vision_config"]["image_size"] = image_size
    if layers is not None:
        for part in ("vision_config", "qformer_config", "text_config"):
            for key in {"num_hidden_layers", "num_layers", "num_decoder_layers"} & content[part].keys():
                content[part][key] = layers
    return transformers.Blip2Config.from_dict(content)


def model(config: transformers.Blip2Config, *, dtype: torch.dtype, device: str = "cuda:0") -> Any:
    """A model as `from_pretrained` loads it in a precision, inside a rehearsal: it decides which modules stay in float32."""
    make: Any = transformers.Blip2ForConditionalGeneration
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in make(config).named_parameters()}
    weights = {name: torch.empty(shape, dtype=dtype) for name, shape in shapes.items()}
    # Tensors without values belong to one thread
    with transformers_quiet(), mock.patch.dict(os.environ, HF_DEACTIVATE_ASYNC_LOAD="1"):
        made = make.from_pretrained(None, config=config, state_dict=weights, dtype=dtype)
    # `Module.to` swaps tensors, which those without values do not allow
    moved: dict[int, Any] = {}
    for module in made.modules():
        for held in (module._parameters, module._buffers):
            for name, tensor in held.items():
                if tensor is not None and id(tensor) not in moved:
                    there = tensor.detach().to(device)
                    moved[id(tensor)] = torch.nn.Parameter(there, False) if held is module._parameters else there
                held[name] = None if tensor is None else moved[id(tensor)]
    return made.eval()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What a run of a model would do on a GPU."""

    slots: int
    prompt: int
    weights: int
    """Bytes of the device before the run, buffers included."""
    peak: int
    """The most bytes of the device during the run."""
    steps: int
    kernels: tuple[Kernel, ...]
    waits: tuple[tuple[str, str], ...]
    attention: tuple[Call, ...]

    def mixed(self) -> set[tuple[str, str]]:
        """Phase and name of kernels whose inputs have more than one floating dtype."""
        return {
            (found.phase, found.name) for found in self.kernels if len(found.dtypes) > 1 and found.name not in COPIES
        }


def captioned(
    name: str,
    *,
    slots: int | None = None,
    layers: int | None = None,
    image_size: int | None = None,
    tokens: int = 30,
    dtype: torch.dtype = torch.float16,
    memory: int = MEMORY,
    device: str = "cuda:0",
) -> Rehearsal:
    """Rehearse our search on as many images as it has slots, from the first prefix to the last token.

    Args:
        name: of a configuration that ships with the claims.
        slots: default: what the search chooses for the memory.
        layers: of each part, instead of the true number.
        image_size: instead of the configuration's.
        tokens: of the longest caption.
        dtype: of the model.
        memory: bytes of the GPU.
        device: as PyTorch names it.
    """
    config = configuration(name, layers=layers, image_size=image_size)
    settings = BeamSettings(
        num_beams=5,
        max_new_tokens=tokens,
        min_new_tokens=1,
        length_penalty=1.0,
        repetition_penalty=1.0,
        early_stopping=False,
        eos_token_ids=(50118,),
        pad_token_id=1,
    )
    ids = torch.tensor([[*[config.image_token_id] * config.num_query_tokens, 2, 102, 1345, 9]])
    with rehearsal(memory=memory) as recorder:
        made = model(config, dtype=dtype, device=device)
        slots = slots or choose_slots(made, settings, prompt_tokens=ids.shape[1], free_bytes=memory - recorder.in_use)
        search = BeamSearch(made, settings, input_ids=ids, slots=slots)
        size = made.config.vision_config.image_size
        images = [(f"i{number}", torch.empty(3, size, size, dtype=dtype)) for number in range(slots)]
        recorder.answer = to_the_end(search, slots)
        recorder.forget()
        weights = recorder.in_use
        found = list(search.run(images))
        assert [len(row) for _, row in found] == [tokens] * slots  # noqa: S101 - the rehearsal itself
        return Rehearsal(
            slots=slots,
            prompt=ids.shape[1],
            weights=weights,
            peak=recorder.peak,
            steps=tokens - 1,
            kernels=tuple(recorder.kernels),
            waits=tuple(recorder.waits),
            attention=tuple(recorder.attention),
        )


def generated(
    name: str,
    *,
    batch: int,
    layers: int | None = None,
    tokens: int = 30,
    dtype: torch.dtype = torch.float16,
    device: str = "cuda:0",
) -> Rehearsal:
    """Rehearse `generate` on one batch, which decodes what our search does not; the arguments are those of `captioned`."""
    config = configuration(name, layers=layers)
    ids = torch.tensor([[*[config.image_token_id] * config.num_query_tokens, 3, 9, 1202, 13, 1]])
    steps = 0
    mixin: Any = transformers.GenerationMixin

    def unfinished(*_: Any, **__: Any) -> bool:
        nonlocal steps
        steps += 1
        recorder.wait("`generate` asks whether all captions are finished")
        return steps < tokens

    with (
        rehearsal() as recorder,
        mock.patch.object(mixin, "_beam_search_has_unfinished_sequences", unfinished),
    ):
        made = model(config, dtype=dtype, device=device)
        recorder.forget()
        weights = recorder.in_use
        size = made.config.vision_config.image_size
        pixels = torch.empty(batch, 3, size, size, dtype=dtype).to(device, non_blocking=True)
        fed = ids.to(device, non_blocking=True).expand(batch, -1)
        with torch.inference_mode():
            made.generate(
                pixel_values=pixels,
                input_ids=fed,
                attention_mask=torch.ones_like(fed),
                num_beams=5,
                max_new_tokens=tokens,
                do_sample=False,
            )
        return Rehearsal(
            slots=batch,
            prompt=ids.shape[1],
            weights=weights,
            peak=recorder.peak,
            steps=steps,
            kernels=tuple(recorder.kernels),
            waits=tuple(recorder.waits),
            attention=tuple(recorder.attention),
        )


def main() -> None:
    """Rehearse and print."""
    parser = argparse.ArgumentParser(description="A captioning run on a GPU, rehearsed without one.")
    parser.add_argument(
        "--model", default="blip2-opt-2.7b", choices=sorted(path.stem for path in CONFIGS.glob("*.json"))
    )
    parser.add_argument("--slots", type=int, help="images decoded at a time (default: chosen for the memory)")
    parser.add_argument("--layers", type=int, help="of each part, instead of the true number")
    parser.add_argument("--tokens", type=int, default=30, help="of every caption (default: 30)")
    parser.add_argument("--memory", type=int, default=MEMORY, help="bytes of the GPU (default: 80 GB)")
    given = parser.parse_args()
    options = {"layers": given.layers, "tokens": given.tokens}
    if "opt" in given.model:
        found = captioned(given.model, slots=given.slots, memory=given.memory, **options)
    else:
        found = generated(given.model, batch=given.slots or 16, **options)
    print(told(found))


def told(found: Rehearsal) -> str:
    """A rehearsal in Markdown."""
    reasons = Counter(found.waits)
    lines = [
        f"{found.slots} images, prompt of {found.prompt} tokens, {found.steps} steps.",
        f"{found.weights / 1e9:.2f} GB before the run, {found.peak / 1e9:.2f} GB at most.",
        f"The host waits {len(found.waits)} times:",
        "",
        *(f"* {count} x {phase}: {reason}" for (phase, reason), count in reasons.items()),
        "",
        "| phase | kernels | TFLOP | GB read | GB written | GB allocated | float dtypes |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for phase in dict.fromkeys(kernel.phase for kernel in found.kernels):
        of = [kernel for kernel in found.kernels if kernel.phase == phase]
        kinds = sorted({str(kind).removeprefix("torch.") for kernel in of for kind in kernel.dtypes})
        sums = [sum(getattr(k, name) for k in of) for name in ("flops", "read", "written", "allocated")]
        cells = [
            phase,
            str(len(of)),
            f"{sums[0] / 1e12:.3f}",
            *(f"{each / 1e9:.2f}" for each in sums[1:]),
            ", ".join(kinds),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "| attention | kernel | queries | keys | dtype | mask | calls |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for call, count in Counter(found.attention).items():
        mask = "yes" if call.masked else "causal" if call.causal else ""
        kind = str(call.dtype).removeprefix("torch.")
        lines.append(f"| {call.phase} | {call.kernel} | {call.query} | {call.keys} | {kind} | {mask} | {count} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
