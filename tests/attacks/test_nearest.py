"""Names that make finding the nearest one take minutes."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders import claim, put
from tests.running import run

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Every comparison of two names: which one, and the length of the longer name."""
    made: list[tuple[str, int]] = []

    def counted(name: str) -> Callable[[Any], float]:
        real: Callable[[Any], float] = getattr(difflib.SequenceMatcher, name)

        def compare(self: Any) -> float:
            made.append((name, max(len(self.a), len(self.b))))
            return real(self)

        return compare

    for name in ("quick_ratio", "ratio"):
        monkeypatch.setattr(difflib.SequenceMatcher, name, counted(name))
    return made


@pytest.mark.parametrize("count", [10_000, 100_000])
def test_keep_the_machine_busy_with_names_that_are_alike(
    pytester: pytest.Pytester, compared: list[tuple[str, int]], count: int
) -> None:
    """An unknown id among many long ids that are much alike is answered after a bounded number of short comparisons."""
    ids = [f"{'a' * 95}{number:06}{'b' * 98}" for number in range(count)]
    file = put(pytester.path, claim("one"), captions=dict.fromkeys(ids, "a dog runs"))
    rows = json.loads((file.parent / "out.json").read_text())
    rows[7]["image_id"] = "c" + ids[7][1:]
    (file.parent / "out.json").write_text(json.dumps(rows))
    found = run(pytester, "claims")
    reason = found.records["one"]["evidence"]["reason"]
    assert reason.startswith(
        f"out.json: a prediction for image '{rows[7]['image_id']}', which refs.json does not know, did you"
    )
    assert 0 < sum(name == "ratio" for name, _ in compared) <= 200
    assert len(compared) <= 10_300
    assert max(length for _, length in compared) <= 80


def test_hide_the_nearest_name_among_many(pytester: pytest.Pytester) -> None:
    """The name that is meant is found among thousands that are less alike."""
    ids = [f"{number:012}.jpg" for number in range(0, 3_000_000, 1000)]
    file = put(pytester.path, claim("one"), captions=dict.fromkeys(ids, "a dog runs"))
    text = (file.parent / "out.json").read_text()
    (file.parent / "out.json").write_text(text.replace("000001234000.jpg", "000001234000.jqg"))
    found = run(pytester, "claims")
    assert found.records["one"]["evidence"]["reason"] == (
        "out.json: a prediction for image '000001234000.jqg', which refs.json does not know, did you mean '000001234000.jpg'?"
    )
