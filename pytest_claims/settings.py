"""The options of a session, read from the command line and the ini file and validated once."""

from __future__ import annotations

import importlib.util
import os
import re
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims.errors import SettingsError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

REPORT_FORMATS = (".xml", ".json", ".md", ".html")
"""The suffixes of report files; the suffix selects the format."""
GITHUB = "github"
"""Stands for the summary and the annotations of a GitHub workflow, in place of a report's path."""


NO_CANDIDATE = "there is no candidate to compare; name one with --claims-model=CLAIM_OR_CHECKPOINT=PATH"

_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
"""A number as a person writes it: no sign, no exponent, no `nan` and no `inf`."""


EXECUTORS = ("local", "ray")
"""Where images are captioned: in this process, or on the actors of a Ray cluster."""


class Gate(StrEnum):
    """The lowest status that stays green."""

    PARTIAL = "partial"
    PASS = "pass"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options of one session."""

    reports: tuple[Path, ...] = ()
    github: Path | None = None
    """The summary of the step of a GitHub workflow, where it was asked for; None: neither summary nor annotations."""
    thumbnails: bool = True
    """Whether an HTML report shows images."""
    gate: Gate = Gate.PARTIAL
    require_attempt: bool = False
    dry_run: bool = False
    sample: int | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Protocol keys for this run, nested as in a claim file."""
    candidates: Mapping[str, str] = field(default_factory=dict)
    """Claim or checkpoint id → folder or hub id of the release candidate."""
    compare: bool = False
    """Whether the checkpoint that a candidate replaces is evaluated too."""
    max_regression: Decimal | None = None
    """The largest loss of a candidate that is accepted, in the reported unit; None: the loss decides nothing."""
    device: str = "auto"
    executor: str = "local"
    """One of `EXECUTORS`."""
    actor_cpus: int | None = None
    """The CPUs of each actor; None: as `cluster.connection.shape` chooses."""
    data: tuple[Path, ...] = ()
    streaming: bool = False
    """Whether data sets of Parquet files are read where they lie, and not copied into the cache of `datasets`."""
    papers: tuple[Path, ...] = ()
    """The folders with sources of papers, which citations are checked against."""
    base: str | None = None
    """The git revision with whose merge base claims are compared; None: claims are not compared."""
    accept_moved: bool = False
    evidence: Path | None = None
    """The folder for evidence; None: pytest's cache folder."""
    replay: bool = False
    accept_replay: bool = False
    ledger: Path | None = None
    """The file that keeps the history of published verdicts; None: no history is kept."""
    stale: bool = False
    """Whether only claims run whose current verdict in the ledger is stale, or that have none."""
    audit: int | None = None
    """How many captions from earlier evidence are generated again and compared; None: none."""

    @property
    def shows_outputs(self) -> bool:
        """Whether a report shows what was generated, image by image."""
        return any(path.suffix.lower() == ".html" for path in self.reports)


def read(option: Callable[[str], Any], ini: Callable[[str], Any], folder: Path) -> Settings:
    """Validate the options.

    Args:
        option: returns the value of an option, given its destination (`dest` in argparse).
        ini: returns the value of an ini option, given its name.
        folder: the folder in which the session was started; relative paths start here.

    Raises:
        SettingsError: an option's value is not valid; the message names the option.
    """
    sample = option("claims_sample")
    if sample is not None and sample < 1:
        raise SettingsError(f"--claims-sample={sample}: expected a number of images of at least 1")
    gate = _gate(option("claims_gate"), ini("claims_gate"))
    device = _device(option("claims_device"))
    executor = _executor(option("claims_executor"), ini("claims_executor"), device)
    if option("claims_compare") and not option("claims_model"):
        raise SettingsError(f"--claims-compare: {NO_CANDIDATE}")
    return Settings(
        reports=tuple(_report(folder, value) for value in option("claims_report") if value != GITHUB),
        github=_github() if GITHUB in option("claims_report") else None,
        thumbnails=_images(option("claims_images")),
        gate=gate,
        # The gate `pass` must not be green if a claim was not attempted.
        require_attempt=option("claims_require_attempt") or gate is Gate.PASS,
        dry_run=option("claims_dry_run"),
        sample=sample,
        overrides=_overrides(option("claims_set")),
        candidates=_candidates(option("claims_model"), replay=option("claims_replay")),
        compare=option("claims_compare"),
        max_regression=_margin(
            option("claims_max_regression"), ini("claims_max_regression"), candidates=option("claims_model")
        ),
        device=device,
        executor=executor,
        actor_cpus=_actor_cpus(option("claims_actor_cpus"), ini("claims_actor_cpus"), executor),
        data=tuple(_folder(folder, "--claims-data", value) for value in option("claims_data")),
        streaming=option("claims_streaming"),
        papers=tuple(_folder(folder, "--claims-papers", value) for value in option("claims_papers")),
        base=_base(option("claims_base")),
        accept_moved=option("claims_accept_moved"),
        evidence=_evidence(folder, option("claims_evidence"), replay=option("claims_replay")),
        replay=option("claims_replay"),
        accept_replay=option("claims_accept_replay"),
        audit=_audit(option("claims_audit")),
        ledger=_ledger(folder, option("claims_ledger")),
        stale=_stale(option, gate),
    )


DEFAULTS: Mapping[str, Any] = {
    "claims_report": (),
    "claims_images": "thumbnails",
    "claims_require_attempt": False,
    "claims_set": (),
    "claims_model": (),
    "claims_compare": False,
    "claims_device": "auto",
    "claims_data": (),
    "claims_streaming": False,
    "claims_papers": (),
    "claims_replay": False,
    "claims_accept_replay": False,
    "claims_dry_run": False,
    "claims_accept_moved": False,
    "claims_stale": False,
}
"""What an option of pytest has that is not given; None for an option that is not listed."""


def of(folder: Path, **given: Any) -> Settings:
    """The options of a session outside pytest, validated like those on pytest's command line.

    Args:
        folder: relative paths start here.
        given: the values of options by their destination, such as `claims_set=["decoding.num_beams=1"]`.

    Raises:
        SettingsError: see `read`.
    """
    return read(lambda name: given.get(name, DEFAULTS.get(name)), lambda _name: "", folder)


def _report(folder: Path, value: str) -> Path:
    path = folder / value
    if path.suffix.lower() not in REPORT_FORMATS:
        *others, last = REPORT_FORMATS
        raise SettingsError(
            f"--claims-report={value}: expected a file name that ends in {', '.join(others)} or {last}, or {GITHUB}"
        )
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where the name is too long
        raise SettingsError(f"--claims-report={value}: is a folder, expected a file")
    if path.suffix.lower() == ".html" and not all(map(installed, ("jinja2", "svg"))):
        raise SettingsError(f"--claims-report={value}: an HTML report needs more: pip install 'pytest-claims[report]'")
    return path


def installed(package: str) -> bool:
    """Whether a package can be imported; a folder of that name without code, such as one of drawings, is none."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None


def _images(value: str) -> bool:
    if value not in ("thumbnails", "none"):
        raise SettingsError(
            f"--claims-images={value}: expected thumbnails or none{nearest(value, ['thumbnails', 'none'])}"
        )
    return value == "thumbnails"


def _github() -> Path:
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if os.environ.get("GITHUB_ACTIONS") == "true" and summary:
        return Path(summary)
    missing = (
        "GITHUB_STEP_SUMMARY is not set" if os.environ.get("GITHUB_ACTIONS") == "true" else "GITHUB_ACTIONS is not true"
    )
    raise SettingsError(
        f"--claims-report={GITHUB}: expected a step of a GitHub workflow, but {missing}; "
        "elsewhere --claims-report=verdicts.md writes the same summary"
    )


def _gate(option: str | None, ini: str) -> Gate:
    value, source = (option, "--claims-gate") if option is not None else (ini or Gate.PARTIAL, "claims_gate")
    try:
        return Gate(value)
    except ValueError:
        known = [gate.value for gate in Gate]
        raise SettingsError(f"{source}={value}: expected partial or pass{nearest(value, known)}") from None


def _margin(option: str | None, ini: str, *, candidates: Sequence[str]) -> Decimal | None:
    value, source = (option, "--claims-max-regression") if option is not None else (ini, "claims_max_regression")
    if option is None and not ini:
        return None
    if not _NUMBER.fullmatch(value):
        raise SettingsError(
            f"{source}={value}: expected a loss in the reported unit that is accepted, such as 0.5, and at least 0"
        )
    if option is not None and not candidates:
        raise SettingsError(f"--claims-max-regression={value}: {NO_CANDIDATE}")
    return Decimal(value)


def _device(value: str) -> str:
    name, colon, index = value.partition(":")
    if value in ("auto", "cpu", "cuda") or (name == "cuda" and colon and index.isascii() and index.isdecimal()):
        return value
    raise SettingsError(
        f"--claims-device={value}: expected auto, cpu, cuda or cuda:N{nearest(name, ['auto', 'cpu', 'cuda'])}"
    )


def _executor(option: str | None, ini: str, device: str) -> str:
    value, source = (option, "--claims-executor") if option is not None else (ini or "local", "claims_executor")
    if value not in EXECUTORS:
        raise SettingsError(f"{source}={value}: expected {' or '.join(EXECUTORS)}{nearest(value, EXECUTORS)}")
    if value == "ray" and not installed("ray"):
        raise SettingsError(f"{source}=ray: Ray is not installed: pip install 'pytest-claims[ray]'")
    if value == "ray" and ":" in device:
        raise SettingsError(f"--claims-device={device}: Ray chooses the GPU of each actor; say cuda, or {source}=local")
    return value


def _actor_cpus(option: str | None, ini: str, executor: str) -> int | None:
    value, source = (option, "--claims-actor-cpus") if option is not None else (ini, "claims_actor_cpus")
    if option is None and not ini:
        return None
    if not (value and value.isascii() and value.isdecimal() and 0 < int(value) < 10_000):
        raise SettingsError(f"{source}={value}: expected a number of CPUs of at least 1")
    if option is not None and executor != "ray":
        raise SettingsError(f"{source}={value}: there are no actors without --claims-executor=ray")
    return int(value)


def _folder(folder: Path, option: str, value: str) -> Path:
    path = (folder / value).resolve()
    if not os.path.isdir(path):  # noqa: PTH112 - as above
        raise SettingsError(f"{option}={value}: there is no folder {path}")
    return path


def _evidence(folder: Path, value: str | None, *, replay: bool) -> Path | None:
    if value is None:
        return None
    path = folder / value
    is_folder = os.path.isdir(path)  # noqa: PTH112 - as above
    if not value or (os.path.exists(path) and not is_folder):  # noqa: PTH110
        raise SettingsError(f"--claims-evidence={value}: expected a folder")
    if replay and not is_folder:
        raise SettingsError(f"--claims-evidence={value}: there is no folder {path} to replay from")
    return path


def _audit(value: int | None) -> int | None:
    if value is not None and value < 1:
        raise SettingsError(f"--claims-audit={value}: expected a number of images of at least 1")
    return value


def _ledger(folder: Path, value: str | None) -> Path | None:
    if value is None:
        return None
    path = folder / value
    if not value or path.suffix.lower() != ".jsonl" or os.path.isdir(path):  # noqa: PTH112 - as above
        raise SettingsError(f"--claims-ledger={value}: expected a file name that ends in .jsonl")
    return path


def _stale(option: Callable[[str], Any], gate: Gate) -> bool:
    """Whether `--claims-stale` is given. A verdict is carried forward only where a run would do what it did."""
    if not option("claims_stale"):
        return False
    if option("claims_ledger") is None:
        raise SettingsError(
            "--claims-stale: expected --claims-ledger=PATH too, which holds the verdicts that may be stale"
        )
    if gate is Gate.PASS or option("claims_require_attempt"):
        which = "--claims-require-attempt" if option("claims_require_attempt") else "the gate pass"
        raise SettingsError(f"--claims-stale: {which} asks that each claim is run; leave one of them out")
    for name in ("claims_model", "claims_set", "claims_sample", "claims_replay"):
        if option(name):
            shown = f"--{name.replace('_', '-')}"
            raise SettingsError(
                f"--claims-stale: {shown} makes another run than that of the ledger; leave one of them out"
            )
    return True


def _base(value: str | None) -> str | None:
    if value is not None and (not value or value.startswith("-")):
        raise SettingsError(f"--claims-base={value}: expected a git revision, such as origin/main")
    return value


def _candidates(values: Sequence[str], *, replay: bool) -> dict[str, str]:
    """`["X=PATH"]` → `{"X": "PATH"}`; `candidates.py` checks that the path exists and that a claim runs it."""
    found: dict[str, str] = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not (name and equals and path):
            raise SettingsError(f"--claims-model={value}: expected CLAIM_OR_CHECKPOINT=PATH")
        if replay:
            raise SettingsError(
                f"--claims-model={value}: a candidate has to be run, and --claims-replay runs nothing; leave one of them out"
            )
        if found.get(name, path) != path:
            raise SettingsError(f"--claims-model={value}: {name} has a candidate already, {found[name]}")
        found[name] = path
    return found


def _overrides(values: Sequence[str]) -> dict[str, Any]:
    """`["decoding.num_beams=1", "prompt="]` → `{"decoding": {"num_beams": 1}, "prompt": ""}`."""
    result: dict[str, Any] = {}
    if not values:
        return result
    # Imported here, so that a session without overrides does not import pydantic.
    from pytest_claims.spec.explain import check_override
    from pytest_claims.spec.models import protocol_keys
    from pytest_claims.spec.nodes import scalar

    known = protocol_keys()
    for text in values:
        key, equals, value = text.partition("=")
        if not equals:
            raise SettingsError(f"--claims-set={text}: expected KEY=VALUE, such as decoding.num_beams=1")
        if key not in known:
            below = next((name for name in known if name.startswith(f"{key}.")), None)  # a section is no key
            hint = f", did you mean {below!r}?" if below and key else nearest(key, known)
            raise SettingsError(f"--claims-set={text}: unknown protocol key {key!r}{hint}; known: {', '.join(known)}")
        # An empty value is the empty string: `prompt=` runs without a prompt.
        given = value if known[key] is str or not value else scalar(value)
        if problem := check_override(key, given):
            raise SettingsError(f"--claims-set={text}: {problem}")
        *parents, last = key.split(".")
        section = result
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = given
    return result
