"""Measure ways to do the same work in turns, and say whether the figures can be believed.

All ways run once per round, in an order that rotates, so that whatever else the machine does meets all of them. Each
run is timed by two clocks: the time that passed, and the processor time of this process. A ratio is the median of the
rounds' ratios. Its spread is the distance between the quartiles of these ratios, as a part of the median. Above `NOISY`,
no ratio is printed: the text is "too noisy".
"""

from __future__ import annotations

import os
import platform
import re
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    T = TypeVar("T")

FEWEST = 9
"""Rounds below which quartiles say little."""
NOISY = 0.05
"""The largest spread of a ratio that is printed."""
CLOCKS = {"cpu": "processor time", "wall": "wall time"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """The seconds of one run by both clocks."""

    wall: float
    cpu: float

    def by(self, clock: str) -> float:
        """The seconds by the clock `wall` or `cpu`."""
        return self.wall if clock == "wall" else self.cpu


@dataclass(frozen=True, slots=True, kw_only=True)
class Middle:
    """The median of several values and their spread, a part of the median."""

    median: float
    spread: float

    @property
    def noisy(self) -> bool:
        """Whether the values differ too much to be reported as one."""
        return not self.spread <= NOISY

    def ratio(self) -> str:
        """The value as a ratio, such as `2.11 × ± 1.2 %`, or that it is too noisy."""
        if self.noisy:
            return f"too noisy (spread {self.spread:.0%})"
        return f"{self.median:.2f} × ± {100 * self.spread / 2:.1f} %"

    def seconds(self) -> str:
        """The value in seconds, with half of the spread."""
        return f"{self.median:.2f} s ± {100 * self.spread / 2:.1f} %"


def middle(values: Sequence[float]) -> Middle:
    """The median and the spread of values; with less than four values, the spread is their whole range."""
    median = statistics.median(values)
    if len(values) < 4:
        return Middle(median=median, spread=(max(values) - min(values)) / median)
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return Middle(median=median, spread=(high - low) / median)


def ratios(above: Sequence[Took], below: Sequence[Took], clock: str) -> Middle:
    """How many times as long one way took as another, from the rounds' ratios."""
    return middle([a.by(clock) / b.by(clock) for a, b in zip(above, below, strict=True)])


def in_turns(
    ways: Mapping[str, Callable[[], T]],
    *,
    rounds: int,
    settle: Callable[[], None] = lambda: None,
    between: Callable[[int], None] = lambda _: None,
) -> tuple[dict[str, list[Took]], dict[str, T]]:
    """Run every way once per round. A first round warms up and is not counted.

    Args:
        ways: the functions by name.
        rounds: how many rounds are counted.
        settle: waits until a device has finished; part of what is timed.
        between: called after each counted round with its number, for measurements that shall meet the same machine.

    Returns:
        The times of each way, one per round, and what its last run returned.
    """
    names = list(ways)
    took: dict[str, list[Took]] = {name: [] for name in names}
    returned: dict[str, T] = {}
    for number in range(rounds + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            wall, cpu = time.perf_counter(), time.process_time()
            returned[name] = ways[name]()
            settle()
            if number:
                took[name].append(Took(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu))
        if number:
            between(number - 1)
    return took, returned


def best_of(function: Callable[[], object], clock: str, *, seconds: float = 0.01, repeats: int = 3) -> float:
    """The seconds of one call: the best of `repeats` series of calls that take at least `seconds`."""
    now = time.perf_counter if clock == "wall" else time.process_time
    function()
    best = float("inf")
    for _ in range(repeats):
        calls, start, passed = 0, now(), 0.0
        while passed < seconds:
            function()
            calls += 1
            passed = now() - start
        best = min(best, passed / calls)
    return best


def pin(threads: int) -> None:
    """Fix the number of threads of PyTorch's operators for the whole run."""
    torch.set_num_threads(threads)
    if torch.get_num_threads() != threads:
        raise SystemExit(f"{threads} threads were asked for, and PyTorch runs {torch.get_num_threads()}.")


def machine() -> str:
    """The CPU's model, what it can do according to PyTorch, the number of CPUs, and the load of other work at the moment."""
    info = Path("/proc/cpuinfo")
    found = (
        re.search(r"^model name\s*:\s*(.+)$", info.read_text(encoding="utf-8"), re.MULTILINE) if info.exists() else None
    )
    model = found[1] if found else platform.processor() or platform.machine()
    load = f", load {os.getloadavg()[0]:.1f} before the run" if hasattr(os, "getloadavg") else ""
    return f"{model}, {torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} CPUs{load}"


def warn_of_few(rounds: int) -> str:
    """A sentence if the number of rounds is too small, else nothing."""
    return (
        f"Only {rounds} rounds: at least {FEWEST} are needed for a figure that is published." if rounds < FEWEST else ""
    )


def rewrite(path: Path, name: str, text: str) -> None:
    """Replace the section `name` of a document: what stands between its two markers.

    Raises:
        SystemExit: the document does not have the markers.
    """
    begin, end = f"<!-- measured: {name} -->", f"<!-- end: {name} -->"
    content = path.read_text(encoding="utf-8")
    if content.count(begin) != 1 or content.count(end) != 1 or content.index(begin) > content.index(end):
        raise SystemExit(f"{path} has no section between {begin} and {end}: add these two lines where it belongs.")
    before, rest = content.split(begin)
    path.write_text(f"{before}{begin}\n{text.strip()}\n{end}{rest.split(end)[1]}", encoding="utf-8")
