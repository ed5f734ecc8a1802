"""Logistic regression over blocks of rows, for features that memory does not hold.

It minimises what liblinear and scikit-learn's solvers do, by L-BFGS: each step reads the features
once, a block at a time, and keeps nothing of them. Who reads them is told by `Blocks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_class_weight

from perennial.classifiers.logistic_sums import Blocks, Floats, Summing, n_outputs_of
from perennial.concurrency import ONE_THREAD

# A fit ends where the objective changes less than so much of it times the tolerance, or the least,
# or where no slope is steeper. Predictions are then as near to the optimum's as those of liblinear.
_CHANGE, _LEAST_CHANGE = 1e-7, 1e-13
_SLOPE = 1e-9
_MEMORY = 10
# A step is a small part of what an iteration of other solvers is.
LEAST_ITERATIONS = 1_000


@dataclass(frozen=True, eq=False)
class LogisticProblem:
    """What is minimised: half of the squared weights, and the weighted losses of the samples.

    Attributes
    ----------
    summing : callable
        What works out sums over the samples.
    n_features : int
        How many features they have.
    n_outputs : int
        One output, the log-odds of class 1; or one for each of more classes, their softmax.
    cost : float
        Sum of what the losses are multiplied with: the inverse strength of the penalty, and the
        weight of the class.
    scales : ndarray of float64, shape (n_features,), or None
        What the features are multiplied with.
    penalises_intercept : bool
        Whether the intercepts are weights like the others, as for liblinear.
    """

    summing: Summing
    n_features: int
    n_outputs: int
    cost: float
    scales: Floats | None = None
    penalises_intercept: bool = True


def logistic_problem(
    blocks: Blocks,
    codes: NDArray[np.int64],
    costs: Floats,
    *,
    scales: Floats | None = None,
    penalises_intercept: bool = True,
) -> LogisticProblem:
    """Return what is minimised over blocks; see `LogisticProblem` and `Blocks`."""
    return LogisticProblem(
        blocks.summing(codes, costs),
        blocks.places.shape[1],
        n_outputs_of(int(codes.max()) + 1),
        float(costs.sum()),
        scales,
        penalises_intercept,
    )


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
    model: LogisticRegression, blocks: Blocks, labels: NDArray[Any]
) -> LogisticRegression:
    """Fit a logistic regression as scikit-learn does, and return it.

    Parameters
    ----------
    model : LogisticRegression
        One of which `is_minimised_here` is true.
    blocks : Blocks
        The features.
    labels : ndarray, shape (n_samples,)
        Their labels, of two classes where the solver is liblinear.

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
        logistic_problem(
            blocks,
            codes,
            costs_of(codes, model.C, model.class_weight, classes),
            penalises_intercept=model.solver == "liblinear",
        ),
        tol=model.tol,
        max_iter=model.max_iter,
    )
    model.classes_, model.n_features_in_ = classes, blocks.places.shape[1]
    model.coef_, model.intercept_ = found.weights, found.intercepts
    model.n_iter_ = np.array([found.iterations], np.int32)
    return model


def costs_of(
    codes: NDArray[np.int64], strength: float, class_weight: Any, classes: NDArray[Any]
) -> Floats:
    """Return what the loss of each sample is multiplied with."""
    weights = compute_class_weight(class_weight, classes=classes, y=classes[codes])
    return np.asarray(strength * weights[codes], np.float64)


def minimise(problem: LogisticProblem, *, tol: float, max_iter: int) -> LogisticOptimum:
    """Return the weights with the smallest objective.

    The weights are looked for in units of their own curvature: rare and common features take steps
    of the same size, which is several times as quick.

    Parameters
    ----------
    problem : LogisticProblem
        What is minimised.
    tol : float
        Tolerance of the estimator: the objective is as near to its minimum as other solvers of
        scikit-learn come with it, or nearer.
    max_iter : int
        Largest number of steps.
    """
    shape = (problem.n_outputs, problem.n_features + 1)
    units = np.broadcast_to(1 / np.sqrt(_curvature(problem)), shape)
    cost = problem.cost

    def loss(moved: Floats) -> tuple[float, Floats]:
        value, slopes = objective(problem, moved.reshape(shape) * units)
        return value / cost, (slopes * units).ravel() / cost

    with ONE_THREAD:
        found = minimize(
            loss,
            np.zeros(shape[0] * shape[1]),
            jac=True,
            method="L-BFGS-B",
            options={
                "maxiter": max_iter,
                "maxcor": _MEMORY,
                "ftol": max(_CHANGE * tol, _LEAST_CHANGE),
                "gtol": _SLOPE,
            },
        )
    weights = found.x.reshape(shape) * units
    return LogisticOptimum(weights[:, :-1], weights[:, -1], found.fun * cost, int(found.nit))


def objective(problem: LogisticProblem, weights: Floats) -> tuple[float, Floats]:
    """Return the objective and its slopes; the intercepts are the last column of the weights."""
    penalised, scaled = weights.copy(), weights.copy()
    if not problem.penalises_intercept:
        penalised[:, -1] = 0.0
    if problem.scales is not None:
        scaled[:, :-1] *= problem.scales
    sums = np.zeros(weights.size + 1)
    for each in problem.summing(scaled):
        sums += each
    slopes = sums[:-1].reshape(weights.shape)
    if problem.scales is not None:
        slopes[:, :-1] *= problem.scales
    return 0.5 * float((penalised * penalised).sum()) + float(sums[-1]), slopes + penalised


def _curvature(problem: LogisticProblem) -> Floats:
    """Return the largest curvature that the objective can have along each weight."""
    found = np.zeros(problem.n_features)
    for each in problem.summing(None):
        found += each
    if problem.scales is not None:
        found *= problem.scales**2
    return 1.0 + 0.25 * np.append(found, problem.cost)
