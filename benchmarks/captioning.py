"""How fast captions are made, how that compares with `generate`, and how far it is from what the machine can do.

    python benchmarks/captioning.py --preset mid
    python benchmarks/captioning.py --preset shapes --images 256 --write
    python benchmarks/captioning.py --preset opt-2.7b --dtype float16 --device cuda

Four ways to caption the same images with the same model and the same decoding, each from encoded files, so that
opening, resizing and normalising a picture is part of all of them:

a. `generate` on one image at a time, the loop that people write;
b. `generate` in batches of 16, LAVIS's evaluation batch (its caption configurations' `batch_size_eval`);
c. `generate` at the number of images that pytest-claims decodes at a time; where that is 16, (c) is (b);
d. pytest-claims' beam search. It is built once, as in a run. What that costs is printed apart.

The ways take turns (benchmarks/rounds.py). The same run measures where the time of (d) goes and its floor
(benchmarks/phases.py). `--write` puts the result into docs/performance.md.

All ways run in one process with the allocator's setting of a run (`libraries.keep_freed_memory`), which helps `generate` too.

On a machine that others use, too, measure with one thread and by processor time, which is the default on a CPU: two
threads of which one has to wait for another program also count the time in which the other one waits for it.

Presets: `shapes` is the trained model of claims/shapes; `mid` has random weights, about 50 M parameters in BLIP-2's
proportions (26 % vision, 3 % Q-Former, 71 % language model) and captions of realistic length; `opt-2.7b` is the
architecture of Salesforce/blip2-opt-2.7b with random weights, created on the device.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers

ROOT = Path(__file__).resolve().parent.parent
PROC = Path("/proc/self")
sys.path.insert(0, str(ROOT))

from benchmarks import phases, rounds, workloads  # noqa: E402 - the checkout is measured, installed or not
from pytest_claims import libraries  # noqa: E402 - as above
from pytest_claims.beam import BeamSearch, BeamSettings, SlotBudget, caption, choose_slots  # noqa: E402 - as above

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.rounds import Took
    from benchmarks.workloads import Captions, Workload

DOCUMENT = ROOT / "docs" / "performance.md"


def main() -> None:
    """Measure and print."""
    options = _command_line()
    rounds.pin(options.threads)
    libraries.keep_freed_memory()
    where = rounds.machine()
    work = workloads.workload(options.preset, options.images, device=options.device, dtype=options.dtype)
    settings = BeamSettings.from_generation_config(work.config)
    slots = options.slots or choose_slots(
        work.model, settings, prompt_tokens=work.prompt_ids.shape[1], images=len(work.files)
    )
    device = work.model.device

    def settle() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    now = time.perf_counter if options.clock == "wall" else time.process_time
    start = now()
    search = BeamSearch(work.model, settings, input_ids=work.prompt_ids, slots=slots)
    settle()
    setup = now() - start
    spent: list[dict[str, float]] = []

    def ours() -> Captions:
        def build(number: int) -> BeamSearch:
            if number != slots:
                raise SystemExit(f"Memory ran out with {slots} images at a time. Name a smaller number with --slots.")
            return search

        watch = phases.Stopwatch(options.clock, settle)
        with watch.watching(), watch.phase(phases.REST):
            captions = dict(caption(build, watch.images(work.images()), SlotBudget(slots)))
        spent.append(dict(watch.seconds))
        return captions

    memory: dict[str, float] = {}
    ways: dict[str, Callable[[], Captions]] = {
        "a": lambda: workloads.stock(work, 1),
        "b": lambda: workloads.stock(work, 16),
        "c": lambda: workloads.stock(work, slots),
        "d": ours,
    }
    if slots == 16:
        del ways["c"]
    ways = {name: _with_peak(way, name, memory, device) for name, way in ways.items()}
    captions = {name: ways[name]() for name in ("b", "d")}  # the floor needs the captions' mean length
    tokens = statistics.mean(len(found) for found in captions["d"].values())
    todo = phases.work(
        work.model, prompt=work.prompt_ids.shape[1], slots=slots, beams=settings.num_beams, tokens=tokens
    )
    rates = phases.Rates(todo, work.model.language_model.lm_head.weight, options.clock, settle)
    spent.clear()
    took, captions = rounds.in_turns(ways, rounds=options.rounds, settle=settle, between=rates.measure)
    report = {
        **_described(options, work, where=where, slots=slots, setup=setup),
        **_compared(took, captions, options),
        **_against_floor(took["d"], rates, todo, len(work.files), options.clock),
        "phases": phases.table(todo, rates, spent[1:], len(work.files)),
        "peak_memory_mib": {name: round(peak) for name, peak in sorted(memory.items())},
        "after": _afterwards(captions["d"], options.clock),
    }
    text = _text(report)
    print(json.dumps(report, indent=2) if options.json else text)
    if options.write:
        rounds.rewrite(DOCUMENT, f"captioning {options.preset}", text)


def _command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Captioning, four ways side by side, and its floor.")
    parser.add_argument("--preset", choices=("shapes", "mid", "opt-2.7b"), default="mid")
    parser.add_argument("--images", type=int, default=32, help="how many pictures (default: 32)")
    parser.add_argument("--rounds", type=int, default=rounds.FEWEST, help="how often (default: 9; plus one to warm up)")
    parser.add_argument("--slots", type=int, help="images decoded at a time in (c) and (d) (default: chosen)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    parser.add_argument(
        "--clock", choices=sorted(rounds.CLOCKS), help="what is compared (default: cpu on a CPU, wall on a GPU)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--write", action="store_true", help="also replace the preset's section of docs/performance.md")
    options = parser.parse_args()
    options.clock = options.clock or ("cpu" if options.device == "cpu" else "wall")
    if options.clock == "cpu" and options.device != "cpu":
        parser.error("the processor time of a run on a GPU says nothing: --clock wall")
    if options.write and options.rounds < rounds.FEWEST:
        parser.error(f"--write needs --rounds {rounds.FEWEST} or more")
    return options


def _with_peak(
    way: Callable[[], Captions], name: str, memory: dict[str, float], device: torch.device
) -> Callable[[], Captions]:
    """The way, noting the most memory that a run of it took."""

    def noted() -> Captions:
        _reset_peak(device)
        found = way()
        memory[name] = max(memory.get(name, 0.0), _peak(device))
        return found

    return noted


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    elif PROC.exists():
        (PROC / "clear_refs").write_text("5")  # proc(5): resets the peak resident set size


def _peak(device: torch.device) -> float:
    """MiB: of the device where it has its own memory, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if PROC.exists():
        return int((PROC / "status").read_text().split("VmHWM:")[1].split()[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS; never goes down


def _described(options: argparse.Namespace, work: Workload, *, where: str, slots: int, setup: float) -> dict[str, Any]:
    device = work.model.device
    return {
        "preset": options.preset,
        "command": " ".join(
            ["python benchmarks/captioning.py", *(a for a in sys.argv[1:] if a not in ("--json", "--write"))]
        ),
        "machine": where if device.type == "cpu" else f"{torch.cuda.get_device_name(device)}; {where}",
        "threads": torch.get_num_threads(),
        "clock": options.clock,
        "dtype": options.dtype,
        "images": len(work.files),
        "rounds": options.rounds,
        "slots": slots,
        "setup_seconds": setup,
        "parameters_million": round(sum(p.numel() for p in work.model.parameters()) / 1e6, 1),
        "versions": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__},
    }


def _compared(
    took: dict[str, list[Took]], captions: dict[str, Captions], options: argparse.Namespace
) -> dict[str, Any]:
    lengths = [len(tokens) for tokens in captions["a"].values()]
    seconds = {
        name: {clock: rounds.middle([one.by(clock) for one in runs]) for clock in rounds.CLOCKS}
        for name, runs in took.items()
    }
    return {
        "seconds": {
            name: {clock: dataclasses.asdict(found) for clock, found in by.items()} for name, by in seconds.items()
        },
        "ratio_of_ours": {
            name: dataclasses.asdict(rounds.ratios(runs, took["d"], options.clock))
            for name, runs in took.items()
            if name != "d"
        },
        "identical": sum(captions["d"][name] == tokens for name, tokens in captions["a"].items()),
        "baselines_agree": all(captions[name] == captions["a"] for name in captions if name != "d"),
        "caption_tokens": {
            "mean": round(statistics.mean(lengths), 2),
            "sd": round(statistics.pstdev(lengths), 2),
            "longest": max(lengths),
            "different_captions": len(set(captions["a"].values())),
        },
    }


def _against_floor(
    took: list[Took], rates: phases.Rates, todo: dict[str, phases.Work], images: int, clock: str
) -> dict[str, Any]:
    floors = [sum(floor) for floor in zip(*rates.floors.values(), strict=True)]  # seconds per image, one per round
    gflop = sum(phase.operations for phase in todo.values()) / 1e9
    return {
        "gflop_per_image": gflop,
        "floor_ms": statistics.median(floors) * 1e3,
        "matmul_gflops": dataclasses.asdict(rounds.middle([gflop / floor for floor in floors])),
        "over_floor": dataclasses.asdict(
            rounds.middle([run.by(clock) / images / floor for run, floor in zip(took, floors, strict=True)])
        ),
    }


def _afterwards(captions: Captions, clock: str) -> dict[str, float]:
    """What a claim adds to its search: milliseconds per kept caption, and seconds to score all with an interval."""
    from pytest_claims.evidence import Output
    from pytest_claims.metrics import BUILTIN, Corpus
    from pytest_claims.store import Store
    from tests.store import test_store

    now = time.perf_counter if clock == "wall" else time.process_time
    references = {name: tuple(f"a picture of number {n} of {k}" for k in range(5)) for n, name in enumerate(captions)}
    made = [
        Output(
            id=name, text=" ".join(map(str, tokens)), references=references[name], tokens=len(tokens), truncated=False
        )
        for name, tokens in captions.items()
    ]
    recipe = test_store.recipe()
    observed = dataclasses.replace(recipe.observed, dataset={**(recipe.observed.dataset or {}), "images": len(made)})
    recipe = dataclasses.replace(recipe, observed=observed, references=references)
    with tempfile.TemporaryDirectory() as root:
        start = now()
        with Store(lambda: Path(root)).open(recipe, lambda name: name, batch=16) as folder:
            for one in made:
                folder.append(one, "0" * 16)
        kept = now() - start
    start = now()
    corpus = Corpus([one.text for one in made], [list(one.references) for one in made])
    BUILTIN["bleu4"].score(corpus, population=None, resamples=1000, seed=0)
    return {"store": kept / len(made) * 1e3, "scoring": now() - start}


WAYS = {
    "a": "(a) a loop over `generate`, one image at a time",
    "b": "(b) `generate` in batches of 16",
    "c": "(c) `generate` in batches of {slots}, our number",
    "d": "(d) ours, {slots} images at a time",
}


def _text(report: dict[str, Any]) -> str:
    """The report in Markdown, which is readable in a terminal too."""
    few = rounds.warn_of_few(report["rounds"])
    parts = [_what(report), _ways_table(report), _floor_line(report), _phase_table(report), _beside(report), few]
    return "\n\n".join(part for part in parts if part)


def _what(report: dict[str, Any]) -> str:
    lengths, versions = report["caption_tokens"], report["versions"]
    agree = "" if report["baselines_agree"] else " (b) or (c) differs from (a)."
    what = (
        f"`{report['command']}`: preset {report['preset']}, {report['parameters_million']} M parameters, "
        f"{report['dtype']}, {report['images']} images, {report['rounds']} rounds."
    )
    where = (
        f"Machine: {report['machine']}. Threads: {report['threads']}. Judged by {rounds.CLOCKS[report['clock']]}. "
        f"torch {versions['torch']}, transformers {versions['transformers']}."
    )
    made = (
        f"Captions: {lengths['mean']} ± {lengths['sd']} tokens, {lengths['different_captions']} different; "
        f"{report['identical']} of {report['images']} of ours are the tokens of (a).{agree}"
    )
    return f"{what}\n{where}\n{made}"


def _ways_table(report: dict[str, Any]) -> str:
    lines = ["| way | processor time | wall time | time over ours | peak MiB |", "| --- | --- | --- | --- | --- |"]
    for name, by in report["seconds"].items():
        ratio = report["ratio_of_ours"].get(name)
        cells = (
            WAYS[name].format(slots=report["slots"]),
            rounds.Middle(**by["cpu"]).seconds(),
            rounds.Middle(**by["wall"]).seconds(),
            rounds.Middle(**ratio).ratio() if ratio else "",
            f"{report['peak_memory_mib'][name]:,}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _floor_line(report: dict[str, Any]) -> str:
    over, rate = rounds.Middle(**report["over_floor"]), rounds.Middle(**report["matmul_gflops"])
    return (
        f"Floor: {report['gflop_per_image']:.2f} GFLOP an image at {rate.median:.0f} GFLOP/s (spread {rate.spread:.1%}) "
        f"take {report['floor_ms']:.1f} ms. Ours over the floor: **{over.ratio()}**."
    )


def _phase_table(report: dict[str, Any]) -> str:
    lines = ["| phase | ms an image | share | floor, ms | × floor | GFLOP |", "| --- | --- | --- | --- | --- | --- |"]
    for row in report["phases"]:
        floor = row["floor_ms"]
        cells = [row["phase"], f"{row['ms']:.2f}", f"{row['share']:.1%}"]
        cells += [f"{floor:.2f}", f"{row['ms'] / floor:.2f}", f"{row['gflop']:.2f}"] if floor else ["", "", ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _beside(report: dict[str, Any]) -> str:
    after, setup = report["after"], report["setup_seconds"]
    thousand = report["seconds"]["d"][report["clock"]]["median"] / report["images"] * 1000
    return (
        f"Beside the search: store {after['store']:.2f} ms an image. Once per run: scoring with 1,000 resamples, "
        f"{after['scoring']:.2f} s; packed weights and buffers, {setup:.2f} s, "
        f"which is {setup / thousand:.1%} of the search for 1,000 images."
    )


if __name__ == "__main__":
    main()
