"""A holdout is answered a part at a time, with the answers of all of it at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

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
