"""Which device a process runs on, with functions that stand in for those of `torch.cuda`."""

from __future__ import annotations

import pytest
import torch

from pytest_claims.errors import NotAttempted
from pytest_claims.machine import choose_device


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with four GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_each_worker_of_xdist_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    """`pytest -n 4` on four GPUs uses each of them; further workers share them."""
    found = []
    for number in range(6):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", f"gw{number}")
        found.append(str(choose_device(wanted, "cuda", command="")))
    assert found == ["cuda:0", "cuda:1", "cuda:2", "cuda:3", "cuda:0", "cuda:1"]


@pytest.mark.usefixtures("gpus")
def test_a_device_that_the_user_names_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a number nor `cpu` is changed by xdist; outside xdist, PyTorch's current device is used."""
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw3")
    assert str(choose_device("cuda:1", "cpu", command="")) == "cuda:1"
    assert str(choose_device("cpu", "cuda", command="")) == "cpu"
    with pytest.raises(NotAttempted, match="this machine has 4 CUDA devices"):
        choose_device("cuda:4", "cpu", command="")
    monkeypatch.delenv("PYTEST_XDIST_WORKER")
    assert str(choose_device("auto", "cuda", command="")) == "cuda"


def test_one_gpu_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one GPU, all workers use it, under the name that it has without xdist."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw3")
    assert str(choose_device("auto", "cuda", command="")) == "cuda"
