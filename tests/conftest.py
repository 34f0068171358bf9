"""What every test needs to stand on.

pytester forgets the modules that a run inside the test process imported first. Those with compiled parts cannot be
imported twice, or leave two copies of their classes; so they are imported here, before the first run.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

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

# Examples that do not change between runs, and no limit on the time of one: it would fail on a busy machine.
hypothesis.settings.register_profile("suite", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("suite")

__all__ = ["jinja2", "numpy", "pydantic", "yaml"]


@pytest.fixture(scope="session", autouse=True)
def _key_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The key that seals evidence is the tests' own: nobody's home folder is touched, and fixtures share it with tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield
