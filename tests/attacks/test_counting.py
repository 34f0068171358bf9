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
try:
    from pytest_claims.counting import counter
except ImportError:  # a release that has no bounds
    counter = None
else:
    counter.MEMORY = 2**30

def pytest_runtest_setup(item):
    if counter is not None:
        counter.DEADLINE = {deadline} if item.name == "attack" else 100
"""
"""Bounds that a test can wait for. The code is the same. The honest claim has time on a busy machine."""

SIZE = {"metric": "total_parameters", "value": str(OPT_TOTAL), "unit": "count"}
CLAIMS = parameters(
    claim("attack", **SIZE, tolerance__partial="50%", run__config__path="attack.json"),
    claim("honest", **SIZE, tolerance__partial=0, run__config__path="honest.json"),
    protocol__metric="parameter-count",
)

TIME = "the configuration was not counted within 2 s, and counting it was stopped. Expected a model of at most some thousand"
MEMORY = "Expected a model that can be built, without its weights, in 1 GiB of memory."


def attack(folder: Path, config: dict[str, Any], *, deadline: float = 2) -> str:
    """Count `config` and after it an honest one; gives the reason for the error that the first must be.

    The hub that it may ask for a backbone is a server on loopback, which must see no request.
    """
    claims = folder / "claims"
    claims.mkdir()
    (folder / "conftest.py").write_text(CONFTEST.format(deadline=deadline))
    write(claims / "paper.yaml", CLAIMS)
    (claims / "attack.json").write_text(json.dumps(config))
    (claims / "honest.json").write_text(json.dumps(small_opt()))
    resnet = {"model_type": "resnet", "architectures": ["ResNetBackbone"]}
    with Hub({"models/acme/backbone": Served({"config.json": json.dumps(resnet).encode()})}) as server:
        process, records = hub.run(folder, HF_ENDPOINT=server.url)
    assert server.log == []
    assert process.returncode == 1
    assert records["honest"]["verdict"]["status"] == "pass"
    assert records["attack"]["verdict"]["status"] == "error"
    reason: str = records["attack"]["evidence"]["reason"]
    path = f"{claims / 'attack.json'}: "
    assert reason.startswith(path)
    return reason.removeprefix(path)  # the folder's name says what the test looks for


def test_keep_the_machine_busy_with_a_million_layers(tmp_path: Path) -> None:
    """A million layers would take an hour: counting ends at the deadline, as an error, and the next claim is counted."""
    assert TIME in attack(tmp_path, small_opt(num_hidden_layers=10**6))


def test_fill_the_memory_with_a_list_of_layers(tmp_path: Path) -> None:
    """A configuration whose constructor lists its layers, a thousand million of them, fills no more than the bound."""
    config = {"model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"], "num_hidden_layers": 10**9}
    if not sys.platform.startswith("linux"):
        pytest.skip("the system does not bound the memory of a process as Linux does")
    assert MEMORY in attack(tmp_path, config, deadline=100)


def test_keep_the_machine_busy_with_depths(tmp_path: Path) -> None:
    """A depth that stands in a list is bounded like a number of layers."""
    config = {"model_type": "swin", "architectures": ["SwinModel"], "depths": [10**7], "num_heads": [3]}
    assert TIME in attack(tmp_path, config)


def test_keep_the_machine_busy_with_encoder_layers(tmp_path: Path) -> None:
    """The layers of an encoder, under their own name, are bounded too."""
    config = {"model_type": "bart", "architectures": ["BartModel"], "encoder_layers": 10**7, "d_model": 16}
    assert TIME in attack(tmp_path, config)


def test_make_counting_fetch_a_backbone_by_name(tmp_path: Path) -> None:
    """A backbone that is a name on the hub is not asked for: the error says that there is no network."""
    config = {
        "model_type": "detr",
        "architectures": ["DetrModel"],
        "use_timm_backbone": False,
        "backbone": "acme/backbone",
    }
    assert "offline" in attack(tmp_path, config, deadline=100).lower()


def test_make_counting_fetch_a_pretrained_backbone(tmp_path: Path) -> None:
    """A backbone with weights of the hub's or timm's is not fetched."""
    config = {
        "model_type": "detr", "architectures": ["DetrModel"], "use_timm_backbone": False, "backbone": "acme/backbone",
        "use_pretrained_backbone": True, "backbone_kwargs": {"use_pretrained_backbone": True},
    }  # fmt: skip
    assert "offline" in attack(tmp_path, config, deadline=100).lower()


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
