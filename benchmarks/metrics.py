"""How long tokens, BLEU and its interval take, beside pycocoevalcap (with its Java tokenizer), sacrebleu and nltk.

    python benchmarks/metrics.py [--images 5000] [--references 5] [--resamples 1000] [--repeat 5]

Same inputs, same process, medians of `--repeat` runs taken in turns. Needs `pip install pycocoevalcap sacrebleu` and `java`
for the other tools; rows that cannot be measured are named with the reason. Captions are made here: words drawn by Zipf's
law, sentence frames, now and then a contraction, number, abbreviation or hyphen. Also checks that the numbers are equal.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import random
import shutil
import statistics
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_claims.metrics import BUILTIN, Corpus
from pytest_claims.metrics.tokens import _chunk_cached, tokenize

if TYPE_CHECKING:
    from collections.abc import Callable

SYLLABLES = [c + v for c in "bdklmnrst" for v in "aeio"]
FRAMES = (
    "A {n} is {v} on a {a} {n}.",
    "Two {n}s {v} near the {n}",
    "The {a} {n} isn't {v} , but the {n} is.",
    "There's a {a}-{a} {n} with {d} {n}s at the {n}'s {n}.",
    "a {n} {v} {a} {n} in front of a {n} on Main St. at {d}:30pm",
    "Someone {v} the {a} {n}; it's {a} and {a}",
)


def captions(images: int, references: int, seed: int) -> tuple[list[str], list[list[str]]]:
    """Hypotheses and references; those of one image share most words, as captions of one picture do."""
    rng = random.Random(seed)  # noqa: S311 - reproducible captions, no secrets
    words = ["".join(rng.choices(SYLLABLES, k=rng.randint(1, 4))) for _ in range(8000)]
    weights = [1 / (rank + 2.7) for rank in range(len(words))]
    pool = iter(rng.choices(words, weights, k=images * 8 + images * (references + 1) * 16))

    def caption(topic: list[str]) -> str:
        text = rng.choice(FRAMES)
        while "{" in text:
            start = text.index("{")
            word = str(rng.randint(1, 12)) if text[start + 1] == "d" else next(pool)
            if text[start + 1] != "d" and rng.random() < 0.6:
                word = rng.choice(topic)
            text = text[:start] + word + text[start + 3 :]
        return text

    hypotheses, given = [], []
    for _ in range(images):
        topic = [next(pool) for _ in range(6)]
        hypotheses.append(caption(topic))
        given.append([caption(topic) for _ in range(references)])
    return hypotheses, given


def missing(*modules: str, java: bool = False) -> str:
    """Why a row cannot be measured; empty if it can."""
    lacking = [name for name in modules if importlib.util.find_spec(name) is None]
    if java and shutil.which("java") is None:
        lacking.append("java (a Java runtime on the PATH)")
    return "not installed: " + ", ".join(lacking) if lacking else ""


def quietly(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result without what the other tools print."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return function(*arguments)


def pycocoevalcap_tokens(hypotheses: list[str], references: list[list[str]]) -> tuple[Any, Any]:
    """References and hypotheses by image, tokenised by the Java program in two calls, as its own eval.py does."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    program = PTBTokenizer()
    truth = {i: [{"caption": text} for text in own] for i, own in enumerate(references)}
    found = {i: [{"caption": text}] for i, text in enumerate(hypotheses)}
    return program.tokenize(truth), program.tokenize(found)


def pycocoevalcap_bleu(truth: Any, found: Any) -> list[float]:
    """BLEU-1 to 4."""
    from pycocoevalcap.bleu.bleu import Bleu

    return list(quietly(Bleu(4).compute_score, truth, found)[0])


def main() -> int:
    """Measure, print one table, and say whether the numbers agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--references", type=int, default=5)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    hypotheses, references = captions(options.images, options.references, seed=0)
    tokenize("a T-shirt: loads nltk and compiles the pattern")

    no_java = missing("pycocoevalcap", java=True)
    no_sacrebleu = missing("sacrebleu")
    times: dict[str, list[float]] = {}
    results: dict[str, Any] = {}

    def measure(row: str, function: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        results[row] = function()
        times.setdefault(row, []).append(time.perf_counter() - start)
        return results[row]

    def ours_everything() -> Any:
        _chunk_cached.cache_clear()  # nothing remembered from an earlier run
        return BUILTIN["bleu4"].score(Corpus(hypotheses, references), resamples=options.resamples)

    corpus = Corpus(hypotheses, references)
    counted = BUILTIN["bleu4"].score(corpus, resamples=0)
    streams = [[" ".join(own[k]) for own in corpus.reference_words] for k in range(options.references)]
    system = [" ".join(words) for words in corpus.hypothesis_words]
    for _ in range(options.repeat):
        measure("tokens to BLEU-4 with interval: pytest-claims", ours_everything)
        if not no_java:
            truth, found = measure("tokens: pycocoevalcap (Java)", lambda: pycocoevalcap_tokens(hypotheses, references))
            measure("BLEU: pycocoevalcap", partial(pycocoevalcap_bleu, truth, found))
        measure("interval: pytest-claims", lambda: BUILTIN["bleu4"].score(corpus, resamples=options.resamples))
    if not no_sacrebleu:
        from sacrebleu.metrics.bleu import BLEU

        def sacrebleu(resamples: int) -> Any:
            metric = BLEU(tokenize="none", force=True, smooth_method="none")
            return metric.corpus_score(system, streams, n_bootstrap=resamples)

        for _ in range(max(2, options.repeat // 2)):
            sacre = measure("BLEU: sacrebleu (given our tokens)", lambda: sacrebleu(1))
            measure("BLEU with interval: sacrebleu (given our tokens)", lambda: sacrebleu(options.resamples))
    if options.images:
        from nltk.translate.bleu_score import corpus_bleu

        nltk_bleu = measure(
            "BLEU: nltk corpus_bleu (given our tokens), no interval",
            lambda: corpus_bleu(corpus.reference_words, corpus.hypothesis_words),
        )

    median = {row: statistics.median(values) for row, values in times.items()}
    shape = f"{options.images} images, {options.references} references each, {options.resamples} resamples"
    print(f"{shape}, Python {sys.version.split()[0]}")
    print(f"\n{'median seconds':>14}  {'runs':>4}  what")
    for row, seconds in median.items():
        print(f"{seconds:14.3f}  {len(times[row]):4}  {row}")
    for reason, rows in ((no_java, "pycocoevalcap"), (no_sacrebleu, "sacrebleu")):
        if reason:
            print(f"{'not measured':>14}        {rows}: {reason}")

    print("\nratios")
    ours = median["tokens to BLEU-4 with interval: pytest-claims"]
    if not no_java:
        theirs = median["tokens: pycocoevalcap (Java)"] + median["BLEU: pycocoevalcap"]
        print(f"{theirs / ours:8.1f}x  pycocoevalcap's tokens and BLEU, without interval / ours with interval")
    if not no_sacrebleu:
        whole = median["BLEU with interval: sacrebleu (given our tokens)"]
        print(
            f"{whole / median['interval: pytest-claims']:8.1f}x  sacrebleu's BLEU with bootstrap / our value with interval"
        )
        alone = whole - median["BLEU: sacrebleu (given our tokens)"]
        print(f"{alone / median['interval: pytest-claims']:8.1f}x  of that, what its bootstrap adds / our interval")

    print("\nvalues (0 to 1)")
    equal = True
    print(f"{counted.value:.15f}  pytest-claims BLEU-4")
    if not no_java:
        values = results["BLEU: pycocoevalcap"]
        ours_all = [BUILTIN[f"bleu{n}"].score(corpus, resamples=0).value for n in range(1, 5)]
        equal = max(abs(a - b) for a, b in zip(values, ours_all, strict=True)) <= 1e-9
        print(f"{values[3]:.15f}  pycocoevalcap BLEU-4; BLEU-1 to 4 equal to 1e-9: {'yes' if equal else 'NO'}")
        same = sum(
            tuple(line.split()) == tokenize(text)
            for lines, texts in zip((truth[i] for i in range(options.images)), references, strict=True)
            for line, text in zip(lines, texts, strict=True)
        )
        print(f"{same} of {options.images * options.references} references have the same tokens")
    if not no_sacrebleu:
        print(f"{sacre.score / 100:.15f}  sacrebleu BLEU-4 of our tokens (adds no 1e-9)")
    print(f"{nltk_bleu:.15f}  nltk BLEU-4 of our tokens (counts short hypotheses differently)")
    return 0 if equal else 1


if __name__ == "__main__":
    raise SystemExit(main())
