"""Which library multiplies, by what the CPU can do: the results are those of `nn.Linear`, whichever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from pytest_claims.beam import BeamSearch, BeamSettings, linear
from tests.tiny_models import EOS, PAD, prompt_ids, random_blip2, random_images

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = (1, 127, 128, 500)
ACTIVATIONS: dict[str | None, Any] = {None: None, "gelu": nn.GELU()}

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch has no oneDNN here")


def can(monkeypatch: pytest.MonkeyPatch, capability: str) -> None:
    """The CPU can do this, as far as PyTorch says."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)


@pytest.mark.parametrize(
    ("capability", "rows", "plain"),
    [
        ("AVX512", 1, []),
        ("AVX2", 1, [128, 500]),
        ("AVX2", 128, list(ROWS)),
        ("DEFAULT", 1, list(ROWS)),
        ("SVE256", 1, list(ROWS)),
    ],
)
@pytest.mark.parametrize("activation", [None, "gelu"])
def test_the_cpu_and_the_rows_choose(
    monkeypatch: pytest.MonkeyPatch, capability: str, rows: int, plain: list[int], activation: str | None
) -> None:
    """`nn.Linear` runs for exactly these numbers of rows, in whichever dimensions they come, and all results are its own."""
    can(monkeypatch, capability)
    torch.manual_seed(0)
    layer = nn.Linear(24, 40)
    after: Callable[[torch.Tensor], torch.Tensor] | None = ACTIVATIONS[activation]
    called: list[int] = []
    with torch.inference_mode():
        prepared = linear.prepare(layer, pack=True, rows=rows, activation_fn=after)
        for count in ROWS:
            x = torch.randn(1, count, 24)
            expected = layer(x) if after is None else after(layer(x))
            with_hook = layer.register_forward_hook(lambda *_, n=count: called.append(n))
            torch.testing.assert_close(prepared(x), expected, rtol=1e-5, atol=1e-5)
            with_hook.remove()
    assert called == plain


@pytest.mark.parametrize("capability", ["AVX2", "DEFAULT"])
def test_same_tokens_on_other_cpus(monkeypatch: pytest.MonkeyPatch, capability: str) -> None:
    """Captions do not depend on the choice, also where steps of one search fall on both sides of the limit."""
    model = random_blip2(seed=2)
    settings = BeamSettings(
        num_beams=5, max_new_tokens=14, min_new_tokens=1, length_penalty=1.0, repetition_penalty=1.0,
        early_stopping=False, eos_token_ids=(EOS,), pad_token_id=PAD,
    )  # fmt: skip
    images = random_images(11, seed=2)

    def captions() -> dict[str, tuple[int, ...]]:
        return dict(BeamSearch(model, settings, input_ids=prompt_ids(model), slots=6).run(images))

    expected = captions()
    can(monkeypatch, capability)
    monkeypatch.setattr(linear, "_BELOW", {**linear._BELOW, "AVX2": 20})
    assert captions() == expected
