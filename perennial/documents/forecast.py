"""Forecasts: whether a document will be used, before anything is stored of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from perennial.config.problem import Problem
from perennial.documents.keys import NULL, field_label_key, label_key
from perennial.fields.base import describe
from perennial.inputs.base import inputs_of
from perennial.inputs.validation import require, require_date
from perennial.paths import read
from perennial.reasons import Reason, ReasonCode, UnusableError
from perennial.text.normal_form import normal_value


class Forecast:
    """Counts why documents will go to quarantine, by the reasons that a retraining will give.

    What shows only beside other documents, such as a copy with another label, is not foreseen.

    Parameters
    ----------
    problem : Problem
        By which they are judged.

    Attributes
    ----------
    documents : int
        How many were looked at.
    reasons : Counter of Reason
        Why some will not be used.
    examples : dict of Reason to str
        What is wrong with the first one of each reason, with the value.
    """

    def __init__(self, problem: Problem) -> None:
        self._inputs, self._names = inputs_of(problem), problem.source.fields
        merged = problem.merge_labels
        known = {
            value
            for name, stored in problem.labels.items()
            for value in (stored, *merged.get(name, ()))
        }
        self._labels = {label_key(value) for value in known} | {
            label_key(normal_value(value)) for value in known if isinstance(value, str)
        }
        self.documents = 0
        self.reasons: Counter[Reason] = Counter()
        self.examples: dict[Reason, str] = {}

    @property
    def quarantined(self) -> int:
        """How many documents will go to quarantine."""
        return sum(self.reasons.values())

    def add(self, document: Mapping[str, Any]) -> None:
        """Look at one document."""
        self.documents += 1
        try:
            require_date(document, self._names.created_at)
            self._inputs.read(document)
            self._require_label(document)
        except UnusableError as error:
            self.reasons[error.reason] += 1
            self.examples.setdefault(error.reason, str(error))

    def _require_label(self, document: Mapping[str, Any]) -> None:
        path = self._names.label
        key = field_label_key(document, path)
        if key in self._labels:
            return
        value = require(document, path)
        if isinstance(value, str) and label_key(normal_value(value)) in self._labels:
            return
        if key is None or key == NULL or isinstance(value, dict | list):
            why = f"is {describe(value)}, not a label"
            raise UnusableError(ReasonCode.WRONG_TYPE, path, why, value=value)
        raise UnusableError(ReasonCode.UNKNOWN_LABEL, path, value=read(document, path))
