"""Validation documents: which training documents choose the challenger."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.config.validation import Validation
from perennial.hashing import unit


def validation_parts(validation: Validation, hashes: pa.Array) -> list[NDArray[np.bool_]]:
    """Return the documents of each part that is predicted by models fitted on all others.

    The part of a document is a property of its content, independent of the holdout, so copies stay
    together and every retraining agrees.

    Parameters
    ----------
    validation : Validation
        A share, or a number of folds.
    hashes : Array of bytes, shape (n_documents,)
        Content hashes of the training documents.
    """
    place = unit(hashes, 1)
    if validation.folds is None:
        return [place < (validation.share or 0.0)]
    fold = (place * validation.folds).astype(np.int64)
    return [fold == number for number in range(validation.folds)]
