"""Cross-validation of one candidate with all its settings, on counts that were made once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse
from sklearn.pipeline import Pipeline

from perennial.config.problem import Problem
from perennial.config.sections.candidates import Features, TabularFeatures
from perennial.config.sections.experiment import Parameters
from perennial.embeddings.encoder import width_of
from perennial.metrics import (
    METRICS,
    Interval,
    MetricName,
    Predictions,
    compute,
    interval,
    metrics_of,
)
from perennial.training.classes import in_terms_of, positions
from perennial.training.fitting import fit
from perennial.training.pipelines import build_classifier
from perennial.training.threshold_tuning import at_best
from perennial.training.validation import Bonds, Fold, folds_without, past_folds, spare_labels

# Counts of n-grams, or fields of records.
Matrix: TypeAlias = sparse.csr_array | NDArray[np.float64]
# Of documents that every fold learns from.
NO_FOLD = -1
# The part of a candidate's settings that is all of them.
ALL = slice(None)


@dataclass(frozen=True)
class SettingResult:
    """The metrics of one setting of a candidate.

    Attributes
    ----------
    parameters : dict
        Parameters of the estimator.
    folds : int
        Number of folds it was fitted on; fewer than all if halving dropped it.
    metrics : dict of str to float
        Metrics on the documents of these folds, each predicted by a fit without it.
    interval : Interval or None
        The problem's metric with its bootstrap interval over documents, for a setting that was the
        best so far. It covers the choice of the predicted documents, not that of the training
        documents.
    seconds : float
        Mean time of a fit.
    """

    parameters: Parameters
    folds: int
    metrics: dict[MetricName, float]
    interval: Interval | None
    seconds: float


def gain(metric: MetricName, metrics: dict[MetricName, float]) -> float:
    """Return a metric so that more is always better."""
    return METRICS[metric].sign * metrics[metric]


def in_order(metric: MetricName, found: Sequence[SettingResult], folds: int) -> list[SettingResult]:
    """Return results of parts of a candidate's settings as those of all of them at once.

    Only a setting that is better than those before it has an interval.
    """
    best, joined = -np.inf, []
    for each in found:
        is_best = each.folds == folds and gain(metric, each.metrics) > best
        if is_best:
            best = gain(metric, each.metrics)
        joined.append(each if is_best else replace(each, interval=None))
    return joined


def folds_of(
    content: pa.Array, labels: NDArray[np.str_], folds: int, judged: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Return the fold of each document, from 0; `NO_FOLD` for those that are only learned from.

    Folds are stratified by label and follow the content hash: copies are always in one fold, and a
    document stays where it is, or moves to the next fold, when others arrive.

    Parameters
    ----------
    content : Array of bytes, shape (n_documents,)
        Content hashes.
    labels : ndarray of str, shape (n_documents,)
        The labels; of copies that disagree the first one counts.
    folds : int
        Number of folds.
    judged : ndarray of bool, shape (n_documents,), optional
        Which documents are predicted; every fold learns from the others.
    """
    if judged is None:
        judged = np.ones(len(labels), np.bool_)
    found = np.full(len(labels), NO_FOLD)
    found[judged] = _stratified(content.filter(pa.array(judged)), labels[judged], folds)
    return found


def _stratified(content: pa.Array, labels: NDArray[np.str_], folds: int) -> NDArray[np.int64]:
    hashes = np.array(content.to_pylist(), dtype=object)
    # Sorted by hash, which is as good as random for anything but copies.
    _, first, document = np.unique(hashes, return_index=True, return_inverse=True)
    label_of = labels[first]
    found = np.empty(len(first), np.int64)
    for label in np.unique(label_of):
        members = np.flatnonzero(label_of == label)
        found[members] = np.arange(len(members)) * folds // len(members)
    return found[document]


def experiment_folds(
    bonds: Bonds, labels: NDArray[np.str_], folds: int, judged: NDArray[np.bool_]
) -> list[Fold]:
    """Return the folds on which the settings of candidates are tried.

    By time each is predicted from what is older than it; else as `folds_of` says, with groups and
    copies in one fold, and with a document of every label among those that are learned from.

    Raises
    ------
    ValueError
        If the documents cannot be divided.
    """
    if bonds.times is not None:
        found = past_folds(bonds, folds, judged)
    else:
        numbers = folds_of(bonds.keys, labels, folds, judged)
        parts = [spare_labels(numbers == fold, bonds.keys, labels) for fold in range(folds)]
        found = folds_without(bonds.keys, parts)
    if not found:
        raise ValueError(f"the training documents cannot be divided into {folds} folds")
    return found


def fold_counts(
    counts: Matrix,
    features: Features | TabularFeatures,
    training: NDArray[np.bool_],
    predicted: NDArray[np.bool_] | None = None,
) -> tuple[Matrix, Matrix]:
    """Return the features of a fold's training documents, and those of the predicted ones.

    They are the features that a counter fitted on the fold's training documents would give. A
    feature that is frequent enough in these is so in all documents, so `counts` has it; all others
    are left out, as they would leak documents outside of the fold. Fields are all kept.

    Parameters
    ----------
    counts : csr_array or ndarray, shape (n_documents, n_features)
        Counts of all documents, with these features' bigrams and `min_documents`, every
        feature, neither binary nor limited.
    features : Features or TabularFeatures
        The features of the candidate.
    training : ndarray of bool, shape (n_documents,)
        The fold's training documents.
    predicted : ndarray of bool, shape (n_documents,), optional
        Those that are predicted; all others by default.
    """
    if predicted is None:
        predicted = ~training
    if isinstance(features, TabularFeatures):
        return counts[training], counts[predicted]
    assert isinstance(counts, sparse.csr_array)
    if features.embedding != "none":
        # Vectors are made of each document alone, and stay as they are.
        plain = features.model_copy(update={"embedding": "none"})
        width = width_of(features.embedding)
        parts = fold_counts(counts[:, :-width], plain, training, predicted)
        rows = (counts[part][:, -width:] for part in (training, predicted))
        learned, others = (
            sparse.hstack(pair, format="csr") for pair in zip(parts, rows, strict=True)
        )
        return learned, others
    learned, others = counts[training], counts[predicted]
    if features.binary:
        learned.data.fill(1.0)
        others.data.fill(1.0)
    chosen = _chosen(learned, features)
    return learned[:, chosen], others[:, chosen]


def _chosen(counts: sparse.csr_array, features: Features) -> NDArray[np.int64]:
    """Return the columns that a counter of these features would keep."""
    documents = np.bincount(counts.indices, minlength=counts.shape[1])
    kept: NDArray[np.int64] = np.flatnonzero(documents >= features.min_documents)
    if features.max_features is None:
        return kept
    totals = counts.sum(axis=0, dtype=np.float64)[kept]
    best = np.argsort(-totals, kind="stable")[: features.max_features]
    return np.sort(kept[best])


class CrossValidation:
    """The folds of a problem's training documents, on which settings are tried.

    Parameters
    ----------
    problem : Problem
        The problem as an experiment sees it.
    name : str
        The candidate.
    counts : csr_array or ndarray, shape (n_documents, n_features)
        See `fold_counts`.
    labels : ndarray of str, shape (n_documents,)
        The labels.
    folds : sequence of Fold
        See `experiment_folds`.
    """

    def __init__(
        self,
        problem: Problem,
        name: str,
        counts: Matrix,
        labels: NDArray[np.str_],
        folds: Sequence[Fold],
    ) -> None:
        self.problem, self._name = problem, name
        self._counts, self._labels, self._folds = counts, labels, folds
        self._n_folds = len(folds)
        self._features: dict[int, tuple[Matrix, Matrix]] = {}
        self._best = -np.inf

    def results(self, part: slice = ALL) -> Iterator[SettingResult]:
        """Yield the result of every setting as soon as it is known, that of the file first.

        Parameters
        ----------
        part : slice
            Only these settings, of a candidate whose settings do not depend on each other.
        """
        problem, name = self.problem, self._name
        candidate, experiment = problem.candidates[name], problem.experiment
        space = experiment.space_of(name, candidate.estimator)
        declared = experiment.settings_of(name, candidate.estimator, candidate.parameters)
        settings = [_Setting(self, parameters) for parameters in declared[part]]
        # What has an interval depends on these settings alone, not on parts that came before.
        self._best = -np.inf
        if space is not None and space.search == "halving":
            assert part == ALL
            yield self._finish(settings[0])
            yield from self._halve(settings[1:])
        else:
            yield from map(self._finish, settings)

    def _halve(self, alive: Sequence[_Setting]) -> Iterator[SettingResult]:
        for fold in range(self._n_folds):
            for setting in alive:
                setting.fit(fold)
            ranked = sorted(alive, key=lambda s: gain(self.problem.metric, s.metrics), reverse=True)
            stay = ceil(len(ranked) / 2) if fold + 1 < self._n_folds else 0
            alive = ranked[:stay]
            for setting in ranked[stay:]:
                yield self._result(setting)

    def _finish(self, setting: _Setting) -> SettingResult:
        for fold in range(self._n_folds):
            setting.fit(fold)
        return self._result(setting)

    def _result(self, setting: _Setting) -> SettingResult:
        problem, metrics, found = self.problem, setting.metrics, None
        if setting.folds == self._n_folds and gain(problem.metric, metrics) > self._best:
            self._best = gain(problem.metric, metrics)
            found = interval(
                problem.metric,
                setting.predictions,
                confidence=problem.gates.confidence,
                seed=problem.seed,
            )
        seconds = setting.seconds / setting.folds
        return SettingResult(setting.parameters, setting.folds, metrics, found, seconds)

    def features(self, fold: int) -> tuple[Matrix, Matrix]:
        """Return the features of a fold, made when it is first asked for."""
        if fold not in self._features:
            wanted = self.problem.candidates[self._name].features
            self._features[fold] = fold_counts(
                self._counts, wanted, self._folds[fold].learned, self._folds[fold].predicted
            )
        return self._features[fold]

    def classifier(self, parameters: Parameters) -> Pipeline:
        """Return the candidate with these parameters, not yet fitted."""
        candidate = self.problem.candidates[self._name]
        changed = candidate.model_copy(update={"parameters": parameters})
        problem = self.problem.model_copy(update={"candidates": {self._name: changed}})
        return build_classifier(problem, self._name)

    def learned(self, fold: int) -> NDArray[np.str_]:
        """Return the labels of the documents that a fold learns from."""
        learned: NDArray[np.str_] = self._labels[self._folds[fold].learned]
        return learned

    def members(self, fold: int) -> NDArray[np.bool_]:
        """Return which documents a fold predicts."""
        return self._folds[fold].predicted

    @cached_property
    def truth(self) -> NDArray[np.int64]:
        """Position of each document's label in the problem's classes."""
        return positions(self.problem.classes, self._labels)

    @property
    def classes(self) -> tuple[str, ...]:
        """The problem's labels."""
        return self.problem.classes


class _Setting:
    """One setting with the predictions of its fits so far."""

    def __init__(self, validation: CrossValidation, parameters: Parameters) -> None:
        self.parameters = parameters
        self.seconds = 0.0
        self.folds = 0
        self._validation = validation
        self._seen = np.zeros(len(validation.truth), np.bool_)
        self._predicted = np.zeros(len(self._seen), np.int64)
        self._probabilities = np.zeros((len(self._seen), len(validation.classes)))

    def fit(self, fold: int) -> None:
        """Learn from all documents but the fold's, and predict those."""
        validation = self._validation
        learned, others = validation.features(fold)
        start = time.perf_counter()
        model = fit(validation.classifier(self.parameters), learned, validation.learned(fold))
        self.seconds += time.perf_counter() - start
        members = validation.members(fold)
        self._predicted[members], self._probabilities[members] = in_terms_of(
            validation.problem, model.classes_, model.predict(others), model.predict_proba(others)
        )
        self._seen |= members
        self.folds += 1

    @property
    def predictions(self) -> Predictions:
        """The predictions so far, with the labels that a tuned threshold would give."""
        validation = self._validation
        everything = Predictions(
            validation.classes,
            validation.truth,
            self._predicted,
            self._probabilities,
            validation.problem.costs,
            validation.problem.least_precision,
        )
        return at_best(validation.problem, everything.take(self._seen))

    @property
    def metrics(self) -> dict[MetricName, float]:
        """The metrics of the predictions so far."""
        predictions = self.predictions
        return {metric: compute(metric, predictions) for metric in metrics_of(predictions)}
