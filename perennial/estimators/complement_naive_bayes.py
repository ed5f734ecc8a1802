"""Complement naive Bayes: each class is learned from the documents of all the others.

Its estimates are steadier than those of multinomial naive Bayes where some classes have few
documents (Rennie et al., Tackling the Poor Assumptions of Naive Bayes Text Classifiers, ICML 2003).
"""

from __future__ import annotations

from typing import Any

from perennial.estimators.base import EstimatorSpec, LinearForm, log_likelihoods


def _linear_form(classifier: Any) -> LinearForm:
    import numpy as np

    # The shares of the classes play no part in it.
    weights = classifier.feature_log_prob_
    return log_likelihoods(weights, np.zeros(len(weights)))


ESTIMATOR = EstimatorSpec(
    name="complement_naive_bayes",
    class_path="sklearn.naive_bayes:ComplementNB",
    parameters=("alpha", "class_prior", "fit_prior", "force_alpha", "norm"),
    accepts_negative=False,
    linear_form=_linear_form,
)
