"""What moved the decision of a tabular model: contributions of the fields of a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from perennial.classifiers.linear_form import linear_form
from perennial.classifiers.threshold_classifier import ThresholdClassifier
from perennial.estimators import spec_of
from perennial.estimators.base import towards
from perennial.fields.base import LARGEST
from perennial.inference.base import PipelinePredictor, require_class
from perennial.inference.contribution import Contribution
from perennial.inputs.encoder import FieldEncoder

Floats = NDArray[np.float64]


class TabularPredictor(PipelinePredictor):
    """A tabular model as a predictor: the pipeline's probabilities, with reasons.

    A field of a linear model contributes weight times value, in log-odds. The estimators in
    `perennial.estimators` say what it contributes to other models; those that say nothing are not
    explained.

    Of more than two classes, log-odds are the label's score against the mean score of all classes.
    With the value for a record without any contribution they add up to the model's output.
    """

    def __init__(self, model: Pipeline) -> None:
        super().__init__(model)
        self._encoder: FieldEncoder = model[1]

    def probabilities(self, inputs: Sequence[Any]) -> Floats:
        """Return the probabilities of each record; see `Predictor`.

        Numbers that models take may be beyond them once they are scaled, by what training has seen.
        """
        found = np.full((len(inputs), len(self.classes)), np.nan)
        matrix = self._prepare(inputs)
        usable = (np.abs(matrix) <= LARGEST).all(axis=1)
        if usable.all():
            found = self._estimate(matrix)
        elif usable.any():
            found[usable] = self._estimate(matrix[usable])
        broken = ~np.isfinite(found).all(axis=1)
        if broken.any():
            found[broken] = np.nan
        return found

    def beyond(self, given: Any) -> str | None:
        """Return the first field whose prepared value is beyond the model."""
        (row,) = self._prepare([given])
        beyond = np.flatnonzero(~(np.abs(row) <= LARGEST))
        return self._encoder.fields_[beyond[0]] if len(beyond) else None

    def _prepare(self, records: Sequence[Any]) -> Floats:
        """Return the matrix that the estimator gets, shape (n_records, n_columns)."""
        if not len(records):
            return np.empty((0, 0))
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(self._model[:-1].transform(records), np.float64)

    def _estimate(self, matrix: Floats) -> Floats:
        if not len(matrix):
            return np.empty((0, len(self.classes)))
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(self._model[-1].predict_proba(matrix), np.float64)

    def explain(self, text: Any, label: str, limit: int | None = 20) -> list[Contribution]:
        """Return what moves the decision on this record most; see `Predictor`."""
        position = require_class(label, self.classes)
        columns = self._columns(text, position)
        if columns is None:
            return []
        sums: dict[str, float] = {}
        for field, value in zip(self._encoder.fields_, columns.tolist(), strict=True):
            sums[field] = sums.get(field, 0.0) + value
        found = [Contribution(field, value, ()) for field, value in sums.items()]
        found.sort(key=lambda each: (-abs(each.contribution), each.feature))
        return found[:limit]

    def _columns(self, record: Mapping[str, Any], position: int) -> Floats | None:
        """Return what each column of the estimator's matrix contributes, shape (n_columns,)."""
        row, estimator = self._model[:-1].transform([record]), self._model[-1]
        form = linear_form(estimator)
        if form is not None:
            return towards(form.weights * row, position)
        if isinstance(estimator, ThresholdClassifier):
            # A threshold changes the labels and not what moves the probabilities.
            estimator = estimator.estimator_
        spec = spec_of(estimator)
        if spec is None or spec.contributions is None:
            return None
        return spec.contributions(estimator, row, position)
