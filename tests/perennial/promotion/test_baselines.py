"""Baselines: a challenger stands beside a constant answer and a simple model, with intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from perennial.metrics import Predictions
from perennial.promotion.baselines import compare_baselines
from perennial.training.simple import simple_model


def right_in(share: float, seed: int, documents: int = 1_000) -> Predictions:
    """Predictions of a model that is right so often; of the documents two thirds are bad."""
    rng = np.random.default_rng(seed)
    truth = (np.arange(documents) % 3 == 0).astype(np.int64)
    predicted = np.where(rng.random(documents) < share, truth, 1 - truth)
    return Predictions(("bad", "good"), truth, predicted, np.eye(2)[predicted])


def test_the_best_constant_answer_is_named_and_the_simple_model_stands_beside_it() -> None:
    found = list(
        compare_baselines(
            "accuracy",
            right_in(0.9, seed=1),
            {"naive Bayes": right_in(0.8, seed=2), "twin": right_in(0.9, seed=3)},
            confidence=0.95,
            seed=0,
        )
    )

    assert [each.name for each in found] == ["the best constant answer, bad", "naive Bayes", "twin"]
    constant, bayes, twin = found
    assert constant.value == pytest.approx(0.666)
    assert constant.conclusion == bayes.conclusion == "the challenger is better"
    assert 0 < bayes.gain.low < bayes.gain.value < 0.2
    assert twin.conclusion == "not proved to be worse"


def test_a_challenger_that_a_simple_model_beats_is_said_to_be_worse() -> None:
    better = {"naive Bayes": right_in(0.9, seed=2)}
    found = list(
        compare_baselines("accuracy", right_in(0.7, seed=1), better, confidence=0.95, seed=0)
    )

    assert found[-1].conclusion == "the challenger is worse"


@pytest.mark.parametrize(
    ("matrix", "name"),
    [
        (sparse.csr_array(np.eye(40)[:, :4] + 1), "naive Bayes on the same features"),
        (-sparse.csr_array(np.eye(40)[:, :4]), "a tree of 3 questions on the same features"),
        (np.where(np.eye(40) > 0, np.nan, 1.0), "a tree of 3 questions on the same features"),
    ],
)
def test_counts_get_naive_bayes_and_all_other_features_a_small_tree(
    matrix: object, name: str
) -> None:
    found, model = simple_model(matrix)
    model.fit(matrix, ["a", "b"] * 20)

    assert found == name
    assert model.predict_proba(matrix).shape == (40, 2)
