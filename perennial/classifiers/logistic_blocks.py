"""Logistic regression over blocks of rows, for features that memory does not hold.

It minimises what liblinear and scikit-learn's solvers do, by L-BFGS: each step reads the features
once, a block at a time, and keeps nothing of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_class_weight

from perennial.classifiers.row_blocks import row_blocks, rows_of

Floats = NDArray[np.float64]

# Where the sum of losses changes less than this, relatively, or no slope is steeper.
_CHANGE = 1e-13
_SLOPE = 1e-9
_MEMORY = 10
# A step is a small part of what an iteration of other solvers is.
LEAST_ITERATIONS = 1_000


@dataclass(frozen=True, eq=False)
class LogisticProblem:
    """What is minimised: half of the squared weights, and the weighted losses of the samples.

    Attributes
    ----------
    features : csr_array or ndarray, shape (n_samples, n_features)
        May be mapped from files, and of any type of numbers.
    codes : ndarray of int64, shape (n_samples,)
        Class of each sample.
    costs : ndarray of float64, shape (n_samples,)
        What the loss of each is multiplied with: the inverse strength of the penalty, and the
        weight of its class.
    n_outputs : int
        One output, the log-odds of class 1; or one for each of more classes, their softmax.
    scales : ndarray of float64, shape (n_features,), or None
        What the features are multiplied with.
    penalises_intercept : bool
        Whether the intercepts are weights like the others, as for liblinear.
    release : callable
        Called after each block, to let go of what was read of it.
    """

    features: Any
    codes: NDArray[np.int64]
    costs: Floats
    n_outputs: int
    scales: Floats | None = None
    penalises_intercept: bool = True
    release: Callable[[], None] = lambda: None


@dataclass(frozen=True, eq=False)
class LogisticOptimum:
    """The weights at the minimum.

    Attributes
    ----------
    weights : ndarray of float64, shape (n_outputs, n_features)
        Of the scaled features.
    intercepts : ndarray of float64, shape (n_outputs,)
        The outputs of a sample without features.
    objective : float
        The minimum.
    iterations : int
        How many steps it took.
    """

    weights: Floats
    intercepts: Floats
    objective: float
    iterations: int


def is_minimised_here(model: LogisticRegression) -> bool:
    """Tell whether a logistic regression is what is minimised here: with a quadratic penalty."""
    return (
        model.penalty in ("l2", "deprecated")
        and model.l1_ratio in (None, 0)
        and model.fit_intercept
        and (model.solver != "liblinear" or model.intercept_scaling == 1)
        and not model.warm_start
        and bool(np.isfinite(model.C))
    )


def fit_logistic_regression(
    model: LogisticRegression, features: Any, labels: NDArray[Any], release: Callable[[], None]
) -> LogisticRegression:
    """Fit a logistic regression as scikit-learn does, and return it.

    Parameters
    ----------
    model : LogisticRegression
        One of which `is_minimised_here` is true.
    features : csr_array or ndarray, shape (n_samples, n_features)
        May be mapped from files, and of any type of numbers.
    labels : ndarray, shape (n_samples,)
        Their labels, of two classes where the solver is liblinear.
    release : callable
        See `LogisticProblem`.

    Raises
    ------
    ValueError
        If there is one class alone.
    """
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"logistic_regression needs two classes, y has only one class: {classes[0]}."
        )
    found = minimise(
        LogisticProblem(
            features,
            codes,
            costs_of(codes, model.C, model.class_weight, classes),
            1 if len(classes) == 2 else len(classes),
            penalises_intercept=model.solver == "liblinear",
            release=release,
        ),
        max_iter=max(model.max_iter, LEAST_ITERATIONS),
    )
    model.classes_, model.n_features_in_ = classes, features.shape[1]
    model.coef_, model.intercept_ = found.weights, found.intercepts
    model.n_iter_ = np.array([found.iterations], np.int32)
    return model


def costs_of(
    codes: NDArray[np.int64], strength: float, class_weight: Any, classes: NDArray[Any]
) -> Floats:
    """Return what the loss of each sample is multiplied with."""
    weights = compute_class_weight(class_weight, classes=classes, y=classes[codes])
    return np.asarray(strength * weights[codes], np.float64)


def minimise(problem: LogisticProblem, *, max_iter: int) -> LogisticOptimum:
    """Return the weights with the smallest objective.

    The weights are looked for in units of their own curvature: rare and common features take steps
    of the same size, which is several times as quick.
    """
    shape = (problem.n_outputs, problem.features.shape[1] + 1)
    units = np.broadcast_to(1 / np.sqrt(_curvature(problem)), shape)
    total = float(problem.costs.sum())

    def loss(moved: Floats) -> tuple[float, Floats]:
        value, slopes = objective(problem, moved.reshape(shape) * units)
        return value / total, (slopes * units).ravel() / total

    found = minimize(
        loss,
        np.zeros(shape[0] * shape[1]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_iter, "maxcor": _MEMORY, "ftol": _CHANGE, "gtol": _SLOPE},
    )
    weights = found.x.reshape(shape) * units
    return LogisticOptimum(weights[:, :-1], weights[:, -1], found.fun * total, int(found.nit))


def objective(problem: LogisticProblem, weights: Floats) -> tuple[float, Floats]:
    """Return the objective and its slopes; the intercepts are the last column of the weights."""
    penalised = weights.copy()
    if not problem.penalises_intercept:
        penalised[:, -1] = 0.0
    value, slopes = 0.5 * float((penalised * penalised).sum()), penalised
    scaled = weights[:, :-1] if problem.scales is None else weights[:, :-1] * problem.scales
    of_features = np.zeros_like(scaled)
    for rows, block in _blocks(problem):
        outputs = block @ scaled.T + weights[:, -1]
        losses, excess = _losses(outputs, problem.codes[rows])
        costs = problem.costs[rows]
        value += float(losses @ costs)
        excess *= costs[:, None]
        of_features += (block.T @ excess).T
        slopes[:, -1] += excess.sum(axis=0)
    slopes[:, :-1] += of_features if problem.scales is None else of_features * problem.scales
    return value, slopes


def _losses(outputs: Floats, codes: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return the loss of each sample, and its slope by each output."""
    if outputs.shape[1] == 1:
        signs = np.where(codes == 1, -1.0, 1.0)
        against = signs * outputs[:, 0]
        losses = np.logaddexp(0.0, against)
        return losses, (signs * np.exp(against - losses))[:, None]
    logs = log_softmax(outputs, axis=1)
    rows = np.arange(len(codes))
    excess = np.exp(logs)
    excess[rows, codes] -= 1.0
    return -logs[rows, codes], excess


def _curvature(problem: LogisticProblem) -> Floats:
    """Return the largest curvature that the objective can have along each weight."""
    found = np.zeros(problem.features.shape[1])
    for rows, block in _blocks(problem):
        found += block.power(2).T @ problem.costs[rows]
    if problem.scales is not None:
        found *= problem.scales**2
    intercept = problem.costs.sum()
    return 1.0 + 0.25 * np.append(found, intercept)


def _blocks(problem: LogisticProblem) -> Iterator[tuple[slice, Any]]:
    for rows in row_blocks(problem.features):
        yield rows, rows_of(problem.features, rows).astype(np.float64)
        problem.release()
