"""The ledger as a file: appended under a lock, repaired, checked, merged by git, and read back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pytest_claims import __main__
from pytest_claims.errors import ClaimsError, SettingsError
from pytest_claims.ledger import Key, append, lines, load, parse, retract, validation
from tests.attacks.repository import git
from tests.ledger.books import ROOT, record, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EXAMPLE = ROOT / "docs/ledger-example.jsonl"
KEY = Key("2301.12597", "a-claim", "POST")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of three verdicts on two claims."""
    made = tmp_path / "ledger.jsonl"
    write(made, record(n=1), record("b-claim", n=2), record(status="fail", measured=20.0, n=3))
    return made


def verify(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """What `ledger verify` ends with and says."""
    status = __main__.main(["ledger", "verify", str(path)])
    return status, capsys.readouterr().out


def test_a_line(path: Path) -> None:
    """A line has sorted keys, names the line before it and where it begins, and ends with the digest of the bytes before."""
    content = path.read_bytes()
    whole = content.splitlines(keepends=True)
    values = [json.loads(line) for line in whole]
    for number, (line, value) in enumerate(zip(whole, values, strict=True)):
        assert line == json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        assert list(value)[-1] == "sha256"
        assert value["parents"] == ([values[number - 1]["sha256"]] if number else [])
        assert value["offset"] == sum(map(len, whole[:number]))
        assert lines.head(line[:-1]) == {
            key: value[key] for key in ("about", "agent", "at", "event", "offset", "parents")
        }
    assert [value["at"] for value in values] == sorted(value["at"] for value in values)


def test_current_and_superseded(path: Path) -> None:
    """The newest verdict on a claim and kind is current; one of the other kind is of its own."""
    write(path, record(kind="PRE", n=4))
    book = load(path)
    current = {key: book.about(entry)["status"] for key in book.verdicts if (entry := book.current(key))}
    assert current == {KEY: "fail", KEY._replace(kind="PRE"): "pass", KEY._replace(claim="b-claim"): "pass"}


def test_a_retraction_brings_nothing_back(path: Path) -> None:
    """A retracted verdict stays in the file, is not current, and what it superseded does not become current again."""
    before = path.read_bytes()
    retract(path, f"{3:032x}", "a broken GPU")
    assert path.read_bytes().startswith(before)
    book = load(path)
    assert book.current(KEY) is None
    assert [book.reason(entry) for entry in book.verdicts[KEY]] == [None, "a broken GPU"]
    write(path, record(n=5))
    assert load(path).current(KEY) is not None
    for given, said in (
        ("ffff", "holds no verdict"),
        ("0000", "is not one verdict"),
        ("ab", "at least 4"),
        (f"{3:032x}", "already"),
    ):
        with pytest.raises(SettingsError, match=said):
            retract(path, given, "why")
    with pytest.raises(SettingsError, match="--reason"):
        retract(path, f"{1:032x}", "  ")


EDITS: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "a number": (
        lambda text: [text[0].replace(b"43.0", b"44.0", 1), *text[1:]],
        ":1: it was edited (claim a-claim, verdict ",
    ),
    "the last line": (
        lambda text: [*text[:2], text[2].replace(b'"fail"', b'"pass"')],
        ":3: it was edited (claim a-claim",
    ),
    "a line taken out": (lambda text: [text[0], text[2]], ":2: the line before it, "),
    "lines in another order": (lambda text: [text[1], text[0], text[2]], ":1: the line before it, "),
    "a foreign line": (lambda text: [*text, b"{}\n"], ":4: it is no line of a ledger"),
    "other line ends": (lambda text: [line[:-1] + b"\r\n" for line in text], ":1: its line end was changed"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_edits_are_named(path: Path, edit: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A line that was edited, moved or removed is named with its number; nothing is appended to or read from such a file."""
    change, said = EDITS[edit]
    text = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(change(text)))
    status, out = verify(path, capsys)
    assert status == 1
    assert f"{path}{said}" in next(line for line in out.splitlines() if not line.startswith("note: "))
    with pytest.raises(SettingsError, match="Nothing is read from a ledger that was changed"):
        load(path)


def test_a_forged_line_is_held_against_the_models(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line with a right digest, but with a status that nobody publishes, or another summary than its record, is named."""
    draft = lines.verdict(record(n=9), {})
    for change, said in (
        ({"status": "pending"}, "about.status"),
        ({"measured": 43.7}, "its summary differs from its record"),
    ):
        other = path.with_name("forged.jsonl")
        other.write_bytes(path.read_bytes())
        append(other, [lines.Draft(event="verdict", about={**draft.about, **change}, more=draft.more)])
        status, out = verify(other, capsys)
        assert status == 1
        assert f"{other}:4: {said}" in out


def test_a_torn_tail(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a stopped writer left is noted by readers, and taken out by the next writer with a line that says so."""
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"about":{"cl')
    assert len(load(path).entries) == 3
    status, out = verify(path, capsys)
    assert (status, "13 bytes after the last whole line" in out) == (0, True)
    write(path, record(n=4))
    assert path.read_bytes().startswith(whole)
    assert [entry.event for entry in load(path).entries] == ["verdict"] * 3 + ["repair", "verdict"]
    assert load(path).about(load(path).entries[3])["bytes"] == 13
    # A line that is whole, and lacks only its line break, is kept.
    path.write_bytes(path.read_bytes()[:-1])
    write(path, record(n=5))
    assert [entry.event for entry in load(path).entries][3:] == ["repair", "verdict", "verdict"]
    assert verify(path, capsys)[0] == 0


@pytest.mark.parametrize("ours_first", [True, False])
def test_git_merges_two_branches(tmp_path: Path, ours_first: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """With `merge=union` git keeps the lines of both sides; the newest verdict is current, whoever merged; the next joins."""
    path = tmp_path / "ledger.jsonl"
    (tmp_path / ".gitattributes").write_text("ledger.jsonl -text merge=union\n")
    write(path, record(n=1))
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", "ledger.jsonl", ".gitattributes")
    git(tmp_path, "commit", "-qm", "one")
    git(tmp_path, "checkout", "-qb", "change")
    write(path, record(n=2), record("b-claim", n=3))
    git(tmp_path, "commit", "-qam", "change")
    git(tmp_path, "checkout", "-q", "main")
    write(path, record(status="fail", measured=20.0, n=4))
    git(tmp_path, "commit", "-qam", "main")
    if not ours_first:
        git(tmp_path, "checkout", "-q", "change")
    git(tmp_path, "merge", "-q", "-m", "merge", "change" if ours_first else "main")
    status, out = verify(path, capsys)
    assert (status, "2 branches were merged" in out) == (0, True)
    book = load(path)
    assert len(book.entries) == 4
    assert (entry := book.current(KEY))
    assert book.about(entry)["verdict"] == f"{4:032x}"
    write(path, record(n=5))
    joined = load(path)
    assert len(joined.entries[-1].parents) == 2
    assert joined.heads == (joined.entries[-1].digest,)
    write(path, record(n=6))
    assert load(path).entries[-1].parents == (joined.entries[-1].digest,)
    assert verify(path, capsys)[0] == 0


def test_a_merge_may_repeat_a_line(path: Path) -> None:
    """A line that came over both branches counts once."""
    text = path.read_bytes()
    book = parse(text + text.splitlines(keepends=True)[2], "ledger")
    assert (len(book.entries), book.problems, len(book.notes)) == (3, [], 1)


def test_what_cannot_be_written(path: Path, tmp_path: Path) -> None:
    """A link, a folder, and a file whose last line is no line of a ledger are refused, and left as they are."""
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)
    other = tmp_path / "other.jsonl"
    other.write_text("{}\n")
    for place, said in ((link, "symbolic link"), (tmp_path, "irectory"), (other, "its last line was edited")):
        with pytest.raises(ClaimsError, match=said):
            write(place, record())
    assert other.read_text() == "{}\n"


WRITER = """
import sys
from pathlib import Path
from tests.ledger.books import record, write
number = int(sys.argv[2])
while True:
    number += 1
    digest, = write(Path(sys.argv[1]), record(f"claim-{sys.argv[2]}", n=number))
    print(digest, flush=True)
"""


def test_killed_writers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of four writers that are killed while they append, no acknowledged line is lost, and the chain is whole.

    `PYTEST_CLAIMS_KILLS` writers are killed, by default 4; benchmarks/ledger.py kills 30.
    """
    path = tmp_path / "ledger.jsonl"
    kills, acknowledged = int(os.environ.get("PYTEST_CLAIMS_KILLS", "4")), set[str]()

    def start(number: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WRITER, str(path), str(number * 1_000_000)]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    running = [start(number) for number in range(4)]
    for number in range(kills):
        victim = running.pop(0)
        assert victim.stdout is not None
        acknowledged.update(victim.stdout.readline().strip() for _ in range(1 + number % 5))
        victim.send_signal(signal.SIGKILL)
        acknowledged.update(line.strip() for line in victim.communicate()[0].splitlines() if len(line.strip()) == 64)
        if number + 4 < kills:
            running.append(start(number + 4))
    assert verify(path, capsys)[0] == 0
    assert len(acknowledged) >= kills
    assert acknowledged <= {entry.digest for entry in load(path).entries}


def test_the_documented_example(capsys: pytest.CaptureFixture[str]) -> None:
    """docs/ledger-example.jsonl holds the published record, key by key, after the retracted one; docs/ledger.md shows it."""
    published: dict[str, Any] = json.loads((ROOT / "tests/data/starting-record.json").read_text(encoding="utf-8"))
    assert verify(EXAMPLE, capsys)[0] == 0
    book = load(EXAMPLE)
    wrong, now = next(iter(book.verdicts.values()))
    record = book.record(now).values()
    assert {key: record[key] for key in published} == published
    assert book.is_current(now)
    assert "greedy" in book.record(wrong).verdict.agent_version
    document = (ROOT / "docs/ledger.md").read_text(encoding="utf-8")
    for command in (["list"], ["history", "blip2-opt-2.7b-flickr30k-bleu4"]):
        assert __main__.main(["ledger", *command, f"--claims-ledger={EXAMPLE}"]) == 0
        for line in capsys.readouterr().out.splitlines():
            assert line.strip() in document


def test_commands(path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`list`, `show` and `diff` say what stands in the file; a wrong name is one line with the nearest one, and status 2."""
    monkeypatch.chdir(path.parent)
    assert __main__.main(["ledger", "list", "--all"]) == 0
    assert [line.split()[3:6] for line in capsys.readouterr().out.splitlines()[1:4]] == [
        ["pass", "43.00", "superseded"], ["fail", "20.00", "current"], ["pass", "43.00", "current"],
    ]  # fmt: skip
    assert __main__.main(["ledger", "diff", f"{1:032x}", f"{3:032x}"]) == 0
    assert "evidence.measured: 43.0 → 20.0" in capsys.readouterr().out
    assert __main__.main(["ledger", "retract", f"{3:032x}", "--reason", "a broken GPU"]) == 0
    assert __main__.main(["ledger", "show", f"{3:032x}"]) == 0
    assert "RETRACTED" in capsys.readouterr().out
    assert __main__.main(["ledger", "history", "a-clam"]) == 2
    assert "did you mean 'a-claim'?" in capsys.readouterr().err
    assert __main__.main(["ledger", "list", "--claims-ledger=none.jsonl"]) == 2
    assert "There is no ledger none.jsonl" in capsys.readouterr().err


def test_summaries_are_one(path: Path) -> None:
    """The two ways in which the summary of a record is made agree."""
    book = load(path)
    for entry in book.entries:
        assert validation.summary(book.record(entry)) == book.about(entry)
