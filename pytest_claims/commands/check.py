"""Check claim files as pytest does when it collects them, then the paths and hub ids in them. Nothing is run or downloaded.

A file of data or weights that is not here is a note, and no problem: many repositories may not ship it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_claims.commands import add_data, tell, warn, with_metrics
from pytest_claims.errors import ClaimsError, NotAttempted, SpecError
from pytest_claims.files import CLAIM_SUFFIXES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from pytest_claims.settings import Settings
    from pytest_claims.spec import Claim

HELP = "check claim files, without running anything"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="a claim file, or a folder: every *.yaml and *.yml below it"
    )
    add_data(parser)
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="NAME",
        help="a metric that a plugin or conftest.py adds: its code is not run here; repeatable",
    )
    parser.add_argument(
        "--evaluator",
        action="append",
        default=[],
        metavar="NAME",
        help="an evaluator that a plugin or conftest.py adds: its keys under run are not checked here; repeatable",
    )


def run(arguments: argparse.Namespace) -> int:
    """Check every file; 1 if one of them has a problem."""
    from pytest_claims import api, settings
    from pytest_claims.spec import RUNS
    from pytest_claims.spec.hooked import UnknownRun

    chosen = settings.of(Path.cwd(), claims_data=arguments.claims_data)
    metrics = with_metrics(arguments.metric)
    runs = {**dict.fromkeys(arguments.evaluator, UnknownRun), **RUNS}
    good = True
    for path in _files(arguments.files):
        try:
            claims = api.read(path, metrics, chosen.data, runs=runs)
        except SpecError as error:
            good = False
            for line in error.problems:
                warn(line)
            continue
        wrong = False
        for problem, where in _names(claims, chosen):
            missing = isinstance(problem, NotAttempted)
            wrong = wrong or not missing
            warn(f"{where}: {'note: ' if missing else ''}{problem}")
        good = good and not wrong
        if not wrong:
            tell(f"{claims[0].display}: {len(claims)} {'claim' if len(claims) == 1 else 'claims'}")
    return 0 if good else 1


def _files(given: Sequence[str]) -> Iterator[Path]:
    """The files to check. A folder without a claim file is a problem: a check of nothing must not look good."""
    for name in given:
        path = Path(name)
        if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where the name is too long
            yield path
            continue
        found = sorted(below for below in path.rglob("*") if below.suffix in CLAIM_SUFFIXES and below.is_file())
        if not found:
            raise ClaimsError(f"{name}: there is no *.yaml or *.yml file below this folder.")
        yield from found


def _names(claims: Sequence[Claim], chosen: Settings) -> Iterator[tuple[ClaimsError, str]]:
    """What is wrong with the paths and ids of a file, each once, with the place of the first claim that has it."""
    from pytest_claims import protocol
    from pytest_claims.bench import Bench

    bench, seen = Bench(), set()
    for claim in claims:
        try:
            problems: Sequence[ClaimsError] = bench.preflight(
                protocol.plan(claim, chosen), collect=True, names=True
            ).problems
        except ClaimsError as error:
            problems = [error]
        for problem in problems:
            if str(problem) not in seen:
                seen.add(str(problem))
                yield problem, claim.where
