"""Tabular models as predictors: quick for one record, and with the contributions of its fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from perennial.classifiers.linear_form import linear_form, probabilities_of
from perennial.classifiers.threshold_classifier import unwrapped
from perennial.concurrency import Steps
from perennial.encoders.blocks import Matrix
from perennial.estimators import spec_of
from perennial.estimators.base import towards
from perennial.fields.base import LARGEST
from perennial.inference.base import Assessment, PipelinePredictor, require_class
from perennial.inference.contribution import Contribution, Explanation
from perennial.inference.known_values import known_values
from perennial.inference.occlusion import occlude_fields
from perennial.inference.warnings import InputWarning
from perennial.inputs.encoder import FieldEncoder, FieldReader
from perennial.reasons import WarningCode

Floats = NDArray[np.float64]

_UNKNOWN = "is {!r}, which is none of the categories that the model tells apart"
_UNUSUAL = "is {:.6g}, far from the numbers of training, which are mostly {:.4g} to {:.4g}"
_NOT_GIVEN = "is missing"
_SHOWN = 50


class TabularPredictor(PipelinePredictor):
    """A tabular model as a predictor: the pipeline's probabilities, with reasons.

    A field of a linear model contributes weight times value, in log-odds. The estimators in
    `perennial.estimators` say what it contributes to other models; of those that say nothing, it
    contributes what changes without it: see `perennial.inference.occlusion`.

    Of more than two classes, log-odds are those of the label against the next most probable one.
    """

    def __init__(self, model: Pipeline) -> None:
        super().__init__(model)
        self._steps = [step for _, step in model.steps[:-1]]
        self._reader: FieldReader = self._steps[0]
        self._encoder: FieldEncoder = self._steps[1]
        self._estimator = model[-1]
        self._form = linear_form(self._estimator)
        # A threshold changes the labels and not what moves the probabilities.
        self._inner = unwrapped(self._estimator)
        self._spec = spec_of(self._inner)
        self._takes_missing = self._spec is not None and self._spec.missing != "refused"
        self._ranges = [
            (name, known.low, known.high)
            for name, known in known_values(model).items()
            if known.low is not None and known.high is not None and known.low < known.high
        ]

    def probabilities(self, inputs: Sequence[Any]) -> Floats:
        """Return the probabilities of each record; see `Predictor`.

        Numbers that models take may be beyond them once they are scaled, by what training has seen.
        """
        if not len(inputs):
            return np.empty((0, len(self.classes)))
        matrix = self._prepare(inputs)
        usable = self._usable(matrix)
        if usable.all():
            found = self._estimate(matrix)
        else:
            found = np.full((len(inputs), len(self.classes)), np.nan)
            if usable.any():
                found[usable] = self._estimate(matrix[usable])
        broken = ~np.isfinite(found).all(axis=1)
        if broken.any():
            found[broken] = np.nan
        return found

    def beyond(self, given: Any) -> str | None:
        """Return the first field whose prepared value is beyond the model."""
        matrix = self._prepare([given])
        if self._usable(matrix).all() or not isinstance(matrix, np.ndarray):
            return None
        beyond = np.flatnonzero(~self._within(matrix[0]))
        return self._fields[int(beyond[0])]

    def assess(self, inputs: Sequence[Any]) -> Assessment:
        """Return probabilities, warnings and known shares; see `Predictor`.

        Each field that is missing, or has a category or number unlike those of training, has one
        warning.
        """
        found = [self.warnings(each) for each in inputs]
        n_fields = len(self._reader.fields)
        known = [1 - len(each) / n_fields for each in found]
        return Assessment(self.probabilities(inputs), found if any(found) else None, known)

    def warnings(self, given: Any) -> list[InputWarning]:
        """Return which fields are missing, and which values are unlike those of training.

        A number is if it is farther outside of the range of most documents than that is wide.
        """
        found = [
            InputWarning(WarningCode.MISSING, name, _NOT_GIVEN)
            for name in self._reader.fields
            if given[name] is None
        ]
        for name in self._encoder.unknown(given):
            why = _UNKNOWN.format(given[name][:_SHOWN])
            found.append(InputWarning(WarningCode.UNKNOWN_CATEGORY, name, why))
        for name, low, high in self._ranges:
            value, far = given[name], high - low
            if value is not None and not low - far <= value <= high + far:
                why = _UNUSUAL.format(value, low, high)
                found.append(InputWarning(WarningCode.UNUSUAL_NUMBER, name, why))
        return found

    def _prepare(self, records: Sequence[Any]) -> Matrix:
        """Return the matrix that the estimator gets, shape (n_records, n_columns)."""
        return self._finish(self._encoder.transform(self._reader.transform(records)))

    def _finish(self, encoded: Matrix) -> Matrix:
        found: Any = encoded
        with np.errstate(over="ignore", invalid="ignore"):
            for step in self._steps[2:]:
                found = step.transform(found)
        return found

    def _usable(self, matrix: Matrix) -> NDArray[np.bool_]:
        """Return which rows the estimator can compute with."""
        if isinstance(matrix, np.ndarray):
            return np.asarray(self._within(matrix).all(axis=1), np.bool_)
        wrong = np.flatnonzero(~self._within(np.asarray(matrix.data)))
        usable = np.ones(matrix.shape[0], np.bool_)
        usable[np.searchsorted(np.asarray(matrix.indptr), wrong, side="right") - 1] = False
        return usable

    def _within(self, values: Floats) -> NDArray[np.bool_]:
        within: NDArray[np.bool_] = np.abs(values) <= LARGEST
        return within | np.isnan(values) if self._takes_missing else within

    def _estimate(self, matrix: Matrix) -> Floats:
        with np.errstate(over="ignore", invalid="ignore"):
            form = self._form
            if form is None:
                return np.asarray(self._estimator.predict_proba(matrix), np.float64)
            outputs: list[list[float]] = (matrix @ form.weights.T + form.intercepts).tolist()
        return np.array([probabilities_of(each, form.link) for each in outputs], np.float64)

    @property
    def _fields(self) -> list[str]:
        """The field of each column of the estimator's matrix."""
        fields = self._encoder.fields_
        for step in self._steps[2:]:
            origins = getattr(step, "origins_", None)
            if origins is not None:
                fields = [fields[place] for place in origins]
        return fields

    def explanation_in_steps(
        self, text: Any, label: str, limit: int | None = 20
    ) -> Steps[Explanation]:
        """Return what moves the decision on this record, and from where; see `Predictor`."""
        position = require_class(label, self.classes)
        sums, baseline = yield from self._contributions(text, position)
        found = [Contribution(field, value, ()) for field, value in sums.items()]
        return Explanation.of(found, baseline, limit)

    def _contributions(
        self, record: Mapping[str, Any], position: int
    ) -> Steps[tuple[dict[str, float], float]]:
        """Return what each field contributes, and the baseline."""
        spec = self._spec
        if self._form is None and (spec is None or spec.contributions is None):
            return (yield from self._occluded(record, position))
        row = self._prepare([record])
        sums = dict.fromkeys(self._reader.fields, 0.0)
        columns, values = _entries(row)
        if self._form is not None:
            outputs = np.column_stack(
                [self._form.weights[:, columns] * values, self._form.intercepts]
            )
            *found, baseline = towards(outputs, position, outputs.sum(axis=1)).tolist()
        else:
            assert spec is not None
            assert spec.contributions is not None
            *every, baseline = spec.contributions(self._inner, row, position).tolist()
            columns = np.flatnonzero(every)
            found = [every[column] for column in columns]
        fields = self._fields
        for column, value in zip(columns.tolist(), found, strict=True):
            sums[fields[column]] += value
        return sums, baseline

    def _occluded(
        self, record: Mapping[str, Any], position: int
    ) -> Steps[tuple[dict[str, float], float]]:
        encoded = self._encoder.transform(self._reader.transform([record]))

        def rows(fields: Sequence[str]) -> Matrix:
            return self._finish(self._encoder.without(encoded, fields))

        found, score = yield from occlude_fields(
            rows, list(self._reader.fields), position, self._estimate
        )
        return found, score - sum(found.values())


def _entries(row: Matrix) -> tuple[NDArray[Any], Floats]:
    """Return the columns of a matrix of one row that have a value, and the values."""
    if isinstance(row, np.ndarray):
        return np.arange(row.shape[1]), row[0]
    return np.asarray(row.indices), np.asarray(row.data)
