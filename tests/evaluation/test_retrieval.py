"""Retrieval with a real `Blip2ForImageTextRetrieval`, through pytest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pytest_claims.evaluation import retrieving
from tests.pools import data, ranked_once, recall, retriever, stock, write_retrieval
from tests.running import LEAN
from tests.shapes import MODEL, SHAPES, rows

__all__ = ["ranked_once"]  # a fixture of this module


def run(pytester: pytest.Pytester, *options: str, cache: bool = False) -> tuple[pytest.RunResult, list[dict[str, Any]]]:
    """Run pytest on claims/ and give back the result with the records of its JSON report."""
    off = () if cache else ("-p", "no:cacheprovider")
    result = pytester.runpytest_inprocess(
        "claims", "--claims-report=v.json", f"--claims-data={data()}", f"--claims-data={SHAPES}", *off, *options, *LEAN
    )
    return result, json.loads(Path("v.json").read_text(encoding="utf-8"))["records"]


def axes(record: dict[str, Any]) -> dict[str, str]:
    """What the run did, by axis."""
    return {axis["axis"]: axis["run"] for axis in record["evidence"]["axes"]}


@pytest.mark.parametrize("query", ["image", "text"])
def test_the_numbers_are_those_of_plain_forward(pytester: pytest.Pytester, query: str) -> None:
    """Recall equals that of the model's `forward` over all pairs; every axis is observed and exact, and none is of captions."""
    metrics = ("recall_at_1", "recall_at_5", "recall_at_10")
    write_retrieval(pytester.path, query=query, metrics=metrics)
    _, records = run(pytester)
    ranked = stock(12, query, 4)
    scores = {record["evidence"]["claim"]["id"]: record["verdict"]["score"] for record in records}
    assert scores == {f"recall-at-{k}": recall(ranked, k) for k in (1, 5, 10)}
    record = records[0]
    assert record["verdict"]["protocol_match"] == "exact"
    assert list(axes(record)) == [
        "checkpoint", "dataset", "split", "sample", "image", "ranking", "precision", "metric",
    ]  # fmt: skip
    assert axes(record)["ranking"] == (
        f"score=matching+contrastive, rerank=4, texts=60, text=blip_caption, max_tokens=35, query={query}"
    )
    assert axes(record)["sample"] == ("12 images" if query == "image" else "60 texts")
    assert record["evidence"]["n"] == (12 if query == "image" else 60)
    assert record["evidence"]["noun"] == "ranking"
    assert record["verdict"]["agent_version"].endswith(f"-by-{query}-rerank4-n{record['evidence']['n']}")
    assert len({found["evidence"]["digest"] for found in records}) == 1


@pytest.mark.parametrize("query", ["image", "text"])
def test_evidence_is_used_again_audited_and_replayed(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """A second run ranks only what is missing in the evidence; an audit finds no difference; a replay scores."""
    made: list[str] = []
    output = retrieving.Setup._output

    def counted(self: Any, name: str, *given: Any) -> Any:
        made.append(name)
        return output(self, name, *given)

    monkeypatch.setattr(retrieving.Setup, "_output", counted)
    write_retrieval(pytester.path, query=query)
    evidence = "--claims-evidence=kept"
    _, (first,) = run(pytester, evidence)
    total = first["evidence"]["n"]
    assert len(made) == total
    (lines,) = Path("kept").glob("*/captions.jsonl")
    kept = lines.read_bytes().splitlines(keepends=True)
    line = json.loads(kept[0])
    assert set(line) == {"id", "caption", "tokens", "truncated", "image", "ranked", "extras", "seal"}
    assert len(line["ranked"]) == 10

    made.clear()
    lines.write_bytes(b"".join(kept[:-3]))
    _, (second,) = run(pytester, evidence)
    assert len(made) == 3
    assert lines.read_bytes() == b"".join(kept)
    assert second["evidence"]["digest"] == first["evidence"]["digest"]

    made.clear()
    _, (audited,) = run(pytester, evidence, "--claims-audit=4")
    assert len(made) == 4
    note = f"Audit: 4 of {total} rankings were generated again, and none differs from the evidence."
    assert note in audited["evidence"]["notes"]

    made.clear()
    _, (replayed,) = run(pytester, evidence, "--claims-replay", "--claims-accept-replay")
    assert made == []
    assert replayed["verdict"]["score"] == first["verdict"]["score"]


def test_an_audit_finds_a_changed_ranking(pytester: pytest.Pytester) -> None:
    """In replayed evidence with another order, the audit names the query."""
    write_retrieval(pytester.path)
    run(pytester, "--claims-evidence=kept")
    (lines,) = Path("kept").glob("*/captions.jsonl")
    content = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    content[5]["ranked"].reverse()
    lines.write_text("".join(json.dumps(line) + "\n" for line in content), encoding="utf-8")
    _, (record,) = run(pytester, "--claims-evidence=kept", "--claims-replay", "--claims-audit=12")
    assert record["verdict"]["status"] == "error"
    assert f"rankings differ from the evidence: {content[5]['id']}" in record["evidence"]["reason"]


@pytest.mark.parametrize("query", ["image", "text"])
def test_a_sample_draws_queries_and_leaves_all_candidates(pytester: pytest.Pytester, query: str) -> None:
    """Each drawn query has the ranking that it has in the whole run, and the run is a proxy: the pool did not shrink."""
    count = 52 if query == "image" else 12
    write_retrieval(pytester.path, count=count, query=query, rerank=3, run__sample={"size": 50, "seed": 1})
    _, (record,) = run(pytester, "--claims-evidence=kept")
    assert record["verdict"]["protocol_match"] == "proxy"
    (lines,) = Path("kept").glob("*/captions.jsonl")
    ranked = stock(count, query, 3)
    for line in lines.read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        assert values["ranked"] == ranked[values["id"]][:10]
    told = "images, all 260 texts" if query == "image" else "texts, all 12 images"
    assert f"For each of 50 {told} were ranked" in " ".join(record["evidence"]["notes"])


DRIFTS = {
    "other k": ("--claims-set=ranking.rerank=3", "rerank=3"),
    "no re-ranking": ("--claims-set=ranking.rerank=0", "rerank=0, texts=60"),
    "other score": ("--claims-set=ranking.score=matching", "score=matching, "),
    "texts as they are": ("--claims-set=ranking.text=as_is", "text=as_is"),
    "shorter texts": ("--claims-set=ranking.max_tokens=6", "max_tokens=6"),
}


@pytest.mark.parametrize("name", DRIFTS)
def test_another_way_of_ranking_is_drift(pytester: pytest.Pytester, name: str) -> None:
    """What orders the candidates is compared with the paper, and a difference withholds the verdict."""
    option, shown = DRIFTS[name]
    write_retrieval(pytester.path)
    result, (record,) = run(pytester, option)
    assert result.ret == 1
    assert record["verdict"]["protocol_match"] == "drift"
    (deviation,) = record["evidence"]["deviations"]
    assert deviation["axis"] == "ranking"
    assert shown in deviation["run"]


def test_what_the_paper_leaves_open_is_unknown(pytester: pytest.Pytester) -> None:
    """Without a stated cleaning, the run takes the texts as they are, and the verdict is withheld."""
    write_retrieval(pytester.path, protocol__ranking__text=...)
    _, (record,) = run(pytester)
    assert record["verdict"]["protocol_match"] == "unknown"
    assert "text=as_is" in axes(record)["ranking"]


def test_without_re_ranking_the_order_is_contrastive(pytester: pytest.Pytester) -> None:
    """`rerank: 0` needs no score, matches nothing, and is exact where the paper says so."""
    write_retrieval(
        pytester.path, protocol__ranking={"rerank": 0, "texts": 60, "text": "blip_caption", "max_tokens": 35}
    )
    _, (record,) = run(pytester)
    assert record["verdict"]["protocol_match"] == "exact"
    assert record["verdict"]["score"] == recall(stock(12, "image", 0), 1)


def test_a_captioner_is_refused(pytester: pytest.Pytester) -> None:
    """A checkpoint of another class has no matching head; the run says so before it loads anything."""
    write_retrieval(pytester.path, protocol__checkpoint__id="model")
    _, (record,) = run(pytester)
    assert record["verdict"]["status"] == "error"
    assert (
        "The checkpoint model is a Blip2ForConditionalGeneration (model_type 'blip-2'), which transformers "
        in record["evidence"]["reason"]
    )
    assert (
        "does not load as a Blip2ForImageTextRetrieval, which the evaluator retrieval needs"
        in record["evidence"]["reason"]
    )


def test_weights_without_a_matching_head_are_refused(pytester: pytest.Pytester) -> None:
    """A config that only says it is a retrieval model is found out: transformers would draw what is missing at random."""
    target = pytester.path / "claims" / "pretender"
    shutil.copytree(MODEL, target)
    config = json.loads((retriever() / "config.json").read_text(encoding="utf-8"))
    (target / "config.json").write_text(json.dumps(config), encoding="utf-8")
    shutil.copy(MODEL / "model.safetensors", target / "model.safetensors")
    write_retrieval(pytester.path, protocol__checkpoint__id="pretender")
    _, (record,) = run(pytester)
    assert record["verdict"]["status"] == "error"
    assert "weights of a Blip2ForImageTextRetrieval, the first " in record["evidence"]["reason"]


def test_a_model_that_ranks_alike_is_an_error(pytester: pytest.Pytester) -> None:
    """If the texts do not reach the model, all images have one ranking, and no number is published."""
    from safetensors.torch import load_file, save_file

    target = pytester.path / "claims" / "deaf"
    shutil.copytree(retriever(), target)
    weights = load_file(target / "model.safetensors")
    weights["vision_projection.weight"].zero_()
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    write_retrieval(pytester.path, rerank=0, protocol__checkpoint__id="deaf", protocol__ranking__score=...)
    _, (record,) = run(pytester)
    assert record["verdict"]["status"] == "error"
    assert "Degenerate output, not scored" in record["evidence"]["reason"]


def test_a_model_that_gives_no_numbers_is_an_error(pytester: pytest.Pytester) -> None:
    """NaN would be ranked first; the run stops at the first query that has one."""
    from safetensors.torch import load_file, save_file

    target = pytester.path / "claims" / "broken"
    shutil.copytree(retriever(), target)
    weights = load_file(target / "model.safetensors")
    weights["itm_head.bias"][1] = float("nan")
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    write_retrieval(pytester.path, protocol__checkpoint__id="broken")
    _, (record,) = run(pytester)
    assert record["verdict"]["status"] == "error"
    assert "A matching score of the query shapes-0000.png is nan" in record["evidence"]["reason"]


@pytest.mark.parametrize("query", ["image", "text"])
def test_a_candidate_is_compared_on_the_same_queries(pytester: pytest.Pytester, query: str) -> None:
    """A release candidate is ranked with, compared with the reference query by query, and its tokenizer is held against it."""
    shutil.copytree(retriever(), "candidate")
    write_retrieval(pytester.path, query=query, metrics=("recall_at_10",))
    options = ("--claims-model=retrieval/model=./candidate", "--claims-compare", "--claims-max-regression=5")
    _, (record,) = run(pytester, *options)
    assert record["verdict"]["kind"] == "PRE"
    comparison = record["evidence"]["comparison"]
    assert comparison["decision"] == "non-inferior"
    assert (comparison["changed"], comparison["images"]) == (0, 12 if query == "image" else 60)

    tokenizer = Path("candidate/tokenizer.json")
    content = json.loads(tokenizer.read_text(encoding="utf-8"))
    content["normalizer"]["lowercase"] = False
    tokenizer.write_text(json.dumps(content), encoding="utf-8")
    _, (record,) = run(pytester, *options)
    assert "changed=tokenizer: " in axes(record)["ranking"]
    assert record["verdict"]["protocol_match"] == "drift"


def test_the_dry_run_says_what_is_needed(pytester: pytest.Pytester) -> None:
    """Queries, candidates and pairs, the memory beside the weights, and every key that the paper leaves open."""
    write_retrieval(pytester.path, query="text", protocol__ranking__max_tokens=...)
    result, (record,) = run(pytester, "--claims-dry-run")
    said = result.stdout.str()
    assert "60 texts, each against 12 images; the first 4 are matched: 240 pairs" in said
    assert "for the weights and" in said
    assert "the paper's ranking" in said
    assert "not stated (max_tokens)" in said
    assert "the paper's prompt" not in said
    assert record["verdict"]["status"] == "not_attempted"


def test_missing_images_are_missing_for_texts_too(pytester: pytest.Pytester) -> None:
    """Who samples one text still needs all images: the plan names those that are not there."""
    content = [{**row, "image": f"pictures/{row['filename']}"} for row in rows(4)]
    write_retrieval(pytester.path, count=4, content=content, query="text", run__sample={"size": 1})
    _, (record,) = run(pytester)
    assert record["verdict"]["status"] == "not_attempted"
    assert "4 images of rows.parquet are not below the folders" in record["evidence"]["reason"]


PROBLEMS: dict[str, tuple[dict[str, Any], str]] = {
    "no k": ({"protocol__ranking": {"score": "matching", "rerank": None}}, "retrieval needs rerank; give it in run"),
    "no score": ({"protocol__ranking": {"rerank": 4}}, "re-ranking needs score; give it in run"),
    "no ranking": ({"protocol__ranking": ...}, "the evaluator retrieval needs ranking; give it in protocol"),
    "no query": ({"run__query": ...}, "run lacks the required key 'query'"),
    "a large sample": ({"run__sample": {"size": 13}}, "a sample of 13 cannot be drawn from 12 images"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_contradictions_in_a_claim(pytester: pytest.Pytester, name: str) -> None:
    """What retrieval needs and a claim lacks is an error of the file, with its line."""
    changes, message = PROBLEMS[name]
    write_retrieval(pytester.path, **changes)
    result, _ = run(pytester)
    assert message in result.stdout.str()


def test_more_tokens_than_positions_is_an_error(pytester: pytest.Pytester) -> None:
    """A length that the Q-Former has no positions for is refused with both numbers."""
    write_retrieval(pytester.path, protocol__ranking__max_tokens=65)
    _, (record,) = run(pytester)
    assert "ranking.max_tokens=65: the Q-Former of retrieval/model has 64 positions" in record["evidence"]["reason"]
