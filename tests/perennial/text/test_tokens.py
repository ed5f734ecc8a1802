"""`Tokens` are documents: they can be read, measured and taken like a list of lists of words."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from perennial.text.tokens import ranges
from tests.perennial.examples import Documents, documents, some_examples, tokens_of


@some_examples
@given(documents)
def test_tokens_read_like_the_documents_they_hold(words: Documents) -> None:
    tokens = tokens_of(words)

    assert list(tokens) == words
    assert len(tokens) == len(words)
    assert tokens.lengths.tolist() == [len(document) for document in words]


@some_examples
@given(st.data())
def test_documents_are_taken_in_the_order_asked_for_and_as_often(data: st.DataObject) -> None:
    words = data.draw(documents.filter(len))
    rows = data.draw(st.lists(st.integers(0, len(words) - 1)))
    tokens = tokens_of(words)

    taken = tokens.take(np.array(rows, np.int64))

    assert list(taken) == [words[row] for row in rows]
    assert taken.vocabulary is tokens.vocabulary


@some_examples
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5))))
def test_ranges_are_the_concatenated_ranges(pairs: list[tuple[int, int]]) -> None:
    starts = np.array([start for start, _ in pairs], np.int64)
    lengths = np.array([length for _, length in pairs], np.int64)

    expected = [i for start, length in pairs for i in range(start, start + length)]

    assert ranges(starts, lengths).tolist() == expected
