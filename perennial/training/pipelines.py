"""Candidates: from their specification in a problem to scikit-learn pipelines."""

from __future__ import annotations

from importlib import import_module

from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from perennial.config.fields import TabularFeatures
from perennial.config.problem import Candidate, EstimatorName, Features, Problem, TabularCandidate
from perennial.errors import ProblemError
from perennial.inputs.encoder import FieldEncoder, FieldReader
from perennial.text.ngrams import NgramCounter
from perennial.text.normalizer import TextNormalizer

# Imported when a candidate asks for it: importing every estimator takes seconds.
_ESTIMATORS: dict[EstimatorName, str] = {
    "logistic_regression": "sklearn.linear_model:LogisticRegression",
    "multinomial_naive_bayes": "sklearn.naive_bayes:MultinomialNB",
    "linear_svm": "perennial.estimators.linear_svm:calibrated_linear_svm",
    "nb_svm": "perennial.estimators.nb_svm:NbSvm",
    "decision_tree": "sklearn.tree:DecisionTreeClassifier",
    "random_forest": "sklearn.ensemble:RandomForestClassifier",
    # It takes sparse counts as they are. The histogram-based one needs them dense, and took six
    # times as long on the 1,000 most frequent words of film reviews to be as good.
    "gradient_boosting": "sklearn.ensemble:GradientBoostingClassifier",
    "svm": "perennial.estimators.svm:SupportVectors",
    "xgboost": "perennial.estimators.xgboost:BoostedTrees",
}
Normalizer = TextNormalizer | FieldReader
Counter = NgramCounter | FieldEncoder


def build_normalizer(problem: Problem, candidate: Candidate | TabularCandidate) -> Normalizer:
    """Return the candidate's first step, which reads raw inputs: texts into tokens, or records."""
    if isinstance(candidate, TabularCandidate):
        return FieldReader(dict(problem.inputs or {}))
    return TextNormalizer(**problem.preparations[candidate.preparation].model_dump())


def build_counter(features: Features | TabularFeatures) -> Counter:
    """Return what makes a matrix of what was read, not yet fitted: n-grams, or fields."""
    if isinstance(features, TabularFeatures):
        return FieldEncoder()
    return NgramCounter(
        bigrams=features.bigrams,
        min_documents=features.min_documents,
        max_features=features.max_features,
        binary=features.binary,
    )


def build_classifier(problem: Problem, name: str) -> Pipeline:
    """Return what a candidate does with counts: weighting or scale, and estimator, not yet fitted.

    Raises
    ------
    ProblemError
        If the candidate's parameters are not the estimator's.
    """
    candidate = problem.candidates[name]
    steps: list[tuple[str, BaseEstimator]] = []
    if isinstance(candidate, TabularCandidate):
        if candidate.features.scale == "standard":
            steps.append(("scale", StandardScaler()))
    elif candidate.features.weighting == "tfidf":
        steps.append(("weigh", TfidfTransformer(sublinear_tf=candidate.features.sublinear)))
    steps.append(("classify", _estimator(problem, name, candidate)))
    return Pipeline(steps)


def parameters_of(problem: Problem, name: str) -> dict[str, object]:
    """Return everything that a candidate is, as parameters of a run."""
    candidate = problem.candidates[name]
    prepare: dict[str, object] = {}
    if isinstance(candidate, Candidate):
        steps = problem.preparations[candidate.preparation]
        prepare = {"preparation": candidate.preparation} | {f"prepare.{k}": v for k, v in steps}
    return {
        "candidate": name,
        "estimator": candidate.estimator,
        **{f"estimator.{key}": value for key, value in candidate.parameters.items()},
        **{f"features.{key}": value for key, value in candidate.features},
        **prepare,
        "seed": problem.seed,
    }


def assemble(normalizer: Normalizer, counter: Counter, classifier: Pipeline) -> Pipeline:
    """Return the whole model, raw inputs to labels and probabilities, from its fitted parts."""
    return Pipeline([("normalize", normalizer), ("count", counter), *classifier.steps])


def _estimator(
    problem: Problem, name: str, candidate: Candidate | TabularCandidate
) -> BaseEstimator:
    module, _, attribute = _ESTIMATORS[candidate.estimator].partition(":")
    estimator = getattr(import_module(module), attribute)()
    allowed = estimator.get_params()
    for key, value in candidate.parameters.items():
        if key not in allowed:
            raise ProblemError(
                f"problems/{problem.name}.yaml: candidates.{name}.parameters.{key} is {value!r}, "
                f"but {candidate.estimator} has no such parameter; it has {', '.join(allowed)}."
            )
    # An estimator inside of another draws, too.
    seeds = [key for key in allowed if key.rpartition("__")[2] == "random_state"]
    estimator.set_params(**dict.fromkeys(seeds, problem.seed))
    return estimator.set_params(**candidate.parameters)


def check_candidates(problem: Problem) -> None:
    """Build every candidate once, so that a wrong parameter is found before any work is done.

    Raises
    ------
    ProblemError
        As `build_classifier` does.
    """
    for name in problem.candidates:
        build_classifier(problem, name)
