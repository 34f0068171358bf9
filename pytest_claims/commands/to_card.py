"""Write the verdicts of a JSON report into a model card's `model-index`: measured numbers of runs that did what the paper did.

Only a verdict with the status `pass` and an exact protocol, of a model that was run, is written. For any other the reason is
told, and what an earlier report wrote for its claim is taken out. Each written number names its claim, so that a later report
replaces it. With --task-id, the hub's new layout is written too: one file for each claim below `.eval_results/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims.commands import card, given, tell, warn
from pytest_claims.errors import ClaimsError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from pytest_claims.commands.card import Card
    from pytest_claims.reports.format import Record
    from pytest_claims.spec import Claim

HELP = "write passed verdicts of a JSON report into a model card"

TASKS: Mapping[str, str] = {"caption": "image-to-text", "answer": "visual-question-answering"}
"""The hub's task by what an output is called. It has none for rankings, and labels may be those of anything: `other`."""

SOURCE = "pytest-claims"
"""The name of the source of what this command writes."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("report", metavar="verdicts.json", help="what --claims-report=verdicts.json wrote")
    parser.add_argument("card", metavar="README.md", help="the model card")
    parser.add_argument(
        "--task-id",
        metavar="ID",
        help="write .eval_results/ too: the task of the benchmark, as its data set defines it",
    )
    parser.add_argument(
        "--claims-ledger", type=Path, metavar="PATH", help="write no verdict that was retracted or superseded since"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A verdict that may be written, with its claim."""

    record: Record
    claim: Claim

    @property
    def source_url(self) -> str:
        """Where the paper is."""
        paper = self.claim.paper
        return f"https://arxiv.org/abs/{paper.arxiv_id}" if paper.arxiv_id else str(paper.source_url)


def run(arguments: argparse.Namespace) -> int:
    """Write what may be written; 1 if that is nothing."""
    records = given.today(given.report(Path(arguments.report)).records, arguments.claims_ledger)
    target = card.load(arguments.card)
    results, refused = [], []
    for record in records:
        found = _result(record)
        if isinstance(found, str):
            refused.append(record.name)
            warn(f"{record.name}: not written: {found}")
        else:
            results.append(found)
    gone = _write_index(Path(arguments.card), target, results, refused)
    for name in gone:
        tell(f"{name}: what an earlier report wrote was taken out of {arguments.card}")
    if arguments.task_id is not None:
        _write_entries(Path(arguments.card).parent / ".eval_results", results, refused, arguments.task_id)
    for result in results:
        evidence = result.record.evidence
        tell(f"{result.claim.id}: {evidence.measured} {evidence.unit} written to {arguments.card}")
    return 0 if results else 1


def _result(record: Record) -> Result | str:
    """A verdict that may be written, or why it may not."""
    from pytest_claims import api
    from pytest_claims.commands import with_metrics
    from pytest_claims.spec import RUNS
    from pytest_claims.spec.hooked import UnknownRun

    verdict, evidence = record.verdict, record.evidence
    if verdict.status != "pass":
        return f"its status is {verdict.status}. {evidence.reason}"
    if verdict.protocol_match != "exact":
        return f"its protocol is {verdict.protocol_match}, and only an exact one is written."
    if evidence.basis != "reproduced":
        return f"the model was not run (basis {evidence.basis}), so how it scores is not known."
    if evidence.test.result != "passed":
        return f"the test {evidence.test.result}: {evidence.test.message}"
    if evidence.history is not None and evidence.history.retracted is not None:
        return f"it was retracted: {evidence.history.retracted}"
    if evidence.history is not None and not verdict.is_current:
        return f"it is not the current verdict on its claim: {evidence.history.said}."
    if evidence.measured is None or evidence.claim.id is None or verdict.claim_citation is None:
        return "it holds no number."
    metrics = with_metrics([verdict.claim_citation.reported_metric])
    # The code of a plugin is not run: of its keys only it knows the meaning, and a claim's digest depends on that.
    hooked = {one.name: UnknownRun for one in evidence.supplied if one.used and one.kind == "evaluator"}
    try:
        (claim,) = api.read(f"{evidence.claim.file}::{evidence.claim.id}", metrics, runs={**hooked, **RUNS})
    except ClaimsError as error:
        return f"its claim, which names the data set, cannot be read. {error}"
    place = evidence.claim
    same = claim.file_digest == place.file_digest if hooked else claim.digest == place.digest
    if not same:
        return f"{claim.where} has changed since the verdict: run it again."
    if claim.protocol.dataset is None:
        return "its claim names no data set."
    return Result(record=record, claim=claim)


def _metric(result: Result) -> dict[str, Any]:
    record = result.record
    interval = record.evidence.interval
    return {
        "claim": result.claim.id,
        "protocol": "exact",
        "images": record.evidence.n,
        "unit": record.evidence.unit,
        "signature": record.evidence.signature,
        **({"interval": [round(interval.low, 4), round(interval.high, 4)]} if interval else {}),
        "verdict": record.verdict.id,
        # A plugin's code can give any number: who reads the card should know whose it is.
        **({"supplied": supplied} if (supplied := _supplied(record)) else {}),
    }


def _supplied(record: Record) -> list[str]:
    """The metric and the evaluator that a hook supplied, with the code that they are."""
    from pytest_claims.reports import facts

    return [f"{kind} {told}" for kind, told in facts.supplied(record.evidence)]


def _block(result: Result) -> dict[str, Any]:
    """The result in the form of the hub's `model-index`. `verified` and `verifyToken` are the hub's, and never set."""
    from huggingface_hub import EvalResult
    from huggingface_hub.repocard_data import eval_results_to_model_index

    claim, dataset = result.claim, result.claim.protocol.dataset
    assert dataset is not None  # noqa: S101 - `_result` refuses a claim without one
    found = EvalResult(
        task_type=TASKS.get(result.record.noun, "other"),
        dataset_type=dataset.id,
        dataset_name=dataset.id.rpartition("/")[2],
        dataset_split=dataset.split,
        dataset_revision=dataset.revision,
        metric_type=claim.reported.metric,
        metric_name=claim.citation.column,
        metric_value=round(result.record.evidence.measured or 0.0, 4),
        metric_args=_metric(result),
        source_name=SOURCE,
        source_url=result.source_url,
    )
    (block,) = eval_results_to_model_index("", [found])[0]["results"]
    return dict(block)


def _write_index(path: Path, target: Card, results: Sequence[Result], refused: Sequence[str]) -> list[str]:
    """Write the results into a card; the refused claims of which an earlier result was taken out."""
    from pytest_claims import files

    models = [_plain(model) for model in target.models] or [{"name": _name(path, results), "results": []}]
    ours, gone = {result.claim.id for result in results}, []
    for model in models:
        kept = []
        for block in model.get("results") or []:
            about = _claims_of(block)
            if about & (ours | set(refused)):
                gone += sorted(about & set(refused))
            else:
                kept.append(block)
        model["results"] = kept
    if not results and not gone:
        return []
    models[0]["results"] += [_block(result) for result in results]
    left = models if any(model["results"] for model in models) else []
    try:
        files.write_whole(path, target.with_models(left).encode())
    except OSError as error:
        raise ClaimsError(f"{target.name} cannot be written: {error.strerror}.") from None
    return gone


def _plain(value: Any) -> Any:
    """A value of a card as plain lists and numbers."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    return float(value) if isinstance(value, float) else value


def _claims_of(block: dict[str, Any]) -> set[str]:
    """The claims of a result that this command wrote; empty for a result of anybody else."""
    source = block.get("source")
    if not isinstance(source, dict) or source.get("name") != SOURCE:
        return set()
    metrics = block.get("metrics")
    args = [metric.get("args") for metric in metrics if isinstance(metric, dict)] if isinstance(metrics, list) else []
    return {str(found["claim"]) for found in args if isinstance(found, dict) and "claim" in found}


def _name(path: Path, results: Sequence[Result]) -> str:
    """The model's name, for a card without one: of a candidate its folder's, else the checkpoint's."""
    stated = results[0].claim.protocol.checkpoint if results else None
    if stated is None or results[0].record.verdict.kind == "PRE":
        return path.absolute().parent.name or "model"
    return stated.id.rpartition("/")[2]


def _write_entries(folder: Path, results: Sequence[Result], refused: Sequence[str], task: str) -> None:
    """Write one file for each claim in the hub's layout `.eval_results/*.yaml`, and take out those of refused claims."""
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
    from huggingface_hub.utils import yaml_dump  # type: ignore[attr-defined] # public, and not in `__all__`

    from pytest_claims import files

    for name in refused:
        place = folder / f"{SOURCE}-{name}.yaml"
        if "/" not in name and place.is_file():
            place.unlink()
            tell(f"{name}: {place} was removed")
    for result in results:
        record, dataset = result.record, result.claim.protocol.dataset
        if dataset is None or files.is_local(dataset.id):
            warn(f"{result.claim.id}: not written to {folder}: its data set is no data set of the hub.")
            continue
        entry = EvalResultEntry(
            dataset_id=dataset.id,
            task_id=task,
            value=round(record.evidence.measured or 0.0, 4),
            dataset_revision=dataset.revision,
            date=record.verdict.computed_at,
            source_url=result.source_url,
            source_name=SOURCE,
            notes=f"{record.evidence.signature}; {record.evidence.n} images; claim {result.claim.id}",
        )
        content = yaml_dump(eval_result_entries_to_yaml([entry]), sort_keys=False)
        try:
            folder.mkdir(exist_ok=True)
            files.write_whole(folder / f"{SOURCE}-{result.claim.id}.yaml", content.encode())
        except OSError as error:
            raise ClaimsError(f"{folder} cannot be written to: {error.strerror}.") from None
        tell(f"{result.claim.id}: written to {folder / f'{SOURCE}-{result.claim.id}.yaml'}")
