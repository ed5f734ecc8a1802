"""Which training documents choose the challenger."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from modeling.schema import Schema
from modeling.values import unit


class Validation(Schema):
    """A share of the training documents, or folds of them when there are few.

    In a file a bare number is the share: ``validation: 0.1`` or ``validation: {folds: 5}``.
    """

    share: float | None = Field(default=None, gt=0, lt=1)
    folds: int | None = Field(
        default=None,
        ge=2,
        le=100,
        description="every document is predicted once, by cross-validation",
    )

    @model_validator(mode="before")
    @classmethod
    def _read_number(cls, value: Any) -> Any:
        return value if isinstance(value, dict | Validation) else {"share": value}

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.share is None) == (self.folds is None):
            raise ValueError("give either a share or a number of folds")
        return self

    def parts(self, hashes: pa.Array) -> list[NDArray[np.bool_]]:
        """Return the documents of each part that is predicted by models fitted on all others.

        It is a property of a document's content, independent of the holdout, so copies stay
        together and every retraining agrees.

        Parameters
        ----------
        hashes : Array of bytes, shape (n_documents,)
            Content hashes of the training documents.
        """
        place = unit(hashes, 1)
        if self.folds is None:
            return [place < (self.share or 0.0)]
        fold = (place * self.folds).astype(np.int64)
        return [fold == number for number in range(self.folds)]
