"""The quickest predictor that answers as a fitted model does."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from perennial.inference.base import PipelinePredictor, Predictor
from perennial.inference.compiling import compile_text_predictor
from perennial.inference.tabular import TabularPredictor
from perennial.inputs.encoder import fields_of
from perennial.registry.artifact import TOLERANCE

_LOGGER = logging.getLogger(__name__)


def build_predictor(model: Pipeline, check: Sequence[Any]) -> Predictor:
    """Return the quickest predictor that answers as the model does.

    Parameters
    ----------
    model : Pipeline
        A fitted model, raw inputs to probabilities.
    check : sequence of str
        Inputs for which a compiled predictor must give the model's probabilities (to `TOLERANCE`)
        before it is trusted. Without any it is trusted as it is.
    """
    if fields_of(model) is not None:
        return TabularPredictor(model)
    pipeline = PipelinePredictor(model)
    compiled = compile_text_predictor(model)
    if compiled is None:
        kinds = " > ".join(type(step).__name__ for _, step in model.steps)
        _LOGGER.info("The model is used as the pipeline it is: %s cannot be compiled.", kinds)
        return pipeline
    differences = np.abs(compiled.probabilities(check) - pipeline.probabilities(check))
    largest = float(differences.max(initial=0.0))
    if not largest <= TOLERANCE:
        _LOGGER.warning(
            "The model is used as the pipeline it is: compiled, its probabilities for %d texts "
            "differ by up to %.3g; at most %.3g is allowed.",
            len(check),
            largest,
            TOLERANCE,
        )
        return pipeline
    _LOGGER.info(
        "The model is compiled: its probabilities for %d texts differ by at most %.3g from the "
        "pipeline's.",
        len(check),
        largest,
    )
    return compiled
