"""Multinomial naive Bayes: how often each feature occurs in each class, learned in one pass."""

from __future__ import annotations

from typing import Any

from perennial.estimators.base import EstimatorSpec, LinearForm, log_likelihoods


def _linear_form(classifier: Any) -> LinearForm:
    return log_likelihoods(classifier.feature_log_prob_, classifier.class_log_prior_)


ESTIMATOR = EstimatorSpec(
    name="multinomial_naive_bayes",
    class_path="sklearn.naive_bayes:MultinomialNB",
    parameters=("alpha", "class_prior", "fit_prior", "force_alpha"),
    accepts_negative=False,
    linear_form=_linear_form,
)
