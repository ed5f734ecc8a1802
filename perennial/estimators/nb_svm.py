"""NB-SVM: logistic regression that trusts a feature as far as naive Bayes does."""

from perennial.estimators.base import BinaryLimit, EstimatorSpec, coefficients

ESTIMATOR = EstimatorSpec(
    name="nb_svm",
    class_path="perennial.classifiers.nb_svm:NbSvm",
    parameters=("C", "alpha", "beta", "max_iter", "random_state", "tol"),
    binary_limits=(BinaryLimit(instead=("linear_svm", "logistic_regression")),),
    linear_form=coefficients,
)
