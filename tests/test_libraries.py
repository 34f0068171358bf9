"""How the large libraries are imported."""

from __future__ import annotations

import contextlib
import gc
import os

import pytest

from pytest_claims import libraries


def test_the_collector_is_as_it_was() -> None:
    """No cycles are collected inside; afterwards the collector is as it was, also after an exception."""
    assert gc.isenabled()
    during = []
    with contextlib.suppress(ImportError), libraries.importing():
        during.append(gc.isenabled())
        raise ImportError
    assert during == [False]
    assert gc.isenabled()
    gc.disable()
    try:
        with libraries.importing():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_sleep_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, given: str | None, expected: str
) -> None:
    """OpenMP's policy is set before torch is imported, and a user's own setting stays."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    with libraries.importing():
        assert os.environ["OMP_WAIT_POLICY"] == expected
