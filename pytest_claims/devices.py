"""The kinds of devices that a model can run on. No other module asks what kind a device is, or calls `torch.cuda`.

So the code of a GPU can run without one: benchmarks/rehearsal.py puts a class of its own into `KINDS`.
"""

from __future__ import annotations

import os
import platform
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    import torch
    from torch import Tensor

UNKNOWN_MEMORY = 4 * 2**30
"""The number of free bytes that is assumed if the system does not report one."""


class Mark(Protocol):
    """A point in a device's work."""

    def synchronize(self) -> None:
        """Wait until the device has reached it."""


class Device:
    """A CPU. A GPU is a subclass.

    Args:
        device: of the tensors.
    """

    kind: ClassVar[str] = "cpu"
    far: ClassVar[bool] = False
    """Whether it has its own memory, and works while the host goes on. Then each value that the host reads costs a wait."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @property
    def name(self) -> str:
        """The name of the hardware, for the record."""
        return platform.machine()

    @property
    def described(self) -> str:
        """What a user wants to know of it before a run."""
        import torch

        return f"{torch.get_num_threads()} threads"

    def computes_in(self, precision: str) -> bool:
        """Whether it has arithmetic in this precision."""
        del precision
        return True

    def make_current(self) -> None:
        """Let libraries that ask for no device use this one."""

    @classmethod
    def rate(cls, threads: int) -> float:
        """Multiply-adds per second that beam search reaches on large models: an order of magnitude."""
        return 1e10 * threads

    def free_memory(self) -> int:
        """The bytes that can be allocated, roughly. The page cache counts as free, since the system can reclaim it."""
        try:
            for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
        except (OSError, ValueError):
            pass
        try:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
        except (ValueError, OSError, AttributeError):
            return UNKNOWN_MEMORY

    def attention(self) -> AbstractContextManager[None]:
        """Sets which of PyTorch's kernels compute attention. On a CPU there is one."""
        return nullcontext()

    def read(self, values: Tensor) -> list[Any]:
        """The values of a tensor. The only place where the search waits for its device."""
        found: list[Any] = values.tolist()
        return found

    def write(self, values: Sequence[int] | Sequence[Sequence[int]]) -> Tensor:
        """Whole numbers as a tensor on the device, without waiting for it."""
        import torch

        return torch.tensor(values, device=self.device)


class Cuda(Device):
    """A GPU of NVIDIA. These calls have not run on one yet."""

    kind: ClassVar[str] = "cuda"
    far: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """See `Device`."""
        import torch

        return torch.cuda.get_device_name(self.device)

    @property
    def described(self) -> str:
        """See `Device`."""
        return self.name

    def computes_in(self, precision: str) -> bool:
        """See `Device`. GPUs before Ampere have no bfloat16."""
        import torch

        return precision != "bfloat16" or torch.cuda.is_bf16_supported()

    def make_current(self) -> None:
        """See `Device`."""
        import torch

        if self.device.index is not None:
            torch.cuda.set_device(self.device)

    @classmethod
    def rate(cls, threads: int) -> float:  # noqa: ARG003 - the host's
        """See `Device`. It is far below the peak of a large GPU, which mostly waits for memory here."""
        return 2e13

    def free_memory(self) -> int:
        """See `Device`. PyTorch's allocator reserves memory that no tensor uses at the moment; the next tensor can have it."""
        import torch

        free, _ = torch.cuda.mem_get_info(self.device)
        return int(free + torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device))

    def attention(self) -> AbstractContextManager[None]:
        """See `Device`.

        cuDNN is left out: it builds a plan for every new shape, and the number of images that are encoded together varies.
        Flash attention serves vision model and prefix, and the memory-efficient kernel the steps and the Q-Former, since flash
        attention takes neither a mask nor float32. The last one, which writes all scores to memory, is for sizes that no other
        takes; those of the paper's models are taken (tests/beam/test_rehearsal.py).
        """
        from torch.nn.attention import SDPBackend, sdpa_kernel

        return sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])

    def write(self, values: Sequence[int] | Sequence[Sequence[int]]) -> Tensor:
        """See `Device`. Only a copy from page-locked memory does not wait, and its allocator keeps the memory until then."""
        import torch

        return torch.tensor(values, pin_memory=True).to(self.device, non_blocking=True)

    def locked(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Page-locked memory of the host."""
        import torch

        return torch.empty(shape, dtype=dtype, pin_memory=True)

    def mark(self) -> Mark:
        """A mark behind all work that the device was given so far."""
        import torch

        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(self.device))
        return event

    def capture(self, work: Callable[[], None], pool: Any) -> Any:
        """The graph of the kernels that `work` launches. They do not run.

        PyTorch's own stream for captures is one of the current device, which may be another; so the graph gets a stream here.
        After an error, PyTorch (2.13, `torch.cuda.graph.__exit__`) leaves its stream set, on which all later work would run; so
        the stream is set back here.

        Args:
            work: is called once.
            pool: of memory, from `pool()` of an earlier graph, or None.
        """
        import torch

        before = torch.cuda.current_stream(self.device)
        graph = torch.cuda.CUDAGraph()
        try:
            # thread_local: threads that prepare images may use CUDA's host memory during the capture
            with (
                torch.cuda.device(self.device),
                torch.cuda.graph(
                    graph, pool=pool, stream=torch.cuda.Stream(self.device), capture_error_mode="thread_local"
                ),
            ):
                work()
        except RuntimeError:
            torch.cuda.set_stream(before)
            raise
        return graph


KINDS: dict[str, type[Device]] = {"cpu": Device, "cuda": Cuda}
"""The class of each kind of device that PyTorch names."""


def of(device: torch.device) -> Device:
    """What is known of a device."""
    return KINDS[device.type](device)


def count() -> int:
    """How many GPUs there are."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def release() -> None:
    """Give memory back that PyTorch keeps for later tensors on GPUs."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
