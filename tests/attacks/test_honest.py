"""A run that does exactly what the protocol states is exact, for every protocol. No defence may break that."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.attacks.shop import edit, model
from tests.builders import captioning, claim, yaml_of
from tests.shapes import rows, warm, write_rows

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["warm"]  # a fixture of this module

CHANNELS = st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3)

PROMPTS = st.one_of(
    st.sampled_from(
        ["a photo of", "a photo of ", "  A  Photo\tof", "", "\n", "naïve Ünïcode 犬", "</s>a photo of", "a photo of: "]
    ),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12),
)

IMAGES = st.fixed_dictionaries(
    {"size": st.just(64), "resize": st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"])},
    optional={
        "mean": CHANNELS,
        "std": CHANNELS,
        "normalize": st.booleans(),
        "rescale_factor": st.floats(0.001, 1.0),
        "convert_rgb": st.booleans(),
    },
)

BEAMS = st.fixed_dictionaries(
    {"strategy": st.just("beam"), "num_beams": st.integers(2, 6), "max_new_tokens": st.integers(3, 20)},
    optional={
        "min_new_tokens": st.integers(0, 3),
        "length_penalty": st.floats(-2, 2),
        "repetition_penalty": st.floats(0.5, 2),
        "early_stopping": st.sampled_from([True, False, "never"]),
    },
)
GREEDY = st.fixed_dictionaries(
    {"strategy": st.just("greedy"), "max_new_tokens": st.integers(3, 20)},
    optional={"repetition_penalty": st.floats(0.5, 2)},
)

KEYS = {"mean": "image_mean", "std": "image_std", "normalize": "do_normalize", "convert_rgb": "do_convert_rgb"}
FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}


def stated(folder: Path, prompt: str, image: dict[str, Any], decoding: dict[str, Any]) -> Any:
    """A claim on two images that states all of this."""
    from pytest_claims.spec import loads

    one = claim(metric="bleu4", value="50.5", tolerance={"pass": 1, "partial": 5})
    document = captioning(
        one, protocol__dataset__split=..., protocol__image=image, protocol__prompt=prompt, protocol__decoding=decoding
    )
    return loads(yaml_of(document).encode(), path=folder / "c.yaml", display="c.yaml")[0]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(prompt=PROMPTS, image=IMAGES, decoding=st.one_of(BEAMS, GREEDY))
def test_a_run_that_does_what_the_protocol_states_is_exact(
    tmp_path_factory: Any, prompt: str, image: dict[str, Any], decoding: dict[str, Any]
) -> None:
    """For any stated prompt, image processing and decoding, on a checkpoint that does so, every axis reads exact."""
    from pytest_claims import protocol
    from pytest_claims.bench import Bench
    from pytest_claims.evaluation.setup import prepare
    from pytest_claims.settings import Settings

    folder = tmp_path_factory.mktemp("honest")
    write_rows(folder / "rows.parquet", rows(2))
    changes = {
        f"image_processor__{KEYS.get(key, key)}": value for key, value in image.items() if key not in ("size", "resize")
    }
    edit(
        model(folder, "model") / "processor_config.json", image_processor__resample=FILTERS[image["resize"]], **changes
    )
    judged = stated(folder, prompt, image, decoding)
    plan = protocol.plan(judged, Settings())
    assert isinstance(plan, protocol.CaptioningPlan)
    assert protocol.match(plan.expected) is protocol.Match.EXACT
    observed = prepare(plan, Bench()).recipe.observed
    readings = protocol.read_axes(judged.protocol, observed, min_sample=2)
    assert protocol.deviations(readings) == (), json.dumps([prompt, image, decoding])
