"""Candidates: from their specification in a problem to scikit-learn pipelines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.pipeline import Pipeline

from perennial.classifiers.stacked import StackedClassifier
from perennial.config.problem import Problem
from perennial.config.sections.candidates import (
    Candidate,
    Features,
    TabularCandidate,
    TabularFeatures,
)
from perennial.embeddings.counter import EmbeddedCounter
from perennial.embeddings.encoder import width_of
from perennial.encoders.imputer import FieldImputer
from perennial.encoders.target import CategoryTargetEncoder
from perennial.estimators import ESTIMATORS
from perennial.fields import KINDS
from perennial.inputs.base import inputs_of
from perennial.inputs.encoder import FieldEncoder, FieldReader, FieldScaler, width_of_numbers
from perennial.text.characters import CharacterCounter
from perennial.text.ngrams import NgramCounter
from perennial.text.normalizer import TextNormalizer
from perennial.text.words_and_characters import WordAndCharacterCounter

Normalizer = TextNormalizer | FieldReader
TextCounter = NgramCounter | CharacterCounter | WordAndCharacterCounter
Counter = TextCounter | EmbeddedCounter | FieldEncoder


def build_normalizer(problem: Problem, candidate: Candidate | TabularCandidate) -> Normalizer:
    """Return the first step of a candidate: raw inputs to tokens, or to columns."""
    if isinstance(candidate, TabularCandidate):
        inputs = inputs_of(problem)
        return FieldReader(dict(inputs.fields or {}), required=list(inputs.required))
    return TextNormalizer(**problem.preparations[candidate.preparation].model_dump())


def build_counter(features: Features | TabularFeatures) -> Counter:
    """Return the second step of a candidate, not yet fitted: tokens or columns to a matrix."""
    if isinstance(features, TabularFeatures):
        return FieldEncoder(
            categories=features.categories,
            min_documents=features.min_documents,
            max_categories=features.max_categories,
            texts=features.texts.model_dump(),
        )
    counter = _build_text_counter(features)
    if features.embedding == "none":
        return counter
    return EmbeddedCounter(counter, features.embedding)


def _build_text_counter(features: Features) -> TextCounter:
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
    """Return the steps of a candidate after the counts: weighting, or what records need.

    None of them is fitted yet.
    """
    candidate = problem.candidates[name]
    steps: list[tuple[str, BaseEstimator]] = []
    if isinstance(candidate, TabularCandidate):
        steps += _steps_of_records(problem, candidate)
    elif candidate.features.weighting == "tfidf":
        steps.append(("weigh", TfidfTransformer(sublinear_tf=candidate.features.sublinear)))
    steps.append(("classify", _estimator(problem, candidate)))
    if isinstance(candidate, Candidate) and candidate.features.embedding != "none":
        width = width_of(candidate.features.embedding)
        stacked = StackedClassifier(Pipeline(steps), width=width, random_state=problem.seed)
        return Pipeline([("classify", stacked)])
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
        **_flat("features", candidate.features.model_dump()),
        **prepare,
        "seed": problem.seed,
    }


def _flat(name: str, values: Mapping[str, object]) -> dict[str, object]:
    """Return values by their paths below a name."""
    found: dict[str, object] = {}
    for key, value in values.items():
        path = f"{name}.{key}"
        found |= _flat(path, value) if isinstance(value, Mapping) else {path: value}
    return found


def assemble(normalizer: Normalizer, counter: Counter, classifier: Pipeline) -> Pipeline:
    """Return the whole model, raw inputs to labels and probabilities, from its fitted parts."""
    return Pipeline([("normalize", normalizer), ("count", counter), *classifier.steps])


def _steps_of_records(
    problem: Problem, candidate: TabularCandidate
) -> Iterator[tuple[str, BaseEstimator]]:
    """Yield what comes between the matrix of records and the estimator."""
    inputs, features = inputs_of(problem), candidate.features
    fields = inputs.fields or {}
    targets = sum(KINDS[kind].encoding == "category" for kind in fields.values())
    dense = width_of_numbers(fields)
    if features.categories == "target" and targets:
        yield "target", CategoryTargetEncoder(targets, random_state=problem.seed)
        n_outputs = len(problem.classes) if len(problem.classes) > 2 else 1
        dense += targets * n_outputs
    missing = ESTIMATORS[candidate.estimator].missing
    optional = {name: kind for name, kind in fields.items() if name not in inputs.required}
    if missing != "accepted" and width_of_numbers(optional):
        yield "impute", FieldImputer(dense, keep_dense=missing == "dense")
    if features.scale == "standard":
        yield "scale", FieldScaler(dense=dense)


def _estimator(problem: Problem, candidate: Candidate | TabularCandidate) -> BaseEstimator:
    spec = ESTIMATORS[candidate.estimator]
    estimator: BaseEstimator = spec.build()
    # An estimator inside of another draws, too.
    seeds = [key for key in estimator.get_params() if key.rpartition("__")[2] == "random_state"]
    estimator.set_params(**dict.fromkeys(seeds, problem.seed) | candidate.parameters)
    found: BaseEstimator = spec.for_labels(estimator, len(problem.classes))
    return found
