"""Scores texts by the pipeline itself."""

from __future__ import annotations
from collections.abc import Sequence
from dataclasses import dataclass
import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline


@dataclass(frozen=True)
class Contribution:
    feature: str
    contribution: float
    spans: tuple[tuple[int, int], ...]


class Scorer:
    def __init__(self, model: Pipeline) -> None:
        self._model = model
        self.classes = tuple(str(c) for c in model.classes_)

    def probabilities(self, inputs: Sequence[str]) -> NDArray[np.float64]:
        return self._model.predict_proba(list(inputs))

    def explain(self, text: str, label: str, limit: int | None = 20) -> list[Contribution]:
        return []


def scorer_for(model: Pipeline, check: Sequence[str]) -> Scorer:
    return Scorer(model)
