"""The evidence folder: what a kill, a full disk, a stranger and a second process do to it, without a model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_claims import files, git, spool
from pytest_claims.errors import EvaluationError, NotAttempted
from pytest_claims.evidence import Evidence, Output
from pytest_claims.protocol import Observed
from pytest_claims.store import Folder, Recipe, Store, replay, seal

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_claims.protocol import CaptioningPlan

NAMES = ("a", "b", "c", "d")
ASKED = {
    "checkpoint": {"id": "model", "revision": None},
    "dataset": {"id": "rows.parquet", "split": "test"},
    "prompt": "a photo of",
    "decoding": {"num_beams": 5},
}


@pytest.fixture(autouse=True, params=[50_000, 1], ids=["in memory", "in a file"])
def keep(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything here holds wherever rows are: in memory, or, of more rows than that holds, in temporary files."""
    monkeypatch.setattr(spool, "KEEP", request.param)
    monkeypatch.setattr(spool, "BLOCK", 2)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's key lies in the test's own folder."""
    folder = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def recipe(**changes: Any) -> Recipe:
    """A recipe of four images, all of a data set."""
    return Recipe(
        asked={**ASKED, **changes},
        observed=Observed(
            checkpoint={"id": "model", "revision": None, "commit": None, "digest": "0123"},
            dataset={
                "id": "rows.parquet", "revision": None, "where": None, "columns": {"image": "image"}, "images": 4,
                "fingerprint": "4567",
            },
            split={"split": "test"},
            image={
                "size": 64, "resize": "bicubic", "mean": [0.5], "std": [0.5], "rescale_factor": 1.0, "normalize": True,
                "convert_rgb": True, "channel_order": "rgb", "family": {},
            },
            prompt={"prompt": "a photo of", "text": "a photo of", "ids": [1], "stated_ids": [1], "stated": "a photo of"},
            decoding={
                "strategy": "beam", "num_beams": 5, "max_new_tokens": 30, "min_new_tokens": 1, "length_penalty": 1.0,
                "repetition_penalty": 1.0, "early_stopping": False,
            },
            precision={"precision": "float32"},
        ),
        details={"versions": {"torch": "2.13.0"}, "device": "cpu"},
        references={name: (f"a picture of {name}", f"the {name}") for name in NAMES},
        population=None,
    )  # fmt: skip


def picture(name: str) -> str:
    """The digest of an image that never changes."""
    return f"picture-{name}"


def say(folder: Folder, *names: str) -> None:
    """Append a caption for each of `names`."""
    for name in names:
        caption = Output(
            id=name, text=f"ein Bild: {name} ☃", references=folder.recipe.references[name], tokens=4, truncated=False
        )
        folder.append(caption, picture(name))


def store() -> Store:
    """The evidence of this test."""
    return Store(lambda: Path("evidence"))


def complete(machine: str = "here", **changes: Any) -> Evidence:
    """A run from whatever is there to the end."""
    with store().open(recipe(**changes), picture) as folder:
        say(folder, *folder.missing)
        return folder.finish({"platform": machine})


def place(**changes: Any) -> Path:
    """The folder of the recipe."""
    from pytest_claims.store.format import NAME
    from pytest_claims.store.recipe import plan_digest

    return Path("evidence") / plan_digest(recipe(**changes).content())[:NAME]


def undisturbed() -> tuple[bytes, Evidence]:
    """The captions file and the evidence of a run that nothing happened to; both are gone from the disk."""
    evidence = complete()
    data = (place() / "captions.jsonl").read_bytes()
    shutil.rmtree("evidence")
    return data, evidence


def test_a_run_leaves_four_plain_files() -> None:
    """The folder is named by the plan's digest and holds plan, references, captions in the order of their ids, and the run."""
    with store().open(recipe(), picture) as folder:
        say(folder, "c", "a", "d", "b")
        folder.finish({"platform": "here", "seconds": 1.5})
    assert sorted(path.name for path in place().iterdir()) == [
        "captions.jsonl", "plan.json", "references.jsonl", "run.json",
    ]  # fmt: skip
    lines = [json.loads(line) for line in (place() / "captions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["id"] for line in lines] == ["a", "b", "c", "d"]
    assert list(lines[0]) == ["id", "caption", "tokens", "truncated", "image", "seal"]
    assert lines[0]["caption"] == "ein Bild: a ☃"
    assert "☃" in (place() / "captions.jsonl").read_text(encoding="utf-8")
    assert len(bytes.fromhex(lines[0]["seal"])) == 16
    assert json.loads((place() / "plan.json").read_bytes()) == recipe().content()
    run = json.loads((place() / "run.json").read_bytes())
    assert run["provenance"] == {"platform": "here", "seconds": 1.5}
    first = json.loads((place() / "references.jsonl").read_bytes().splitlines()[0])
    assert first == {"id": "a", "references": ["a picture of a", "the a"]}


def test_what_a_caption_has_not() -> None:
    """A ranking and named texts are in the line and in the digest where an output has them; captions stay what they were."""
    assert complete().digest == "27b7d113f18f3d5ce3c5b4685f54d30c82489bd89ded3a5ff51032ca7ceb2f55"
    shutil.rmtree("evidence")
    more = Output(
        id="a",
        text="red",
        references=recipe().references["a"],
        tokens=1,
        ranked=("red", "blue"),
        extras={"question": "?"},
    )
    with store().open(replace(recipe(), noun="answer"), picture) as folder:
        folder.append(more, picture("a"))
        say(folder, "b", "c", "d")
        made = folder.finish({})
    first, second, *_ = ((place() / "captions.jsonl").read_text(encoding="utf-8")).splitlines()
    assert list(json.loads(first)) == ["id", "caption", "tokens", "truncated", "image", "ranked", "extras", "seal"]
    assert list(json.loads(second)) == ["id", "caption", "tokens", "truncated", "image", "seal"]
    assert made.outputs[0] == more
    assert made.digest not in (
        complete().digest,
        replace(made, outputs=(replace(more, ranked=()), *made.outputs[1:])).digest,
    )
    with store().open(replace(recipe(), noun="answer"), picture) as folder:
        assert tuple(folder.reused) == NAMES
        again = folder.finish({})
    assert (again.digest, again.outputs) == (made.digest, made.outputs)
    assert again.provenance == {"answers": f"4 of 4 from evidence of {made.created_at}"}
    plan_ = cast("CaptioningPlan", SimpleNamespace(asked=ASKED, noun="answer", command=""))
    assert replay(Path("evidence"), plan_).evidence.digest == made.digest


def test_a_file_cut_anywhere_is_gone_on_with() -> None:
    """Wherever a kill cuts the captions, the rest of the run gives the bytes of an undisturbed one; no whole line is redone."""
    whole, evidence = undisturbed()
    starts = [0, *(n + 1 for n, byte in enumerate(whole) if byte == ord("\n"))]
    torn_note = "A torn last line was dropped from the evidence: a run was killed while it wrote it."
    near = {start + shift for start in starts for shift in (-1, 0, 1)}
    for cut in sorted({*near, *range(0, len(whole), 41)} & {*range(len(whole) + 1)}):
        shutil.rmtree("evidence", ignore_errors=True)
        with store().open(recipe(), picture) as folder:
            pass
        (place() / "captions.jsonl").write_bytes(whole[:cut])
        with store().open(recipe(), picture) as folder:
            kept = sum(start <= cut for start in starts) - 1
            assert tuple(folder.reused) == NAMES[:kept]
            assert folder.missing == NAMES[kept:]
            say(folder, *reversed(folder.missing))
            found = folder.finish({})
        assert (place() / "captions.jsonl").read_bytes() == whole
        assert (found.digest, found.outputs) == (evidence.digest, evidence.outputs)
        assert found.notes == (() if cut in starts else (torn_note,))


def test_a_complete_run_is_used_again() -> None:
    """A second run has nothing to do, keeps time and provenance of the first, and says where its captions come from."""
    first = complete("here")
    second = complete("elsewhere")
    assert second.outputs == first.outputs
    assert second.created_at == first.created_at
    assert second.provenance == {"platform": "here", "captions": f"4 of 4 from evidence of {first.created_at}"}
    assert second == complete("a third place")


def test_a_resumed_run_says_how_much_it_took_over() -> None:
    """Captions of an unfinished run are counted in the provenance, with the time when that run started."""
    with store().open(recipe(), picture) as folder:
        say(folder, "b", "c")
    started = json.loads((place() / "run.json").read_bytes())["started_at"]
    assert complete().provenance == {"platform": "here", "captions": f"2 of 4 from evidence of {started}"}
    created = json.loads((place() / "run.json").read_bytes())["created_at"]
    assert complete().provenance["captions"] == f"4 of 4 from evidence of {created}"


@pytest.mark.parametrize(
    "forge",
    [
        lambda line: line.replace("ein Bild", "mein Bild"),
        lambda line: line.replace('"truncated": false', '"truncated": true'),
        lambda line: json.dumps({key: value for key, value in json.loads(line).items() if key != "seal"}),
        lambda line: json.dumps({**json.loads(line), "seal": "0" * 32}),
        lambda line: json.dumps({**json.loads(line), "seal": None}),
        lambda line: json.dumps({**json.loads(line), "seal": "☃"}),
        lambda _: "[" * 100_000,
        lambda _: '{"id": NaN}',
        lambda _: "",
        lambda _: '{"id": "a", "id": "a"}',
        lambda _: "\udcff",
        lambda _: None,
    ],
    ids=["caption", "fact", "unsealed", "guess", "null", "text", "deep", "nan", "empty", "twice", "bytes", "repeated"],
)
def test_a_line_that_somebody_else_wrote_is_not_used(forge: Callable[[str], str | None]) -> None:
    """Without a valid seal a line is captioned again; the file is set aside whole, and every report says so."""
    whole, evidence = undisturbed()
    complete()
    first, *rest = whole.decode().splitlines()
    forged = forge(first)
    lines = [first, *rest, first] if forged is None else [forged, *rest]
    data = "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")
    (place() / "captions.jsonl").write_bytes(data)
    found = complete()
    assert found.outputs == evidence.outputs
    assert found.notes == (
        (
            "Evidence that no run of this user wrote is not used (1 lines of captions.jsonl); it was set aside as "
            "captions.foreign-1.jsonl."
        ),
    )
    assert (place() / "captions.foreign-1.jsonl").read_bytes() == data
    assert (place() / "captions.jsonl").read_bytes() == whole


def test_lines_of_another_plan_are_not_used() -> None:
    """The seal covers the plan: captions of a greedy run do not pass for those of a beam search."""
    complete(decoding={"num_beams": 1})
    with store().open(recipe(), picture):
        pass
    shutil.copy(place(decoding={"num_beams": 1}) / "captions.jsonl", place() / "captions.jsonl")
    with store().open(recipe(), picture) as folder:
        assert tuple(folder.reused) == ()


def test_a_forged_time_or_provenance_is_not_used() -> None:
    """`run.json` is sealed too: when and where a run was made cannot be rewritten; its captions still hold."""
    complete()
    run = json.loads((place() / "run.json").read_bytes())
    run |= {"created_at": "2001-01-01T00:00:00+00:00", "provenance": {"platform": "a supercomputer"}}
    (place() / "run.json").write_text(json.dumps(run), encoding="utf-8")
    found = complete("here")
    assert found.provenance["platform"] == "here"
    assert found.created_at > "2020"
    assert str(found.provenance["captions"]).startswith("4 of 4 from evidence of 20")


def test_another_picture_is_captioned_again() -> None:
    """A sealed line counts only for the bytes that were captioned."""
    complete()

    def changed(name: str) -> str:
        return "another" if name in "bc" else picture(name)

    with store().open(recipe(), changed) as folder:
        assert tuple(folder.reused) == ("a", "d")
        assert json.loads((place() / "run.json").read_bytes())["created_at"] is None
        say(folder, *folder.missing)
        found = folder.finish({})
    assert found.notes == ("2 images changed since they were captioned, and are captioned again.",)


def test_the_key_is_one_for_the_user_and_for_nobody_else(state: Path) -> None:
    """The first run makes the key, once. The key has 32 bytes, and only its owner may read it."""
    keys: list[bytes] = []
    threads = [threading.Thread(target=lambda: keys.append(seal.load().secret)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    path = state / "pytest-claims" / "key"
    assert set(keys) == {path.read_bytes()}
    assert len(keys[0]) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["key"]


def _key_is_a_file(state: Path) -> str:
    state.write_text("", encoding="utf-8")
    return "Not a directory"


def _key_is_public(state: Path) -> str:
    seal.load()
    (state / "pytest-claims" / "key").chmod(0o644)
    return "others can read it; chmod 600, or remove it"


def _key_is_short(state: Path) -> str:
    seal.load()
    (state / "pytest-claims" / "key").write_bytes(b"short")
    return "it does not hold 32 bytes; remove it"


def _key_is_a_link(state: Path) -> str:
    (state / "pytest-claims").mkdir(parents=True)
    (state / "pytest-claims" / "key").symlink_to("/dev/zero")
    return "Too many levels of symbolic links"


@pytest.mark.parametrize("prepare", [_key_is_a_file, _key_is_public, _key_is_short, _key_is_a_link])
def test_without_a_key_of_its_own_a_run_is_not_used_again(state: Path, prepare: Callable[[Path], str]) -> None:
    """If a key cannot be stored, the run says so, and the next run computes all captions."""
    why = prepare(state)
    note = f"The evidence of this run will not be used again: the key {state / 'pytest-claims' / 'key'} cannot be kept ({why})."
    assert complete().notes == (note,)
    with store().open(recipe(), picture) as folder:
        assert folder.missing == NAMES


def test_nothing_is_written_through_a_link() -> None:
    """A folder of evidence that a stranger prepared cannot make a run write elsewhere."""
    outside = Path("outside")
    outside.write_text("mine", encoding="utf-8")
    place().mkdir(parents=True)
    for name in ("plan.json", "references.jsonl", "captions.jsonl", "run.json", ".run.json.new", ".captions.jsonl.new"):
        (place() / name).symlink_to(outside.resolve())
    found = complete()
    assert outside.read_text(encoding="utf-8") == "mine"
    assert len(found.outputs) == 4
    assert not (place() / "captions.jsonl").is_symlink()
    assert found.notes == (
        (
            "Evidence that no run of this user wrote is not used (1 lines of captions.jsonl); it was set aside as "
            "captions.foreign-1.jsonl."
        ),
    )


def test_a_folder_or_lock_that_is_a_link_is_refused() -> None:
    """Neither is followed; the claim ends with one line that names it."""
    Path("evidence").mkdir()
    Path("elsewhere").mkdir()
    place().symlink_to(Path("elsewhere").resolve())
    with pytest.raises(EvaluationError) as caught:
        complete()
    assert str(caught.value) == f"{place()}: is a symbolic link, expected a folder."
    place().unlink()
    lock = place().with_name(place().name + ".lock")
    lock.unlink()
    lock.symlink_to(Path("outside").resolve())
    with pytest.raises(EvaluationError) as caught:
        complete()
    assert str(caught.value) == f"The evidence folder {place()} cannot be locked: Too many levels of symbolic links."
    assert list(Path("elsewhere").iterdir()) == []
    assert not Path("outside").exists()


def test_a_full_disk_ends_the_run_and_keeps_what_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The write that did not fit leaves no torn line; the cause stands in one line; the next run goes on there."""
    whole, _ = undisturbed()
    write, written = os.write, []

    def full(handle: int, data: Any) -> int:
        written.append(data)
        if len(written) < 3:
            return write(handle, data)
        if len(written) == 3:
            return write(handle, bytes(data)[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pytest_claims.store.disk_folder.os.write", full)
        with pytest.raises(EvaluationError) as caught:
            complete()
    assert str(caught.value) == (
        f"The evidence folder {place()} cannot be written: No space left on device. 2 of 4 captions are kept; the next run "
        "goes on from them."
    )
    assert (place() / "captions.jsonl").read_bytes() == b"".join(whole.splitlines(keepends=True)[:2])
    with store().open(recipe(), picture) as folder:
        assert tuple(folder.reused) == ("a", "b")
        assert folder.notes == []


def test_a_limit_of_the_system_on_file_size_is_like_a_full_disk() -> None:
    """RLIMIT_FSIZE, met inside a line: what was written before is whole, and is used by the next run."""
    script = (
        "import resource, sys, pytest\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from tests.store import test_store as t\n"
        "with t.store().open(t.recipe(), t.picture): pass\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))\n"
        "try: t.complete()\n"
        "except t.EvaluationError as error: print(error)\n"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", script, root], capture_output=True, text=True, check=False)
    assert done.stdout == (
        f"The evidence folder {place()} cannot be written: File too large. 2 of 4 captions are kept; the next run goes on "
        "from them.\n"
    ), done.stderr
    with store().open(recipe(), picture) as folder:
        assert tuple(folder.reused) == ("a", "b")


def test_a_folder_that_cannot_be_made_ends_the_claim() -> None:
    """A file where the folder should be (as root, permissions would not stop anybody): one line, with the way out."""
    Path("evidence").write_text("", encoding="utf-8")
    with pytest.raises(EvaluationError) as caught:
        complete()
    assert str(caught.value) == (
        "The evidence folder evidence cannot be made: File exists. Name another with --claims-evidence=DIR."
    )


def test_a_folder_that_vanishes_ends_the_claim() -> None:
    """Captions do not go on into a file that no name leads to any more."""
    with store().open(recipe(), picture) as folder:
        say(folder, "a")
        shutil.rmtree("evidence")
        with pytest.raises(EvaluationError) as caught:
            say(folder, "b")
    assert str(caught.value) == f"The evidence folder {place()} cannot be written: it vanished while the claim ran."


def test_a_second_run_waits_and_then_has_nothing_to_do() -> None:
    """Two runs of one plan at a time: the second sees nothing before the first is done, and then all of it."""
    inside, waiting = threading.Event(), threading.Event()
    seen: list[tuple[str, ...]] = []
    said: list[str] = []

    def say_and_wait(text: str) -> None:
        said.append(text)
        waiting.set()

    def second() -> None:
        inside.wait()
        with store().open(recipe(), picture, say=say_and_wait) as folder:
            seen.append(tuple(folder.reused))

    thread = threading.Thread(target=second)
    thread.start()
    with store().open(recipe(), picture) as folder:
        inside.set()
        waiting.wait()
        say(folder, "a", "b")
        assert seen == []
        say(folder, "c", "d")
        folder.finish({})
    thread.join()
    assert seen == [NAMES]
    assert said == [f"Waiting for another run of the same plan, which has {place()}."]
    assert len((place() / "captions.jsonl").read_bytes().splitlines()) == 4


def test_the_lock_of_a_dead_process_is_no_obstacle() -> None:
    """A process that was killed while it had the folder leaves it to the next one."""
    script = (
        "import os, signal, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from tests.store import test_store as t\n"
        "with t.store().open(t.recipe(), t.picture) as folder:\n"
        "    t.say(folder, 'a')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(Path(__file__).parents[2])], check=False)
    assert done.returncode == -9
    with store().open(recipe(), picture) as folder:
        assert tuple(folder.reused) == ("a",)


def test_without_a_folder_evidence_lives_in_memory(state: Path) -> None:
    """A store without a root gives the same evidence and leaves nothing on the disk, not even a key."""
    with Store().open(recipe(), picture) as folder:
        assert folder.missing == NAMES
        say(folder, *NAMES)
        found = folder.finish({"platform": "here"})
    assert not Path("evidence").exists()
    assert not state.exists()
    assert found.digest == complete().digest


# --- replay ---


def plan(**changes: Any) -> CaptioningPlan:
    """What replay looks at of a plan."""
    return cast(
        "CaptioningPlan",
        SimpleNamespace(asked={**ASKED, **changes}, noun="caption", command="pytest claims/x.yaml::x-bleu4"),
    )


def replayed(**changes: Any) -> Evidence:
    """The evidence of the test's folder for a plan."""
    return replay(Path("evidence"), plan(**changes)).evidence


def test_replayed_evidence_is_what_the_run_gave() -> None:
    """Captions, observed axes, time and digest are those of the run; that it was replayed, and from where, is marked."""
    made = complete()
    found = replayed()
    assert found.replayed
    assert (found.digest, found.outputs, found.observed) == (made.digest, made.outputs, made.observed)
    assert (found.images, found.population, found.created_at) == (made.images, made.population, made.created_at)
    assert str(found.provenance["replayed"]).startswith(place().name)
    assert {key: value for key, value in found.provenance.items() if key != "replayed"} == made.provenance
    assert found.notes == (f"Replayed from evidence {place().name} of {made.created_at}: nothing was generated here.",)
    shutil.copytree("evidence", "copy")
    assert replay(Path("copy"), plan()).evidence == found


def test_evidence_for_another_plan_is_refused_with_what_differs() -> None:
    """The nearest folder is named, with each key, what it has and what the claim asks for."""
    complete()
    complete(decoding={"num_beams": 3}, prompt="")
    with pytest.raises(EvaluationError) as caught:
        replayed(decoding={"num_beams": 1})
    assert str(caught.value) == (
        f"The evidence {place()} is for another plan: decoding.num_beams: the evidence has 5, the claim asks for 1."
    )
    with pytest.raises(EvaluationError) as caught:
        replayed(decoding={"num_beams": 3}, prompt=" ")
    other = place(decoding={"num_beams": 3}, prompt="")
    assert str(caught.value) == (
        f"The evidence {other} is for another plan: prompt: the evidence has '', the claim asks for ' '."
    )


def test_no_evidence_is_no_attempt() -> None:
    """Without a folder, with an empty one, and with evidence of other models only, the claim was not attempted."""
    steps = "Make it where the model is (pytest claims/x.yaml::x-bleu4), and copy the folder here."
    with pytest.raises(NotAttempted) as caught:
        replayed()
    assert (caught.value.reason, caught.value.next_step) == ("There is no evidence below evidence.", steps)
    complete()
    with pytest.raises(NotAttempted) as caught:
        replayed(checkpoint={"id": "another", "revision": None})
    assert (caught.value.reason, caught.value.next_step) == (
        (
            f"There is no evidence for this checkpoint and data set below evidence; the nearest, {place().name}, differs: "
            "checkpoint.id: the evidence has 'model', the claim asks for 'another'."
        ),
        steps,
    )
    with pytest.raises(NotAttempted) as caught:
        replay(None, plan())
    assert str(caught.value) == (
        "There is no evidence to replay: pytest's cache is switched off. Name its folder with --claims-evidence=DIR."
    )


def lines(change: Callable[[list[dict[str, Any]]], Any]) -> Callable[[bytes], bytes]:
    """A change of a file of lines, made on their values."""

    def changed(data: bytes) -> bytes:
        values = [json.loads(line) for line in data.splitlines()]
        change(values)
        return "".join(json.dumps(value) + "\n" for value in values).encode()

    return changed


def values(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    """A change of a file that is one object."""

    def changed(data: bytes) -> bytes:
        value = json.loads(data)
        change(value)
        return json.dumps(value).encode()

    return changed


UNFINISHED = ": the run was not finished. Run the claim without --claims-replay: it goes on where it stopped."

HOSTILE: list[tuple[str, Callable[[bytes], bytes | None], str]] = [
    ("captions.jsonl", lambda _: None, ": is missing."),
    ("captions.jsonl", lambda _: b"", ":0: 0 of 4 captions" + UNFINISHED),
    ("captions.jsonl", lambda d: d[:-1], ":4: the last line is torn: a run was killed while it wrote it."),
    ("captions.jsonl", lines(lambda v: v.pop()), ":3: 3 of 4 captions" + UNFINISHED),
    ("captions.jsonl", lines(lambda v: v.append(v[0])), ":5: image 'a' has a caption already."),
    ("captions.jsonl", lines(lambda v: v[1].update(id="z")), ":2: image 'z' is not one of the plan's."),
    ("captions.jsonl", lines(lambda v: v[1].update(id=2)), ":2: id: expected text, got 2."),
    ("captions.jsonl", lines(lambda v: v[1].update(caption=["a"])), ":2: caption: expected text, got ['a']."),
    (
        "captions.jsonl",
        lines(lambda v: v[1].update(caption="a" * 100_001)),
        (":2: a text of more than 100,000 characters is refused."),
    ),
    ("captions.jsonl", lines(lambda v: v[1].pop("tokens")), ":2: tokens is missing, expected a whole number or null."),
    (
        "captions.jsonl",
        lines(lambda v: v[1].update(tokens=True)),
        ":2: tokens: expected a whole number or null, got True.",
    ),
    ("captions.jsonl", lines(lambda v: v[1].update(truncated=0)), ":2: truncated: expected true or false, got 0."),
    ("captions.jsonl", lambda d: d + b"[]\n", ":5: expected a JSON object, got a list."),
    ("captions.jsonl", lambda d: d + b"[" * 200_000 + b"\n", ":5: nested too deeply."),
    ("captions.jsonl", lambda d: d + b'{"a":' * 21 + b"1" + b"}" * 21 + b"\n", ":5: nested too deeply."),
    (
        "captions.jsonl",
        lambda d: d + b'{"tokens": -1234567890123456789}\n',
        ":5: a whole number of more than 18 digits is refused.",
    ),
    (
        "captions.jsonl",
        lambda d: d + b'{"tokens": ' + b"9" * 5000 + b"}\n",
        ":5: a whole number of more than 18 digits is refused.",
    ),
    ("captions.jsonl", lambda d: d + b'{"tokens": NaN}\n', ":5: NaN is not JSON."),
    ("captions.jsonl", lambda d: d + b'{"tokens": 1e999}\n', ":5: 1e999 is not a finite number."),
    ("captions.jsonl", lambda d: d + b'{"a": 1, "a": 2}\n', ":5: the key 'a' stands twice in one object."),
    ("captions.jsonl", lambda d: d + b'{"a": \xff}\n', ":5: not UTF-8 (byte 6)."),
    ("captions.jsonl", lambda d: d + b'{"a": "\\ud800"}\n', ":5: half a surrogate pair is no text."),
    ("captions.jsonl", lambda d: d + b"\n", ":5: not JSON: Expecting value (column 1)."),
    ("captions.jsonl", lambda d: d + b" " * 4_000_001 + b"\n", ":5: more than 4,000,000 bytes are refused."),
    (
        "references.jsonl",
        lines(lambda v: v[0].update(references=["a dog"])),
        (":1: the references are not those that the plan names."),
    ),
    ("references.jsonl", lines(lambda v: v[0].update(references=[])), ":1: references: expected one or more texts."),
    ("references.jsonl", lines(lambda v: v.append(v[0])), ":5: image 'a' has references already."),
    ("run.json", lambda _: None, ": is missing."),
    ("run.json", lambda d: d * 2, ":1: not JSON: Extra data (column 1)."),
    ("run.json", lambda _: b" " * 1_000_001, ": more than 1,000,000 bytes are refused."),
    (
        "run.json",
        values(lambda v: v.update(created_at="now")),
        (":1: created_at: expected a time such as 2026-01-31T12:00:00+00:00, got 'now'."),
    ),
    ("run.json", values(lambda v: v.update(provenance=[])), ":1: provenance: expected an object, got []."),
    (
        "run.json",
        values(lambda v: v.update(provenance={"x": {}})),
        (":1: provenance: x: expected text or a whole number or a number or null, got {}."),
    ),
    (
        "run.json",
        values(lambda v: v.update(provenance={str(n): n for n in range(101)})),
        (":1: provenance: more than 100 entries are refused."),
    ),
    ("plan.json", lambda _: None, ": is missing."),
    ("plan.json", lambda _: b"{}", ":1: expected the schema 'pytest-claims/evidence/2', got nothing."),
    (
        "plan.json",
        values(lambda v: v["asked"].update(prompt="")),
        (":1: the plan is not the one that the folder is named after."),
    ),
]


@pytest.mark.parametrize(("name", "change", "message"), HOSTILE, ids=range(len(HOSTILE)))
def test_evidence_that_is_not_evidence_is_refused(
    name: str, change: Callable[[bytes], bytes | None], message: str
) -> None:
    """Whatever stands in the files, the error names file and line and what was expected; it is never another exception."""
    complete()
    path = place() / name
    data = change(path.read_bytes())
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(EvaluationError) as caught:
        replayed()
    assert str(caught.value) == f"{path}{message}"


CONTRADICTION = "these numbers contradict each other."
PLANS: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda v: v.pop("asked"), "asked is missing, expected an object."),
    (lambda v: v.update(images=4.0), "images: expected a whole number, got 4.0."),
    (lambda v: v.update(images=3), "observed: 4 scored, 3 captioned of all, 4 in the data set: " + CONTRADICTION),
    (lambda v: v.update(population=5), "observed: 4 scored, 4 captioned of 5, 4 in the data set: " + CONTRADICTION),
    (
        lambda v: v["observed"].update(prompt=None),
        "observed: expected a prompt and a decoding, or a ranking and neither of them.",
    ),
    (lambda v: v["observed"]["prompt"].update(prompt=1.5), "observed: prompt: prompt: expected text, got 1.5."),
    (
        lambda v: v["observed"]["decoding"].pop("num_beams"),
        "observed: decoding: num_beams is missing, expected a whole number.",
    ),
    (
        lambda v: v["observed"]["decoding"].update(length_penalty="x"),
        ("observed: decoding: length_penalty: expected a whole number or a number, got 'x'."),
    ),
    (
        lambda v: v["observed"]["dataset"].update(where={"a": []}),
        ("observed: dataset: where: a: expected text or a whole number or a number or true or false or null, got []."),
    ),
    (lambda v: v["observed"].update(seed="x"), "observed: seed: expected a whole number or null, got 'x'."),
]


@pytest.mark.parametrize(("change", "message"), PLANS, ids=range(len(PLANS)))
def test_a_plan_of_the_wrong_types_is_refused(change: Callable[[dict[str, Any]], Any], message: str) -> None:
    """Also where the folder is named after the plan that a stranger wrote: no type of theirs reaches the comparison."""
    from pytest_claims.store.format import NAME
    from pytest_claims.store.recipe import plan_digest

    complete()
    content = recipe().content()
    change(content)
    folder = place().rename(place().with_name(plan_digest(content)[:NAME]))
    (folder / "plan.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(EvaluationError) as caught:
        replayed()
    assert str(caught.value) == f"{folder / 'plan.json'}:1: {message}"


def test_links_are_not_read() -> None:
    """A file that is a link is refused; a folder that is one is not looked at."""
    complete()
    (place() / "captions.jsonl").rename("captions")
    (place() / "captions.jsonl").symlink_to(Path("captions").resolve())
    with pytest.raises(EvaluationError) as caught:
        replayed()
    assert str(caught.value) == f"{place() / 'captions.jsonl'}: is a symbolic link, expected a plain file."
    place().rename("elsewhere")
    place().symlink_to(Path("elsewhere").resolve())
    with pytest.raises(NotAttempted):
        replayed()


def test_a_pipe_is_not_waited_for() -> None:
    """A named pipe in place of a file is refused at once."""
    complete()
    (place() / "captions.jsonl").unlink()
    os.mkfifo(place() / "captions.jsonl")
    with pytest.raises(EvaluationError) as caught:
        replayed()
    assert str(caught.value) == f"{place() / 'captions.jsonl'}: is not a plain file."


def test_a_broken_folder_does_not_hide_a_good_one() -> None:
    """Evidence that matches is used whatever else lies beside it."""
    complete()
    broken = Path("evidence") / ("0" * 32)
    broken.mkdir()
    (broken / "plan.json").write_text("{", encoding="utf-8")
    assert len(replayed().outputs) == 4


def test_the_newest_of_several_is_taken() -> None:
    """Runs on other versions or devices match the same claim; the newest complete one counts, and the note says so."""
    from pytest_claims.store.format import NAME
    from pytest_claims.store.recipe import plan_digest

    complete()
    content = recipe().content() | {"device": "cuda"}
    other = Path("evidence") / plan_digest(content)[:NAME]
    shutil.copytree(place(), other)
    (other / "plan.json").write_text(json.dumps(content), encoding="utf-8")
    run = json.loads((other / "run.json").read_bytes()) | {"created_at": "2001-01-01T00:00:00+00:00"}
    (other / "run.json").write_text(json.dumps(run), encoding="utf-8")
    found = replayed()
    assert found.notes == (
        f"Replayed from evidence {place().name} of {found.created_at}: nothing was generated here. The newest of 2 that match.",
    )


# --- git ---


def test_the_commit_of_the_claim_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commit and whether tracked files differ from it; None without commit, repository or git, which is no error."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git.head(tmp_path) is None

    def run(*command: str) -> str:
        names = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *names, *command], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    run("init", "-q")
    assert git.head(tmp_path) is None
    Path("claim.yaml").write_text("a", encoding="utf-8")
    run("add", "claim.yaml")
    run("commit", "-q", "-m", "a")
    commit = run("rev-parse", "HEAD")
    Path("untracked").write_text("", encoding="utf-8")
    assert str(git.head(tmp_path)) == commit
    Path("claim.yaml").write_text("b", encoding="utf-8")
    assert str(git.head(tmp_path)) == f"{commit} with uncommitted changes"
    monkeypatch.setenv("PATH", "")
    assert git.head(tmp_path) is None


def test_an_audit_draws_what_nobody_else_can_know(state: Path) -> None:
    """An audit takes the same images each time for one user and one evidence, and other images for another user."""
    names = [str(n) for n in range(1000)]
    mine = seal.load().draw("digest", 0, names, 10)
    assert mine == seal.load().draw("digest", 0, reversed(names), 10)
    assert len(mine) == 10
    assert mine != seal.load().draw("digest", 1, names, 10)
    (state / "pytest-claims" / "key").unlink()
    assert mine != seal.load().draw("digest", 0, names, 10)


def test_a_replaced_file_is_whole_or_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that breaks leaves the old content and nothing beside it."""
    path = Path("run.json")
    files.write_whole(path, b"old")

    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("pytest_claims.files.os.fsync", broken)
        with pytest.raises(OSError, match="Input/output error"):
            files.write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in Path().iterdir()] == ["run.json"]
