"""What an explanation weighs is what it costs of this very model."""

from __future__ import annotations

from typing import Any

import pytest

from serving.models import loaded


class Predictor:
    """A predictor that takes so many seconds of a clock for an answer, and for an explanation."""

    classes = ("no", "yes")

    def __init__(self, answer: float, explanation: float) -> None:
        self.now, self.explained = 0.0, list[str]()
        self._answer, self._explanation = answer, explanation

    def assess(self, inputs: list[str]) -> None:
        self.now += self._answer * len(inputs)

    def explanation(self, text: str, label: str) -> None:
        assert label in self.classes
        self.explained.append(text)
        self.now += self._explanation


def _cost(predictor: Any, inputs: list[str], monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(loaded, "thread_time", lambda: predictor.now)
    return loaded._explanation_cost(predictor, inputs)


@pytest.mark.parametrize(("explanation", "cost"), [(0.0, 1), (0.25, 2), (32.0, 129)])
def test_explanations_weigh_what_they_take_beside_their_answers(
    explanation: float, cost: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _cost(Predictor(0.25, explanation), ["a", "b"], monkeypatch) == cost


def test_a_costly_model_is_measured_on_few_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor(0.25, 1.0)

    assert _cost(predictor, ["a", "b", "c"], monkeypatch) == 5
    assert set(predictor.explained) == {"a"}


def test_without_inputs_to_measure_nothing_is_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _cost(Predictor(1.0, 1.0), [], monkeypatch) == 1
