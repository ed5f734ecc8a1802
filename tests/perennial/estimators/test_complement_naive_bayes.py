"""Complement naive Bayes is compiled, and answers texts as scikit-learn's pipeline does."""

from __future__ import annotations

import numpy as np
import pytest

from perennial.config.problem import Problem
from perennial.config.sections.candidates import Candidate
from perennial.inference.compiled_text import CompiledTextPredictor
from perennial.inference.predictor import build_predictor
from perennial.training.pipelines import assemble, build_classifier, build_counter, build_normalizer

TEXTS = [
    "A great film, I loved it!",
    "A film with a story.",
    "A boring film, I hated it.",
    "Wonderful cast and a great story.",
    "The cast is a cast.",
    "Terrible cast and a boring, boring story?",
]


@pytest.mark.parametrize("labels", [["good", "poor", "poor"], ["good", "fair", "poor"]])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("weighting", ["counts", "tfidf"])
def test_it_is_served_compiled_with_the_pipeline_s_answers(
    labels: list[str], norm: bool, weighting: str, problem: Problem
) -> None:
    candidate = Candidate.model_validate(
        {
            "preparation": "plain",
            "features": {"weighting": weighting, "bigrams": True, "min_documents": 1},
            "estimator": "complement_naive_bayes",
            "parameters": {"norm": norm},
        }
    )
    problem = problem.model_copy(update={"candidates": {"complement": candidate}})
    model = assemble(
        build_normalizer(problem, candidate),
        build_counter(candidate.features),
        build_classifier(problem, "complement"),
    ).fit(TEXTS, labels * 2)
    asked = [*TEXTS, "", "nothing known", "not great, not boring"]

    predictor = build_predictor(model, asked)

    assert isinstance(predictor, CompiledTextPredictor)
    expected = model.predict_proba(asked)
    np.testing.assert_allclose(predictor.probabilities(asked), expected, rtol=0, atol=1e-9)
    moved = sum(each.contribution for each in predictor.explain(TEXTS[0], "good", limit=None))
    scores = np.log(expected[0])
    place = list(model.classes_).index("good")
    odds = scores[place] - np.delete(scores, place).max()
    assert predictor.baseline("good", TEXTS[0]) + moved == pytest.approx(odds, abs=1e-9)
