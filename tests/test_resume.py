"""Resume, replay, audit and locking of real runs, through pytest: the tiny BLIP-2 on a handful of its images."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_claims import spool
from pytest_claims.store import seal
from tests import forked
from tests.running import LEAN, without_timings
from tests.shapes import SHAPES, datasets, torch, warm, write_claim

__all__ = ["warm"]  # a fixture of this module

COUNT = 12
BATCH = 4
METRICS = ("bleu1", "bleu4")

KILLS = int(os.environ.get("PYTEST_CLAIMS_KILLS", "0"))
"""How many times, at random instants, a run of a few hundred images is killed: `tox -e kill`."""

# A plugin for a child process. STOP says what happens when so many lines of captions have been written: `torn` writes half of
# the next line and kills the process, the first that comes so far; `interrupt` is Ctrl-C.
PLUGIN = """
import os, pathlib, signal
from pytest_claims.store import disk_folder

kind, _, after = os.environ.get("STOP", "").partition(":")
once = pathlib.Path("stopped")
write, count = os.write, 0

def stopping(handle, data):
    global count
    if bytes(data[:6]) == b'{"id":' and not once.exists():
        count += 1
        if count > int(after):
            if kind == "interrupt":
                raise KeyboardInterrupt
            once.touch()
            write(handle, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
    return write(handle, data)

if kind:
    disk_folder.os = type("os", (), {**vars(os), "write": staticmethod(stopping)})
"""

# Replay must not need what a machine that only reads evidence has not.
WITHOUT_TORCH = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "datasets", "tokenizers"):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Refuse())
"""


def child(folder: Path, *options: str, plugin: str = PLUGIN, **variables: str) -> tuple[int, str]:
    """Run pytest on `folder`/claims in a process of its own: exit code and output."""
    options = tuple(command(folder, plugin, *options)[3:])
    together = {**environment(folder), **variables}
    done = forked.pytest(*options, folder=folder, environment=together, torch=plugin != WITHOUT_TORCH)
    return done.returncode, done.stdout + done.stderr


def command(folder: Path, plugin: str, *options: str) -> list[str]:
    """The command of `child`; its plugin is written to `folder`."""
    (folder / "stopper.py").write_text(plugin, encoding="utf-8")
    always = ["-p", "stopper", f"--claims-data={SHAPES}", "--claims-evidence=e"]
    reports = ["--claims-report=v.json", "--claims-report=v.xml"]
    return [sys.executable, "-m", "pytest", "claims", *LEAN, *always, *reports, *options]


def environment(folder: Path) -> dict[str, str]:
    """The environment of `child`: this checkout and the plugin can be imported."""
    paths = os.pathsep.join([str(folder), str(Path(__file__).parents[1])])
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}


def run(pytester: pytest.Pytester, *options: str) -> tuple[pytest.RunResult, list[dict[str, Any]]]:
    """Run pytest on claims/ in this process; with the records of its JSON report."""
    result = pytester.runpytest_inprocess(
        "claims", "--claims-report=v.json", f"--claims-data={SHAPES}", "--claims-evidence=e", *options, *LEAN
    )
    return result, records(pytester.path)


def records(folder: Path) -> list[dict[str, Any]]:
    """The records of the JSON report."""
    found: list[dict[str, Any]] = json.loads((folder / "v.json").read_text(encoding="utf-8"))["records"]
    return found


def captions(folder: Path) -> bytes:
    """The captions file of the only evidence folder."""
    (path,) = folder.glob("e/*/captions.jsonl")
    return path.read_bytes()


def essence(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What must not depend on how often a run was interrupted: all but times, provenance, notes, and the command's options."""
    result = []
    for record in found:
        verdict = {key: value for key, value in record["verdict"].items() if key != "computed_at"}
        evidence = {
            key: value
            for key, value in record["evidence"].items()
            if key not in ("provenance", "notes", "seconds", "computed_at", "command")
        }
        result.append({"verdict": verdict, "evidence": evidence})
    return result


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, warm: None) -> Path:  # noqa: ARG001 - it must come first
    """A folder with a claim file, and an undisturbed run of it: e/, v.json, v.xml."""
    folder = tmp_path_factory.mktemp("finished")
    write_claim(folder, count=COUNT, metrics=METRICS, run__batch_size=4)
    code, output = child(folder)
    assert code == 0, output
    return folder


@pytest.fixture
def claims(pytester: pytest.Pytester, finished: Path) -> Path:
    """The same claim file where nothing has run yet."""
    shutil.copytree(finished / "claims", pytester.path / "claims")
    return pytester.path


@pytest.fixture
def made(claims: Path, finished: Path) -> Path:
    """The same claim file, with the evidence of the undisturbed run."""
    shutil.copytree(finished / "e", claims / "e")
    return claims


@pytest.mark.parametrize("after", [0, COUNT // 2, COUNT - 1])
def test_a_run_killed_inside_a_write_goes_on(
    claims: Path, finished: Path, pytester: pytest.Pytester, after: int
) -> None:
    """SIGKILL in the middle of a line: the next run computes what is missing, and gives the same captions and verdicts."""
    code, _ = child(claims, STOP=f"torn:{after}")
    assert code == -9
    assert captions(claims).count(b"\n") == after
    result, found = run(pytester)
    assert result.ret == 0
    assert captions(claims) == captions(finished)
    assert essence(found) == essence(records(finished))
    evidence = found[0]["evidence"]
    assert evidence["notes"][0] == "A torn last line was dropped from the evidence: a run was killed while it wrote it."
    if after:
        assert re.match(rf"{after} of {COUNT} from evidence of 2", evidence["provenance"]["captions"])


def test_rows_in_files_give_the_same(
    claims: Path, finished: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more rows than memory holds, a run that goes on after a kill, its audit and its replay give the same as of few."""
    code, _ = child(claims, STOP=f"torn:{COUNT // 2}")
    assert code == -9
    monkeypatch.setattr(spool, "KEEP", 3)
    monkeypatch.setattr(spool, "BLOCK", 2)
    audited = f"Audit: 3 of {COUNT} captions were generated again, and none differs from the evidence."
    for options in ((), ("--claims-audit=3",), ("--claims-audit=3", "--claims-replay", "--claims-accept-replay")):
        result, found = run(pytester, *options)
        assert result.ret == 0
        assert captions(claims) == captions(finished)
        assert essence(found) == essence(records(finished))
        assert (audited in found[0]["evidence"]["notes"]) == bool(options)


def test_a_streamed_data_set_gives_the_same(
    claims: Path, finished: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folder, captions and verdicts are those of the unpacked data set, also if half of the captions come from there."""
    from pytest_claims.sources import parquet

    monkeypatch.setattr(parquet, "BATCH", 5)
    code, _ = child(claims, STOP=f"torn:{COUNT // 2}")
    assert code == -9
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", pytester.path / "none")
    result, found = run(pytester, "--claims-streaming", "--claims-audit=3")
    assert result.ret == 0
    assert captions(claims) == captions(finished)
    assert [path.name for path in claims.glob("e/*")] == [path.name for path in finished.glob("e/*")]
    assert essence(found) == essence(records(finished))
    assert "--claims-streaming" in found[0]["evidence"]["command"]
    assert not (pytester.path / "none").exists()


@pytest.mark.skipif(not KILLS, reason="takes minutes: tox -e kill")
def test_a_run_killed_at_random_instants_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SIGKILL at any instant: byte-identical captions, the same verdicts, and nothing computed twice beyond one batch."""
    shutil.copytree(SHAPES, tmp_path / "claims")
    images, slots = 400, 64

    def listed(name: str) -> list[str]:
        return (tmp_path / name).read_text().split() if (tmp_path / name).exists() else []

    def start(instant: float | None = None) -> list[str]:
        """Run, to the end or until `instant` seconds after the evidence folder is opened; the images that were begun."""
        (tmp_path / "begun").unlink(missing_ok=True)
        reader, writer = os.pipe()
        with (tmp_path / "output").open("wb") as output:
            process = subprocess.Popen(
                command(tmp_path, COUNTING, f"--claims-sample={images}"),
                cwd=tmp_path,
                env={**environment(tmp_path), "MARK": str(writer)},
                pass_fds=[writer],
                stdout=output,
                stderr=output,
            )
        os.close(writer)
        marked = os.read(reader, 1)  # waits for the folder, or for the end
        os.close(reader)
        if instant is not None:
            try:
                process.wait(instant)
            except subprocess.TimeoutExpired:
                process.kill()
        assert process.wait() in (0, None if instant is None else -9), (tmp_path / "output").read_text()
        assert marked
        return listed("begun")

    def forget() -> None:
        shutil.rmtree(tmp_path / "e", ignore_errors=True)
        (tmp_path / "done").unlink(missing_ok=True)

    seconds = float("inf")
    for _ in range(3):  # the fastest one: an instant that comes after the end kills nothing
        forget()
        start()
        seconds = min(seconds, float(records(tmp_path)[0]["evidence"]["provenance"]["seconds"]))
    whole, verdicts = captions(tmp_path), essence(records(tmp_path))
    instants = random.Random(0)  # noqa: S311 - instants are no secrets
    report = [f"{images} images take {seconds:.1f} s without disturbance"]
    for _ in range(KILLS):
        forget()
        instant = instants.uniform(0, 1.1) * seconds  # a little longer: the end of a run writes too
        begun = start(instant)
        there = list(tmp_path.glob("e/*/captions.jsonl"))
        kept, done = captions(tmp_path).count(b"\n") if there else 0, listed("done")
        again = start()
        assert captions(tmp_path) == whole
        assert essence(records(tmp_path)) == verdicts
        assert len(again) == images - kept, "what was written is not computed again"
        twice, lost = set(begun) & set(again), set(done) & set(again)
        assert len(twice) <= slots, "no more than the batch in flight is computed again"
        assert len(lost) <= 1, "a caption that was ready is written at once"
        report.append(f"killed at {instant:.2f} s: {kept} kept, {len(twice)} begun twice, {len(lost)} finished twice")
    with capsys.disabled():
        print("", *report, sep="\n")


COUNTING = """
import os
from pytest_claims.evaluation import decoding
from pytest_claims.store.disk_folder import DiskFolder

resume = DiskFolder.resume

def marking(self, *given):
    os.write(int(os.environ["MARK"]), b"x")
    resume(self, *given)

DiskFolder.resume = marking
decode = decoding.SharedPrefix.decode

def counting(self, images):
    def begun():
        with open("begun", "a") as file:
            for name, pixels in images:
                print(name, file=file, flush=True)
                yield name, pixels
    with open("done", "a") as file:
        for name, tokens in decode(self, begun()):
            print(name, file=file, flush=True)
            yield name, tokens

decoding.SharedPrefix.decode = counting
"""


def test_a_second_run_computes_nothing(made: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Complete evidence is used again, says so, and gives the same verdicts; two such runs give the same bytes."""
    from pytest_claims.evaluation import decoding

    def never(*_: object) -> None:
        pytest.fail("an image was captioned")

    monkeypatch.setattr(decoding.SharedPrefix, "decode", never)
    before = captions(made)
    texts = []
    for _ in range(2):
        result, found = run(pytester, "--claims-report=v.xml")
        assert result.ret == 0
        texts.append(without_timings(Path("v.json").read_text() + Path("v.xml").read_text()))
    assert texts[0] == texts[1]
    assert captions(made) == before
    (run_json,) = made.glob("e/*/run.json")
    created = json.loads(run_json.read_bytes())["created_at"]
    for record in found:
        assert record["verdict"]["computed_at"] == created
        assert record["evidence"]["provenance"]["captions"] == f"{COUNT} of {COUNT} from evidence of {created}"


def test_evidence_that_came_with_a_fork_is_not_used(
    made: Path, finished: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's evidence, complete and well formed, in the very folder where this run looks: all is generated again."""
    forged = captions(made).replace(b" and ", b" AND ")
    (path,) = made.glob("e/*/captions.jsonl")
    path.write_bytes(forged)
    monkeypatch.setenv("XDG_STATE_HOME", str(made / "another-user"))
    result, found = run(pytester)
    assert result.ret == 0
    assert essence(found) == essence(records(finished))
    assert "captions" not in found[0]["evidence"]["provenance"]
    aside = "captions.foreign-1.jsonl"
    assert found[0]["evidence"]["notes"] == [
        f"Evidence that no run of this user wrote is not used ({COUNT} lines of captions.jsonl); it was set aside as {aside}."
    ]
    assert path.with_name(aside).read_bytes() == forged


def test_evidence_is_kept_in_the_cache_folder_or_nowhere(claims: Path, pytester: pytest.Pytester) -> None:
    """By default it lies in pytest's cache; without the cache nothing is written, and the verdict is the same."""
    pytester.runpytest_inprocess("claims", f"--claims-data={SHAPES}", "--claims-report=v.json", *LEAN)
    kept = records(claims)
    assert len(list(claims.glob(".pytest_cache/d/claims-evidence/*/captions.jsonl"))) == 1
    shutil.rmtree(claims / ".pytest_cache")
    pytester.runpytest_inprocess(
        "claims", f"--claims-data={SHAPES}", "--claims-report=v.json", "-p", "no:cacheprovider", *LEAN
    )
    assert essence(records(claims)) == essence(kept)
    assert list(claims.rglob("captions.jsonl")) == []


# --- replay ---


def test_replay_needs_neither_torch_nor_model_nor_data(made: Path, finished: Path) -> None:
    """The verdict is that of the run, but withheld and red, and says that it was replayed and from which evidence."""
    (made / "claims" / "rows.parquet").unlink()
    options = ("--claims-replay", f"--claims-data={made}")
    code, output = child(made, *options, plugin=WITHOUT_TORCH)
    assert code == 1, output
    (folder,) = (path for path in made.glob("e/*") if path.is_dir())
    for record, original in zip(records(made), records(finished), strict=True):
        verdict, evidence = record["verdict"], record["evidence"]
        assert (verdict["status"], verdict["confidence"]) == ("pending", 0.0)
        assert verdict["score"] == original["verdict"]["score"]
        assert evidence["digest"] == original["evidence"]["digest"]
        assert evidence["reason"].startswith("Withheld: replayed from evidence that was not made here. ")
        assert evidence["next_step"] == (
            "Run it without --claims-replay, or vouch for the evidence with --claims-accept-replay."
        )
        assert evidence["provenance"]["replayed"].startswith(folder.name)
        assert evidence["test"]["type"] == "claim.withheld"
    assert (made / "v.xml").read_text().count('type="claim.withheld"') == len(METRICS)

    texts = []
    for _ in range(2):
        code, output = child(made, *options, "--claims-accept-replay", plugin=WITHOUT_TORCH)
        assert code == 0, output
        assert essence(records(made)) == essence(records(finished))
        timeless = re.sub(r'"seconds": [0-9.]+|"started_at": "[^"]*"', "", (made / "v.json").read_text())
        texts.append(timeless + re.sub(r'time="[0-9.]+"|timestamp="[^"]*"', "", (made / "v.xml").read_text()))
    assert texts[0] == texts[1]
    computed = [record["verdict"]["computed_at"] for record in records(finished)]
    assert [record["verdict"]["computed_at"] for record in records(made)] == computed


def test_replay_of_another_plan_is_an_error(made: Path, pytester: pytest.Pytester) -> None:
    """Evidence of a beam search does not answer for a greedy run: the differing keys are named."""
    result, found = run(pytester, "--claims-replay", "--claims-set=decoding.num_beams=1")
    assert result.ret == 1
    (folder,) = (path for path in made.glob("e/*") if path.is_dir())
    for record in found:
        assert record["verdict"]["status"] == "error"
        assert record["evidence"]["reason"] == (
            f"The evidence e/{folder.name} is for another plan: decoding.strategy: the evidence has 'beam', the claim asks for "
            "'greedy'; decoding.num_beams: the evidence has 5, the claim asks for 1."
        )


def test_replay_without_evidence_is_no_attempt(claims: Path, pytester: pytest.Pytester) -> None:
    """Without evidence to replay the claim is skipped, with the command that makes the evidence."""
    (claims / "e").mkdir()
    result, found = run(pytester, "--claims-replay")
    result.assert_outcomes(skipped=len(METRICS))
    assert found[0]["verdict"]["status"] == "not_attempted"
    assert (found[0]["evidence"]["reason"], found[0]["evidence"]["next_step"]) == (
        "There is no evidence below e.",
        f"Make it where the model is (pytest claims/small.yaml::bleu1 --claims-data={SHAPES}), and copy the folder here.",
    )


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--claims-evidence=claims/small.yaml", "--claims-evidence=claims/small.yaml: expected a folder"),
        ("--claims-evidence=", "--claims-evidence=: expected a folder"),
        ("--claims-audit=0", "--claims-audit=0: expected a number of images of at least 1"),
    ],
)
@pytest.mark.usefixtures("claims")
def test_options_that_are_not_valid(pytester: pytest.Pytester, option: str, message: str) -> None:
    """They are refused before anything runs, with what was expected."""
    result = pytester.runpytest_inprocess("claims", option, *LEAN)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


@pytest.mark.usefixtures("claims")
def test_replay_from_a_folder_that_is_not_there(pytester: pytest.Pytester) -> None:
    """A mistyped folder is a mistake, not the absence of evidence."""
    result = pytester.runpytest_inprocess("claims", "--claims-replay", "--claims-evidence=typo", *LEAN)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [f"ERROR: --claims-evidence=typo: there is no folder {pytester.path / 'typo'} to replay from"]
    )


# --- audit ---


def tamper(folder: Path, *, again: bool) -> str:
    """Change the first caption, and its seal too if `again`; the image's id."""
    (path,) = folder.glob("e/*/captions.jsonl")
    first, *rest = path.read_text(encoding="utf-8").splitlines()
    line = json.loads(first)
    line["caption"] = "a photograph of something else"
    if again:
        from pytest_claims.store.recipe import plan_digest

        digest = plan_digest(json.loads((path.parent / "plan.json").read_bytes()))
        line["seal"] = seal.load().seal(digest, line)
    path.write_text("".join(f"{text}\n" for text in [json.dumps(line), *rest]), encoding="utf-8")
    return str(line["id"])


@pytest.mark.parametrize("options", [(), ("--claims-replay", "--claims-accept-replay")], ids=["reused", "replayed"])
def test_an_audit_finds_a_caption_that_differs(made: Path, pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    """A clean audit is a note; a caption that the model does not say is an error that names the image."""
    result, found = run(pytester, "--claims-audit=3", *options)
    assert result.ret == 0
    note = f"Audit: 3 of {COUNT} captions were generated again, and none differs from the evidence."
    assert found[0]["evidence"]["notes"][-1] == note
    name = tamper(made, again=not options)
    result, found = run(pytester, f"--claims-audit={COUNT}", *options)
    assert result.ret == 1
    for record in found:
        assert record["verdict"]["status"] == "error"
        assert record["evidence"]["reason"].startswith(
            f"Audit: 1 of {COUNT} captions differ from the evidence: {name}. Of {name} the evidence says "
            "'a photograph of something else', generated again it is '"
        )


@pytest.mark.usefixtures("claims")
def test_an_audit_of_a_fresh_run_has_nothing_to_do(pytester: pytest.Pytester) -> None:
    """What was generated in this run needs no second look, and the note says so."""
    _, found = run(pytester, "--claims-audit=3")
    assert found[0]["evidence"]["notes"] == ["Audit: nothing to do, every caption was generated in this run."]


# --- faults ---


def test_memory_that_runs_out_loses_nothing_finished(
    claims: Path, finished: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An accelerator that runs out of memory ends the claim as an error in one line; what was ready is used by the next run."""
    from pytest_claims.evaluation import decoding

    decode = decoding.SharedPrefix.decode

    def exhausted(self: Any, images: Any) -> Any:
        for number, found in enumerate(decode(self, images)):
            if number == 5:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            yield found

    with monkeypatch.context() as patch:
        patch.setattr(decoding.SharedPrefix, "decode", exhausted)
        result, found = run(pytester, "-k", "bleu1")
    assert result.ret == 1
    assert found[0]["verdict"]["status"] == "error"
    assert "CUDA out of memory. Tried to allocate 2.00 GiB." in found[0]["evidence"]["reason"]
    assert "\n" not in found[0]["evidence"]["reason"]
    assert captions(claims).count(b"\n") == 5
    _, found = run(pytester)
    assert found[0]["evidence"]["provenance"]["captions"].startswith(f"5 of {COUNT} from evidence of ")
    assert essence(found) == essence(records(finished))


def test_a_folder_that_cannot_be_written_ends_the_claim(claims: Path, pytester: pytest.Pytester) -> None:
    """As `error`, in one line, in every report."""
    (claims / "file").write_text("", encoding="utf-8")
    result, found = run(pytester, "--claims-evidence=file/e")
    assert result.ret == 1
    where = claims / "file" / "e"
    reason = f"The evidence folder {where} cannot be made: Not a directory. Name another with --claims-evidence=DIR."
    assert [(r["verdict"]["status"], r["evidence"]["reason"]) for r in found] == [("error", reason)] * len(METRICS)


def test_ctrl_c_in_a_batch_keeps_what_was_ready(claims: Path, finished: Path, pytester: pytest.Pytester) -> None:
    """The session ends with pytest's code for it, the report lists every claim, and the next run goes on."""
    code, output = child(claims, STOP="interrupt:7")
    assert code == pytest.ExitCode.INTERRUPTED, output
    assert [record["verdict"]["status"] for record in records(claims)] == ["not_attempted"] * len(METRICS)
    assert captions(claims).count(b"\n") == 7
    result, _ = run(pytester)
    assert result.ret == 0
    assert captions(claims) == captions(finished)


def test_a_killed_worker_is_an_error_and_loses_nothing(claims: Path, finished: Path, pytester: pytest.Pytester) -> None:
    """The claim of a killed worker is an error. The worker that waited goes on where it stopped. The exit code is not 0."""
    code, output = child(claims, "-n2", STOP="torn:5")
    assert code == 1, output
    ended = {record["verdict"]["status"] == "error": record["evidence"] for record in records(claims)}
    assert set(ended) == {True, False}
    assert re.fullmatch("The claim did not run: worker 'gw[01]' crashed while running '.*'.", ended[True]["reason"])
    assert ended[False]["provenance"]["captions"].startswith(f"5 of {COUNT} from evidence of ")
    result, found = run(pytester)
    assert result.ret == 0
    assert captions(claims) == captions(finished)
    assert essence(found) == essence(records(finished))


def test_workers_of_one_plan_share_one_run(claims: Path, finished: Path) -> None:
    """Two workers with two claims of one plan: one captions, the other waits and takes over, and no line stands twice."""
    code, output = child(claims, "-n2")
    assert code == 0, output
    assert captions(claims) == captions(finished)
    sources = sorted(record["evidence"]["provenance"].get("captions", "")[:8] for record in records(claims))
    assert sources == ["", f"{COUNT} of {COUNT}"]
    assert essence(records(claims)) == essence(records(finished))
