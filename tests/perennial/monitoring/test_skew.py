"""Answers of the service are compared with those of the registered model."""

from __future__ import annotations

import numpy as np
import pytest

from perennial.monitoring.skew import Skew, compare_answers

IDS = ["a", "b", "c"]
SAID = ["yes", "no", "yes"], np.array([0.9, 0.8, 0.7])


def test_the_same_answers_are_no_skew() -> None:
    nearly = SAID[1] + 1e-7

    found = compare_answers(IDS, SAID, (SAID[0], nearly))

    assert (found.compared, found.different, found.example) == (3, 0, None)
    assert found.farthest == pytest.approx(1e-7)


def test_another_probability_is_skew_and_the_farthest_is_named() -> None:
    found = compare_answers(IDS, SAID, (SAID[0], np.array([0.9, 0.7, 0.69])))

    assert (found.different, found.example) == (2, "b")
    assert found.farthest == pytest.approx(0.1)


def test_another_label_is_named_before_a_farther_probability() -> None:
    found = compare_answers(IDS, SAID, (["yes", "no", "no"], np.array([0.9, 0.5, 0.7])))

    assert (found.different, found.example) == (2, "c")


def test_an_answer_without_a_number_is_skew() -> None:
    found = compare_answers(IDS, (SAID[0], np.array([0.9, np.nan, 0.7])), SAID)

    assert (found.different, found.example) == (1, "b")


def test_nothing_logged_says_nothing() -> None:
    assert compare_answers([], ([], np.array([])), ([], np.array([]))) == Skew(0)
