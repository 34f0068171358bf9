"""How captioning on a Ray cluster scales: two actors against one, what the driver costs, and a simulation of up to 256.

    python -m benchmarks.scale actors               # 2 actors with one thread each against 1: wall time, in rounds
    python -m benchmarks.scale driver               # what the driver does for a call and for a caption, in processor time
    python -m benchmarks.scale simulate --call 400 --caption 700      # with these two figures, in microseconds
    python -m benchmarks.scale memory --rows 100000 1000000           # what `predictions` holds in memory
    python -m benchmarks.scale images --rows 5000 100000              # what reading a data set of images holds
    python -m benchmarks.scale model --rows 5000 200000               # what a run of a model holds, resumed and replayed

`actors` runs the shipped Flickr30k claim on a random-weight BLIP-2 of 54 M parameters in float32, one thread per actor, with
evidence in memory: all that a run does but for starting actors and loading. It starts a cluster of three logical CPUs for both
ways, and needs two idle cores for an honest figure: with other programs on them, the spread says so.

`driver` measures the two parts of the driver's work apart. A call: Ray's round trip of an actor that has captions ready. A
caption: all that `evaluate` does with one (check its image's digest, seal, write, sync, running score), with an executor that
has all captions at once, and images of 160 kB as in COCO.

`simulate` is a discrete-event simulation with the scheduler that runs (`cluster.work.Work`): each actor captions images at a
rate, the driver answers one call after the other and takes the measured time for each. It shows from where on the driver, and
no longer the actors, sets the pace. It does not simulate the network, the disks, or the loading of weights.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import full_size, rounds  # noqa: E402 - the path comes first
from pytest_claims.cluster.work import Work  # noqa: E402 - the path comes first

MID: dict[str, Any] = {
    "vision_config": {
        "hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 7, "num_attention_heads": 6, "image_size": 224,
    },
    "qformer_config": {
        "hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 4, "num_attention_heads": 4,
        "encoder_hidden_size": 384,
    },
    "text_config": {
        "hidden_size": 512, "word_embed_proj_dim": 512, "ffn_dim": 2048, "num_hidden_layers": 11, "num_attention_heads": 8,
        "vocab_size": 50304,
    },
}  # fmt: skip
"""As `workloads.MID`, but for the vocabulary, which the tokenizer needs in full."""

COCO_IMAGE = 160_000
"""Bytes of an image in COCO, about."""


# --- two actors against one ---


def actors(options: argparse.Namespace) -> str:
    """Compare one actor with two."""
    import ray

    from pytest_claims import protocol
    from pytest_claims.bench import Bench
    from pytest_claims.cluster.executor import Cluster
    from pytest_claims.evaluation import captioning
    from pytest_claims.settings import Settings
    from pytest_claims.spec import load

    where = rounds.machine()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        config = full_size.configuration("full")
        for section, changes in MID.items():
            config[section] |= changes
        full_size.write_model(folder / "model", config)
        (claim,) = load(full_size.write_claim(folder, options.images))
        settings = Settings(device="cpu", overrides={"precision": "float32"}, sample=None)
        plan: Any = protocol.plan(claim, settings)
        ray.init(
            address="local", num_cpus=3, include_dashboard=False, log_to_driver=False, object_store_memory=80 * 2**20
        )
        benches = {f"{count}": Bench(executor=Cluster(1, most=count)) for count in (1, 2)}
        ways = {count: partial(captioning.evaluate, plan, bench) for count, bench in benches.items()}
        took, evidence = rounds.in_turns(ways, rounds=options.rounds)
        same = evidence["1"].digest == evidence["2"].digest
        ray.shutdown()
    ratio = rounds.ratios(took["1"], took["2"], "wall")
    lines = [
        f"`python -m benchmarks.scale actors --images {options.images}`, {options.rounds} rounds, wall time. Machine: {where}.",
        "",
        "| actors, one thread each | wall time | images/s |",
        "| --- | --- | --- |",
    ]
    for name, runs in took.items():
        middle = rounds.middle([run.wall for run in runs])
        lines.append(f"| {name} | {middle.seconds()} | {options.images / middle.median:.2f} |")
    lines += ["", f"Two actors over one: **{ratio.ratio()}**. Equal captions: {'yes' if same else 'no'}."]
    if few := rounds.warn_of_few(options.rounds):
        lines.append(few)
    return "\n".join(lines)


# --- the driver ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Canned:
    """An executor that has every caption at once, so that only the driver's own work is left."""

    setup: Any

    @property
    def recipe(self) -> Any:
        """As of the real run."""
        return self.setup.recipe

    @property
    def split(self) -> Any:
        """As of the real run."""
        return self.setup.split

    @property
    def changes(self) -> Any:
        """As of the real run."""
        return self.setup.changes

    batch_size = 256

    def facts(self) -> dict[str, Any]:
        """As of the real run."""
        return dict(self.setup.facts())

    def caption(self, ids: Sequence[str]) -> Iterator[tuple[Any, str]]:
        """A caption for each image, checked as `Remote` checks it."""
        from pytest_claims.evidence import Output

        work = Work(ids)
        split = self.setup.split
        while not work.finished:
            work.hand_out(1, actors=1, at_once=16)
            for name in work.held(1):
                work.done(1, name)
                made = Output(id=name, text=f"a caption of ten words or so of {name}", references=(), tokens=11)
                yield replace(made, references=split.references[name]), split.digest(name)

    def prepare(self, _plan: Any, _bench: Any) -> Canned:
        """This object."""
        return self


def driver(options: argparse.Namespace) -> str:
    """Measure what the driver does for a call and for a caption."""
    call = _calls(options.calls)
    caption = _captions(options.images)
    return (
        f"`python -m benchmarks.scale driver`, processor time of the driver's process. Machine: {rounds.machine()}. A call of "
        f"an actor takes **{1e6 * call:.0f} µs**, a caption **{1e6 * caption:.0f} µs**."
    )


class Echo:
    """An actor that has eight captions ready whenever it is asked."""

    def exchange(self, given: list[Any]) -> Any:
        """An answer like that of a `Captioner`."""
        from pytest_claims.cluster.actor import Answer
        from pytest_claims.evidence import Output

        made = [
            (Output(id=f"{n:012}.jpg", text="a caption of ten words or so", references=(), tokens=11), "0" * 16)
            for n in range(len(given))
        ]
        return Answer(captions=tuple(made), batch_size=16)


def _calls(count: int) -> float:
    import ray

    from pytest_claims.cluster.actor import Sent

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=80 * 2**20)
    handles = [ray.remote(Echo).options(num_cpus=0.1).remote() for _ in range(4)]
    given = [Sent(id=f"{n:012}.jpg") for n in range(8)]
    for handle in handles:
        ray.get(handle.exchange.remote(given))
    best = float("inf")
    for _ in range(5):
        started = time.process_time()
        calls = {handle.exchange.remote(given): handle for handle in handles}
        for _ in range(count):
            (done,), _ = ray.wait(list(calls), num_returns=1)
            handle = calls.pop(done)
            ray.get(done)
            calls[handle.exchange.remote(given)] = handle
        best = min(best, (time.process_time() - started) / count)
        ray.get(list(calls))
    ray.shutdown()
    return best


def _captions(images: int) -> float:
    from pytest_claims import protocol
    from pytest_claims.bench import Bench
    from pytest_claims.evaluation import captioning
    from pytest_claims.evaluation.setup import prepare
    from pytest_claims.settings import Settings
    from pytest_claims.spec import load
    from tests.shapes import SHAPES, rows, write_claim

    generator = random.Random(0)  # noqa: S311 - seeded on purpose
    ((row, *_),) = [rows(1)]
    content = [
        {**row, "filename": f"{n:012}.jpg", "image": {"bytes": generator.randbytes(COCO_IMAGE), "path": f"{n}.jpg"}}
        for n in range(images)
    ]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (claim,) = load(write_claim(folder, content=content))
        plan: Any = protocol.plan(claim, Settings(data=(SHAPES,), device="cpu"))
        setup = prepare(plan, Bench())
        best = float("inf")
        for number in range(5):
            executor: Any = Canned(setup=setup)
            bench = Bench(evidence=partial(Path, folder / f"evidence-{number}"), executor=executor)
            bench.preflight = lambda *_, **__: _Nothing()  # type: ignore[method-assign, assignment] # not the driver's part
            started = time.process_time()
            captioning.evaluate(plan, bench)
            best = min(best, (time.process_time() - started) / images)
    return best


class _Nothing:
    def told(self, _title: str) -> tuple[str, ...]:
        """Nothing."""
        return ()


# --- the simulation ---


def simulate(images: int, count: int, rate: float, call: float, caption: float, *, at_once: int = 16) -> float:
    """Images a second of a run.

    Args:
        images: how many are captioned.
        count: how many actors there are.
        rate: images a second of an actor that is never waiting.
        call: seconds that the driver takes for a call.
        caption: seconds that the driver takes for a caption.
        at_once: how many images an actor decodes at a time.
    """
    from pytest_claims.cluster.actor import FLUSH

    generator = random.Random(0)  # noqa: S311 - seeded on purpose
    work = Work([str(number) for number in range(images)])
    slots = {actor: [0.0] * at_once for actor in range(count)}
    finished: dict[int, list[tuple[float, str]]] = {actor: [] for actor in range(count)}
    # When the driver will hear of each actor; all have asked at the beginning.
    events = [(0.0, actor) for actor in range(count)]
    heapq.heapify(events)
    now = end = 0.0
    while events:
        heard, actor = heapq.heappop(events)
        now = max(now, heard)
        ready = [entry for entry in finished[actor] if entry[0] <= heard]
        finished[actor] = [entry for entry in finished[actor] if entry[0] > heard]
        for _, name in ready:
            work.done(actor, name)
        now += call + caption * len(ready)
        if ready:
            end = now
        for name in work.hand_out(actor, actors=count, at_once=at_once):
            slot = min(range(at_once), key=slots[actor].__getitem__)
            # Captions of 5 to 20 tokens: the time of one is spread by a factor of four.
            took = at_once / rate * generator.triangular(0.4, 1.9, 0.7)
            slots[actor][slot] = max(slots[actor][slot], now) + took
            finished[actor].append((slots[actor][slot], name))
        if work.held(actor):
            first = min(entry[0] for entry in finished[actor])
            heapq.heappush(events, (max(now, first) + FLUSH, actor))
    return images / end


def simulated(options: argparse.Namespace) -> str:
    """Print the pace for each number of actors and each rate of one."""
    call, caption = options.call / 1e6, options.caption / 1e6
    counts = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    rates = options.rates
    lines = [
        f"`python -m benchmarks.scale simulate --call {options.call:.0f} --caption {options.caption:.0f}`: simulated, "
        f"{options.images:,} images.\n\n| actors | "
        + " | ".join(f"{rate:g} images/s each" for rate in rates)
        + " |\n| --- |"
        + " --- |" * len(rates)
    ]
    for count in counts:
        cells = []
        for rate in rates:
            pace = simulate(options.images, count, rate, call, caption)
            cells.append(f"{pace:,.0f} ({pace / (rate * count):.0%})")
        lines.append(f"| {count} | " + " | ".join(cells) + " |")
    lines.append(f"\nThe driver alone could take {1 / (caption + call / 8):,.0f} captions a second, eight in a call.")
    return "\n".join(lines)


# --- the memory of `predictions` ---

MEASURE = """
import json, sys, time
from benchmarks.large_run import Anonymous, status
from pytest_claims import verify
memory = Anonymous()
started = time.process_time()
(verdict,) = verify(sys.argv[1])
print(json.dumps({"status": verdict.status.value, "seconds": time.process_time() - started,
    "anonymous": memory.peak, "peak": status("VmHWM")}))
"""


def memory(options: argparse.Namespace) -> str:
    """Print what a claim about so many released captions takes."""
    lines = [
        f"`python -m benchmarks.scale memory`, one claim of BLEU-1, two references each. Machine: {rounds.machine()}.\n",
        "| rows | files | status | processor time | peak memory, mapped files included | the same without them |\n| --- |"
        + " --- |" * 5,
    ]
    for count in options.rows:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "claims"
            folder.mkdir()
            path = _released(folder, count)
            size = sum(file.stat().st_size for file in folder.iterdir())
            done = subprocess.run(
                [sys.executable, "-c", MEASURE, str(path)], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT
            )
            found = json.loads(done.stdout.splitlines()[-1])
        peak, anonymous = (f"{found[name] / 1024:,.0f} MiB" for name in ("peak", "anonymous"))
        lines.append(
            f"| {count:,} | {size / 1e6:,.0f} MB | {found['status']} | {found['seconds']:,.1f} s | {peak} | {anonymous} |"
        )
    return "\n".join(lines)


READ = """
import json, pathlib, re, sys, time
from pytest_claims.sources import data
from pytest_claims.spec.models import Columns, Dataset
import datasets
def now(what):
    return int(re.search(what + r":\\s*([0-9]+)", pathlib.Path("/proc/self/status").read_text())[1])
before, file = now("RssAnon"), pathlib.Path(sys.argv[1])
started = time.process_time()
stated, columns = Dataset(id=file.name, images=int(sys.argv[2])), Columns(references="references", id="id")
split = data.load(stated, columns, [file.parent], streaming=sys.argv[3] == "streamed")
print(json.dumps({"seconds": time.process_time() - started, "before": before, "after": now("RssAnon"), "peak": now("VmHWM")}))
"""


def images(options: argparse.Namespace) -> str:
    """Print what reading a data set of tiny images takes, with all that the protocol observes of it."""
    lines = [
        f"`python -m benchmarks.scale images`, PNGs of 8 × 8 pixels in a Parquet file, two references. {rounds.machine()}.\n",
        "| rows | file | read | processor time | peak memory, mapped files included | held afterwards | bytes a row |",
        "| --- |" + " --- |" * 6,
    ]
    for count, how in itertools.product(options.rows, ("unpacked", "streamed")):
        with tempfile.TemporaryDirectory() as temporary:
            file = _tiny_images(Path(temporary) / "data.parquet", count)
            done = subprocess.run(
                [sys.executable, "-c", READ, str(file), str(count), how],
                stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT, env={**os.environ, "HF_HOME": temporary},
            )  # fmt: skip
            found, size = json.loads(done.stdout.splitlines()[-1]), file.stat().st_size
        held = found["after"] - found["before"]
        lines.append(
            f"| {count:,} | {size / 1e6:,.0f} MB | {how} | {found['seconds']:,.1f} s | {found['peak'] / 1024:,.0f} MiB | "
            f"{held / 1024:,.0f} MiB | {held * 1024 / count:,.0f} |"
        )
    return "\n".join(lines)


def _tiny_images(file: Path, count: int, *, names: Sequence[str] = ("id", "image", "references")) -> Path:
    """A file of images, of which a thousand differ; the references of all differ."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    generator = random.Random(0)  # noqa: S311 - seeded on purpose
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema(list(zip(names, (pa.string(), image, pa.list_(pa.string())), strict=True)))
    pictures = []
    for _ in range(1000):
        content = io.BytesIO()
        Image.frombytes("RGB", (8, 8), generator.randbytes(192)).save(content, "PNG")
        pictures.append({"bytes": content.getvalue(), "path": None})
    words = ("dog", "cat", "red", "table", "runs")
    with pq.ParquetWriter(file, schema) as writer:
        for start in range(0, count, 1000):
            numbers = range(start, min(start + 1000, count))
            texts = [
                [f"number {number} " + " ".join(generator.choices(words, k=9)) for _ in "ab"] for number in numbers
            ]
            ids = [f"{number:012}" for number in numbers]
            writer.write_table(pa.table([ids, pa.array(pictures[: len(ids)], image), texts], schema=schema))
    return file


def model(options: argparse.Namespace) -> str:
    """Print what a captioning run of so many rows takes: half of it, the other half, and (read unpacked) its replay."""
    how = options.name
    lines = [
        f"`python -m benchmarks.scale {how}`, BLEU-4, images of 8 × 8 pixels, two references, evidence. {rounds.machine()}.\n",
        "| rows | phase | status | processor time | peak memory, mapped files included | the same without them | evidence |",
        "| --- |" + " --- |" * 6,
    ]
    for count in options.rows:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            _large_claim(folder, count)
            told = {"run": "first half", "resume": "second half, score"}
            if how == "model":  # a replay reads no data set
                told["replay"] = "replay, score"
            seen = []
            for phase, words in told.items():
                done = subprocess.run(
                    [sys.executable, "-m", "benchmarks.large_run", str(folder), phase, str(count), how],
                    stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT,
                    env={**os.environ, "HF_HOME": temporary, "XDG_STATE_HOME": temporary, "OMP_NUM_THREADS": "1"},
                )  # fmt: skip
                found = json.loads(done.stdout.splitlines()[-1])
                seen.append((found["digest"], found["value"]))
                size = sum(file.stat().st_size for file in folder.glob("evidence/*/*.jsonl"))
                peak, anonymous = (f"{found[name] / 1024:,.0f} MiB" for name in ("peak", "anonymous"))
                lines.append(
                    f"| {count:,} | {words} | {found['status']} | {found['seconds']:,.1f} s | {peak} | {anonymous} | "
                    f"{size / 1e6:,.0f} MB |"
                )
                print(lines[-1], found["reason"][:200], file=sys.stderr, flush=True)
            if seen[1][1] != seen[-1][1] or seen[1][1] is None:
                raise SystemExit(f"The replay scores {seen[-1][1]}, the run {seen[1][1]}.")
    return "\n".join(lines)


def _large_claim(folder: Path, count: int) -> None:
    from tests.builders import captioning, claim, write

    (folder / "claims").mkdir()
    _tiny_images(folder / "claims" / "rows.parquet", count, names=("filename", "image", "caption"))
    document = captioning(claim(tolerance={"pass": 5, "partial": 40}), images=count)
    write(folder / "claims" / "large.yaml", document)


def _released(folder: Path, count: int) -> Path:
    from tests.builders import changed, claim, predictions, write

    generator = random.Random(0)  # noqa: S311 - seeded on purpose
    words = (
        "dog",
        "cat",
        "man",
        "child",
        "runs",
        "sits",
        "jumps",
        "over",
        "on",
        "red",
        "blue",
        "ball",
        "table",
        "street",
    )
    with (folder / "out.jsonl").open("w") as out, (folder / "refs.jsonl").open("w") as references:
        for number in range(count):
            text = " ".join(generator.choices(words, k=10))
            other = " ".join(generator.choices(words, k=10))
            out.write(json.dumps({"image_id": number, "caption": text}) + "\n")
            references.write(json.dumps({"image_id": number, "caption": [text, other]}) + "\n")
    files = {"predictions": {"path": "out.jsonl"}, "references": {"path": "refs.jsonl"}}
    document = predictions(claim(tolerance={"pass": 5, "partial": 40}), images=count)
    return write(folder / "large.yaml", changed(document, run={"evaluator": "predictions", **files}))


def main() -> None:
    """Run the part that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True)
    part = parts.add_parser("actors", help="two actors against one")
    part.add_argument("--images", type=int, default=64, help="images of each run (default: 64)")
    part.add_argument("--rounds", type=int, default=rounds.FEWEST, help="default: 9; one more warms up")
    part.set_defaults(run=actors)
    part = parts.add_parser("driver", help="what the driver does for a call and for a caption")
    part.add_argument("--calls", type=int, default=1000)
    part.add_argument("--images", type=int, default=500)
    part.set_defaults(run=driver)
    part = parts.add_parser("simulate", help="up to 256 actors, with what `driver` measured")
    part.add_argument("--call", type=float, required=True, help="microseconds of a call")
    part.add_argument("--caption", type=float, required=True, help="microseconds of a caption")
    part.add_argument("--images", type=int, default=50_000)
    part.add_argument("--rates", type=float, nargs="+", default=[1, 5, 10, 20], help="images a second of an actor")
    part.set_defaults(run=simulated)
    part = parts.add_parser("memory", help="what `predictions` holds in memory")
    part.add_argument("--rows", type=int, nargs="+", default=[5_000, 100_000, 1_000_000])
    part.set_defaults(run=memory)
    part = parts.add_parser("images", help="what reading a data set of images holds in memory")
    part.add_argument("--rows", type=int, nargs="+", default=[5_000, 100_000, 1_000_000])
    part.set_defaults(run=images)
    part = parts.add_parser("model", help="what a run of a model holds in memory")
    part.add_argument("--rows", type=int, nargs="+", default=[5_000, 60_000, 1_000_000])
    part.set_defaults(run=model)
    part = parts.add_parser("streamed", help="the same with --claims-streaming")
    part.add_argument("--rows", type=int, nargs="+", default=[5_000, 60_000, 1_000_000])
    part.set_defaults(run=model)
    for name, part in parts.choices.items():
        part.add_argument("--write", action="store_true", help="also replace this section of docs/scale.md")
        part.set_defaults(name=name)
    options = parser.parse_args()
    text = options.run(options)
    print(text)
    if options.write:
        rounds.rewrite(ROOT / "docs" / "scale.md", f"scale {options.name}", text)


if __name__ == "__main__":
    main()
