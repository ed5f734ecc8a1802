"""What a choice of features costs where texts are answered: time for each text, and memory.

Each choice is measured in a process of its own, which learns from short film reviews, gives back
what learning took, and answers by the predictor that the service has.
"""

from __future__ import annotations

import gc
import multiprocessing
import re
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa

from benchmarks.problems import texts
from perennial.config.problem import Problem
from perennial.inference.predictor import build_predictor
from perennial.packages.extras import missing_for
from perennial.profile.candidates import PREPARATION, STEPS
from perennial.training.pipelines import assemble, build_classifier, build_counter, build_normalizer

CHOICES: Mapping[str, dict[str, str]] = {
    "words": {"analyzer": "words"},
    "characters": {"analyzer": "characters"},
    "words and characters": {"analyzer": "both"},
    "words and static vectors": {"analyzer": "words", "embedding": "static"},
}
_LEARNED, _ASKED, _BATCH, _ROUNDS = 4_000, 1_000, 100, 5
_MB = 1e6


def measured(only: str | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what each choice costs that can be made here."""
    context = multiprocessing.get_context("spawn")
    for name, features in CHOICES.items():
        if only is not None and not re.search(only, name):
            continue
        if "embedding" in features and (lacking := missing_for("embeddings")):
            print(f"{name}: skipped, {' and '.join(lacking)} is not installed")
            continue
        with context.Pool(1) as pool:
            yield name, pool.apply(cost, (features,))


def cost(features: Mapping[str, str]) -> dict[str, float]:
    """Return milliseconds for one text alone, texts a second in batches, and megabytes.

    Parameters
    ----------
    features : mapping of str to str
        What the candidate counts.
    """
    begin = _resident()
    rows = texts.snippets().rows.sample(frac=1, random_state=0)
    model = _fitted(features, rows.iloc[:_LEARNED])
    asked = rows["text"].tolist()[_LEARNED : _LEARNED + _ASKED]
    predictor = build_predictor(model, asked[:_BATCH])
    del rows, model
    gc.collect()
    single = _seconds(lambda: [predictor.assess([text]) for text in asked])
    batches = [asked[start : start + _BATCH] for start in range(0, len(asked), _BATCH)]
    batch = _seconds(lambda: [predictor.assess(each) for each in batches])
    return {
        "single_ms": 1_000 * single / len(asked),
        "batch_per_second": len(asked) / batch,
        "memory_mb": (_resident() - begin) / _MB,
    }


def _fitted(features: Mapping[str, str], rows: Any) -> Any:
    candidate = {
        "preparation": PREPARATION,
        "features": {"weighting": "tfidf", "bigrams": True, "sublinear": True, **features},
        "estimator": "logistic_regression",
        "parameters": {"C": 20.0, "solver": "liblinear", "dual": True},
    }
    problem = Problem.model_validate(
        {
            "name": "speed",
            "source": {"database": "speed", "collection": "rows"},
            "labels": {label: label for label in sorted(set(rows["label"]))},
            "preparations": {PREPARATION: dict(STEPS)},
            "candidates": {"only": candidate},
        }
    )
    normalizer = build_normalizer(problem, problem.candidates["only"])
    counter: Any = build_counter(problem.candidates["only"].features)
    inputs = pa.array(rows["text"].tolist(), pa.large_string())
    matrix = counter.fit_transform(normalizer.transform(inputs))
    classifier = build_classifier(problem, "only").fit(matrix, rows["label"].to_numpy(str))
    return assemble(normalizer, counter, classifier)


def _seconds(work: Callable[[], object]) -> float:
    """Return the median of several rounds; the first one, which fills memories, is none."""
    found = []
    for _ in range(_ROUNDS + 1):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return median(found[1:])


def _resident() -> float:
    """Return the bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()
