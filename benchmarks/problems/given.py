"""Given divisions: who learns from which rows is said, and no retraining is around the candidates.

Some data sets have a test part of their own, some are to be learned from few labels, and of small
ones a single holdout says little: there the figures are means over several divisions.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from benchmarks.problems import experts, records, texts
from benchmarks.problems.base import DataSet, Labels, NotInstalledError
from benchmarks.problems.product import scored
from perennial.config.problem import Problem
from perennial.config.sections.candidates import Candidate, TabularCandidate
from perennial.embeddings.kept import kept_vectors
from perennial.files.labelled import open_labelled
from perennial.inputs.base import inputs_of
from perennial.inputs.identity import CURRENT_IDENTITY
from perennial.metrics import compute, join
from perennial.packages.extras import Extra, missing_for
from perennial.paths import read
from perennial.profile.draft import draft_problem
from perennial.profile.findings import examine
from perennial.settings import get_settings
from perennial.text.analyzer import choose_analyzer
from perennial.training.pipelines import assemble, build_classifier, build_counter, build_normalizer
from perennial.training.threshold_tuning import at_best, tune, with_decision
from perennial.training.validation import Bonds, validation_folds
from tasks.profiling.source import profile_file
from tasks.training.train import predict

_TEST, _FEW = 0.2, 100
_DRAWS = 5
_EMBEDDINGS = {"": "none", ", vectors of words": "static", ", of sentences": "sentence"}
_EXTRAS: dict[str, Extra] = {"static": "embeddings", "sentence": "sentences"}
Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Division:
    """Who learns from which rows of a data set, and which rows judge.

    Attributes
    ----------
    data : DataSet
        The rows.
    learned, judging : ndarray of int64
        Their places.
    embedding : str
        What makes the vectors that candidates may have, if it is not "none".
    only : str or None
        The one candidate that is fitted; None leaves the choice to validation.
    """

    data: DataSet
    learned: Places
    judging: Places
    embedding: str = "none"
    only: str | None = None


@dataclass(frozen=True, eq=False)
class _Part:
    inputs: pa.Array
    labels: Labels


def _drawn(load: Callable[[], DataSet], seed: int) -> Division:
    data = load()
    places = np.arange(len(data.rows))
    labels = data.rows[data.label]
    return Division(
        data, *train_test_split(places, test_size=_TEST, random_state=seed, stratify=labels)
    )


def _few(seed: int, *, only: str, embedding: str = "none") -> Division:
    """Return short film reviews, of which a hundred are learned from."""
    drawn = _drawn(texts.snippets, seed)
    learned = np.random.default_rng(seed).permutation(drawn.learned)[:_FEW]
    return Division(drawn.data, learned, drawn.judging, embedding, only)


def _intents(folder: Path, _: int, *, embedding: str) -> Division:
    """Return the questions of bank customers, divided as those did who have published them."""
    parts = [folder / f"{name}.csv" for name in ("train", "test")]
    if not all(part.is_file() for part in parts):
        raise NotInstalledError("--banking77 with train.csv and test.csv in it")
    learned, judging = (pd.read_csv(part, dtype=str) for part in parts)
    rows = pd.concat([learned, judging], ignore_index=True).rename(columns={"category": "label"})
    places = np.arange(len(rows))
    data = DataSet(rows, experts.words)
    return Division(data, places[: len(learned)], places[len(learned) :], embedding)


def _divisions(banking77: Path) -> Mapping[str, tuple[int, Callable[[int], Division]]]:
    small = {
        "passengers with names": records.passengers_with_names,
        "German credit": records.credit,
        "heart": records.heart,
        "zoo": records.zoo,
        "juice": records.juice,
        "tumours": records.tumours,
        "wines": records.wines,
        "genes": records.genes,
    }
    drawn: dict[str, tuple[int, Callable[[int], Division]]] = {
        name: (_DRAWS, partial(_drawn, load)) for name, load in small.items()
    }
    for said, embedding in _EMBEDDINGS.items():
        asked = partial(_intents, banking77, embedding=embedding)
        drawn[f"bank questions, their test part{said}"] = 1, asked
        only = "nbsvm" if embedding == "none" else "embedded"
        few = partial(_few, only=only, embedding=embedding)
        drawn[f"a hundred film reviews{said}"] = _DRAWS, few
    return drawn


def measured(only: str | None, banking77: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what both sides reach, by the names of the data sets that are installed."""
    settings = get_settings()
    for name, (draws, divide) in _divisions(banking77).items():
        if only is None or re.search(only, name):
            try:
                # What was embedded once is known the next time, as to retrainings.
                with kept_vectors(settings.data_dir, settings.vectors_limit):
                    found = [measure(divide(seed)) for seed in range(draws)]
            except NotInstalledError as missing:
                print(f"{name}: skipped, {missing} is not installed")
                continue
            means = {
                key: float(np.mean([each[key] for each in found]))
                for key in ("ours", "expert", "seconds", "expert_seconds")
            }
            yield name, {**found[0], **means}


def measure(division: Division) -> dict[str, Any]:
    """Return what both sides reach on one division.

    Raises
    ------
    NotInstalledError
        If it may have vectors, and they are not installed.
    """
    extra = _EXTRAS.get(division.embedding)
    if extra is not None and (lacking := missing_for(extra)):
        raise NotInstalledError(" and ".join(lacking))
    data, rows = division.data, division.data.rows
    learned, judging = rows.iloc[division.learned], rows.iloc[division.judging]
    start = time.process_time()
    challenger, ours = _ours(division, learned, judging)
    middle = time.process_time()
    labels = learned[data.label].astype(str).to_numpy(np.str_)
    fields = (part.drop(columns=data.label) for part in (learned, judging))
    said = data.expert(next(fields), labels, next(fields))
    end = time.process_time()
    truth = judging[data.label].astype(str).to_numpy(np.str_)
    return {
        "rows": len(rows),
        "labels": rows[data.label].nunique(),
        "holdout": len(judging),
        "metric": data.metric,
        "ours": ours,
        "expert": scored(data.metric, truth, said, learned=labels),
        "challenger": challenger,
        "seconds": middle - start,
        "expert_seconds": end - middle,
    }


def _ours(division: Division, learned: pd.DataFrame, judging: pd.DataFrame) -> tuple[str, float]:
    """Return the challenger's name, and its metric on the rows that judge."""
    with TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("learned.csv", "judging.csv")]
        for file, rows in zip(files, (learned, judging), strict=True):
            rows.to_csv(file, index=False)
        problem = _problem(files[0], division)
        parts = [_part(problem, file) for file in files]
    if problem.asks_for_analyzer:
        problem = problem.with_analyzer(choose_analyzer(parts[0].inputs).analyzer)
    best, model = _challenger(problem, parts[0])
    predictions = predict(problem, model, parts[1].inputs, parts[1].labels)
    return best, compute(problem.metric, predictions)


def _problem(file: Path, division: Division) -> Problem:
    """Return what `init` says of the rows that are learned from."""
    label = division.data.label
    findings = examine(profile_file(file), label=label)
    problem = draft_problem("given", findings, database="given", collection="rows").problem
    kept = {
        name: changed
        for name, candidate in problem.candidates.items()
        if division.only in {None, name}
        and (changed := _with_vectors(candidate, division.embedding)) is not None
    }
    return problem.model_copy(update={"candidates": kept, "metric": division.data.metric})


def _with_vectors(
    candidate: Candidate | TabularCandidate, embedding: str
) -> Candidate | TabularCandidate | None:
    """Return a candidate with the vectors of a division; None where these are none of its own."""
    if isinstance(candidate, TabularCandidate) or candidate.features.embedding == "none":
        return candidate
    if embedding == "none":
        return None
    features = candidate.features.model_copy(update={"embedding": embedding})
    return candidate.model_copy(update={"features": features})


def _part(problem: Problem, file: Path) -> _Part:
    inputs, documents = inputs_of(problem), list(open_labelled(problem, file))
    names = {stored: name for name, stored in problem.labels.items()}
    labels = [names[read(each, problem.source.fields.label)] for each in documents]
    values = [inputs.read(each, limited=False) for each in documents]
    return _Part(pa.array(values, inputs.column.type), np.array(labels, np.str_))


def _challenger(problem: Problem, part: _Part) -> tuple[str, Any]:
    keys = inputs_of(problem).content_hashes(part.inputs, CURRENT_IDENTITY)
    everybody = np.ones(len(part.labels), np.bool_)
    folds = validation_folds(problem.validation, Bonds(keys), part.labels, everybody)
    features: dict[Any, Any] = {}
    found: dict[str, float] = {}
    for name, candidate in problem.candidates.items():
        if candidate.shared not in features:
            counter: Any = build_counter(candidate.features)
            tokens = build_normalizer(problem, candidate).transform(part.inputs)
            features[candidate.shared] = counter, counter.fit_transform(tokens)
        matrix = features[candidate.shared][1]
        if len(problem.candidates) > 1:
            seen = join(
                [
                    predict(
                        problem,
                        build_classifier(problem, name).fit(
                            matrix[fold.learned], part.labels[fold.learned]
                        ),
                        matrix[fold.predicted],
                        part.labels[fold.predicted],
                    )
                    for fold in folds
                ]
            )
            found[name] = compute(problem.metric, at_best(problem, seen))
    best = max(found, key=lambda name: found[name]) if found else next(iter(problem.candidates))
    candidate = problem.candidates[best]
    counter, matrix = features[candidate.shared]
    classifier = build_classifier(problem, best)
    model = assemble(
        build_normalizer(problem, candidate), counter, classifier.fit(matrix, part.labels)
    )
    if problem.goal is not None:
        tuned = tune(problem, problem.goal, build_classifier(problem, best), matrix, part.labels)
        model = with_decision(model, tuned)
    return best, model
