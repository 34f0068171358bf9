"""Configurations that use more of the machine, or of the network, than counting their parameters needs."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests import hub
from tests.builders import claim, parameters, write
from tests.counting.test_parameters import OPT_TOTAL, small_opt
from tests.hub import Hub, Served

if TYPE_CHECKING:
    from pathlib import Path

CONFTEST = """
from pytest_claims.counting import counter

counter.MEMORY = 2**30

def pytest_runtest_setup(item):
    counter.DEADLINE = 2 if item.name in ("layers", "depths", "encoder") else 100
"""
"""Bounds that a test can wait for. The code is the same. A claim that ends by itself has time on a busy machine."""

RESNET = {"model_type": "resnet", "architectures": ["ResNetBackbone"]}
DETR = {"model_type": "detr", "architectures": ["DetrModel"], "use_timm_backbone": False, "backbone": "acme/backbone"}
PRETRAINED = {"use_pretrained_backbone": True, "backbone_kwargs": {"use_pretrained_backbone": True}}

ATTACKS: dict[str, dict[str, Any]] = {
    "layers": small_opt(num_hidden_layers=10**6),
    "depths": {"model_type": "swin", "architectures": ["SwinModel"], "depths": [10**7], "num_heads": [3]},
    "encoder": {"model_type": "bart", "architectures": ["BartModel"], "encoder_layers": 10**7, "d_model": 16},
    "listed": {"model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"], "num_hidden_layers": 10**9},
    "backbone": DETR,
    "pretrained": {**DETR, **PRETRAINED},
}
"""One configuration each; after them an honest one is counted."""

TIME = "the configuration was not counted within 2 s, and counting it was stopped. Expected a model of at most some thousand"
MEMORY = "Expected a model that can be built, without its weights, in 1 GiB of memory."
LINUX = sys.platform.startswith("linux")
"""Other systems do not bound the memory of a process."""


@pytest.fixture(scope="module")
def reasons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Why each of `ATTACKS` is an error, as it must be.

    The claims run one after another, and the honest one, the last, must pass. The hub that may be asked for a backbone is a
    server on loopback, which must see no request.
    """
    folder = tmp_path_factory.mktemp("attacks")
    claims = folder / "claims"
    claims.mkdir()
    (folder / "conftest.py").write_text(CONFTEST)
    configs = {name: config for name, config in ATTACKS.items() if LINUX or name != "listed"} | {"honest": small_opt()}
    size = {"metric": "total_parameters", "value": str(OPT_TOTAL), "unit": "count"}
    made = [claim(name, **size, tolerance__partial=0, run__config__path=f"{name}.json") for name in configs]
    write(claims / "paper.yaml", parameters(*made, protocol__metric="parameter-count"))
    for name, config in configs.items():
        (claims / f"{name}.json").write_text(json.dumps(config))
    with Hub({"models/acme/backbone": Served({"config.json": json.dumps(RESNET).encode()})}) as server:
        process, records = hub.run(folder, torch=False, HF_ENDPOINT=server.url)
    assert server.log == []
    assert process.returncode == 1
    assert set(records) == set(configs)
    assert records.pop("honest")["verdict"]["status"] == "pass"
    found = {}
    for name, record in records.items():
        assert record["verdict"]["status"] == "error"
        path = f"{claims / name}.json: "
        assert record["evidence"]["reason"].startswith(path)
        found[name] = record["evidence"]["reason"].removeprefix(path)  # the folder's name says what the test looks for
    return found


def test_keep_the_machine_busy_with_a_million_layers(reasons: dict[str, str]) -> None:
    """A million layers would take an hour: counting ends at the deadline, as an error, and the next claim is counted."""
    assert TIME in reasons["layers"]


@pytest.mark.skipif(not LINUX, reason="the system does not bound the memory of a process as Linux does")
def test_fill_the_memory_with_a_list_of_layers(reasons: dict[str, str]) -> None:
    """A configuration whose constructor lists its layers, a thousand million of them, fills no more than the bound."""
    assert MEMORY in reasons["listed"]


def test_keep_the_machine_busy_with_depths(reasons: dict[str, str]) -> None:
    """A depth that stands in a list is bounded like a number of layers."""
    assert TIME in reasons["depths"]


def test_keep_the_machine_busy_with_encoder_layers(reasons: dict[str, str]) -> None:
    """The layers of an encoder, under their own name, are bounded too."""
    assert TIME in reasons["encoder"]


def test_make_counting_fetch_a_backbone_by_name(reasons: dict[str, str]) -> None:
    """A backbone that is a name on the hub is not asked for: the error says that there is no network."""
    assert "offline" in reasons["backbone"].lower()


def test_make_counting_fetch_a_pretrained_backbone(reasons: dict[str, str]) -> None:
    """A backbone with weights of the hub's or timm's is not fetched."""
    assert "offline" in reasons["pretrained"].lower()


def test_leave_a_process_behind(tmp_path: Path) -> None:
    """The process that counts ends with the one that asked it, even if that one was killed in the middle of a count."""
    if not sys.platform.startswith("linux"):
        pytest.skip("the system has no signal for the death of a parent")
    path = tmp_path / "large.json"
    os.mkfifo(path)  # the other end is opened when the process that counts begins with it
    program = f"""
import subprocess
from pathlib import Path
from pytest_claims.counting import counter

class Popen(subprocess.Popen):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        print(self.pid, flush=True)

subprocess.Popen = Popen
counter.count(Path({str(path)!r}), ())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        child = os.pidfd_open(int(asking.stdout.readline()))
        path.write_text(json.dumps(small_opt(num_hidden_layers=10**6)))
        assert select.select([child], [], [], 0)[0] == []
        asking.kill()
        assert select.select([child], [], [], 10)[0] == [child]
        os.close(child)


def test_answer_in_place_of_the_counter(tmp_path: Path) -> None:
    """What a library prints while a configuration is built is not taken for the answer."""
    noise = tmp_path / "noise"
    noise.mkdir()
    (noise / "sitecustomize.py").write_text(
        "import os, sys\n"
        "def hook(event, arguments):\n"
        "    if event == 'open' and 'modeling_opt' in str(arguments[0]):\n"
        f"        os.makedirs({str(noise / 'made')!r}, exist_ok=True)\n"
        '        print(\'{"error": "printed"}\', flush=True)\n'
        "        os.write(1, b'{\"counts\": {}}\\n')\n"
        "sys.addaudithook(hook)\n"
    )
    path = tmp_path / "small.json"
    path.write_text(json.dumps(small_opt()))
    program = (
        "import sys; from pathlib import Path; from pytest_claims.counting import counter; "
        "print(counter.count(Path(sys.argv[1]), ()).total)"
    )
    paths = os.pathsep.join([str(noise), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True, text=True, check=False, timeout=300, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == (f"{OPT_TOTAL}\n", "", 0)
    assert (noise / "made").is_dir()
