"""The version that classifies inputs in batches, in the flow's process or in another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any

from perennial.config.problem import Problem
from perennial.reasons import Reason, ReasonCode
from perennial.registry.client import open_registry
from perennial.settings import get_settings

if TYPE_CHECKING:
    from perennial.inference.base import Predictor
    from perennial.registry.artifact import ModelFile


@dataclass(frozen=True, eq=False)
class BatchPrediction:
    """The predictions for a batch, in its order.

    Attributes
    ----------
    labels : sequence of str
        One per input.
    probabilities : sequence of sequence of float
        Shape (n_inputs, n_classes).
    refused : mapping of int to Reason
        Position of each input with which the model cannot compute -> why; its label and
        probabilities mean nothing.
    """

    labels: Sequence[str]
    probabilities: Sequence[Sequence[float]]
    refused: Mapping[int, Reason]


@dataclass(frozen=True, eq=False)
class Classifier:
    """One version, ready to classify."""

    version: int
    predictor: Predictor

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, in the order of the columns of the probabilities."""
        return self.predictor.classes

    def classify(self, inputs: Sequence[Any]) -> BatchPrediction:
        """Return the predictions for a batch."""
        scores = self.predictor.probabilities(inputs)
        labels = [self.classes[index] for index in self.predictor.decide(scores)]
        refused = {
            index: _why_not(inputs[index], self.predictor.beyond(inputs[index]))
            for index, row in enumerate(scores.tolist())
            if isnan(row[0])
        }
        return BatchPrediction(labels, scores.tolist(), refused)


def _why_not(given: Any, field: str | None) -> Reason:
    """Return the reason why a model gave no probabilities for an input."""
    # A version of the time when records had every value answers no others.
    is_missing = isinstance(given, Mapping) and field in given and given[field] is None
    code = ReasonCode.MISSING if is_missing else ReasonCode.OUT_OF_RANGE
    return Reason(code, field or "inputs")


@dataclass(frozen=True)
class Fetched:
    """A version as it was registered, not verified yet.

    Attributes
    ----------
    problem : str
        Name of the problem.
    version : int
        Its number.
    sha256 : str or None
        Hexadecimal digest of its file, as it was registered.
    file : ModelFile
        The file.
    """

    problem: str
    version: int
    sha256: str | None
    file: ModelFile

    def opened(self) -> Classifier:
        """Return the version, verified and compiled.

        Raises
        ------
        OutsideError
            If it is not what was registered.
        """
        from perennial.inference.predictor import build_predictor
        from perennial.registry.artifact import open_model

        name = f"Version {self.version} of {self.problem!r}"
        model = open_model(self.file, self.sha256, name)
        return Classifier(self.version, build_predictor(model, self.file.golden.inputs))


def fetch_production(problem: Problem) -> Fetched:
    """Return the files of the version that is in Production now.

    Raises
    ------
    OutsideError
        If there is none, or if MLflow cannot be used.
    """
    registry = open_registry(get_settings())
    production = registry.require_production(problem.name)
    file = registry.fetch(production)
    return Fetched(problem.name, production.version, production.sha256, file)


def load_classifier(problem: Problem) -> Classifier:
    """Return the version that is in Production now, verified and compiled.

    Raises
    ------
    OutsideError
        If there is none, if it is not what was registered, or if MLflow cannot be used.
    """
    return fetch_production(problem).opened()
