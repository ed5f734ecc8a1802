"""Candidates: from their specification in a problem to scikit-learn pipelines."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.pipeline import Pipeline

from perennial.config.candidates import Candidate, Features, TabularCandidate, TabularFeatures
from perennial.config.problem import Problem
from perennial.estimators import ESTIMATORS
from perennial.inputs.encoder import FieldEncoder, FieldReader, FieldScaler
from perennial.text.characters import CharacterCounter
from perennial.text.ngrams import NgramCounter
from perennial.text.normalizer import TextNormalizer
from perennial.text.words_and_characters import WordAndCharacterCounter

Normalizer = TextNormalizer | FieldReader
Counter = NgramCounter | CharacterCounter | WordAndCharacterCounter | FieldEncoder


def build_normalizer(problem: Problem, candidate: Candidate | TabularCandidate) -> Normalizer:
    """Return the first step of a candidate: raw inputs to tokens, or to columns."""
    if isinstance(candidate, TabularCandidate):
        return FieldReader(dict(problem.inputs or {}))
    return TextNormalizer(**problem.preparations[candidate.preparation].model_dump())


def build_counter(features: Features | TabularFeatures) -> Counter:
    """Return the second step of a candidate, not yet fitted: tokens or columns to a matrix."""
    if isinstance(features, TabularFeatures):
        return FieldEncoder()
    limits: dict[str, Any] = {
        "min_documents": features.min_documents,
        "max_features": features.max_features,
        "binary": features.binary,
    }
    shortest, longest = features.character_lengths
    if features.analyzer == "characters":
        return CharacterCounter(shortest=shortest, longest=longest, **limits)
    if features.analyzer == "both":
        return WordAndCharacterCounter(
            bigrams=features.bigrams, shortest=shortest, longest=longest, **limits
        )
    return NgramCounter(bigrams=features.bigrams, **limits)


def build_classifier(problem: Problem, name: str) -> Pipeline:
    """Return the steps of a candidate after the counts: weighting or scale, and estimator.

    None of them is fitted yet.
    """
    candidate = problem.candidates[name]
    steps: list[tuple[str, BaseEstimator]] = []
    if isinstance(candidate, TabularCandidate):
        if candidate.features.scale == "standard":
            steps.append(("scale", FieldScaler()))
    elif candidate.features.weighting == "tfidf":
        steps.append(("weigh", TfidfTransformer(sublinear_tf=candidate.features.sublinear)))
    steps.append(("classify", _estimator(problem, candidate)))
    return Pipeline(steps)


def parameters_of(problem: Problem, name: str) -> dict[str, object]:
    """Return the whole specification of a candidate as parameters of a run."""
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


def _estimator(problem: Problem, candidate: Candidate | TabularCandidate) -> BaseEstimator:
    spec = ESTIMATORS[candidate.estimator]
    estimator: BaseEstimator = spec.build()
    # An estimator inside of another draws, too.
    seeds = [key for key in estimator.get_params() if key.rpartition("__")[2] == "random_state"]
    estimator.set_params(**dict.fromkeys(seeds, problem.seed) | candidate.parameters)
    found: BaseEstimator = spec.for_labels(estimator, len(problem.classes))
    return found
