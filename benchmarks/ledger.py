"""The ledger with 100,000 verdicts, and writers that are killed.

    python -m benchmarks.ledger size [--verdicts 100000] [--claims 1000]
    python -m benchmarks.ledger kill [--kills 30]

`size` makes a ledger of verdicts as large as real ones, and measures `append` (30 times, with the sync to the disk), and
`list`, `verify` and `site` as a user starts them. `kill` starts four writers, kills one of them again and again, and looks for
the lines that each of them acknowledged.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pytest_claims.ledger import append, lines, load
from pytest_claims.ledger.lines import verdict
from pytest_claims.reports.format import Record

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "docs/ledger-example.jsonl"
WRITERS = 4

WRITER = """
import sys
from pathlib import Path
from benchmarks.ledger import example
from pytest_claims.ledger import append
from pytest_claims.ledger.lines import verdict
number = 0
while True:
    number += 1
    digest, = append(Path(sys.argv[1]), [verdict(example(f"claim-{sys.argv[2]}", number), {"claim": "d" * 64})])
    print(digest, flush=True)
"""


def example(claim: str, number: int) -> Record:
    """A record as large as that of a captioning claim."""
    book = load(EXAMPLE)
    values = book.record(book.entries[-1]).values()
    measured = 43.7 - number % 7
    values["verdict"] |= {"id": f"{number:032x}", "status": "pass" if number % 7 < 2 else "partial"}
    values["verdicts"]["post"] = values["verdict"]
    axis = {"axis": "image", "paper": "size=64, resize=bicubic", "run": "size=64, resize=bicubic"}
    values["evidence"] |= {
        "digest": f"{number:064x}", "measured": measured, "difference": measured - 43.7,
        "axes": [{**axis, "consequence": "none"}] * 6,
        "interval": {
            "low": measured - 1, "high": measured + 1, "level": 0.95, "standard_error": 0.5, "resamples": 1000,
            "population": None,
        },
        "provenance": {"torch": "2.13.0", "transformers": "5.23.0", "datasets": "5.2.0", "nltk": "3.10.4"},
    }  # fmt: skip
    values["evidence"]["claim"] |= {"id": claim, "digest": "d" * 64}
    return Record.model_validate(values)


def build(path: Path, verdicts: int, claims: int) -> None:
    """Write a ledger without a sync for each line."""
    at, parents, offset = "", list[str](), 0
    drafts = [
        verdict(example(f"claim-{number}", number), {"claim": "d" * 64, "torch": "2.13.0"}) for number in range(claims)
    ]
    with path.open("wb") as file:
        for number in range(verdicts):
            at = lines.after([at], lines.now())
            line, digest = lines.encode(drafts[number % claims], at=at, offset=offset, parents=parents)
            file.write(line)
            offset, parents = offset + len(line), [digest]
        file.flush()
        os.fsync(file.fileno())


def size(path: Path, verdicts: int, claims: int) -> None:
    """Measure a large ledger."""
    build(path, verdicts, claims)
    print(
        f"{verdicts:,} verdicts on {claims:,} claims, {path.stat().st_size / 1e6:,.0f} MB; load {os.getloadavg()[0]:.1f}"
    )
    taken = []
    for number in range(30):
        draft = verdict(example("claim-0", number), {"claim": "d" * 64})
        started = time.perf_counter()
        append(path, [draft])
        taken.append((time.perf_counter() - started) * 1000)
    print(f"append: median {statistics.median(taken):.1f} ms, slowest {max(taken):.1f} ms, first {taken[0]:.1f} ms")
    commands = {"list": ["ledger", "list", f"--claims-ledger={path}"], "verify": ["ledger", "verify", str(path)]}
    commands["site"] = ["site", str(path), str(path.with_name("site"))]
    for name, command in commands.items():
        started, cpu = time.perf_counter(), _cpu()
        done = subprocess.run(
            [sys.executable, "-m", "pytest_claims", *command], cwd=ROOT, check=False, capture_output=True, text=True
        )
        taken_s = time.perf_counter() - started
        said = (done.stdout or done.stderr).splitlines()[-1]
        print(f"{name}: {taken_s:.2f} s, {_cpu() - cpu:.2f} s of processors (exit status {done.returncode}); {said}")


def _cpu() -> float:
    """Seconds that processes which have ended used: they do not depend on what else the machine does."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def kill(path: Path, kills: int) -> None:
    """Kill writers while they append."""
    draw = random.Random(0)  # noqa: S311 - instants, no secret

    def start(number: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(number)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )

    acknowledged: set[str] = set()
    running = [start(number) for number in range(WRITERS)]
    for number in range(kills):
        victim = running.pop(0)
        assert victim.stdout is not None  # noqa: S101 - for mypy
        acknowledged.add(victim.stdout.readline().strip())
        time.sleep(draw.uniform(0, 0.05))  # so that the signal comes at any moment of an append
        victim.send_signal(signal.SIGKILL)
        acknowledged.update(line.strip() for line in victim.communicate()[0].splitlines() if len(line.strip()) == 64)
        running.append(start(number + WRITERS))
    for one in running:
        one.kill()
        acknowledged.update(line.strip() for line in one.communicate()[0].splitlines() if len(line.strip()) == 64)
    append(path, [verdict(example("last", 1), {})])  # repairs what the last writer left
    book = load(path)
    lost = acknowledged - {entry.digest for entry in book.entries}
    repairs = sum(entry.event == "repair" for entry in book.entries)
    print(
        f"{kills} kills among {WRITERS} writers: {len(book.entries):,} lines, {len(acknowledged):,} acknowledged, "
        f"{len(lost)} lost, {repairs} torn lines repaired, {len(book.problems)} problems"
    )


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("size", "kill"))
    parser.add_argument("--verdicts", type=int, default=100_000)
    parser.add_argument("--claims", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=30)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.jsonl"
        if given.what == "size":
            size(path, given.verdicts, given.claims)
        else:
            kill(path, given.kills)


if __name__ == "__main__":
    main()
