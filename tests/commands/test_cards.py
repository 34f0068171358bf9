"""Model cards: a claim file made of one, and verdicts written into one."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from huggingface_hub import EvalResult, ModelCard, parse_eval_result_entries

from pytest_claims import __main__, ledger, spec, verify
from pytest_claims.evaluators import Basis, DataPath, Evaluator, Evidence, HookedPlan, Observed, Output, Run
from pytest_claims.ledger import lines
from pytest_claims.reports import json as json_report
from pytest_claims.reports import record
from pytest_claims.reports.format import RunInfo
from pytest_claims.verdict import Kind, Result, Status
from tests.builders import captioning, changed, claim, predictions, write

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., tuple[int, str, str]]

CARD = """\
---
language: no      # Norwegian: YAML 1.1 would make it false
license: mit
model-index:
- name: acme/captioner
  results:
  - task: {type: image-to-text, name: Captioning}
    dataset: {type: nlphuji/flickr30k, name: Flickr30k, split: test, revision: abc123}
    metrics:
    - {type: bleu, value: 43.70, name: BLEU-4}
    - {type: CIDEr, value: 1.458}
    - {type: wer, value: 3.1}
    - {type: bleu, value: 20.0 ± 1.2}
    source: {name: the paper, url: "https://arxiv.org/abs/2301.12597"}
  - task: {type: translation}
    dataset: {type: wmt14, name: WMT}
    metrics: [{type: bleu, value: 30.1}]
# about the tags
tags: [captions]
---
# A captioner

value: 43.70
"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in a folder with the card: its exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    Path("README.md").write_text(CARD, encoding="utf-8")

    def call(*args: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = __main__.main(args)
        out, err = capsys.readouterr()
        return status, out, err

    return call


# --- from-card -------------------------------------------------------------------------------------------------------


def test_from_card(command: Command) -> None:
    """Each captioning result is a claim with the card's digits; what the card does not state is open; the others are named."""
    status, out, err = command("from-card", "README.md", "--images=1000")
    assert status == 0
    first, second = spec.loads(out.encode(), path=Path("claims/card.yaml"), display="claims/card.yaml")
    assert (first.id, first.reported.metric, first.reported.value.text, first.reported.unit) == (
        "flickr30k-bleu4", "bleu4", "43.70", "percent",
    )  # fmt: skip
    assert (second.reported.metric, second.reported.value.text, second.reported.unit) == ("cider", "1.458", "fraction")
    assert first.paper.source_url == "https://arxiv.org/abs/2301.12597"
    assert first.citation.row == "acme/captioner"
    stated = first.protocol
    assert stated.checkpoint is not None
    assert stated.dataset is not None
    assert (stated.checkpoint.id, stated.dataset.id, stated.dataset.revision) == (
        "acme/captioner", "nlphuji/flickr30k", "abc123",
    )  # fmt: skip
    assert (stated.image, stated.prompt, stated.decoding, stated.precision, stated.metric) == (None,) * 5
    assert out.count("not stated by the card") == 5
    left = [line.partition("is left out: ")[2] for line in err.splitlines()]
    assert left == [
        "no metric here is 'wer'",
        "its value '20.0 ± 1.2' is no plain number",
        "the task 'translation' is none of image-to-text, image-captioning, image-text-to-text, visual-captioning",
    ]


def test_from_card_asks_for_what_is_missing(command: Command) -> None:
    """No card states how many images a split has: without --images that is all that `check` finds."""
    status, out, err = command("from-card", "README.md", "--model=model")
    assert status == 0
    assert "complete dataset.images in each claim" in err
    write_text("claims/card.yaml", out)
    status, _, err = command("check", "claims")
    assert status == 1
    assert all("dataset.images: expected a whole number" in line for line in err.splitlines())
    assert 'checkpoint: {id: "model"}' in out


def write_text(name: str, content: str) -> None:
    """Write a file and the folders above it."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(content, encoding="utf-8")


INDEX = "model-index:\n- name: x\n  results:\n  - "
TASK = f"{INDEX}{{task: {{type: image-to-text}}, dataset: {{type: a, name: "
HOSTILE = {
    "a tag": ("model-index: !!python/object/apply:os.system [id]", "README.md:2: the tag "),
    "aliases": (f"a: &a [{'x, ' * 50}]\nb: [{'*a, ' * 101}]", "more than 100 aliases"),
    "no mapping": ("- a", "README.md:2: expected a mapping between the lines ---."),
    "no YAML": ("a: [", "not YAML"),
    "a duplicate key": ("a: 1\na: 2", "README.md:3: duplicate key 'a'"),
    "an index of text": ("model-index: x", "model-index: expected a list of models"),
    "results of text": ("model-index: [{name: x, results: abc}]", "expected results as a list of mappings"),
    "no task": (f"{INDEX}metrics: []", "a result lacks the key 'task'"),
    "a task of text": (f"{INDEX}{{task: x, dataset: y, metrics: []}}", "not in the form that the hub defines"),
    "no index": ("license: mit", "no result in its model-index can be a claim"),
    "names of other types": (
        f"{INDEX}{{task: {{type: [image-to-text]}}, dataset: {{type: {{}}, name: 3}}, metrics: [{{type: bleu, value: 3}}]}}",
        "its names must be text of 1 to 200 characters",
    ),
    "a long name": (
        f"{TASK}{'x' * 999}}}, metrics: [{{type: bleu, value: 3}}]}}",
        "its names must be text of 1 to 200 characters",
    ),
    "an endless number": (
        f"{TASK}b}}, metrics: [{{type: bleu, value: {'9' * 99}}}]}}",
        "is no plain number",
    ),
}


@pytest.mark.parametrize(("block", "text"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_cards(command: Command, block: str, text: str) -> None:
    """A card that is not what it should be ends in a message, for both commands, and `to-card` leaves it as it is."""
    write_text("README.md", f"---\n{block}\n---\n# Card\n")
    status, out, err = command("from-card", "README.md")
    assert (status, out) == (1, "")
    assert text in err
    write_text("verdicts.json", report([]))
    before = Path("README.md").read_bytes()
    assert command("to-card", "verdicts.json", "README.md")[0] == 1
    assert Path("README.md").read_bytes() == before


def test_what_a_card_says_stays_in_its_place(command: Command) -> None:
    """No name in a card can add a key to the claim file, or be a command to a terminal or a CI system."""
    name = '"x\\n  evil: 1\\e[31m\\n::error::\\u202e\\u0085"'
    write_text("README.md", CARD.replace("acme/captioner", name))
    status, out, _ = command("from-card", "README.md", "--images=5")
    assert status == 0
    assert not {"\x1b", "\u202e", "\x85"} & set(out)
    assert not [line for line in out.splitlines() if line.startswith(("::", "  evil"))]
    assert len(spec.loads(out.encode(), path=Path("x.yaml"), display="x.yaml")) == 2


def test_files_that_are_no_cards(command: Command) -> None:
    """A missing file, one that is too large and one that is not UTF-8 end in a message."""
    assert command("from-card", "nothing.md")[2] == "nothing.md: cannot be read: No such file or directory.\n"
    Path("big.md").write_bytes(b"x" * 1_000_001)
    assert "more than 1,000,000 bytes" in command("from-card", "big.md")[2]
    Path("latin.md").write_bytes("---\nx: é\n---".encode("latin-1"))
    assert "latin.md: not UTF-8 (byte 7)." in command("from-card", "latin.md")[2]


# --- to-card ---------------------------------------------------------------------------------------------------------


def report(records: list[Any]) -> str:
    """A JSON report of these records."""
    run = RunInfo(tool="x", command="pytest", gate="partial", exit_status=0, collected=0, deselected=0)
    return json_report.render(run, records)


def results_of(content: str) -> list[EvalResult]:
    """The results that huggingface_hub reads from a card."""
    data: Any = ModelCard(content).data
    return list(data.eval_results or [])


def verdict_record(
    identifier: str = "one", *, result: Result = Result.PASSED, message: str = "", **changes: Any
) -> Any:
    """The record of a run of the tiny model that passed with an exact protocol; `changes` make another verdict of it."""
    from dataclasses import replace

    from pytest_claims.evidence import Evidence, Output
    from pytest_claims.metrics import bleu
    from pytest_claims.protocol import Match
    from pytest_claims.verdict import Outcome, Verdict

    documents = [claim(name, metric="bleu4", value="43.70") for name in ("one", "two")]
    path = write(Path("claims/m.yaml"), changed(captioning(*documents), protocol__dataset__id="acme/data"))
    found = next(one for one in spec.load(path, display="claims/m.yaml") if one.id == identifier)
    captions = [("1", "a cat on a mat"), ("2", "a dog in the snow")]
    verdict = Verdict(
        claim=found, kind=Kind.POST, status=Status.PASS, reason="because", outcome=Outcome.PASS, match=Match.EXACT,
        score=bleu([text for _, text in captions], [[text] for _, text in captions]), measured=Decimal("43.71236"),
        difference=Decimal("0.01"), confidence=1.0,
        evidence=Evidence(
            basis=Basis.REPRODUCED, created_at="2026-01-30T10:00:00+00:00",
            outputs=tuple(Output(id=name, text=text, references=(text,)) for name, text in captions),
        ),
    )  # fmt: skip
    evidence = changes.pop("evidence", {})
    if evidence:
        changes["evidence"] = replace(verdict.evidence, **evidence)  # type: ignore[type-var]
    changed_verdict = replace(verdict, **changes)
    return record.of_verdict(changed_verdict, nodeid="x", result=result, message=message, seconds=0.0)


def test_to_card(command: Command) -> None:
    """A passed verdict is a result that huggingface_hub reads; all other lines of the card stay as they are."""
    write_text("verdicts.json", report([verdict_record("one"), verdict_record("two")]))
    status, out, err = command("to-card", "verdicts.json", "README.md")
    assert (status, err) == (0, "")
    assert "one: 43.71236 percent written to README.md" in out
    text = Path("README.md").read_text(encoding="utf-8")
    head, tail = CARD.split("model-index:")[0], CARD[CARD.index("# about the tags") :]
    assert text.startswith(head)
    assert text.endswith(tail)
    results = results_of(text)
    assert [(found.metric_type, found.metric_value) for found in results[:3]] == [
        ("bleu", 43.7),
        ("CIDEr", 1.458),
        ("wer", 3.1),
    ]
    ours = results[-2]
    assert (ours.dataset_type, ours.dataset_split, ours.metric_type, ours.metric_value) == (
        "acme/data",
        "test",
        "bleu4",
        43.7124,
    )
    assert (ours.source_name, ours.source_url) == ("pytest-claims", "README.md")
    assert (ours.metric_args or {})["claim"] == "one"
    assert (ours.verified, ours.verify_token) == (None, None)
    assert "verif" not in text

    again = text
    assert command("to-card", "verdicts.json", "README.md")[0] == 0
    assert Path("README.md").read_text(encoding="utf-8") == again


def test_a_retracted_verdict_is_taken_out(command: Command) -> None:
    """With a ledger, a verdict that was retracted or superseded since the report is not written, and leaves the card."""
    kept = [verdict_record("one"), verdict_record("two")]
    book = Path("ledger.jsonl")
    ledger.append(book, [lines.verdict(one, {"claim": "d" * 64}) for one in kept])
    write_text("verdicts.json", report(kept))
    ask = ("to-card", "verdicts.json", "README.md", "--claims-ledger=ledger.jsonl")
    assert command(*ask)[0] == 0
    ledger.retract(book, kept[0].verdict.id, "the images were mixed up")
    newer = verdict_record("two", measured=Decimal("43.6"), evidence={"created_at": "2026-02-01T10:00:00+00:00"})
    other = newer.model_copy(update={"verdict": newer.verdict.model_copy(update={"id": "f" * 32})})
    ledger.append(book, [lines.verdict(other, {"claim": "d" * 64})])
    status, out, err = command(*ask)
    assert status == 1
    assert "one: not written: it was retracted: the images were mixed up" in err
    assert "two: not written: it is not the current verdict on its claim: superseded by a newer verdict." in err
    assert "one: what an earlier report wrote was taken out of README.md" in out
    left = results_of(Path("README.md").read_text(encoding="utf-8"))
    assert "pytest-claims" not in {found.source_name for found in left}
    status, _, err = command(*ask[:3], "--claims-ledger=no.jsonl")
    assert status != 0
    assert "no.jsonl" in err


def test_a_result_that_no_longer_holds_is_taken_out(command: Command) -> None:
    """What an earlier report wrote does not outlive its verdict; what others wrote does."""
    write_text("verdicts.json", report([verdict_record("one"), verdict_record("two")]))
    command("to-card", "verdicts.json", "README.md", "--task-id=captions")
    write_text("verdicts.json", report([verdict_record("one"), verdict_record("two", status=Status.FAIL)]))
    status, out, err = command("to-card", "verdicts.json", "README.md", "--task-id=captions")
    assert status == 0
    assert "two: what an earlier report wrote was taken out of README.md" in out
    assert err.startswith("two: not written: its status is fail.")
    results = results_of(Path("README.md").read_text(encoding="utf-8"))
    assert [(found.metric_args or {}).get("claim") for found in results if found.source_name == "pytest-claims"] == [
        "one"
    ]
    assert [path.name for path in Path(".eval_results").iterdir()] == ["pytest-claims-one.yaml"]


def test_the_new_layout(command: Command) -> None:
    """With --task-id each result is a file of the hub's new layout too, which huggingface_hub reads."""
    write_text("verdicts.json", report([verdict_record("one")]))
    assert command("to-card", "verdicts.json", "README.md", "--task-id=captions")[0] == 0
    (path,) = Path(".eval_results").iterdir()
    (entry,) = parse_eval_result_entries(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert (entry.dataset_id, entry.task_id, entry.value, entry.verify_token) == (
        "acme/data",
        "captions",
        43.7124,
        None,
    )
    assert entry.source_name == "pytest-claims"
    path.unlink()
    path.parent.rmdir()
    write_text(".eval_results", "a file in the way")
    status, _, err = command("to-card", "verdicts.json", "README.md", "--task-id=captions")
    assert (status, err) == (1, ".eval_results cannot be written to: File exists.\n")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a status": ({"status": Status.PARTIAL}, "its status is partial. because"),
    "a protocol": ({"match": "proxy"}, "its protocol is proxy, and only an exact one is written."),
    "released captions": ({"evidence": {"basis": Basis.RESCORED}}, "the model was not run (basis rescored)"),
    "a count": ({"evidence": {"basis": Basis.COUNTED}}, "the model was not run (basis counted)"),
    "a red test": ({"result": Result.FAILED, "message": "the bar moved"}, "the test failed: the bar moved"),
}


@pytest.mark.parametrize(("changes", "text"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_written(command: Command, changes: dict[str, Any], text: str) -> None:
    """Anything but a passed verdict with an exact protocol of a model that was run is refused, with the reason."""
    from pytest_claims.protocol import Match

    if "match" in changes:
        changes = {"match": Match(changes["match"])}
    write_text("verdicts.json", report([verdict_record("one", **changes)]))
    status, out, err = command("to-card", "verdicts.json", "README.md", "--task-id=x")
    assert (status, out) == (1, "")
    assert text in err
    assert Path("README.md").read_text(encoding="utf-8") == CARD
    assert not Path(".eval_results").exists()


def test_a_claim_that_changed(command: Command) -> None:
    """A verdict is about the claim as it was: if its file has changed, or is gone, nothing is written."""
    write_text("verdicts.json", report([verdict_record("one")]))
    path = Path("claims/m.yaml")
    path.write_text(path.read_text(encoding="utf-8").replace("43.70", "40.70"), encoding="utf-8")
    assert "has changed since the verdict: run it again." in command("to-card", "verdicts.json", "README.md")[2]
    path.unlink()
    assert "its claim, which names the data set, cannot be read." in command("to-card", "verdicts.json", "README.md")[2]
    assert Path("README.md").read_text(encoding="utf-8") == CARD


class SizeRun(Run):
    """An evaluator of a plugin, with a key that the claim leaves to its default."""

    noun, observes = "label", ("checkpoint", "dataset", "split")
    rows: DataPath
    bins: int = 4


def sizes(plan: HookedPlan) -> Evidence:
    """The right label for each row."""
    labels = plan.path(plan.run.rows).read_text(encoding="utf-8").split()
    return Evidence(
        basis=Basis.REPRODUCED, noun="label", images=len(labels),
        outputs=tuple(Output(id=f"{n:03}", text=label, references=(label,)) for n, label in enumerate(labels)),
        observed=Observed(
            checkpoint={"id": "acme/sizes"}, dataset={"id": "acme/rows", "images": len(labels)}, split={"split": "test"}
        ),
    )  # fmt: skip


def test_a_number_of_a_plugin(command: Command) -> None:
    """A verdict of an evaluator of a plugin is written without running the plugin's code, and names that code."""
    write_text("claims/rows.txt", "small large medium " * 20)
    path = write(
        Path("claims/p.yaml"),
        predictions(
            claim("sizes", metric="accuracy", value="100.0", tolerance={"pass": 1, "partial": 5}),
            run={"evaluator": "sizes", "rows": "rows.txt"},
            protocol={
                "checkpoint": {"id": "acme/sizes"}, "metric": "exact-match",
                "dataset": {"id": "acme/rows", "split": "test", "images": 60},
            },
        ),
    )  # fmt: skip
    (verdict,) = verify(path, evaluators=[Evaluator(name="sizes", run=SizeRun, evaluate=sizes)])
    written = record.of_verdict(verdict, nodeid="x", result=Result.PASSED, message="", seconds=0.0)
    write_text("verdicts.json", report([written]))
    status, out, err = command("to-card", "verdicts.json", "README.md")
    assert (status, err) == (0, "")
    assert "sizes: 100 percent written to README.md" in out.replace("100.0 ", "100 ")
    ours = results_of(Path("README.md").read_text(encoding="utf-8"))[-1]
    assert (ours.task_type, ours.dataset_type, ours.metric_type, ours.metric_value) == (
        "other",
        "acme/rows",
        "accuracy",
        100,
    )
    (supplied,) = (ours.metric_args or {})["supplied"]
    assert supplied.startswith(f"evaluator sizes, from {__name__}, digest ")

    path.write_text(path.read_text(encoding="utf-8") + "# read again\n", encoding="utf-8")
    status, _, err = command("to-card", "verdicts.json", "README.md")
    assert status == 1
    assert "has changed since the verdict: run it again." in err


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"schema": "pytest-claims/report/2", "run": {}, "records": 3}', "x" * 99]
)
def test_what_is_no_report(command: Command, content: str) -> None:
    """A file that is no JSON report ends in a message."""
    write_text("verdicts.json", content)
    status, out, err = command("to-card", "verdicts.json", "README.md")
    assert (status, out) == (1, "")
    assert "no JSON report of the form pytest-claims/report/" in err


def test_cards_of_other_forms(command: Command) -> None:
    """A card without metadata gets some, Windows' line ends stay, and metadata on one line are left as they are."""
    write_text("verdicts.json", report([verdict_record("one", kind=Kind.PRE)]))
    write_text("README.md", "# Card\n")
    assert command("to-card", "verdicts.json", "README.md")[0] == 0
    text = Path("README.md").read_text(encoding="utf-8")
    assert text.endswith("---\n# Card\n")
    data: Any = ModelCard(text).data
    assert data.model_name == Path.cwd().name

    Path("README.md").write_bytes(b"---\r\nlicense: mit\r\n---\r\n# Card\r\n")
    assert command("to-card", "verdicts.json", "README.md")[0] == 0
    content = Path("README.md").read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n")

    write_text("README.md", "---\n{license: mit, model-index: []}\n---\n# Card\n")
    status, _, err = command("to-card", "verdicts.json", "README.md")
    assert status == 1
    assert err
    assert Path("README.md").read_text(encoding="utf-8") == "---\n{license: mit, model-index: []}\n---\n# Card\n"
