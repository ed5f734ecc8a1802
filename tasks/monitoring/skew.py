"""Skew of the logged answers: the model that is registered answers their inputs once more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from sklearn.pipeline import Pipeline

from perennial.config.problem import Problem
from perennial.inputs.base import Inputs, TextInputs
from perennial.inputs.encoder import fields_of, required_of
from perennial.inputs.records import TabularInputs
from perennial.monitoring.skew import Skew, compare_answers
from perennial.stores.logged_inputs import logged_input
from perennial.stores.prediction_log import Prediction
from tasks.training.train import predict

# Answers of one model come from one predictor: what is wrong with it shows in a few.
_MOST = 500


def measure_skew(problem: Problem, model: Pipeline, newest: Sequence[Prediction]) -> Skew:
    """Return how far the newest answers of a version are from what its model says of their inputs.

    Parameters
    ----------
    problem : Problem
        The problem.
    model : Pipeline
        The version's model, as it is registered.
    newest : sequence of Prediction
        Its predictions, of which those count that were kept with their input.
    """
    inputs = _inputs_of(problem, model)
    usable = [
        (entry, found)
        for entry in newest[:_MOST]
        if (found := logged_input(inputs, entry)) is not None
    ]
    if not usable:
        return Skew(0)
    known = problem.with_classes([str(label) for label in model.classes_])
    given = pa.array([found for _, found in usable], inputs.column.type)
    said = predict(known, model, given, np.full(len(usable), known.classes[0]))
    return compare_answers(
        [entry.id for entry, _ in usable],
        (
            [entry.label for entry, _ in usable],
            np.array([entry.probability for entry, _ in usable], np.float64),
        ),
        (
            [known.classes[code] for code in said.predicted],
            said.probabilities[np.arange(len(said)), said.predicted],
        ),
    )


def _inputs_of(problem: Problem, model: Pipeline) -> Inputs:
    """Return what the model takes: the fields of the file may be others by now."""
    fields = fields_of(model)
    return TextInputs(problem) if fields is None else TabularInputs(fields, required_of(model))
