"""SPICE (Anderson et al. 2016) through coco-caption's own program, which needs Java and two files of Stanford CoreNLP."""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_claims.errors import MetricError, NotAttempted
from pytest_claims.metrics import java
from pytest_claims.metrics.base import mean_score, signature

if TYPE_CHECKING:
    from pytest_claims.metrics.base import Score
    from pytest_claims.metrics.corpus import Corpus

NAME = "SPICE"
FOLDER = "spice"
JAR = "spice-1.0.jar"
KNOWN = {JAR: "6c6a73ae6dd108667047c1818707590413934dcb9f1a62cef6469059b41b3d59"}
"""The program, with its SHA-256, as pycocoevalcap 1.2 brings it."""

PARSER = ("lib/stanford-corenlp-3.6.0.jar", "lib/stanford-corenlp-3.6.0-models.jar")
"""What pycocoevalcap does not bring: it downloads them from nlp.stanford.edu when SPICE is first used."""

START, EACH = 300.0, 0.2
"""Seconds that the program may take to start, and for each text. It parses some tens of texts a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spice:
    """The mean over images of the F of scene-graph tuples; natural range 0 to 1."""

    name: str = "spice"
    family: str = "coco-caption"
    low: float = 0.0
    high: float = 1.0
    needs: tuple[str, ...] = ("text",)

    def missing(self) -> NotAttempted | None:
        """What keeps SPICE from running here."""
        gap = java.missing(NAME, FOLDER, KNOWN)
        place = java.folder(FOLDER)
        if gap is not None or place is None:
            return gap
        absent = [name for name in PARSER if not (place / name).is_file()]
        if not absent:
            return None
        return NotAttempted(
            f"SPICE needs {' and '.join(absent)} in {place}, from Stanford CoreNLP 3.6.0, which pycocoevalcap does not bring.",
            "Run: python -c 'from pycocoevalcap.spice.get_stanford_models import get_stanford_models as get; get()', which "
            "downloads 385 MB from nlp.stanford.edu.",
        )

    def signature(self, corpus: Corpus) -> str:
        """E.g. `spice|coco-caption|tok:ptb|case:lc|refs:5|jar:1.0-6c6a73ae6dd1|corenlp:3.6.0-…|v0.2`."""
        place = _place(self)
        parser = "+".join(java.digest_of(place / name)[: java.SHORT] for name in PARSER)
        return signature(self.name, corpus, f"jar:1.0-{KNOWN[JAR][: java.SHORT]}", f"corenlp:3.6.0-{parser}")

    def score(self, corpus: Corpus, *, population: int | None = None, resamples: int = 1000, seed: int = 0) -> Score:
        """See `Metric.score`. `counts` holds the sum of the per-image values and the number of images.

        Raises:
            NotAttempted: Java or a file is missing.
            MetricError: the program failed or gave no number for an image.
        """
        _place(self)
        values = corpus.derived(per_image_values)
        return mean_score(self, corpus, values, population=population, resamples=resamples, seed=seed)


def _place(metric: Spice) -> Path:
    gap, place = metric.missing(), java.folder(FOLDER)
    if gap is not None or place is None:
        raise gap or NotAttempted(f"{NAME} cannot run here.", java.INSTALL)
    return place


def per_image_values(corpus: Corpus) -> tuple[float, ...]:
    """SPICE of each image, in the order of the corpus."""
    place = java.folder(FOLDER)
    assert place is not None  # noqa: S101 - for the type checker: `score` asked
    rows = [
        {"image_id": row, "test": " ".join(own), "refs": [" ".join(text) for text in references]}
        for row, (own, references) in enumerate(zip(corpus.hypothesis_units, corpus.reference_units, strict=True))
    ]
    texts = sum(1 + len(own) for own in corpus.references)
    with tempfile.TemporaryDirectory(prefix="pytest-claims-spice-") as folder:
        given, answer = Path(folder) / "in.json", Path(folder) / "out.json"
        given.write_text(json.dumps(rows), encoding="utf-8")
        # pycocoevalcap keeps parsed texts in a folder of the package (-cache), which other users may write to.
        arguments = java.command(JAR, str(given), "-out", str(answer), "-silent", memory="8G")
        java.run(arguments, cwd=place, limit=START + EACH * texts, name=NAME)
        try:
            results = json.loads(answer.read_bytes())
        except (OSError, ValueError):
            raise MetricError(f"{NAME} gave no readable result.") from None
    return _values(results, corpus)


def _values(results: Any, corpus: Corpus) -> tuple[float, ...]:
    found: dict[object, float] = {}
    try:
        for result in results:
            value = result["scores"]["All"]["f"]
            # The program writes null where it found nothing to compare, and coco-caption would then give NaN for all images.
            found[result["image_id"]] = math.nan if value is None else float(value)
    except (TypeError, KeyError, ValueError):
        raise MetricError(f"{NAME} gave a result of another form than version 1.0.") from None
    values = []
    for row, name in enumerate(corpus.ids):
        value = found.get(row, math.nan)
        if not 0 <= value <= 1:
            raise MetricError(f"Image {name!r}: {NAME} gave {value}, expected a number from 0 to 1.")
        values.append(value)
    return tuple(values)
