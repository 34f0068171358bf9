"""The pytest side: what is collected, what a claim's result is, and that every claim stands in every report."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pytest_claims.evaluation.predictions as evaluator
from pytest_claims.globs import below_claims, matches
from tests.builders import claim, of_status, put
from tests.running import STATUSES, plain, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_claims.evidence import Evidence

BROKEN = "paper: {title: T, arxiv_id: '2301.12597'}\nclaimz: []\nprotocol: 3\n"


# --- which files are claim files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "args"),
    [
        (".", ["claims/"]),
        (".", []),
        (".", ["claims/deep/paper.yaml"]),
        (".", ["claims/deep/paper.yaml::one"]),
        (".", ["--rootdir=claims/deep", "claims/deep"]),
        ("claims", []),
        ("claims/deep", ["."]),
    ],
)
def test_no_configuration_needed(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, start: str, args: list[str]
) -> None:
    """Without any configuration, and wherever pytest is started, the YAML below `claims` is found and verified."""
    put(pytester.path, name="claims/deep/paper.yaml")
    monkeypatch.chdir(pytester.path / start)
    assert run(pytester, *args, twice=True).results == {"one": "passed"}


def test_a_named_file_is_always_read(pytester: pytest.Pytester) -> None:
    """A file named on the command line is a claim file wherever it lies, and its neighbours are not."""
    put(pytester.path, name="some/where/x.yaml")
    (pytester.path / "some/where/y.yaml").write_text(BROKEN)
    assert run(pytester, "some/where/x.yaml").results == {"one": "passed"}
    assert plain(pytester, "some/where").ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_other_yaml_is_never_touched(pytester: pytest.Pytester) -> None:
    """The plugin does not open YAML outside a folder named claims, or outside the globs of `claims_files`."""
    put(pytester.path)
    for name in ("compose.yaml", "claimsx/x.yaml", "xclaims/x.yml", "docs/claims.yaml"):
        (pytester.path / name).parent.mkdir(exist_ok=True)
        (pytester.path / name).write_text(BROKEN)
    assert run(pytester).results == {"one": "passed"}
    pytester.makeini("[pytest]\nclaims_files = papers/**/*.claim.yaml")
    put(pytester.path, claim("two"), name="papers/2023/blip2.claim.yaml")
    (pytester.path / "papers/2023/notes.yaml").write_text(BROKEN)
    assert run(pytester).results == {"two": "passed"}


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("papers/*.yaml", {"papers/a.yaml"}),
        ("./papers/*.yaml", {"papers/a.yaml"}),
        ("papers/**/*.yaml", {"papers/a.yaml", "papers/x/b.yaml", "papers/x/y/c.yaml"}),
        ("**/x/*.yaml", {"papers/x/b.yaml"}),
        ("papers/*/*.yaml", {"papers/x/b.yaml"}),
        ("papers/**", {"papers/a.yaml", "papers/x/b.yaml", "papers/x/y/c.yaml"}),
        ("b.yaml", {"papers/x/b.yaml"}),
        ("?.yaml", {"papers/a.yaml", "papers/x/b.yaml", "papers/x/y/c.yaml", "d.yaml"}),
        ("[!ab].yaml", {"papers/x/y/c.yaml", "d.yaml"}),
        ("[ab].yaml", {"papers/a.yaml", "papers/x/b.yaml"}),
        ("papersx/*.yaml", set()),
        ("papers.x/*.yaml", set()),
    ],
)
def test_globs(glob: str, found: set[str]) -> None:
    """A glob reads as in a shell: a star stops at a slash, `**/` is any folders or none; without a slash it is a file name."""
    names = ("papers/a.yaml", "papers/x/b.yaml", "papers/x/y/c.yaml", "d.yaml")
    root = Path("/root/dir")
    assert {name for name in names if matches(root / name, root, [glob])} == found


@pytest.mark.parametrize(
    ("path", "inipath", "expected"),
    [
        ("/r/claims/x.yaml", "/r/pyproject.toml", True),
        ("/r/claims/deep/x.yaml", "/r/pyproject.toml", True),
        ("/r/claims/x.yaml", "/r/claims/pytest.ini", True),
        ("/r/claims/x.yaml", None, True),
        ("/home/claims/project/x.yaml", "/home/claims/project/pyproject.toml", False),
        ("/home/claims/project/claims/x.yaml", "/home/claims/project/pyproject.toml", True),
        ("/elsewhere/claims/x.yaml", "/r/pyproject.toml", True),
        ("/r/x/claims.yaml", None, False),
    ],
)
def test_below_a_folder_named_claims(path: str, inipath: str | None, expected: bool) -> None:
    """Whatever the rootdir is, a folder named claims counts, and one above the project's configuration does not."""
    assert below_claims(Path(path), Path(inipath) if inipath else None) is expected


def test_collect_only(pytester: pytest.Pytester) -> None:
    """`--co` lists the claims, runs none, shows no table and leaves the reports alone."""
    put(pytester.path, claim("a"), claim("b"))
    found = run(pytester, "claims", "--co", "-q")
    assert found.ret == 0
    assert not found.reported
    *lines, count = found.out.splitlines()
    assert lines == ["claims/paper.yaml::a", "claims/paper.yaml::b", ""]
    assert count.startswith("2 tests collected in ")


# --- files that cannot be read ---------------------------------------------------------------------------------------


def test_a_malformed_file(pytester: pytest.Pytester) -> None:
    """A malformed file is an error of one line per problem, without a traceback; the other files run; the exit code is 1."""
    put(pytester.path, claim("good"), name="claims/good.yaml")
    (pytester.path / "claims/bad.yaml").write_text(BROKEN)
    found = run(pytester, "claims", twice=True)
    assert found.ret == 1
    assert found.results == {"claims/bad.yaml": "failed", "good": "passed"}
    bad = found.records["claims/bad.yaml"]
    problems = [
        "claims/bad.yaml:1: the file lacks the required key 'claims'",
        "claims/bad.yaml:2: unknown key 'claimz' in the file, did you mean 'claims'?",
        "claims/bad.yaml:3: protocol: expected a mapping, got 3",
    ]
    listed = bad["evidence"]["reason"].splitlines()
    assert listed == [line for line in problems if line in listed]
    assert problems[1] in listed
    assert problems[2] in listed
    shown = found.out.partition(" ERROR collecting ")[2].splitlines()[1:]
    assert shown[: len(listed)] == listed
    assert shown[len(listed)].startswith("====")
    assert "Traceback" not in found.out
    assert found.case("claims/bad.yaml").find("error") is not None


@pytest.mark.parametrize("args", [["-x"], ["--maxfail=1"], ["-x", "-p", "no:cacheprovider"]])
def test_stopping_at_a_malformed_file(pytester: pytest.Pytester, args: list[str]) -> None:
    """Where pytest stops at a malformed file, the claims collected before it stand in the report as not attempted."""
    put(pytester.path, claim("a"), name="claims/a.yaml")
    (pytester.path / "claims/bad.yaml").write_text(BROKEN)
    found = run(pytester, "claims", *args)
    assert found.ret == 1
    assert found.statuses == {"a": "not_attempted", "claims/bad.yaml": "error"}


def test_another_plugins_collection_error(pytester: pytest.Pytester) -> None:
    """A test module that cannot be imported stops the session as ever; the claims stand in the report as not attempted."""
    put(pytester.path)
    pytester.makepyfile(test_broken="import no_such_module")
    found = run(pytester)
    assert found.ret == pytest.ExitCode.INTERRUPTED
    assert found.statuses == {"one": "not_attempted"}
    assert found.records["one"]["evidence"]["reason"] == "The claim did not run: the session ended before its turn."


def test_a_fault_while_reading(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that makes our own reader crash is an error of that file, in every report too."""
    from pytest_claims import spec

    def crash(*_args: object, **_options: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(spec, "load", crash)
    put(pytester.path)
    found = run(pytester, "claims")
    assert found.ret == 1
    assert found.statuses == {"claims/paper.yaml": "error"}
    assert found.records["claims/paper.yaml"]["evidence"]["reason"] == "claims/paper.yaml: RuntimeError: a fault"


# --- results ---------------------------------------------------------------------------------------------------------

TABLE = [
    # status, letter, category in pytest's summary, red at gate partial, red at gate pass
    ("pass", ".", "passed", False, False),
    ("partial", "~", "partial", False, True),
    ("fail", "F", "failed", True, True),
    ("pending", "W", "failed", True, True),
    ("not_attempted", "s", "skipped", False, True),
    ("error", "E", "error", True, True),
]


@pytest.mark.parametrize("gate", ["default", "partial", "pass", "ini"])
@pytest.mark.parametrize(("status", "letter", "category", "red", "red_at_pass"), TABLE, ids=[row[0] for row in TABLE])
def test_results(
    pytester: pytest.Pytester, gate: str, status: str, letter: str, category: str, *, red: bool, red_at_pass: bool
) -> None:
    """Each status has its letter, its category and its exit code, as the table of README.md says, under either gate."""
    put(pytester.path, of_status(status, "one"))
    strict = gate in ("pass", "ini")
    if gate == "ini":
        pytester.makeini("[pytest]\nclaims_gate = pass")
    found = run(pytester, "claims", *([] if gate in ("default", "ini") else [f"--claims-gate={gate}"]))
    if strict and status in ("partial", "not_attempted"):
        letter, category = "F", "failed"
    assert found.statuses == {"one": status}
    assert found.ret == int(red_at_pass if strict else red)
    assert f"claims/paper.yaml {letter} " in found.out
    assert found.result.parseoutcomes() == {"errors" if category == "error" else category: 1}
    result = {"passed": "passed", "partial": "passed", "skipped": "skipped"}.get(category, "failed")
    assert found.results == {"one": result}
    assert found.info["gate"] == ("pass" if strict else "partial")


@pytest.mark.parametrize(
    ("status", "tag", "kind"),
    [
        ("fail", "failure", "claim.fail"),
        ("pending", "failure", "claim.withheld"),
        ("not_attempted", "skipped", "claim.not_attempted"),
        ("error", "error", "claim.error"),
    ],
)
def test_junit_types(pytester: pytest.Pytester, status: str, tag: str, kind: str) -> None:
    """In the JUnit report each status that is not green has the element and the type that README.md says."""
    put(pytester.path, of_status(status, "one"))
    found = run(pytester, "claims")
    element = found.case("one").find(tag)
    assert element is not None
    assert element.get("type") == kind
    assert element.get("message") == found.records["one"]["evidence"]["test"]["message"]


def test_not_attempted_says_why(pytester: pytest.Pytester) -> None:
    """A claim that cannot be tried is skipped with the reason and the next step, at the line of the claim."""
    put(pytester.path, of_status("not_attempted", "one"))
    found = run(pytester, "claims", "-rs")
    line = found.records["one"]["evidence"]["claim"]["line"]
    reason = "The predictions file missing.json was not found below claims."
    step = "Name the folder that holds it with --claims-data=DIR."
    assert found.lines("SKIPPED") == [f"SKIPPED [1] claims/paper.yaml:{line}: {reason} {step}"]


def test_require_attempt(pytester: pytest.Pytester) -> None:
    """With --claims-require-attempt a claim that was not attempted is red; where a conftest skipped it, it always is."""
    put(pytester.path, of_status("not_attempted", "one"))
    found = run(pytester, "claims", "--claims-require-attempt")
    assert (found.ret, found.results) == (1, {"one": "failed"})
    put(pytester.path, claim("one"))
    pytester.makeconftest("import pytest\ndef pytest_runtest_setup(item): pytest.skip('not today')")
    assert run(pytester, "claims").results == {"one": "failed"}
    found = run(pytester, "claims", "--claims-require-attempt")
    assert (found.ret, found.results) == (1, {"one": "failed"})


@pytest.mark.parametrize(
    ("expect", "status", "result", "ret"),
    [
        ("fail", "fail", "expected", 0),
        ("partial", "partial", "expected", 0),
        ("pending", "pending", "expected", 0),
        ("error", "error", "expected", 0),
        ("pass", "pass", "passed", 0),
        ("fail", "pass", "failed", 1),
        ("fail", "error", "failed", 1),
        ("pass", "partial", "failed", 1),
        ("fail", "not_attempted", "skipped", 0),
    ],
)
def test_expect(pytester: pytest.Pytester, expect: str, status: str, result: str, ret: int) -> None:
    """A recorded result that comes again is xfailed; any other is red, as a strict xfail is; not attempted stays what it is."""
    put(pytester.path, of_status(status, "one", expect=expect))
    found = run(pytester, "claims")
    assert (found.results, found.ret) == ({"one": result}, ret)
    outcome = "errors" if (status, result) == ("error", "failed") else {"expected": "xfailed"}.get(result, result)
    assert found.result.parseoutcomes() == {outcome: 1}


@pytest.mark.parametrize(("status", "result", "ret"), [("fail", "failed", 1), ("partial", "passed", 0)])
def test_runxfail(pytester: pytest.Pytester, status: str, result: str, ret: int) -> None:
    """Under --runxfail a claim counts as if it did not say `expect`, in the reports too."""
    put(pytester.path, of_status(status, "one", expect=status))
    found = run(pytester, "claims", "--runxfail")
    assert (found.results, found.ret) == ({"one": result}, ret)


# --- choosing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "chosen", "deselected"),
    [
        ([], {"alpha", "beta", "gamma"}, 0),
        (["-k", "alpha or beta"], {"alpha", "beta"}, 1),
        (["-k", "paper and not gamma"], {"alpha", "beta"}, 1),
        (["--deselect", "claims/paper.yaml::beta"], {"alpha", "gamma"}, 1),
        (["-m", "not slow"], {"alpha", "beta", "gamma"}, 0),
        (["-m", "slow"], set(), 3),
        (["-k", "nothing"], set(), 3),
    ],
)
def test_choosing(pytester: pytest.Pytester, args: list[str], chosen: set[str], deselected: int) -> None:
    """`-k`, `-m` and `--deselect` work as for any test; the report counts what they left out."""
    pytester.makeini("[pytest]\nmarkers = slow")
    put(pytester.path, claim("alpha"), claim("beta"), claim("gamma"))
    found = run(pytester, "claims", *args)
    assert set(found.records) == chosen
    assert found.info["deselected"] == deselected
    assert found.ret == (0 if chosen else pytest.ExitCode.NO_TESTS_COLLECTED)


def test_dropped_without_a_word(pytester: pytest.Pytester) -> None:
    """A claim that a conftest drops without deselecting it was selected and has no verdict: red, since it could hide one."""
    put(pytester.path, claim("a"), claim("b"))
    pytester.makeconftest("def pytest_collection_modifyitems(items): del items[1:]")
    found = run(pytester, "claims")
    assert (found.ret, found.results, found.info["deselected"]) == (1, {"a": "passed", "b": "failed"}, 0)
    assert found.records["b"]["evidence"]["reason"] == "The claim did not run: a hook took it out."


def test_selected_by_node_id(pytester: pytest.Pytester) -> None:
    """The command that a report gives for a claim runs that claim alone."""
    put(pytester.path, claim("a"), claim("b"))
    command = run(pytester, "claims").records["b"]["evidence"]["command"]
    assert command == "pytest claims/paper.yaml::b"
    assert set(run(pytester, command.removeprefix("pytest ")).records) == {"b"}


@pytest.mark.parametrize("args", [["-x"], ["--maxfail=1"]])
def test_stopping_at_a_red_claim(pytester: pytest.Pytester, args: list[str]) -> None:
    """Under -x the claims behind the first red one stand in the report as not attempted."""
    put(pytester.path, claim("a"), of_status("fail", "b"), claim("c"))
    found = run(pytester, "claims", *args)
    assert found.ret == 1
    assert found.statuses == {"a": "pass", "b": "fail", "c": "not_attempted"}
    assert found.records["c"]["evidence"]["reason"] == "The claim did not run: the session ended before its turn."


def test_last_failed(pytester: pytest.Pytester) -> None:
    """--lf runs the claims that were red, and only those."""
    put(pytester.path, claim("a"), of_status("fail", "b"), of_status("error", "c"), of_status("partial", "d"))
    assert len(run(pytester, "claims").records) == 4
    assert set(run(pytester, "claims", "--lf").records) == {"b", "c"}


def test_dry_run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """--claims-dry-run evaluates nothing, shows the plan of every claim with its deviations, and is green."""
    monkeypatch.setattr(evaluator, "evaluate", None)
    put(pytester.path, claim("a"), of_status("pending", "b"))
    found = run(pytester, "claims", "--claims-dry-run", twice=True)
    assert found.ret == 0
    assert found.statuses == {"a": "not_attempted", "b": "not_attempted"}
    lines = found.out.splitlines()
    plan = lines[lines.index("plan of b:") :]
    assert "  dataset: id=other, images=3" in plan
    assert "    paper: id=tiny, images=3 → drift" in plan
    assert "  not_attempted: 2 claims: Dry run: the claim was planned, not run." in lines


def test_claims_of_a_checkpoint_are_neighbours(pytester: pytest.Pytester) -> None:
    """Claims that share a checkpoint run one after the other, in the order in which checkpoints come; tests stay."""
    first, second = ({"checkpoint": {"id": f"org/{name}"}} for name in ("one", "two"))
    put(pytester.path, *(claim(n, protocol=p) for n, p in (("a", first), ("b", second), ("c", first), ("d", second))))
    pytester.makepyfile(test_other="def test_x(): pass")
    order = [line for line in plain(pytester, "--co", "-q").out.splitlines() if "::" in line]
    assert order == [
        *(f"claims/paper.yaml::{name}" for name in "acbd"),
        "test_other.py::test_x",
    ]


@pytest.mark.parametrize(
    "args",
    [
        ["-q"],
        ["-qq"],
        ["-v"],
        ["-vv"],
        ["-s"],
        ["--tb=no"],
        ["--tb=short"],
        ["-ra"],
        ["--no-header"],
        ["--no-summary"],
        ["-p", "no:terminal"],
        ["-p", "no:cacheprovider"],
        ["-p", "no:capture"],
        ["--color=yes"],
        ["--import-mode=importlib"],
        ["--strict-markers", "--strict-config"],
        ["-W", "error"],
    ],
    ids=" ".join,
)
def test_pytests_own_options(pytester: pytest.Pytester, args: list[str]) -> None:
    """The options of pytest itself change what is shown, never the records nor the exit code; there is no traceback."""
    put(pytester.path, *(of_status(status) for status in STATUSES))
    found = run(pytester, "claims", *args)
    assert found.ret == 1
    assert found.statuses == {status.replace("_", "-"): status for status in STATUSES}
    assert "Traceback" not in found.out + found.err
    assert "INTERNALERROR" not in found.out + found.err


def test_verbose(pytester: pytest.Pytester) -> None:
    """-v names the status of each claim."""
    put(pytester.path, *(of_status(status) for status in STATUSES))
    words = re.findall(r"^claims/paper.yaml::(\S+) (\w+)", plain(pytester, "claims", "-v").out, re.MULTILINE)
    assert words == [
        ("pass", "PASSED"),
        ("partial", "PARTIAL"),
        ("fail", "FAILED"),
        ("pending", "WITHHELD"),
        ("not-attempted", "SKIPPED"),
        ("error", "ERROR"),
    ]


def test_pytests_own_junit(pytester: pytest.Pytester) -> None:
    """The JUnit report of pytest itself stands beside ours and holds the same claims."""
    import xml.etree.ElementTree as ET

    put(pytester.path, *(of_status(status) for status in STATUSES))
    found = run(pytester, "claims", "--junitxml=junit.xml")
    cases = ET.parse(pytester.path / "junit.xml").getroot().iter("testcase")  # noqa: S314 - our own
    assert {case.get("name") for case in cases} == set(found.records)


def test_beside_ordinary_tests(pytester: pytest.Pytester) -> None:
    """Tests that are no claims are in no report, and a red one does not make a claim red."""
    put(pytester.path)
    pytester.makepyfile(test_x="def test_good(): pass\ndef test_bad(): assert 0")
    found = run(pytester)
    assert found.ret == 1
    assert found.results == {"one": "passed"}


def test_a_report_without_claims(pytester: pytest.Pytester) -> None:
    """A report of a session without claims is written and empty; what was there before would be a lie."""
    pytester.makepyfile(test_x="def test(): pass")
    found = run(pytester)
    assert (found.ret, found.records) == (0, {})


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arg", "error"),
    [
        (
            "--claims-report=verdicts.txt",
            "--claims-report=verdicts.txt: expected a file name that ends in .xml, .json, .md or .html, or github",
        ),
        ("--claims-report=claims.xml/", "--claims-report=claims.xml/: is a folder, expected a file"),
        ("--claims-gate=green", "--claims-gate=green: expected partial or pass"),
        ("--claims-gate=", "--claims-gate=: expected partial or pass"),
        ("--claims-gate=pas", "--claims-gate=pas: expected partial or pass, did you mean 'pass'?"),
        ("--claims-sample=0", "--claims-sample=0: expected a number of images of at least 1"),
        ("--claims-set=prompt", "--claims-set=prompt: expected KEY=VALUE, such as decoding.num_beams=1"),
        ("--claims-model=x", "--claims-model=x: expected CLAIM_OR_CHECKPOINT=PATH"),
        ("--claims-device=gpu", "--claims-device=gpu: expected auto, cpu, cuda or cuda:N, did you mean 'cpu'?"),
        ("--claims-device=cuda:x", "--claims-device=cuda:x: expected auto, cpu, cuda or cuda:N, did you mean 'cuda'?"),
        ("--claims-data=nowhere", "--claims-data=nowhere: there is no folder {path}/nowhere"),
        ("--claims-base=-x", "--claims-base=-x: expected a git revision, such as origin/main"),
        ("--override-ini=claims_gate=green", "claims_gate=green: expected partial or pass"),
    ],
)
def test_bad_options(pytester: pytest.Pytester, arg: str, error: str) -> None:
    """A bad option is a usage error of one line, before anything is collected, whether or not there are claims."""
    put(pytester.path)
    (pytester.path / "claims.xml").mkdir()
    for args in ((arg, "claims"), (arg, "claims.xml")):
        found = plain(pytester, *args)
        assert found.ret == pytest.ExitCode.USAGE_ERROR
        assert found.out == ""
        assert found.err.strip() == f"ERROR: {error.format(path=pytester.path)}"


def test_an_unknown_protocol_key(pytester: pytest.Pytester) -> None:
    """--claims-set of a key that no protocol has names the nearest one."""
    found = plain(pytester, "--claims-set=decoding.beams=1")
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    start = "ERROR: --claims-set=decoding.beams=1: unknown protocol key 'decoding.beams', did you mean 'decoding.num_beams'?"
    assert found.err.startswith(start)
    assert len(found.err.splitlines()) == 1


# --- what breaks in the middle ---------------------------------------------------------------------------------------


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Makes the evaluation of claim `b` raise."""

    def breaks(error: BaseException) -> None:
        honest = evaluator.evaluate

        def evaluate(plan: Any, *args: Any) -> Evidence:
            if plan.claim.id == "b":
                raise error
            return honest(plan, *args)

        monkeypatch.setattr(evaluator, "evaluate", evaluate)

    return breaks


def three(pytester: pytest.Pytester) -> None:
    """Three claims that share no evidence."""
    put(pytester.path, *(claim(name, protocol={"dataset": {"id": name}}) for name in "abc"))


def test_an_evaluator_that_crashes(pytester: pytest.Pytester, breaking: Callable[[BaseException], None]) -> None:
    """An exception that nobody foresaw is an error of that claim, in one line with its place, and hides no other claim."""
    three(pytester)
    breaking(RuntimeError("a fault\nof two lines"))
    found = run(pytester, "claims", twice=True)
    assert found.statuses == {"a": "pass", "b": "error", "c": "pass"}
    assert re.fullmatch(r"RuntimeError: a fault \(at .*test_plugin\.py:\d+\)", found.records["b"]["evidence"]["reason"])
    assert "Traceback" not in found.out


def test_interrupted(pytester: pytest.Pytester, breaking: Callable[[BaseException], None]) -> None:
    """On Ctrl-C the reports are written and hold every claim: what ran as it came out, the rest as not attempted."""
    three(pytester)
    breaking(KeyboardInterrupt())
    found = run(pytester, "claims")
    assert found.ret == pytest.ExitCode.INTERRUPTED
    assert found.statuses == {"a": "pass", "b": "not_attempted", "c": "not_attempted"}


@pytest.mark.parametrize(("code", "ret"), [("None", pytest.ExitCode.INTERRUPTED), ("7", 7), ("0", 1)])
def test_ended_by_a_plugin(pytester: pytest.Pytester, code: str, ret: int) -> None:
    """After pytest.exit the reports are written and hold every claim; an exit code of 0 is red, since claims did not run."""
    three(pytester)
    pytester.makeconftest(
        "import pytest\ndef pytest_runtest_setup(item):\n"
        f"    if item.name == 'b': pytest.exit('enough', returncode={code})"
    )
    found = run(pytester, "claims")
    assert found.ret == ret
    assert found.statuses == {"a": "pass", "b": "not_attempted", "c": "not_attempted"}


def test_sys_exit(pytester: pytest.Pytester, breaking: Callable[[BaseException], None]) -> None:
    """An evaluator that calls sys.exit is an error of its claim, and the others run."""
    three(pytester)
    breaking(SystemExit(0))
    found = run(pytester, "claims")
    assert found.ret == 1
    assert found.statuses == {"a": "pass", "b": "error", "c": "pass"}


def test_an_end_while_collecting(pytester: pytest.Pytester) -> None:
    """Claims that were collected before Ctrl-C stand in the report as not attempted."""
    put(pytester.path, name="claims/a.yaml")
    pytester.makeconftest(
        "def pytest_collect_file(file_path):\n    if file_path.name == 'z.txt': raise KeyboardInterrupt"
    )
    (pytester.mkdir("other") / "z.txt").touch()
    found = run(pytester, "claims", "other")
    assert found.ret == pytest.ExitCode.INTERRUPTED
    assert found.statuses == {"one": "not_attempted"}


@pytest.mark.parametrize(
    ("conftest", "status", "result", "reason"),
    [
        (
            "def pytest_runtest_setup(item):\n    if item.name == 'b': pytest.skip('not today')",
            "not_attempted",
            "failed",
            "The claim did not run: not today.",
        ),
        (
            "def pytest_runtest_setup(item):\n    if item.name == 'b': raise OSError('no disk')",
            "error",
            "failed",
            "The claim did not run: OSError: no disk.",
        ),
        (
            "def pytest_runtest_setup(item):\n    if item.name == 'b': pytest.fail('no disk')",
            "error",
            "failed",
            "The claim did not run: Failed: no disk.",
        ),
        (
            "def pytest_collection_modifyitems(items):\n    items[1].add_marker(pytest.mark.skip(reason='not today'))",
            "not_attempted",
            "failed",
            "The claim did not run: not today.",
        ),
    ],
)
def test_stopped_by_a_conftest(pytester: pytest.Pytester, conftest: str, status: str, result: str, reason: str) -> None:
    """A claim that another plugin skips or fails before its turn has no verdict: it is red, and its record says why."""
    three(pytester)
    pytester.makeconftest(f"import pytest\n{conftest}")
    found = run(pytester, "claims")
    assert found.statuses == {"a": "pass", "b": status, "c": "pass"}
    assert found.results["b"] == result
    assert found.ret == int(result == "failed")
    assert found.records["b"]["evidence"]["reason"] == reason


def test_a_teardown_that_fails(pytester: pytest.Pytester) -> None:
    """A verified claim whose teardown fails keeps its verdict and is red in the reports, as pytest says."""
    three(pytester)
    pytester.makeconftest(
        "import pytest\n@pytest.hookimpl(trylast=True)\n"
        "def pytest_runtest_teardown(item):\n    if item.name == 'b': raise OSError('no disk')"
    )
    found = run(pytester, "claims", twice=True)
    assert found.ret == 1
    assert found.statuses["b"] == "pass"
    assert found.results == {"a": "passed", "b": "failed", "c": "passed"}
    message = found.records["b"]["evidence"]["test"]["message"]
    assert message == "The claim was verified, and its teardown failed: OSError: no disk."
    assert found.case("b").find("error") is not None


def test_marked_as_an_expected_failure(pytester: pytest.Pytester) -> None:
    """A red claim that a conftest marks xfail stays red: only the claim itself may say what is expected of it."""
    put(pytester.path, of_status("fail", "b"))
    pytester.makeconftest(
        "import pytest\n"
        "def pytest_collection_modifyitems(items):\n    items[0].add_marker(pytest.mark.xfail(reason='known'))"
    )
    found = run(pytester, "claims")
    assert (found.ret, found.statuses, found.results) == (1, {"b": "fail"}, {"b": "failed"})


# --- the hook --------------------------------------------------------------------------------------------------------

METRIC = '''
from pytest_claims.metrics import Interval, Score


class Exclamations:
    """The share of captions that end with an exclamation mark."""

    name, family, low, high = {name!r}, "excited", 0.0, 1.0

    def signature(self, corpus):
        return f"{{self.name}}|excited|v1"

    def score(self, corpus, *, population=None, resamples=1000, seed=0):
        {body}
        marks = tuple(float(text.endswith("!")) for text in corpus.hypotheses)
        return Score(
            metric=self.name, family=self.family, value=sum(marks) / len(marks),
            signature=self.signature(corpus), n=len(marks), counts={counts}, interval=None, per_image=marks,
        )


def pytest_claims_metrics(config):
    return [Exclamations()]
'''


def metric(name: str = "exclamations", body: str = "pass", counts: str = "{'marks': sum(marks)}") -> str:
    """A conftest that adds a metric."""
    return METRIC.format(name=name, body=body, counts=counts)


def excited(pytester: pytest.Pytester, name: str = "exclamations") -> None:
    """A claim of the metric of `metric`: two captions in four end with an exclamation mark."""
    put(
        pytester.path,
        claim(
            metric=name,
            value="50",
            protocol={"metric": "excited"},
        ),
        captions={"1": "yes!", "2": "no", "3": "a dog!", "4": "a cat"},
    )


def test_the_metric_of_a_plugin(pytester: pytest.Pytester) -> None:
    """A metric that a conftest adds can be named in a claim, is scored, and signs the verdict."""
    pytester.makeconftest(metric())
    excited(pytester)
    found = run(pytester, "claims", twice=True)
    assert found.statuses == {"one": "pass"}
    record = found.records["one"]
    assert record["verdict"]["score"] == 0.5
    assert record["evidence"]["signature"] == "exclamations|excited|v1"
    assert record["evidence"]["counts"] == {"marks": 2.0}


def test_a_signature_of_any_form(pytester: pytest.Pytester) -> None:
    """A score says itself which family it is of: the signature of a plugin's metric may have any form."""
    pytester.makeconftest(metric().replace("|excited|v1", ", version 1"))
    excited(pytester)
    found = run(pytester, "claims")
    assert found.statuses == {"one": "pass"}
    assert found.records["one"]["evidence"]["signature"] == "exclamations, version 1"


def test_counts_that_json_does_not_hold(pytester: pytest.Pytester) -> None:
    """A plugin's counts may be numpy's or not finite; the report holds plain values."""
    counts = (
        "{'array': __import__('numpy').arange(2), 'whole': __import__('numpy').int64(3), 'none': float('nan'), 4: (1,)}"
    )
    pytester.makeconftest(metric(counts=counts))
    excited(pytester)
    counted = run(pytester, "claims").records["one"]["evidence"]["counts"]
    assert counted == {"array": [0, 1], "whole": 3, "none": "nan", "4": [1]}


def test_a_metric_that_crashes(pytester: pytest.Pytester) -> None:
    """A plugin's metric that raises is an error of the claim, in one line."""
    pytester.makeconftest(metric(body="raise ZeroDivisionError('no captions')"))
    excited(pytester)
    found = run(pytester, "claims")
    assert found.statuses == {"one": "error"}
    assert found.records["one"]["evidence"]["reason"].startswith("ZeroDivisionError: no captions (at ")


@pytest.mark.parametrize("name", ["bleu4", "total_parameters"])
def test_a_metric_name_that_is_taken(pytester: pytest.Pytester, name: str) -> None:
    """A plugin cannot replace a metric that ships: one line, and red."""
    pytester.makeconftest(metric(name=name))
    put(pytester.path)
    found = run(pytester, "claims")
    assert found.ret == 1
    assert found.statuses == {"claims/paper.yaml": "error"}
    shown = found.out.partition(" ERROR collecting ")[2].splitlines()[1]
    assert shown == f"pytest_claims_metrics: the metric name {name!r} is taken"
    assert "Traceback" not in found.out


def test_a_hook_that_crashes(pytester: pytest.Pytester) -> None:
    """A plugin whose hook raises makes every claim file an error; its traceback is shown, since it is its author's to mend."""
    pytester.makeconftest("def pytest_claims_metrics(config): raise OSError('no metrics')")
    put(pytester.path)
    found = run(pytester, "claims")
    assert found.ret == 1
    assert found.records["claims/paper.yaml"]["evidence"]["reason"] == "claims/paper.yaml: OSError: no metrics"


def test_a_fault_of_ours_is_shown_short(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in the pytest side itself is an error of the claim, shown without the runner's frames."""
    from pytest_claims.reports import record

    honest = record.of_verdict

    def crash(*args: Any, **options: Any) -> Any:
        if options["seconds"]:
            raise RuntimeError("a fault of ours")
        return honest(*args, **options)

    monkeypatch.setattr(record, "of_verdict", crash)
    put(pytester.path)
    found = run(pytester, "claims")
    assert found.ret == 1
    assert set(found.records) == {"one"}
    assert "a fault of ours" in found.out
    assert "_multicall" not in found.out


def test_the_report_names_the_run(pytester: pytest.Pytester) -> None:
    """A report says what wrote it and as which command."""
    from pytest_claims import __version__

    put(pytester.path)
    info = run(pytester, "claims", "-k", "one or two").info
    assert info["tool"] == f"pytest-claims {__version__}"
    assert info["command"].startswith("pytest claims -k 'one or two' --claims-report=")
    assert json.dumps(info)
