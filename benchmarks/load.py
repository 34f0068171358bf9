"""How the plugin carries a large suite: many claim files to collect, many records to write.

    python benchmarks/load.py [--files 1000] [--claims 10]

Prints seconds and peak memory of `pytest --co` on that many files, in a process of its own, and of writing each report for as
many records. Beside each stands a floor measured in the same run: the same files through PyYAML alone, and `json.dumps` alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HEAD = """\
paper: {{arxiv_id: "2301.12597", title: "Paper {file}"}}
protocol:
  checkpoint: {{id: Salesforce/blip2-opt-2.7b}}
  dataset: {{id: nlphuji/flickr30k, images: 1000}}
  image: {{size: 224}}
  prompt: a photo of
  decoding: {{strategy: beam, num_beams: 5, max_new_tokens: 30}}
  precision: float16
  metric: coco-caption
run: {{evaluator: captioning, requires: {{device: cuda}}}}
claims:
"""

ENTRY = """\
  - id: claim-{file}-{claim}
    citation: {{section: Table 3, row: BLIP-2, column: B@4, quoted_text: "BLIP-2 43.7"}}
    reported: {{metric: bleu4, value: 43.7, unit: percent}}
    tolerance: {{pass: 1.0, partial: 5%}}
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--claims", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "claims").mkdir()
        for file in range(options.files):
            text = HEAD.format(file=file) + "".join(ENTRY.format(file=file, claim=i) for i in range(options.claims))
            (folder / "claims" / f"f{file:05}.yaml").write_text(text)
        floor = _yaml_alone(folder)
        seconds, megabytes = _collect(folder)
        total = options.files * options.claims
        print(f"{options.files:,} files, {total:,} claims")
        print(
            f"{seconds:8.2f} s {megabytes:6.0f} MB  pytest --co  ({seconds / floor:.1f} x PyYAML alone, {floor:.2f} s)"
        )
        _write(folder, total)


def _collect(folder: Path) -> tuple[float, float]:
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pytest", "claims", "--co", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - started
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def _yaml_alone(folder: Path) -> float:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    started = time.perf_counter()
    for path in folder.glob("claims/*.yaml"):
        yaml.compose(path.read_text(), Loader=loader)
    return time.perf_counter() - started


def _write(folder: Path, total: int) -> None:
    from pytest_claims import reports, spec, verdict
    from pytest_claims.reports.format import RunInfo
    from pytest_claims.reports.record import of_verdict

    (claim, *_) = spec.load(folder / "claims" / "f00000.yaml", display="claims/f00000.yaml")
    found = verdict.undecided(claim, verdict.Status.NOT_ATTEMPTED, "No weights.")
    records = [
        of_verdict(found, nodeid=f"claims/x.yaml::{i}", result=verdict.Result.SKIPPED, message="m", seconds=0.0)
        for i in range(total)
    ]
    run = RunInfo(tool="bench", command="bench", gate="partial", exit_status=0, collected=total, deselected=0)
    started = time.perf_counter()
    json.dumps([record.values() for record in records])
    floor = time.perf_counter() - started
    for suffix in (".json", ".xml"):
        started = time.perf_counter()
        reports.write(folder / f"v{suffix}", run, records)
        seconds = time.perf_counter() - started
        print(
            f"{seconds:8.2f} s            {suffix} report of {total:,} records  ({seconds / floor:.1f} x json.dumps alone)"
        )


if __name__ == "__main__":
    main()
