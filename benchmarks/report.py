"""What an HTML report of a full test set costs: to write, to keep, and to open.

    python benchmarks/report.py [--images 5000] [--claims 4]

Prints, with thumbnails and without, seconds and peak memory of writing the report (in a process of its own), the file's size,
and, where there is Chromium with its driver and selenium, how long a browser takes until the page is interactive and until an
opened gallery shows its first images. Behind each number stands its bound. Thumbnails are random JPEGs of about 6 kB: noise, so
that they are no smaller than real ones. Exit status 1: a bound was missed.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS, MEGABYTES, MEGABYTES_WITHOUT, PEAK, INTERACTIVE = 20.0, 60.0, 5.0, 1000.0, 2.0
"""The bounds: to write, size with thumbnails and without, peak memory in MB, seconds until interactive."""

WORDS = (
    "a",
    "the",
    "man",
    "woman",
    "dog",
    "red",
    "blue",
    "small",
    "sits",
    "runs",
    "on",
    "near",
    "beach",
    "two",
    "with",
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--claims", type=int, default=4, help="claims that share the images")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        _write(options.write, options.images, options.claims, thumbnails=not options.bare)
        return
    missed = False
    with tempfile.TemporaryDirectory() as name:
        for bare in (False, True):
            path = Path(name) / f"{'bare' if bare else 'full'}.html"
            rest = ["--images", str(options.images), "--claims", str(options.claims), *(["--bare"] if bare else [])]
            child = subprocess.run(
                [sys.executable, __file__, "--write", str(path), *rest], capture_output=True, text=True, check=True
            )
            found = json.loads(child.stdout)
            print(f"{options.images:,} images, {options.claims} claims, {'no' if bare else 'with'} thumbnails")
            if not bare:
                print(f"    {found['thumbnail']:8,.0f} bytes a thumbnail")
            rows = [
                ("s to write", found["seconds"], SECONDS),
                ("MB, the file", path.stat().st_size / 1e6, MEGABYTES_WITHOUT if bare else MEGABYTES),
                ("MB, peak memory of writing", found["peak"], PEAK),
                *_opened(path),
            ]
            for what, value, bound in rows:
                missed |= value > bound
                print(f"    {value:8.2f} {what} (bound {bound:g})")
    sys.exit(missed)


def _write(path: Path, images: int, claims: int, *, thumbnails: bool) -> None:
    """Write the report; the time counts from the first import of ours, the memory is the whole process's."""
    rng = random.Random(0)  # noqa: S311 - a benchmark

    def sentence() -> str:
        return " ".join(rng.choices(WORDS, k=10)).capitalize() + "."

    captions = [sentence() for _ in range(images)]
    references = [[sentence() for _ in range(5)] for _ in range(images)]
    pictures = [_jpeg(i) for i in range(images)] if thumbnails else [""] * images
    scores = [[rng.random() for _ in range(images)] for _ in range(claims)]
    start = time.perf_counter()
    from pytest_claims.reports import html
    from tests.pages import gallery, record, session

    records = [record(f"claim-{i}") for i in range(claims)]
    ids = [f"COCO_val2014_{i:012}.jpg" for i in range(images)]
    galleries = {
        each.evidence.claim.nodeid: gallery(
            images, ids=ids, outputs=captions, references=references, scores=own, thumbnails=pictures
        )
        for each, own in zip(records, scores, strict=True)
    }
    path.write_bytes(html.render(session(), records, galleries).encode())
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    length = sum(len(picture) for picture in pictures) * 3 / 4 / images
    print(json.dumps({"seconds": seconds, "peak": peak, "thumbnail": length}))


def _jpeg(seed: int) -> str:
    from PIL import Image

    noise = Image.frombytes("RGB", (40, 30), random.Random(seed).randbytes(3600))  # noqa: S311 - a benchmark
    file = io.BytesIO()
    noise.resize((160, 120), Image.Resampling.BICUBIC).save(file, "JPEG", quality=72)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _opened(path: Path) -> list[tuple[str, float, float]]:
    """Seconds in a headless browser: until the table works, until all is read, until a gallery shows images."""
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        browser = None
    if not browser or not shutil.which("chromedriver"):
        print("    without Chromium, its driver and selenium, nothing is opened", file=sys.stderr)
        return []
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    options.page_load_strategy = "none"
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        driver.get("about:blank")
        time.sleep(1)
        start = time.perf_counter()
        driver.get(path.as_uri())
        # The filter writes the number of claims as soon as the script has run.
        _until(driver, "document.getElementById('_shown')?.textContent")
        works = time.perf_counter() - start
        _until(driver, "document.readyState === 'complete'")
        read = time.perf_counter() - start
        driver.execute_script("document.querySelector('.gallery > summary').click()")
        start = time.perf_counter()
        shown = "document.querySelectorAll('.gallery[open] .images > li').length === 50"
        _until(driver, f"{shown} && [...document.querySelectorAll('.images img')].every(i => i.complete)")
        opened = time.perf_counter() - start
    finally:
        driver.quit()
    return [
        ("s in Chromium until the table works", works, INTERACTIVE),
        ("s in Chromium until all is read", read, INTERACTIVE),
        ("s from a click until a gallery shows its images", opened, INTERACTIVE),
    ]


def _until(driver: object, condition: str) -> None:
    limit = time.perf_counter() + 60
    while not driver.execute_script(f"return !!({condition})"):  # type: ignore[attr-defined]
        if time.perf_counter() > limit:
            raise TimeoutError(condition)


if __name__ == "__main__":
    main()
