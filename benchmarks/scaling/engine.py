"""The engine with one and with two workers: an experiment's candidates, a fit, a file to score."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil
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
# So many rows are several parts: each worker gets one, and opens the model.
_WARM_UP = 60_000
_LEARNED = 20_000
# So many documents make an experiment of minutes, and two fits of them fit in a shared cache.
_EXPLORED = 40_000
_FOLDS = 3
# What is claimed of two workers. A fit's gain is memory: its steps wait for each other.
_CLAIMED = ("experiment", "score")
_WORKERS = (1, 2)
# Of the part with the fit; it has to be no candidate of the others, which fit in memory.
_DIVIDED: Mapping[str, Any] = {
    "preparation": "plain",
    "features": {"weighting": "tfidf", "min_documents": 3, "bigrams": True},
    "estimator": "nb_svm",
    "parameters": {"C": 50.0},
}
_PROBLEM = "short"
# Workers take them in this order: the slowest first, so that none is left for the end.
_CANDIDATES: Mapping[str, Any] = {
    "sgd": {"estimator": "linear_svm"},
    "svm": {"estimator": "nb_svm", "parameters": {"tol": 0.01}},
    "logistic": {"estimator": "logistic_regression", "parameters": {"solver": "liblinear"}},
    "bayes": {"estimator": "multinomial_naive_bayes"},
}
_SPACES: Mapping[str, Any] = {
    "multinomial_naive_bayes": {"parameters": {"alpha": [0.1, 0.3, 1.0]}},
    "logistic_regression": {"parameters": {"C": [0.05, 0.1, 0.3]}},
    "nb_svm": {"parameters": {"C": [0.05, 0.1, 0.3]}},
    "linear_svm": {"parameters": {"estimator__C": [0.02, 0.05, 0.1]}},
}


def measure_engine(size: int, rounds: int) -> dict[str, Any]:
    """Explore, fit and score with each number of workers, in turn; return what that took."""
    with TemporaryDirectory() as name:
        scratch = Path(name)
        with _machine(scratch), prefect_api():
            documents = list(CORPORA["short"].read().documents(size))
            _put_into_production(documents)
            texts = _written(scratch / "texts.parquet", documents)
            few = _written(scratch / "few.parquet", list(islice(cycle(documents), _WARM_UP)))
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
        "spent": {name: medians(each) for name, each in measured.items()},
    }


@dataclass
class Spent:
    """Time that something took.

    Attributes
    ----------
    seconds : float
        By the clock.
    flow : float
        Processor seconds of this process.
    workers : float
        Those of all workers and of what they started.
    busiest : float
        Those of the worker with the most.
    """

    seconds: float = 0.0
    flow: float = 0.0
    workers: float = 0.0
    busiest: float = 0.0


@contextmanager
def _spent(cluster: Any) -> Iterator[Spent]:
    """Yield what the block has spent when it has ended."""
    found, before = Spent(), _processor_seconds(cluster)
    start, here = time.perf_counter(), time.process_time()
    yield found
    found.seconds, found.flow = time.perf_counter() - start, time.process_time() - here
    each = [now - then for now, then in zip(_processor_seconds(cluster), before, strict=True)]
    found.workers, found.busiest = sum(each), max(each)


def _processor_seconds(cluster: Any) -> list[float]:
    """Return those of each worker, with the processes that it has started."""
    return [_with_children(psutil.Process(nanny.pid)) for nanny in cluster.workers.values()]


def _with_children(process: psutil.Process) -> float:
    times = process.cpu_times()
    of_ended = times.children_user + times.children_system
    return times.user + times.system + of_ended + sum(map(_with_children, process.children()))


def _way(workers: int, documents: Any, texts: Path, few: Path) -> Any:
    """Return a function that explores, fits and scores with so many workers."""

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
                with _spent(cluster) as scoring:
                    classified = _score(texts)
                problem = _problem()
                counts = _counted(problem, [text for text, _ in documents])
                labels = np.array([("negative", "positive")[label] for _, label in documents])
                some = slice(_EXPLORED)
                explored, found = _explore(cluster, problem, counts[some], labels[some])
                fitting, weights = _fit_over_blocks(cluster, problem, counts, labels)
        digest = hashlib.sha256(repr((found, weights, classified)).encode()).hexdigest()
        spent = {"experiment": explored, "fit": fitting, "score": scoring}
        flat = {f"{what}.{k}": v for what, each in spent.items() for k, v in asdict(each).items()}
        return {**flat, "digest": digest}

    return run


def _explore(cluster: Any, problem: Problem, counts: Any, labels: Any) -> tuple[Spent, Any]:
    """Try all candidates on documents that are counted already; return the time and results."""
    from perennial.engine.connection import connected
    from perennial.training.validation import Fold
    from tasks.experiment.explore import trials_of
    from tasks.experiment.trial import attempt
    from tasks.experiment.workspace import laid_out

    fold = np.arange(len(labels)) % _FOLDS
    folds = [Fold(fold != number, fold == number) for number in range(_FOLDS)]
    settings, shared = get_settings(), dict.fromkeys(problem.candidates, counts)
    with (
        laid_out(settings.data_dir, problem, shared, labels, folds) as bench,
        connected(settings) as engine,
    ):
        assert engine is not None
        with _spent(cluster) as spent:
            trials = [
                trial
                for name in problem.candidates
                for trial in trials_of(problem, name, bench, 3600.0, engine.places)
            ]
            done = dict(engine.done(attempt, trials))
    if unfinished := [each for each in done.values() if each.outcome != "complete"]:
        raise RuntimeError(unfinished[0].reason)
    found = sorted(
        (trial.name, json.dumps([setting.parameters, setting.metrics]))
        for trial, each in done.items()
        for setting in each.found
    )
    return spent, found


def _fit_over_blocks(cluster: Any, problem: Problem, counts: Any, labels: Any) -> tuple[Spent, str]:
    """Fit a model that is said to be too large for memory; return the time and its weights."""
    from perennial.config.sections.candidates import Candidate
    from perennial.engine.connection import connected
    from perennial.training.fitting import divided_among, fit, is_over_blocks
    from perennial.training.pipelines import build_classifier

    candidate = Candidate.model_validate(_DIVIDED)
    divided = problem.model_copy(update={"candidates": {"divided": candidate}})
    with _environment({"MEMORY_LIMIT": "1MB"}), connected(get_settings()) as engine:
        classifier = build_classifier(divided, "divided")
        if not is_over_blocks(classifier, counts):
            raise RuntimeError("too few documents for a fit over blocks")
        with divided_among(engine), _spent(cluster) as spent:
            model = fit(classifier, counts, labels)
    return spent, hashlib.sha256(model[-1].coef_.tobytes()).hexdigest()


def _counted(problem: Problem, texts: list[str]) -> Any:
    """Return the counts that all candidates share."""
    from prefect.logging import disable_run_logger

    from tasks.data.features import SharedCounts, count_shared

    with disable_run_logger():
        (counts,) = count_shared(problem, pa.array(texts), None, None).values()
    assert isinstance(counts, SharedCounts)
    return counts.matrix


def _score(file: Path) -> list[str]:
    """Classify a file; return what was found."""
    from flows.score import score

    out = file.with_suffix(".scored.parquet")
    score(_PROBLEM, file=file, out=out, again=True)
    table = parquet.read_table(out)
    found = table["predicted_probabilities"].combine_chunks().flatten()
    return [hashlib.sha256(each.to_numpy()).hexdigest() for each in found]


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
    for name in ("what", "1, s", "2, s", "ratio", "processor s of 1 and of 2", "flow", "busiest"):
        table.add_column(name, justify="left" if name == "what" else "right")
    ratios = {}
    one, two = (figures["spent"][str(workers)] for workers in _WORKERS)
    for what in ("experiment", "fit", "score"):
        first, second = one[f"{what}.seconds"], two[f"{what}.seconds"]
        ratios[what] = first / second
        table.add_row(
            what,
            f"{first:.1f}",
            f"{second:.1f}",
            f"{ratios[what]:.2f}",
            f"{one[f'{what}.workers']:.1f}, {two[f'{what}.workers']:.1f}",
            f"{two[f'{what}.flow']:.1f}",
            f"{two[f'{what}.busiest']:.1f}",
        )
    console = Console()
    console.print(table)
    for what in _CLAIMED:
        ratio = ratios[what]
        console.print(
            f"Two workers do the {what} {ratio:.2f} times as fast as one (claimed: at least "
            f"{CLAIMED_SPEEDUP}): {holds(ratio >= CLAIMED_SPEEDUP)}"
        )
    console.print(f"Both come to the same: {holds(figures['equal'])}")
