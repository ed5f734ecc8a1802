"""The interface of predictors, and the predictor that works for any pipeline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from perennial.classifiers.threshold_classifier import ThresholdClassifier
from perennial.concurrency import Steps, finish
from perennial.inference.contribution import Contribution, Explanation
from perennial.inference.occlusion import occlude_words
from perennial.inference.warnings import InputWarning, warnings_of
from perennial.thresholds.threshold import decide

# Of each input, none of most.
Warnings = Sequence[Sequence[InputWarning]]


class Assessment(NamedTuple):
    """What a model says about inputs.

    Attributes
    ----------
    probabilities : ndarray of float64, shape (n_inputs, n_classes)
        Probability of each class.
    warnings : sequence or None
        What of each input the model could not go by; None if no input has a warning.
    known : sequence of float
        How much of each input the model knows, from 0 to 1: the share of the words of a text, or
        of the fields of a record, that it could go by.
    """

    probabilities: NDArray[np.float64]
    warnings: Warnings | None
    known: Sequence[float]


class Predictor(Protocol):
    """A model that gives probabilities for raw inputs; threads may share one."""

    classes: tuple[str, ...]
    has_low_call_overhead: bool
    """Whether inputs in many calls take about as long as in one."""

    def probabilities(self, inputs: Sequence[Any]) -> NDArray[np.float64]:
        """Return the probability of each class, shape (n_inputs, n_classes).

        A row of NaN says that the input is beyond what the model computes with; `beyond` names the
        field.
        """
        ...

    def assess(self, inputs: Sequence[Any]) -> Assessment:
        """Return what `probabilities` and `warnings` do, and how much of each input is known."""
        ...

    def beyond(self, given: Any) -> str | None:
        """Return the field of a record that the model cannot compute with; None if it is none."""
        ...

    def warnings(self, given: Any) -> Sequence[InputWarning]:
        """Return what of an input the model does not go by; none of most inputs."""
        ...

    def decide(self, probabilities: NDArray[np.float64]) -> list[int]:
        """Return the position in `classes` of the label that the model gives, for each row."""
        ...

    def explain(self, text: Any, label: str, limit: int | None = 20) -> list[Contribution]:
        """Return what moves the decision on this input most, the largest first.

        Parameters
        ----------
        text : str, or mapping of str to value
            The text, or the record of fields, as it was sent.
        label : str
            The class towards which positive contributions move.
        limit : int or None
            How many contributions at most; None means all.

        Raises
        ------
        ValueError
            If there is no such class.
        """
        ...

    def explanation(self, text: Any, label: str, limit: int | None = 20) -> Explanation:
        """Return what `explain` does, with what is missing so that it adds up."""
        ...

    def explanation_in_steps(
        self, text: Any, label: str, limit: int | None = 20
    ) -> Steps[Explanation]:
        """Do what `explanation` does, so that others can be answered between two steps.

        No step is much more work than the probabilities of one input.
        """
        ...


class DecidingPredictor(ABC):
    """The labels that a model gives for its probabilities."""

    def __init__(self, model: Pipeline) -> None:
        self.classes: tuple[str, ...] = tuple(map(str, model.classes_))
        weights = model[-1].weights if isinstance(model[-1], ThresholdClassifier) else None
        self._label_weights = None if weights is None else np.array(weights)

    def decide(self, probabilities: NDArray[np.float64]) -> list[int]:
        """Return the position in `classes` of the label that the model gives, for each row."""
        weights = self._label_weights
        if weights is None and len(probabilities) == 1:
            # Most requests are so; NumPy would hand the interpreter to other threads meanwhile.
            row: list[float] = probabilities[0].tolist()
            return [row.index(max(row))]
        found = probabilities.argmax(axis=1) if weights is None else decide(probabilities, weights)
        positions: list[int] = found.tolist()
        return positions

    def beyond(self, given: Any) -> str | None:
        """Return None: texts are counted, and no count is too large."""
        return None

    def warnings(self, given: Any) -> Sequence[InputWarning]:
        """Return that nothing of a text was recognised, if it is so."""
        found = self.assess([given]).warnings
        return () if found is None else found[0]

    def explain(self, text: Any, label: str, limit: int | None = 20) -> list[Contribution]:
        """Return what moves the decision on this input most; see `Predictor`."""
        return list(self.explanation(text, label, limit).contributions)

    def explanation(self, text: Any, label: str, limit: int | None = 20) -> Explanation:
        """Return what moves the decision on this input, and from where; see `Predictor`."""
        return finish(self.explanation_in_steps(text, label, limit))

    @abstractmethod
    def explanation_in_steps(
        self, text: Any, label: str, limit: int | None = 20
    ) -> Steps[Explanation]:
        """Do what `explanation` does, step by step; see `Predictor`."""

    @abstractmethod
    def assess(self, inputs: Sequence[Any]) -> Assessment:
        """Return probabilities, warnings and known shares; see `Predictor`."""


class PipelinePredictor(DecidingPredictor):
    """Any fitted pipeline of scikit-learn for texts as a predictor."""

    has_low_call_overhead = False

    def __init__(self, model: Pipeline) -> None:
        super().__init__(model)
        self._model = model

    def probabilities(self, inputs: Sequence[Any]) -> NDArray[np.float64]:
        """Return what the pipeline's ``predict_proba`` does; no rows for no inputs."""
        if not len(inputs):
            return np.empty((0, len(self.classes)))
        return np.asarray(self._model.predict_proba(inputs), np.float64)

    def assess(self, inputs: Sequence[Any]) -> Assessment:
        """Return probabilities, warnings and known shares; see `Predictor`."""
        known = recognised(self._model, inputs)
        return Assessment(self.probabilities(inputs), warnings_of(known), known)

    def explanation_in_steps(
        self, text: Any, label: str, limit: int | None = 20
    ) -> Steps[Explanation]:
        """Return what changes without each word; see `perennial.inference.occlusion`."""
        return (yield from occluded(self, text, label, limit))


def occluded(predictor: Predictor, text: str, label: str, limit: int | None) -> Steps[Explanation]:
    """Return what changes in a predictor's answer without each word, step by step."""
    position = require_class(label, predictor.classes)
    found, score = yield from occlude_words(text, position, predictor.probabilities)
    return Explanation.of(found, score - sum(each.contribution for each in found), limit)


def recognised(model: Pipeline, texts: Sequence[str]) -> list[float]:
    """Return for which share of each text's tokens a model has a feature; 0 without tokens.

    Of groups of characters one that is known is enough, as for a compiled model.
    """
    if not len(texts):
        return []
    tokens = model[0].transform(texts)
    known, _ = model[1].recognised(tokens.vocabulary)
    documents = np.repeat(np.arange(len(tokens)), tokens.lengths)
    counts = np.bincount(documents, weights=known[tokens.ids] > 0, minlength=len(tokens))
    found: list[float] = (counts / np.maximum(tokens.lengths, 1)).tolist()
    return found


def require_several(inputs: Sequence[str]) -> None:
    """Raise `TypeError` for one text in place of a sequence of texts."""
    if isinstance(inputs, str):
        raise TypeError("expected a sequence of texts, got one text; put it into a list")


def require_class(label: str, classes: tuple[str, ...]) -> int:
    """Return the position of a label; raise `ValueError` if there is no such class."""
    if label not in classes:
        raise ValueError(f"There is no class {label!r}; the model has {', '.join(classes)}.")
    return classes.index(label)
