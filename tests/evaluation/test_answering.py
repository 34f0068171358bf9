"""The evaluator `answering`: each row's question, put into a template, through the machinery of the captioner."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders import captioning, changed, claim, write
from tests.evaluation.test_models import CROPPED, SIDE, blip, flan_t5, git, llava, opt, tokenizer
from tests.shapes import rows, torch, transformers, write_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_claims.bench import Bench
    from pytest_claims.evidence import Evidence

TEMPLATE = "a {question} of"
QUESTIONS = ["red", "blue circle above green square", "photo", "green square", "red circle below blue", "square"]
"""In the words of the tiny models, of several lengths."""

COLUMNS = {"image": "image", "references": "answers", "id": "id"}


def content(questions: list[str] = QUESTIONS) -> list[dict[str, Any]]:
    """Rows as VQAv2 has them: ten answers to each question."""
    return [
        {
            "id": f"q{number}",
            "image": row["image"],
            "question": question,
            "kind": "short" if len(question) < 7 else "long",
            "answers": ["red"] * 7 + ["a blue one"] * 3,
        }
        for number, (row, question) in enumerate(zip(rows(len(questions)), questions, strict=True))
    ]


def document(**changes: Any) -> dict[str, Any]:
    """A claim file of the evaluator `answering` about `content()`."""
    found = captioning(
        claim("tiny", value="70.0", tolerance={"pass": 5, "partial": "90%", "min_sample": 2}),
        images=len(QUESTIONS),
        protocol__image__size=SIDE,
        protocol__prompt=TEMPLATE,
        protocol__decoding={
            "strategy": "beam",
            "num_beams": 3,
            "max_new_tokens": 6,
            "min_new_tokens": 2,
            "length_penalty": -1.0,
        },
        protocol__dataset__columns=COLUMNS,
        run__evaluator="answering",
    )
    return changed(found, **changes)


def evidence(folder: Path, bench: Bench | None = None, **changes: Any) -> tuple[Evidence, dict[str, str]]:
    """What the evaluator gives for the model in `folder`/model, and the axes that differ from the claim."""
    from pytest_claims import protocol
    from pytest_claims.bench import Bench
    from pytest_claims.settings import Settings
    from pytest_claims.spec import load

    if not (folder / "rows.parquet").exists():
        write_rows(folder / "rows.parquet", content())
    (tiny,) = load(write(folder / "tiny.yaml", document(**changes)))
    found = (bench or Bench()).evaluate(protocol.plan(tiny, Settings()))
    readings = protocol.read_axes(tiny.protocol, found.observed, min_sample=2)
    differing = {r.axis: r.run for r in readings if r.consequence not in (protocol.Consequence.NONE, "not observed")}
    return found, differing


def by_hand(folder: Path, around: str = "{}") -> dict[str, str]:
    """What `generate` says to the same prompts, one at a time, fed by hand."""
    import PIL.Image

    processor = transformers.AutoProcessor.from_pretrained(folder, backend="pil")
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
    said = {}
    for row in content():
        image = PIL.Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
        text = around.format(TEMPLATE.format(question=row["question"]))
        inputs = processor(images=[image], text=[text], return_tensors="pt")
        if model.config.model_type == "git":
            inputs = {key: value if key == "pixel_values" else value[:, :-1] for key, value in inputs.items()}
        limits: dict[str, Any] = {"num_beams": 3, "max_new_tokens": 6, "min_new_tokens": 2, "length_penalty": -1.0}
        with torch.inference_mode():
            output = model.generate(**inputs, **limits)[0].tolist()
        fed = inputs["input_ids"].shape[1]
        encodes = getattr(getattr(model, "language_model", None), "config", model.config).is_encoder_decoder
        cut = 1 if encodes else fed - 1 if model.config.model_type == "blip" else fed
        said[row["id"]] = processor.tokenizer.decode(output[cut:], skip_special_tokens=True).strip()
    return said


@pytest.mark.parametrize(
    ("make", "size", "around"),
    [
        (opt, SIDE, "{}"),
        (flan_t5, SIDE, "{}"),
        (blip, SIDE, "{}"),
        (git, CROPPED, "{}"),
        (llava, CROPPED, "user : <image> {} assistant :"),
    ],
)
def test_the_answers_are_those_of_plain_generate(
    tmp_path: Path, make: Callable[[Path], None], size: object, around: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each class of model answers as `generate` does to each question alone, whatever else is in the batch."""
    monkeypatch.setenv("TQDM_DISABLE", "1")
    make(tmp_path / "model")
    expected = by_hand(tmp_path / "model", around)
    assert len(set(expected.values())) > (make is not flan_t5)  # the tiny T5 says one thing
    for batch in (1, 4):
        found, differing = evidence(tmp_path, protocol__image__size=size, run__batch_size=batch)
        assert {answer.id: answer.text for answer in found.outputs} == expected
        assert differing == {}


def test_an_answer_has_its_question(tmp_path: Path) -> None:
    """The evidence names its outputs answers, and each has its question and the columns that the claim names."""
    opt(tmp_path / "model")
    found, _ = evidence(tmp_path, run__extras=["kind"])
    assert found.noun == "answer"
    asked = {row["id"]: {"question": row["question"], "kind": row["kind"]} for row in content()}
    assert {answer.id: answer.extras for answer in found.outputs} == asked
    assert {len(answer.references) for answer in found.outputs} == {10}


# --- the prompt axis --------------------------------------------------------------------------------------------------


def test_another_template_is_another_prompt(tmp_path: Path) -> None:
    """A template that the run changes is a deviation on the axis prompt, which shows both templates."""
    opt(tmp_path / "model")
    found, differing = evidence(tmp_path, run__prompt="photo {question} :")
    assert differing == {"prompt": "'<image>×4<s> photo {question} :', differing: 6 of 6 prompts, the first that of q0"}
    assert found.observed.prompt is not None
    assert found.observed.prompt["stated"] == "<image>×4<s> a {question} of"


def test_prompts_are_compared_as_tokens(tmp_path: Path) -> None:
    """A tokenizer without its begin token feeds other tokens for the same text, in all rows."""
    opt(tmp_path / "model")
    own = tokenizer(around="$A")  # no begin token before the text, which OPT has
    own.save_pretrained(tmp_path / "model")
    _, differing = evidence(tmp_path)
    assert list(differing) == ["prompt"]
    assert differing["prompt"].endswith("differing: 6 of 6 prompts, the first that of q0")


class Odd:
    """An architecture whose processor feeds one prompt otherwise than its text says."""

    image_tokens: frozenset[int] = frozenset()

    def feed_each(self, prompts: list[str]) -> list[tuple[int, ...]]:
        """One token for each character, and one too many for the prompt that asks for a square."""
        return [(*map(ord, text), *([33] if "square" in text else [])) for text in prompts]

    def stated(self, text: str) -> list[int]:
        """One token for each character."""
        return self.own_ids(text)

    def own_ids(self, text: str) -> list[int]:
        """One token for each character."""
        return list(map(ord, text))


def test_one_row_that_differs_is_found() -> None:
    """Among rows that are fed as the paper's template says, the one that is not is counted, named and spelled."""
    from types import SimpleNamespace

    from pytest_claims.evaluation import prompt

    text = SimpleNamespace(unk_token_id=None, decode=lambda ids, **_: "".join(map(chr, ids)))
    loaded: Any = SimpleNamespace(architecture=Odd(), processor=SimpleNamespace(tokenizer=text))
    questions = {"q0": "red", "q1": "square", "q2": "blue"}
    fed, facts = prompt.observe(loaded, TEMPLATE, TEMPLATE, questions)
    assert fed.prompt("q2") == "a blue of"
    assert facts["ids"] != facts["stated_ids"]
    assert facts["differing"] == "1 of 3 prompts, the first that of q1"
    assert (facts["prompt"], facts["stated"]) == ("a {question} of!", "a {question} of")
    _, facts = prompt.observe(loaded, TEMPLATE, TEMPLATE, {"q0": "red", "q2": "blue"})
    assert facts["ids"] == facts["stated_ids"]
    assert "differing" not in facts


@pytest.mark.parametrize("template", [TEMPLATE, "a {question} of."])
def test_many_rows_are_observed_as_few(monkeypatch: pytest.MonkeyPatch, template: str) -> None:
    """Facts, digests, prompts and tokens do not depend on where the rows are, and how many are tokenised at once."""
    from types import SimpleNamespace

    from pytest_claims import digests, spool
    from pytest_claims.evaluation import prompt

    text = SimpleNamespace(unk_token_id=None, decode=lambda ids, **_: "".join(map(chr, ids)))
    loaded: Any = SimpleNamespace(architecture=Odd(), processor=SimpleNamespace(tokenizer=text))
    questions = {f"q{number:02}": ("square", "red", "blue é", "")[number * 7 % 4] for number in range(20)}
    few, expected = prompt.observe(loaded, template, TEMPLATE, questions)
    tokens = {name: few.tokens(name) for name in questions}
    assert expected["ids"] == [digests.of_json(tokens)[:16]] == [few.digest]
    assert few.longest == max(map(len, tokens.values()))
    monkeypatch.setattr(spool, "KEEP", 3)
    monkeypatch.setattr(spool, "BLOCK", 2)
    monkeypatch.setattr(prompt, "AT_ONCE", 6)
    many, facts = prompt.observe(loaded, template, TEMPLATE, spool.by_name(questions.items()))
    assert isinstance(many.each, spool.Table)
    assert facts == expected
    assert (many.digest, many.longest) == (few.digest, few.longest)
    assert [(many.prompt(name), many.tokens(name)) for name in questions] == [
        (few.prompt(name), few.tokens(name)) for name in questions
    ]


def test_an_unstated_template_is_unknown(tmp_path: Path) -> None:
    """A paper that states no prompt leaves the axis unknown, whatever the run asks with."""
    opt(tmp_path / "model")
    _, differing = evidence(tmp_path, protocol__prompt=..., run__prompt=TEMPLATE)
    assert list(differing) == ["prompt"]


# --- the store --------------------------------------------------------------------------------------------------------


def kept(folder: Path, **options: Any) -> Bench:
    """A bench whose evidence is kept in `folder`/evidence."""
    from pytest_claims.bench import Bench

    return Bench(evidence=lambda: folder / "evidence", **options)


def test_answers_are_used_again(tmp_path: Path) -> None:
    """A second run takes all answers from the first; another question, or another column of extras, is another run."""
    opt(tmp_path / "model")
    first, _ = evidence(tmp_path, kept(tmp_path))
    again, _ = evidence(tmp_path, kept(tmp_path))
    assert again.outputs == first.outputs
    assert again.digest == first.digest
    assert len(list((tmp_path / "evidence").glob("*/plan.json"))) == 1
    write_rows(tmp_path / "rows.parquet", content(["blue", *QUESTIONS[1:]]))
    other, _ = evidence(tmp_path, kept(tmp_path))
    assert other.digest != first.digest
    assert len(list((tmp_path / "evidence").glob("*/plan.json"))) == 2
    evidence(tmp_path, kept(tmp_path), run__extras=["kind"])
    assert len(list((tmp_path / "evidence").glob("*/plan.json"))) == 3


def test_answers_are_replayed_and_audited(tmp_path: Path) -> None:
    """A replay reads answers and questions without a model; an audit answers again and finds no difference."""
    opt(tmp_path / "model")
    first, _ = evidence(tmp_path, kept(tmp_path))
    replayed, _ = evidence(tmp_path, kept(tmp_path, replay=True))
    assert (replayed.outputs, replayed.noun, replayed.replayed) == (first.outputs, "answer", True)
    audited, _ = evidence(tmp_path, kept(tmp_path, audit=4))
    assert any(note.startswith("Audit: 4 of 6 answers") for note in audited.notes), audited.notes


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"protocol__prompt": "a photo of"},
            "the template has no place for the question; expected {question} where it belongs",
        ),
        (
            {"protocol__prompt": "Question: {questoin} Answer:"},
            "the template has the place {questoin}, did you mean 'question'?; the only place is {question}",
        ),
        (
            {"protocol__prompt": "{question} {answers}"},
            "the template has the place {answers}; the only place is {question}",
        ),
        ({"run__prompt": "what?"}, "the template has no place for the question; expected {question} where it belongs"),
        (
            {"run__columns": {**COLUMNS, "question": "answers"}},
            "the column 'answers' cannot hold both the questions and the references",
        ),
    ],
)
def test_what_a_claim_file_cannot_say(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """A template has one place, that of the question, and the references cannot be asked."""
    from pytest_claims.errors import SpecError
    from pytest_claims.spec import load

    with pytest.raises(SpecError) as caught:
        load(write(tmp_path / "tiny.yaml", document(**changes)))
    assert said in str(caught.value)


def test_a_template_on_the_command_line_is_checked(tmp_path: Path) -> None:
    """`--claims-set=prompt=…` needs the place of the question, too."""
    from pytest_claims import protocol
    from pytest_claims.errors import EvaluationError
    from pytest_claims.settings import Settings
    from pytest_claims.spec import load

    (tiny,) = load(write(tmp_path / "tiny.yaml", document()))
    with pytest.raises(EvaluationError) as caught:
        protocol.plan(tiny, Settings(overrides={"prompt": "what is it?"}))
    assert str(caught.value) == (
        "--claims-set prompt: the template has no place for the question; expected {question} where it belongs, got "
        "'what is it?'."
    )


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            {"question": "questoin"},
            "The data set rows.parquet has no column 'questoin' (question), did you mean 'question'?",
        ),
        ({"question": "number"}, "Row q0: expected text in column 'number', got 1."),
    ],
)
def test_a_column_that_holds_no_questions(tmp_path: Path, columns: dict[str, str], said: str) -> None:
    """The message names the column, or the row and what was found there."""
    from pytest_claims.errors import EvaluationError

    opt(tmp_path / "model")
    write_rows(tmp_path / "rows.parquet", [{**row, "number": 1} for row in content()])
    with pytest.raises(EvaluationError) as caught:
        evidence(tmp_path, run__columns={**COLUMNS, **columns})
    assert str(caught.value).startswith(said)
