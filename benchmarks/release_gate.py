"""What the release gate takes and how often it errs: a candidate beside its reference, with a paired bootstrap.

    python -m benchmarks.release_gate speed       two runs of 5,000 images, four BLEUs, 1,000 resamples
    python -m benchmarks.release_gate copies      copies of claims/shapes/model: degraded, equal, and in bfloat16
    python -m benchmarks.release_gate rates       error rates of the decision, simulated with captions of these models

`copies` draws new scenes for each seed, and tries noise on the weights until the copy loses about one point of BLEU-4 on them.
`rates` captions a pool of scenes with the model and with noisy copies. It then draws 1,000 images of the pool again and again:
the loss of the whole pool is the true loss. For a true loss of 0, the two swap places at random, for each image.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.metrics import captions
from claims.shapes import scenes
from pytest_claims import paired, protocol
from pytest_claims.bench import Bench
from pytest_claims.metrics import BUILTIN, Corpus, Pair, Score
from pytest_claims.metrics.base import draw
from pytest_claims.settings import Settings
from pytest_claims.spec import Claim, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_claims.evidence import Evidence

SHAPES = Path(__file__).parents[1] / "claims" / "shapes"
ORDERS = (1, 2, 3, 4)
MARGINS = ("0", "0.1", "0.25", "0.5")
COST = 1.0
"""Points of BLEU-4 that the degraded copy loses."""
NEAR = 0.2
"""How exactly it does."""
SHARE = 0.08
"""Size of the noise, as a share of each tensor's standard deviation. Such noise costs about one point."""
IMAGES = 1000


def speed(images: int, resamples: int) -> None:
    """Time two runs: from the texts to four scores each, and the four comparisons."""
    ours, references = captions(images, 5, 0)
    theirs = [
        text if i % 3 else other for i, (text, other) in enumerate(zip(ours, captions(images, 5, 1)[0], strict=True))
    ]
    started = time.perf_counter()
    runs = Corpus(theirs, references), Corpus(ours, references)
    scores = {n: tuple(BUILTIN[f"bleu{n}"].score(run, resamples=0) for run in runs) for n in ORDERS}
    scored = time.perf_counter()
    pair = Pair(*runs)
    for n in ORDERS:
        pair.difference(BUILTIN[f"bleu{n}"], *scores[n], resamples=resamples)
    done = time.perf_counter()
    print(f"{images:,} images, {resamples:,} resamples, BLEU-1 to 4")
    print(f"  tokens and scores of both runs  {scored - started:.2f} s")
    print(f"  four paired comparisons         {done - scored:.2f} s")
    print(f"  together                        {done - started:.2f} s")


# --- copies of the shipped model ---


class Model:
    """Runs checkpoints on new scenes, as the claims of claims/shapes say.

    Args:
        folder: where data and copies are written.
        stream: names the scenes; another name gives other scenes.
        count: how many.
    """

    def __init__(self, folder: Path, stream: str, count: int) -> None:
        self.folder = folder
        write_scenes(folder / "data" / "test.parquet", stream, count)
        shutil.copytree(SHAPES / "model", folder / "model", dirs_exist_ok=True)
        text = (SHAPES / "shapes.yaml").read_text(encoding="utf-8")
        text = text.replace("images: 1000, fingerprint: ede5d1c61795e48c", f"images: {count}")
        (folder / "shapes.yaml").write_text(text, encoding="utf-8")
        self.claims: list[Claim] = list(load(folder / "shapes.yaml"))
        self.reference = self.run(None)

    def run(self, candidate: Path | None) -> tuple[Evidence, Corpus, dict[int, Score]]:
        """What a candidate gives; the shipped model, if there is none."""
        settings = Settings(candidates={"model": str(candidate)} if candidate else {}, device="cpu")
        evidence = Bench().evaluate(protocol.plan(self.claims[0], settings))
        made = evidence.outputs
        corpus = Corpus([c.text for c in made], [c.references for c in made], [c.id for c in made])
        return evidence, corpus, {n: BUILTIN[f"bleu{n}"].score(corpus, resamples=0) for n in ORDERS}

    def copy(self, change: Callable[[str, Any], Any]) -> Path:
        """A copy of the shipped model whose weights were changed, by name and tensor."""
        from safetensors.torch import load_file, save_file

        place = self.folder / "candidate"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(SHAPES / "model", place)
        weights = {
            name: change(name, value).contiguous() for name, value in load_file(place / "model.safetensors").items()
        }
        save_file(weights, place / "model.safetensors", metadata={"format": "pt"})
        return place

    def noisy(self, share: float, seed: int) -> Path:
        """A copy with normal noise of `share` of each tensor's standard deviation."""
        import torch

        generator = torch.Generator().manual_seed(seed)

        def change(_name: str, value: torch.Tensor) -> torch.Tensor:
            noise = torch.randn(value.shape, generator=generator)
            return value + share * value.std(unbiased=False) * noise if value.is_floating_point() else value

        return self.copy(change)

    def compared(self, candidate: tuple[Evidence, Corpus, dict[int, Score]], margin: str) -> dict[int, Any]:
        """The comparison with the shipped model, by order of BLEU."""
        pair = Pair(candidate[1], self.reference[1])
        return {
            n: paired.compare(
                pair, BUILTIN[f"bleu{n}"], (candidate[0], candidate[2][n]), (self.reference[0], self.reference[2][n]),
                unit="percent", margin=Decimal(margin), made="this session",
            )
            for n in ORDERS
        }  # fmt: skip


def write_scenes(parquet: Path, stream: str, count: int) -> None:
    """New scenes as the shipped data set has them."""
    import pyarrow
    import pyarrow.parquet

    rows = []
    for index in range(count):
        example = scenes.example(stream, index)
        picture = io.BytesIO()
        example.image.save(picture, format="PNG")
        name = f"{stream}-{index:05}.png"
        image = {"bytes": picture.getvalue(), "path": name}
        rows.append({"filename": name, "split": "test", "caption": list(example.captions), "image": image})
    parquet.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), parquet)


def degraded(model: Model, seed: int) -> tuple[int, tuple[Evidence, Corpus, dict[int, Score]]]:
    """The first noise of the size `SHARE` that costs `COST` points of BLEU-4: how many were tried, and the run of that copy."""
    for attempt in range(100):
        run = model.run(model.noisy(SHARE, 1000 * seed + attempt))
        if abs(100 * (model.reference[2][4].value - run[2][4].value) - COST) <= NEAR:
            return attempt + 1, run
    raise SystemExit(f"seed {seed}: no noise was found that costs {COST} ± {NEAR} points")


def copies(seeds: range, images: int) -> None:
    """The decisions on three copies of the shipped model, for every seed and margin."""
    import torch

    decisions: dict[tuple[str, str], Counter[str]] = {}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            model = Model(Path(folder), f"gate{seed}", images)
            tried, worse = degraded(model, seed)
            runs = {
                "degraded": worse,
                "equal": model.run(model.copy(lambda _name, value: value)),
                "bfloat16": model.run(
                    model.copy(lambda _n, value: value.to(torch.bfloat16) if value.is_floating_point() else value)
                ),
            }
            print(f"seed {seed}: {tried} tried", flush=True)
            for name, run in runs.items():
                print(f"  {name:9}", end="")
                for margin in MARGINS:
                    found = model.compared(run, margin)
                    worst = worst_of([one.decision for one in found.values()])
                    decisions.setdefault((name, f"bleu4, margin {margin}"), Counter())[found[4].decision] += 1
                    decisions.setdefault((name, f"four BLEUs, margin {margin}"), Counter())[worst] += 1
                    print(f" | {margin}: {found[4].decision}, four {worst}", end="")
                error = float(found[4].difference.standard_error)
                print(f" | bleu4 {found[4].difference.value:+.2f}, standard error {error:.2f}", flush=True)
    for (name, what), counted in sorted(decisions.items()):
        print(f"{name:10} {what:28} {', '.join(f'{count} {decision}' for decision, count in counted.most_common())}")


def worst_of(decisions: list[Any]) -> str:
    """What a release with four claims is: the worst of them."""
    order = (paired.Decision.NON_INFERIOR, paired.Decision.INCONCLUSIVE, paired.Decision.INFERIOR)
    return str(max(decisions, key=order.index))


# --- error rates ---


def rates(pool: int, shares: list[float], runs: int) -> None:
    """How often a decision is `inferior` or `non-inferior`, for true losses of 0, of the margin and of twice the margin."""
    with tempfile.TemporaryDirectory() as folder:
        model = Model(Path(folder), "pool", pool)
        theirs = {n: BUILTIN[f"bleu{n}"].statistics(model.reference[1]) for n in ORDERS}  # type: ignore[attr-defined]
        print(f"{runs:,} simulated gates of {IMAGES:,} images each, drawn from {pool:,}; 1,000 resamples")
        print(
            "metric  margin  standard error  margin/error  inferior at 0  inferior at 2 x margin  wrong at the margin"
        )
        for share in shares:
            _, corpus, _ = model.run(model.noisy(share, 1))
            for n in ORDERS:
                ours = BUILTIN[f"bleu{n}"].statistics(corpus)  # type: ignore[attr-defined]
                print(next(row(n, ours, theirs[n], runs)), flush=True)


def row(n: int, ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any], runs: int) -> Iterator[str]:
    """One row of the table."""
    metric: Any = BUILTIN[f"bleu{n}"]
    loss = 100 * float(metric.value(theirs.sum(0)[None])[0] - metric.value(ours.sum(0)[None])[0])
    margin = loss / 2
    rng = np.random.default_rng(n)
    found: Counter[str] = Counter()
    errors = []
    for run in range(runs):
        picked = rng.integers(0, len(ours), IMAGES)
        one, other = ours[picked], theirs[picked]
        low, high, error = interval(metric, one, other, run)
        errors.append(error)
        found["at twice"] += low > margin
        found["at margin"] += low > loss or high <= loss
        swap = rng.random(IMAGES)[:, None] < 0.5
        low, _, _ = interval(metric, np.where(swap, one, other), np.where(swap, other, one), run)
        found["at zero"] += low > margin
    error = float(np.median(errors))
    yield (
        f"bleu{n}   {margin:6.2f}  {error:14.3f}  {margin / error:12.2f}  {found['at zero'] / runs:13.1%}  "
        f"{found['at twice'] / runs:22.1%}  {found['at margin'] / runs:19.1%}"
    )


def interval(
    metric: Any, ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any], seed: int
) -> tuple[float, float, float]:
    """The 95 % interval of the loss in points, as `metrics.Pair` computes it, and its standard error."""
    sums = draw(np.hstack([ours, theirs]), resamples=1000, seed=seed)
    columns = ours.shape[1]
    each = 100 * (metric.value(sums[:, columns:]) - metric.value(sums[:, :columns]))
    low, high = np.quantile(each, (0.025, 0.975))
    return float(low), float(high), float(np.std(each, ddof=1))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "copies", "rates"))
    parser.add_argument("--images", type=int, help="of `speed` (5,000) and of `copies` (1,000)")
    parser.add_argument("--resamples", type=int, default=1000, help="of `speed`")
    parser.add_argument("--seeds", type=int, default=20, help="of `copies`")
    parser.add_argument("--first", type=int, default=0, help="the first seed of `copies`")
    parser.add_argument("--pool", type=int, default=8000, help="images of `rates`")
    parser.add_argument("--runs", type=int, default=400, help="simulated gates of `rates`")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.05, 0.1, 0.15, 0.2, 0.3], help="levels of `rates`")
    given = parser.parse_args()
    if given.what == "speed":
        speed(given.images or 5000, given.resamples)
    elif given.what == "copies":
        copies(range(given.first, given.first + given.seeds), given.images or IMAGES)
    else:
        rates(given.pool, given.noise, given.runs)


if __name__ == "__main__":
    main()
