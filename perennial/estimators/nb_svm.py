"""NB-SVM: logistic regression that trusts a feature as far as naive Bayes does.

Each of more than two labels is learned against the rest, with a ratio of its own.
"""

from perennial.estimators.base import BinaryLimit, EstimatorSpec, coefficients

ESTIMATOR = EstimatorSpec(
    name="nb_svm",
    class_path="perennial.classifiers.nb_svm:NbSvm",
    parameters=("C", "alpha", "beta", "class_weight", "max_iter", "random_state", "tol"),
    binary_limits=(BinaryLimit(),),
    linear_form=coefficients,
)
