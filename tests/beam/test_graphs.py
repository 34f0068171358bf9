"""What a GPU would do, as far as a CPU can tell: functions of `torch.cuda` are replaced, and no kernel runs on a GPU here."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend

from pytest_claims import devices
from pytest_claims.beam import BeamSearch, BeamSettings, choose_slots
from pytest_claims.beam.encoder import Pinned
from pytest_claims.beam.graphs import WIDTH, Graphs, is_out_of_memory, row_buckets
from tests.tiny_models import EOS, PAD, prompt_ids, random_blip2, random_images

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = BeamSettings(
    num_beams=5, max_new_tokens=14, min_new_tokens=1, length_penalty=1.0, repetition_penalty=1.0,
    early_stopping=False, eos_token_ids=(EOS,), pad_token_id=PAD,
)  # fmt: skip

GPU = devices.Cuda(torch.device("cuda", 1))


class FakeCuda:
    """The functions of `torch.cuda` that `Graphs` calls: a stack of streams, and captures that record or fail."""

    def __init__(self) -> None:
        self.stream: Any = "main"
        self.captured = 0
        self.error: RuntimeError | None = None
        self.executing = True
        self.device: list[torch.device] = []

    @contextmanager
    def graph(self, graph: Any, *, stream: torch.device, **_: Any) -> Iterator[None]:
        """As `torch.cuda.graph`: after an error in a capture, the stream is not set back and another error is raised."""
        assert stream == self.device[-1], "the stream is one of the device that is captured"
        self.stream, self.executing, self.captured = "capture", False, self.captured + 1
        try:
            yield
        except RuntimeError as error:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture") from error
        finally:
            self.executing = True
        graph.recorded = True
        self.stream = "main"

    @contextmanager
    def current(self, device: torch.device) -> Iterator[None]:
        """As `torch.cuda.device`."""
        self.device.append(device)
        try:
            yield
        finally:
            self.device.pop()


class FakeGraph:
    """Counts replays."""

    replays: int = 0

    def pool(self) -> tuple[int, int]:
        """A handle."""
        return (0, 1)

    def replay(self) -> None:
        """Count."""
        FakeGraph.replays += 1


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    monkeypatch.setattr(FakeGraph, "replays", 0)
    monkeypatch.setattr(torch.cuda, "graph", fake.graph)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _=None: fake.stream)
    monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: setattr(fake, "stream", stream))
    monkeypatch.setattr(torch.cuda, "device", fake.current)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: device)
    return fake


class Steps:
    """Steps that are executed, or fail while they are captured."""

    def __init__(self, cuda: FakeCuda) -> None:
        self.cuda = cuda
        self.executed: list[tuple[str, int, int]] = []

    def __call__(self, rows: int, width: int) -> None:
        """Run, or be captured."""
        if self.cuda.executing:
            self.executed.append((self.cuda.stream, rows, width))
        elif self.cuda.error is not None:
            raise self.cuda.error


def test_a_step_is_warm_then_captured_then_replayed(cuda: FakeCuda) -> None:
    """The first step of a kind runs, the second is captured and replayed, later ones are replayed; each step happens once."""
    steps = Steps(cuda)
    graphs = Graphs(16, GPU)
    for _ in range(4):
        graphs.decode(steps, 13, 128)
    assert steps.executed == [("main", 16, 128)]
    assert (cuda.captured, FakeGraph.replays) == (1, 3)


def test_few_graphs(cuda: FakeCuda) -> None:
    """However many images are in use and however far they are, a search for a paper's captions has at most four graphs."""
    steps, graphs = Steps(cuda), Graphs(256, GPU)
    widths = {min(-(-(36 + 5 * step) // WIDTH) * WIDTH, 192) for step in range(31)}
    for _ in range(2):
        for count in range(1, 257):
            for width in widths:
                graphs.decode(steps, count, width)
    assert cuda.captured == len(row_buckets(256)) * len(widths) == 4
    assert row_buckets(1) == (1,)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: operation not permitted when stream is capturing"),
    ],
)
def test_a_capture_that_fails_for_memory_runs_without_a_graph(cuda: FakeCuda, error: RuntimeError) -> None:
    """The stream is the one before, the step is executed there, once for each call, and the capture is not tried again."""
    steps = Steps(cuda)
    graphs = Graphs(16, GPU)
    graphs.decode(steps, 16, 128)
    cuda.error = error
    for _ in range(3):
        graphs.decode(steps, 16, 128)
        assert cuda.stream == "main"
    assert steps.executed == [("main", 16, 128)] * 4
    assert (cuda.captured, FakeGraph.replays) == (1, 0)
    cuda.error = None
    for _ in range(3):  # another kind of step still has its graph
        graphs.decode(steps, 2, 128)
    assert (cuda.captured, FakeGraph.replays) == (2, 2)


def test_another_error_in_a_capture_is_raised(cuda: FakeCuda) -> None:
    """What is not about memory is not hidden: the step raises it again where it runs without a graph."""

    def broken(_rows: int, _width: int) -> None:
        if cuda.captured:
            raise RuntimeError("expected scalar type Half but found Float")

    graphs = Graphs(16, GPU)
    graphs.decode(broken, 16, 128)
    with pytest.raises(RuntimeError, match="expected scalar type Half"):
        graphs.decode(broken, 16, 128)
    assert cuda.stream == "main"


def test_out_of_memory_is_recognised_behind_other_errors() -> None:
    """Whether it is the cause or the context of another error, and at any depth; a circle of errors has an end."""
    memory = RuntimeError("CUBLAS_STATUS_ALLOC_FAILED")
    middle = RuntimeError("capture failed")
    middle.__context__, middle.__cause__ = memory, ValueError("something else")
    top = RuntimeError("step failed")
    top.__cause__ = middle
    assert is_out_of_memory(top)
    memory.__context__ = top
    assert is_out_of_memory(middle)
    lone = RuntimeError("shape mismatch")
    lone.__context__ = lone
    assert not is_out_of_memory(lone)


# --- the search's side -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> Any:
    return random_blip2(seed=2)


def test_a_step_waits_for_nothing(model: Any) -> None:
    """No value of a step leaves the device: with tensors that have no values, the step runs, so it can be captured."""
    search: Any = BeamSearch(model, SETTINGS, input_ids=prompt_ids(model), slots=4)
    list(search.run(random_images(2)))
    with FakeTensorMode(allow_non_fake_inputs=True), torch.inference_mode():
        search._decode(4, search._decoder.width)


def test_cudnn_builds_no_plans(model: Any) -> None:
    """On a GPU, attention is never cuDNN's, which builds a plan for each shape; on a CPU nothing is changed."""
    del model
    allowed: dict[Any, Any] = {
        SDPBackend.FLASH_ATTENTION: torch.backends.cuda.flash_sdp_enabled,
        SDPBackend.EFFICIENT_ATTENTION: torch.backends.cuda.mem_efficient_sdp_enabled,
        SDPBackend.MATH: torch.backends.cuda.math_sdp_enabled,
        SDPBackend.CUDNN_ATTENTION: torch.backends.cuda.cudnn_sdp_enabled,
    }
    before = {kernel: enabled() for kernel, enabled in allowed.items()}
    with devices.of(torch.device("cpu")).attention():
        assert {kernel: enabled() for kernel, enabled in allowed.items()} == before
    with GPU.attention():
        assert [kernel for kernel, enabled in allowed.items() if not enabled()] == [SDPBackend.CUDNN_ATTENTION]
    assert {kernel: enabled() for kernel, enabled in allowed.items()} == before


def test_a_page_locked_buffer_is_filled_again_only_after_its_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two buffers take turns; before one is filled, its own copy is waited for, and no other. Values arrive as they are."""
    log: list[str] = []

    class Event:
        count = 0

        def __init__(self) -> None:
            Event.count += 1
            self.name = f"{Event.count}"

        def record(self, _stream: Any) -> None:
            log.append(f"copy {self.name}")

        def synchronize(self) -> None:
            log.append(f"wait {self.name}")

    made: list[tuple[int, ...]] = []
    empty = torch.empty

    def locked(shape: Any, *, dtype: torch.dtype, pin_memory: bool = False) -> torch.Tensor:
        if pin_memory:
            made.append(tuple(shape))
        return empty(shape, dtype=dtype)

    monkeypatch.setattr(torch, "empty", locked)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: SimpleNamespace())
    upload = Pinned(devices.Cuda(torch.device("cpu")))
    images = [pixels for _, pixels in random_images(4)]
    for count in (4, 2, 4, 1):
        batch = images[:count]
        assert torch.equal(upload(batch), torch.stack(batch))
    assert log == ["copy 1", "copy 2", "wait 1", "copy 3", "wait 2", "copy 4"]
    assert made == [(4, 3, 28, 28), (2, 3, 28, 28)]


def test_graphs_and_encoding_count_as_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU, memory for the steps counts twice, since graphs have a pool of their own, and so do images that wait."""
    model = random_blip2(seed=2)
    free = 400_000_000

    def slots() -> int:
        return choose_slots(model, SETTINGS, prompt_tokens=8, images=10**6, free_bytes=free)

    monkeypatch.setattr("pytest_claims.beam.capacity.most_slots", lambda _: 10**6)
    on_cpu = slots()

    class OnGpu:
        """The model's first parameter, on another device."""

        device = torch.device("cuda")
        element_size = staticmethod(lambda: 4)

    monkeypatch.setattr(type(model.language_model), "parameters", lambda _: iter([OnGpu()]))
    on_gpu = slots()
    store, waiting = 2 * 2 * 78 * 32 * 4, 2 * 2 * (8 + 5) * 32 * 4
    step = 5 * 120 * 12 + 5 * 4 * (2 * 32 + max(3 * 32, 2 * 64))
    encoding = 4 * (400_000 // (5 * 24)) * 5 * (2 * 24 + 5 * 24)
    assert on_cpu == int(free * 0.7 - encoding) // (store + step)
    assert on_gpu == int(free * 0.7 - encoding) // (store + waiting + 2 * step)
