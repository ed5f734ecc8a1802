"""Agreement: the best accuracy is what the best answer to each input reaches, and no model more."""

from __future__ import annotations

from itertools import product

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.documents.agreement import best_accuracy

DOCUMENTS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy")), min_size=1)


def _best(documents: list[tuple[str, str]]) -> float:
    content, labels = zip(*documents, strict=True) if documents else ((), ())
    return best_accuracy(
        pa.chunked_array([[each.encode() for each in content]], pa.binary()),
        pa.chunked_array([labels], pa.string()),
    )


@given(DOCUMENTS)
def test_it_is_reached_by_one_way_to_answer_and_exceeded_by_none(
    documents: list[tuple[str, str]],
) -> None:
    accuracies = [
        sum(answers["abc".index(content)] == label for content, label in documents) / len(documents)
        for answers in product("xy", repeat=3)
    ]

    assert _best(documents) == pytest.approx(max(accuracies))


def test_where_equal_inputs_agree_nothing_stands_in_the_way() -> None:
    assert _best([("a", "x"), ("a", "x"), ("b", "y")]) == 1
    assert _best([]) == 1
