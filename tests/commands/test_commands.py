"""The commands beside pytest: what they print and write, and how they end."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pytest_claims import __main__, spec
from pytest_claims.commands import init
from tests.builders import captioning, changed, claim, put, released, write
from tests.running import run as run_pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., tuple[int, str, str]]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in an empty folder: its exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*args: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = __main__.main(args)
        except SystemExit as end:  # argparse
            status = int(end.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return call


def test_help_is_fast() -> None:
    """`--help` names every command with one line, and imports neither pytest nor a package that takes time."""
    code = (
        "import sys; from pytest_claims import __main__\n"
        "try: __main__.main(['--help'])\n"
        "finally: print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    loaded = set(done.stderr.split())
    assert not loaded & {"torch", "pydantic", "numpy", "yaml", "pytest", "huggingface_hub", "transformers"}
    for name in __main__.COMMANDS:
        assert re.search(rf"^    {name}\s+\S.{{20,}}$", done.stdout, re.MULTILINE), name


def test_a_command_imports_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the module of the command that is asked for is imported."""
    for name in [name for name in sys.modules if name.startswith("pytest_claims.commands.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SystemExit):
        __main__.main(["check", "--help"])
    assert [name for name in sys.modules if name.startswith("pytest_claims.commands.")] == [
        "pytest_claims.commands.check"
    ]


@pytest.mark.parametrize("args", [(), ("chek",), ("check",), ("explain",), ("init", "x")])
def test_wrong_usage(command: Command, args: tuple[str, ...]) -> None:
    """A command line that is not right ends with 2 and says how it goes."""
    status, out, err = command(*args)
    assert (status, out) == (2, "")
    assert "usage: pytest-claims" in err


# --- init ------------------------------------------------------------------------------------------------------------


def test_init_gives_a_verdict(pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    """After `init`, `pytest claims/` has a verdict, without network and model, and `check` finds nothing wrong."""
    assert __main__.main(["init"]) == 0
    assert __main__.main(["check", "claims"]) == 0
    assert "claims/example.yaml: 1 claim" in capsys.readouterr().out
    found = run_pytest(pytester, "claims")
    assert (found.ret, found.statuses) == (0, {"example-bleu4": "pass"})


def test_init_overwrites_nothing(command: Command) -> None:
    """If one of the files is there, even as a link that leads nowhere, nothing is written."""
    place = Path("claims/example/predictions.json")
    place.parent.mkdir(parents=True)
    place.symlink_to("nowhere.json")
    status, out, err = command("init")
    assert (status, out) == (1, "")
    assert err.startswith("claims/example/predictions.json exists and is not overwritten; nothing was written.")
    assert [path.name for path in Path("claims").rglob("*")] == ["example", "predictions.json"]
    assert not Path("claims/example/nowhere.json").exists()


def parts() -> list[str]:
    """The example's claim files: the one that runs, and those in comments, as they are without the comment sign."""
    first, *others = re.split(
        r"^# --- .*\n", (init.TEMPLATE / "example.yaml").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    return [first, *(re.sub(r"^# ?", "", other, flags=re.MULTILINE) for other in others)]


def test_the_example_is_valid_in_all_its_forms() -> None:
    """The forms in comments are claim files too, one for each evaluator."""
    read = [spec.loads(part.encode(), path=Path("x.yaml"), display="x.yaml") for part in parts()]
    assert [claims[0].run.evaluator for claims in read] == [
        "predictions",
        "captioning",
        "answering",
        "parameters",
        "retrieval",
        "derived",
    ]


def test_the_example_explains_every_key() -> None:
    """Each key of the schema stands in the example."""
    from pytest_claims.spec import schema

    def keys(value: Any) -> set[str]:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        own = set(value.get("properties", {})) if isinstance(value, dict) else set()
        return own.union(*map(keys, inner))

    def used(value: Any) -> set[str]:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return set(value if isinstance(value, dict) else ()).union(*map(used, inner))

    stands = set[str]().union(*(used(yaml.safe_load(part)) for part in parts()))
    assert keys(json.loads(schema.generate())) - stands == set()


# --- check -----------------------------------------------------------------------------------------------------------


def test_check_says_what_collection_says(pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    """Each problem of a file is told in the words of pytest's collection, on stderr."""
    bad = claim(reported__unit="points")
    bad["tolerence"] = bad.pop("tolerance")
    put(pytester.path, bad)
    assert __main__.main(["check", "claims/paper.yaml"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    found = run_pytest(pytester, "claims")
    assert err.splitlines() == found.records["claims/paper.yaml"]["evidence"]["reason"].splitlines()
    assert "did you mean 'tolerance'?" in err


def test_check_names(command: Command) -> None:
    """Paths and ids are checked without the network: a path that leaves its folder is a problem, a missing file is a note."""
    put(Path(), claim("out", run__predictions__path="link.json"), name="claims/a.yaml")
    Path("outside.json").write_text("[]", encoding="utf-8")
    Path("claims/link.json").symlink_to("../outside.json")
    status, out, err = command("check", "claims/a.yaml")
    assert (status, out) == (1, "")
    assert err.startswith("claims/a.yaml:")
    assert "a symbolic link leads out of" in err

    put(
        Path(), claim("one", run__predictions__path="missing.json"), claim("two", run__predictions__path="missing.json")
    )
    status, out, err = command("check", "claims/paper.yaml")
    assert (status, out) == (0, "claims/paper.yaml: 2 claims\n")
    assert len(err.splitlines()) == 1
    assert "note: The file of predictions missing.json was not found below claims." in err

    released(Path("data"))
    Path("data/out.json").rename("data/missing.json")
    assert command("check", "claims/paper.yaml", "--claims-data=data")[2] == ""


@pytest.mark.parametrize(
    ("key", "identifier", "text"),
    [
        ("checkpoint", "Salesforce/blip2--opt", "The checkpoint Salesforce/blip2--opt: "),
        ("checkpoint", "../model", "is refused: expected a path below the claim file's folder"),
        ("dataset", "a b/c", "The data set a b/c: "),
    ],
)
def test_check_hub_ids(command: Command, key: str, identifier: str, text: str) -> None:
    """An id that no repository of the hub can have is found offline."""
    write(Path("claims/m.yaml"), changed(captioning(claim()), **{f"protocol__{key}__id": identifier}))
    status, _, err = command("check", "claims/m.yaml")
    assert status == 1
    assert text in err


def test_check_of_nothing(command: Command) -> None:
    """A folder without claim files, and a file that is not there, are problems: a check of nothing is not good."""
    Path("claims").mkdir()
    assert command("check", "claims")[0] == 1
    assert command("check", "claims/x.yaml") == (1, "", "claims/x.yaml:1: cannot be read: No such file or directory\n")


def test_check_knows_a_plugins_metric_by_name(command: Command) -> None:
    """The code of a plugin is not run, so that its metric has to be named."""
    put(Path(), claim(metric="wups", value="20", protocol={"metric": "wups"}))
    status, _, err = command("check", "claims")
    assert status == 1
    assert "unknown metric 'wups'" in err
    assert command("check", "claims", "--metric=wups")[0] == 0


def test_the_shipped_claims_are_good(command: Command) -> None:
    """`check` finds no problem in the shipped claims; the data that the repository may not ship are notes."""
    status, out, err = command("check", str(ROOT / "claims"))
    assert status == 0
    assert len(out.splitlines()) == len(list((ROOT / "claims").rglob("*.yaml")))
    assert all(": note: " in line for line in err.splitlines())


def test_the_pre_commit_hook(command: Command) -> None:
    """The hook runs `check` on changed claim files: it passes those that ship and stops at a mistake."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert hook["id"] == "pytest-claims-check"
    assert {"id", "name", "entry", "language", "files"} <= hook.keys()
    program, *args = hook["entry"].split()
    assert program == "pytest-claims"
    changed = ["README.md", "claims/blip2/parameters.yaml", "papers/x.yaml", "nested/claims/y.yml", "claims/x.json"]
    chosen = [name for name in changed if re.search(hook["files"], name)]
    assert chosen == ["claims/blip2/parameters.yaml", "nested/claims/y.yml"]
    assert command(*args, str(ROOT / chosen[0]))[0] == 0
    put(Path(), claim(reported__unit="points"))
    assert command(*args, "claims/paper.yaml")[0] == 1


# --- explain ---------------------------------------------------------------------------------------------------------


def test_explain_prints_the_plan(pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    """The plan is that of `--claims-dry-run`, line by line; with the number, its bands and its place."""
    put(pytester.path, claim("one", run__dataset__id="other"), claim("two"))
    assert __main__.main(["explain", "claims/paper.yaml::one"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(": one")
    assert lines[1] == "  reported: 100.0 % bleu1 (https://example.org/paper, Table 1, ours, B@1)"
    plan = [line.strip() for line in lines[lines.index("  plan of one:") :]]
    dry = run_pytest(pytester, "claims", "--claims-dry-run", "-k", "one").out.splitlines()
    shown = [line.strip() for line in dry[dry.index("plan of one:") :]]
    assert plan[:-1] == shown[: len(plan) - 1]
    assert "paper: id=tiny, images=3 → drift" in plan


def test_explain_ends_with_1_where_a_run_would_break(command: Command) -> None:
    """A claim that would end in an error makes the status 1; one that cannot be attempted here does not."""
    put(Path(), claim("gone", run__predictions__path="missing.json"), claim("one"))
    assert command("explain", "claims/paper.yaml")[0] == 0
    status, out, _ = command("explain", "claims/paper.yaml::one", "--claims-set=metric=other")
    assert status == 1
    assert "bleu1 is computed as coco-caption here" in out
    status, out, err = command("explain", "claims/paper.yaml::on")
    assert (status, out) == (1, "")
    assert err == "claims/paper.yaml:1: no claim has the id 'on', did you mean 'one'?\n"


def test_explain_refuses_a_wrong_option(command: Command) -> None:
    """Options are those of pytest, with its messages; a wrong one is wrong usage."""
    put(Path())
    status, _, err = command("explain", "claims/paper.yaml", "--claims-set=decoding.num_beam=1")
    assert status == 2
    assert "did you mean 'decoding.num_beams'?" in err
    assert command("explain", "claims/paper.yaml", "--claims-model=x=./nowhere")[0] == 2


def test_what_a_claim_file_says_is_harmless(command: Command) -> None:
    """No text of a claim file controls the terminal or is a command to a CI system."""
    put(Path(), claim(citation__row="\x1b[31m red", citation__column="x\n::error::y"))
    status, out, _ = command("explain", "claims/paper.yaml")
    assert status == 0
    assert "\x1b" not in out
    assert not re.search(r"^\s*::", out, re.MULTILINE)
