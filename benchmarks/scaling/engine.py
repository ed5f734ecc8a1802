"""The engine with one and with two workers: an experiment's candidates, and a file to score."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from rich.console import Console
from rich.table import Table
from sklearn.pipeline import Pipeline

from benchmarks.common import interleave, medians
from benchmarks.scaling.corpora import CORPORA
from benchmarks.scaling.retraining import holds
from benchmarks.score import prefect_api
from perennial.config.problem import Problem
from perennial.settings import get_settings

ENGINE_SIZE = 400_000
CLAIMED_SPEEDUP = 1.6
_WARM_UP = 2_000
_LEARNED = 20_000
_FOLDS = 3
_WORKERS = (1, 2)
_PROBLEM = "short"
_CANDIDATES: Mapping[str, Any] = {
    "bayes": {"estimator": "multinomial_naive_bayes"},
    "logistic": {"estimator": "logistic_regression", "parameters": {"solver": "liblinear"}},
    "svm": {"estimator": "nb_svm", "parameters": {"tol": 0.01}},
    "sgd": {"estimator": "linear_svm"},
}
_SPACES: Mapping[str, Any] = {
    "multinomial_naive_bayes": {"parameters": {"alpha": [0.1, 0.3, 1.0]}},
    "logistic_regression": {"parameters": {"C": [0.05, 0.1, 0.3]}},
    "nb_svm": {"parameters": {"C": [0.05, 0.1, 0.3]}},
    "linear_svm": {"parameters": {"estimator__C": [0.02, 0.05, 0.1]}},
}


def measure_engine(size: int, rounds: int) -> dict[str, Any]:
    """Explore and score with each number of workers, in turn, and return the seconds."""
    with TemporaryDirectory() as name:
        scratch = Path(name)
        with _machine(scratch), prefect_api():
            documents = list(CORPORA["short"].read().documents(size))
            _put_into_production(documents)
            texts = _written(scratch / "texts.parquet", documents)
            few = _written(scratch / "few.parquet", documents[:_WARM_UP])
            measured = interleave(
                rounds,
                {str(workers): _way(workers, documents, texts, few) for workers in _WORKERS},
            )
    digests = {figures.pop("digest") for each in measured.values() for figures in each}
    return {
        "documents": size,
        "rounds": rounds,
        "load": os.getloadavg()[0],
        "equal": len(digests) == 1,
        "seconds": {name: medians(each) for name, each in measured.items()},
    }


def _way(workers: int, documents: Any, texts: Path, few: Path) -> Any:
    """Return a function that explores and scores with so many workers."""

    def run() -> dict[str, Any]:
        from distributed import LocalCluster

        with LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as cluster:
            settings = {"ENGINE": "dask", "DASK_SCHEDULER": cluster.scheduler_address}
            with _environment(settings):
                _score(few)
                explored, found = _explore(documents)
                scored, classified = _score(texts)
        digest = hashlib.sha256(repr((found, classified)).encode()).hexdigest()
        return {"experiment": explored, "score": scored, "digest": digest}

    return run


def _explore(documents: Any) -> tuple[float, Any]:
    """Try all candidates on documents that are counted already; return the seconds and results."""
    from perennial.engine.connection import connected
    from perennial.training.validation import Fold
    from tasks.experiment.explore import trials_of
    from tasks.experiment.trial import attempt
    from tasks.experiment.workspace import laid_out

    problem = _problem()
    labels = np.array([("negative", "positive")[label] for _, label in documents])
    fold = np.arange(len(labels)) % _FOLDS
    folds = [Fold(fold != number, fold == number) for number in range(_FOLDS)]
    counts = _counted(problem, [text for text, _ in documents])
    settings = get_settings()
    with (
        laid_out(settings.data_dir, problem, counts, labels, folds) as bench,
        connected(settings) as engine,
    ):
        assert engine is not None
        trials = [
            trial
            for name in problem.candidates
            for trial in trials_of(problem, name, bench, 3600.0, engine.places)
        ]
        start = time.perf_counter()
        done = dict(engine.done(attempt, trials))
        seconds = time.perf_counter() - start
    if unfinished := [each for each in done.values() if each.outcome != "complete"]:
        raise RuntimeError(unfinished[0].reason)
    found = sorted(
        (trial.name, json.dumps([setting.parameters, setting.metrics]))
        for trial, each in done.items()
        for setting in each.found
    )
    return seconds, found


def _counted(problem: Problem, texts: list[str]) -> dict[str, Any]:
    """Return the counts that all candidates share, for each of them."""
    from prefect.logging import disable_run_logger

    from tasks.data.features import SharedCounts, count_shared

    with disable_run_logger():
        (counts,) = count_shared(problem, pa.array(texts), None, None).values()
    assert isinstance(counts, SharedCounts)
    return dict.fromkeys(problem.candidates, counts.matrix)


def _score(file: Path) -> tuple[float, Any]:
    """Classify a file; return the seconds, and what was found."""
    from flows.score import score

    out = file.with_suffix(".scored.parquet")
    scored = score(_PROBLEM, file=file, out=out, again=True)
    table = parquet.read_table(out)
    found = table["predicted_probabilities"].combine_chunks().flatten()
    return scored.seconds, [hashlib.sha256(each.to_numpy()).hexdigest() for each in found]


def _problem() -> Problem:
    features = {"weighting": "counts", "min_documents": 3, "bigrams": True}
    plain = {"preparation": "plain", "features": features}
    return Problem.model_validate(
        {
            "name": _PROBLEM,
            "source": {"database": _PROBLEM, "collection": _PROBLEM},
            "labels": {"negative": 0, "positive": 1},
            "preparations": {"plain": {"stop_words": "keep", "lemmas": "none"}},
            "candidates": {name: {**plain, **each} for name, each in _CANDIDATES.items()},
            "experiment": {
                "folds": _FOLDS,
                "budget": "PT1H",
                "candidate_budget": "PT1H",
                "spaces": dict(_SPACES),
            },
        }
    )


def _put_into_production(documents: Any) -> None:
    """Fit a model on some of the documents and make it Production."""
    from perennial.registry.artifact import Golden
    from perennial.registry.client import open_registry

    some = random.Random(0).sample(documents, min(_LEARNED, len(documents)))
    texts, labels = zip(*some, strict=True)
    model = _fitted(list(texts), np.array([("negative", "positive")[label] for label in labels]))
    registry, inputs = open_registry(get_settings()), texts[:20]
    golden = Golden(
        inputs=inputs,
        classes=tuple(model.classes_),
        probabilities=model.predict_proba(list(inputs)).tolist(),
    )
    with registry.run(_PROBLEM, "fit") as run_id:
        version = registry.register(_PROBLEM, run_id, model, golden, tags={})
    registry.promote(version, expected=None)


def _fitted(texts: list[str], labels: Any) -> Pipeline:
    from perennial.training.pipelines import (
        assemble,
        build_classifier,
        build_counter,
        build_normalizer,
    )

    problem = _problem()
    candidate = problem.candidates["logistic"]
    model = assemble(
        build_normalizer(problem, candidate),
        build_counter(candidate.features),
        build_classifier(problem, "logistic"),
    )
    return model.fit(pa.array(texts), labels)


def _written(file: Path, documents: Any) -> Path:
    parquet.write_table(pa.table({"text": [text for text, _ in documents]}), file)
    return file


@contextmanager
def _machine(scratch: Path) -> Iterator[None]:
    """Let this process use a data folder and a problem file of its own."""
    problems = scratch / "problems"
    problems.mkdir()
    content = _problem().model_dump_json(exclude_defaults=True, exclude={"name"})
    (problems / f"{_PROBLEM}.yaml").write_text(content, encoding="utf-8")
    variables = {"DATA_DIR": scratch / "data", "PROBLEMS_DIR": problems}
    with _environment({name: str(value) for name, value in variables.items()}):
        yield


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables during the block, and let the settings be read again."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ |= variables
    get_settings.cache_clear()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        get_settings.cache_clear()


def show_engine(figures: Mapping[str, Any]) -> None:
    """Print what one and two workers took, and what is claimed of it."""
    table = Table(
        title=f"{figures['documents']:,} short texts with workers of the engine, median of "
        f"{figures['rounds']}; load of the machine {figures['load']:.1f}",
        title_justify="left",
    )
    table.add_column("what")
    for workers in _WORKERS:
        table.add_column(f"{workers}, s", justify="right")
    table.add_column("ratio", justify="right")
    ratios = {}
    one, two = (figures["seconds"][str(workers)] for workers in _WORKERS)
    for what in one:
        ratios[what] = one[what] / two[what]
        table.add_row(what, f"{one[what]:.1f}", f"{two[what]:.1f}", f"{ratios[what]:.2f}")
    console = Console()
    console.print(table)
    for what, ratio in ratios.items():
        console.print(
            f"Two workers do the {what} {ratio:.2f} times as fast as one (claimed: at least "
            f"{CLAIMED_SPEEDUP}): {holds(ratio >= CLAIMED_SPEEDUP)}"
        )
    console.print(f"Both come to the same: {holds(figures['equal'])}")
