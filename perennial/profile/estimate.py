"""Estimates of a retraining: seconds and memory, by the size of what is learned from.

They are coarse on purpose: seconds of one idle core, as measured once, times what grows. A fit
takes time in proportion to the values that are not zero, of trees also to their number; every
candidate is fitted for validation, the best one once more, and once for each fold of a tuned
threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log2
from typing import Any

from perennial.config.problem import Problem
from perennial.config.sections.candidates import Candidate, TabularCandidate

# Connect, read, evaluate, register and report.
_BASE_SECONDS = 15.0
# Per value that is not zero, and per label beyond the first.
_PER_VALUE: Mapping[str, float] = {
    "multinomial_naive_bayes": 2e-8,
    "complement_naive_bayes": 2e-8,
    "logistic_regression": 6e-7,
    "linear_svm": 3e-7,
    "nb_svm": 1e-6,
}
_PER_VALUE_OTHERWISE = 1e-6
_TREES: Mapping[str, float] = {
    "decision_tree": 2e-8,
    "random_forest": 2e-8,
    "gradient_boosting": 4e-8,
    "xgboost": 8e-9,
}
_PER_PAIR = 4e-8
_TREES_OTHERWISE = 100
_SHARE_OF_WORDS, _PAIRS_OF_WORDS = 0.7, 0.9
_SLOW_SECONDS = 300.0
_BASE_BYTES = 450_000_000
_VALUE_BYTES, _DENSE_BYTES = 12, 8
_COPIES = 3


@dataclass(frozen=True)
class Size:
    """How large what is learned from is.

    Attributes
    ----------
    documents : int
        Training documents.
    labels : int
        Labels.
    words : float
        Words of a text, the mean; 0 for records.
    columns : int
        Numbers that a record becomes; 0 for texts.
    input_bytes : int
        Characters of all inputs.
    """

    documents: int
    labels: int
    words: float
    columns: int
    input_bytes: int


@dataclass(frozen=True)
class Estimate:
    """What a retraining is expected to take.

    Attributes
    ----------
    seconds : float
        Seconds of one core.
    bytes : float
        Memory at its peak.
    candidates : mapping of str to float
        Candidate -> seconds of its fits.
    """

    seconds: float
    bytes: float
    candidates: Mapping[str, float]

    @property
    def slow(self) -> tuple[str, ...]:
        """The candidates that take more than five minutes, which do not suit the data."""
        return tuple(name for name, each in self.candidates.items() if each > _SLOW_SECONDS)


def estimate(problem: Problem, size: Size) -> Estimate:
    """Return what a retraining of a problem on so many documents is expected to take."""
    problem = problem.for_retraining()
    fits = problem.validation.folds or 1
    fits = 0 if len(problem.candidates) == 1 else fits
    once = {name: _fit(candidate, size) for name, candidate in problem.candidates.items()}
    candidates = {name: seconds * max(fits, 1) for name, seconds in once.items()}
    again = 1 + (problem.goal.folds if problem.goal is not None else 0)
    seconds = _BASE_SECONDS + sum(candidates.values()) + again * max(once.values())
    seconds += size.input_bytes * 2e-7
    return Estimate(seconds, _bytes(problem, size), candidates)


def _values(candidate: Candidate | TabularCandidate, size: Size) -> float:
    if isinstance(candidate, TabularCandidate):
        return size.documents * size.columns
    words = size.words * _SHARE_OF_WORDS
    features = candidate.features
    words += size.words * _PAIRS_OF_WORDS if features.bigrams else 0
    return size.documents * words


def _fit(candidate: Candidate | TabularCandidate, size: Size) -> float:
    values, name = _values(candidate, size), candidate.estimator
    labels = 1 if size.labels <= 2 else size.labels
    if name == "svm":
        return _PER_PAIR * size.documents**2 * labels
    if name in _TREES:
        return (
            _TREES[name]
            * values
            * log2(size.documents + 2)
            * _trees(candidate.parameters)
            * (labels if "boost" in name else 1)
        )
    return _PER_VALUE.get(name, _PER_VALUE_OTHERWISE) * values * labels


def _trees(parameters: Mapping[str, Any]) -> float:
    number = parameters.get("n_estimators", _TREES_OTHERWISE)
    return float(number) if isinstance(number, int | float) else _TREES_OTHERWISE


def _bytes(problem: Problem, size: Size) -> float:
    per_value = _VALUE_BYTES if problem.inputs is None else _DENSE_BYTES
    largest = max(_values(candidate, size) for candidate in problem.candidates.values())
    return _BASE_BYTES + _COPIES * per_value * largest + 4 * size.input_bytes
