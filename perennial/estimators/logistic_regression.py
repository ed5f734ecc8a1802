"""Logistic regression: linear in its features, its probabilities calibrated by nature.

The solver ``liblinear`` learns each of more than two labels against the rest.
"""

from perennial.estimators.base import BinaryLimit, EstimatorSpec, coefficients

ESTIMATOR = EstimatorSpec(
    name="logistic_regression",
    class_path="sklearn.linear_model:LogisticRegression",
    parameters=(
        "C",
        "class_weight",
        "dual",
        "fit_intercept",
        "intercept_scaling",
        "l1_ratio",
        "max_iter",
        "n_jobs",
        "penalty",
        "random_state",
        "solver",
        "tol",
        "verbose",
        "warm_start",
    ),
    binary_limits=(BinaryLimit(parameter="solver", value="liblinear"),),
    linear_form=coefficients,
)
