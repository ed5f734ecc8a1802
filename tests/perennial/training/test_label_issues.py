"""Labels that look wrong are those that models, which have not seen the documents, doubt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from perennial.classifiers.nb_svm import NbSvm
from perennial.metrics import Predictions
from perennial.text.ngrams import NgramCounter
from perennial.text.normalizer import TextNormalizer
from perennial.training.label_issues import label_issues, opinion, second_opinions
from perennial.training.out_of_fold import stratified_folds
from tasks.data.seed import read_file, reviews_file
from tests.perennial.examples import predictions, some_examples

DOCUMENTS, FLIPPED = 4_000, 200
CLASSES = ("negative", "positive")


def _flipped(seed: int) -> tuple[list[str], NDArray[np.str_], NDArray[np.bool_]]:
    """Return short reviews with labels, of which some are wrong, and which these are."""
    reviews = read_file(reviews_file(), text="text", label="label", source="rotten_tomatoes")
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(reviews))[:DOCUMENTS]
    codes = reviews["label"].to_numpy().astype(np.int64)[chosen]
    wrong = np.zeros(DOCUMENTS, np.bool_)
    wrong[rng.choice(DOCUMENTS, FLIPPED, replace=False)] = True
    codes[wrong] = 1 - codes[wrong]
    return reviews["text"].take(chosen).to_pylist(), np.array(CLASSES)[codes], wrong


@pytest.mark.slow
def test_a_third_of_the_hundred_clearest_are_labels_that_somebody_has_flipped() -> None:
    shares = []
    for seed in range(3):
        texts, labels, wrong = _flipped(seed)
        preparation: Any = {
            "stop_words": "keep",
            "lemmas": "none",
            "emphasis": True,
            "numbers": False,
            "contractions": "keep",
        }
        counter = NgramCounter(bigrams=True, min_documents=2)
        matrix = counter.fit_transform(TextNormalizer(**preparation).transform(texts))
        folds = stratified_folds(labels, np.ones(DOCUMENTS, np.bool_), None, folds=5, seed=0)
        weighting = TfidfTransformer(sublinear_tf=True)
        challenger = make_pipeline(weighting, NbSvm(C=50.0, alpha=0.5, beta=0.7, tol=0.01))
        models = [challenger, *second_opinions(matrix, len(CLASSES))]
        probabilities, asked = opinion(models, matrix, labels, CLASSES, folds)
        assert asked.all()

        first = label_issues(probabilities, labels, CLASSES)[:100]
        shares.append(np.mean([wrong[each.position] for each in first]))

    assert np.mean(shares) >= 1 / 3


@given(predictions())
@some_examples
def test_whatever_is_listed_has_a_likelier_label_and_the_clearest_comes_first(
    found: Predictions,
) -> None:
    labels = np.array(found.classes)[found.truth]

    issues = label_issues(found.probabilities, labels, found.classes)

    margins = [each.margin for each in issues]
    assert margins == sorted(margins, reverse=True)
    assert len({each.position for each in issues}) == len(issues)
    for each in issues:
        assert each.label == labels[each.position] != each.likely_label
        row = dict(zip(found.classes, found.probabilities[each.position], strict=True))
        assert row[each.likely_label] - row[each.label] == pytest.approx(each.margin)
        assert each.margin > 0


def test_a_label_that_models_are_never_sure_of_is_doubted_by_its_own_measure() -> None:
    labels = np.array(["rare", "rare", "common", "common", "common"])
    # Of rare documents models say 0.3 and 0.5: 0.55 is more than they ever do.
    rare = np.array([0.3, 0.5, 0.55, 0.05, 0.1])
    probabilities = np.column_stack([rare, 1 - rare])

    (issue, *others) = label_issues(probabilities, labels, ("rare", "common"))

    assert (issue.position, issue.likely_label) == (2, "rare")
    assert [each.position for each in others] == []


def test_records_are_judged_by_the_challenger_alone() -> None:
    rows = np.array([[-1.0, 0.2], [0.4, -0.1]])

    assert list(second_opinions(rows, 2)) == []


def test_a_model_that_tells_nothing_apart_finds_no_issue() -> None:
    matrix = np.zeros((12, 1))
    labels = np.array(["a", "b"] * 6)
    folds = stratified_folds(labels, np.ones(12, np.bool_), None, folds=3, seed=0)

    probabilities, _ = opinion(
        [make_pipeline(LogisticRegression())], matrix, labels, ("a", "b"), folds
    )

    assert label_issues(probabilities, labels, ("a", "b")) == []
