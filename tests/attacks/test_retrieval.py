"""Make retrieval easier than the paper had it, and have the run read as exact."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.attacks import shop
from tests.attacks.shop import Record, deviates, edit
from tests.pools import data, ranked_once, retriever, write_retrieval
from tests.shapes import rows

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ranked_once"]  # a fixture of this module


def attempt(pytester: pytest.Pytester, *options: str) -> tuple[int, list[Record]]:
    """Run pytest on claims/; see `shop.attempt`."""
    return shop.attempt(pytester, f"--claims-data={data()}", *options)


def drifts(pytester: pytest.Pytester, axis: str) -> dict[str, str]:
    """Run the claim: it must be red for a drift. Gives the deviation on an axis."""
    status, (record,) = attempt(pytester)
    assert status == 1
    assert record["verdict"]["protocol_match"] == "drift"
    found: dict[str, str] = next(found for found in record["evidence"]["deviations"] if found["axis"] == axis)
    return found


def test_an_honest_run_is_exact(pytester: pytest.Pytester) -> None:
    """What the attacks below start from has no deviation."""
    write_retrieval(pytester.path, count=8)
    _, (record,) = attempt(pytester)
    assert record["evidence"]["deviations"] == []


@pytest.mark.parametrize("query", ["image", "text"])
def test_rank_fewer_texts(pytester: pytest.Pytester, query: str) -> None:
    """One text for each image in place of five: fewer wrong candidates, and other queries."""
    content = [{**row, "caption": row["caption"][:1]} for row in rows(8)]
    write_retrieval(pytester.path, count=8, content=content, query=query)
    assert "texts=8" in drifts(pytester, "ranking")["run"]


def test_rank_fewer_images(pytester: pytest.Pytester) -> None:
    """Half of the images, each with the texts of two: the number of texts is the paper's, the pool of images is not."""
    content = rows(8)
    halved = [
        {**one, "caption": one["caption"] + two["caption"]} for one, two in zip(content[:4], content[4:], strict=True)
    ]
    write_retrieval(pytester.path, count=8, content=halved, query="text")
    assert "images=4" in drifts(pytester, "dataset")["run"]


def test_accept_more_texts_as_right(pytester: pytest.Pytester) -> None:
    """Every image gets the texts of its neighbour as well: more of the candidates are hits."""
    content = rows(8)
    longer = [{**row, "caption": row["caption"] + content[number - 1]["caption"]} for number, row in enumerate(content)]
    write_retrieval(pytester.path, count=8, content=longer)
    assert "texts=80" in drifts(pytester, "ranking")["run"]


def test_move_right_texts_to_few_images(pytester: pytest.Pytester) -> None:
    """As many texts as the paper has, and most belong to one image: a claim that states how many each has sees it."""
    content = rows(8)
    spare = [text for row in content[1:] for text in row["caption"][1:]]
    moved = [{**content[0], "caption": content[0]["caption"] + spare}]
    moved += [{**row, "caption": row["caption"][:1]} for row in content[1:]]
    write_retrieval(pytester.path, count=8, content=moved, query="text", protocol__dataset__references=5)
    assert "references=1 to 33" in drifts(pytester, "dataset")["run"]


def test_give_two_images_one_id(pytester: pytest.Pytester) -> None:
    """With equal ids, the text of one image would be a hit for the other: refused."""
    content = rows(8)
    content[3]["filename"] = content[2]["filename"]
    write_retrieval(pytester.path, count=8, content=content)
    status, (record,) = attempt(pytester)
    assert status == 1
    assert record["verdict"]["status"] == "error"
    assert "more than once" in record["evidence"]["reason"]


def test_choose_ids_that_look_like_those_of_texts(pytester: pytest.Pytester) -> None:
    """An image that is called like another's text changes nothing: ids of texts have a place behind them."""
    content = rows(6)
    write_retrieval(pytester.path, count=6, content=content, query="text")
    _, (honest,) = attempt(pytester)
    content[1]["filename"] = f"{content[0]['filename']}#0"
    write_retrieval(pytester.path, count=6, content=content, query="text")
    _, (record,) = attempt(pytester)
    assert record["verdict"]["score"] == honest["verdict"]["score"]
    assert record["evidence"]["n"] == 30


@pytest.mark.parametrize(
    ("query", "column"),
    [
        ("image", "COCO IR@1"),
        ("text", "COCO TR@1"),
        ("image", "COCO Fine-tuned (5K test set) Text → Image R@1"),
        ("text", "Flickr30K Image → Text R@1"),
    ],
)
def test_run_the_easier_direction(pytester: pytest.Pytester, query: str, column: str) -> None:
    """An image has five right texts and a text one right image: a run in the other direction than the column is refused."""
    write_retrieval(pytester.path, count=4, query=query, column=column)
    result = pytester.runpytest_inprocess("claims", "-p", "no:cacheprovider")
    assert result.ret != 0
    assert f"the column '{column}' is about queries that are" in result.stdout.str()


def test_sample_from_a_smaller_pool(pytester: pytest.Pytester) -> None:
    """A sample that would leave fewer candidates does not exist; fewer than 50 queries are no sample."""
    write_retrieval(pytester.path, count=8)
    status, (record,) = attempt(pytester, "--claims-sample=5")
    assert status == 1
    assert deviates(record, "sample")
    assert "For each of 5 images, all 40 texts were ranked" in " ".join(record["evidence"]["notes"])


def test_leave_out_the_token_that_carries_the_text(pytester: pytest.Pytester) -> None:
    """A tokenizer file without [CLS] and [SEP] feeds other tokens: named on the ranking axis."""
    target = pytester.path / "claims" / "retrieval" / "model"
    shutil.copytree(retriever(), target)
    edit(target / "tokenizer.json", post_processor=None)
    write_retrieval(pytester.path, count=6)
    assert "special_tokens='a' is fed as 'a'" in drifts(pytester, "ranking")["run"]


def lines(folder: Path) -> Path:
    """The file of rankings in the evidence that a run left."""
    (found,) = folder.glob("*/captions.jsonl")
    return found


def test_put_the_right_candidate_first_in_the_evidence(pytester: pytest.Pytester) -> None:
    """A line that was edited has no valid seal: its query is ranked again, and the number is that of the model."""
    write_retrieval(pytester.path, count=8)
    _, (honest,) = attempt(pytester, "--claims-evidence=kept")
    path = lines(pytester.path / "kept")
    content = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in content:
        line["ranked"] = [f"{line['id']}#{place}" for place in range(5)]
    path.write_text("".join(json.dumps(line) + "\n" for line in content), encoding="utf-8")
    _, (record,) = attempt(pytester, "--claims-evidence=kept")
    assert record["verdict"]["score"] == honest["verdict"]["score"]
    assert "Evidence that no run of this user wrote is not used" in " ".join(record["evidence"]["notes"])


def test_plan_without_a_prompt_for_captions(pytester: pytest.Pytester) -> None:
    """A plan that leaves out prompt and decoding without ranking anything is not valid evidence: nothing would be observed."""
    write_retrieval(pytester.path, count=4)
    attempt(pytester, "--claims-evidence=kept")
    (plan,) = (pytester.path / "kept").glob("*/plan.json")
    content = json.loads(plan.read_text(encoding="utf-8"))
    del content["observed"]["ranking"]
    from pytest_claims.errors import EvaluationError
    from pytest_claims.store.format import PlanFile, read

    with pytest.raises(EvaluationError, match="expected a prompt and a decoding, or a ranking and neither of them"):
        read(PlanFile, content, "plan.json:1")
