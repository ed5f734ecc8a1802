"""What moved the decision of a tabular model: contributions of the fields of a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier

from perennial.estimators.linear_form import linear_form
from perennial.estimators.threshold_classifier import Decided
from perennial.estimators.xgboost import BoostedTrees
from perennial.inference.base import PipelinePredictor, require_class
from perennial.inference.contribution import Contribution
from perennial.inputs.encoder import FieldEncoder

Floats = NDArray[np.float64]


class TabularPredictor(PipelinePredictor):
    """A tabular model as a predictor: the pipeline's probabilities, with reasons.

    What a field contributes depends on the kind of model:

    - linear: weight times value, in log-odds;
    - `BoostedTrees`: its TreeSHAP values, in log-odds;
    - decision tree and random forest: along the path of the record through a tree, each split
      changes the share of the label among the training documents, and the change is the split
      field's; a forest takes the mean of its trees. In probability (Saabas 2014, the method of
      ``treeinterpreter``);
    - others: nothing.

    Of more than two classes, log-odds are the label's score against the mean score of all classes.
    With the value for a record without any contribution they add up to the model's output.
    """

    def __init__(self, model: Pipeline) -> None:
        super().__init__(model)
        self._encoder: FieldEncoder = model[1]

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
            return _towards(form.weights * row, position)
        if isinstance(estimator, Decided):
            # What decides about labels leaves open what moves the probabilities.
            estimator = estimator.estimator_
        explain = _BY_KIND.get(type(estimator))
        return None if explain is None else explain(estimator, row, position)


def _towards(outputs: Floats, position: int) -> Floats:
    """Return contributions to one class against the others, from those to each output."""
    if len(outputs) == 1:
        outputs = np.vstack([-outputs, outputs])
        return np.asarray(outputs[position], np.float64)
    return np.asarray(outputs[position] - outputs.mean(axis=0), np.float64)


def _of_boosted(estimator: BoostedTrees, row: Floats, position: int) -> Floats:
    return _towards(estimator.contributions(row)[0, :, :-1], position)


def _of_tree(estimator: DecisionTreeClassifier, row: Floats, position: int) -> Floats:
    tree = estimator.tree_
    # Nodes are numbered from the root down, so that their order is the way of the record.
    path = estimator.decision_path(row).indices
    shares = tree.value[path, 0, :]
    shares = shares[:, position] / shares.sum(axis=1)
    found = np.zeros(row.shape[1])
    np.add.at(found, tree.feature[path[:-1]], np.diff(shares))
    return found


def _of_forest(estimator: RandomForestClassifier, row: Floats, position: int) -> Floats:
    trees = [_of_tree(tree, row, position) for tree in estimator.estimators_]
    return np.asarray(np.mean(trees, axis=0), np.float64)


_BY_KIND: Mapping[type, Callable[[Any, Floats, int], Floats]] = {
    BoostedTrees: _of_boosted,
    DecisionTreeClassifier: _of_tree,
    RandomForestClassifier: _of_forest,
}
