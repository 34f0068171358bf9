"""How long a search takes where the threads of PyTorch's operators spin while they wait, and where they sleep.

    python benchmarks/waiting.py
    python benchmarks/waiting.py --preset mid --images 8

OpenMP decides this once, when torch is imported, so each run is a process of its own. Both ways run in turns, on a machine that
is idle as far as this program can tell, and beside as many busy processes as there are CPUs, less one. Wall time counts here,
since waiting is what is compared. `pytest_claims.libraries` lets the threads sleep.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import rounds
from benchmarks.rounds import Took

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
POLICIES = {"": "spin (PyTorch's default)", "PASSIVE": "sleep"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=("shapes", "mid"), default="shapes")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=rounds.FEWEST, help="how often (default: 9; plus one to warm up)")
    parser.add_argument("--write", action="store_true", help="also replace this section of docs/performance.md")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        _one(options)
        return
    where = rounds.machine()
    lines = [
        (
            f"`python benchmarks/waiting.py --preset {options.preset} --images {options.images}`, {options.rounds} "
            f"rounds, {options.threads} threads, wall time. Machine: {where}."
        ),
        "",
        "| the threads | nothing beside it | over sleeping | beside busy processes | over sleeping |",
        "| --- | --- | --- | --- | --- |",
    ]
    idle, busy = (_measured(options, beside=beside) for beside in (0, max(1, (os.cpu_count() or 1) - 1)))
    for policy, name in POLICIES.items():
        cells = [name]
        for took in (idle, busy):
            cells.append(rounds.middle([one.wall for one in took[policy]]).seconds())
            cells.append("" if policy == "PASSIVE" else rounds.ratios(took[policy], took["PASSIVE"], "wall").ratio())
        lines.append("| " + " | ".join(cells) + " |")
    text = "\n".join([*lines, "", rounds.warn_of_few(options.rounds)]).strip()
    print(text)
    if options.write:
        rounds.rewrite(DOCUMENT, f"waiting {options.preset}", text)


def _measured(options: argparse.Namespace, *, beside: int) -> dict[str, list[Took]]:
    took: dict[str, list[Took]] = {policy: [] for policy in POLICIES}
    names = list(POLICIES)
    for number in range(options.rounds + 1):
        turn = number % len(names)
        for policy in names[turn:] + names[:turn]:
            environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
            if policy:
                environment["OMP_WAIT_POLICY"] = policy
            command = [sys.executable, __file__, "--one", f"--preset={options.preset}", f"--images={options.images}"]
            with _busy(beside):
                found = subprocess.run(
                    [*command, f"--threads={options.threads}"],
                    env=environment,
                    check=True,
                    capture_output=True,
                    text=True,
                )
            wall, cpu = map(float, found.stdout.split())
            if number:
                took[policy].append(Took(wall=wall, cpu=cpu))
    return took


@contextmanager
def _busy(count: int) -> Iterator[None]:
    """Processes that do nothing but use a CPU each."""
    with ExitStack() as stack:
        for _ in range(count):
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


def _one(options: argparse.Namespace) -> None:
    """Print the seconds of one search, the second in its process, by both clocks."""
    from benchmarks import workloads
    from pytest_claims.beam import BeamSearch, BeamSettings, choose_slots

    rounds.pin(options.threads)
    work = workloads.workload(options.preset, options.images)
    settings = BeamSettings.from_generation_config(work.config)
    slots = choose_slots(work.model, settings, prompt_tokens=work.prompt_ids.shape[1], images=len(work.files))
    search = BeamSearch(work.model, settings, input_ids=work.prompt_ids, slots=slots)
    dict(search.run(work.images()))
    wall, cpu = time.perf_counter(), time.process_time()
    dict(search.run(work.images()))
    print(time.perf_counter() - wall, time.process_time() - cpu)


if __name__ == "__main__":
    main()
