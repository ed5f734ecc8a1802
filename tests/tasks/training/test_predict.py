"""A holdout is answered a part at a time, with the answers of all of it at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from sklearn.naive_bayes import ComplementNB
from sklearn.pipeline import make_pipeline

from perennial.config.problem import Problem
from tasks.training import train
from tests.small_models import fit_small


@pytest.mark.parametrize("at_once", [1, 7, 50])
def test_answers_do_not_depend_on_how_many_texts_are_prepared_at_a_time(
    problem: Problem,
    snippets: Sequence[tuple[str, int]],
    monkeypatch: pytest.MonkeyPatch,
    at_once: int,
) -> None:
    model = fit_small(snippets[:100])
    texts = pa.array([text for text, _ in snippets[100:150]], pa.large_string())
    labels = np.array([problem.classes[label] for _, label in snippets[100:150]])
    whole = train.predict(problem, model, texts, labels)

    monkeypatch.setattr(train, "_AT_ONCE", at_once)
    found = train.predict(problem, model, texts, labels)

    assert found.predicted.tolist() == whole.predicted.tolist()
    assert found.probabilities.tolist() == whole.probabilities.tolist()


def test_models_that_share_their_first_steps_answer_as_each_alone(
    problem: Problem, snippets: Sequence[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "_AT_ONCE", 20)
    model = fit_small(snippets[:100])
    texts = pa.array([text for text, _ in snippets[100:150]], pa.large_string())
    labels = np.array([problem.classes[label] for _, label in snippets[100:150]])
    learned = [problem.classes[label] for _, label in snippets[:100]]
    simple = make_pipeline(ComplementNB())
    simple.fit(model[:2].transform([text for text, _ in snippets[:100]]), learned)

    found = train.predict_alike(problem, model[:2], [model[2:], simple], texts, labels)

    for alone, each in zip((model, make_pipeline(model[:2], simple)), found, strict=True):
        expected = train.predict(problem, alone, texts, labels)
        assert each.truth.tolist() == expected.truth.tolist()
        assert each.predicted.tolist() == expected.predicted.tolist()
        assert each.probabilities.tolist() == expected.probabilities.tolist()
