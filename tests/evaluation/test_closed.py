"""Answers of a closed list: the ranking, the list's file, the axis decoding, and what the store keeps."""

from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders import captioning, claim, write
from tests.evaluation.test_answering import content, document, evidence, kept
from tests.evaluation.test_models import CROPPED, SIDE, blip, flan_t5, git, llava, opt, tokenizer
from tests.shapes import SHAPES, torch, transformers, write_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pytest_claims.bench import Bench
    from pytest_claims.evidence import Evidence
    from pytest_claims.spec import Claim

ANSWERER = SHAPES / "answering"
TEMPLATE = "Question: {question} Short answer:"
QUESTIONS = 24
LISTED = [
    "yes", "no", "2", "3", "red", "red circle", "red circle above blue", "a red star", "star", "no star", "blue",
    "triangle", "a triangle", "purple", "nothing",
]  # fmt: skip
"""Answers of one and of several tokens; some begin alike."""


def closed(*answers: str, **changes: Any) -> dict[str, Any]:
    """The section decoding of a claim that ranks the list `answers.txt`."""
    stated = {"strategy": "rank", "answers": "answers.txt", "num_answers": len(answers or TINY), "length_penalty": -1.0}
    return {key: value for key, value in {**stated, **changes}.items() if value is not ...}


def listed(folder: Path, *answers: str) -> None:
    """Write `answers.txt`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "answers.txt").write_text("".join(f"{answer}\n" for answer in answers), encoding="utf-8")


# --- the trained model of the shipped claims --------------------------------------------------------------------------


def asked() -> list[dict[str, Any]]:
    """The first questions of the shipped test split."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(ANSWERER / "data" / "test.parquet")
    found: list[dict[str, Any]] = table.slice(0, QUESTIONS).to_pylist()
    return found


@pytest.fixture(scope="module")
def log_probabilities() -> dict[str, list[tuple[float, float, int]]]:
    """Of each question and answer: the sum, that of the first token, and the number of tokens with the end.

    They come from the model's own forward pass over image, prompt and one answer, one at a time.
    """
    import PIL.Image

    processor = transformers.Blip2Processor.from_pretrained(ANSWERER / "answerer", backend="pil")
    model = transformers.Blip2ForConditionalGeneration.from_pretrained(ANSWERER / "answerer").eval()
    found: dict[str, list[tuple[float, float, int]]] = {}
    for row in asked():
        image = PIL.Image.open(io.BytesIO(row["image"]["bytes"]))
        prompt = TEMPLATE.format(question=row["question"])
        before = processor(images=image, text=prompt, return_tensors="pt").input_ids.shape[1]
        found[row["question_id"]] = []
        for answer in LISTED:
            inputs = processor(images=image, text=f"{prompt} {answer}\n", return_tensors="pt")
            tokens = inputs.input_ids[0, before:]
            with torch.inference_mode():
                steps = model(**inputs).logits[0, before - 1 : -1].log_softmax(-1).gather(1, tokens[:, None])
            found[row["question_id"]].append((float(steps.sum()), float(steps[0]), len(tokens)))
    return found


def ranking(folder: Path, **changes: Any) -> Claim:
    """A claim about the trained model, the first questions and `LISTED`."""
    from pytest_claims.spec import load

    rows = asked()
    write_rows(folder / "rows.parquet", rows)
    listed(folder, *LISTED)
    columns = {"image": "image", "references": "answers", "id": "question_id", "question": "question"}
    file = captioning(
        claim("closed", value="70.0", tolerance={"pass": 5, "partial": "90%", "min_sample": 2}),
        images=len(rows),
        protocol__checkpoint__id="answerer",
        protocol__prompt=TEMPLATE,
        protocol__decoding=closed(*LISTED, **changes),
        protocol__dataset__columns=columns,
        run__evaluator="answering",
        run__batch_size=5,
    )
    (one,) = load(write(folder / "closed.yaml", file))
    return one


def ranked(folder: Path, **changes: Any) -> Evidence:
    """What the evaluator gives for that claim."""
    from pytest_claims import protocol
    from pytest_claims.bench import Bench
    from pytest_claims.settings import Settings

    one = ranking(folder, **changes)
    found = Bench().evaluate(protocol.plan(one, Settings(data=(ANSWERER,))))
    readings = protocol.read_axes(one.protocol, found.observed, min_sample=2)
    assert not protocol.deviations(readings)
    return found


@pytest.mark.parametrize("penalty", [-1.0, 0.0, 1.0])
def test_the_ranking_is_that_of_the_plain_forward_pass(
    tmp_path: Path, log_probabilities: Mapping[str, list[tuple[float, float, int]]], penalty: float
) -> None:
    """The ranking of every question is that of the sums over the length to the power of the penalty, end token included."""
    found = ranked(tmp_path, length_penalty=penalty)
    for output in found.outputs:
        scores = [total / length**penalty for total, _, length in log_probabilities[output.id]]
        order = sorted(range(len(LISTED)), key=lambda number: -scores[number])
        assert output.ranked == tuple(LISTED[number] for number in order[:10])
        assert (output.text, output.tokens, output.truncated) == (output.ranked[0], None, False)
    assert len({output.text for output in found.outputs}) > 3, "the answers depend on the question"


def test_candidates_are_those_with_the_likeliest_first_token(
    tmp_path: Path, log_probabilities: Mapping[str, list[tuple[float, float, int]]]
) -> None:
    """With `candidates: k`, the first k by the first token, of equal ones the first of the list, are ranked in full."""
    found = ranked(tmp_path, candidates=4)
    everything = ranked(tmp_path)
    for output in found.outputs:
        known = log_probabilities[output.id]
        # The first token of several answers is the same one, so the sums of this test differ in their rounding only.
        first = sorted(range(len(LISTED)), key=lambda number: -round(known[number][1], 4))[:4]
        order = sorted(first, key=lambda number: -known[number][0] * known[number][2])
        assert output.ranked == tuple(LISTED[number] for number in order)
    assert [o.ranked for o in found.outputs] != [o.ranked[:4] for o in everything.outputs]


def test_questions_that_come_later_are_ranked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no question is there now (None), those that are there are ranked, and the others when they come."""
    from pytest_claims.evaluation import setup

    whole = {output.id: output.ranked for output in ranked(tmp_path).outputs}
    arriving = setup.arriving

    def paused(*arguments: Any) -> Iterator[Any]:
        for number, image in enumerate(arriving(*arguments), 1):
            yield image
            if number % 3 == 0:
                yield None

    monkeypatch.setattr(setup, "arriving", paused)
    assert {output.id: output.ranked for output in ranked(tmp_path).outputs} == whole


def test_the_block_does_not_change_a_ranking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32 a ranking does not depend on how many tokens are computed at a time."""
    from pytest_claims import beam

    whole = {output.id: output.ranked for output in ranked(tmp_path).outputs}
    for block in (1, 7):
        made = beam.Closed.__init__

        def small(self: Any, *, block: int = block, made: Any = made, **values: Any) -> None:
            made(self, block=block, **values)

        with monkeypatch.context() as patch:
            patch.setattr(beam.Closed, "__init__", small)
            assert {output.id: output.ranked for output in ranked(tmp_path).outputs} == whole


def test_the_prompts_tokens_do_not_change(tmp_path: Path) -> None:
    """The tokens of every answer behind every question are those of the whole text without those of the prompt."""
    from types import SimpleNamespace

    from pytest_claims import architectures
    from pytest_claims.evaluation import closed as module
    from pytest_claims.evaluation.prompt import Fed
    from pytest_claims.sources import answers

    listed(tmp_path, *LISTED)
    processor = transformers.Blip2Processor.from_pretrained(ANSWERER / "answerer", backend="pil")
    model: Any = SimpleNamespace(config=SimpleNamespace(model_type="blip-2"))
    model.language_model = SimpleNamespace(config=SimpleNamespace(is_encoder_decoder=False))
    architecture = architectures.of(model, processor, "x")
    loaded: Any = SimpleNamespace(
        architecture=architecture, processor=processor, language_model=architecture.language_model
    )
    prompts = [TEMPLATE.format(question=row["question"]) for row in asked()]
    fed = Fed(text=TEMPLATE, each={str(number): (prompt, ()) for number, prompt in enumerate(prompts)})
    found = module.tokens(loaded, answers.read("answers.txt", (tmp_path,)), fed)
    encode = processor.tokenizer.encode
    for prompt in prompts:
        size = len(encode(prompt, add_special_tokens=False))
        for answer, tokens in zip(LISTED, found, strict=True):
            assert tuple(encode(f"{prompt} {answer}", add_special_tokens=False)[size:]) == tokens


# --- tiny models with random weights ----------------------------------------------------------------------------------

TINY = ["red", "blue circle above green", "blue", "blue circle", "green square w1 w2", "w3"]


def test_t5_ranks_by_its_own_forward_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder-decoder reads the question, and its decoder scores each answer from its start token on."""
    import PIL.Image

    from pytest_claims import beam

    monkeypatch.setenv("TQDM_DISABLE", "1")
    flan_t5(tmp_path / "model")
    listed(tmp_path, *TINY)
    found, differing = evidence(tmp_path, protocol__decoding=closed(length_penalty=0.0))
    assert differing == {}
    processor = transformers.AutoProcessor.from_pretrained(tmp_path / "model", backend="pil")
    model = transformers.Blip2ForConditionalGeneration.from_pretrained(tmp_path / "model").eval()
    outputs = {output.id: output for output in found.outputs}
    for row in content():
        image = PIL.Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
        inputs = processor(images=[image], text=[f"a {row['question']} of"], return_tensors="pt")
        scores = []
        for answer in TINY:
            tokens = torch.tensor([processor.tokenizer.encode(answer)])  # with the end token
            fed = torch.cat((torch.zeros_like(tokens[:, :1]), tokens[:, :-1]), 1)
            with torch.inference_mode():
                steps = model(**inputs, decoder_input_ids=fed).logits[0].log_softmax(-1).gather(1, tokens[0, :, None])
            scores.append(float(steps.sum()))
        order = sorted(range(len(TINY)), key=lambda number: -scores[number])
        assert outputs[row["id"]].ranked == tuple(TINY[number] for number in order)
    with monkeypatch.context() as patch:
        made = beam.Closed.__init__
        patch.setattr(beam.Closed, "__init__", lambda self, **values: made(self, block=3, **values))
        again, _ = evidence(tmp_path, protocol__decoding=closed(length_penalty=0.0), run__batch_size=1)
    assert [output.ranked for output in again.outputs] == [output.ranked for output in found.outputs]
    few, _ = evidence(tmp_path, protocol__decoding=closed(length_penalty=0.0, candidates=2))
    assert {len(output.ranked) for output in few.outputs} == {2}


def test_of_equal_scores_the_first_of_the_list_wins(tmp_path: Path) -> None:
    """Two answers with the same tokens have equal scores, and rank in the order of the list."""
    opt(tmp_path / "model")
    for one, other in (("red w1", "red  w1"), ("red  w1", "red w1")):
        listed(tmp_path, one, "blue", other, "green")
        found, _ = evidence(tmp_path, protocol__decoding=closed(num_answers=4))
        for output in found.outputs:
            at = output.ranked.index(one)
            assert output.ranked[at + 1] == other


@pytest.mark.parametrize(("make", "size"), [(blip, SIDE), (git, CROPPED), (llava, CROPPED)])
def test_other_models_are_refused(
    tmp_path: Path, make: Callable[[Path], None], size: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model whose ranking is not offered is an error, and not decoded in another way."""
    from pytest_claims.errors import EvaluationError

    monkeypatch.setenv("TQDM_DISABLE", "1")
    make(tmp_path / "model")
    listed(tmp_path, *TINY)
    with pytest.raises(
        EvaluationError, match="The strategy rank is offered for BLIP-2 with OPT or T5, and this is anot"
    ):
        evidence(tmp_path, protocol__image__size=size, protocol__decoding=closed())


# --- the list ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"red\n\nblue\n", "answers.txt:2: empty, expected an answer."),
        (b"red\nblue\nred\n", "answers.txt:3: the answer 'red' stands twice, first at answers.txt:1."),
        (b"red\nblue \n", "answers.txt:2: white space around the answer 'blue'; take it away."),
        (b"red\nbl\x00ue\n", "answers.txt:2: 'bl\\x00ue' holds a character that cannot be printed."),
        ("red\nbl\u202eue\n".encode(), "answers.txt:2: 'bl\\u202eue' holds a character that cannot be printed."),
        (b"red\nbl\xffue\n", "answers.txt:2: not UTF-8 (byte 6)."),
        (b"red\n" + b"x" * 1001 + b"\n", "answers.txt:2: more than 1,000 characters, expected a short answer."),
        (b"red\n", "answers.txt: one answer, expected at least 2: there would be nothing to rank."),
        (b"", "answers.txt:1: empty, expected an answer."),
        (b"x\n" * 4_000_001, "answers.txt has more than 8,000,000 bytes, expected a list of short answers."),
    ],
)
def test_lists_that_are_refused(tmp_path: Path, data: bytes, said: str) -> None:
    """Each message names the line, or the file if it is about all of it."""
    from pytest_claims.errors import EvaluationError
    from pytest_claims.sources import answers

    (tmp_path / "answers.txt").write_bytes(data)
    with pytest.raises(EvaluationError) as caught:
        answers.read("answers.txt", (tmp_path,))
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('["red", 2]', "answers.json, answer 2: expected a text, got '2'."),
        ('{"red": 1}', "answers.json: expected a list of texts."),
        ('["red",]', "answers.json:1: not JSON"),
        (
            '["red", "blue", "red"]',
            "answers.json, answer 3: the answer 'red' stands twice, first at answers.json, answer 1.",
        ),
    ],
)
def test_json_lists_that_are_refused(tmp_path: Path, text: str, said: str) -> None:
    """The same for a list in JSON; a message names the number of the answer."""
    from pytest_claims.errors import EvaluationError
    from pytest_claims.sources import answers

    (tmp_path / "answers.json").write_text(text, encoding="utf-8")
    with pytest.raises(EvaluationError) as caught:
        answers.read("answers.json", (tmp_path,))
    assert str(caught.value).startswith(said)


def test_the_digest_is_that_of_the_answers(tmp_path: Path) -> None:
    """Lines, line ends of Windows, a byte order mark and JSON give one digest; another order gives another."""
    from pytest_claims.sources import answers

    same = {"a.txt": b"red\nblue\n", "b.txt": b"\xef\xbb\xbfred\r\nblue", "c.json": b'["red", "blue"]'}
    for name, data in {**same, "d.txt": b"blue\nred\n"}.items():
        (tmp_path / name).write_bytes(data)
    digests = {name: answers.read(name, (tmp_path,)).digest for name in (*same, "d.txt")}
    assert len({digests[name] for name in same}) == 1
    assert digests["d.txt"] != digests["a.txt"]


def test_a_list_outside_the_folders(tmp_path: Path) -> None:
    """A list is read below the claim file's folder only: a link out of it is refused, and a missing list is no attempt."""
    from pytest_claims.errors import EvaluationError, NotAttempted

    opt(tmp_path / "in" / "model")
    listed(tmp_path, *TINY)
    (tmp_path / "in" / "answers.txt").symlink_to(tmp_path / "answers.txt")
    with pytest.raises(EvaluationError, match="a symbolic link leads out of"):
        evidence(tmp_path / "in", protocol__decoding=closed())
    with pytest.raises(NotAttempted, match=r"The list of answers other\.txt was not found"):
        evidence(tmp_path / "in", protocol__decoding=closed(answers="other.txt"))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("red </s>", "answers.txt:2: the model cannot say 'red </s>': the tokenizer reads </s> in it."),
        ("red crocodile", "answers.txt:2: the model cannot say 'red crocodile': the tokenizer reads <unk> in it."),
    ],
)
def test_answers_that_the_model_cannot_say(tmp_path: Path, answer: str, said: str) -> None:
    """An answer with a special token, or with a word that the tokenizer does not know, has no probability."""
    from pytest_claims.errors import EvaluationError

    opt(tmp_path / "model")
    listed(tmp_path, "blue", answer)
    with pytest.raises(EvaluationError) as caught:
        evidence(tmp_path, protocol__decoding=closed(num_answers=2))
    assert str(caught.value).startswith(said)


def test_a_prompt_that_swallows_the_answer(tmp_path: Path) -> None:
    """Where prompt and answer are cut into tokens across their border, the ranking is refused, whichever question it is."""
    from pytest_claims.errors import EvaluationError

    opt(tmp_path / "model")
    own = tokenizer()
    own.add_tokens(["square blue"])  # is one token, with the space between the two words
    own.save_pretrained(tmp_path / "model")
    listed(tmp_path, "blue", "red")
    with pytest.raises(EvaluationError) as caught:
        evidence(tmp_path, protocol__prompt="a {question}", protocol__decoding=closed(num_answers=2))
    assert str(caught.value).startswith("The tokens of 'a blue circle above green square' are not the first tokens of")


# --- the axis decoding ------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A folder with a tiny model and the list."""
    opt(tmp_path / "model")
    listed(tmp_path, *TINY)
    return tmp_path


def test_what_was_ranked_is_observed(tiny: Path) -> None:
    """The axis shows list, size, digest, penalty and candidates; a pinned digest that fits is no difference."""
    found, differing = evidence(tiny, protocol__decoding=closed(candidates=3))
    assert differing == {}
    facts = dict(found.observed.decoding or {})
    digest = facts.pop("answers_digest")
    assert facts == {
        "strategy": "rank",
        "length_penalty": -1.0,
        "answers": "answers.txt",
        "num_answers": 6,
        "candidates": 3,
    }
    assert found.provenance["decoder"] == "ranking of a closed list"
    assert {len(output.ranked) for output in found.outputs} == {3}
    _, differing = evidence(tiny, protocol__decoding=closed(answers_digest=digest))
    assert differing == {}


@pytest.mark.parametrize(
    ("paper", "run"),
    [
        ({"num_answers": 7}, {}),
        ({"answers_digest": "0123456789abcdef"}, {}),
        ({"candidates": 5}, {"candidates": 4}),
        ({}, {"candidates": 4}),
        ({}, {"length_penalty": 0.0}),
        ({}, {"answers": "copy.txt"}),
    ],
)
def test_another_ranking_is_a_deviation(tiny: Path, paper: dict[str, Any], run: dict[str, Any]) -> None:
    """Another list, another size, another digest, other candidates or another penalty than the paper's: drift."""
    (tiny / "copy.txt").write_bytes((tiny / "answers.txt").read_bytes())
    _, differing = evidence(tiny, protocol__decoding=closed(**paper), run__decoding=run)
    assert list(differing) == ["decoding"]


@pytest.mark.parametrize("key", ["answers", "num_answers", "length_penalty"])
def test_what_the_paper_does_not_state_is_unknown(tiny: Path, key: str) -> None:
    """Null says that the paper does not state it: the axis is unknown, whatever the run does."""
    from pytest_claims import protocol
    from pytest_claims.settings import Settings
    from pytest_claims.spec import load

    run = {} if key == "num_answers" else {key: closed()[key]}
    found, differing = evidence(tiny, protocol__decoding=closed(**{key: None}), run__decoding=run)
    assert list(differing) == ["decoding"]
    (one,) = load(tiny / "tiny.yaml")
    readings = protocol.read_axes(one.protocol, found.observed, min_sample=2)
    assert next(r for r in readings if r.axis == "decoding").consequence is protocol.Consequence.UNKNOWN
    planned = protocol.plan(one, Settings()).expected
    assert next(r for r in planned if r.axis == "decoding").consequence is protocol.Consequence.UNKNOWN


def test_the_plan_says_what_is_ranked(tiny: Path) -> None:
    """A dry run reads the list, and says how many answers are scored; a list that is not there is a problem of the plan."""
    from pytest_claims import protocol
    from pytest_claims.bench import Bench
    from pytest_claims.settings import Settings
    from pytest_claims.spec import load

    write_rows(tiny / "rows.parquet", content())
    (one,) = load(write(tiny / "tiny.yaml", document(protocol__decoding=closed(candidates=2))))
    found = Bench().preflight(protocol.plan(one, Settings()), collect=True)
    told = dict(found.lines)["answers"]
    assert told.startswith("answers.txt: 6 answers, the 2 likeliest scored in full, ")
    (tiny / "answers.txt").unlink()
    for names in (False, True):
        found = Bench().preflight(protocol.plan(one, Settings()), collect=True, names=names)
        assert "The list of answers answers.txt was not found" in str(found.worst)


# --- the store --------------------------------------------------------------------------------------------------------


def test_rankings_are_used_again(tiny: Path) -> None:
    """A second run takes all rankings from the first. Another list, or another order of it, is another run."""
    first, _ = evidence(tiny, kept(tiny), protocol__decoding=closed())
    again, _ = evidence(tiny, kept(tiny), protocol__decoding=closed())
    assert (again.outputs, again.digest) == (first.outputs, first.digest)
    assert len(list((tiny / "evidence").glob("*/plan.json"))) == 1
    listed(tiny, *reversed(TINY))
    evidence(tiny, kept(tiny), protocol__decoding=closed())
    assert len(list((tiny / "evidence").glob("*/plan.json"))) == 2
    listed(tiny, *TINY[:-1], "w4")
    other, _ = evidence(tiny, kept(tiny), protocol__decoding=closed())
    assert len(list((tiny / "evidence").glob("*/plan.json"))) == 3
    assert any("w4" in output.ranked for output in other.outputs)


def test_rankings_are_replayed_and_audited(tiny: Path) -> None:
    """A replay reads them without model and list; an audit ranks again and finds no difference, or names it."""
    from pytest_claims.errors import EvaluationError

    first, _ = evidence(tiny, kept(tiny), protocol__decoding=closed())
    audited, _ = evidence(tiny, kept(tiny, audit=4), protocol__decoding=closed())
    assert any(note.startswith("Audit: 4 of 6 answers") for note in audited.notes), audited.notes
    replay: Bench = kept(tiny, replay=True, audit=4)
    listed(tiny, *TINY[:-1], "w4")
    with pytest.raises(EvaluationError, match=r"not of this model and data: observed\.decoding\.answers_digest is"):
        evidence(tiny, replay, protocol__decoding=closed())
    (tiny / "answers.txt").unlink()
    replayed, _ = evidence(tiny, kept(tiny, replay=True), protocol__decoding=closed())
    assert (replayed.outputs, replayed.replayed) == (first.outputs, True)
    assert dataclasses.replace(replayed, replayed=False).gives == ("text", "ranked")


def test_evidence_of_a_ranking_is_checked(tiny: Path) -> None:
    """The facts of a ranking in `plan.json` are validated, and a message names the key."""
    import json

    from pytest_claims.errors import EvaluationError
    from pytest_claims.store.format import PlanFile, read

    evidence(tiny, kept(tiny), protocol__decoding=closed())
    (path,) = (tiny / "evidence").glob("*/plan.json")
    plan = json.loads(path.read_text(encoding="utf-8"))
    read(PlanFile, plan, "plan.json")
    plan["observed"]["decoding"]["num_answers"] = "six"
    with pytest.raises(EvaluationError, match=r"plan\.json: observed: decoding"):
        read(PlanFile, plan, "plan.json")


# --- what a claim file cannot say -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"protocol__decoding": closed(num_beams=5)},
            "protocol.decoding.num_beams: with the strategy rank, nothing is generated: num_beams has no meaning; leave it out",
        ),
        (
            {"protocol__decoding": {"strategy": "beam", "num_beams": 5, "answers": "answers.txt"}},
            "protocol.decoding.answers: only the strategy rank has a list: answers has no meaning; leave it out",
        ),
        (
            {"protocol__decoding": closed(length_penalty=...)},
            "protocol.decoding: the strategy rank needs length_penalty: 0 for the sum of an answer's log-probabilities, 1 for ",
        ),
        (
            {"protocol__decoding": closed(num_answers=...)},
            "strategy rank needs num_answers: how many answers the paper's list has; null where the paper does not state it",
        ),
        (
            {"protocol__decoding": closed(answers=None)},
            "the strategy rank needs answers; give it in run where the paper does not state it",
        ),
        (
            {"protocol__decoding": closed(length_penalty=None)},
            "the strategy rank needs length_penalty; give it in run where the paper does not state it",
        ),
        ({"protocol__decoding": closed(candidates=7)}, "candidates (7) is above num_answers (6)"),
        (
            {"protocol__decoding": closed(answers="../answers.txt")},
            "expected a path below the claim file's folder or a --claims-data folder, without '..'",
        ),
        (
            {"protocol__decoding": closed(), "run__evaluator": "captioning", "protocol__prompt": "a photo of"},
            "captions are generated; the strategy rank is one of the evaluator answering, expected greedy or beam",
        ),
    ],
)
def test_what_a_claim_file_cannot_say(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """A closed list is ranked by the evaluator `answering`, with keys that have a meaning there, and states its list."""
    from pytest_claims.errors import SpecError
    from pytest_claims.spec import load

    changes.setdefault("protocol__dataset__columns", {"image": "image", "references": "answers", "id": "id"})
    with pytest.raises(SpecError) as caught:
        load(write(tmp_path / "tiny.yaml", document(**changes)))
    assert said in str(caught.value)


def test_a_run_that_generates_where_the_paper_ranks(tiny: Path) -> None:
    """Null takes a key of the paper's ranking away, so that a run can generate: a deviation of the axis."""
    without = {"answers": None, "num_answers": None}
    generating = {"strategy": "beam", "num_beams": 2, "max_new_tokens": 4, **without}
    found, differing = evidence(tiny, protocol__decoding=closed(), run__decoding=generating)
    assert list(differing) == ["decoding"]
    assert all(output.ranked == () for output in found.outputs)


@pytest.mark.parametrize(
    ("stated", "overrides", "said"),
    [
        (
            closed(),
            {"num_beams": 1},
            "--claims-set decoding.answers: only the strategy rank has a list: answers has no",
        ),
        (
            {"strategy": "greedy"},
            {"strategy": "rank", "answers": "answers.txt"},
            "--claims-set decoding.num_beams: with the strategy rank, nothing is generated: num_beams has no meaning",
        ),
    ],
)
def test_a_strategy_on_the_command_line_is_checked(
    tmp_path: Path, stated: dict[str, Any], overrides: dict[str, Any], said: str
) -> None:
    """`--claims-set` cannot mix the keys of the two ways either."""
    from pytest_claims import protocol
    from pytest_claims.errors import EvaluationError
    from pytest_claims.settings import Settings
    from pytest_claims.spec import load

    (one,) = load(write(tmp_path / "tiny.yaml", document(protocol__decoding=stated)))
    with pytest.raises(EvaluationError) as caught:
        protocol.plan(one, Settings(overrides={"decoding": overrides}))
    assert str(caught.value).startswith(said)
