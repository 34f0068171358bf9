"""`--claims-executor=ray` on real clusters of several processes on this machine: `tox -e ray`.

Most tests share one cluster of Ray's own `ray.cluster_utils`: a head without CPUs and two nodes, each with its own raylet. The
driver is this process, so that torch is imported once. The model is the tiny BLIP-2, and captions are compared with those of a
run in one process, byte for byte.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims.bench import Bench
from pytest_claims.run import Session
from pytest_claims.settings import Settings
from pytest_claims.spec import load
from pytest_claims.store.disk_folder import DiskFolder
from pytest_claims.verdict import Status
from tests.cluster import processes
from tests.evaluation.test_closed import ANSWERER, ranking
from tests.running import LEAN
from tests.shapes import SHAPES, rows, write_claim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_claims.spec import Claim
    from pytest_claims.verdict import Verdict

pytestmark = pytest.mark.skipif(
    os.environ.get("PYTEST_CLAIMS_RAY") != "1", reason="starts Ray clusters: tox -e ray, or PYTEST_CLAIMS_RAY=1"
)

COUNT = 48
BATCH = 4
ROOT = Path(__file__).parents[2]
LIMIT = 400
"""Seconds after which a process is taken to hang."""


def soon() -> float:
    """The 10 seconds that a session has to end: of a machine that has time for it."""
    return 10 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex}
"""With a token in the environment, Ray writes none to the home folder. It has to be there when Ray is imported."""

# Loaded by every Python process of the shared cluster. A file in FLAGS switches one of these on.
CUSTOM = """
import importlib.metadata, os, pathlib
flags = pathlib.Path(os.environ["FLAGS"])

from pytest_claims.sources import pictures
decode = pictures.decode
def deadly(value, name, folders):
    if (flags / "poison").exists() and name == (flags / "poison").read_text():
        os.kill(os.getpid(), 9)
    return decode(value, name, folders)
pictures.decode = deadly

from pytest_claims.cluster import actor
loads = actor.pickle.loads
def blind(data):
    if (flags / "blind").exists():
        raise FileNotFoundError("no such file on this machine")
    return loads(data)
actor.pickle = type("pickle", (), {"loads": staticmethod(blind)})

version = importlib.metadata.version
def old(name):
    return "0.1" if name == "tokenizers" and (flags / "old").exists() else version(name)
importlib.metadata.version = old
"""

# A plugin for a driver of its own process. When seven captions are written, STOP happens: Ctrl-C, or the end of the process.
PLUGIN = """
import os, pathlib, signal
from pytest_claims.store.disk_folder import DiskFolder

append, count = DiskFolder.append, 0

def stopping(self, caption, image_digest):
    global count
    append(self, caption, image_digest)
    count += 1
    if count == 7 and "STOP" in os.environ:
        pathlib.Path("stopped").touch()
        os.kill(os.getpid(), getattr(signal, os.environ["STOP"]))

DiskFolder.append = stopping
"""


class Run:
    """A verdict, and the evidence behind it.

    Args:
        claim: the claim.
        evidence: the folder for evidence.
        executor: where images are captioned; None: here.
        audit: as `--claims-audit`.
        data: as `--claims-data`.
    """

    def __init__(
        self, claim: Claim, evidence: Path, executor: Any = None, *, audit: int | None = None, data: Path = SHAPES
    ) -> None:
        self.said: list[str] = []
        bench = Bench(evidence=lambda: evidence, executor=executor, say=self.said.append, audit=audit)
        self.verdict: Verdict = Session(Settings(data=(data,), audit=audit), bench, {}).verify(claim)
        self.folder = evidence

    @property
    def captions(self) -> bytes:
        """The captions file of the only evidence folder; empty if there is none."""
        return b"".join(path.read_bytes() for path in self.folder.glob("*/captions.jsonl"))

    @property
    def provenance(self) -> dict[str, Any]:
        """How the captions were made."""
        assert self.verdict.evidence is not None, self.verdict.reason
        return dict(self.verdict.evidence.provenance)

    def equals(self, other: Run) -> bool:
        """Whether captions and verdict are those of another run."""
        first, second = self.verdict, other.verdict
        assert first.evidence is not None, first.reason
        assert second.evidence is not None
        return (
            self.captions == other.captions
            and (first.status, first.score, first.readings) == (second.status, second.score, second.readings)
            and first.evidence.digest == second.evidence.digest
        )


def wait_for(condition: Callable[[], object], seconds: float) -> float:
    """Wait until a condition holds that another process brings about; how long it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "it did not happen"
        time.sleep(0.05)
    return time.monotonic() - start


@pytest.fixture(scope="module")
def claim(tmp_path_factory: pytest.TempPathFactory) -> Claim:
    """A claim about a few of the images of the tiny BLIP-2."""
    path = write_claim(tmp_path_factory.mktemp("claim"), count=COUNT, run__batch_size=BATCH)
    return load(path)[0]


@pytest.fixture(scope="module")
def local(claim: Claim, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The claim's run in one process."""
    found = Run(claim, tmp_path_factory.mktemp("local"))
    assert found.verdict.status is not Status.ERROR, found.verdict.reason
    return found


def add_node(cluster: Any, **given: Any) -> None:
    """Add a node. Ray gives one 30 seconds to start, which is not enough where other programs keep all cores busy."""
    for _ in range(5):
        with suppress(Exception):
            cluster.add_node(object_store_memory=80 * 2**20, **given)
            return
    pytest.fail("a node of Ray did not start in 30 seconds, five times")


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A cluster of a head without CPUs and two nodes with one each. A test that kills one adds another."""
    flags = tmp_path_factory.mktemp("flags")
    (flags / "sitecustomize.py").write_text(CUSTOM, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in TOKEN.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(flags), str(ROOT)]))
        patch.setenv("FLAGS", str(flags))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        mark = uuid.uuid4().hex
        patch.setenv(processes.MARK, mark)
        import ray
        from ray.cluster_utils import Cluster

        made = Cluster()
        add_node(made, num_cpus=0, include_dashboard=False)
        for _ in range(2):
            add_node(made, num_cpus=1)
        patch.setenv("RAY_ADDRESS", made.address)
        patch.setenv(processes.MARK, "none")
        made.mark, made.flags = mark, flags
        yield made
        ray.shutdown()
        made.shutdown()


@pytest.fixture(scope="module")
def cluster(machines: Any) -> Iterator[Any]:
    """The executor of most tests: its actors keep their weights from one test to the next."""
    assert machines
    from pytest_claims.cluster.executor import Cluster

    made = Cluster(1)
    yield made
    made.close()


@pytest.fixture
def alone(cluster: Any) -> Iterator[Any]:
    """An executor that finds the cluster free: its actors are new ones."""
    from pytest_claims.cluster.executor import Cluster

    cluster.close()
    made = Cluster(1)
    yield made
    made.close()


@pytest.fixture
def flag(machines: Any) -> Iterator[Callable[..., None]]:
    """Switches something on in the processes of the cluster, for one test."""
    made: list[Path] = []

    def switch(name: str, content: str = "") -> None:
        path = machines.flags / name
        path.write_text(content, encoding="utf-8")
        made.append(path)

    yield switch
    for path in made:
        path.unlink(missing_ok=True)


@pytest.fixture
def after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], None]:
    """Lets something happen when so many captions are kept."""

    def arrange(count: int, event: Callable[[], None]) -> None:
        append, kept = DiskFolder.append, []

        def counting(self: DiskFolder, caption: Any, image_digest: str) -> None:
            append(self, caption, image_digest)
            kept.append(caption)
            if len(kept) == count:
                event()

        monkeypatch.setattr(DiskFolder, "append", counting)

    return arrange


# --- a cluster that runs already ---


def test_captions_are_those_of_one_process(cluster: Any, claim: Claim, local: Run, tmp_path: Path) -> None:
    """Captions, seals and verdict are the local ones; both machines took part, and read the images themselves."""
    found = Run(claim, tmp_path, cluster)
    assert found.equals(local)
    assert found.provenance["executor"].startswith("ray ")
    assert found.provenance["images_read"] == "by the actors"
    assert "actors_lost" not in found.provenance
    told = "\n".join(found.said)
    assert ": 2 actors, each with 1 CPU, float32" in told
    assert "images: the actors read them (2 machines asked)" in told


def test_ranked_answers_are_those_of_one_process(cluster: Any, tmp_path: Path) -> None:
    """A closed list of answers, ranked by actors: the same order, the same verdict, the same digest."""
    claim = ranking(tmp_path)
    here = Run(claim, tmp_path / "here", data=ANSWERER)
    there = Run(claim, tmp_path / "there", cluster, data=ANSWERER)
    assert there.provenance["executor"].startswith("ray")
    assert b'"ranked"' in there.captions
    assert there.equals(here)


def test_weights_stay_and_evidence_is_used_again(cluster: Any, claim: Claim, local: Run, tmp_path: Path) -> None:
    """The next run of a checkpoint starts no new actor. Evidence of one process is used on the cluster, and audited there."""
    Run(claim, tmp_path / "first", cluster)
    before = set(cluster.actors())
    found = Run(claim, local.folder, cluster, audit=5)
    assert found.equals(local)
    assert found.provenance["captions"].startswith(f"{COUNT} of {COUNT} from evidence of ")
    assert found.verdict.evidence is not None
    assert found.verdict.evidence.notes[-1] == (
        f"Audit: 5 of {COUNT} captions were generated again, and none differs from the evidence."
    )
    assert before
    assert set(cluster.actors()) >= before


def test_an_actor_dies(
    machines: Any, cluster: Any, claim: Claim, local: Run, tmp_path: Path, after: Callable[..., None]
) -> None:
    """Its images go to others: at most the batch that it decoded, and the one that it prepared."""
    after(9, lambda: os.kill(processes.captioners(machines.mark)[0], signal.SIGKILL))
    found = Run(claim, tmp_path, cluster)
    assert found.equals(local)
    assert found.provenance["actors_lost"] == 1
    assert 0 <= found.provenance["images_redone"] <= 2 * BATCH


def test_a_machine_dies(
    machines: Any, cluster: Any, claim: Claim, local: Run, tmp_path: Path, after: Callable[..., None]
) -> None:
    """The others go on with its images, and none of these is suspected of having killed it."""

    def kill() -> None:
        captioners = set(processes.captioners(machines.mark))
        for raylet in processes.raylets(machines.mark):
            if captioners & set(family := processes.below(raylet)):
                for process in (raylet, *family):
                    os.kill(process, signal.SIGKILL)
                return
        pytest.fail("no raylet has an actor")

    after(9, kill)
    try:
        found = Run(claim, tmp_path, cluster)
    finally:
        add_node(machines, num_cpus=1)  # for the tests after this one
    assert found.equals(local)
    assert found.provenance["actors_lost"] == 1


def test_a_machine_that_reads_no_images(
    alone: Any, claim: Claim, local: Run, tmp_path: Path, flag: Callable[..., None]
) -> None:
    """The driver sends their bytes; the plan says so, the record too, and the captions are the same."""
    flag("blind")
    found = Run(claim, tmp_path, alone)
    assert found.equals(local)
    assert found.provenance["images_read"].startswith("by the driver, for ")
    assert "images: the driver sends them: no machine of the cluster reads them itself" in "\n".join(found.said)


def test_a_machine_that_has_left(cluster: Any, claim: Claim, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that died is listed for some seconds more. The plan asks the others, and is no error."""
    from pytest_claims import protocol
    from pytest_claims.cluster import connection

    cluster.connect()
    there = connection.nodes()
    gone = replace(there[0], id="e" * len(there[0].id), cpus=1)
    monkeypatch.setattr(connection, "nodes", lambda: (*there, gone))
    plan: Any = protocol.plan(claim, Settings(data=(SHAPES,)))
    assert cluster.access(plan, Bench()) == "the actors read them (2 machines asked)"
    monkeypatch.setattr(connection, "nodes", lambda: (gone,))
    assert cluster.access(plan, Bench()) == "no machine of the cluster answered when it was asked"


def test_an_image_that_kills_its_actor(
    cluster: Any, claim: Claim, local: Run, tmp_path: Path, flag: Callable[..., None]
) -> None:
    """It is named after two tries, and the claim is an error. Captions that were ready are kept, and the next run goes on."""
    name = sorted(row["filename"] for row in rows(COUNT))[5]
    flag("poison", name)
    found = Run(claim, tmp_path, cluster)
    assert found.verdict.status is Status.ERROR
    assert found.verdict.reason.startswith(
        f"Image {name}: two actors died while they captioned it, the second with no other image ("
    )
    flag("poison", "another")
    assert Run(claim, tmp_path, cluster).captions == local.captions


def test_two_plans_at_once(alone: Any, claim: Claim, local: Run, tmp_path: Path) -> None:
    """Two drivers share a cluster: each gets actors when there is room, and its own captions."""
    from pytest_claims.cluster.executor import Cluster

    other = load(write_claim(tmp_path, count=COUNT, run__batch_size=BATCH, protocol__decoding__num_beams=3))[0]
    alone.connect()
    executors = [Cluster(1), Cluster(1)]
    found: dict[int, Run] = {}

    def work(number: int, which: Claim) -> None:
        found[number] = Run(which, tmp_path / str(number), executors[number])
        executors[number].close()

    threads = [threading.Thread(target=work, args=(number, which)) for number, which in enumerate((claim, other))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert found[0].equals(local)
    assert found[1].captions.count(b"\n") == COUNT
    assert found[1].captions != local.captions


def test_checkpoints_run_side_by_side(
    alone: Any, claim: Claim, local: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claims of two checkpoints in one session run at the same time, and their verdicts come one after the other."""
    shutil.copytree(SHAPES / "model", tmp_path / "claims" / "twin")
    other = load(write_claim(tmp_path, count=COUNT, run__batch_size=BATCH, protocol__checkpoint__id="twin"))[0]
    append, begun, both = DiskFolder.append, set(), threading.Barrier(2, timeout=LIMIT)

    def meeting(self: DiskFolder, caption: Any, image_digest: str) -> None:
        if self.path not in begun:
            begun.add(self.path)
            both.wait()  # breaks if the other does not run
        append(self, caption, image_digest)

    monkeypatch.setattr(DiskFolder, "append", meeting)
    said: list[str] = []
    bench = Bench(evidence=lambda: tmp_path / "e", executor=alone, say=said.append)
    session = Session(Settings(data=(SHAPES,)), bench, {})
    session.expect([claim, other])
    verdicts = [session.verify(which) for which in (claim, other)]
    assert [verdict.score for verdict in verdicts] == [local.verdict.score] * 2
    assert [str(line).partition(":")[0] for line in said if "2 actors, each with" in line] == [
        claim.display,
        other.display,
    ]


def test_a_machine_with_other_versions(alone: Any, claim: Claim, tmp_path: Path, flag: Callable[..., None]) -> None:
    """Its captions might differ: the claim is an error that names the package and both versions; nothing is captioned."""
    flag("old")
    found = Run(claim, tmp_path, alone)
    assert found.verdict.status is Status.ERROR
    assert " has tokenizers 0.1, and this one " in found.verdict.reason
    assert found.captions == b""


def test_a_cluster_without_room(machines: Any, claim: Claim, tmp_path: Path) -> None:
    """What no machine of the cluster has is no attempt, and not a wait for ever."""
    from pytest_claims.cluster.executor import Cluster

    executor = Cluster(3)
    found = Run(claim, tmp_path, executor)
    executor.close()
    assert found.verdict.status is Status.NOT_ATTEMPTED
    assert (
        found.verdict.reason == f"No machine of the Ray cluster {machines.address} has room for an actor with 3 CPUs."
    )


# --- a local cluster ---


class Child:
    """A pytest process with a local cluster.

    Args:
        folder: has the claim file.
        variables: environment variables.
    """

    def __init__(self, folder: Path, **variables: str) -> None:
        (folder / "stopper.py").write_text(PLUGIN, encoding="utf-8")
        self.folder = folder
        self.mark = uuid.uuid4().hex
        environment = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "FLAGS")}
        paths = os.pathsep.join([str(folder), str(ROOT)])
        options = ["--claims-executor=ray", "--claims-actor-cpus=1", f"--claims-data={SHAPES}", "--claims-evidence=e"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "claims", "-v", "-p", "stopper", *LEAN, *options],
            cwd=folder,
            env={**environment, **TOKEN, "PYTHONPATH": paths, processes.MARK: self.mark, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def ended(self) -> tuple[int, str]:
        """Exit code and output."""
        try:
            output, _ = self.process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return self.process.returncode, output

    def gone(self) -> bool:
        """Whether no process is left that this one has started, at whatever remove."""
        return not processes.marked(self.mark)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the claim file of the fixture `claim`, where nothing has run."""
    write_claim(tmp_path, count=COUNT, run__batch_size=BATCH)
    return tmp_path


def test_a_local_cluster(folder: Path, local: Run) -> None:
    """Without RAY_ADDRESS, pytest starts a cluster on this machine. Captions are the local ones, and no process is left."""
    child = Child(folder)
    code, output = child.ended()
    assert code == 0, output
    (captions,) = folder.glob("e/*/captions.jsonl")
    assert captions.read_bytes() == local.captions
    assert "images: the actors run on this machine, and read them" in output
    wait_for(child.gone, soon())


def test_ctrl_c_ends_everything(folder: Path, local: Run) -> None:
    """Ctrl-C ends pytest and the cluster within 10 seconds. What was ready is kept, and used by a run in one process."""
    child = Child(folder, STOP="SIGINT")
    wait_for((folder / "stopped").exists, LIMIT)
    wait_for(child.gone, soon())
    code, output = child.ended()
    assert code == pytest.ExitCode.INTERRUPTED, output
    (claim,) = load(folder / "claims" / "small.yaml")
    assert Run(claim, folder / "e").captions == local.captions


def test_the_driver_is_killed(cluster: Any, folder: Path, local: Run) -> None:
    """A driver that is killed leaves no process. The next run, on another cluster, captions only what is missing."""
    child = Child(folder, STOP="SIGKILL")
    code, _ = child.ended()
    assert code == -signal.SIGKILL
    wait_for(child.gone, 6 * soon())
    (claim,) = load(folder / "claims" / "small.yaml")
    found = Run(claim, folder / "e", cluster)
    assert found.captions == local.captions
    assert found.provenance["captions"].startswith(f"7 of {COUNT} from evidence of ")
