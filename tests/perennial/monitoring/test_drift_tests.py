"""Drift: nothing is found where nothing changed, and what changed is found with its size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.monitoring.domain_classifier import tell_apart
from perennial.monitoring.drift_tests import (
    DriftTest,
    categories,
    columns,
    conclude,
    correctness,
    numbers,
    rates,
)

WORDS = np.array([f"word{number}" for number in range(300)])
ALPHA = 0.05
ROUNDS = 200


def _texts(rng: np.random.Generator, count: int, share: float = 0.0) -> list[str]:
    """Texts of 30 words; that share of them prefers other words."""
    usual = np.arange(1, len(WORDS) + 1) ** -1.0
    other = usual[::-1]
    texts = []
    for _ in range(count):
        weights = other if rng.random() < share else usual
        texts.append(" ".join(rng.choice(WORDS, 30, p=weights / weights.sum())))
    return texts


def _test(name: str, p_value: float, size: float = 1.0) -> DriftTest:
    return DriftTest(name, "documents", "test", size, 0.1, p_value, "before", "now")


def _rejections(p_values: list[float]) -> int:
    """Count how often a test at the level `ALPHA` finds something."""
    return sum(p <= ALPHA for p in p_values)


def _unlikely_many() -> int:
    """The most rejections that a test with a true level of `ALPHA` gives, but once in 10,000."""
    from scipy.stats import binom

    return int(binom.ppf(1 - 1e-4, ROUNDS, ALPHA))


@pytest.mark.slow
def test_without_drift_no_test_is_significant_more_often_than_it_says() -> None:
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        before, now = rng.exponential(size=500), rng.exponential(size=200)
        tests = [
            numbers("length", "documents", before, now, 0.1),
            categories(
                "labels",
                "documents",
                rng.choice(list("abc"), 500, p=[0.6, 0.3, 0.1]).tolist(),
                rng.choice(list("abc"), 200, p=[0.6, 0.3, 0.1]).tolist(),
                0.1,
            ),
            rates("unknown_words", "documents", before / 50, now / 50, 0.05),
            correctness("accuracy", "documents", rng.random(500) < 0.8, rng.random(200) < 0.8, 0.1),
        ]
        for test in tests:
            found.setdefault(test.name, []).append(test.p_value)

    assert {
        name: _rejections(p_values) <= _unlikely_many() for name, p_values in found.items()
    } == {
        "length": True,
        "labels": True,
        "unknown_words": True,
        "accuracy": True,
    }


@pytest.mark.slow
def test_without_drift_the_domain_classifier_is_significant_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    found = [
        tell_apart(_texts(rng, 60), _texts(rng, 40), seed=seed, words=0) for seed in range(ROUNDS)
    ]

    p_values = [each.p_value for each in found if each is not None]
    assert len(p_values) == ROUNDS
    assert _rejections(p_values) <= _unlikely_many()
    # A p-value is a uniform number then: the test is not merely timid.
    assert 0.4 < np.mean(p_values) < 0.6


def test_words_that_become_frequent_in_a_part_of_the_texts_are_found_and_named() -> None:
    rng = np.random.default_rng(2)

    found = tell_apart(_texts(rng, 400), _texts(rng, 300, share=0.3), seed=0)

    assert found is not None
    assert found.auc > found.high
    assert found.p_value < 1e-3
    assert {word.word for word in found.words} <= set(WORDS)
    risen = [word for word in found.words if word.now > word.before]
    assert "word299" in {word.word for word in risen}


def test_the_larger_the_changed_part_the_larger_the_auc() -> None:
    rng = np.random.default_rng(3)
    areas = []
    for share in (0.1, 0.4, 1.0):
        found = tell_apart(_texts(rng, 300), _texts(rng, 300, share=share), seed=0)
        assert found is not None
        areas.append(found.auc)

    assert areas == sorted(areas)
    assert areas[-1] > 0.95


def test_texts_without_words_cannot_be_told_apart() -> None:
    assert tell_apart(["", "?"], ["!", ""], seed=0) is None
    assert tell_apart(["the same"] * 20, ["the same"] * 20, seed=0) is None


def test_the_size_of_a_test_does_not_grow_with_the_samples() -> None:
    rng = np.random.default_rng(4)
    sizes = []
    for count in (2_000, 50_000):
        before, now = rng.normal(size=count), rng.normal(0.05, 1, size=count)
        test = numbers("length", "documents", before, now, 0.1)
        sizes.append(test.size)

    assert test.p_value < 1e-6
    assert max(sizes) < 0.06
    # Significant in so large a sample, and yet nothing that anybody should act upon.
    assert not conclude([test], 0.001)[0].drifted


def test_a_shift_is_found_by_each_test() -> None:
    rng = np.random.default_rng(5)
    length = numbers("length", "documents", rng.normal(size=500), rng.normal(1, 1, 300), 0.1)
    labels = categories("labels", "documents", ["a", "b"] * 250, ["a"] * 240 + ["b"] * 60, 0.1)
    unknown = rates("unknown_words", "documents", rng.random(500) / 50, rng.random(300) / 4, 0.05)
    accuracy = correctness(
        "accuracy", "documents", rng.random(500) < 0.9, rng.random(300) < 0.75, 0.05
    )

    concluded = conclude([length, labels, unknown, accuracy], 0.001)

    assert all(test.drifted for test in concluded)
    assert labels.size == pytest.approx(0.3)
    assert labels.before == "50.0% a"
    assert labels.now == "80.0% a"


def test_quality_and_unknown_words_are_drift_in_one_direction_only() -> None:
    worse, better = np.arange(400) % 4 > 0, np.arange(400) % 20 > 0

    assert correctness("accuracy", "documents", worse, better, 0.05).p_value > 0.99
    assert (
        rates(
            "unknown_words", "documents", np.tile([0.2, 0.3], 50), np.tile([0.0, 0.1], 50), 0.05
        ).p_value
        > 0.99
    )


@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_between_no_correction_and_bonferronis(p_values: list[float]) -> None:
    concluded = conclude([_test(str(i), p) for i, p in enumerate(p_values)], 0.01)

    count = len(p_values)
    for test in concluded:
        assert test.p_value <= test.adjusted <= min(1.0, count * test.p_value)
    ordered = sorted(concluded, key=lambda test: test.p_value)
    assert [test.adjusted for test in ordered] == sorted(test.adjusted for test in concluded)
    assert min(test.adjusted for test in concluded) == pytest.approx(
        min(1.0, count * min(p_values))
    )


@given(size=st.floats(0, 1), p_value=st.floats(0, 1))
def test_drift_must_be_both_significant_and_large(size: float, p_value: float) -> None:
    (test,) = conclude([_test("one", p_value, size)], 0.01)

    assert test.drifted == (p_value <= 0.01 and size >= 0.1)


def _flowers(rng: np.random.Generator, count: int, moved: float = 0.0) -> pa.Table:
    return pa.table(
        {
            "length": rng.normal(5 + moved, 1, count),
            "petals": rng.integers(3, 9, count),
            "colour": rng.choice(["red", "blue"], count, p=[0.5 + moved / 4, 0.5 - moved / 4]),
            "sizes": pa.array([{"stem": float(value)} for value in rng.normal(size=count)]),
            "wild": rng.random(count) < 0.5,
            "seen": pa.array([None] * count, pa.timestamp("us")),
        }
    )


def test_each_column_of_numbers_or_categories_gets_its_own_test() -> None:
    rng = np.random.default_rng(6)

    found = columns(_flowers(rng, 600), _flowers(rng, 400, moved=1.0))
    tests = [column.test("documents", 0.1) for column in found]

    concluded = {test.name: test.drifted for test in conclude(tests, 0.001)}
    assert concluded == {
        "length": True,
        "petals": False,
        "colour": True,
        "sizes.stem": False,
        "wild": False,
    }


def test_a_missing_column_is_left_out_and_missing_numbers_are_compared() -> None:
    before = pa.table({"a": [1.0, 2.0] * 200, "b": ["x", "y"] * 200})
    now = pa.table({"a": pa.array([None, None] * 200, pa.float64())})

    (found,) = columns(before, now)

    (test,) = conclude([found.test("documents", 0.1)], 0.001)
    assert (test.name, test.drifted, test.size) == ("a_missing", True, 1.0)


@given(
    st.lists(st.sampled_from("abcdef"), min_size=1), st.lists(st.sampled_from("abcdef"), min_size=1)
)
def test_the_distance_of_shares_is_between_0_and_1_and_0_for_equal_shares(
    before: list[str], now: list[str]
) -> None:
    found = categories("labels", "documents", before, now, 0.1)

    assert 0 <= found.size <= 1 + 1e-12
    assert categories("labels", "documents", before, before * 3, 0.1).size < 1e-12


def test_many_rare_categories_are_taken_together() -> None:
    before, now = [f"id-{i}" for i in range(3000)], [f"id-{i}" for i in range(3000, 6000)]

    found = categories("user", "documents", [*before, *["x"] * 900], [*now, *["x"] * 900], 0.1)

    assert found.size < 0.05


def test_a_fall_of_the_accuracy_is_judged_by_itself_and_not_among_all_other_tests() -> None:
    others = [_test(f"field {number}", 0.5) for number in range(40)]
    fall = _test("accuracy", 0.01)

    alone = {each.name: each for each in conclude([*others, fall], 0.001, 0.05)}
    among = {each.name: each for each in conclude([*others, fall], 0.001)}

    assert alone["accuracy"].drifted
    assert not among["accuracy"].drifted
    assert not any(alone[each.name].drifted for each in others)


@pytest.mark.parametrize(
    ("size", "p_value", "drifted", "near"),
    [
        (0.06, 0.0001, True, True),
        (0.04, 0.0001, False, True),
        (0.02, 0.0001, False, False),
        (0.06, 0.5, False, False),
    ],
)
def test_half_of_a_limit_is_near_it_if_chance_does_not_explain_it(
    size: float, p_value: float, drifted: bool, near: bool
) -> None:
    test = replace(_test("accuracy", p_value, size), limit=0.05)

    (found,) = conclude([test], 0.001)

    assert (found.drifted, found.near) == (drifted, near)
