"""What every test needs to stand on.

pytester forgets the modules that a run inside the test process imported first. Those with compiled parts cannot be
imported twice, or leave two copies of their classes; so they are imported here, before the first run.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import hypothesis
import jinja2
import numpy.fft
import pydantic
import pytest
import yaml

import pytest_claims.bar
import pytest_claims.bench
import pytest_claims.items
import pytest_claims.metrics
import pytest_claims.recorder
import pytest_claims.reports.html
import pytest_claims.reports.json
import pytest_claims.reports.junit
import pytest_claims.reports.markdown
import pytest_claims.reports.terminal
import pytest_claims.run  # noqa: F401

if TYPE_CHECKING:
    from collections.abc import Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")
"""torch reads it when it is imported. The models are tiny: threads that wait for each other take longer than the work."""

for name in [name for name in os.environ if name.startswith("TQDM_")]:
    del os.environ[name]  # tqdm reads them when it is imported: TQDM_DISABLE=1 would show no progress to any test

# Many tests start Python. What it compiles, and what pytest rewrites of this package, is kept, whatever the environment says.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Examples that do not change between runs, and no limit on the time of one: it would fail on a busy machine.
hypothesis.settings.register_profile("suite", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("suite")

__all__ = ["jinja2", "numpy", "pydantic", "yaml"]


LONG = (
    "tests/test_resume.py", "tests/attacks/test_candidate.py", "tests/attacks/test_counting.py", "tests/sources/test_hub.py",
    "tests/beam/test_beam.py", "tests/evaluation/test_retrieval.py", "tests/test_plugin.py", "tests/citation/test_check.py",
)  # fmt: skip
"""Files that take a worker of pytest-xdist half a minute and more. They come first, so that none is left for the end."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put long files first, where there are workers."""
    if hasattr(config, "workerinput"):
        places = {name: place for place, name in enumerate(LONG)}
        items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(LONG)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each file to one worker, which makes its fixtures once, in the order of collection."""
    from xdist.scheduler import LoadFileScheduling

    if config.getoption("dist") != "load":  # somebody asked for another way
        return None
    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def _key_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The key that seals evidence is the tests' own: nobody's home folder is touched, and fixtures share it with tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield
