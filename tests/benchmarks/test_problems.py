"""What the benchmark of problems measures: both sides on the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.problems import experts
from benchmarks.problems.base import DataSet, NotInstalledError, label_last, of_pairs, package
from benchmarks.problems.given import Division, measure
from benchmarks.problems.product import metric_of


def _divided(data: DataSet, **more: Any) -> Division:
    places = np.arange(len(data.rows))
    return Division(data, places[places % 4 > 0], places[places % 4 == 0], **more)


def test_texts_that_one_word_tells_apart_are_known_to_both_sides() -> None:
    words = {"good": ("fine", "great", "lovely"), "bad": ("poor", "awful", "dull")}
    pairs = [
        (f"a {words[label][n % 3]} film about number {n * 7919 % 613}", label)
        for n in range(120)
        for label in words
    ]

    found = measure(_divided(of_pairs(pairs, experts.words)))

    assert (found["rows"], found["labels"], found["holdout"]) == (240, 2, 60)
    assert min(found["ours"], found["expert"]) >= 0.95


def test_a_threshold_is_tuned_by_both_sides_where_a_label_is_rare() -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(size=800)
    rows = pd.DataFrame({"score": score.round(3), "noise": rng.normal(size=800).round(3)})
    rows["bought"] = np.where(score + rng.normal(size=800) / 2 > 1.6, "yes", "no")

    found = measure(_divided(DataSet(rows, experts.tuned, "f1"), only="logistic"))

    assert found["challenger"] == "logistic"
    assert min(found["ours"], found["expert"]) >= 0.5


def test_f1_is_that_of_the_last_class() -> None:
    truth, said = np.array([1, 1, 0, 0, 0]), np.array([1, 0, 1, 0, 0])

    assert metric_of("f1", truth, said) == pytest.approx(0.5)
    assert metric_of("accuracy", truth, said) == pytest.approx(0.6)


def test_a_package_that_is_not_there_is_named() -> None:
    with pytest.raises(NotInstalledError, match=r"no_such_data \(PyPI\)"):
        package("no_such_data")


def test_the_label_comes_last() -> None:
    assert list(label_last(pd.DataFrame({"a": [1], "b": [2], "c": [3]}), "b")) == ["a", "c", "b"]
