"""What plugins add to a session: metrics and evaluators. Each is checked when it is registered, and named in every record.

`registry` checks the metrics. Code that a hook supplies can give any number, so reports name its module, version and digest,
and `--claims-base` compares its files (`bar.py`).
"""

from __future__ import annotations

import importlib.metadata
import inspect
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims import digests, registry, spec
from pytest_claims.errors import SettingsError, nearest
from pytest_claims.evidence import Supplied
from pytest_claims.spec import HookedRun

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pytest_claims.evaluators import Evaluator
    from pytest_claims.metrics import Metric

EXAMPLE = "docs/extending.md has an example"

PACKAGE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Extensions:
    """What plugins added, checked."""

    metrics: Mapping[str, Metric] = field(default_factory=dict)
    evaluators: Mapping[str, Evaluator] = field(default_factory=dict)
    parts: tuple[tuple[str, str, tuple[Any, ...]], ...] = ()
    """Kind and name of each, and the objects whose code it is."""

    @property
    def supplied(self) -> tuple[Supplied, ...]:
        """Where each comes from, for the reports."""
        return tuple(_supplied(*part) for part in self.parts)

    @property
    def files(self) -> tuple[Path, ...]:
        """The source files of all of them."""
        return tuple(dict.fromkeys(path for _, _, objects in self.parts for path in _files(objects)))

    @property
    def metric_infos(self) -> Mapping[str, spec.MetricInfo]:
        """The metrics that claim files may name."""
        return registry.infos(self.metrics)

    @property
    def runs(self) -> Mapping[str, type[spec.Run]]:
        """The evaluators that claim files may name, with the model of their section run."""
        return {**spec.RUNS, **{name: one.run for name, one in self.evaluators.items()}}


def gather(
    metrics: Iterable[Any], evaluators: Iterable[Any], *, sources: tuple[str, str] = ("metrics", "evaluators")
) -> Extensions:
    """What was registered, checked.

    Args:
        metrics: metrics; see `registry.gather`.
        evaluators: evaluators; see `evaluators.Evaluator`.
        sources: who registered each, for messages.

    Raises:
        SettingsError: one of them is no metric or no evaluator, or has a name that is taken.
    """
    found = registry.gather(metrics, sources[0])
    known: dict[str, Evaluator] = {}
    for one in evaluators:
        if problem := _problem(one):
            raise SettingsError(f"{sources[1]}: {_called(one)} {problem}; {EXAMPLE}")
        if one.name in known or one.name in spec.RUNS:
            raise SettingsError(f"{sources[1]}: the evaluator name {one.name!r} is taken")
        known[one.name] = one
    return Extensions(
        metrics=found,
        evaluators=known,
        parts=(
            *(("metric", name, (getattr(one, "value", None), type(one))) for name, one in found.items()),
            *(("evaluator", name, (one.evaluate, one.run, type(one))) for name, one in known.items()),
        ),
    )


# --- what an evaluator is ---


def _called(given: Any) -> str:
    name = getattr(given, "name", None)
    kind = f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"
    return f"the evaluator {name!r} ({kind})" if isinstance(name, str) else kind


def _problem(given: Any) -> str:
    """What keeps an object from being an evaluator, in words that follow its name; empty if nothing does."""
    if isinstance(given, type):
        return f"is a class; expected an object of it: {given.__name__}(…)"
    for key in ("name", "run", "evaluate"):
        if not hasattr(given, key):
            return f"has no {key!r}{nearest(key, [name for name in dir(given) if not name.startswith('_')])}"
    if not isinstance(given.name, str) or not registry.NAME.fullmatch(given.name):
        return "needs another name: expected at most 64 letters, digits, '.', '_' and '-'"
    if not callable(given.evaluate):
        return "has an 'evaluate' that cannot be called; expected a function from a plan to its evidence"
    return _of_run(given.run) or _of_parameters(given.evaluate)


def _of_run(given: Any) -> str:
    """What is wrong with the model of a section run."""
    from pytest_claims.evaluation.hooked import AXES
    from pytest_claims.metrics.needs import NEEDS
    from pytest_claims.spec import NOUNS, Protocol

    if not (isinstance(given, type) and issubclass(given, HookedRun)):
        return f"has run = {_short(given)}; expected a subclass of pytest_claims.evaluators.Run"
    run: Any = given  # its attributes may be of any type
    if taken := sorted(set(run.model_fields) & set(Protocol.model_fields)):
        return f"has a run model with the key {taken[0]!r}, which is a key of the protocol; expected another name"
    if run.model_config.get("extra") != "forbid" or not run.model_config.get("strict"):
        return "has a run model that takes unknown keys or converts values; expected the configuration of its base"
    for key, named, known in (("gives", run.gives, NEEDS), ("observes", run.observes, AXES)):
        if not isinstance(named, tuple) or not named:
            return f"has {key} = {named!r}; expected a tuple of {', '.join(known)}"
        for one in named:
            if one not in known:
                hint = nearest(one, known) if isinstance(one, str) else ""
                return f"{key} {one!r}{hint}; known: {', '.join(known)}"
    if run.noun not in NOUNS:
        return f"has noun = {run.noun!r}; expected one of {', '.join(NOUNS)}"
    if not (isinstance(run.protocol, type) and issubclass(run.protocol, Protocol)):
        return f"has protocol = {_short(run.protocol)}; expected a subclass of pytest_claims.spec.Protocol"
    if run.runs_checkpoint:
        return "has runs_checkpoint; a release candidate cannot take the place of what a plugin's evaluator runs"
    return ""


def _of_parameters(evaluate: Any) -> str:
    try:
        inspect.signature(evaluate).bind(None)
    except TypeError:
        return f"has an 'evaluate' with the parameters {inspect.signature(evaluate)}; expected one: the plan"
    except ValueError:  # a function in C has no signature
        pass
    return ""


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


# --- where it comes from ---


def _supplied(kind: str, name: str, objects: tuple[Any, ...]) -> Supplied:
    """Where a metric or an evaluator comes from: the first of its parts that is not of this package."""
    own = [one for one in objects if one is not None and not _ours(one)]
    module = _module(own[0] if own else objects[-1])
    files = list(dict.fromkeys(_files(objects)))
    return Supplied(
        kind=kind,
        name=name,
        module=module,
        version=_version(module),
        digest=digests.of_files(files)[: digests.SHORT] if files else None,
    )


def _files(objects: tuple[Any, ...]) -> Iterator[Path]:
    """The files of the code of some objects, without those of this package."""
    for one in objects:
        if one is None or _ours(one):
            continue
        file = getattr(sys.modules.get(_module(one)), "__file__", None) or _code_file(one)
        if file is not None and Path(file).is_file():
            yield Path(file)


def _code_file(one: Any) -> str | None:
    code = getattr(_unwrapped(one), "__code__", None)
    found: str | None = getattr(code, "co_filename", None)
    return found


def _ours(one: Any) -> bool:
    return _module(one).partition(".")[0] == __package__


def _module(one: Any) -> str:
    one = _unwrapped(one)
    module = getattr(one, "__module__", None) or type(one).__module__
    return str(module)


def _unwrapped(one: Any) -> Any:
    while hasattr(one, "func"):  # functools.partial
        one = one.func
    return inspect.unwrap(one) if callable(one) else one


@cache
def _distributions() -> Mapping[str, list[str]]:
    """The distributions that top-level modules belong to; all of the installed ones are read, so once a process."""
    return importlib.metadata.packages_distributions()


def _version(module: str) -> str | None:
    """The version of the distribution that a module belongs to, or what the module says itself; None if neither is known."""
    top = module.partition(".")[0]
    said = getattr(sys.modules.get(top), "__version__", None)
    for name in _distributions().get(top, ()):
        return importlib.metadata.version(name)
    return said if isinstance(said, str) else None
