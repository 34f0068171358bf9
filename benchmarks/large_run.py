"""A captioning run of very many rows, with a stub in place of the decoder: `python -m benchmarks.scale model` starts it.

    python -m benchmarks.large_run FOLDER PHASE ROWS HOW      # one phase, in a process of its own

Real are the data set, the recipe (with the tiny model of claims/shapes, which is loaded and observed), the evidence folder with
its seals, resume, replay, audit, joining, scoring and the verdict. The stub says a caption at once, made of the row's own
references; so what is left is what grows with the rows. Phases: `run` is ended by Ctrl-C after half of the rows, `resume` goes
on to the end, `replay` scores the evidence without model and data. HOW is `streamed`, or anything else.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_claims.bench import Bench
    from pytest_claims.protocol import CaptioningPlan

ROOT = Path(__file__).resolve().parent.parent
SHAPES = ROOT / "claims" / "shapes"


class Stub:
    """An executor that says a caption at once.

    Args:
        stop: after how many captions Ctrl-C is pressed; None: never.
    """

    batch_size = 256

    def __init__(self, stop: int | None) -> None:
        self._stop = stop
        self._setup: Any = None

    def prepare(self, plan: CaptioningPlan, bench: Bench) -> Stub:
        """Load the model and read the data set, as a local run does."""
        from pytest_claims.bench import Bench
        from pytest_claims.evaluation.setup import prepare

        self._setup = prepare(plan, Bench(streaming=bench.streaming))
        self.recipe, self.split, self.changes = self._setup.recipe, self._setup.split, self._setup.changes
        return self

    def facts(self) -> dict[str, Any]:
        """As of the real run."""
        return dict(self._setup.facts())

    def evidence(self, _plan: CaptioningPlan, _bench: Bench) -> None:
        """Nothing runs ahead."""

    def close(self) -> None:
        """Nothing was started."""

    def caption(self, ids: Sequence[str]) -> Iterator[tuple[Any, str]]:
        """A caption for each image, in the order in which a decoder has them ready: the second of each two comes first."""
        from pytest_claims.evidence import Output

        references = self.split.references
        for number, name in enumerate(_swapped(ids)):
            if number == self._stop:
                raise KeyboardInterrupt
            words = references[name][0].split()
            text = " ".join([*words[:-1], "dog"])
            yield Output(id=name, text=text, references=references[name], tokens=len(words)), self.split.digest(name)


def _swapped(ids: Sequence[str]) -> Iterator[str]:
    held = None
    for name in ids:
        if held is None:
            held = name
        else:
            yield name
            yield held
            held = None
    if held is not None:
        yield held


class _Nothing:
    def told(self, _title: str) -> tuple[str, ...]:
        """Nothing."""
        return ()


class Anonymous:
    """The most memory of this process that is not a mapped file, looked at every 20 ms."""

    def __init__(self) -> None:
        self.peak = self.now()
        threading.Thread(target=self._look, daemon=True).start()

    @staticmethod
    def now() -> int:
        """In kB."""
        return status("RssAnon")

    def _look(self) -> None:
        while True:
            self.peak = max(self.peak, self.now())
            time.sleep(0.02)


def status(what: str) -> int:
    """A size of this process in kB."""
    found = re.search(what + r":\s*([0-9]+)", Path("/proc/self/status").read_text())
    assert found is not None  # noqa: S101 - Linux has all of them
    return int(found[1])


def main(folder: Path, phase: str, rows: int, how: str) -> None:
    """Run a phase, and print what it took as JSON."""
    from pytest_claims.bench import Bench
    from pytest_claims.run import Session
    from pytest_claims.settings import Settings
    from pytest_claims.spec import load

    (claim,) = load(folder / "claims" / "large.yaml")
    replayed = phase == "replay"
    stub: Any = None if replayed else Stub(rows // 2 if phase == "run" else None)
    settings = Settings(data=(SHAPES,), device="cpu", replay=replayed, accept_replay=replayed)
    bench = Bench(
        evidence=partial(Path, folder / "evidence"), replay=replayed, executor=stub, streaming=how == "streamed"
    )
    bench.preflight = lambda *_, **__: _Nothing()  # type: ignore[method-assign, assignment] # the stub has no device
    memory, started, verdict = Anonymous(), time.process_time(), None
    before = memory.now()
    with suppress(KeyboardInterrupt):
        verdict = Session(settings, bench, {}, through=(KeyboardInterrupt,)).verify(claim)
    found = {
        "status": verdict.status.value if verdict else "ended",
        "reason": verdict.reason if verdict else "",
        "digest": verdict.evidence.digest if verdict and verdict.evidence else "",
        "value": verdict.score.value if verdict and verdict.score else None,
        "seconds": time.process_time() - started,
        "before": before,
        "anonymous": memory.peak,
        "peak": status("VmHWM"),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])
