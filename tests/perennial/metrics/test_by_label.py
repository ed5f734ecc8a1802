"""Figures by label are scikit-learn's, and name what a label is taken for."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from sklearn.metrics import precision_recall_fscore_support

from perennial.metrics import Predictions
from perennial.metrics.evaluation.by_label import results_by_label
from tests.perennial.examples import predictions, some_examples


@given(predictions())
@some_examples
def test_precision_recall_f1_and_support_are_those_of_scikit_learn(found: Predictions) -> None:
    codes = np.arange(len(found.classes))
    theirs = precision_recall_fscore_support(
        found.truth, found.predicted, labels=codes, zero_division=0
    )

    ours = results_by_label(found)

    assert [each.label for each in ours] == list(found.classes)
    rows = [(each.precision, each.recall, each.f1, each.support) for each in ours]
    np.testing.assert_allclose(np.array(rows), np.array(theirs).T, atol=1e-12)


def test_a_label_is_confused_with_what_most_of_its_other_documents_get() -> None:
    truth, predicted = [0, 0, 0, 0, 0, 1, 2], [0, 1, 2, 2, 0, 1, 1]
    probabilities = np.full((7, 3), 1 / 3)
    found = Predictions(("a", "b", "c"), np.array(truth), np.array(predicted), probabilities)

    of_a, of_b, of_c = results_by_label(found)

    assert (of_a.confused_with, of_a.confused) == ("c", 2)
    assert (of_b.confused_with, of_b.confused) == (None, 0)
    assert (of_c.confused_with, of_c.confused, of_c.recall) == ("b", 1, 0.0)
