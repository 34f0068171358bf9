"""Counts the parameters of the model that a `transformers` configuration describes, without weights.

The model is built on PyTorch's meta device, where a parameter has a shape but no storage. So twelve billion parameters are
counted in a fraction of a second, and nothing is downloaded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pytest_claims import nested
from pytest_claims.errors import EvaluationError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel

MAX_BYTES = 1_000_000
"""The most bytes of a configuration file. A configuration has a few kilobytes, so a larger file is something else."""

_IMPLEMENTATIONS = ("attn_implementation", "experts_implementation")
"""Keys that name a kernel. They do not change the count, and a name such as `kernels-community/…` makes transformers download
and run code. So they are removed."""

_PRETRAINED = "use_pretrained_backbone"
"""A key that makes transformers download the weights of a backbone. It does not change the count, and is set to false."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterCounts:
    """The parameter counts of one configuration. A weight that several modules share is counted once."""

    total: int
    trainable: int
    """The parameters of the modules and parameters that the caller names as trainable."""
    groups: Mapping[str, int]
    """The parameters of each child module, and of each parameter at the top level. They add up to `total`."""
    architecture: str
    """The class of the model, such as `Blip2ForConditionalGeneration`."""
    library: str
    """The library and its version, such as `transformers 5.23.0`."""
    untied: tuple[str, ...] = ()
    """The output matrices that the library ties to the input embeddings, but that are counted separately, as the configuration
    says."""


def count_parameters(config_path: Path, trainable: Sequence[str]) -> ParameterCounts:
    """Count the parameters of the model that a configuration file describes.

    `architectures[0]` names the class, which must be one of transformers itself: code that a configuration refers to is never
    run.

    If the file says `tie_word_embeddings: false`, the output matrix and the input embeddings are both counted. transformers 5
    ties the two in a newly built T5 model, whatever its configuration says. It separates them when it loads a checkpoint that
    has both, such as Flan-T5.

    Args:
        config_path: a `config.json` as `transformers` writes it.
        trainable: the dotted names of modules or parameters, such as `qformer` or `language_model.lm_head`. A parameter that
            two of them share is counted once. Without names, `trainable` is 0.

    Raises:
        EvaluationError: the file is missing, too large or not the configuration of a known model, or the model has no module
            or parameter of a given name.
    """
    settings = _read(config_path)
    architecture, model_class, config = _resolve(config_path, settings)
    model = _build(config_path, architecture, model_class, config)
    untied = _untie(model, config, settings)

    groups: dict[str, int] = {}
    seen: set[int] = set()
    for name, parameters in _groups(model):
        groups[name] = _numel(parameters, seen)
    seen = set()
    chosen = sum(_numel(_named(config_path, architecture, model, name), seen) for name in trainable)
    return ParameterCounts(
        total=sum(groups.values()),
        trainable=chosen,
        groups=MappingProxyType(groups),
        architecture=architecture,
        library=_library(),
        untied=untied,
    )


def _library() -> str:
    import transformers

    return f"transformers {transformers.__version__}"


def _read(path: Path) -> dict[str, Any]:
    """The settings in the file, without the keys that could make transformers run foreign code while it builds the model."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise EvaluationError(
            f"{path}: the model configuration cannot be read: {reason}. "
            "Expected a config.json beside the claim file or below a --claims-data folder."
        ) from None
    if len(content) > MAX_BYTES:
        raise EvaluationError(
            f"{path}: the file has more than {MAX_BYTES:,} bytes, expected the few kilobytes of a model configuration."
        )
    try:
        settings = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise EvaluationError(
            f"{path}: expected a model configuration in JSON, got something else ({error})."
        ) from None
    if not isinstance(settings, dict):
        raise EvaluationError(
            f"{path}: expected a JSON object with the key 'architectures', got a {type(settings).__name__}."
        )
    for place, section in nested.sections(settings):
        if "auto_map" in section:
            raise EvaluationError(
                f"{path}: {place}auto_map refers to code beside the checkpoint, "
                "and no such code is run here. Expected the configuration of a model that "
                "transformers itself implements."
            )
        for key in _IMPLEMENTATIONS:
            for variant in (key, f"_{key}", f"_{key}_internal"):
                section.pop(variant, None)
        if _PRETRAINED in section:
            section[_PRETRAINED] = False
    return settings


def _resolve(path: Path, settings: dict[str, Any]) -> tuple[str, type[PreTrainedModel], PreTrainedConfig]:
    """The architecture's name, its class, and the configuration for it."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    model_type = settings.get("model_type")
    if not isinstance(model_type, str):
        raise EvaluationError(f"{path}: the key 'model_type' is missing, expected a name such as 'blip-2'.")
    if model_type not in CONFIG_MAPPING:
        raise EvaluationError(
            f"{path}: {_library()} knows no model_type {model_type!r}{nearest(model_type, CONFIG_MAPPING) or '.'}"
        )
    architectures = settings.get("architectures")
    if not isinstance(architectures, list) or not architectures or not isinstance(architectures[0], str):
        raise EvaluationError(
            f"{path}: the key 'architectures' is missing, expected a list such as "
            "['Blip2ForConditionalGeneration'], whose first entry is the model to count."
        )
    architecture = architectures[0]
    try:
        model_class = getattr(transformers, architecture, None)
    except ImportError as error:  # transformers imports a model's module when it is first used
        raise EvaluationError(f"{path}: {architecture} needs what is not installed: {_said(error)}") from error
    if not (isinstance(model_class, type) and issubclass(model_class, transformers.PreTrainedModel)):
        # Classes of one model_type share a prefix. Look for the nearest name among these first.
        base = MODEL_MAPPING_NAMES.get(model_type, "")
        prefix = (base if isinstance(base, str) else base[0]).removesuffix("Model")
        models = [name for name in dir(transformers) if name.endswith("Model") or "For" in name]
        siblings = [name for name in models if prefix and name.startswith(prefix)]
        hint = nearest(architecture, siblings) or nearest(architecture, models)
        raise EvaluationError(f"{path}: {_library()} has no model class {architecture!r}{hint or '.'}")
    config_class = CONFIG_MAPPING[model_type]
    expected = model_class.config_class
    if expected is None or not issubclass(config_class, expected):
        raise EvaluationError(
            f"{path}: {architecture} takes no configuration of the model_type {model_type!r}, "
            f"expected {getattr(expected, 'model_type', None)!r}."
        )
    try:
        config = config_class.from_dict(settings)
    except Exception as error:
        raise EvaluationError(f"{path}: {_library()} does not accept this configuration: {_said(error)}") from error
    return architecture, model_class, config


def _build(
    path: Path, architecture: str, model_class: type[PreTrainedModel], config: PreTrainedConfig
) -> PreTrainedModel:
    """The model, built on the meta device."""
    import torch

    try:
        with torch.device("meta"):
            return model_class(config)
    except Exception as error:
        raise EvaluationError(
            f"{path}: {_library()} cannot build {architecture} from this configuration: {_said(error)}"
        ) from error


def _said(error: Exception) -> str:
    """The class of an exception and its first two lines, since the second line of some messages has the actual reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])}" if lines else type(error).__name__


def _untie(model: PreTrainedModel, config: PreTrainedConfig, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Give each part of the model whose settings say `tie_word_embeddings: false` a separate output matrix.

    Returns:
        The names of the output matrices that the library had tied.
    """
    import torch
    from transformers import PreTrainedModel

    apart = {id(part) for part, section in _parts(config, settings) if section.get("tie_word_embeddings") is False}
    if not apart:
        return ()
    # BLIP-2's output matrix is that of its language model. The settings of the innermost model decide about a module.
    owner: dict[int, PreTrainedModel] = {}
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            owner.update((id(inner), module) for inner in module.modules())
    names: list[str] = []
    for name, output in model.named_modules():
        part = owner[id(output)]
        if id(part.config) not in apart:
            continue
        if part.get_output_embeddings() is not output:
            continue
        weight: nn.Parameter | None = getattr(output, "weight", None)
        shared = getattr(part.get_input_embeddings(), "weight", None)
        if weight is shared and weight is not None:
            output.weight = torch.nn.Parameter(torch.empty_like(weight))
            names.append(f"{name}.weight")
    return tuple(names)


def _parts(
    config: PreTrainedConfig, settings: Mapping[str, Any]
) -> Iterator[tuple[PreTrainedConfig, Mapping[str, Any]]]:
    """The configuration and its nested configurations, each with its settings in the file."""
    from transformers import PreTrainedConfig

    yield config, settings
    for key, section in settings.items():
        part = getattr(config, key, None)
        if isinstance(section, dict) and isinstance(part, PreTrainedConfig):
            yield from _parts(part, section)


def _groups(model: nn.Module) -> Iterator[tuple[str, Iterable[nn.Parameter]]]:
    for name, child in model.named_children():
        yield name, child.parameters()
    for name, parameter in model.named_parameters(recurse=False):
        yield name, (parameter,)


def _named(path: Path, architecture: str, model: nn.Module, name: str) -> Iterable[nn.Parameter]:
    """The parameters of the module with this name, or the one parameter with this name."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    if name in parameters:
        return (parameters[name],)
    modules = dict(model.named_modules(remove_duplicate=False))
    if name and name in modules:
        return model.get_submodule(name).parameters()
    top = [group for group, _ in _groups(model)]
    hint = nearest(name, [*modules, *parameters])
    raise EvaluationError(
        f"{path}: {architecture} has no module or parameter {name!r} "
        f"to count as trainable{hint or '.'} At the top level it has {', '.join(top)}."
    )


def _numel(parameters: Iterable[nn.Parameter], seen: set[int]) -> int:
    """The number of elements in the parameters that are not in `seen`. Adds their ids to `seen`."""
    count = 0
    for parameter in parameters:
        if id(parameter) not in seen:
            seen.add(id(parameter))
            count += parameter.numel()
    return count
