"""Occlusion: any model explains itself, with bounded work."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from perennial.concurrency import finish
from perennial.inference.occlusion import occlude_fields, occlude_words


class Counting:
    """A model that finds a text good by how often it says so, and counts what it is asked."""

    def __init__(self, word: str = "good") -> None:
        self.asked, self._word = 0, word

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float64]:
        self.asked += len(texts)
        good = np.array([1 / (1 + np.exp(-text.lower().count(self._word))) for text in texts])
        return np.column_stack([1 - good, good])


def test_a_word_contributes_what_changes_without_it() -> None:
    found, score = finish(occlude_words("Good film, GOOD cast", 1, Counting()))

    assert {each.feature: round(each.contribution, 6) for each in found} == {
        "good": 2,
        "film": 0,
        "cast": 0,
    }
    assert score == pytest.approx(2)
    (good,) = (each for each in found if each.feature == "good")
    assert good.spans == ((0, 4), (11, 15))


def test_a_script_without_spaces_is_left_out_sign_by_sign() -> None:
    found, _ = finish(occlude_words("这部电影很好看", 1, Counting("好")))

    strongest = max(found, key=lambda each: each.contribution)
    assert (strongest.feature, strongest.spans) == ("好", ((5, 6),))


@given(st.text(max_size=50), st.integers(0, 3_000))
def test_the_work_is_bounded_whatever_the_text(start: str, words: int) -> None:
    model = Counting()
    text = start + " ".join(f"w{number}" for number in range(words))

    found, _ = finish(occlude_words(text, 0, model))

    assert model.asked <= 129
    assert len(found) <= 128
    assert all(text[a:b] for each in found for a, b in each.spans)


@given(st.integers(1, 400), st.integers(1, 2_000))
def test_no_step_scores_more_than_two_of_the_longest_texts(words: int, letters: int) -> None:
    text = " ".join("w" * letters + str(number) for number in range(words))
    scored = [0]

    def estimate(texts: Sequence[str]) -> NDArray[np.float64]:
        scored[-1] += sum(map(len, texts))
        return np.full((len(texts), 2), 0.5)

    scored.extend(0 for _ in occlude_words(text, 0, estimate))

    assert max(scored) <= max(200_000, len(text))


def test_the_fields_of_a_wide_record_are_left_out_in_portions() -> None:
    fields = [f"gene{number}" for number in range(300)]
    sizes = []

    def rows(some: Sequence[str]) -> NDArray[np.float64]:
        sizes.append(len(some))
        return np.array([0.5, *(0.5 - (name == "gene7") for name in some)])

    def estimate(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        good = 1 / (1 + np.exp(-matrix))
        return np.column_stack([1 - good, good])

    found, score = finish(occlude_fields(rows, fields, 1, estimate))

    assert list(found) == fields
    assert found["gene7"] == pytest.approx(1)
    assert sum(found.values()) == pytest.approx(1)
    assert score == pytest.approx(0.5)
    assert max(sizes) <= 128
