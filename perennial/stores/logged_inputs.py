"""Inputs of the prediction log as models take them."""

from __future__ import annotations

from typing import Any

from perennial.inputs.base import Inputs
from perennial.reasons import UnusableError
from perennial.stores.prediction_log import Prediction


def logged_input(inputs: Inputs, entry: Prediction) -> Any:
    """Return the input of a prediction; None if it was not kept, or is of another kind.

    Parameters
    ----------
    inputs : Inputs
        What the model takes.
    entry : Prediction
        The prediction.
    """
    if isinstance(entry.input, str) == (inputs.fields is not None):
        return None
    if isinstance(entry.input, str):
        return entry.input
    try:
        return inputs.read(entry.input or {}, limited=False)
    except UnusableError:
        return None
